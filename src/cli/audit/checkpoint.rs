//! `weighbridge audit checkpoint` and `rotate-key`: what was signed, who holds it, a new key.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::audit::checkpoint::Checkpoint;
use crate::cli::{CliError, Surroundings};
use crate::signing;

/// How long a running sidecar is given to take the new key: it looks more than once a second.
const ROTATION_LOOKS: u32 = 30;
/// Pause between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(super) struct DirArgs {
    /// The data directory
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl DirArgs {
    fn dir(&self, surroundings: &Surroundings) -> Result<PathBuf, CliError> {
        let dir = self.data_dir.clone().unwrap_or_else(|| surroundings.data_dir());
        if dir.join("audit").is_dir() {
            return Ok(dir);
        }
        let why = "nothing was signed there; name the data directory with --data-dir";
        Err(CliError::Usage(format!("{}: {why}", dir.display())))
    }
}

pub(super) fn newest(
    args: &DirArgs,
    output: &mut dyn Write,
    surroundings: &Surroundings,
) -> Result<(), CliError> {
    let dir = args.dir(surroundings)?;
    let unreadable = |error: &dyn std::fmt::Display| {
        CliError::Failed(format!("{}: {error}", dir.join("audit/checkpoints").display()))
    };
    let note = signing::newest(&dir).map_err(|error| unreadable(&error))?;
    let note = note.ok_or_else(|| unreadable(&"no checkpoint is there yet"))?;
    let newest = Checkpoint::parse(&note.text).map_err(|error| unreadable(&error))?;
    CliError::written(writeln!(output, "{note}"))?;
    let witnessed = signing::witnessed(&dir);
    if witnessed.is_empty() {
        let alone = "no witness holds a checkpoint: who controls this machine can cut off its end";
        return CliError::written(writeln!(output, "{alone}"));
    }
    for (name, held) in witnessed {
        let behind = match newest.size.saturating_sub(held.size) {
            0 => "the newest".to_owned(),
            behind => format!("{behind} entries behind"),
        };
        CliError::written(writeln!(output, "witness {name}: {} entries, {behind}", held.size))?;
    }
    Ok(())
}

pub(super) fn rotate(
    args: &DirArgs,
    output: &mut dyn Write,
    surroundings: &Surroundings,
) -> Result<(), CliError> {
    let dir = args.dir(surroundings)?;
    signing::ask_for_rotation(&dir)
        .map_err(|error| CliError::Failed(format!("{}: {error}", dir.display())))?;
    for _ in 0..ROTATION_LOOKS {
        std::thread::sleep(LOOK_INTERVAL);
        if !signing::is_rotation_asked(&dir) {
            return CliError::written(writeln!(output, "checkpoints are signed with a new key"));
        }
    }
    let later = "no sidecar runs there: the next start takes the new key";
    CliError::written(writeln!(output, "{later}"))
}
