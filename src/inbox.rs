//! Acts on their way to the ledger: only the running sidecar writes there, so a command leaves a
//! file, and the sidecar takes it in with its next tick, or when it starts again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::record::Entry;
use crate::record::act::Act;

/// The folder in the data directory.
pub const FOLDER: &str = "inbox";
/// The most acts taken in by one tick.
const TAKEN_MAX: usize = 64;
/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Leaves an act for the sidecar; gives the file, which is gone once it is recorded.
pub fn leave(data_dir: &Path, act: &Act) -> io::Result<PathBuf> {
    let folder = data_dir.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}.json", act.id()));
    let temporary = folder.join(format!("{}.new", act.id()));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(act)?)?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    Ok(path)
}

/// An act that waits.
#[derive(Debug)]
pub struct Waiting {
    path: PathBuf,
    /// What it becomes, or why it is not taken.
    pub entry: Result<Entry, String>,
}

impl Waiting {
    /// It is in the ledger.
    pub fn done(self) -> io::Result<()> {
        fs::remove_file(self.path)
    }

    /// It is never going to be: kept beside the others under a name that says so.
    pub fn reject(self) -> io::Result<()> {
        fs::rename(&self.path, self.path.with_extension("rejected"))
    }
}

/// The acts that wait, the oldest first.
#[must_use]
pub fn waiting(data_dir: &Path) -> Vec<Waiting> {
    let entries = fs::read_dir(data_dir.join(FOLDER)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .take(TAKEN_MAX)
        .collect();
    // Ids begin with the time.
    paths.sort();
    paths.into_iter().map(|path| Waiting { entry: read(&path), path }).collect()
}

fn read(path: &Path) -> Result<Entry, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    let length = metadata.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("{length} bytes, more than {FILE_BYTES_MAX}"));
    }
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let act: Act = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    act.check()?;
    // Who left the file is the system's word, not the file's.
    Ok(act.into_entry(metadata.uid()))
}
