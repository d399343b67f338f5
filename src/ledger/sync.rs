//! The background thread: puts the files on the disk, and brings the ledger back from the reserve.
//!
//! A failed sync is never tried again: the kernel may have dropped the pages it could not write,
//! and a second call would report success for them.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::book::{Book, Unsynced};
use super::{State, reserve, segment};
use crate::audit::merkle::Frontier;
use crate::record::encoding::{Origin, Stamp};

/// Pause between two syncs; with the sync itself it stays below the promised 250 ms.
const SYNC_INTERVAL: Duration = Duration::from_millis(240);
/// Pause between two attempts to leave the reserve.
const RESUME_INTERVAL_NS: u64 = 1_000_000_000;

/// What the last sync did.
#[derive(Clone, Debug)]
pub(super) struct Synced {
    /// The tree over what is on the disk.
    pub(super) tree: Frontier,
    /// When it ended.
    pub(super) at: Stamp,
    /// How long it took.
    pub(super) took_ns: u64,
    /// It failed: nothing later will ever be on the disk for certain.
    pub(super) failed: bool,
}

/// What the thread is asked for.
#[derive(Debug, Default)]
struct Wanted {
    sync: bool,
    stop: bool,
}

/// Everything the appenders and the thread share.
pub(super) struct Shared {
    pub(super) book: Mutex<Book>,
    pub(super) origin: Origin,
    pub(super) now: Box<dyn Fn() -> Stamp + Send + Sync>,
    pub(super) doorbell: watch::Sender<u64>,
    pub(super) synced: watch::Sender<Synced>,
    wanted: Mutex<Wanted>,
    wake: Condvar,
    /// The data directory and its segments, held open: a sync must not need a file descriptor.
    directories: [File; 2],
    /// Holds the lock on the data directory.
    _lock: File,
}

impl Shared {
    pub(super) fn new<N>(book: Book, origin: Origin, now: N, lock: File) -> io::Result<Shared>
    where
        N: Fn() -> Stamp + Send + Sync + 'static,
    {
        let tree = book.tree.clone();
        let doorbell = watch::Sender::new(tree.size());
        let synced = watch::Sender::new(Synced { tree, at: now(), took_ns: 0, failed: false });
        let directories = [File::open(&book.dir)?, File::open(segment::directory(&book.dir))?];
        Ok(Shared {
            book: Mutex::new(book),
            origin,
            now: Box::new(now),
            doorbell,
            synced,
            wanted: Mutex::default(),
            wake: Condvar::new(),
            directories,
            _lock: lock,
        })
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the followers how many entries there are. Calls may overtake one another.
    pub(super) fn ring(&self, head: u64) {
        self.doorbell.send_if_modified(|known| {
            let is_news = head > *known;
            *known = head.max(*known);
            is_news
        });
    }

    /// Asks for a sync now. Many that ask share one.
    pub(super) fn want_sync(&self) {
        let was_wanted = std::mem::replace(&mut self.wanted().sync, true);
        if !was_wanted {
            self.wake.notify_one();
        }
    }

    /// Asks the thread to sync a last time and end.
    pub(super) fn want_stop(&self) {
        self.wanted().stop = true;
        self.wake.notify_one();
    }

    /// The thread's life.
    pub(super) fn run(&self) {
        let mut resumed_at = (self.now)().mono_ns;
        loop {
            let stop = self.wait();
            self.sync();
            if stop {
                return;
            }
            let now = (self.now)().mono_ns;
            if now.saturating_sub(resumed_at) >= RESUME_INTERVAL_NS {
                resumed_at = now;
                self.resume();
            }
        }
    }

    fn wait(&self) -> bool {
        let idle = |wanted: &mut Wanted| !wanted.sync && !wanted.stop;
        let (mut wanted, _) = self
            .wake
            .wait_timeout_while(self.wanted(), SYNC_INTERVAL, idle)
            .unwrap_or_else(PoisonError::into_inner);
        wanted.sync = false;
        wanted.stop
    }

    /// One sync for all that was appended before it began.
    fn sync(&self) {
        let (upto, failed) = {
            let synced = self.synced.borrow();
            (synced.tree.size(), synced.failed)
        };
        if failed {
            return;
        }
        let begun = (self.now)();
        let (unsynced, disk) = {
            let mut book = self.book();
            if !book.segment.is_in_place() {
                let gone = format!("{} is no longer in its place", book.segment.path.display());
                book.poison(gone);
                drop(book);
                self.fail();
                return;
            }
            (book.unsynced(upto), book.disk.clone())
        };
        let Some(Unsynced { files, directory, tree }) = unsynced else { return };
        let synced =
            files.iter().try_for_each(|file| disk.sync(file)).and_then(|()| match directory {
                true => self.directories.iter().try_for_each(File::sync_all),
                false => Ok(()),
            });
        match synced {
            Ok(()) => {
                let at = (self.now)();
                let took_ns = at.mono_ns.saturating_sub(begun.mono_ns);
                self.synced.send_replace(Synced { tree, at, took_ns, failed: false });
                self.book().is_synced();
            }
            Err(error) => {
                self.book().poison(format!("a sync failed ({error})"));
                self.fail();
            }
        }
    }

    fn fail(&self) {
        self.synced.send_modify(|synced| synced.failed = true);
    }

    /// Makes a new reserve. On a small volume it fits only once the rest of the one in use is given
    /// back; new calls stay refused until it is there.
    fn new_reserve(&self, dir: &Path) -> io::Result<File> {
        let unused = self.book().unused_reserve_bytes();
        if unused > 0 && !reserve::fits(dir, 0)? && reserve::fits(dir, unused)? {
            self.book().give_back_reserve()?;
        }
        reserve::make(dir)
    }

    /// Leaves the reserve where there is space again, and writes down what happened.
    fn resume(&self) {
        let (state, has_notes, dir) = {
            let book = self.book();
            if book.ended {
                return;
            }
            (book.state, book.has_notes(), book.dir.clone())
        };
        let new_reserve = match state {
            State::Poisoned => return,
            State::Normal if !has_notes => return,
            State::Normal => None,
            State::Reserve | State::Full => match self.new_reserve(&dir) {
                Ok(reserve) => Some(reserve),
                Err(_) => return,
            },
        };
        let mut book = self.book();
        // A failure has poisoned the ledger; the notes are refused then.
        let _ = new_reserve.map_or(Ok(()), |reserve| book.leave_reserve(reserve));
        // What cannot be written now stays noted and is tried again.
        let _ = if book.ended { Ok(()) } else { book.write_notes(&self.origin, (self.now)()) };
        let head = book.tree.size();
        drop(book);
        self.ring(head);
    }
}
