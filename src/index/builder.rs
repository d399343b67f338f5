//! The one writer: follows the ledger and puts each exchange into one row.
//!
//! It runs beside the proxy, so it is built for little CPU: lines are parsed once and borrowed from
//! the batch's buffer, an opening waits in memory for its closing, and the joined row is inserted
//! once. Only an exchange whose ends lie in two batches is inserted open and updated later.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::watch;

use super::correction;
use super::row::{Row, RowWriter};
use super::spend;
use super::store::{self, State, Store};
use super::tools;
use super::wire::{BatchFact, Fact, LineParser};
use super::{IndexError, LOCK, WANTED};
use crate::audit::merkle::leaf_hash;
use crate::ledger::reader::{Batch, Reader};

/// The most lines in one transaction.
const LINES_MAX: usize = 4 * 1024;
/// The most bytes of lines in one transaction.
const BATCH_BYTES: usize = 1024 * 1024;
/// Transactions are made this often, so that they are large and few; a question does not wait
/// for the next one ([`super::WANTED`]).
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);
/// How often the doorbell is looked at.
const DOORBELL_INTERVAL: Duration = Duration::from_millis(200);

/// Writes the index of one data directory.
#[derive(Debug)]
pub struct Builder {
    data_dir: PathBuf,
    /// Held as long as this lives; absent for a temporary index.
    lock: Option<File>,
    pub(super) store: Store,
    /// Absent until the ledger is read, and after any error: then it starts at the store's place.
    reader: Option<Reader>,
    batch: Batch,
    parser: LineParser,
}

impl Builder {
    /// Takes the lock and opens the index. [`IndexError::Locked`] where another process has it.
    pub fn open(data_dir: &Path) -> Result<Builder, IndexError> {
        let path = data_dir.join(LOCK);
        let failed = |source| IndexError::File { path: path.clone(), source };
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(IndexError::Locked),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut builder = Builder::new(data_dir, Some(file), Store::open(data_dir)?);
        // Now, and not with the next entry: until then a foreign index would be taken for ours.
        builder.reader = Some(builder.reader_in_place()?);
        Ok(builder)
    }

    /// Builds an index for one question, where the data directory cannot be written to.
    pub fn temporary(data_dir: &Path) -> Result<Builder, IndexError> {
        Ok(Builder::new(data_dir, None, Store::temporary()?))
    }

    fn new(data_dir: &Path, lock: Option<File>, store: Store) -> Builder {
        let data_dir = data_dir.to_owned();
        let (batch, parser) = (Batch::new(BATCH_BYTES), LineParser::default());
        Builder { data_dir, lock, store, reader: None, batch, parser }
    }

    /// The next entry to be indexed.
    #[must_use]
    pub fn indexed_upto(&self) -> u64 {
        self.store.state.indexed_upto
    }

    /// Whether the index goes away with this.
    pub(super) fn is_temporary(&self) -> bool {
        self.lock.is_none()
    }

    /// Indexes up to `until`, or to the end of the ledger as it is found. `progress` hears how far
    /// it got after each transaction. Returns that too. After an error it can be called again.
    pub fn catch_up(
        &mut self,
        until: Option<u64>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64, IndexError> {
        let mut rebuilt = false;
        self.return_to_place()?;
        while until.is_none_or(|until| self.indexed_upto() < until) {
            match self.transaction() {
                Ok(0) => break,
                Ok(_) => progress(self.indexed_upto()),
                Err(error) => {
                    self.reader = None;
                    if !error.is_damage() || rebuilt {
                        return Err(error);
                    }
                    tracing::warn!("the index is damaged and is built again: {error}");
                    rebuilt = true;
                    self.rebuild()?;
                }
            }
        }
        Ok(self.indexed_upto())
    }

    /// Whether somebody has asked a question since the last call and waits for the answer.
    fn is_wanted(&self) -> bool {
        fs::remove_file(self.data_dir.join(WANTED)).is_ok()
    }

    /// Starts again from nothing.
    pub fn rebuild(&mut self) -> Result<(), IndexError> {
        self.reader = None;
        self.store = match self.lock {
            Some(_) => Store::create(&self.data_dir)?,
            None => Store::temporary()?,
        };
        Ok(())
    }

    /// Starts again where somebody has deleted the file.
    fn return_to_place(&mut self) -> Result<(), IndexError> {
        if self.store.is_in_place() {
            return Ok(());
        }
        tracing::warn!("the index was deleted and is built again");
        self.rebuild()
    }

    /// Indexes one batch and says how many lines it had.
    fn transaction(&mut self) -> Result<usize, IndexError> {
        self.return_to_place()?;
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.reader_in_place()?,
        };
        self.store.check_wal()?;
        let lines = reader.read_batch(&mut self.batch, LINES_MAX)?;
        if lines > 0 {
            let mut state = self.store.state;
            state.indexed_upto = reader.next_index();
            if let Some((_, line)) = self.batch.iter().next_back() {
                state.last_leaf = leaf_hash(line);
            }
            let transaction =
                self.store.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            state.damaged += write_rows(&transaction, &self.batch, &self.parser)?;
            store::save(&transaction, &state)?;
            transaction.commit()?;
            self.store.state = state;
        }
        // Kept only after success, so that an error makes the next call read the same lines again.
        self.reader = Some(reader);
        Ok(lines)
    }

    /// A reader where the store stands. Where the ledger does not hold the entry that was indexed
    /// last, this index belongs to another ledger and starts again.
    fn reader_in_place(&mut self) -> Result<Reader, IndexError> {
        let State { indexed_upto, last_leaf, .. } = self.store.state;
        if let Some(last) = indexed_upto.checked_sub(1) {
            let mut reader = Reader::open(&self.data_dir, last)?;
            let reached = reader.next_index();
            reader.read_batch(&mut self.batch, 1)?;
            let found = self.batch.iter().next().map(|(index, line)| (index, leaf_hash(line)));
            match found {
                Some((index, leaf)) if index == last && leaf == last_leaf => return Ok(reader),
                // Pruned up to here: nothing left to compare with.
                Some((index, _)) if reached == last && index > last => {}
                _ => {
                    tracing::warn!("the index belongs to another ledger and is built again");
                    self.rebuild()?;
                }
            }
        }
        Ok(Reader::open(&self.data_dir, self.store.state.indexed_upto)?)
    }
}

/// Writes a batch's exchanges; returns how many lines say what cannot be.
fn write_rows(
    connection: &Connection,
    batch: &Batch,
    parser: &LineParser,
) -> Result<u64, IndexError> {
    let mut writer = RowWriter::new(connection)?;
    let mut damaged = 0;
    let mut rows: Vec<Row<'_>> = Vec::with_capacity(batch.len() / 2 + 1);
    let mut waiting: HashMap<Cow<'_, str>, usize> = HashMap::with_capacity(batch.len() / 2 + 1);
    for (_, line) in batch.iter() {
        match parser.parse(line) {
            Some(Fact::Opened(opened)) => {
                waiting.insert(opened.body.exchange.clone(), rows.len());
                rows.push(Row { opened, closed: None, may_repeat: false });
            }
            Some(Fact::Closed(closed)) => match waiting.remove(&closed.body.exchange) {
                Some(place) => rows[place].closed = Some(closed),
                None => damaged += u64::from(!writer.close(&closed)?),
            },
            Some(Fact::Batch(BatchFact::Result(result))) => {
                let (opened, closed) = result.into_exchange();
                rows.push(Row { opened, closed: Some(closed), may_repeat: true });
            }
            Some(Fact::Batch(BatchFact::Created(created))) => writer.batch_created(&created)?,
            Some(Fact::Reattributed(correction)) => {
                // It is about what stands before it; what closes later closes in its row.
                damaged += insert(&mut writer, &mut rows)?;
                waiting.clear();
                correction::apply(connection, correction.index, &correction.body)?;
            }
            Some(Fact::Asked(line)) => tools::asked(connection, &line)?,
            Some(Fact::Returned(line)) => tools::returned(connection, &line)?,
            Some(Fact::Hook(line)) => tools::hook(connection, &line)?,
            Some(Fact::Rule(line)) => tools::rule(connection, &line)?,
            Some(Fact::Notice(kind, line)) => spend::insert_notice(connection, kind, &line)?,
            Some(Fact::Other) => {}
            None => damaged += 1,
        }
    }
    damaged += insert(&mut writer, &mut rows)?;
    Ok(damaged)
}

/// Inserts the rows in the order of their openings: appending to the end of the table is SQLite's
/// fast path. Returns how many could not be.
fn insert(writer: &mut RowWriter<'_>, rows: &mut Vec<Row<'_>>) -> Result<u64, IndexError> {
    let mut damaged = 0;
    for row in rows.drain(..) {
        // A result that is in the ledger twice is in the index once.
        damaged += u64::from(!writer.insert(&row)? && !row.may_repeat);
    }
    Ok(damaged)
}

/// Keeps the index up with the ledger until `stop` says so or the ledger's doorbell is gone.
/// Blocks: give it a thread of its own. `indexed` tells others how far it got. The doorbell holds
/// the number of entries in the ledger.
pub fn follow(
    mut builder: Builder,
    doorbell: watch::Receiver<u64>,
    indexed: &AtomicU64,
    stop: impl Fn() -> bool,
) {
    let mut pause = Duration::ZERO;
    let mut failing = false;
    while !stop() && doorbell.has_changed().is_ok() {
        let end = *doorbell.borrow();
        let idle = end <= builder.indexed_upto() && builder.store.is_in_place();
        if builder.is_wanted() {
            pause = Duration::ZERO;
        }
        if idle || !pause.is_zero() {
            std::thread::sleep(DOORBELL_INTERVAL);
            pause = pause.saturating_sub(DOORBELL_INTERVAL);
            continue;
        }
        match builder.catch_up(Some(end), &mut |_| ()) {
            Ok(_) => {
                indexed.store(builder.indexed_upto(), Ordering::Relaxed);
                failing = false;
            }
            Err(error) => {
                if !failing {
                    tracing::warn!("the index falls behind, calls go on: {error}");
                }
                failing = true;
            }
        }
        pause = COMMIT_INTERVAL;
    }
}
