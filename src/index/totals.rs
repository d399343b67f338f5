//! What the index holds in all, read as it stands: for whoever compares it with the ledger.
//!
//! Rows are compared as sums of hashes, each of an exchange's id and some of its cells: openings
//! and closings come far apart in the ledger, and a sum needs neither order nor memory. A bit that
//! turns round on the disk, or an amount, a name, a status that was changed, gives another sum.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::Path;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};

use super::reading;
use super::row::{CLOSED, Cells, OPENED};
use super::store::meta;
use super::wire::{Closed, Envelope, Fact, LineParser, Opened};
use super::{FILE, IndexError};
use crate::accounting::Money;
use crate::audit::verify::OPEN_MAX;

/// The columns that a correction changes: `team`, `user`, `project`.
const PAYER: std::ops::Range<usize> = 8..11;

/// Calls and money of the first `indexed_upto` entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Closed calls.
    pub closed: u64,
    /// Their cost, results of batches left out.
    pub usd: Money,
    /// All their rows, results of batches left out.
    pub rows: Rows,
    /// Corrections moved calls: who pays cannot be compared.
    pub is_moved: bool,
}

/// Sums of hashes over rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    cells: u64,
    payers: u64,
}

impl Rows {
    /// Whether they are the same; without who pays where that was moved.
    #[must_use]
    pub const fn agree(&self, other: &Rows, is_moved: bool) -> bool {
        self.cells == other.cells && (is_moved || self.payers == other.payers)
    }

    fn add(&mut self, part: Part) {
        self.cells = self.cells.wrapping_add(part.cells.finish());
        self.payers = self.payers.wrapping_add(part.payer.finish());
    }
}

/// Some cells of one exchange: those of its opening, of its closing, or its model.
struct Part {
    cells: DefaultHasher,
    payer: DefaultHasher,
    /// The next column; payers are among those of openings alone.
    next: usize,
    has_payer: bool,
}

/// Which cells a part holds.
#[derive(Clone, Copy)]
enum Which {
    Opening,
    Closing,
    Model,
}

impl Part {
    fn of(id: &str, which: Which) -> Part {
        let mut cells = DefaultHasher::new();
        cells.write_u8(which as u8);
        cells.write(id.as_bytes());
        let has_payer = matches!(which, Which::Opening);
        Part { payer: cells.clone(), cells, next: 0, has_payer }
    }

    fn value(&mut self, value: ValueRef<'_>) {
        let is_payer = self.has_payer && PAYER.contains(&self.next);
        self.next += 1;
        let hasher = if is_payer { &mut self.payer } else { &mut self.cells };
        hasher.write_u8(value.data_type() as u8);
        match value {
            ValueRef::Null => {}
            ValueRef::Integer(number) => hasher.write_i64(number),
            ValueRef::Real(number) => hasher.write_u64(number.to_bits()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                hasher.write_usize(bytes.len());
                hasher.write(bytes);
            }
        }
    }
}

impl Cells for Part {
    fn put(&mut self, value: impl ToSql) -> Result<(), IndexError> {
        match &value.to_sql()? {
            ToSqlOutput::Borrowed(value) => self.value(*value),
            ToSqlOutput::Owned(value) => self.value(value.into()),
            _ => self.value(ValueRef::Null),
        }
        Ok(())
    }
}

/// What the rows should be, out of lines.
#[derive(Debug, Default)]
pub struct Expected {
    parser: LineParser,
    rows: Rows,
    /// The model that was asked for, by exchange.
    open: HashMap<String, Option<String>>,
    /// More were open at once than are remembered.
    overflow: bool,
}

impl Expected {
    /// Takes in a line that opens or closes an exchange.
    pub fn line(&mut self, line: &[u8]) -> Result<(), IndexError> {
        match self.parser.parse(line) {
            Some(Fact::Opened(line)) => self.opened(&line),
            Some(Fact::Closed(line)) => self.closed(&line),
            _ => Ok(()),
        }
    }

    fn opened(&mut self, line: &Envelope<'_, Opened<'_>>) -> Result<(), IndexError> {
        let (id, model) = (&*line.body.exchange, line.body.model.as_ref());
        let mut part = Part::of(id, Which::Opening);
        part.opened(line)?;
        self.rows.add(part);
        self.overflow |= self.open.len() >= OPEN_MAX;
        if !self.overflow {
            self.open.insert(id.to_owned(), model.map(|model| model.0.to_string()));
        }
        Ok(())
    }

    fn closed(&mut self, line: &Envelope<'_, Closed<'_>>) -> Result<(), IndexError> {
        let (id, model) = (&*line.body.exchange, line.body.model.as_ref());
        let requested = self.open.remove(id);
        if requested.is_none() {
            let mut part = Part::of(id, Which::Opening);
            part.never_opened(line)?;
            self.rows.add(part);
        }
        let mut part = Part::of(id, Which::Closing);
        part.closed(line)?;
        self.rows.add(part);
        let mut part = Part::of(id, Which::Model);
        match model {
            Some(model) => part.put(&*model.0)?,
            None => part.put(requested.flatten())?,
        }
        self.rows.add(part);
        Ok(())
    }

    /// The rows of an index that has taken in these lines; `None` where too many were open at once.
    pub fn rows(&self) -> Result<Option<Rows>, IndexError> {
        let mut rows = self.rows;
        for (id, model) in &self.open {
            let mut part = Part::of(id, Which::Closing);
            part.still_open()?;
            rows.add(part);
            let mut part = Part::of(id, Which::Model);
            part.put(model.as_deref())?;
            rows.add(part);
        }
        Ok((!self.overflow).then_some(rows))
    }
}

/// The index at one moment.
#[derive(Debug)]
pub struct Snapshot {
    connection: Connection,
    /// How far it got.
    pub indexed_upto: u64,
}

impl Snapshot {
    /// Opens it without building or moving anything; `None` where there is no index.
    ///
    /// # Errors
    ///
    /// SQLite cannot read the file.
    pub fn open(data_dir: &Path) -> Result<Option<Snapshot>, IndexError> {
        if !data_dir.join(FILE).is_file() {
            return Ok(None);
        }
        let connection = reading::connect(data_dir)?;
        connection.execute_batch("BEGIN")?;
        let indexed_upto = meta(&connection, "indexed_upto")?.and_then(|text| text.parse().ok());
        Ok(indexed_upto.map(|indexed_upto| Snapshot { connection, indexed_upto }))
    }

    /// Reads all of it.
    ///
    /// # Errors
    ///
    /// SQLite cannot read the file.
    pub fn totals(&self) -> Result<Totals, IndexError> {
        // A result of a batch has a row too, but no duration; it may stand in the ledger twice.
        let sql = "SELECT COUNT(*), COALESCE(SUM(usd_nano), 0), COALESCE(SUM(usd_atto), 0)
                   FROM exchanges WHERE duration_us IS NOT NULL";
        let (closed, nano, atto): (i64, i64, i64) = self
            .connection
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let sql = "SELECT EXISTS (SELECT 1 FROM exchanges WHERE moved_seq IS NOT NULL)";
        let is_moved = self.connection.query_row(sql, [], |row| row.get(0))?;
        let closed = u64::try_from(closed).unwrap_or(0);
        let usd = Money::from_nano(nano, atto);
        Ok(Totals { closed, usd, rows: self.rows()?, is_moved })
    }

    fn rows(&self) -> Result<Rows, IndexError> {
        let columns: Vec<&str> = OPENED.iter().chain(&CLOSED).copied().collect();
        // A result of a batch opens and closes in one line; an opening that is lost has no team.
        let sql = format!(
            "SELECT {} FROM exchanges WHERE team IS NULL OR closed_seq IS NOT sequence",
            columns.join(", ")
        );
        let id_column = OPENED.iter().position(|name| *name == "id").unwrap_or(0);
        let model_column = columns.len() - 1;
        let mut statement = self.connection.prepare(&sql)?;
        let (mut found, mut rows) = (statement.query([])?, Rows::default());
        while let Some(row) = found.next()? {
            // What is no text is no id that a line has.
            let id = row.get_ref(id_column)?.as_str().unwrap_or_default();
            for (which, columns) in [
                (Which::Opening, 0..OPENED.len()),
                (Which::Closing, OPENED.len()..model_column),
                (Which::Model, model_column..columns.len()),
            ] {
                let mut part = Part::of(id, which);
                for column in columns {
                    part.value(row.get_ref(column)?);
                }
                rows.add(part);
            }
        }
        Ok(rows)
    }
}
