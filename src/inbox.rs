//! Acts on their way to the ledger: only the running sidecar writes there, so a command leaves a
//! file, and the sidecar takes it in with its next tick, or when it starts again.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};

use crate::record::Entry;
use crate::record::act::Act;

/// The folder in the data directory.
pub const FOLDER: &str = "inbox";
/// The most files that are left alone because they cannot be taken away.
pub const STUCK_MAX: usize = 1_024;
/// The most acts taken in by one tick.
const TAKEN_MAX: usize = 64;
/// An act holds names and hashes, and may be left by another user than the sidecar's; the data
/// directory keeps everybody else out.
const FILE_MODE: u32 = 0o644;
/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Leaves an act for the sidecar; gives the file, which is gone once it is recorded.
pub fn leave(data_dir: &Path, act: &Act) -> io::Result<PathBuf> {
    let folder = data_dir.join(FOLDER);
    if let Ok(()) = fs::create_dir(&folder) {
        // Whoever leaves the first act, the sidecar's user must be able to take it away.
        let owner = fs::metadata(data_dir)?;
        if owner.uid() != fs::metadata(&folder)?.uid() {
            chown(&folder, Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    let path = folder.join(format!("{}.json", act.id()));
    let temporary = folder.join(format!("{}.new", act.id()));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(FILE_MODE).open(&temporary)?;
    file.write_all(&serde_json::to_vec(act)?)?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    Ok(path)
}

/// An act that waits.
#[derive(Debug)]
pub struct Waiting {
    /// Its file.
    pub path: PathBuf,
    /// What it becomes, or why it is not taken.
    pub entry: Result<Entry, String>,
}

impl Waiting {
    /// It is in the ledger.
    pub fn done(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    /// It is never going to be: kept beside the others under a name that says so.
    pub fn reject(&self) -> io::Result<()> {
        fs::rename(&self.path, self.path.with_extension("rejected"))
    }
}

/// Some of the acts that wait, the oldest of them first; without those whose file is `stuck`.
/// Reads files.
#[must_use]
pub fn waiting(data_dir: &Path, stuck: &HashSet<PathBuf>) -> Vec<Waiting> {
    let entries = fs::read_dir(data_dir.join(FOLDER)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter(|path| !stuck.contains(path))
        .take(TAKEN_MAX)
        .collect();
    // Ids begin with the time.
    paths.sort();
    paths.into_iter().map(|path| Waiting { entry: read(&path), path }).collect()
}

fn read(path: &Path) -> Result<Entry, String> {
    let mut options = OpenOptions::new();
    // A link names another owner, a pipe never ends.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    options.read(true).custom_flags(flags.bits().cast_signed());
    let failed = |error: io::Error| error.kind().to_string();
    let file = options.open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("more than {FILE_BYTES_MAX} bytes"));
    }
    // What stands there is not repeated: it may be anything.
    let act: Act = serde_json::from_slice(&text)
        .map_err(|error| format!("no act at line {}, column {}", error.line(), error.column()))?;
    act.check()?;
    // Who left the file is the system's word, not the file's.
    Ok(act.into_entry(metadata.uid()))
}
