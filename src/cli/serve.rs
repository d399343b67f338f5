//! `weighbridge serve`: the main job.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{CliError, Surroundings, failed, runtime, summary};
use crate::app::{self, App, Ready};
use crate::config::{Config, Layer};
use crate::ledger::Previous;
use crate::logging;
use crate::recorder::Recorder;

/// Where the sidecar stands; shared by `serve` and `run`.
#[derive(Clone, Debug, Args)]
pub(super) struct StandArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where calls go [default: https://api.anthropic.com]
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where clients call; port 0 picks a free one [default: 127.0.0.1:8484, of a run: a free one]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The operator's HTTP, loopback only [default: 127.0.0.1:8485, of a run: a free one]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Metrics and health for a scraper, on any address [default: none]
    #[arg(long, value_name = "ADDR")]
    telemetry: Option<String>,
    /// Data directory [default: $XDG_STATE_HOME/weighbridge, else ~/.local/state/weighbridge]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
}

impl StandArgs {
    pub(super) fn config(
        &self,
        surroundings: &Surroundings,
        fallback: &StandArgs,
    ) -> Result<Config, CliError> {
        let either =
            |own: &Option<String>, other: &Option<String>| own.clone().or_else(|| other.clone());
        let dir = self.data_dir.as_ref().or(fallback.data_dir.as_ref());
        let flags = Layer::flags(
            either(&self.upstream, &fallback.upstream),
            [
                either(&self.listen, &fallback.listen),
                either(&self.admin, &fallback.admin),
                either(&self.telemetry, &fallback.telemetry),
            ],
            dir.map(|dir| dir.display().to_string()),
        );
        surroundings.config(self.config.as_ref(), flags)
    }

    /// Free ports and a directory of its own: what an ephemeral sidecar falls back to.
    pub(super) fn ephemeral(data_dir: PathBuf) -> StandArgs {
        let free = || Some("127.0.0.1:0".to_owned());
        StandArgs {
            config: None,
            upstream: None,
            listen: free(),
            admin: free(),
            telemetry: None,
            data_dir: Some(data_dir),
        }
    }

    pub(super) fn nothing() -> StandArgs {
        StandArgs {
            config: None,
            upstream: None,
            listen: None,
            admin: None,
            telemetry: None,
            data_dir: None,
        }
    }
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weighbridge serve --data-dir ./data &\n  \
                        ANTHROPIC_BASE_URL=http://127.0.0.1:8484 claude -p 'hello'")]
pub struct ServeArgs {
    #[command(flatten)]
    stand: StandArgs,
    /// Write addresses and tokens as JSON (0600) once calls are accepted
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Go on with a ledger that is older than what was signed of it, and write that down
    #[arg(long)]
    accept_rollback: bool,
}

impl ServeArgs {
    pub(super) fn run(&self, surroundings: &Surroundings) -> Result<ExitCode, CliError> {
        let mut config = self.stand.config(surroundings, &StandArgs::nothing())?;
        config.audit.accept_rollback = self.accept_rollback;
        let (asked, may_colour) =
            (surroundings.get("RUST_LOG"), surroundings.get("NO_COLOR").is_none());
        logging::start(&config.log, asked, may_colour);
        runtime()?.block_on(self.serve(&config)).map_err(|error| failed(&error))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn serve(&self, config: &Config) -> anyhow::Result<()> {
        let on_terminal = io::stderr().is_terminal();
        let mut signals = Signals::listen()?;
        // Before anybody can know that it runs: a hang-up that nobody listens for ends a process.
        let mut hang_up = signal(SignalKind::hangup())?;
        let app = app::start(config).await?;
        if let Some(path) = &self.ready_file {
            app::write_private(path, app.ready.json().as_bytes())?;
        }
        greet(config, &app)?;
        let mut first = std::pin::pin!(first_call(Arc::clone(&app.recorder)));
        let mut called = false;
        loop {
            tokio::select! {
                () = signals.stop() => break,
                () = first.as_mut(), if !called => called = true,
                _ = hang_up.recv() => {
                    // Of a terminal it means that nobody is there any more.
                    if on_terminal {
                        break;
                    }
                    tracing::info!("SIGHUP: keys and prices are read again");
                    app.reload();
                }
            }
        }
        tracing::info!("stopping: running calls may finish, a second signal forces the end");
        let unexported = app.stop(signals.stop()).await?;
        if unexported > 0 {
            tracing::warn!(
                entries = unexported,
                "the collector gets the rest after the next start"
            );
        }
        Ok(())
    }
}

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Ready {
    /// What `--ready-file` holds.
    fn json(&self) -> String {
        let Ready { api, admin, telemetry, hook_token, admin_token } = self;
        let json = serde_json::json!({
            "listen": api,
            "admin": admin,
            "telemetry": telemetry,
            "pid": std::process::id(),
            "hook_token": hook_token,
            "admin_token": admin_token,
        });
        format!("{json}\n")
    }
}

/// On a terminal: the lines to paste. Elsewhere: one log line.
fn greet(config: &Config, app: &App) -> io::Result<()> {
    let Ready { api, admin, .. } = &app.ready;
    let upstream = &config.upstream.url;
    let dir = config.ledger.dir.display().to_string();
    tracing::info!(listen = %api, %admin, %upstream, %dir, "ready");
    let recovery = &app.recovery;
    if recovery.previous == Previous::Crash {
        let (open, bytes) = (recovery.open.len(), recovery.truncated_bytes);
        tracing::warn!(interrupted = open, truncated_bytes = bytes, "the last run ended unclean");
    }
    for index in &recovery.damaged {
        tracing::error!(index, "this ledger entry is damaged; it was left as it is");
    }
    if !io::stdout().is_terminal() {
        return Ok(());
    }
    writeln!(
        io::stdout().lock(),
        "\n  Weighbridge stands in front of {upstream}.\n\n  \
           Point a client at it, in another terminal:\n\n    \
           export ANTHROPIC_BASE_URL={api}\n    claude -p \"hello\"\n\n  \
           Then, at any time:\n\n    weighbridge report --by team\n    \
           weighbridge exchanges\n\n  Metrics: {admin}/metrics   Data: {dir}\n  \
           Waiting for the first call …",
    )
}

/// Says when the first call came and what it cost: the moment a newcomer knows that it works.
async fn first_call(recorder: Arc<Recorder>) {
    let Some(first) = recorder.first_closing().await else { return };
    let line = summary::first_call(&first);
    if io::stdout().is_terminal() {
        let _ = writeln!(io::stdout().lock(), "\n  {line}");
    } else {
        tracing::info!("{line}");
    }
}
