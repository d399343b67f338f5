//! Corrections, applied to the rows that stand before them.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::IndexError;
use crate::record::Reattributed;
use crate::record::correction::Chosen;

/// Moves what `correction` chooses among the rows before `sequence`, its own place in the ledger.
/// Where a row came from first is kept. The same correction a second time does nothing.
pub(super) fn apply(
    connection: &Connection,
    sequence: i64,
    correction: &Reattributed,
) -> Result<(), IndexError> {
    let known = "INSERT OR IGNORE INTO corrections (id, sequence) VALUES (?, ?)";
    if connection.execute(known, (&correction.id, sequence))? == 0 {
        return Ok(());
    }
    let payer = &correction.payer;
    let text = |value: &Option<String>| value.clone().map_or(Value::Null, Value::Text);
    let mut values = vec![
        Value::Text(payer.team.clone()),
        text(&payer.user),
        text(&payer.project),
        Value::Integer(sequence),
        Value::Integer(sequence),
    ];
    let mut sql = String::from(
        "UPDATE exchanges SET moved_from = coalesce(moved_from, team, ''), team = ?, user = ?,
             project = ?, moved_seq = ? WHERE sequence < ?",
    );
    let Chosen { exchanges, from, key, session, team, to } = &correction.chosen;
    let conditions = [
        ("opened_at >= ?", from.map(Value::Integer)),
        ("opened_at < ?", to.map(Value::Integer)),
        ("key = ?", key.clone().map(Value::Text)),
        ("session = ?", session.clone().map(Value::Text)),
        ("team = ?", team.clone().map(Value::Text)),
    ];
    for (condition, value) in conditions {
        if let Some(value) = value {
            sql.push_str(" AND ");
            sql.push_str(condition);
            values.push(value);
        }
    }
    if !exchanges.is_empty() {
        sql.push_str(" AND id IN (?");
        sql.push_str(&", ?".repeat(exchanges.len() - 1));
        sql.push(')');
        values.extend(exchanges.iter().cloned().map(Value::Text));
    }
    connection.execute(&sql, params_from_iter(values))?;
    Ok(())
}
