//! The truth: an append-only book of entries in JSON Lines files.
//!
//! Appending is done by the caller: number, hash and one `write` under a lock, no thread to wake.
//! An entry that was acknowledged has left this process ([`Durability::Process`]) or is on the disk
//! ([`Durability::Power`]). Readers follow the files and wait on [`Ledger::doorbell`].

mod book;
mod disk;
mod leaves;
mod prune;
pub mod reader;
mod recovery;
mod reserve;
mod segment;
mod sync;
mod terms;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use crate::audit::merkle::{Frontier, Hash};
use crate::record::Entry;
use crate::record::encoding::{Draft, Origin, Stamp};
use disk::Disk;
use sync::Synced;
use writer::Writer;

pub use leaves::{each_leaf, tree_at};
pub use prune::{
    Prunable, keep_leaves, kept_since, prunable, pruned_upto, remove_lines, written_at,
};
pub use reserve::free_bytes;
pub use terms::{
    Durability, Health, LedgerError, Mode, Options, Position, Previous, Purpose, Recovery,
    SEGMENT_BYTES_DEFAULT, State,
};

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
        self.durable(position).await
    }

    /// Waits until an appended entry is durable in the configured sense. Without a sequence it is
    /// not: `observe` mode went on without it.
    pub async fn durable(&self, position: Position) -> Result<Position, LedgerError> {
        let (Durability::Power, Some(sequence)) = (self.writer.durability, position.sequence)
        else {
            return Ok(position);
        };
        match self.synced(sequence).await {
            Err(LedgerError::Poisoned(_)) if self.writer.shared.book().mode == Mode::Observe => {
                Ok(Position { sequence: None })
            }
            synced => synced.map(|()| position),
        }
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

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.writer.dir
    }

    /// How it was opened: what happens when it cannot be written, and what an entry survives.
    #[must_use]
    pub fn terms(&self) -> (Mode, Durability) {
        (self.writer.shared.book().mode, self.writer.durability)
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

    /// The tree over what a completed sync has put on the disk. `None` after a failed sync.
    #[must_use]
    pub fn synced_tree(&self) -> Option<Frontier> {
        let synced = self.writer.shared.synced.borrow();
        (!synced.failed).then(|| synced.tree.clone())
    }

    /// How the ledger is.
    #[must_use]
    pub fn health(&self) -> Health {
        let synced = self.writer.shared.synced.borrow().clone();
        let book = self.writer.shared.book();
        Health {
            state: book.state,
            takes_new_calls: book.takes_new_calls(),
            reason: book.reason.clone(),
            entries: book.tree.size(),
            synced_upto: synced.tree.size(),
            synced_at: synced.at,
            sync_ns_last: synced.took_ns,
            unsynced_since_ns: book.unsynced_since_ns(),
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
