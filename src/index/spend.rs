//! What budgets ask: charges by the moment they closed, errors, and what was told about them.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use serde_json::value::RawValue;

use super::wire::Envelope;
use super::{Index, IndexError};
use crate::accounting::Money;
use crate::accounting::budget::Spent;
use crate::record::{Notice, Noticed};

/// The newest notices that are read.
const NOTICES_MAX: u32 = 20_000;

/// Keeps a notice.
pub(super) fn insert_notice(
    connection: &Connection,
    kind: &str,
    line: &Envelope<'_, &RawValue>,
) -> Result<(), IndexError> {
    let sql = "INSERT OR IGNORE INTO notices (sequence, at, kind, body) VALUES (?1, ?2, ?3, ?4)";
    let row = (line.index, line.wall_ns, kind, line.body.get());
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

impl Index {
    /// Shows every charge that counts to `visit`: billed, with a known price, its entry written at
    /// `since` (nanoseconds since 1970) or later and before the place `before` in the ledger. Reads
    /// every row of the table.
    pub fn spent(
        &self,
        since: i64,
        before: u64,
        mut visit: impl FnMut(&Spent),
    ) -> Result<(), IndexError> {
        let sql = "SELECT closed_at, usd_nano, usd_atto, team, project, user, model, session
                   FROM exchanges
                   WHERE closed_at >= ?1 AND closed_seq < ?2 AND usd_nano IS NOT NULL
                   AND notional IS NULL";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query((since, bound(before)))?;
        let mut spent = Spent::default();
        while let Some(row) = rows.next()? {
            spent.at = row.get(0)?;
            spent.usd = Money::from_nano(row.get(1)?, row.get(2)?);
            // The same few names again and again: their room is kept.
            set(&mut spent.team, row, 3)?;
            set(&mut spent.project, row, 4)?;
            set(&mut spent.user, row, 5)?;
            set(&mut spent.model, row, 6)?;
            set(&mut spent.session, row, 7)?;
            visit(&spent);
        }
        Ok(())
    }

    /// Every error of the API's own since then: its type, its class where there is one, team and
    /// moment, in the order they closed.
    pub fn errors(
        &self,
        since: i64,
        before: u64,
        mut visit: impl FnMut(&str, &str, i64),
    ) -> Result<(), IndexError> {
        let sql = "SELECT error_type, error_class, team, closed_at FROM exchanges
                   WHERE closed_at >= ?1 AND closed_seq < ?2 AND error_type IS NOT NULL
                   AND outcome <> 'refused' ORDER BY closed_seq";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query((since, bound(before)))?;
        while let Some(row) = rows.next()? {
            let (kind, class): (String, Option<String>) = (row.get(0)?, row.get(1)?);
            let team: String = row.get::<_, Option<String>>(2)?.unwrap_or_default();
            let at = row.get(3)?;
            visit(&kind, &team, at);
            if let Some(class) = class {
                visit(&class, &team, at);
            }
        }
        Ok(())
    }

    /// What was told before the place `before` in the ledger, the oldest first.
    pub fn notices(&self, before: u64) -> Result<Vec<Noticed>, IndexError> {
        let sql = "SELECT sequence, at, kind, body FROM notices WHERE sequence < ?1
                   ORDER BY sequence DESC LIMIT ?2";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query((bound(before), NOTICES_MAX))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let (kind, body): (String, String) = (row.get(2)?, row.get(3)?);
            // One that a newer version wrote is none of ours.
            if let Some(notice) = Notice::parse(&kind, &body) {
                let sequence = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
                found.push(Noticed { sequence, at: row.get(1)?, notice });
            }
        }
        found.reverse();
        Ok(found)
    }
}

fn bound(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

fn set(place: &mut Option<String>, row: &Row<'_>, column: usize) -> Result<(), IndexError> {
    match row.get_ref(column)? {
        ValueRef::Text(bytes) => {
            let text = place.get_or_insert_default();
            text.clear();
            text.push_str(&String::from_utf8_lossy(bytes));
        }
        _ => *place = None,
    }
    Ok(())
}
