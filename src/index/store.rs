//! The index's file: opened, created, made anew.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};

use super::{FILE, IndexError, check_sqlite_version, remove};
use crate::audit::merkle::Hash;

const SCHEMA: &str = include_str!("schema.sql");
/// Goes up with every change of `schema.sql` or of what is put into it.
const SCHEMA_VERSION: &str = "9";
/// How long one statement waits for somebody else's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Rows are about 750 bytes: larger pages waste less of each.
const PAGE_BYTES: u32 = 8192;
/// The writer's page cache, in KiB.
const CACHE_KIB: i64 = 2 * 1024;
/// Statements of the writer that are kept prepared.
const STATEMENTS: usize = 32;
/// The write-ahead log is copied into the file from this size on, in pages.
const CHECKPOINT_PAGES: i64 = 1024;
/// Beyond this the log is not added to until readers let it be emptied.
const WAL_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A connection that writes, and where it stands in the ledger.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) connection: Connection,
    pub(super) state: State,
    /// The file's identity; absent for a temporary index.
    file: Option<(PathBuf, u64)>,
}

/// What moves with each transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The next entry to read.
    pub(super) indexed_upto: u64,
    /// Lines that could not be read, or said what cannot be.
    pub(super) damaged: u64,
    /// Leaf hash of the entry before `indexed_upto`: whether this index belongs to this ledger.
    pub(super) last_leaf: Hash,
}

impl Store {
    /// Opens the index of a data directory. What is not an index of this version is made anew.
    pub(super) fn open(data_dir: &Path) -> Result<Store, IndexError> {
        check_sqlite_version()?;
        match Store::open_existing(data_dir) {
            Ok(Some(store)) => return Ok(store),
            Ok(None) => {}
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
        Store::create(data_dir)
    }

    /// A new, empty index in place of whatever is there.
    pub(super) fn create(data_dir: &Path) -> Result<Store, IndexError> {
        remove(data_dir)?;
        let store = Store::connect(data_dir)?;
        store.connection.execute_batch(SCHEMA)?;
        store.save()?;
        Ok(store)
    }

    /// An index for one question, in a file that SQLite deletes by itself.
    pub(super) fn temporary() -> Result<Store, IndexError> {
        check_sqlite_version()?;
        let connection = Connection::open("")?;
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "journal_mode", "OFF")?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.execute_batch(SCHEMA)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let store = Store { connection, state: State::default(), file: None };
        store.save()?;
        Ok(store)
    }

    fn open_existing(data_dir: &Path) -> Result<Option<Store>, IndexError> {
        if !data_dir.join(FILE).exists() {
            return Ok(None);
        }
        let mut store = Store::connect(data_dir)?;
        if meta(&store.connection, "schema")?.as_deref() != Some(SCHEMA_VERSION) {
            return Ok(None);
        }
        let number = |key| -> Result<u64, IndexError> {
            Ok(meta(&store.connection, key)?.and_then(|text| text.parse().ok()).unwrap_or(0))
        };
        let leaf = meta(&store.connection, "last_leaf")?;
        store.state = State {
            indexed_upto: number("indexed_upto")?,
            damaged: number("damaged")?,
            last_leaf: leaf.and_then(|text| Hash::from_hex(&text)).unwrap_or(Hash::ZERO),
        };
        Ok(Some(store))
    }

    fn connect(data_dir: &Path) -> Result<Store, IndexError> {
        let path = data_dir.join(FILE);
        // SQLite gives its side files the mode of the file itself.
        let mut private = fs::OpenOptions::new();
        private.write(true).create(true).truncate(false).mode(0o600);
        private.open(&path).map_err(|source| IndexError::File { path: path.clone(), source })?;
        let connection = Connection::open(&path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // The file may be lost, but what is in it must be right: no `OFF` here.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(
            None,
            "journal_size_limit",
            CHECKPOINT_PAGES * i64::from(PAGE_BYTES),
        )?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let metadata = fs::metadata(&path)
            .map_err(|source| IndexError::File { path: path.clone(), source })?;
        Ok(Store { connection, state: State::default(), file: Some((path, metadata.ino())) })
    }

    /// Whether the file is still the one that was opened: somebody may have deleted it, and then
    /// all that is written goes nowhere.
    pub(super) fn is_in_place(&self) -> bool {
        let Some((path, inode)) = &self.file else { return true };
        fs::metadata(path).is_ok_and(|metadata| metadata.ino() == *inode)
    }

    /// Refuses to let the write-ahead log grow without end while somebody reads an old state.
    pub(super) fn check_wal(&self) -> Result<(), IndexError> {
        self.check_wal_within(WAL_BYTES_MAX)
    }

    fn check_wal_within(&self, bytes_max: u64) -> Result<(), IndexError> {
        let Some((path, _)) = &self.file else { return Ok(()) };
        let mut wal = path.clone().into_os_string();
        wal.push("-wal");
        let bytes = || fs::metadata(&wal).map_or(0, |metadata| metadata.len());
        if bytes() > bytes_max {
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            if bytes() > bytes_max {
                return Err(IndexError::WalFull);
            }
        }
        Ok(())
    }

    /// Writes the state; inside the caller's transaction where there is one.
    pub(super) fn save(&self) -> Result<(), IndexError> {
        save(&self.connection, &self.state)
    }
}

/// Writes the state through a connection, which may be a transaction.
pub(super) fn save(connection: &Connection, state: &State) -> Result<(), IndexError> {
    let sql = "INSERT INTO meta (key, value) VALUES ('schema', ?1), ('indexed_upto', ?2),
               ('damaged', ?3), ('last_leaf', ?4)
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    connection.prepare_cached(sql)?.execute((
        SCHEMA_VERSION,
        state.indexed_upto.to_string(),
        state.damaged.to_string(),
        String::from_utf8_lossy(&state.last_leaf.to_hex()).as_ref(),
    ))?;
    Ok(())
}

/// A value of the `meta` table; `None` also where there is no such table.
pub(super) fn meta(connection: &Connection, key: &str) -> Result<Option<String>, IndexError> {
    let exists = "SELECT 1 FROM sqlite_schema WHERE name = 'meta'";
    if connection.prepare_cached(exists)?.exists([])? {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        return Ok(connection.prepare_cached(sql)?.query_row([key], |r| r.get(0)).optional()?);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that reads an old state keeps the log from being emptied.
    #[test]
    fn a_log_that_cannot_be_emptied_is_not_added_to() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path()).unwrap();
        store.connection.busy_timeout(Duration::ZERO).unwrap();
        let reader = Connection::open(dir.path().join(FILE)).unwrap();
        reader.execute_batch("BEGIN; SELECT * FROM meta").unwrap();
        let more = "INSERT INTO meta VALUES (hex(randomblob(8)), hex(randomblob(50000)))";
        store.connection.execute_batch(more).unwrap();
        assert!(store.check_wal_within(1 << 20).is_ok());
        let full = store.check_wal_within(1 << 16).unwrap_err();
        assert!(full.to_string().contains("end the program that reads"), "{full}");
        reader.execute_batch("COMMIT").unwrap();
        assert!(store.check_wal_within(1 << 16).is_ok(), "it is emptied");
    }
}
