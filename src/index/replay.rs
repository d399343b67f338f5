//! Exchanges in the order of the ledger, each with its turn.
//!
//! Which turn an exchange belongs to follows from what came before it, so it is found by going
//! through the rows again. The writer, which runs beside the proxy, has no work with it.

use rusqlite::types::Value;
use rusqlite::{Row, Rows, params_from_iter};

use super::queries::{count, exchange, text};
use super::{Index, IndexError};
use crate::agent::query::Query;
use crate::report::exchange::Exchange;
use crate::report::turn::{Mark, Turns};

/// Columns that no turn depends on and no sum needs.
pub(super) const BESIDE: [&str; 9] = [
    "first_token_us",
    "streamed",
    "request_id",
    "tags",
    "usage",
    "lines",
    "moved_from",
    "batch",
    "attempt",
];

/// Columns that turns depend on.
pub(super) const NEEDED: [&str; 18] = [
    "sequence",
    "closed_seq",
    "id",
    "opened_at",
    "closed_at",
    "duration_us",
    "outcome",
    "status",
    "endpoint",
    "model_requested",
    "team",
    "session",
    "agent",
    "parent_agent",
    "call",
    "stop_reason",
    "error_class",
    "error_type",
];

/// What happens next in the ledger.
pub(super) enum Step<'s, 'r> {
    /// An exchange opened. Its row holds more columns behind those of an exchange.
    Exchange { row: &'r Row<'s>, exchange: &'r Exchange<'r>, turn: Option<&'r str> },
    /// A turn ended.
    Over(Query),
}

/// Which sessions are gone through.
pub(super) enum Sessions<'a> {
    All,
    /// Those of a JSON array of ids.
    Only(&'a str),
}

impl Sessions<'_> {
    /// As the end of an SQL condition, and what is bound to it.
    pub(super) fn sql(&self) -> (&'static str, Vec<Value>) {
        match self {
            Sessions::All => ("", Vec::new()),
            Sessions::Only(ids) => (
                " AND session IN (SELECT value FROM json_each(?))",
                vec![Value::Text((*ids).to_owned())],
            ),
        }
    }
}

impl Index {
    /// Goes through the exchanges of some sessions. `columns` stand behind those of the exchange,
    /// with their values; `now` says which turns count as left.
    pub(super) fn replay(
        &self,
        sessions: &Sessions<'_>,
        (columns, mut values): (&str, Vec<Value>),
        now_ns: u64,
        visit: &mut dyn FnMut(Step<'_, '_>) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let (condition, bound) = sessions.sql();
        let events = Mark::ALL.map(|mark| format!("'{}'", mark.event())).join(", ");
        let sql = format!(
            "SELECT sequence, session, event, at FROM hooks
             WHERE agent IS NULL AND session IS NOT NULL AND event IN ({events}){condition}
             ORDER BY sequence"
        );
        let mut statement = self.connection.prepare(&sql)?;
        let mut marks = Marks::new(statement.query(params_from_iter(bound.clone()))?)?;
        values.extend(bound);
        let sql = format!("SELECT {columns} FROM exchanges WHERE 1{condition} ORDER BY sequence");
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut turns = Turns::default();
        while let Some(row) = rows.next()? {
            let exchange = exchange(row);
            marks.take_before(exchange.sequence, &mut turns)?;
            let turn = turns.exchange(&exchange);
            turns.take_over().try_for_each(|query| visit(Step::Over(query)))?;
            visit(Step::Exchange { row, exchange: &exchange, turn: turn.as_deref() })?;
        }
        marks.take_before(u64::MAX, &mut turns)?;
        turns.finish(now_ns);
        turns.take_over().try_for_each(|query| visit(Step::Over(query)))
    }
}

/// Hooks that say something of turns, read as far as they are needed.
struct Marks<'s> {
    rows: Rows<'s>,
    next: Option<(u64, String, Mark, u64)>,
}

impl<'s> Marks<'s> {
    fn new(rows: Rows<'s>) -> Result<Marks<'s>, IndexError> {
        let mut marks = Marks { rows, next: None };
        marks.advance()?;
        Ok(marks)
    }

    fn advance(&mut self) -> Result<(), IndexError> {
        self.next = self.rows.next()?.and_then(|row| {
            let mark = text(row, 2).and_then(Mark::of)?;
            Some((count(row, 0)?, text(row, 1)?.to_owned(), mark, count(row, 3)?))
        });
        Ok(())
    }

    fn take_before(&mut self, sequence: u64, turns: &mut Turns) -> Result<(), IndexError> {
        while let Some(next) = self.next.take_if(|(place, ..)| *place < sequence) {
            let (place, session, mark, at_ns) = next;
            turns.hook(place, &session, mark, at_ns);
            self.advance()?;
        }
        Ok(())
    }
}
