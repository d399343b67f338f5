//! The truth: an append-only book of entries in JSON Lines files.
//!
//! Appending is done by the caller: number, hash and one `write` under a lock, no thread to wake.
//! An entry that was acknowledged has left this process ([`Durability::Process`]) or is on the disk
//! ([`Durability::Power`]). Readers follow the files and wait on [`Ledger::doorbell`].

mod book;
mod disk;
mod recovery;
mod reserve;
mod segment;
mod sync;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::audit::merkle::Hash;
use crate::record::Entry;
use crate::record::encoding::{Draft, EncodingError, Origin, Stamp};
use disk::Disk;
use sync::Synced;
use writer::Writer;

/// Default of [`Options::segment_bytes_max`].
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;

/// What an acknowledged entry survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// The end of this process (`kill -9`). A power cut loses at most the last 250 ms.
    #[default]
    Process,
    /// A power cut: the append waits for `fdatasync`, shared by all that wait.
    Power,
}

/// What happens when the ledger cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Go on in the reserve while it keeps room for every running call, then refuse.
    #[default]
    Closed,
    /// [`Durability::Power`], and the reserve is for running calls only.
    Strict,
    /// Go on without a record. The gap is counted and becomes an entry.
    Observe,
}

/// How to open a ledger.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory. It must exist; nothing is ever written anywhere else.
    pub dir: PathBuf,
    /// What an acknowledged entry survives.
    pub durability: Durability,
    /// What happens when the ledger cannot be written.
    pub mode: Mode,
    /// A segment is sealed before it grows beyond this many bytes.
    pub segment_bytes_max: u64,
}

/// Whose entry it is: decides who may still use the reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `opened`: a call that can still be refused.
    NewCall,
    /// Everything else: it belongs to what already runs.
    Running,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its index; `None` where it was not recorded ([`Mode::Observe`] only).
    pub sequence: Option<u64>,
}

/// How the process before this one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Previous {
    /// There was none.
    First,
    /// The last entry is `stopped`.
    Clean,
    /// Anything else.
    Crash,
}

impl Previous {
    /// The name used in the `started` entry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Previous::First => "first",
            Previous::Clean => "clean",
            Previous::Crash => "crash",
        }
    }
}

/// What [`Ledger::open`] found. The caller writes it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// How the process before this one ended.
    pub previous: Previous,
    /// Bytes of a torn tail that were dropped.
    pub truncated_bytes: u64,
    /// Indices of lines that no longer are what was written. They are left as they are.
    pub damaged: Vec<u64>,
    /// Exchanges that were opened and not closed, oldest first.
    pub open: Vec<String>,
    /// Entries in the ledger.
    pub entries: u64,
}

/// Whether the ledger can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Yes.
    Normal,
    /// The disk is full; the reserve is in use.
    Reserve,
    /// The reserve is used up too: every append is refused until there is space again.
    Full,
    /// A write or a sync failed: every append is refused until a restart.
    Poisoned,
}

impl State {
    /// The name used in metrics and health reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::Normal => "normal",
            State::Reserve => "reserve",
            State::Full => "full",
            State::Poisoned => "poisoned",
        }
    }
}

/// How the ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it can be written.
    pub state: State,
    /// Why it is poisoned.
    pub reason: Option<String>,
    /// Entries in the ledger.
    pub entries: u64,
    /// Entries that a completed sync has put on the disk.
    pub synced_upto: u64,
    /// When the last sync ended.
    pub synced_at: Stamp,
    /// How long the last sync took, nanoseconds.
    pub sync_ns_last: u64,
    /// Bytes that the reserve still takes.
    pub reserve_free_bytes: u64,
    /// Exchanges that are open.
    pub open_exchanges: u64,
    /// Entries of this process that went on unrecorded or were lost with a full reserve.
    pub unrecorded: u64,
    /// New calls of this process that were refused.
    pub refused: u64,
}

/// The ledger could not be opened, or did not take an entry.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A second process.
    #[error("{} is in use by another process: stop it, or give this one its own", .0.display())]
    Locked(PathBuf),
    /// The operating system said no.
    #[error("cannot {what} {}: {source}; check that it exists, its owner and the disk", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// The files are not a ledger that can be continued.
    #[error("{}: {what}; restore it from a copy or move it away", path.display())]
    Unreadable {
        /// What is wrong.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// The entry itself does not fit the format; nothing was written.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// No space.
    #[error("the disk with the ledger is full: free some space, writing then resumes by itself")]
    Full,
    /// A write or sync failed earlier.
    #[error("the ledger takes no entries since {0}: check the disk, then restart")]
    Poisoned(String),
    /// After [`Ledger::shutdown`].
    #[error("the ledger is shut down")]
    ShutDown,
}

/// The one writer of a data directory. Cheap to clone; the last one dropped shuts it down.
#[derive(Clone, Debug)]
pub struct Ledger {
    writer: Arc<Writer>,
}

impl Ledger {
    /// Takes the data directory, checks what is there and makes it ready for appending.
    ///
    /// `now` gives the stamps of entries the ledger writes on its own (`gap`, `reserve`).
    pub fn open<N>(
        options: Options,
        origin: Origin,
        now: N,
    ) -> Result<(Ledger, Recovery), LedgerError>
    where
        N: Fn() -> Stamp + Send + Sync + 'static,
    {
        let (writer, recovery) = Writer::open(options, origin, now, Disk::default())?;
        Ok((Ledger { writer: Arc::new(writer) }, recovery))
    }

    /// Appends an entry; returns when it is durable in the configured sense.
    pub async fn append(
        &self,
        entry: &Entry,
        stamp: Stamp,
        purpose: Purpose,
    ) -> Result<Position, LedgerError> {
        let position = self.append_now(entry, stamp, purpose)?;
        if let (Durability::Power, Some(sequence)) = (self.writer.durability, position.sequence) {
            self.synced(sequence).await?;
        }
        Ok(position)
    }

    /// Appends an entry; returns when the kernel has it. For code that cannot wait.
    pub fn append_now(
        &self,
        entry: &Entry,
        stamp: Stamp,
        purpose: Purpose,
    ) -> Result<Position, LedgerError> {
        let shared = &self.writer.shared;
        let draft = Draft::new(entry, &shared.origin, stamp)?;
        let mut book = shared.book();
        let appended = book.append(entry, &draft, stamp, purpose);
        let may_skip = book.mode == Mode::Observe;
        drop(book);
        match appended {
            Ok(sequence) => {
                shared.ring(sequence + 1);
                Ok(Position { sequence: Some(sequence) })
            }
            Err(LedgerError::Full | LedgerError::Poisoned(_)) if may_skip => {
                Ok(Position { sequence: None })
            }
            Err(error) => Err(error),
        }
    }

    /// Waits until the entry at `sequence` is on the disk. Many that wait share one sync.
    pub async fn synced(&self, sequence: u64) -> Result<(), LedgerError> {
        let shared = &self.writer.shared;
        let mut synced = shared.synced.subscribe();
        shared.want_sync();
        let is_done = |synced: &Synced| synced.tree.size() > sequence || synced.failed;
        match synced.wait_for(is_done).await {
            Ok(synced) if synced.tree.size() > sequence => Ok(()),
            Ok(_) => Err(LedgerError::Poisoned(shared.book().reason.clone().unwrap_or_default())),
            Err(_) => Err(LedgerError::ShutDown),
        }
    }

    /// Number of entries.
    #[must_use]
    pub fn head(&self) -> u64 {
        *self.writer.shared.doorbell.borrow()
    }

    /// Changes to the number of entries after every append.
    #[must_use]
    pub fn doorbell(&self) -> watch::Receiver<u64> {
        self.writer.shared.doorbell.subscribe()
    }

    /// Size and root of the tree over all entries.
    #[must_use]
    pub fn root(&self) -> (u64, Hash) {
        let tree = self.writer.shared.book().tree.clone();
        (tree.size(), tree.root())
    }

    /// Size and root of the tree over what a completed sync has put on the disk: what may be
    /// signed. `None` after a failed sync: nothing may be signed until a restart.
    #[must_use]
    pub fn synced_root(&self) -> Option<(u64, Hash)> {
        let synced = self.writer.shared.synced.borrow();
        (!synced.failed).then(|| (synced.tree.size(), synced.tree.root()))
    }

    /// How the ledger is.
    #[must_use]
    pub fn health(&self) -> Health {
        let synced = self.writer.shared.synced.borrow().clone();
        let book = self.writer.shared.book();
        Health {
            state: book.state,
            reason: book.reason.clone(),
            entries: book.tree.size(),
            synced_upto: synced.tree.size(),
            synced_at: synced.at,
            sync_ns_last: synced.took_ns,
            reserve_free_bytes: book.reserve_free_bytes(),
            open_exchanges: book.open.len() as u64,
            unrecorded: book.unrecorded.total,
            refused: book.refused.total,
        }
    }

    /// Takes no more entries, syncs a last time and stops the background thread. Blocks for that
    /// long; an error says that the last entries may not be on the disk.
    pub fn shutdown(&self) -> Result<(), LedgerError> {
        self.writer.shut_down();
        match self.writer.shared.book().reason.clone() {
            Some(reason) => Err(LedgerError::Poisoned(reason)),
            None => Ok(()),
        }
    }
}
