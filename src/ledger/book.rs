//! What the lock guards: the end of the ledger and the files it is written to.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{Disk, is_full};
use super::segment::{Segment, Start};
use super::{LedgerError, Mode, Options, Purpose, State, reserve};
use crate::audit::merkle::{Frontier, Hash, leaf_hash};
use crate::record::Entry;
use crate::record::encoding::{Draft, LINE_BYTES_MAX, Origin, Stamp};
use crate::record::entry::{Gap, InForce, Reserve};

/// Sealed segments that may wait for their sync before an append does it itself.
pub(super) const UNSYNCED_SEGMENTS_MAX: usize = 8;
/// How much further a segment grows when the next one could not be made.
const ROTATE_RETRY_BYTES: u64 = 1024 * 1024;
/// Length of a day (UTC knows no other).
const DAY_NS: u64 = 86_400_000_000_000;

/// The day (UTC) of a moment, since 1970.
pub(super) const fn day(wall_ns: u64) -> u64 {
    wall_ns / DAY_NS
}

/// Entries that did not get in, until a `gap` says so.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Missing {
    count: u64,
    from: u64,
    to: u64,
    /// The same count, never reset.
    pub(super) total: u64,
}

impl Missing {
    fn add(&mut self, stamp: Stamp) {
        self.from = if self.count == 0 { stamp.wall_ns } else { self.from.min(stamp.wall_ns) };
        self.to = self.to.max(stamp.wall_ns);
        self.count += 1;
        self.total += 1;
    }
}

/// What one sync has to put on the disk.
pub(super) struct Unsynced {
    pub(super) files: Vec<Arc<File>>,
    pub(super) directory: bool,
    pub(super) tree: Frontier,
}

/// The end of the ledger.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) dir: PathBuf,
    pub(super) disk: Disk,
    pub(super) mode: Mode,
    pub(super) segment_bytes_max: u64,
    pub(super) segment: Segment,
    /// The preallocated file, while it is not in use.
    pub(super) reserve: Option<File>,
    pub(super) tree: Frontier,
    pub(super) previous: Hash,
    /// Exchanges that are open, and the index that opened each.
    pub(super) open: HashMap<String, u64>,
    /// What the last process to begin, and changes since, put in force.
    in_force: Option<InForce>,
    pub(super) state: State,
    pub(super) reason: Option<String>,
    /// Use of the reserve that is not written down yet.
    pub(super) reserve_used: Option<Reserve>,
    /// Recording that the ledger could not take: the facts are lost.
    pub(super) unrecorded: Missing,
    /// New calls that were refused: nothing went upstream.
    pub(super) refused: Missing,
    /// A new call found no room in the reserve: no later, smaller one may.
    pub(super) new_calls_stopped: bool,
    /// `stopped` is written or the ledger is shut down: nothing is added on our own.
    pub(super) ended: bool,
    pub(super) shut_down: bool,
    /// When the first entry was appended since the last sync began, and since the one before it
    /// where that has not succeeded; monotonic nanoseconds.
    waiting_since_ns: Option<u64>,
    syncing_since_ns: Option<u64>,
    sealed: Vec<Arc<File>>,
    directory_changed: bool,
    rotate_after: u64,
}

impl Book {
    /// A ledger that ends as `end` says and goes on in `segment`.
    pub(super) fn new(options: &Options, disk: Disk, end: Start, segment: Segment) -> Book {
        Book {
            dir: options.dir.clone(),
            disk,
            mode: options.mode,
            segment_bytes_max: options.segment_bytes_max,
            segment,
            reserve: None,
            tree: end.tree,
            previous: end.previous,
            open: end.open,
            in_force: end.in_force,
            state: State::Normal,
            reason: None,
            reserve_used: None,
            unrecorded: Missing::default(),
            refused: Missing::default(),
            new_calls_stopped: false,
            ended: false,
            shut_down: false,
            waiting_since_ns: None,
            syncing_since_ns: None,
            sealed: Vec::new(),
            directory_changed: true,
            rotate_after: 0,
        }
    }

    /// Appends an entry and returns its index, or counts it as missing.
    pub(super) fn append(
        &mut self,
        entry: &Entry,
        draft: &Draft,
        stamp: Stamp,
        purpose: Purpose,
    ) -> Result<u64, LedgerError> {
        let result = self.write(draft, stamp, purpose);
        match &result {
            Ok(_) => self.note(entry),
            Err(LedgerError::Full | LedgerError::Poisoned(_)) => {
                if purpose == Purpose::NewCall && self.mode != Mode::Observe {
                    self.refused.add(stamp);
                } else {
                    self.unrecorded.add(stamp);
                }
            }
            Err(_) => {}
        }
        result
    }

    fn write(&mut self, draft: &Draft, stamp: Stamp, purpose: Purpose) -> Result<u64, LedgerError> {
        self.check()?;
        let index = self.tree.size();
        let line = draft.line(index, &self.previous)?;
        if self.state == State::Normal {
            self.rotate_if_due(line.len() as u64, stamp);
            match self.segment.append(&self.disk, &line) {
                Ok(()) => return Ok(self.written(&line, stamp)),
                Err((error, true)) if is_full(&error) => self.enter_reserve()?,
                Err((error, _)) => return Err(self.poison(format!("a write failed ({error})"))),
            }
        }
        self.may_use_reserve(line.len() as u64, purpose)?;
        match self.segment.append(&self.disk, &line) {
            Ok(()) => {}
            Err((error, true)) if is_full(&error) => {
                self.state = State::Full;
                return Err(LedgerError::Full);
            }
            Err((error, _)) => return Err(self.poison(format!("a write failed ({error})"))),
        }
        self.reserve_used.get_or_insert(Reserve { entries: 0, first: index }).entries += 1;
        Ok(self.written(&line, stamp))
    }

    fn check(&self) -> Result<(), LedgerError> {
        match self.state {
            _ if self.shut_down => Err(LedgerError::ShutDown),
            State::Normal | State::Reserve => Ok(()),
            State::Full => Err(LedgerError::Full),
            State::Poisoned => Err(LedgerError::Poisoned(self.reason.clone().unwrap_or_default())),
        }
    }

    fn written(&mut self, line: &[u8], stamp: Stamp) -> u64 {
        let index = self.tree.size();
        self.previous = leaf_hash(line.strip_suffix(b"\n").unwrap_or(line));
        self.tree.push(self.previous);
        self.waiting_since_ns.get_or_insert(stamp.mono_ns);
        self.segment.day.get_or_insert(day(stamp.wall_ns));
        index
    }

    /// Bytes that the reserve still takes.
    pub(super) fn reserve_free_bytes(&self) -> u64 {
        match &self.reserve {
            Some(_) => reserve::RESERVE_BYTES,
            None => self.segment.room(),
        }
    }

    fn note(&mut self, entry: &Entry) {
        match entry {
            Entry::Opened(opening) => {
                self.open.insert(opening.exchange.clone(), self.tree.size() - 1);
            }
            Entry::Closed(closing) => {
                self.open.remove(&closing.exchange);
            }
            Entry::Stopped(_) => self.ended = true,
            _ => InForce::follow(&mut self.in_force, entry),
        }
    }

    /// No entry gets in any more until a restart.
    pub(super) fn poison(&mut self, reason: String) -> LedgerError {
        self.state = State::Poisoned;
        LedgerError::Poisoned(self.reason.get_or_insert(reason).clone())
    }

    fn rotate_if_due(&mut self, line_bytes: u64, stamp: Stamp) {
        let length = self.segment.length;
        let is_long = length + line_bytes > self.segment_bytes_max;
        let is_old = self.segment.day.is_some_and(|begun| begun < day(stamp.wall_ns));
        // A clock that steps back never rotates: each day begins at most one segment.
        if length > 0 && (is_long || is_old) && length >= self.rotate_after {
            self.rotate();
        }
    }

    /// Goes on in a new segment. Where none can be made the old one simply grows: only a failed
    /// write stops the ledger, so running out of file descriptors does not.
    pub(super) fn rotate(&mut self) {
        let first = self.tree.size();
        let made = self.start().write(&self.dir).and_then(|()| Segment::create(&self.dir, first));
        match made {
            Ok(segment) => self.go_on_in(segment),
            Err(_) => self.rotate_after = self.segment.length + ROTATE_RETRY_BYTES,
        }
    }

    fn start(&self) -> Start {
        let (tree, open) = (self.tree.clone(), self.open.clone());
        Start { tree, previous: self.previous, open, in_force: self.in_force.clone() }
    }

    fn go_on_in(&mut self, segment: Segment) {
        let old = std::mem::replace(&mut self.segment, segment);
        self.directory_changed = true;
        self.rotate_after = 0;
        if old.length == 0 {
            return;
        }
        old.seal();
        self.sealed.push(old.file);
        if self.sealed.len() > UNSYNCED_SEGMENTS_MAX {
            let file = self.sealed.remove(0);
            if let Err(error) = self.disk.sync(&file) {
                self.poison(format!("a sync failed ({error})"));
            }
        }
    }

    /// Goes on in the reserve because the disk is full.
    fn enter_reserve(&mut self) -> Result<(), LedgerError> {
        self.state = State::Full;
        let reserve = self.reserve.take().ok_or(LedgerError::Full)?;
        // There may be no room for it; recovery then starts from an earlier segment.
        let _ = self.start().write(&self.dir);
        match reserve::take(&self.dir, reserve, self.tree.size()) {
            Ok(segment) => {
                self.go_on_in(segment);
                self.state = State::Reserve;
                Ok(())
            }
            Err(error) if is_full(&error) => Err(LedgerError::Full),
            Err(error) => Err(self.poison(format!("the reserve cannot be used ({error})"))),
        }
    }

    /// Running calls may use all of the reserve; a new one only what the running do not need.
    /// Whether a new call would be taken now, or go on unrecorded as [`Mode::Observe`] says.
    pub(super) fn takes_new_calls(&self) -> bool {
        match self.state {
            _ if self.mode == Mode::Observe => true,
            State::Normal => true,
            State::Reserve => self.reserve_takes_new_call(LINE_BYTES_MAX as u64),
            State::Full | State::Poisoned => false,
        }
    }

    /// Whether the reserve keeps room for all closings after one more opening.
    fn reserve_takes_new_call(&self, line_bytes: u64) -> bool {
        // One for this call's own closing, one for `stopped`.
        let closings = self.open.len() as u64 + 2;
        let kept = closings.saturating_mul(reserve::CLOSING_BYTES_MAX);
        let fits = line_bytes.saturating_add(kept) <= self.segment.room();
        fits && self.mode != Mode::Strict && !self.new_calls_stopped
    }

    fn may_use_reserve(&mut self, line_bytes: u64, purpose: Purpose) -> Result<(), LedgerError> {
        let room = self.segment.room();
        if purpose == Purpose::NewCall {
            self.new_calls_stopped |= !self.reserve_takes_new_call(line_bytes);
            if self.new_calls_stopped {
                return Err(LedgerError::Full);
            }
        }
        // A reserve that was given back grows like any file: only the disk says when it is full.
        if self.segment.capacity.is_some() && line_bytes > room {
            self.state = State::Full;
            return Err(LedgerError::Full);
        }
        Ok(())
    }

    /// What the reserve in use has left.
    pub(super) fn unused_reserve_bytes(&self) -> u64 {
        if self.segment.capacity.is_some() { self.segment.room() } else { 0 }
    }

    /// Gives back what the reserve in use has left; it then grows like any segment.
    pub(super) fn give_back_reserve(&mut self) -> io::Result<()> {
        self.segment.shrink()
    }

    /// Goes back to normal segments once there is a new reserve.
    pub(super) fn leave_reserve(&mut self, reserve: File) -> Result<(), LedgerError> {
        self.reserve = Some(reserve);
        self.directory_changed = true;
        if self.segment.capacity.is_some() {
            if let Err(error) = self.segment.shrink() {
                return Err(self.poison(format!("the reserve cannot be shortened ({error})")));
            }
            if self.segment.length > 0 {
                self.rotate();
            }
        }
        if self.state != State::Poisoned {
            self.state = State::Normal;
            self.new_calls_stopped = false;
        }
        Ok(())
    }

    /// Whether something is left to be written down by [`Book::write_notes`].
    pub(super) fn has_notes(&self) -> bool {
        self.reserve_used.is_some() || self.unrecorded.count + self.refused.count > 0
    }

    /// Writes down that the reserve was used and what is missing.
    pub(super) fn write_notes(&mut self, origin: &Origin, stamp: Stamp) -> Result<(), LedgerError> {
        if let Some(used) = self.reserve_used.clone() {
            self.write_note(&Entry::Reserve(used), origin, stamp)?;
            self.reserve_used = None;
        }
        for (reason, which) in [
            ("ledger_unwritable", (|book| &mut book.unrecorded) as fn(&mut Book) -> &mut Missing),
            ("new_calls_refused", |book| &mut book.refused),
        ] {
            let missing = *which(self);
            if missing.count > 0 {
                let Missing { count, from, to, total } = missing;
                let gap = Gap { count, from, reason: reason.to_owned(), to };
                self.write_note(&Entry::Gap(gap), origin, stamp)?;
                *which(self) = Missing { total, ..Missing::default() };
            }
        }
        Ok(())
    }

    fn write_note(
        &mut self,
        entry: &Entry,
        origin: &Origin,
        stamp: Stamp,
    ) -> Result<(), LedgerError> {
        let draft = Draft::new(entry, origin, stamp)?;
        self.write(&draft, stamp, Purpose::Running).map(drop)
    }

    /// When the oldest entry was appended that no completed sync covers, monotonic nanoseconds.
    pub(super) fn unsynced_since_ns(&self) -> Option<u64> {
        self.syncing_since_ns.or(self.waiting_since_ns)
    }

    /// The sync that [`Book::unsynced`] began is complete.
    pub(super) fn is_synced(&mut self) {
        self.syncing_since_ns = None;
    }

    /// What a sync has to put on the disk when `synced_upto` entries are there already.
    pub(super) fn unsynced(&mut self, synced_upto: u64) -> Option<Unsynced> {
        if self.tree.size() == synced_upto && self.sealed.is_empty() && !self.directory_changed {
            return None;
        }
        self.syncing_since_ns = self.unsynced_since_ns();
        self.waiting_since_ns = None;
        let mut files = std::mem::take(&mut self.sealed);
        files.push(Arc::clone(&self.segment.file));
        let directory = std::mem::take(&mut self.directory_changed);
        Some(Unsynced { files, directory, tree: self.tree.clone() })
    }
}
