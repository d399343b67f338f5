//! What the demo tells at its end: what happened, what is worth a look, what it cost.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use clap::Parser;

use super::super::{Cli, CliError, Command};
use super::ink::Ink;
use super::recorded::{self, Recorded};
use super::script::CALLS;
use super::traffic::Progress;
use super::verdict::Verdict;
use crate::accounting::TokenKind;
use crate::report::render::{table, usd_readable};
use crate::report::text::{NOTHING, thousands};

/// Width of the progress bar, in characters.
const BAR: u32 = 30;
/// A Haiku prompt above this many tokens costs more.
const LONG_PROMPT: u64 = 100_000;
/// Columns of the timeline that are text.
const TIMELINE_TEXT_COLUMNS: usize = 4;

const WELCOME: &str = "  teams ──▶ Weighbridge ──▶ Claude API

  The API and the teams are simulated; the sidecar, the HTTP, the ledger and the reports are
  real. No key, no network, a few seconds.
";
const TWO_RULES: &str = "
  The teams have virtual keys: only the sidecar held the API's own key. Every call was in
  the ledger before it went to the API, and its end before the client saw it.
";
const START: &str = "
  weighbridge serve
  export ANTHROPIC_BASE_URL=http://127.0.0.1:8484
";

/// What the simulation knows; everything else is read from the ledger.
pub(super) struct Happened {
    /// Where the sidecar was.
    pub(super) address: String,
    /// How long the traffic took.
    pub(super) took: Duration,
    /// The session that is told call by call.
    pub(super) session: String,
    /// What the simulated API charged, by request id.
    pub(super) charges: BTreeMap<String, String>,
    /// The sum of that.
    pub(super) charged: String,
}

/// What is told, and how.
pub(super) struct Story<'a> {
    pub(super) happened: Happened,
    pub(super) dir: &'a Path,
    /// The data directory, where it stays.
    pub(super) kept: Option<&'a Path>,
    pub(super) ink: Ink,
}

/// The first lines, before anything runs.
pub(super) fn welcome(ink: Ink) -> String {
    let title = ink.bold("Weighbridge weighs every call to the Claude API on its way through.");
    format!("\n{title}\n\n{WELCOME}\n")
}

/// The line that shows how far it is.
pub(super) fn progress(progress: Progress, charged: &str) -> String {
    let Progress { done, open } = progress;
    let filled = done.min(CALLS) * BAR / CALLS;
    let bar: String = (0..BAR).map(|place| if place < filled { '█' } else { '░' }).collect();
    format!("  {bar}  {done:>2} calls, {open} under way, ${charged:<13}")
}

impl Story<'_> {
    /// Tells it all.
    ///
    /// # Errors
    ///
    /// The ledger and the simulated API's bill do not agree, or something cannot be written.
    pub(super) fn tell(&self, output: &mut dyn Write) -> Result<(), CliError> {
        let calls = recorded::all(self.dir)?;
        let mut text = String::new();
        self.what_happened(&mut text, &calls);
        self.worth_a_look(&mut text, &calls);
        self.timeline(&mut text, &calls);
        self.heading(&mut text, "What each model cost", "report --by model");
        let models = self.report(&["--by", "model"])?;
        // The same notes stand below the next report.
        let rows: Vec<&str> = models.lines().filter(|line| !line.starts_with("note: ")).collect();
        text.push_str(&self.ink.table(&rows.join("\n")));
        self.heading(&mut text, "What each team cost", "report --by team");
        text.push_str(&self.ink.table(&self.report(&["--by", "team"])?));
        let difference = self.compare(&mut text, &calls)?;
        if difference.is_none() {
            self.next_steps(&mut text);
        }
        CliError::written(output.write_all(text.as_bytes()).and_then(|()| output.flush()))?;
        difference.map_or(Ok(()), |difference| Err(CliError::Failed(difference)))
    }

    /// A section's title, and the command that shows the same.
    fn heading(&self, text: &mut String, title: &str, command: &str) {
        let command = self.ink.faint(&format!("weighbridge {command}"));
        let _ = writeln!(text, "\n{}   {command}\n", self.ink.bold(title));
    }

    /// What `weighbridge report` prints about the demo's data, through the command itself.
    fn report(&self, words: &[&str]) -> Result<String, CliError> {
        let arguments = ["weighbridge", "report"].iter().chain(words).map(OsString::from);
        let place = ["--data-dir".into(), self.dir.as_os_str().to_owned()];
        let parsed = Cli::try_parse_from(arguments.chain(place));
        let parsed = parsed.map_err(|error| CliError::Failed(error.to_string()))?;
        let mut output = Vec::new();
        if let Command::Report(args) = parsed.command {
            args.run(&mut output, false, Vec::new())?;
        }
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    fn what_happened(&self, text: &mut String, calls: &[Recorded]) {
        let count = |is: &dyn Fn(&Recorded) -> bool| calls.iter().filter(|call| is(call)).count();
        let took = self.happened.took;
        let _ = write!(
            text,
            "{}\n\n  {} calls in {}.{} s, each a real HTTP request through {}:\n",
            self.ink.bold("What just happened"),
            self.ink.bold(&calls.len().to_string()),
            took.as_secs(),
            took.subsec_millis() / 100,
            self.happened.address,
        );
        let _ = write!(
            text,
            "  {} answered, {} of them as streams; {} cut off; {} refused by the API, {} by the \
             sidecar.\n{TWO_RULES}",
            count(&Recorded::is_answered),
            count(&|call| call.is_answered() && call.streamed),
            count(&|call| call.partial),
            count(&|call| call.status >= 400 && !call.is_refused()),
            count(&Recorded::is_refused),
        );
    }

    /// The calls that are easily counted wrong, with their exchanges.
    fn worth_a_look(&self, text: &mut String, calls: &[Recorded]) {
        self.heading(text, "Worth a look", "exchanges ID");
        let mut look =
            |name: &str, is: &dyn Fn(&Recorded) -> bool, note: &dyn Fn(&Recorded) -> String| {
                if let Some(call) = calls.iter().find(|call| is(call)) {
                    self.look(text, call, name, &note(call));
                }
            };
        look("retried", &|call| call.attempt > 1 && call.is_answered(), &|last| {
            let attempts = calls.iter().filter(|call| call.call == last.call);
            let statuses: Vec<String> = attempts.map(|call| call.status.to_string()).collect();
            format!("{}: one call in {} attempts, paid once", statuses.join(", "), last.attempt)
        });
        look("cut off", &|call| call.partial, &|_| {
            "broke off mid-sentence: priced as last reported, and flagged".to_owned()
        });
        look("long prompt", &|call| call.prompt() > LONG_PROMPT, &|call| {
            format!("{} tokens: above 100,000 each of them costs more", thousands(call.prompt()))
        });
        look("unpriced", &|call| call.unpriced, &|call| {
            format!("{} has no known price: unknown, not zero", call.model)
        });
        look("rate limit", &|call| call.status == 429, &|_| {
            "429 from the API, and this client gave up".to_owned()
        });
        look("wrong key", &Recorded::is_refused, &|_| {
            "a virtual key nobody made: 401 from the sidecar, nothing went out".to_owned()
        });
    }

    fn look(&self, text: &mut String, call: &Recorded, name: &str, note: &str) {
        let amount = match call.usd {
            Some(usd) => format!("${}", usd_readable(usd, 6)),
            None if call.unpriced => "?".to_owned(),
            None => NOTHING.to_owned(),
        };
        let (name, id) = (self.ink.accent(&format!("{name:<11}")), self.ink.faint(&call.id));
        let _ = writeln!(text, "  {name}  {note:<68} {amount:>9}\n  {:<11}  {id}", "");
    }

    /// One session, call by call.
    fn timeline(&self, text: &mut String, calls: &[Recorded]) {
        let session = Some(self.happened.session.as_str());
        let calls: Vec<&Recorded> =
            calls.iter().filter(|call| call.session.as_deref() == session).collect();
        let Some(first) = calls.first() else { return };
        self.heading(
            text,
            "One coding session, call by call",
            &format!("sessions {}", self.happened.session),
        );
        let header =
            ["at", "agent", "model", "status", "new", "cached", "written", "output", "usd"];
        let row = |call: &&Recorded| {
            let after_ms = call.opened_at.saturating_sub(first.opened_at) / 1_000_000;
            let status = match call.attempt {
                1 => call.status.to_string(),
                attempt => format!("{} (attempt {attempt})", call.status),
            };
            let tokens = |count: u64| match call.usd {
                Some(_) => thousands(count),
                None => NOTHING.to_owned(),
            };
            vec![
                format!("{}.{:02} s", after_ms / 1000, after_ms % 1000 / 10),
                call.agent.clone().unwrap_or_else(|| "main".to_owned()),
                call.model.clone(),
                status,
                tokens(call.tokens(TokenKind::Input)),
                tokens(call.tokens(TokenKind::CacheRead)),
                tokens(call.cache_written()),
                tokens(call.tokens(TokenKind::Output)),
                call.usd.map_or_else(|| NOTHING.to_owned(), |usd| usd_readable(usd, 6)),
            ]
        };
        let rows: Vec<Vec<String>> = calls.iter().map(row).collect();
        let shown = table(&header.map(str::to_owned), &rows, TIMELINE_TEXT_COLUMNS, false);
        text.push_str(&self.ink.table(&shown));
    }

    /// Shows the two sums; gives what differs.
    fn compare(&self, text: &mut String, calls: &[Recorded]) -> Result<Option<String>, CliError> {
        let report = self.report(&["--by", "team", "--format", "json"])?;
        let report: serde_json::Value = serde_json::from_str(&report)?;
        let total = report["total"]["usd"].as_str().unwrap_or_default();
        let recorded: BTreeMap<String, String> = calls
            .iter()
            .filter_map(|call| Some((call.request_id.clone()?, call.usd?.to_string())))
            .collect();
        let Happened { charges, charged, .. } = &self.happened;
        let difference = Verdict { charges, charged, recorded: &recorded, total }.difference();
        let verdict = match &difference {
            None => self.ink.good("equal to the last digit, call by call"),
            Some(_) => self.ink.bad("NOT equal"),
        };
        let width = charged.len().max(total.len()) + 1;
        let amount = |usd: &str| self.ink.bold(&format!("{:>width$}", format!("${usd}")));
        let (charged, total) = (amount(charged), amount(total));
        let calls = charges.len();
        let _ = writeln!(text, "\n  The simulated API charged  {charged}   for {calls} calls");
        let _ = writeln!(text, "  The ledger says            {total}   {verdict}");
        Ok(difference)
    }

    fn next_steps(&self, text: &mut String) {
        let look_around = match self.kept {
            Some(dir) => format!("weighbridge exchanges --data-dir {}", dir.display()),
            None => "weighbridge demo --data-dir ./demo".to_owned(),
        };
        let title = self.ink.bold("Now with your own calls");
        let hint = self.ink.faint(&format!("To look around in this data: {look_around}"));
        let _ = writeln!(text, "\n{title}\n{START}\n  {hint}");
    }
}
