//! Space that is ours already: a file of zeros that becomes a segment when the disk is full.
//!
//! It is written in place, so a file system that writes in place (ext4, XFS) needs no new block.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::segment::{self, FILE_MODE, Segment};
use crate::record::encoding::LINE_BYTES_MAX;

/// Size of the reserve: at least 10,000 entries of 1 KiB.
pub(super) const RESERVE_BYTES: u64 = 10 * 1024 * 1024;
/// Kept free in the reserve for each open exchange: the longest line a closing can be.
pub(super) const CLOSING_BYTES_MAX: u64 = LINE_BYTES_MAX as u64;
/// Free space beyond the reserve itself before a new one is tried, so that trying never takes the
/// last bytes from others.
const MARGIN_BYTES: u64 = 1024 * 1024;
/// Zeros written at a time.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("reserve")
}

/// Makes the reserve where there is none: real zeros, on the disk before it counts. It is held
/// open, so that taking it needs no new file descriptor.
pub(super) fn make(data_dir: &Path) -> io::Result<File> {
    let path = path(data_dir);
    let length = fs::metadata(&path).map(|metadata| metadata.len());
    match length {
        Ok(RESERVE_BYTES) => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {
            if !fits(data_dir, 0)? {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let temporary = path.with_extension("new");
            if let Err(error) = fill(&temporary).and_then(|()| fs::rename(&temporary, &path)) {
                let _ = fs::remove_file(&temporary);
                return Err(error);
            }
            File::open(data_dir)?.sync_all()?;
        }
    }
    OpenOptions::new().read(true).write(true).open(&path)
}

/// Whether there is space for a reserve once `given_back` more bytes are free.
pub(super) fn fits(data_dir: &Path, given_back: u64) -> io::Result<bool> {
    Ok(free_bytes(data_dir)?.saturating_add(given_back) >= RESERVE_BYTES + MARGIN_BYTES)
}

/// Free bytes on the disk of the data directory.
///
/// # Errors
///
/// The directory is gone, or the disk does not answer.
pub fn free_bytes(data_dir: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(data_dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn fill(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(FILE_MODE).open(path)?;
    for _ in 0..RESERVE_BYTES / ZEROS.len() as u64 {
        file.write_all(&ZEROS)?;
    }
    file.sync_all()
}

/// Turns the reserve into the segment that begins with `first`.
pub(super) fn take(data_dir: &Path, reserve: File, first: u64) -> io::Result<Segment> {
    let path = segment::path(data_dir, first);
    fs::rename(self::path(data_dir), &path)?;
    let capacity = Some(RESERVE_BYTES);
    Ok(Segment { file: Arc::new(reserve), path, length: 0, capacity, day: None })
}
