//! What the index holds in all, read as it stands: for whoever compares it with the ledger.

use std::path::Path;

use super::reading;
use super::store::meta;
use super::{FILE, IndexError};
use crate::accounting::Money;

/// Calls and money of the first `indexed_upto` entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// How far the index got.
    pub indexed_upto: u64,
    /// Closed calls.
    pub closed: u64,
    /// Their cost, results of batches left out.
    pub usd: Money,
}

/// Reads them without building or moving anything; `None` where there is no index.
///
/// # Errors
///
/// SQLite cannot read the file.
pub fn totals(data_dir: &Path) -> Result<Option<Totals>, IndexError> {
    if !data_dir.join(FILE).is_file() {
        return Ok(None);
    }
    let mut connection = reading::connect(data_dir)?;
    let snapshot = connection.transaction()?;
    let Some(indexed_upto) = meta(&snapshot, "indexed_upto")?.and_then(|t| t.parse().ok()) else {
        return Ok(None);
    };
    // A result of a batch has a row too, but no duration; it may stand in the ledger twice.
    let sql = "SELECT COUNT(*), COALESCE(SUM(usd_nano), 0), COALESCE(SUM(usd_atto), 0)
               FROM exchanges WHERE duration_us IS NOT NULL";
    let (closed, nano, atto): (i64, i64, i64) =
        snapshot.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let closed = u64::try_from(closed).unwrap_or(0);
    Ok(Some(Totals { indexed_upto, closed, usd: Money::from_nano(nano, atto) }))
}
