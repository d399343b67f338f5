//! Commands: one file each. Arguments in, one plain sentence on standard error when something is
//! wrong, exit code 0, 1 (a check or the work failed) or 2 (bad usage or bad input).

mod audit;
mod backup;
mod budgets;
mod check;
mod content;
mod demo;
mod error;
pub mod exchanges;
mod handover;
mod hook;
mod hooks;
mod keys;
mod log;
mod panics;
mod post;
mod price;
mod pricing;
mod reattribute;
mod redact;
pub mod report;
mod run;
mod serve;
pub mod sessions;
mod source;
mod summary;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use error::CliError;

use crate::accounting::price_book::PriceBook;
use crate::app;
use crate::config::{self, Config, Layer, OtelVariables};
use crate::privacy::Redactor;
use crate::privacy::rules::Mode;

/// Weighs every call to the Claude API on its way through: meters, prices, attributes, records.
#[derive(Debug, Parser)]
#[command(
    name = "weighbridge",
    version,
    after_help = "Start here:\n  weighbridge demo                 see what it does, no key and no network\n  \
                  weighbridge serve                stand in front of the API\n  \
                  weighbridge report --by team     what it cost"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stand in front of the API: the main job
    Serve(serve::ServeArgs),
    /// Run one command behind a sidecar of its own and say what it cost
    Run(run::RunArgs),
    /// A simulated API, simulated teams and real proxied traffic, then the report
    Demo(demo::DemoArgs),
    /// Cost and usage by team, user, project, model, day, …
    Report(report::ReportArgs),
    /// Every call, or everything known of one
    Exchanges(exchanges::ExchangesArgs),
    /// Recent sessions, or one as a timeline
    Sessions(sessions::SessionsArgs),
    /// How every budget stands: used, forecast, time left
    Budgets(budgets::BudgetsArgs),
    /// Virtual keys and known key fingerprints: who pays
    Keys(keys::KeysArgs),
    /// Claude Code's hooks: install, remove, try them
    Hooks(hooks::HooksArgs),
    /// Forward one hook event from standard input
    Hook(hook::HookArgs),
    /// Move past spend to another team, visibly
    Reattribute(reattribute::ReattributeArgs),
    /// What was kept of a call, redacted; and erasing it
    Content(content::ContentArgs),
    /// The ledger's signed checkpoints and keys; verify it, or a bundle of evidence; make one
    Audit(audit::AuditArgs),
    /// Copy the data directory, also while a sidecar runs, and verify the copy
    Backup(backup::BackupArgs),
    /// Redact standard input by rules
    Redact(redact::RedactArgs),
    /// Price one usage object, or JSON Lines of them
    Price(price::PriceArgs),
    /// The pricing table: check it, list it, compare two
    Pricing(pricing::PricingArgs),
    /// Show or change how much a running sidecar says
    Log(log::LogArgs),
    /// Check the configuration and show every value with its source
    Check(check::CheckArgs),
}

/// What the environment says, read once.
pub(crate) struct Surroundings {
    variables: Vec<(String, String)>,
    /// Standard output is a terminal.
    terminal: bool,
}

impl Surroundings {
    #[expect(clippy::disallowed_methods, reason = "commands are where the environment is read")]
    fn read() -> Surroundings {
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Surroundings {
            variables: std::env::vars_os().filter_map(text).collect(),
            terminal: io::stdout().is_terminal() && std::env::var("NO_COLOR").is_err(),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// `$XDG_STATE_HOME/weighbridge`, else `~/.local/state/weighbridge`; empty without a home.
    fn state_dir(&self) -> PathBuf {
        match (self.get("XDG_STATE_HOME"), self.get("HOME")) {
            (Some(state), _) => PathBuf::from(state).join("weighbridge"),
            (None, Some(home)) => PathBuf::from(home).join(".local/state/weighbridge"),
            (None, None) => PathBuf::new(),
        }
    }

    /// The default data directory: `WEIGHBRIDGE_LEDGER_DIR`, else the state directory.
    fn data_dir(&self) -> PathBuf {
        self.get("WEIGHBRIDGE_LEDGER_DIR").map_or_else(|| self.state_dir(), PathBuf::from)
    }

    /// Where commands look that only read: the data directory of `serve`, and those of every
    /// `weighbridge run` beside it.
    fn reading_dirs(&self) -> Vec<PathBuf> {
        let dir = self.data_dir();
        let runs = std::fs::read_dir(dir.join(run::RUNS)).into_iter().flatten().flatten();
        let mut dirs: Vec<PathBuf> = runs.map(|entry| entry.path()).collect();
        dirs.sort();
        if dirs.is_empty() || dir.join("segments").exists() {
            dirs.insert(0, dir);
        }
        dirs
    }

    /// The redactor with the additions of a configuration file.
    fn redactor(&self, file: Option<&PathBuf>, mode: Mode) -> Result<Redactor, CliError> {
        let nowhere = self.data_dir().as_os_str().is_empty().then(|| ".".to_owned());
        let config = self.config(file, Layer::flags(None, [None, None, None], nowhere))?;
        Ok(Redactor::new(config.redaction.rules(mode)))
    }

    /// The prices that file and environment ask for, for commands that need nothing else.
    fn price_book(&self, file: Option<&PathBuf>) -> Result<PriceBook, CliError> {
        // A price needs no data directory, and there may be no home to have one in.
        let nowhere = self.data_dir().as_os_str().is_empty().then(|| ".".to_owned());
        let config = self.config(file, Layer::flags(None, [None, None, None], nowhere))?;
        app::price_book(&config.pricing).map_err(|error| CliError::Usage(format!("{error:#}")))
    }

    /// The effective configuration: file, environment and flags over the defaults.
    fn config(&self, file: Option<&PathBuf>, flags: Layer) -> Result<Config, CliError> {
        let usage = |error: &dyn std::fmt::Display| CliError::Usage(error.to_string());
        let mut layers = Vec::new();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| usage(&format!("--config {}: {error}", path.display())))?;
            let name = path.display().to_string();
            layers.push(config::parse_file(&name, &text).map_err(|error| usage(&error))?);
        }
        let variables = self.variables.iter().cloned();
        layers.push(config::environment_layer(variables).map_err(|error| usage(&error))?);
        layers.push(flags);
        let either = |upper: &str, lower: &str| {
            self.get(upper).or_else(|| self.get(lower)).unwrap_or_default().to_owned()
        };
        let is_otel = |(name, _): &&(String, String)| name.starts_with("OTEL_");
        let defaults = config::Surroundings {
            state_dir: self.state_dir().display().to_string(),
            proxy: either("HTTPS_PROXY", "https_proxy"),
            no_proxy: either("NO_PROXY", "no_proxy"),
            otel: OtelVariables(self.variables.iter().filter(is_otel).cloned().collect()),
        };
        Config::merge(&layers, &defaults).map_err(|error| usage(&error))
    }
}

/// Runs the program with its arguments.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    panics::tell_the_place_only();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_hook = arguments.get(1).is_some_and(|word| word == "hook");
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) if is_hook => return hook::misused(&error),
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let surroundings = Surroundings::read();
    if let Command::Hook(args) = &cli.command {
        // In somebody's way until it ends: nothing is read that it does not need.
        return args.run(&surroundings);
    }
    match dispatch(&cli.command, &surroundings) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "weighbridge: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(command: &Command, surroundings: &Surroundings) -> Result<ExitCode, CliError> {
    let (terminal, dirs) = (surroundings.terminal, surroundings.reading_dirs());
    let mut output = io::stdout().lock();
    match command {
        Command::Serve(args) => {
            drop(output);
            return args.run(surroundings);
        }
        Command::Run(args) => {
            drop(output);
            return args.run(surroundings);
        }
        Command::Demo(args) => args.run(&mut output, terminal)?,
        Command::Report(args) => args.run(&mut output, terminal, dirs)?,
        Command::Exchanges(args) => args.run(&mut output, terminal, dirs)?,
        Command::Sessions(args) => args.run(&mut output, terminal, dirs)?,
        Command::Budgets(args) => args.run(&mut output, surroundings)?,
        Command::Keys(args) => args.run(&mut output, surroundings)?,
        Command::Hooks(args) => args.run(&mut output, surroundings)?,
        Command::Hook(args) => return Ok(args.run(surroundings)),
        Command::Reattribute(args) => args.run(&mut output, surroundings)?,
        Command::Price(args) => args.run(&mut output, surroundings)?,
        Command::Content(args) => args.run(&mut output, surroundings)?,
        Command::Audit(args) => args.run(&mut output, surroundings)?,
        Command::Backup(args) => args.run(&mut output, surroundings)?,
        Command::Redact(args) => args.run(&mut output, surroundings)?,
        Command::Pricing(args) => args.run(&mut output, surroundings)?,
        Command::Log(args) => args.run(&mut output, surroundings)?,
        Command::Check(args) => args.run(&mut output, surroundings)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A Tokio runtime as wide as the processors this process may use; on one, without threads.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = if processors == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    builder
        .enable_all()
        .build()
        .map_err(|error| CliError::Failed(format!("the runtime cannot start: {error}")))
}

/// An error from below, whole, as one sentence.
pub(crate) fn failed(error: &anyhow::Error) -> CliError {
    CliError::Failed(format!("{error:#}"))
}
