//! An index that is at the end of the ledger, for questions.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{Builder, FILE, IndexError, WANTED, check_sqlite_version, indexed_upto, remove};
use crate::ledger::reader;

/// How often a waiting reader looks how far the index is.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How long a reader waits while the index does not move at all.
const STANDSTILL_MAX: Duration = Duration::from_secs(30);
/// How long one statement waits for somebody else's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of the file is mapped: scans copy no pages then.
const MAP_BYTES: i64 = 64 * 1024 * 1024 * 1024;

/// Answers questions about one data directory.
#[derive(Debug)]
pub struct Index {
    pub(super) connection: Connection,
    data_dir: PathBuf,
    /// Lines of the ledger that could not be read.
    damaged: u64,
}

impl Index {
    /// Opens the index at the end of the ledger as of now. Builds what is missing, or waits for the
    /// process that builds it; where the directory cannot be written to, the whole index is built
    /// in a temporary file. `progress` hears how many entries are indexed and how many there are.
    pub fn open_for_reading(
        data_dir: &Path,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Index, IndexError> {
        check_sqlite_version()?;
        let end = reader::end(data_dir)?;
        let (mut seen, mut stood) = (0, Duration::ZERO);
        loop {
            match Builder::open(data_dir) {
                Ok(builder) => return Index::build(data_dir, builder, end, progress),
                Err(error) if error.is_unwritable() => {
                    let builder = Builder::temporary(data_dir)?;
                    return Index::build(data_dir, builder, end, progress);
                }
                Err(IndexError::Locked) => {}
                Err(error) => return Err(error),
            }
            let (index, at) = match Index::connect(data_dir) {
                Ok(index) => {
                    let at = indexed_upto(&index.connection).unwrap_or(0);
                    (Some(index), at)
                }
                // Not there yet, or just being made anew by the process that holds the lock.
                Err(_) => (None, 0),
            };
            if let Some(index) = index.filter(|_| at >= end) {
                return Ok(index);
            }
            // Where it cannot be made, the next transaction comes by itself.
            let _ = fs::File::create(data_dir.join(WANTED));
            if at == seen {
                stood += POLL_INTERVAL;
            } else {
                (seen, stood) = (at, Duration::ZERO);
            }
            if stood >= STANDSTILL_MAX {
                return Err(IndexError::Behind { at, end });
            }
            progress(at, end);
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Lines of the ledger that could not be read, or that contradict others.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Deletes the index because it turned out to be damaged while it was read; the next one to
    /// need it, or the process that follows the ledger, builds it again.
    pub fn discard(self) -> Result<(), IndexError> {
        let data_dir = self.data_dir;
        drop(self.connection);
        remove(&data_dir)
    }

    fn build(
        data_dir: &Path,
        mut builder: Builder,
        end: u64,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Index, IndexError> {
        builder.catch_up(Some(end), &mut |at| progress(at, end))?;
        if builder.is_temporary() {
            let damaged = builder.store.state.damaged;
            let connection = builder.store.connection;
            return Ok(Index { connection, data_dir: data_dir.to_owned(), damaged });
        }
        // Connected before the builder lets go, so that nobody can come between.
        let index = Index::connect(data_dir)?;
        drop(builder);
        Ok(index)
    }

    fn connect(data_dir: &Path) -> Result<Index, IndexError> {
        let connection = connect(data_dir)?;
        connection.pragma_update(None, "mmap_size", MAP_BYTES)?;
        let damaged = super::store::meta(&connection, "damaged")?;
        let damaged = damaged.and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Index { connection, data_dir: data_dir.to_owned(), damaged })
    }
}

/// A connection that only reads, however far the index is.
pub(super) fn connect(data_dir: &Path) -> Result<Connection, IndexError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(data_dir.join(FILE), flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}
