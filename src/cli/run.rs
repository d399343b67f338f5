//! `weighbridge run`: one command behind a sidecar of its own.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use anyhow::Context;
use clap::Args;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::hooks::handed::Handed;
use super::report::ReportArgs;
use super::serve::StandArgs;
use super::summary::Run;
use super::{CliError, Surroundings, failed, runtime};
use crate::accounting::Money;
use crate::anthropic::Refusal;
use crate::app;
use crate::config::Config;

/// Where the data of runs is kept, below the default data directory: one folder a run.
pub(super) const RUNS: &str = "runs";

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = "The sidecar takes free ports and a data directory of its own unless told \
                        otherwise.\n\nExample:\n  \
                        weighbridge run --report cost.md -- claude -p 'fix the tests'")]
pub struct RunArgs {
    #[command(flatten)]
    stand: StandArgs,
    /// Refuse calls once the run has cost so many dollars; calls that run then go to their end
    #[arg(long, value_name = "USD")]
    budget: Option<String>,
    /// Write the cost as .json, .md, .xml (JUnit) or .html; may be given several times
    #[arg(long, value_name = "FILE")]
    report: Vec<PathBuf>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl RunArgs {
    pub(super) fn run(&self, surroundings: &Surroundings) -> Result<ExitCode, CliError> {
        let budget = self.budget.as_deref().map(limit).transpose()?;
        for path in &self.report {
            form(path)?;
        }
        let own = surroundings.data_dir().join(RUNS).join(uuid::Uuid::now_v7().to_string());
        let mut config = self.stand.config(surroundings, &StandArgs::ephemeral(own.clone()))?;
        config.policy.run_usd_max = budget;
        let status = runtime()?.block_on(self.around(&config)).map_err(|error| failed(&error));
        if status.is_err() && config.ledger.dir == own {
            let _ = std::fs::remove_dir_all(&own);
        }
        let (status, is_stopped) = status?;
        let run = summary(&config.ledger.dir)?;
        // Before a run without a call gives its directory up.
        let page = match self.report.iter().any(|path| matches!(form(path), Ok(Form::Html))) {
            true => html(&config.ledger.dir)?,
            false => String::new(),
        };
        if config.ledger.dir == own {
            tidy_up(&own, run.1.exchanges);
        }
        let _ = std::io::stderr().write_all(run.1.text().as_bytes());
        let code = match (exit_code(status), budget.filter(|_| is_stopped)) {
            (code, Some(budget)) => {
                let said = format!("weighbridge: the run was stopped at its budget of ${budget}\n");
                let _ = std::io::stderr().write_all(said.as_bytes());
                code.max(1)
            }
            (code, None) => code,
        };
        for path in &self.report {
            let text = match form(path)? {
                Form::Json => run.0.clone(),
                Form::Html => page.clone(),
                Form::Markdown => run.1.markdown(),
                Form::Junit => run.1.junit(&self.command.join(" "), i32::from(code)),
            };
            std::fs::write(path, text).map_err(|error| {
                CliError::Failed(format!("--report {}: {error}", path.display()))
            })?;
        }
        Ok(ExitCode::from(code))
    }

    /// How the command ended, and whether a call of it was refused at a limit.
    async fn around(&self, config: &Config) -> anyhow::Result<(ExitStatus, bool)> {
        let app = app::start(config).await?;
        // Before there is a child that they could be meant for.
        let handed_on = HandedOn::listen()?;
        let hooks = (format!("{}/hooks", app.ready.admin), app.ready.hook_token.as_str());
        let handed = Handed::to(&self.command, hooks, &config.ledger.dir);
        if let Some(said) = &handed.said {
            let _ = writeln!(io::stderr(), "weighbridge: {said}");
        }
        let mut words = self.command.iter();
        let program = words.next().map_or("", String::as_str);
        let child = Command::new(program)
            .args(&handed.arguments)
            .args(words)
            .env("ANTHROPIC_BASE_URL", &app.ready.api)
            .envs(handed.variables.iter().map(|(name, value)| (name, value)))
            .spawn()
            .with_context(|| format!("{program} cannot be started"));
        let status = match child {
            Ok(child) => Ok(handed_on.wait(child).await?),
            Err(error) => Err(error),
        };
        let refusals = &app.recorder.metrics().health.refusals;
        let is_stopped = refusals.with_label_values(&[Refusal::LimitReached.name()]).get() > 0;
        handed.take_back();
        // How the command ended is what counts; what is wrong with the record is said beside it.
        let said = match app.stop(std::future::pending()).await {
            Ok(0) => None,
            Ok(entries) => Some(format!(
                "{entries} entries did not reach the collector; nothing sends them later, as this \
                 run's data directory is its own"
            )),
            Err(error) => Some(format!("the ledger was not closed in order: {error:#}")),
        };
        if let Some(said) = said {
            let _ = writeln!(io::stderr(), "weighbridge: {said}");
        }
        status.map(|status| (status, is_stopped))
    }
}

/// What a run may cost.
fn limit(text: &str) -> Result<Money, CliError> {
    text.parse().ok().filter(|usd| *usd > Money::ZERO).ok_or_else(|| {
        CliError::Usage(format!("--budget {text:?}: write dollars above zero, like 5 or 0.50"))
    })
}

/// A finished run keeps its ledger, not the space that was held for a full disk; one without a
/// call keeps nothing.
fn tidy_up(dir: &Path, exchanges: u64) {
    let _ = if exchanges == 0 {
        std::fs::remove_dir_all(dir)
    } else {
        std::fs::remove_file(dir.join("reserve"))
    };
}

/// The signals that are the command's.
struct HandedOn {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl HandedOn {
    fn listen() -> io::Result<HandedOn> {
        Ok(HandedOn {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the command and hands signals on to it.
    async fn wait(mut self, mut child: Child) -> anyhow::Result<ExitStatus> {
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let pid = pid.and_then(rustix::process::Pid::from_raw);
        loop {
            let number = tokio::select! {
                status = child.wait() => return Ok(status?),
                _ = self.terminate.recv() => rustix::process::Signal::TERM,
                _ = self.interrupt.recv() => rustix::process::Signal::INT,
                _ = self.hang_up.recv() => rustix::process::Signal::HUP,
            };
            if let Some(pid) = pid {
                // A terminal sends its interrupt to the whole group; twice does no harm.
                let _ = rustix::process::kill_process(pid, number);
            }
        }
    }
}

/// The command's own code; 128 and the signal's number where a signal ended it, as shells say.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

#[derive(Clone, Copy)]
enum Form {
    Html,
    Json,
    Markdown,
    Junit,
}

fn form(path: &Path) -> Result<Form, CliError> {
    let name = path.display();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => Ok(Form::Json),
        Some("md") => Ok(Form::Markdown),
        Some("xml") => Ok(Form::Junit),
        Some("html") => Ok(Form::Html),
        _ => Err(CliError::Usage(format!("--report {name}: write .json, .md, .xml or .html"))),
    }
}

/// The run's figures, as the report's JSON and read from it.
fn summary(dir: &Path) -> Result<(String, Run), CliError> {
    let mut json = Vec::new();
    ReportArgs::of_run(dir.to_owned(), "json").run(&mut json, false, Vec::new())?;
    let value = serde_json::from_slice(&json)?;
    let json = String::from_utf8_lossy(&json).into_owned();
    Ok((json, Run::from_report(&value)))
}

/// The run's statement as a page.
fn html(dir: &Path) -> Result<String, CliError> {
    let mut page = Vec::new();
    ReportArgs::of_run(dir.to_owned(), "html").run(&mut page, false, Vec::new())?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
