//! Where evidence is kept below the data directory, and how it is written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Mode of all files here.
pub(super) const FILE_MODE: u32 = 0o600;

/// The folder of evidence.
pub(super) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("audit")
}

/// The keys, private and public.
pub(super) fn keys(data_dir: &Path) -> PathBuf {
    folder(data_dir).join("keys")
}

/// Every checkpoint that was signed.
pub(super) fn checkpoints(data_dir: &Path) -> PathBuf {
    folder(data_dir).join("checkpoints")
}

/// The last checkpoint that a witness holds, as it answered.
pub(super) fn witnessed(data_dir: &Path, name: &str) -> PathBuf {
    folder(data_dir).join("witness").join(format!("{name}.note"))
}

/// Asks the running sidecar, or the next one, for a new key.
pub(super) fn rotation(data_dir: &Path) -> PathBuf {
    folder(data_dir).join("rotate.wanted")
}

/// Puts a folder's list of names on the disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

/// Writes a file that must not be there yet; it is on the disk afterwards.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_folder(path)
}

/// Writes a file whole or not at all; it is on the disk afterwards.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = PathBuf::from(format!("{}.new", path.display()));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => write_new(&temporary, bytes)?,
    }
    fs::rename(&temporary, path)?;
    sync_folder(path)
}
