//! Taking the data directory and giving it back.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::book::{self, Book, UNSYNCED_SEGMENTS_MAX};
use super::disk::{Disk, is_full};
use super::recovery::{self, End, Tail};
use super::segment::{self, FILE_MODE, Segment};
use super::sync::Shared;
use super::{Durability, LedgerError, Mode, Options, Recovery, State, reserve};
use crate::record::encoding::{Origin, Stamp};
use crate::record::entry::Reserve;

/// The open ledger and its thread.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) durability: Durability,
    pub(super) dir: PathBuf,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Locks the directory, recovers, and starts the thread.
    pub(super) fn open<N>(
        options: Options,
        origin: Origin,
        now: N,
        disk: Disk,
    ) -> Result<(Writer, Recovery), LedgerError>
    where
        N: Fn() -> Stamp + Send + Sync + 'static,
    {
        let dir = options.dir.as_path();
        let lock = lock(dir)?;
        segment::make_directory(dir).map_err(failed("make the segments in", dir))?;
        let end = recovery::read(dir)?;
        let recovery = Recovery {
            previous: end.previous,
            truncated_bytes: end.last.map_or(0, |tail| tail.torn),
            damaged: end.damaged.clone(),
            open: oldest_first(&end),
            entries: end.start.tree.size(),
            in_force: end.start.in_force.clone(),
        };
        let book = book(&options, disk, end)?;
        let shared = Shared::new(book, origin, now, lock).map_err(failed("open", dir))?;
        let shared = Arc::new(shared);
        let run = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("ledger-sync".to_owned())
            .spawn(move || run.run())
            .map_err(failed("start the thread that syncs", dir))?;
        let durability = match options.mode {
            Mode::Strict => Durability::Power,
            Mode::Closed | Mode::Observe => options.durability,
        };
        let (dir, thread) = (dir.to_owned(), Mutex::new(Some(thread)));
        Ok((Writer { shared, durability, dir, thread }, recovery))
    }

    /// Refuses what comes from now on, syncs a last time and waits for the thread to end.
    pub(super) fn shut_down(&self) {
        {
            let mut book = self.shared.book();
            book.shut_down = true;
            book.ended = true;
        }
        self.shared.want_stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic there is a bug of ours that its own message has told already.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("dir", &self.shared.book().dir).finish_non_exhaustive()
    }
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> LedgerError + 'a {
    move |source| LedgerError::Io { what, path: path.to_owned(), source }
}

fn lock(dir: &Path) -> Result<File, LedgerError> {
    fs::read_dir(dir).map_err(failed("use the data directory", dir))?;
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(FILE_MODE).open(&path);
    let file = file.map_err(failed("write", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Locked(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
    }
}

fn oldest_first(end: &End) -> Vec<String> {
    let mut open = end.start.open.iter().collect::<Vec<_>>();
    open.sort_unstable_by_key(|(_, index)| **index);
    open.into_iter().map(|(exchange, _)| exchange.clone()).collect()
}

/// The book, ready for appending: the torn tail cut off, all that was there on the disk.
fn book(options: &Options, disk: Disk, end: End) -> Result<Book, LedgerError> {
    let dir = options.dir.as_path();
    let segments = segment::directory(dir);
    let reserve = reserve::make(dir);
    let (next, first) = (end.start.tree.size(), end.last.map(|tail| tail.first));
    sync_recent(dir).map_err(failed("sync", &segments))?;
    let sealed = first.map_or(Ok(true), |first| segment::is_sealed(dir, first));
    let is_new = sealed.map_err(failed("read", &segments))?;
    let segment = match end.last.filter(|_| !is_new) {
        None => {
            let made = end.start.write(dir).and_then(|()| Segment::create(dir, next));
            made.map_err(failed("make a segment in", &segments))?
        }
        Some(tail) => {
            let path = segment::path(dir, tail.first);
            cut(dir, &disk, tail, reserve.is_err()).map_err(failed("write", &path))?
        }
    };
    let tail = end.last.filter(|tail| !is_new && tail.size > tail.length + tail.torn);
    let mut book = Book::new(options, disk, end.start, segment);
    // The process before this one ended while it used the reserve.
    book.reserve_used =
        tail.map(|tail| Reserve { entries: next.saturating_sub(tail.first), first: tail.first });
    match reserve {
        Ok(reserve) => book.reserve = Some(reserve),
        Err(error) if is_full(&error) && book.segment.capacity.is_some() => {
            book.state = State::Reserve;
        }
        Err(error) if is_full(&error) && options.mode == Mode::Observe => book.state = State::Full,
        Err(error) => return Err(failed("make the 10 MiB reserve in", dir)(error)),
    }
    Ok(book)
}

/// Puts on the disk what the process before this one may have left in the kernel only.
fn sync_recent(dir: &Path) -> std::io::Result<()> {
    let firsts = segment::list(dir)?;
    let mut recent = firsts.iter().rev().take(UNSYNCED_SEGMENTS_MAX + 1);
    recent.try_for_each(|first| File::open(segment::path(dir, *first))?.sync_data())
}

/// Opens the last segment behind its last good line. What is left of a reserve is kept only where
/// there is no space for a new one.
fn cut(dir: &Path, disk: &Disk, tail: Tail, keep: bool) -> std::io::Result<Segment> {
    let mut segment = Segment::reopen(dir, tail.first, tail.length)?;
    segment.day = tail.wall_ns.map(book::day);
    if tail.size > tail.length {
        if keep && tail.size > tail.length + tail.torn {
            segment.capacity = Some(tail.size);
            segment.clear_tail(disk, tail.size)?;
        } else {
            segment.file.set_len(tail.length)?;
        }
    }
    segment.file.sync_data()?;
    Ok(segment)
}
