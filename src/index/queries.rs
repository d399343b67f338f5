//! The questions. Sums are made in Rust while a scan goes by: SQLite would sort every row before it
//! groups, which costs more than all the rest.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Row, params_from_iter};

use super::{Index, IndexError};
use crate::accounting::Money;
use crate::report::Period;
use crate::report::exchange::{Attempt, Exchange};
use crate::report::session::{SessionFacts, Sessions};

/// The most attempts of one call that are listed.
const ATTEMPTS_MAX: u32 = 100;
/// What is read of an exchange.
pub(super) const COLUMNS: &str =
    "sequence, closed_seq, id, instance, opened_at, closed_at, duration_us,
    first_token_us, outcome, status, endpoint, model, model_requested, team, user, project, session,
    agent, parent_agent, key, call, attempt, streamed, input, output, cache_read, write_5m,
    write_1h, usd_nano, usd_atto, list_nano, list_atto, max_nano, max_atto, estimated_nano,
    estimated_atto, estimated_max_nano, estimated_max_atto, savings_nano, savings_atto, unpriced,
    notional, pricing, request_id, stop_reason, error_type, flags, tags, usage, lines, moved_seq,
    moved_from, batch, error_class";

/// The columns among them that no sum needs, and those that only the way of serving needs.
const DETAILS: [&str; 12] = [
    "batch",
    "duration_us",
    "first_token_us",
    "status",
    "model_requested",
    "parent_agent",
    "call",
    "attempt",
    "streamed",
    "stop_reason",
    "error_class",
    "error_type",
];
const SERVED: [&str; 3] = ["usage", "tags", "request_id"];

/// Which exchanges are meant. An absent condition holds for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// When they were opened.
    pub period: Period,
    /// Who pays.
    pub team: Option<String>,
    /// The client's session.
    pub session: Option<String>,
    /// The model that answered, else the one asked for.
    pub model: Option<String>,
    /// Why they closed.
    pub outcome: Option<String>,
}

/// Which exchanges, and how many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All, the oldest first.
    All(Filter),
    /// The newest so many, the newest first.
    Newest(Filter, u32),
    /// The one with this id.
    One(String),
}

impl Filter {
    /// As the end of an SQL statement, and what is bound to it.
    pub(super) fn sql(&self) -> (String, Vec<Value>) {
        let moment = |moment: Option<crate::report::period::Moment>| {
            moment.map(|moment| Value::Integer(moment.0))
        };
        let text = |text: &Option<String>| text.clone().map(Value::Text);
        let conditions = [
            ("opened_at >= ?", moment(self.period.from)),
            ("opened_at < ?", moment(self.period.to)),
            ("team = ?", text(&self.team)),
            ("session = ?", text(&self.session)),
            ("model = ?", text(&self.model)),
            ("outcome = ?", text(&self.outcome)),
        ];
        let mut sql = String::from(" WHERE 1");
        let mut values = Vec::new();
        for (condition, value) in conditions {
            if let Some(value) = value {
                sql.push_str(" AND ");
                sql.push_str(condition);
                values.push(value);
            }
        }
        (sql, values)
    }
}

impl Index {
    /// When the first exchange was opened, nanoseconds since 1970 (UTC).
    pub fn first_opened(&self) -> Result<Option<i64>, IndexError> {
        let sql = "SELECT opened_at FROM exchanges ORDER BY sequence LIMIT 1";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        Ok(rows.next()?.and_then(|row| integer(row, 0)))
    }

    /// Shows each selected exchange to `visit`, which stops the scan with an error of its own.
    pub fn exchanges<E: From<IndexError>>(
        &self,
        selection: &Selection,
        mut visit: impl FnMut(&Exchange<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (condition, values) = match selection {
            Selection::All(filter) => {
                let (sql, values) = filter.sql();
                (format!("{sql} ORDER BY sequence"), values)
            }
            Selection::Newest(filter, limit) => {
                let (sql, values) = filter.sql();
                (format!("{sql} ORDER BY sequence DESC LIMIT {limit}"), values)
            }
            Selection::One(id) => (" WHERE id = ?".to_owned(), vec![Value::Text(id.clone())]),
        };
        self.visit(&format!("SELECT {COLUMNS} FROM exchanges{condition}"), values, &mut visit)
    }

    /// Shows every exchange of a period to `visit`, the oldest first, without what no sum needs:
    /// half the work. How it was served (usage, tags, request id) is there only where `served`.
    pub fn charges(
        &self,
        period: Period,
        served: bool,
        mut visit: impl FnMut(&Exchange<'_>),
    ) -> Result<(), IndexError> {
        let (condition, values) = Filter { period, ..Filter::default() }.sql();
        let columns =
            columns(|name| !DETAILS.contains(&name) && (served || !SERVED.contains(&name)));
        let sql = format!("SELECT {columns} FROM exchanges{condition} ORDER BY sequence");
        self.visit(&sql, values, &mut |exchange| {
            visit(exchange);
            Ok::<_, IndexError>(())
        })
    }

    /// Shows the rows of a query for [`COLUMNS`].
    fn visit<E: From<IndexError>>(
        &self,
        sql: &str,
        values: Vec<Value>,
        visit: &mut dyn FnMut(&Exchange<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self.connection.prepare(sql).map_err(IndexError::from)?;
        let mut rows = statement.query(params_from_iter(values)).map_err(IndexError::from)?;
        while let Some(row) = rows.next().map_err(IndexError::from)? {
            visit(&exchange(row))?;
        }
        Ok(())
    }

    /// All attempts of the logical call whose first attempt is the exchange `call`.
    pub fn attempts(&self, call: &str) -> Result<Vec<Attempt>, IndexError> {
        let sql = "SELECT id, attempt, outcome, status, usd_nano, usd_atto FROM exchanges
                   WHERE id = ?1 OR call = ?1 ORDER BY attempt, sequence LIMIT ?2";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query((call, ATTEMPTS_MAX))?;
        let mut attempts = Vec::new();
        while let Some(row) = rows.next()? {
            attempts.push(Attempt {
                id: text(row, 0).unwrap_or_default().to_owned(),
                attempt: count(row, 1),
                outcome: text(row, 2).map(str::to_owned),
                status: count(row, 3),
                usd: money(row, 4),
            });
        }
        Ok(attempts)
    }

    /// Adds every exchange that has a session to `sessions`.
    pub fn sessions(&self, filter: &Filter, sessions: &mut Sessions) -> Result<(), IndexError> {
        let (condition, values) = filter.sql();
        let sql = format!(
            "SELECT session, opened_at, team, model, input, output, cache_read, write_5m, write_1h,
                    usd_nano, usd_atto, unpriced, notional, estimated_nano, estimated_atto
             FROM exchanges{condition} AND session IS NOT NULL"
        );
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            let tokens = (4..9).filter_map(|place| count(row, place));
            let facts = SessionFacts {
                opened_at: integer(row, 1).unwrap_or(0),
                team: text(row, 2),
                model: text(row, 3),
                tokens: tokens.fold(0, u64::saturating_add),
                usd: money(row, 9),
                unpriced: integer(row, 11) == Some(1),
                notional: integer(row, 12) == Some(1),
                estimated: money(row, 13),
            };
            sessions.add(text(row, 0).unwrap_or_default(), &facts);
        }
        Ok(())
    }
}

/// [`COLUMNS`], with NULL for what is not needed: what stands far back in a row costs time.
pub(super) fn columns(needed: impl Fn(&str) -> bool) -> String {
    let columns = COLUMNS.split(',').map(str::trim);
    columns.map(|name| if needed(name) { name } else { "NULL" }).collect::<Vec<_>>().join(", ")
}

/// Reads a row of [`COLUMNS`].
pub(super) fn exchange<'r>(row: &'r Row<'_>) -> Exchange<'r> {
    let id = text(row, 2).unwrap_or_default();
    Exchange {
        sequence: count(row, 0).unwrap_or(0),
        closed_sequence: count(row, 1),
        id,
        instance: text(row, 3).unwrap_or_default(),
        opened_at: integer(row, 4).unwrap_or(0),
        closed_at: integer(row, 5),
        duration_us: count(row, 6),
        first_token_us: count(row, 7),
        outcome: text(row, 8),
        status: count(row, 9),
        endpoint: text(row, 10),
        model: text(row, 11),
        model_requested: text(row, 12),
        team: text(row, 13),
        user: text(row, 14),
        project: text(row, 15),
        session: text(row, 16),
        agent: text(row, 17),
        parent_agent: text(row, 18),
        key: text(row, 19),
        call: text(row, 20).unwrap_or(id),
        attempt: count(row, 21),
        streamed: integer(row, 22).map(|streamed| streamed != 0),
        input: count(row, 23),
        output: count(row, 24),
        cache_read: count(row, 25),
        write_5m: count(row, 26),
        write_1h: count(row, 27),
        usd: money(row, 28),
        list: money(row, 30),
        usd_max: money(row, 32),
        estimated: money(row, 34),
        estimated_max: money(row, 36),
        savings: money(row, 38),
        unpriced: integer(row, 40) == Some(1),
        notional: integer(row, 41) == Some(1),
        pricing: text(row, 42),
        request_id: text(row, 43),
        stop_reason: text(row, 44),
        error_class: text(row, 53),
        error_type: text(row, 45),
        flags: text(row, 46),
        tags: text(row, 47),
        usage: text(row, 48),
        lines: text(row, 49),
        moved_sequence: count(row, 50),
        moved_from: text(row, 51),
        batch: text(row, 52),
    }
}

// The table is STRICT, so a value is of its column's type or NULL.

pub(super) fn text<'r>(row: &'r Row<'_>, place: usize) -> Option<&'r str> {
    match row.get_ref(place) {
        Ok(ValueRef::Text(bytes)) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

pub(super) fn integer(row: &Row<'_>, place: usize) -> Option<i64> {
    match row.get_ref(place) {
        Ok(ValueRef::Integer(number)) => Some(number),
        _ => None,
    }
}

pub(super) fn count(row: &Row<'_>, place: usize) -> Option<u64> {
    integer(row, place).and_then(|number| u64::try_from(number).ok())
}

/// The amount in two columns from `place` on.
pub(super) fn money(row: &Row<'_>, place: usize) -> Option<Money> {
    Some(Money::from_nano(integer(row, place)?, integer(row, place + 1)?))
}
