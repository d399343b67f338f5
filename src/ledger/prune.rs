//! Removing the oldest lines, as the configuration asks for.
//!
//! What stays is the hash of each line, in the place of its segment (`N.leaves`, 32 bytes each):
//! every root that was signed, and every proof, can still be made anew. What lines said is gone.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::leaves::each_leaf;
use super::reader::{Batch, ReadError, Reader};
use super::segment::{self, FILE_MODE, Start};
use crate::audit::merkle::Hash;
use crate::record::encoding::Line;

/// Bytes of a hash.
const HASH_BYTES: usize = 32;
/// Mode of a file of hashes: like a sealed segment it never changes.
const LEAVES_MODE: u32 = 0o400;

/// Segments that can be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prunable {
    /// The first indices of those that go and of the one that stays.
    firsts: Vec<u64>,
    /// The index of the first line that stays.
    pub first: u64,
    /// Root of the tree over what goes.
    pub root: Hash,
}

fn leaves_path(data_dir: &Path, first: u64) -> PathBuf {
    segment::path(data_dir, first).with_extension("leaves")
}

fn unreadable(path: PathBuf) -> impl FnOnce(io::Error) -> ReadError {
    move |source| ReadError::Segment { path, source }
}

fn list(data_dir: &Path) -> Result<Vec<u64>, ReadError> {
    let path = segment::directory(data_dir);
    segment::list(data_dir).map_err(|source| ReadError::List { path, source })
}

/// The oldest segments of which every line was written before `before_ns` (wall clock) and has an
/// index below `upto`.
pub fn prunable(data_dir: &Path, before_ns: u64, upto: u64) -> Result<Option<Prunable>, ReadError> {
    let mut firsts = Vec::new();
    let mut end = None;
    for pair in list(data_dir)?.windows(2) {
        let &[first, next] = pair else { break };
        let Some(start) = Start::read(data_dir, next).filter(|_| next <= upto) else { break };
        let is_old = written_at(data_dir, next - 1)?.is_some_and(|at| at < before_ns);
        if !is_old {
            break;
        }
        firsts.push(first);
        end = Some((next, start.tree.root()));
    }
    Ok(end.map(|(first, root)| {
        firsts.push(first);
        Prunable { firsts, first, root }
    }))
}

/// When a line was written, wall clock; `None` where it is not there.
pub fn written_at(data_dir: &Path, index: u64) -> Result<Option<u64>, ReadError> {
    let mut reader = Reader::open(data_dir, index)?;
    let mut batch = Batch::default();
    reader.read_batch(&mut batch, 1)?;
    let line = batch.iter().next().filter(|(found, _)| *found == index);
    Ok(line.and_then(|(_, line)| Line::parse(line).ok()).map(|line| line.wall_ns))
}

/// Keeps the hashes of the lines that go; they are on the disk afterwards.
pub fn keep_leaves(data_dir: &Path, prunable: &Prunable) -> Result<(), ReadError> {
    for pair in prunable.firsts.windows(2) {
        let &[first, next] = pair else { continue };
        let path = leaves_path(data_dir, first);
        let temporary = path.with_extension("leaves.new");
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(FILE_MODE);
        let file = options.open(&temporary).map_err(unreadable(temporary.clone()))?;
        let (mut output, mut written) = (BufWriter::new(file), Ok(()));
        let leaves = each_leaf(data_dir, first..next, |leaf| {
            if written.is_ok() {
                written = output.write_all(leaf.as_bytes());
            }
        })?;
        let whole = if leaves == next - first { Ok(()) } else { Err(lost()) };
        let done = written.and(whole).and_then(|()| finish(output, &temporary, &path));
        done.map_err(unreadable(path))?;
    }
    Ok(())
}

fn lost() -> io::Error {
    io::Error::other("lines are missing; nothing is removed before they are found")
}

fn finish(output: BufWriter<File>, temporary: &Path, path: &Path) -> io::Result<()> {
    let file = output.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.set_permissions(Permissions::from_mode(LEAVES_MODE))?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

/// Removes the lines. Their hashes must be kept, and an entry must say so, both on the disk.
pub fn remove_lines(data_dir: &Path, prunable: &Prunable) -> Result<(), ReadError> {
    let going = prunable.firsts.iter().filter(|first| **first < prunable.first);
    for first in going {
        for path in [
            segment::path(data_dir, *first),
            segment::path(data_dir, *first).with_extension("start"),
        ] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(unreadable(path)(error));
                }
                _ => {}
            }
        }
    }
    let folder = segment::directory(data_dir);
    File::open(&folder).and_then(|file| file.sync_all()).map_err(unreadable(folder))
}

/// Lines before this index were removed and their hashes kept; 0 where none were.
pub fn pruned_upto(data_dir: &Path) -> Result<u64, ReadError> {
    let first = list(data_dir)?.first().copied().unwrap_or(0);
    let mut at = 0;
    while at < first {
        match leaves_in(data_dir, at) {
            Ok(count) if count > 0 => at += count,
            _ => return Ok(0),
        }
    }
    // Hashes that reach into lines that are there are not of these segments.
    Ok(if at == first { first } else { 0 })
}

/// When the first line that is left was written, where lines before it were removed; nanoseconds.
pub fn kept_since(data_dir: &Path) -> Result<Option<u64>, ReadError> {
    match pruned_upto(data_dir)? {
        0 => Ok(None),
        first => written_at(data_dir, first),
    }
}

/// How many hashes the file that begins with index `first` holds.
fn leaves_in(data_dir: &Path, first: u64) -> io::Result<u64> {
    let bytes = fs::metadata(leaves_path(data_dir, first))?.len();
    // Anything behind the last hash is none of ours.
    let is_whole = bytes.is_multiple_of(HASH_BYTES as u64);
    Ok(if is_whole { bytes / HASH_BYTES as u64 } else { 0 })
}

/// Hands the kept hashes of `range` to `take`, in order; gives the index behind the last.
pub(super) fn each_kept(
    data_dir: &Path,
    range: Range<u64>,
    mut take: impl FnMut(Hash),
) -> Result<u64, ReadError> {
    let end = range.end.min(pruned_upto(data_dir)?);
    let mut at = 0;
    while at < end {
        let path = leaves_path(data_dir, at);
        let failed = |error| unreadable(path.clone())(error);
        let behind = at + leaves_in(data_dir, at).map_err(failed)?;
        let mut input = BufReader::new(File::open(&path).map_err(failed)?);
        while at < behind.min(end) {
            let mut hash = [0; HASH_BYTES];
            input.read_exact(&mut hash).map_err(failed)?;
            if range.contains(&at) {
                take(Hash::new(hash));
            }
            at += 1;
        }
    }
    Ok(end.max(range.start))
}
