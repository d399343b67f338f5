//! Tables in JSON: the names of the columns stand once, beside the rows or before them.
//!
//! `{"columns": […], "rows": [[…]]}` and its kin, `[["name", "ssn"], […]]`, BigQuery's
//! `{"schema": {"fields": […]}, "rows": [{"f": [{"v": …}]}]}`.

use super::super::key::Field;
use super::columns::{COLUMNS_MAX, Columns};
use super::json::{Kind, Value, Walk};

/// What each column holds.
pub(super) type Fields = Vec<Option<Field>>;

/// Where a cell's number gets its quotes from.
type Quote = Option<(usize, usize)>;

/// The key of the names of columns.
pub(super) fn is_of_columns(key: &str) -> bool {
    matches!(
        key,
        "columns"
            | "column_names"
            | "columnNames"
            | "cols"
            | "fields"
            | "field_names"
            | "header"
            | "headers"
            | "schema"
            | "keys"
    )
}

impl Walk<'_, '_, '_> {
    /// The columns that an object has, where it names any of persons.
    pub fn columns(&self, fields: &[(Value, Value)]) -> Option<Fields> {
        fields.iter().find_map(|(name, value)| {
            let key = self.string(name);
            match &value.kind {
                Kind::List(names) if is_of_columns(key) => self.named(names),
                // `{"schema": {"fields": […]}}`, `{"meta": {"columns": […]}}`
                Kind::Object(inner)
                    if matches!(key, "schema" | "meta" | "metadata" | "manifest" | "result") =>
                {
                    inner.iter().find_map(|(name, value)| match &value.kind {
                        Kind::List(names)
                            if matches!(self.string(name), "fields" | "columns" | "schema") =>
                        {
                            self.named(names)
                        }
                        Kind::Object(_) | Kind::List(_) | Kind::Text | Kind::Bare => None,
                    })
                }
                _ => None,
            }
        })
    }

    /// What the names in a list say; a name is a text, or stands in an object as one.
    fn named(&self, names: &[Value]) -> Option<Fields> {
        let name = |value: &Value| match &value.kind {
            Kind::Text => Some(self.string(value)),
            Kind::Object(fields) => {
                let named = |key: &str| {
                    fields.iter().find_map(|(name, value)| {
                        let is = self.string(name) == key && matches!(value.kind, Kind::Text);
                        is.then(|| self.string(value))
                    })
                };
                ["name", "field", "column_name", "key", "label", "title", "id"]
                    .into_iter()
                    .find_map(named)
            }
            Kind::Bare | Kind::List(_) => None,
        };
        if names.is_empty() || names.len() > COLUMNS_MAX {
            return None;
        }
        let names: Vec<&str> = names.iter().map(name).collect::<Option<_>>()?;
        let columns = Columns::of(self.document.rules, names.iter().copied());
        (columns.are_named() || columns.telling).then_some(columns.fields)
    }

    /// What a first row that names the columns says of those below, and a quote of its own.
    pub fn headed(&self, values: &[Value]) -> Option<(Fields, Quote)> {
        let (header, rows) = values.split_first()?;
        let Kind::List(names) = &header.kind else { return None };
        let texts = names.iter().all(|name| matches!(name.kind, Kind::Text));
        let as_long = |row: &Value| match &row.kind {
            // A table's service leaves out what is empty at the end.
            Kind::List(cells) => cells.len() <= names.len(),
            Kind::Object(_) | Kind::Text | Kind::Bare => false,
        };
        let is = texts && names.len() > 1 && !rows.is_empty() && rows.iter().all(as_long);
        let columns = is.then(|| self.named(names)).flatten()?;
        let end = names.first()?.end;
        Some((columns, Some(self.document.bounds(self.view, end - 1, end))))
    }

    /// Reads a list of rows. `false` where it is none.
    pub fn rows(&mut self, rows: &Value, columns: &[Option<Field>], quote: Quote) -> bool {
        let Kind::List(rows) = &rows.kind else { return false };
        self.all_rows(rows, columns, quote)
    }

    /// Reads rows by their columns. `false` where one is none.
    pub fn all_rows(&mut self, rows: &[Value], columns: &[Option<Field>], quote: Quote) -> bool {
        // `{"f": [{"v": …}, …]}` as well as `[…]`.
        let cells = |row: &Value| -> Option<usize> {
            match &row.kind {
                Kind::List(cells) => (cells.len() <= columns.len()).then_some(0),
                Kind::Object(fields) => fields.iter().position(|(name, value)| {
                    matches!(self.string(name), "f" | "values" | "cells" | "Data")
                        && matches!(value.kind, Kind::List(_))
                }),
                Kind::Text | Kind::Bare => None,
            }
        };
        let places: Option<Vec<usize>> = rows.iter().map(cells).collect();
        let Some(places) = places else { return false };
        for (row, place) in rows.iter().zip(places) {
            let cells = match &row.kind {
                Kind::Object(fields) => fields.get(place).map(|(_, value)| &value.kind),
                kind => Some(kind),
            };
            let Some(Kind::List(cells)) = cells else { continue };
            for (place, cell) in cells.iter().enumerate() {
                self.cell(cell, columns.get(place).copied().flatten(), quote);
            }
        }
        true
    }

    /// One cell; `{"v": …}` and lists hold theirs.
    fn cell(&mut self, cell: &Value, field: Option<Field>, quote: Quote) {
        match &cell.kind {
            Kind::List(cells) => cells.iter().for_each(|cell| self.cell(cell, field, quote)),
            Kind::Object(fields) => match fields.as_slice() {
                [(name, value)] => {
                    let quote = Some(self.document.bounds(self.view, name.end - 1, name.end));
                    self.cell(value, field, quote);
                }
                _ => self.read(cell, field, quote),
            },
            Kind::Text | Kind::Bare => self.read(cell, field, quote),
        }
    }
}
