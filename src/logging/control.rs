//! How much is said, changed while the sidecar runs: a command leaves a file in the data directory,
//! the tick takes it in, and another file says what is in force.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::Lines;
use super::filter::Gate;
use crate::config::LogLevel;

/// What a command asks for, in the data directory.
const WANTED: &str = "log.wanted";
/// What is in force, in the data directory.
const IN_FORCE: &str = "log.level";
/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 4 * 1024;

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// A level's name; absent means the configured one again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// When the configured level holds again, nanoseconds since 1970 (UTC); absent means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ns: Option<u64>,
}

/// What is in force, as a running sidecar says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// The level's name, or the directives of `RUST_LOG`.
    pub level: String,
    /// Who set it: `log.level`, `RUST_LOG` or `command`.
    pub from: String,
    /// When it goes back, nanoseconds since 1970 (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ns: Option<u64>,
    /// The process that says so.
    pub pid: u32,
}

/// A level could not be asked for, or what is asked for is none.
#[derive(Debug, thiserror::Error)]
pub enum LevelError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} is not about the log: {detail}")]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

/// Leaves a wish for the sidecar; gives the file, which is gone once it is taken in.
///
/// # Errors
///
/// The file cannot be written.
pub fn leave(data_dir: &Path, wanted: &Wanted) -> Result<PathBuf, LevelError> {
    let path = data_dir.join(WANTED);
    write(&path, wanted)?;
    Ok(path)
}

/// What is in force; `None` where no sidecar has said so.
///
/// # Errors
///
/// The file cannot be read, or is something else.
pub fn in_force(data_dir: &Path) -> Result<Option<InForce>, LevelError> {
    read(&data_dir.join(IN_FORCE))
}

fn write(path: &Path, value: &impl Serialize) -> Result<(), LevelError> {
    let temporary = path.with_extension("new");
    let written = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        fs::rename(&temporary, path)
    };
    written().map_err(|source| LevelError::Io { path: path.to_owned(), source })
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, LevelError> {
    let io = |source| LevelError::Io { path: path.to_owned(), source };
    let format = |detail: String| LevelError::Format { path: path.to_owned(), detail };
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            return Err(format(format!("{} bytes", metadata.len())));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    }
    let bytes = fs::read(path).map_err(io)?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| format(error.to_string()))
}

/// What lets events through: the directives of `RUST_LOG`, else the level.
pub(super) fn gate(level: LogLevel, asked: Option<&str>) -> Gate {
    match asked.map(EnvFilter::try_new) {
        Some(Ok(directives)) => Gate::Asked(Box::new(directives)),
        _ => Gate::level(level),
    }
}

/// Changes the log of a running sidecar.
pub struct Control {
    configured: LogLevel,
    /// The directives of `RUST_LOG`.
    asked: Option<String>,
    handle: reload::Handle<Gate, Registry>,
    pub(super) lines: Arc<Lines>,
    now: Mutex<Now>,
}

/// A level that a command has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chosen {
    level: LogLevel,
    until_ns: Option<u64>,
}

/// What holds now, and whether that is written down.
#[derive(Clone, Copy, Debug, Default)]
struct Now {
    chosen: Option<Chosen>,
    is_written: bool,
}

impl Control {
    pub(super) fn new(
        configured: LogLevel,
        asked: Option<String>,
        handle: reload::Handle<Gate, Registry>,
        lines: Arc<Lines>,
    ) -> Control {
        Control { configured, asked, handle, lines, now: Mutex::default() }
    }

    /// Takes in what a command has left, goes back where its time is over, and says which lines
    /// were left out. `wall_ns` is now.
    pub fn look(&self, data_dir: &Path, wall_ns: u64) {
        self.lines.tell_all();
        let Now { chosen, is_written } = *self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let path = data_dir.join(WANTED);
        let is_wanted = path.exists();
        let wish = if is_wanted { wish(&path) } else { None };
        let is_over = |chosen: &Chosen| chosen.until_ns.is_some_and(|until| until <= wall_ns);
        let next = wish.unwrap_or(chosen).filter(|chosen| !is_over(chosen));
        if next != chosen {
            self.change(chosen, next);
        }
        if next != chosen || !is_written {
            self.settle(data_dir, next);
        }
        // Whoever waits for this finds the change written down then.
        if is_wanted && let Err(error) = fs::remove_file(&path) {
            tracing::error!(%error, "a file about the log cannot be taken away");
        }
    }

    /// Changes the level, and says so while the more talkative of both holds.
    fn change(&self, before: Option<Chosen>, after: Option<Chosen>) {
        let level = |chosen: Option<Chosen>| chosen.map_or(self.configured, |c| c.level);
        let (from, to) = (self.described(before).level, self.described(after));
        let until = to.until_ns.map(moment);
        let say = || tracing::warn!(from, to = to.level, until, "the log level changes");
        let is_quieter = level(after) < level(before);
        if is_quieter {
            say();
        }
        let gate = match after {
            Some(chosen) => Gate::level(chosen.level),
            None => gate(self.configured, self.asked.as_deref()),
        };
        if let Err(error) = self.handle.reload(gate) {
            tracing::error!(%error, "the log level cannot be changed");
        }
        if !is_quieter {
            say();
        }
    }

    fn settle(&self, data_dir: &Path, chosen: Option<Chosen>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Now { chosen, is_written: true };
        if let Err(error) = write(&data_dir.join(IN_FORCE), &self.described(chosen)) {
            tracing::error!(%error, "the log level in force cannot be written down");
        }
    }

    fn described(&self, chosen: Option<Chosen>) -> InForce {
        let (level, from, until_ns) = match (chosen, &self.asked) {
            (Some(chosen), _) => (chosen.level.name(), "command", chosen.until_ns),
            (None, Some(asked)) => (asked.as_str(), "RUST_LOG", None),
            (None, None) => (self.configured.name(), "log.level", None),
        };
        let (level, from) = (level.to_owned(), from.to_owned());
        InForce { level, from, until_ns, pid: std::process::id() }
    }
}

/// What a command asks for: a level, or (`Some(None)`) the configured one again.
fn wish(path: &Path) -> Option<Option<Chosen>> {
    let wanted = match read::<Wanted>(path) {
        Ok(wanted) => wanted?,
        Err(error) => {
            tracing::error!(%error, "a log level is not changed");
            return None;
        }
    };
    let Some(name) = wanted.level else { return Some(None) };
    let Some(level) = LogLevel::named(&name) else {
        tracing::error!("a log level is not changed: there is none of that name");
        return None;
    };
    Some(Some(Chosen { level, until_ns: wanted.until_ns }))
}

/// A moment as lines have it.
fn moment(wall_ns: u64) -> String {
    let moment = jiff::Timestamp::from_nanosecond(wall_ns.into()).unwrap_or_default();
    format!("{moment:.0}")
}
