//! `weighbridge log`: how much a running sidecar says, shown and changed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::handover::taken;
use super::{CliError, Surroundings, source};
use crate::clock::Clock;
use crate::config::LogLevel;
use crate::logging::{self, InForce, Wanted};

/// What stands for the configured level.
const DEFAULT: &str = "default";

const EXAMPLE: &str = "Without a level it prints the one in force.\n\nExample:\n  \
                       weighbridge log debug --for 10m";

/// Show or change how much a running sidecar says.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct LogArgs {
    /// error, warn, info, debug, trace, or default for the configured level
    #[arg(value_name = "LEVEL")]
    level: Option<String>,
    /// Go back to the configured level after this time (30s, 10m, 2h)
    #[arg(long = "for", value_name = "DURATION", requires = "level")]
    duration: Option<String>,
    /// Data directory [default: $XDG_STATE_HOME/weighbridge, else ~/.local/state/weighbridge]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl LogArgs {
    pub(super) fn run(
        &self,
        output: &mut dyn Write,
        surroundings: &Surroundings,
    ) -> Result<(), CliError> {
        let dir = self.data_dir.clone().unwrap_or_else(|| surroundings.data_dir());
        source::directories(std::slice::from_ref(&dir), Vec::new())?;
        if let Some(level) = &self.level {
            let wanted = Wanted { level: known(level)?, until_ns: self.until_ns()? };
            let path = logging::leave(&dir, &wanted).map_err(|error| failed(&error))?;
            if !taken(&path) {
                // Nobody must find it later and wonder.
                let _ = std::fs::remove_file(&path);
                return Err(nobody(&dir));
            }
        }
        let in_force = logging::in_force(&dir).map_err(|error| failed(&error))?;
        let in_force = in_force.filter(runs).ok_or_else(|| nobody(&dir))?;
        CliError::written(output.write_all(described(&in_force).as_bytes()))
    }

    fn until_ns(&self) -> Result<Option<u64>, CliError> {
        let Some(text) = &self.duration else { return Ok(None) };
        let signed = text.parse::<jiff::SignedDuration>().ok();
        let time = signed.and_then(|signed| Duration::try_from(signed).ok());
        let time = time.filter(|time| !time.is_zero()).ok_or_else(|| {
            CliError::Usage(format!("--for {text:?}: write a time like 30s, 10m or 2h"))
        })?;
        let now = Clock::start().stamp().wall_ns;
        Ok(Some(now.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))))
    }
}

fn known(level: &str) -> Result<Option<String>, CliError> {
    if level == DEFAULT {
        return Ok(None);
    }
    let known = LogLevel::named(level).map(|level| Some(level.name().to_owned()));
    known.ok_or_else(|| {
        let write = "write error, warn, info, debug, trace or default";
        CliError::Usage(format!("the level {level:?} does not exist: {write}"))
    })
}

fn failed(error: &dyn std::fmt::Display) -> CliError {
    CliError::Failed(error.to_string())
}

fn nobody(dir: &Path) -> CliError {
    let dir = dir.display();
    CliError::Failed(format!("no sidecar runs on {dir}: its level at the start is log.level"))
}

/// Whether the process that says so is there.
fn runs(in_force: &InForce) -> bool {
    let pid = i32::try_from(in_force.pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| match rustix::process::test_kill_process(pid) {
        Ok(()) => true,
        // It is there and somebody else's.
        Err(error) => error == rustix::io::Errno::PERM,
    })
}

fn described(in_force: &InForce) -> String {
    let InForce { level, from, until_ns, .. } = in_force;
    let until = until_ns.map(|until| {
        let moment = jiff::Timestamp::from_nanosecond(until.into()).unwrap_or_default();
        format!(", until {moment:.0}")
    });
    format!("{level} (from {from}{})\n", until.unwrap_or_default())
}
