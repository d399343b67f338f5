//! Reading the end of the ledger back at start-up.
//!
//! Each line names the hash of the one before, so a line that changed is noticed and its true hash
//! is still known: the tree goes on unharmed, the line is reported and left as it is. What was not
//! written to its end is dropped. What looks edited is not continued.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::Deserialize;

use super::segment::{self, Start};
use super::{LedgerError, Previous};
use crate::audit::merkle::{Hash, leaf_hash};
use crate::record::encoding::{LINE_BYTES_MAX, Line};
use crate::record::entry::InForce;

/// How every line begins; nothing inside a line can look like it.
const LINE_HEAD: &[u8] = b"{\"body\":";
/// The shortest line there can be: bounds how many lines a damaged stretch can have held.
const LINE_BYTES_MIN: u64 = 128;
/// The longest stretch that is looked at in one piece: two lines whose newline was damaged.
const PIECE_BYTES_MAX: u64 = 2 * LINE_BYTES_MAX as u64;
/// The longest torn tail that is dropped. More than this is no torn write.
const TORN_BYTES_MAX: u64 = 1024 * 1024;
/// The most lines that may be missing at a segment's end, as after a power cut.
const LOST_LINES_MAX: u64 = 1_000_000;
/// At most this many damaged lines are named: they must fit into one entry.
const DAMAGED_NAMED_MAX: usize = 256;

/// Where the ledger ends.
#[derive(Debug)]
pub(super) struct End {
    /// What stands before the next line.
    pub(super) start: Start,
    /// The last segment, where there is one.
    pub(super) last: Option<Tail>,
    pub(super) previous: Previous,
    pub(super) damaged: Vec<u64>,
}

/// The end of the last segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    pub(super) first: u64,
    /// Bytes of complete lines.
    pub(super) length: u64,
    /// Bytes of a torn line behind them.
    pub(super) torn: u64,
    /// Bytes of the file.
    pub(super) size: u64,
    /// Wall clock of its last line, nanoseconds.
    pub(super) wall_ns: Option<u64>,
}

/// Reads from the last segment whose `.start` fits, which is the last one as a rule.
pub(super) fn read(data_dir: &Path) -> Result<End, LedgerError> {
    let listed = segment::list(data_dir);
    let firsts = listed.map_err(|e| io_error("list", &segment::directory(data_dir), e))?;
    for from in (0..firsts.len()).rev() {
        let Some(start) = firsts.get(from).and_then(|first| Start::read(data_dir, *first)) else {
            continue;
        };
        // A power cut can take the end of a segment and leave the next one.
        let before = from.checked_sub(1).and_then(|before| firsts.get(before));
        if before.is_some_and(|before| last_hash(data_dir, *before) != Some(start.previous)) {
            continue;
        }
        let mut scan = Scan::new(data_dir, start, from == 0);
        let mut fits = true;
        for first in firsts.iter().skip(from) {
            fits = fits && scan.segment(*first)?;
        }
        if fits {
            return scan.end();
        }
    }
    if firsts.is_empty() {
        let (start, previous) = (Start::genesis(), Previous::First);
        return Ok(End { start, last: None, previous, damaged: Vec::new() });
    }
    let what = "the first segments are missing, and so is what stood before the rest";
    Err(LedgerError::Unreadable { what, path: segment::directory(data_dir) })
}

/// The hash of a segment's last line.
fn last_hash(data_dir: &Path, first: u64) -> Option<Hash> {
    let file = File::open(segment::path(data_dir, first)).ok()?;
    let size = file.metadata().ok()?.len();
    let length = size.min(PIECE_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut bytes, size - length).ok()?;
    let lines = bytes.strip_suffix(b"\n")?;
    lines.rsplit(|byte| *byte == b'\n').next().map(leaf_hash)
}

/// A line, or what is left of one.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    /// The hash of its bytes; unknown where they are lost.
    hash: Option<Hash>,
    /// The hash it names for the line before it.
    claim: Option<Hash>,
    segment: u64,
    offset: u64,
    length: usize,
}

/// The exchange that an `opened` or `closed` body is about.
#[derive(Deserialize)]
struct About {
    exchange: String,
}

/// Reads segments in order and puts each line in its place.
struct Scan<'a> {
    data_dir: &'a Path,
    start: Start,
    /// There is no earlier `.start` to turn to.
    is_last_resort: bool,
    leaves: Vec<Leaf>,
    open: HashMap<String, u64>,
    in_force: Option<InForce>,
    /// Bytes since the last line that has its place, and where they begin.
    unplaced: Option<Unplaced>,
    tail: Option<Tail>,
    ended_clean: bool,
    strange: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Unplaced {
    segment: u64,
    offset: u64,
    bytes: u64,
    /// One of them is a whole line: it was not torn, it does not belong there.
    has_line: bool,
}

impl<'a> Scan<'a> {
    fn new(data_dir: &'a Path, start: Start, is_last_resort: bool) -> Scan<'a> {
        Scan {
            data_dir,
            open: start.open.clone(),
            in_force: start.in_force.clone(),
            start,
            is_last_resort,
            leaves: Vec::new(),
            unplaced: None,
            tail: None,
            ended_clean: false,
            strange: Vec::new(),
        }
    }

    fn next_index(&self) -> u64 {
        self.start.tree.size() + self.leaves.len() as u64
    }

    /// Reads one segment. `false` where it does not follow on what its `.start` says.
    fn segment(&mut self, first: u64) -> Result<bool, LedgerError> {
        let path = segment::path(self.data_dir, first);
        let file = File::open(&path).map_err(|e| io_error("open", &path, e))?;
        let size = file.metadata().map_err(|e| io_error("read", &path, e))?.len();
        self.tail = Some(Tail { first, length: 0, torn: 0, size, wall_ns: None });
        self.lose_before(first)?;
        let mut pieces = Pieces { reader: BufReader::with_capacity(1 << 16, file), offset: 0 };
        let mut bytes = Vec::with_capacity(LINE_BYTES_MAX);
        loop {
            let offset = pieces.offset;
            let more = pieces.read(&mut bytes).map_err(|e| io_error("read", &path, e))?;
            if !more {
                break;
            }
            // A damaged newline joins two lines; the second begins where a line's head stands.
            let split = memchr::memmem::find_iter(&bytes, LINE_HEAD).find(|at| *at > 0);
            let (one, two) = bytes.split_at(split.unwrap_or(bytes.len()));
            self.piece(first, offset, one);
            if !two.is_empty() {
                self.piece(first, offset + one.len() as u64, two);
            }
            let is_first = self.leaves.len() == 1 && !self.is_last_resort;
            let claim = self.leaves.first().and_then(|leaf| leaf.claim);
            if is_first && claim != Some(self.start.previous) {
                return Ok(false);
            }
        }
        let rest = pieces.rest().map_err(|e| io_error("read", &path, e))?;
        if rest > 0 {
            self.keep_unplaced(first, pieces.offset, rest, false);
        }
        Ok(true)
    }

    /// Lines that should stand at the end of the segment before and do not.
    fn lose_before(&mut self, first: u64) -> Result<(), LedgerError> {
        let lost = first.saturating_sub(self.next_index());
        if lost > LOST_LINES_MAX {
            let what = "segments before it are missing";
            return Err(LedgerError::Unreadable {
                what,
                path: segment::path(self.data_dir, first),
            });
        }
        if lost > 0 {
            self.unplaced = None;
            let leaf = Leaf { hash: None, claim: None, segment: first, offset: 0, length: 0 };
            self.leaves.extend((0..lost).map(|_| leaf));
        }
        Ok(())
    }

    fn piece(&mut self, segment: u64, offset: u64, bytes: &[u8]) {
        let body = bytes.strip_suffix(b"\n");
        let line = body.and_then(|body| Line::parse(body).ok());
        let Some((body, line)) = body.zip(line) else {
            return self.keep_unplaced(segment, offset, bytes.len() as u64, false);
        };
        let next = self.next_index();
        let before = self.leaves.last().map_or(Some(self.start.previous), |leaf| leaf.hash);
        let lost = line.index.saturating_sub(next);
        let lost_max = self.unplaced.map_or(0, |gap| gap.bytes / LINE_BYTES_MIN + 1);
        let is_next = self.unplaced.is_none() && before == Some(line.previous);
        // Damage leaves no whole line out of place: somebody edited the file.
        let is_edited = self.unplaced.is_some_and(|gap| gap.has_line);
        if is_edited || !is_next && (line.index < next || lost > lost_max) {
            return self.keep_unplaced(segment, offset, bytes.len() as u64, true);
        }
        if let Some(gap) = self.unplaced.take() {
            if lost == 0 {
                self.strange.push(next);
            }
            let Unplaced { segment, offset, .. } = gap;
            let leaf = Leaf { hash: None, claim: None, segment, offset, length: 0 };
            self.leaves.extend((0..lost).map(|_| leaf));
        }
        let (hash, claim) = (Some(leaf_hash(body)), Some(line.previous));
        let index = self.next_index();
        self.leaves.push(Leaf { hash, claim, segment, offset, length: body.len() });
        self.ended_clean = line.kind == "stopped";
        self.follow(&line, index);
        if let Some(tail) = self.tail.as_mut() {
            tail.length = offset + bytes.len() as u64;
            tail.wall_ns = Some(line.wall_ns);
        }
    }

    fn follow(&mut self, line: &Line<'_>, index: u64) {
        let about = || serde_json::from_str::<About>(line.body.get()).ok();
        match line.kind {
            "opened" => self.open.extend(about().map(|about| (about.exchange, index))),
            "closed" => {
                if let Some(about) = about() {
                    self.open.remove(&about.exchange);
                }
            }
            "started" | "prices_changed" | "payers_changed" => {
                if let Ok(Some(entry)) = line.entry() {
                    InForce::follow(&mut self.in_force, &entry);
                }
            }
            _ => {}
        }
    }

    fn keep_unplaced(&mut self, segment: u64, offset: u64, bytes: u64, has_line: bool) {
        let new = Unplaced { segment, offset, bytes: 0, has_line: false };
        let unplaced = self.unplaced.get_or_insert(new);
        unplaced.bytes += bytes;
        unplaced.has_line |= has_line;
    }

    /// Judges every line by what the next one says of it, and grows the tree.
    fn end(mut self) -> Result<End, LedgerError> {
        let mut tail = self.tail;
        if let Some(torn) = self.unplaced {
            let is_torn = !torn.has_line && torn.bytes <= TORN_BYTES_MAX;
            let Some(tail) = tail.as_mut().filter(|tail| is_torn && tail.first == torn.segment)
            else {
                let what = "the last lines do not follow on the lines before them";
                let path = segment::path(self.data_dir, torn.segment);
                return Err(LedgerError::Unreadable { what, path });
            };
            tail.torn = torn.bytes;
            self.ended_clean = false;
        }
        let (hashes, mut damaged) = self.judge()?;
        damaged.append(&mut self.strange);
        damaged.sort_unstable();
        damaged.dedup();
        damaged.truncate(DAMAGED_NAMED_MAX);
        let Start { mut tree, mut previous, .. } = self.start;
        for hash in hashes {
            tree.push(hash);
            previous = hash;
        }
        let ended = match tree.size() {
            0 => Previous::First,
            _ if self.ended_clean => Previous::Clean,
            _ => Previous::Crash,
        };
        let start = Start { tree, previous, open: self.open, in_force: self.in_force };
        Ok(End { start, last: tail, previous: ended, damaged })
    }

    /// The true hash of each line, and the indices of those that are damaged.
    fn judge(&self) -> Result<(Vec<Hash>, Vec<u64>), LedgerError> {
        let mut hashes = vec![Hash::ZERO; self.leaves.len()];
        let mut damaged = Vec::new();
        let mut after: Option<(Leaf, Hash, bool)> = None;
        for (at, leaf) in self.leaves.iter().enumerate().rev() {
            let witness = after.and_then(|(next, ..)| next.claim);
            let hash = match (leaf.hash, witness) {
                (Some(hash), None) => hash,
                (Some(hash), Some(witness)) if hash == witness => hash,
                (Some(hash), Some(witness)) => match after {
                    Some((next, true_hash, true))
                        if self.only_claim_changed(next, hash, true_hash)? =>
                    {
                        hash
                    }
                    _ => witness,
                },
                // Lost together with the line after it: nothing holds its hash any more.
                (None, witness) => witness.unwrap_or(Hash::ZERO),
            };
            let is_damaged = leaf.hash != Some(hash);
            if is_damaged {
                damaged.push(self.start.tree.size() + at as u64);
            }
            if let Some(slot) = hashes.get_mut(at) {
                *slot = hash;
            }
            after = Some((*leaf, hash, is_damaged));
        }
        Ok((hashes, damaged))
    }

    /// Whether a damaged line is whole again once it names `before`: then it is its own claim that
    /// changed, not the line before it.
    fn only_claim_changed(
        &self,
        leaf: Leaf,
        before: Hash,
        true_hash: Hash,
    ) -> Result<bool, LedgerError> {
        let path = segment::path(self.data_dir, leaf.segment);
        let mut bytes = vec![0; leaf.length];
        File::open(&path)
            .and_then(|file| file.read_exact_at(&mut bytes, leaf.offset))
            .map_err(|e| io_error("read", &path, e))?;
        let claim = leaf.claim.unwrap_or_default().to_hex();
        // Hexadecimal digits of either case read as the same hash; only ours are ever written.
        let Some(at) = memchr::memmem::rfind(&bytes, b"\"prev\":\"").map(|at| at + 8) else {
            return Ok(false);
        };
        if let Some(digits) = bytes.get_mut(at..at + claim.len()) {
            digits.copy_from_slice(&before.to_hex());
        }
        Ok(leaf_hash(&bytes) == true_hash)
    }
}

/// A segment cut at its newlines.
struct Pieces {
    reader: BufReader<File>,
    offset: u64,
}

impl Pieces {
    /// The next piece, newline included. `false` at the end, which a NUL marks too.
    fn read(&mut self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        bytes.clear();
        if self.reader.fill_buf()?.first().is_none_or(|byte| *byte == 0) {
            return Ok(false);
        }
        let mut bounded = (&mut self.reader).take(PIECE_BYTES_MAX);
        let read = bounded.read_until(b'\n', bytes)?;
        self.offset += read as u64;
        Ok(true)
    }

    /// Bytes behind the end that are not NUL: written there, and out of reach.
    fn rest(&mut self) -> io::Result<u64> {
        let mut rest = 0;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(rest);
            }
            rest += buffer.iter().filter(|byte| **byte != 0).count() as u64;
            let length = buffer.len();
            self.reader.consume(length);
        }
    }
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> LedgerError {
    LedgerError::Io { what, path: path.to_owned(), source }
}
