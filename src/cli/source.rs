//! Where a command's figures come from: the data directories and their indexes.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::CliError;
use crate::index::{Index, IndexError};
use crate::ledger;
use crate::ledger::reader::SEGMENTS;
use crate::report::Period;
use crate::report::period::{self, Moment};

/// Nothing is said about work that is over sooner.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);

/// Data directories, the default ones where none is named. Each must hold a ledger.
pub(super) fn directories(
    named: &[PathBuf],
    default: Vec<PathBuf>,
) -> Result<Vec<PathBuf>, CliError> {
    let mut directories = if named.is_empty() { default } else { named.to_vec() };
    directories.sort();
    directories.dedup();
    for directory in &directories {
        if !directory.join(SEGMENTS).is_dir() {
            return Err(CliError::Usage(format!(
                "--data-dir {directory:?} holds no ledger yet: start `weighbridge serve`, or name the \
                 directory it records to"
            )));
        }
    }
    Ok(directories)
}

/// A period from the command line.
pub(super) fn period(from: Option<&str>, to: Option<&str>) -> Result<Period, CliError> {
    let moment = |flag: &str, text: Option<&str>| -> Result<Option<Moment>, CliError> {
        let parsed = text.map(str::parse).transpose();
        parsed.map_err(|error| CliError::Usage(format!("{flag}: {error}")))
    };
    let period = Period { from: moment("--from", from)?, to: moment("--to", to)? };
    if let (Some(first), Some(end)) = (period.from, period.to)
        && first >= end
    {
        return Err(CliError::Usage(format!(
            "--to {end} is not after --from {first}; --to is the first moment left out"
        )));
    }
    Ok(period)
}

/// Opens the indexes, each at the end of its ledger as of now.
pub(super) fn open(directories: &[PathBuf]) -> Result<Vec<Index>, CliError> {
    let mut progress = Progress::new();
    let mut indexes = Vec::with_capacity(directories.len());
    for directory in directories {
        let index = Index::open_for_reading(directory, &mut |at, end| progress.show(at, end))?;
        indexes.push(index);
    }
    progress.clear();
    for directory in directories {
        if let Some(since) = kept_since(std::slice::from_ref(directory)) {
            let since = period::instant(since);
            let _ = writeln!(
                io::stderr(),
                "note: {} holds nothing from before {since}: older lines were removed as \
                 ledger.retention_months asks",
                directory.display()
            );
        }
    }
    let damaged: u64 = indexes.iter().map(Index::damaged).sum();
    if damaged > 0 {
        let _ = writeln!(
            io::stderr(),
            "note: {damaged} lines of the ledger cannot be read; `weighbridge serve` names them when it starts"
        );
    }
    Ok(indexes)
}

/// From when on all of them are kept, where lines of one were removed; nanoseconds since 1970.
pub(super) fn kept_since(directories: &[PathBuf]) -> Option<i64> {
    let known = directories.iter().filter_map(|directory| ledger::kept_since(directory).ok()?);
    known.max().map(|since| i64::try_from(since).unwrap_or(i64::MAX))
}

/// Asks the indexes. One that turns out to be damaged is built again, once.
pub(super) fn ask<T>(
    directories: &[PathBuf],
    question: impl Fn(&[Index]) -> Result<T, IndexError>,
) -> Result<T, CliError> {
    let indexes = open(directories)?;
    match question(&indexes) {
        Err(error) if error.is_damage() => {
            discard(indexes)?;
            Ok(question(&open(directories)?)?)
        }
        answer => Ok(answer?),
    }
}

/// Deletes indexes of which one is damaged.
pub(super) fn discard(indexes: Vec<Index>) -> Result<(), CliError> {
    Ok(indexes.into_iter().try_for_each(Index::discard)?)
}

/// Tells a person at a terminal why it takes so long.
struct Progress {
    started: Instant,
    terminal: bool,
    shown: bool,
}

impl Progress {
    #[expect(clippy::disallowed_methods, reason = "decides only whether a person is told to wait")]
    fn new() -> Progress {
        let terminal = io::stderr().is_terminal();
        Progress { started: Instant::now(), terminal, shown: false }
    }

    fn show(&mut self, at: u64, end: u64) {
        if self.terminal && self.started.elapsed() >= PROGRESS_AFTER {
            let percent = at.saturating_mul(100) / end.max(1);
            let _ = write!(io::stderr(), "\rbuilding the index: {} %", percent.min(100));
            self.shown = true;
        }
    }

    fn clear(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r{:30}\r", "");
            self.shown = false;
        }
    }
}
