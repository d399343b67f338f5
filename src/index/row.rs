//! An exchange as one row: its opening, its closing, or both.

use rusqlite::{CachedStatement, Connection, ToSql};

use super::IndexError;
use super::wire::{BatchCreated, Charge, Closed, Envelope, Opened};
use crate::accounting::Money;
use crate::record::encoding::Text;

/// Columns that the opening fills, in the order they are bound.
pub(super) const OPENED: [&str; 17] = [
    "sequence",
    "opened_at",
    "instance",
    "id",
    "call",
    "attempt",
    "endpoint",
    "model_requested",
    "team",
    "user",
    "project",
    "session",
    "agent",
    "parent_agent",
    "key",
    "streamed",
    "tags",
];
/// Columns that the closing fills, in the order they are bound.
pub(super) const CLOSED: [&str; 35] = [
    "closed_seq",
    "closed_at",
    "duration_us",
    "first_token_us",
    "outcome",
    "status",
    "error_class",
    "error_type",
    "flags",
    "request_id",
    "stop_reason",
    "batch",
    "input",
    "output",
    "cache_read",
    "write_5m",
    "write_1h",
    "usage",
    "unpriced",
    "usd_nano",
    "usd_atto",
    "list_nano",
    "list_atto",
    "max_nano",
    "max_atto",
    "estimated_nano",
    "estimated_atto",
    "estimated_max_nano",
    "estimated_max_atto",
    "savings_nano",
    "savings_atto",
    "notional",
    "pricing",
    "lines",
    "model",
];

/// Columns of [`CLOSED`] from `usd_nano` to `lines`: all NULL where there is no charge.
const CHARGED: usize = 15;

/// An exchange whose opening is in the batch.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) opened: Envelope<'a, Opened<'a>>,
    /// Absent where it closes in a later batch.
    pub(super) closed: Option<Envelope<'a, Closed<'a>>>,
    /// The ledger may hold it more than once: a result of a batch.
    pub(super) may_repeat: bool,
}

/// Writes rows through one transaction.
pub(super) struct RowWriter<'c> {
    connection: &'c Connection,
    insert: CachedStatement<'c>,
    update: CachedStatement<'c>,
}

impl<'c> RowWriter<'c> {
    pub(super) fn new(connection: &'c Connection) -> Result<RowWriter<'c>, IndexError> {
        let columns: Vec<&str> = OPENED.iter().chain(&CLOSED).copied().collect();
        // A line that contradicts what is there (an id or a place used twice) is counted, and does
        // not stop the index.
        let insert = format!(
            "INSERT OR IGNORE INTO exchanges ({}) VALUES (?{})",
            columns.join(", "),
            ", ?".repeat(columns.len() - 1)
        );
        let update = format!(
            "UPDATE exchanges SET {} = coalesce(?, model) WHERE id = ? AND closed_seq IS NULL",
            CLOSED.join(" = ?, ")
        );
        Ok(RowWriter {
            connection,
            insert: connection.prepare_cached(&insert)?,
            update: connection.prepare_cached(&update)?,
        })
    }

    /// Inserts a row. `false` where its id or place is taken.
    pub(super) fn insert(&mut self, row: &Row<'_>) -> Result<bool, IndexError> {
        let mut binder = Binder { statement: &mut self.insert, next: 1 };
        let requested = row.opened.body.model.as_ref();
        binder.opened(&row.opened)?;
        match &row.closed {
            Some(closed) => {
                binder.closed(closed)?;
                binder.text(closed.body.model.as_ref().or(requested))?;
            }
            None => {
                binder.still_open()?;
                binder.text(requested)?;
            }
        }
        Ok(self.insert.raw_execute()? == 1)
    }

    /// Remembers who made a message batch; the first to say so is right.
    pub(super) fn batch_created(
        &self,
        line: &Envelope<'_, BatchCreated<'_>>,
    ) -> Result<(), IndexError> {
        let sql = "INSERT OR IGNORE INTO batches (batch, created_at, team, user, project, key)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let made = &line.body;
        let own = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.to_string());
        self.connection.prepare_cached(sql)?.execute((
            &*made.batch,
            line.wall_ns,
            &*made.team,
            own(&made.user),
            own(&made.project),
            own(&made.key),
        ))?;
        Ok(())
    }

    /// Closes a row of an earlier batch. Where its opening is lost (pruned, damaged) the closing
    /// becomes a row by itself: what was spent stays in the sums. `false` where it is closed
    /// already.
    pub(super) fn close(&mut self, closed: &Envelope<'_, Closed<'_>>) -> Result<bool, IndexError> {
        let mut binder = Binder { statement: &mut self.update, next: 1 };
        binder.closed(closed)?;
        binder.text(closed.body.model.as_ref())?;
        binder.put(&*closed.body.exchange)?;
        if self.update.raw_execute()? == 1 {
            return Ok(true);
        }
        let mut binder = Binder { statement: &mut self.insert, next: 1 };
        binder.never_opened(closed)?;
        binder.closed(closed)?;
        binder.text(closed.body.model.as_ref())?;
        Ok(self.insert.raw_execute()? == 1)
    }
}

/// Binds one value after the other.
struct Binder<'s, 'c> {
    statement: &'s mut CachedStatement<'c>,
    next: usize,
}

impl Cells for Binder<'_, '_> {
    fn put(&mut self, value: impl ToSql) -> Result<(), IndexError> {
        self.statement.raw_bind_parameter(self.next, value)?;
        self.next += 1;
        Ok(())
    }
}

/// Takes the cells of a row, in the order of [`OPENED`] and [`CLOSED`]: into a statement, or into
/// the sums that tell whether an index holds what the lines say.
pub(super) trait Cells {
    fn put(&mut self, value: impl ToSql) -> Result<(), IndexError>;

    fn text(&mut self, value: Option<&Text<'_>>) -> Result<(), IndexError> {
        self.put(value.map(|text| &*text.0))
    }

    /// The columns of [`OPENED`].
    fn opened(&mut self, line: &Envelope<'_, Opened<'_>>) -> Result<(), IndexError> {
        let opened = &line.body;
        self.put(line.index)?;
        self.put(line.wall_ns)?;
        self.put(&*line.instance)?;
        self.put(&*opened.exchange)?;
        self.put((opened.call != opened.exchange).then_some(&*opened.call))?;
        self.put(opened.attempt)?;
        self.put(&*opened.endpoint)?;
        self.text(opened.model.as_ref())?;
        self.put(&*opened.team)?;
        for text in [&opened.user, &opened.project, &opened.session, &opened.agent] {
            self.text(text.as_ref())?;
        }
        self.text(opened.parent_agent.as_ref())?;
        self.text(opened.key.as_ref())?;
        self.put(opened.streamed)?;
        self.put(opened.tags.map(|raw| raw.get()))
    }

    /// The columns of [`OPENED`] where the opening is lost.
    fn never_opened(&mut self, line: &Envelope<'_, Closed<'_>>) -> Result<(), IndexError> {
        let lasted_ns = line.body.duration_us.unwrap_or(0).saturating_mul(1000);
        self.put(line.index)?;
        self.put(line.wall_ns.saturating_sub(lasted_ns))?;
        self.put(&*line.instance)?;
        self.put(&*line.body.exchange)?;
        (4..OPENED.len()).try_for_each(|_| self.put(None::<i64>))
    }

    /// The columns of [`CLOSED`] but the model, which the opening may know.
    fn closed(&mut self, line: &Envelope<'_, Closed<'_>>) -> Result<(), IndexError> {
        let closed = &line.body;
        self.put(line.index)?;
        self.put(line.wall_ns)?;
        self.put(closed.duration_us)?;
        self.put(closed.first_token_us)?;
        self.put(&*closed.outcome)?;
        self.put(closed.status)?;
        self.text(closed.error_class.as_ref())?;
        self.text(closed.error_type.as_ref())?;
        self.put(closed.flags.map(|raw| raw.get()))?;
        self.text(closed.request_id.as_ref())?;
        self.text(closed.stop_reason.as_ref())?;
        self.put(closed.batch.map(|raw| raw.get()))?;

        for count in closed.billed_tokens() {
            self.put(count)?;
        }
        self.put(closed.usage.map(|raw| raw.get()))?;

        self.charge(closed.charge.as_ref())
    }

    /// The columns of [`CLOSED`] from `unpriced` to `lines`.
    fn charge(&mut self, charge: Option<&Charge<'_>>) -> Result<(), IndexError> {
        let Some(charge) = charge else {
            self.put(0)?;
            return (0..CHARGED).try_for_each(|_| self.put(None::<i64>));
        };
        self.put(charge.is_unpriced())?;
        self.money(charge.usd)?;
        self.money(charge.list_usd.filter(|list| charge.usd != Some(*list)))?;
        self.money(charge.usd_max)?;
        self.money(charge.estimated_usd)?;
        self.money(charge.estimated_max_usd)?;
        self.money(charge.cache_savings_usd)?;
        self.put(charge.notional.filter(|notional| *notional != 0))?;
        self.put(&*charge.pricing)?;
        self.put(charge.lines.map(|raw| raw.get()))
    }

    fn money(&mut self, amount: Option<Money>) -> Result<(), IndexError> {
        let parts = amount.map(Money::split_nano);
        self.put(parts.map(|(nano, _)| nano))?;
        self.put(parts.map(|(_, atto)| atto))
    }

    /// The columns of [`CLOSED`] but the model while there is no closing.
    fn still_open(&mut self) -> Result<(), IndexError> {
        for column in &CLOSED[..CLOSED.len() - 1] {
            match *column {
                "unpriced" => self.put(0)?,
                _ => self.put(None::<i64>)?,
            }
        }
        Ok(())
    }
}
