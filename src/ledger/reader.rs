//! Reads the ledger's lines in order, from its files alone: without a lock, and also while another
//! process appends.
//!
//! What makes that safe: a line exists once its newline is there, bytes that were written never
//! change, and a segment is followed by another one only after its last line. So the reader stops
//! before an incomplete line and comes back to it, and it leaves a segment only after it has seen
//! the next one *and then* found nothing more in this one.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use memchr::{memchr, memchr_iter};

use crate::record::encoding::LINE_BYTES_MAX;

#[cfg(test)]
mod tests;

/// The folder of segments below the data directory.
pub const SEGMENTS: &str = "segments";
/// What a segment's name ends with, after the 20 digits of its first index.
const EXTENSION: &str = ".jsonl";
const INDEX_DIGITS: usize = 20;
/// One read from a file.
const READ_BYTES: usize = 256 * 1024;
/// What a batch holds when nothing else is asked for.
const BATCH_BYTES: usize = 1024 * 1024;
/// How much is kept of a piece that is longer than any line can be: enough to see that it is not
/// one.
const DAMAGED_BYTES_KEPT: usize = 64;

// A piece without a newline is known to be damaged only because a read is longer than any line.
const _: () = assert!(READ_BYTES > LINE_BYTES_MAX);

/// The ledger cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The folder of segments cannot be listed.
    #[error("cannot list {path}: {source}; check that it may be read")]
    List {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A segment cannot be read.
    #[error("cannot read {path}: {source}; check the file and its disk")]
    Segment {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Lines read in one go, held in one buffer that is used again.
///
/// A damaged line is here too: whoever parses it sees that it does not parse. Its index is the
/// place it has in its segment.
#[derive(Debug)]
pub struct Batch {
    buffer: Vec<u8>,
    lines: Vec<(u64, Range<usize>)>,
    bytes_max: usize,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch::new(BATCH_BYTES)
    }
}

impl Batch {
    /// An empty batch that takes up to `bytes_max` bytes and at least one read from the file.
    #[must_use]
    pub fn new(bytes_max: usize) -> Batch {
        Batch { buffer: Vec::new(), lines: Vec::new(), bytes_max: bytes_max.max(READ_BYTES) }
    }

    /// Each line's index and bytes, without the newline, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u64, &[u8])> + DoubleEndedIterator {
        self.lines.iter().map(|(index, range)| (*index, &self.buffer[range.clone()]))
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn clear(&mut self) {
        self.buffer.clear();
        self.lines.clear();
    }

    fn has_room(&self, lines_max: usize) -> bool {
        self.lines.len() < lines_max && self.buffer.len() + READ_BYTES <= self.bytes_max
    }
}

/// A place in the ledger that moves forward.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    segment: Option<Segment>,
    next: u64,
    skipped: Option<Range<u64>>,
}

#[derive(Debug)]
struct Segment {
    file: File,
    path: PathBuf,
    first: u64,
    /// Where the next line starts.
    offset: u64,
    /// Inside a piece that is longer than any line: everything up to the next newline is dropped.
    in_damage: bool,
}

impl Reader {
    /// Starts at the line with index `from`. Nothing needs to exist yet. Where the ledger ends
    /// before `from`, [`Reader::next_index`] says where.
    pub fn open(data_dir: &Path, from: u64) -> Result<Reader, ReadError> {
        let folder = data_dir.join(SEGMENTS);
        let mut reader = Reader { folder, segment: None, next: from, skipped: None };
        let starts = reader.starts()?;
        if starts.is_empty() {
            reader.next = 0;
        }
        if let Some(first) = starts.iter().copied().rfind(|first| *first <= from) {
            reader.segment = Some(reader.enter(first)?);
            reader.next = first;
            reader.seek(from)?;
        }
        Ok(reader)
    }

    /// The index of the line that is read next.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.next
    }

    /// The last stretch of indices that no segment holds and that was passed over: segments that
    /// were pruned, or a segment that has lost lines.
    #[must_use]
    pub fn skipped(&self) -> Option<Range<u64>> {
        self.skipped.clone()
    }

    /// Fills `batch` with up to `lines_max` lines and says how many there are. 0 means: at the end
    /// for now; a later call goes on from here.
    pub fn read_batch(&mut self, batch: &mut Batch, lines_max: usize) -> Result<usize, ReadError> {
        batch.clear();
        // After the next segment has been seen, the current one is read once more: lines may have
        // come between the read that found its end and the look at the folder.
        let mut following: Option<u64> = None;
        while batch.has_room(lines_max) {
            if self.step(batch, lines_max)? {
                continue;
            }
            if let Some(first) = following.take() {
                self.move_to(first)?;
                continue;
            }
            let starts = self.starts()?;
            following = match &self.segment {
                Some(current) => starts.into_iter().find(|first| *first > current.first),
                None => starts
                    .iter()
                    .copied()
                    .rfind(|first| *first <= self.next)
                    .or_else(|| starts.first().copied()),
            };
            if following.is_none() {
                break;
            }
        }
        Ok(batch.len())
    }

    /// First indices of the segments, ascending.
    fn starts(&self) -> Result<Vec<u64>, ReadError> {
        let failed = |source| ReadError::List { path: self.folder.clone(), source };
        let listing = match fs::read_dir(&self.folder) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut starts = Vec::new();
        for entry in listing {
            let name = entry.map_err(failed)?.file_name();
            starts.extend(name.to_str().and_then(first_index));
        }
        starts.sort_unstable();
        Ok(starts)
    }

    fn enter(&self, first: u64) -> Result<Segment, ReadError> {
        let path = self.folder.join(segment_name(first));
        // A pipe under such a name would be waited for without end.
        let opened = match fs::metadata(&path) {
            Ok(found) if !found.is_file() => Err(io::Error::other("it is no regular file")),
            _ => File::open(&path),
        };
        match opened {
            Ok(file) => Ok(Segment { file, path, first, offset: 0, in_damage: false }),
            Err(source) => Err(ReadError::Segment { path, source }),
        }
    }

    /// Goes on with the segment that starts at `first`. Its name says which index comes next, also
    /// where the lines before it do not add up to that.
    fn move_to(&mut self, first: u64) -> Result<(), ReadError> {
        let wanted = self.next;
        let begins = self.segment.is_none();
        self.segment = Some(self.enter(first)?);
        self.next = first;
        if first > wanted {
            self.skipped = Some(wanted..first);
        }
        if begins {
            self.seek(wanted)?;
        }
        Ok(())
    }

    /// Passes over lines until `from` comes next, or the segment's end.
    fn seek(&mut self, from: u64) -> Result<(), ReadError> {
        let mut chunk = vec![0; READ_BYTES];
        while self.next < from {
            let Some(segment) = &mut self.segment else { break };
            let bytes = segment.read(&mut chunk)?;
            let wanted = usize::try_from(from - self.next).unwrap_or(usize::MAX);
            let mut passed = 0;
            for newline in memchr_iter(b'\n', &chunk[..bytes]).take(wanted) {
                passed = newline + 1;
                self.next += 1;
            }
            // A whole read without a newline is damage; its newline will count as one line.
            if passed == 0 && bytes == READ_BYTES {
                passed = bytes;
            }
            if passed == 0 {
                break;
            }
            segment.offset += passed as u64;
        }
        Ok(())
    }

    /// One read: adds the complete lines to the batch. `false` where there is none for now.
    fn step(&mut self, batch: &mut Batch, lines_max: usize) -> Result<bool, ReadError> {
        let Some(segment) = &mut self.segment else { return Ok(false) };
        let room = lines_max.saturating_sub(batch.lines.len());
        let base = batch.buffer.len();
        batch.buffer.resize(base + READ_BYTES, 0);
        let end = base + segment.read(&mut batch.buffer[base..])?;

        let mut line = base;
        if segment.in_damage {
            let newline = memchr(b'\n', &batch.buffer[base..end]);
            line = newline.map_or(end, |at| base + at + 1);
            segment.in_damage = newline.is_none();
        }
        let origin = line;
        for newline in memchr_iter(b'\n', &batch.buffer[origin..end]).take(room) {
            batch.lines.push((self.next, line..origin + newline));
            self.next += 1;
            line = origin + newline + 1;
        }
        let mut kept = line;
        if line == base && end - base == READ_BYTES {
            kept = base + DAMAGED_BYTES_KEPT;
            batch.lines.push((self.next, base..kept));
            self.next += 1;
            segment.in_damage = true;
            line = end;
        }
        batch.buffer.truncate(kept);
        segment.offset += (line - base) as u64;
        Ok(line > base)
    }
}

impl Segment {
    /// Reads from the offset on, up to the end of what has been written.
    fn read(&self, into: &mut [u8]) -> Result<usize, ReadError> {
        let mut length = 0;
        while length < into.len() {
            match self.file.read_at(&mut into[length..], self.offset + length as u64) {
                Ok(0) => break,
                Ok(read) => {
                    let fresh = &into[length..length + read];
                    if let Some(end) = memchr(0, fresh) {
                        return Ok(length + end);
                    }
                    length += read;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(ReadError::Segment { path: self.path.clone(), source });
                }
            }
        }
        Ok(length)
    }
}

/// The index after the last complete line as of now. 0 where there is no ledger.
pub fn end(data_dir: &Path) -> Result<u64, ReadError> {
    let mut reader = Reader::open(data_dir, u64::MAX)?;
    // The seek stops at the end of the last segment; a newer one may have begun meanwhile.
    let mut batch = Batch::default();
    while reader.read_batch(&mut batch, usize::MAX)? > 0 {}
    Ok(reader.next_index())
}

fn segment_name(first: u64) -> String {
    format!("{first:0INDEX_DIGITS$}{EXTENSION}")
}

fn first_index(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(EXTENSION)?;
    let plain = digits.len() == INDEX_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}
