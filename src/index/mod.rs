//! A view of the ledger in SQLite, for questions. It holds nothing of its own: delete it, damage
//! it, change its version, and it is built again from the ledger to the same figures.
//!
//! * [`Builder`] is the one writer. It follows the ledger in large transactions, and how far it got
//!   (`indexed_upto`) moves in the same transaction as the rows.
//! * [`Index`] answers. It is opened at the end of the ledger as of now: by building it, or by
//!   waiting for the process that does.
//!
//! Invariant: a transaction that commits holds every exchange whose lines are before `indexed_upto`
//! exactly once.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::ledger::reader::ReadError;

mod batches;
mod builder;
mod correction;
mod queries;
mod reading;
mod replay;
mod row;
mod spend;
mod store;
mod tally;
mod timeline;
mod tools;
mod totals;
mod wire;

pub use batches::{KnownBatch, Maker, known_batch};
pub use builder::{Builder, follow};
pub use queries::{Filter, Selection};
pub use reading::Index;
pub use totals::{Expected, Rows, Snapshot, Totals};

/// The index's file in the data directory.
pub const FILE: &str = "index.sqlite";
/// Held by the one process that writes the index.
pub const LOCK: &str = "index.lock";
/// Made by a command that waits for the process that writes the index, and taken away by it.
pub const WANTED: &str = "index.wanted";
/// SQLite before 3.51.3 can damage a WAL database when a checkpoint races with a reset.
pub const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// The index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Another process writes it.
    #[error("another process builds the index; wait for it to finish")]
    Locked,
    /// The ledger behind it cannot be read.
    #[error(transparent)]
    Ledger(#[from] ReadError),
    /// SQLite says no.
    #[error("the index cannot be used: {0}; delete index.sqlite and it is built again")]
    Sqlite(#[from] rusqlite::Error),
    /// A file of the index cannot be handled.
    #[error("cannot use {path}: {source}; check its folder's permissions and space")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A build with another SQLite than the one that comes along.
    #[error("SQLite {0} is linked, 3.51.3 is needed; build with the bundled one")]
    SqliteTooOld(&'static str),
    /// A reader keeps the write-ahead log from being emptied, so nothing is added to it.
    #[error("the index's write-ahead log is full; end the program that reads index.sqlite")]
    WalFull,
    /// Nobody moved the index forward.
    #[error("the index stands at entry {at} of {end}; is the process that builds it stuck?")]
    Behind {
        /// How far it got.
        at: u64,
        /// The end of the ledger when the question was asked.
        end: u64,
    },
}

impl IndexError {
    /// Whether the file is damaged: then only building it again helps.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let IndexError::Sqlite(error) = self else { return false };
        matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
    }

    /// Whether the file can be opened and does not hold what an index holds: damaged, or changed.
    #[must_use]
    pub fn is_of_content(&self) -> bool {
        let IndexError::Sqlite(error) = self else { return false };
        let code = error.sqlite_error_code();
        self.is_damage() || code.is_none_or(|code| code == rusqlite::ErrorCode::Unknown)
    }

    /// Whether the directory does not let us write an index.
    #[must_use]
    fn is_unwritable(&self) -> bool {
        use rusqlite::ErrorCode::{CannotOpen, PermissionDenied, ReadOnly};
        match self {
            IndexError::File { .. } => true,
            IndexError::Sqlite(error) => {
                let code = error.sqlite_error_code();
                matches!(code, Some(CannotOpen | PermissionDenied | ReadOnly))
            }
            _ => false,
        }
    }
}

/// Deletes the index's files. Safe at any time: whoever writes it sees that it is gone.
pub fn remove(data_dir: &Path) -> Result<(), IndexError> {
    for suffix in ["", "-wal", "-shm"] {
        let path = data_dir.join(format!("{FILE}{suffix}"));
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(IndexError::File { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether the index still has calls from before an entry, which the ledger holds no more.
pub fn holds_before(data_dir: &Path, sequence: u64) -> Result<bool, IndexError> {
    if sequence == 0 || !data_dir.join(FILE).exists() {
        return Ok(false);
    }
    let connection = reading::connect(data_dir)?;
    let sql = "SELECT EXISTS (SELECT 1 FROM exchanges WHERE sequence < ?1)";
    let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
    Ok(connection.query_row(sql, [sequence], |row| row.get(0))?)
}

/// Copies the index as it is at this moment into another data directory, also while it is written.
/// Where there is none, none is made.
pub fn copy(data_dir: &Path, to: &Path) -> Result<(), IndexError> {
    if !data_dir.join(FILE).exists() {
        return Ok(());
    }
    let connection = reading::connect(data_dir)?;
    let path = to.join(FILE);
    connection.execute("VACUUM INTO ?1", [path.to_string_lossy()])?;
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&path, private).map_err(|source| IndexError::File { path, source })
}

/// How far a connection's index got.
fn indexed_upto(connection: &Connection) -> Result<u64, IndexError> {
    Ok(store::meta(connection, "indexed_upto")?.and_then(|text| text.parse().ok()).unwrap_or(0))
}

fn check_sqlite_version() -> Result<(), IndexError> {
    check_version(rusqlite::version_number(), rusqlite::version())
}

/// A start with an older SQLite ends here.
fn check_version(number: i32, name: &'static str) -> Result<(), IndexError> {
    if number < SQLITE_VERSION_MIN {
        return Err(IndexError::SqliteTooOld(name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_sqlite_is_refused() {
        assert!(check_sqlite_version().is_ok(), "the bundled one");
        assert!(check_version(3_051_003, "3.51.3").is_ok());
        let refused = check_version(3_051_002, "3.51.2").unwrap_err().to_string();
        assert_eq!(
            refused,
            "SQLite 3.51.2 is linked, 3.51.3 is needed; build with the bundled one"
        );
    }
}
