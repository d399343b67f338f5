//! What the demo tells at its end: what happened, what is worth a look, what it cost.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use clap::Parser;

use super::super::{Cli, CliError, Command};
use super::recorded::{self, Recorded};
use super::script::CALLS;
use super::traffic::Progress;
use crate::accounting::TokenKind;
use crate::report::render::{table, usd_readable};
use crate::report::text::{NOTHING, thousands};

/// Width of the progress bar, in characters.
const BAR: u32 = 30;
/// A Haiku prompt above this many tokens costs more.
const LONG_PROMPT: u64 = 100_000;
/// Columns of the timeline that are text.
const TIMELINE_TEXT_COLUMNS: usize = 4;

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
    pub(super) terminal: bool,
}

/// Colours, where they are wanted.
#[derive(Clone, Copy)]
struct Ink(bool);

impl Ink {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    fn good(self, text: &str) -> String {
        self.with("1;32", text)
    }

    fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn accent(self, text: &str) -> String {
        self.with("36", text)
    }
}

/// The first lines, before anything runs.
pub(super) fn welcome(terminal: bool) -> String {
    let ink = Ink(terminal);
    format!(
        "\n{}\n\n  teams ──▶ Weighbridge ──▶ Claude API\n\n  \
         The API and the teams are simulated. The sidecar, the HTTP, the ledger and every figure\n  \
         are real. No key, no network, nothing to clean up.\n\n",
        ink.bold("Weighbridge weighs every call to the Claude API on its way through.")
    )
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
        let mut text = self.what_happened(&calls);
        self.worth_a_look(&mut text, &calls);
        self.timeline(&mut text, &calls);
        for (title, by) in [("What each model cost", "model"), ("What each team cost", "team")] {
            let words = ["report", "--by", by];
            self.heading(&mut text, title, &words.join(" "));
            text.push_str(&indented(&self.command(&words, self.terminal)?));
        }
        let agreed = self.compare(&mut text, &calls)?;
        if agreed.is_ok() {
            self.next_steps(&mut text);
        }
        CliError::written(output.write_all(text.as_bytes()).and_then(|()| output.flush()))?;
        agreed.map_err(CliError::Failed)
    }

    fn ink(&self) -> Ink {
        Ink(self.terminal)
    }

    /// A section's title, and the command that shows the same.
    fn heading(&self, text: &mut String, title: &str, command: &str) {
        let ink = self.ink();
        let command =
            if command.is_empty() { String::new() } else { format!("weighbridge {command}") };
        let _ = writeln!(text, "\n{}   {}\n", ink.bold(title), ink.faint(&command));
    }

    /// Runs one of our own commands on the demo's data, as if it was typed.
    fn command(&self, words: &[&str], terminal: bool) -> Result<String, CliError> {
        let arguments = ["weighbridge"].iter().chain(words).map(std::ffi::OsString::from);
        let place = ["--data-dir".into(), self.dir.as_os_str().to_owned()];
        let parsed = Cli::try_parse_from(arguments.chain(place));
        let parsed = parsed.map_err(|error| CliError::Failed(error.to_string()))?;
        let mut output = Vec::new();
        if let Command::Report(args) = parsed.command {
            args.run(&mut output, terminal, Vec::new())?;
        }
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    fn what_happened(&self, calls: &[Recorded]) -> String {
        let mut text = String::new();
        self.heading(&mut text, "What just happened", "");
        let count = |is: &dyn Fn(&Recorded) -> bool| calls.iter().filter(|call| is(call)).count();
        let took = self.happened.took;
        let (seconds, tenths) = (took.as_secs(), took.subsec_millis() / 100);
        let _ = writeln!(
            text,
            "  {} calls of {} teams in {seconds}.{tenths} s, each a real HTTP request through {}:",
            self.ink().bold(&calls.len().to_string()),
            super::script::TEAMS.len(),
            self.happened.address
        );
        let _ = writeln!(
            text,
            "  {} answered, {} of them as streams; 1 cut off; {} refused by the API, {} by the sidecar.",
            count(&|call| call.outcome == "completed" && call.status == 200),
            count(&|call| call.outcome == "completed" && call.streamed),
            count(&|call| call.status >= 400 && call.outcome != "refused"),
            count(&|call| call.outcome == "refused"),
        );
        let _ = writeln!(
            text,
            "  Each team has a virtual key; the one real key never left the sidecar. Every call was in\n  \
             the ledger before it went upstream, and its end was before the client saw it."
        );
        text
    }

    /// The calls that plain proxies get wrong, with their exchanges.
    fn worth_a_look(&self, text: &mut String, calls: &[Recorded]) {
        self.heading(text, "Worth a look", "exchanges ID");
        let find = |is: &dyn Fn(&Recorded) -> bool| calls.iter().find(|call| is(call));
        if let Some(last) = find(&|call| call.attempt > 1 && call.status == 200) {
            let attempts = calls.iter().filter(|call| call.call == last.call);
            let statuses: Vec<String> = attempts.map(|call| call.status.to_string()).collect();
            let statuses = statuses.join(", ");
            self.look(
                text,
                last,
                "retried",
                &format!("{statuses}: one call in {} attempts, paid once", last.attempt),
            );
        }
        if let Some(cut) = find(&|call| call.partial) {
            self.look(
                text,
                cut,
                "cut off",
                "broke off mid-sentence: what was reported is priced, and flagged",
            );
        }
        if let Some(long) = find(&|call| call.prompt() > LONG_PROMPT) {
            let prompt = thousands(long.prompt());
            self.look(
                text,
                long,
                "long prompt",
                &format!("{prompt} tokens: above 100,000 all of them cost more"),
            );
        }
        if let Some(unpriced) = find(&|call| call.unpriced) {
            let note = format!("{} has no known price: that is not zero", unpriced.model);
            self.look(text, unpriced, "unpriced", &note);
        }
        if let Some(limited) = find(&|call| call.status == 429) {
            self.look(text, limited, "rate limit", "the API said 429, and this client gave up");
        }
        if let Some(refused) = find(&|call| call.outcome == "refused") {
            self.look(
                text,
                refused,
                "refused",
                "unknown virtual key: 401 from us, nothing went upstream",
            );
        }
    }

    fn look(&self, text: &mut String, call: &Recorded, name: &str, note: &str) {
        let ink = self.ink();
        let amount = match call.usd {
            Some(usd) => format!("${}", usd_readable(usd, 6)),
            None if call.unpriced => "?".to_owned(),
            None => NOTHING.to_owned(),
        };
        let name = ink.accent(&format!("{name:<12}"));
        let _ = writeln!(text, "  {name} {note:<68} {amount:>10}");
        let _ = writeln!(text, "  {:<12} {}", "", ink.faint(&call.id));
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
        text.push_str(&indented(&shown));
    }

    /// The two sums, and whether every call's two amounts are the same.
    fn compare(
        &self,
        text: &mut String,
        calls: &[Recorded],
    ) -> Result<Result<(), String>, CliError> {
        let report: serde_json::Value = serde_json::from_str(
            &self.command(&["report", "--by", "team", "--format", "json"], false)?,
        )?;
        let ledger = report["total"]["usd"].as_str().unwrap_or("nothing").to_owned();
        let charged = &self.happened.charged;
        let recorded: BTreeMap<String, String> = calls
            .iter()
            .filter_map(|call| Some((call.request_id.clone()?, call.usd?.to_string())))
            .collect();
        let equal = ledger == *charged && recorded == self.happened.charges;
        let ink = self.ink();
        let width = charged.len().max(ledger.len()) + 1;
        let verdict =
            if equal { ink.good("equal, to the last digit") } else { ink.bad("NOT equal") };
        let count = self.happened.charges.len();
        let _ = writeln!(
            text,
            "\n  The simulated API charged  {:>width$}  for {count} calls",
            format!("${charged}")
        );
        let _ = writeln!(
            text,
            "  The ledger says            {}  {verdict}",
            ink.bold(&format!("{:>width$}", format!("${ledger}")))
        );
        if equal {
            return Ok(Ok(()));
        }
        let differing =
            |(id, usd): (&String, &String)| (recorded.get(id) != Some(usd)).then(|| id.clone());
        let first =
            self.happened.charges.iter().find_map(differing).unwrap_or_else(|| "none".to_owned());
        Ok(Err(format!(
            "the ledger says ${ledger} and the simulated API charged ${charged} (first difference: \
             request {first}); this is a defect or a price that changed since this version: please report it"
        )))
    }

    fn next_steps(&self, text: &mut String) {
        let ink = self.ink();
        let _ = writeln!(text, "\n{}\n", ink.bold("Now with your own calls"));
        let _ = writeln!(text, "  weighbridge serve");
        let _ = writeln!(text, "  export ANTHROPIC_BASE_URL=http://127.0.0.1:8484");
        let hint = match self.kept {
            Some(dir) => {
                format!("The data of this demo: weighbridge exchanges --data-dir {}", dir.display())
            }
            None => "To look around in this data: weighbridge demo --data-dir ./demo".to_owned(),
        };
        let _ = writeln!(text, "\n  {}", ink.faint(&hint));
    }
}

/// Moves every line to the right.
fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
