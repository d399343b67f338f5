//! A report as a table, as JSON and as CSV.
//!
//! JSON and CSV hold exact amounts; the table rounds for people (half to even), and says under it
//! what the figures leave out.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::dimension::Dimension;
use super::sums::Sums;
use super::tally::{Report, ReportRow};
use super::text::{NOTHING, csv_field, group, printable, thousands};
use crate::accounting::{Money, TokenKind};

/// The names of the figures, in the order of [`figures`].
const FIGURES: [&str; 13] = [
    "exchanges",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "usd",
    "usd_max",
    "list_usd",
    "estimated_usd",
    "estimated_max_usd",
    "notional_usd",
    "unpriced",
];
const TOKEN_FIGURES: [&str; TokenKind::ALL.len()] = [
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
];

/// Rows of cells with the columns aligned: lines between them on a terminal, none elsewhere.
#[must_use]
pub fn table(header: &[String], rows: &[Vec<String>], text_columns: usize, fancy: bool) -> String {
    let mut table = Table::new();
    table.load_style(if fancy { presets::UTF8_FULL_CONDENSED } else { presets::NOTHING });
    table.force_no_tty();
    table.set_header(header);
    table.add_rows(rows.iter().map(|row| row.iter()));
    for (place, column) in table.column_iter_mut().enumerate() {
        if place >= text_columns {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if !fancy {
            column.set_padding((0, 2));
        }
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

/// An amount for people: thousands apart, and never 0 for something that is not.
#[must_use]
pub fn usd_readable(usd: Money, decimals: u32) -> String {
    let shown = usd.display_rounded(decimals);
    if usd != Money::ZERO && !shown.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) {
        let smallest = format!("0.{:0>width$}", 1, width = decimals as usize);
        return if usd > Money::ZERO { format!("<{smallest}") } else { format!(">-{smallest}") };
    }
    group(&shown)
}

impl Report {
    /// The table, with a total and notes.
    #[must_use]
    pub fn table(&self, fancy: bool) -> String {
        let decimals = self.decimals();
        let mut header: Vec<String> = self.by.iter().map(ToString::to_string).collect();
        let names = ["exchanges", "input", "output", "cache read", "write 5m", "write 1h", "usd"];
        header.extend(names.map(str::to_owned));
        // Columns that say something only where there is something to say. Estimates are in the
        // notes: with a column more, the table would not fit a terminal.
        let total = &self.total;
        let extra: Vec<Extra> = [
            (total.list != total.usd, Extra("list", |sums| sums.list)),
            (total.notional != Money::ZERO, Extra("notional", |sums| sums.notional)),
        ]
        .into_iter()
        .filter_map(|(shown, extra)| shown.then_some(extra))
        .collect();
        header.extend(extra.iter().map(|extra| extra.0.to_owned()));
        header.push("unpriced".to_owned());
        let mut rows: Vec<Vec<String>> = Vec::with_capacity(self.rows.len() + 1);
        for row in &self.rows {
            let shown = |value: &Option<String>| {
                printable(value.as_deref().unwrap_or(NOTHING)).into_owned()
            };
            let mut cells: Vec<String> = row.values.iter().map(shown).collect();
            cells.extend(cells_of(&row.sums, &extra, decimals));
            rows.push(cells);
        }
        let mut last: Vec<String> = vec![String::new(); self.by.len()];
        if let Some(first) = last.first_mut() {
            "total".clone_into(first);
        }
        last.extend(cells_of(&self.total, &extra, decimals));
        rows.push(last);
        let mut text = table(&header, &rows, self.by.len(), fancy);
        self.write_notes(&mut text);
        text
    }

    /// A small total needs more decimals to say anything.
    fn decimals(&self) -> u32 {
        let one = Money::from_nano(1_000_000_000, 0);
        if self.total.usd.max(self.total.notional) < one { 6 } else { 4 }
    }

    fn write_notes(&self, text: &mut String) {
        if self.total.exchanges == 0 {
            text.push_str(
                "note: no call was recorded in this period; what was recorded elsewhere is shown \
                 with --data-dir\n",
            );
        }
        for note in self.by.iter().filter_map(Dimension::note) {
            let _ = writeln!(text, "note: {note}");
        }
        let mut note = |count: u64, what: &str| {
            if count > 0 {
                let noun = if count == 1 { "exchange" } else { "exchanges" };
                let _ = writeln!(text, "note: {} {noun} {what}", thousands(count));
            }
        };
        let Sums { unpriced, unknown, partial, guessed, ranges, subscribed, open, moved, .. } =
            self.total;
        note(unpriced, "unpriced: no rate is known, so usd leaves them out (+ ?)");
        note(unknown, "of unknown usage: the API billed them or not, usd leaves them out");
        note(partial, "ended early: output and usd are what had been reported, not the bill");
        let shown = |amount: Money| usd_readable(amount, self.decimals());
        let span = |low: Money, high: Money| match low == high {
            true => shown(low),
            false => format!("{} to {}", shown(low), shown(high)),
        };
        let estimated = span(self.total.estimated, self.total.estimated_max);
        note(guessed, &format!("estimated at {estimated} more than reported; not in usd"));
        let most = shown(self.total.usd_max);
        note(ranges, &format!("with a range: usd is the lower end, {most} the upper"));
        let notional = shown(self.total.notional);
        note(subscribed, &format!("paid by a subscription: {notional} notional, not in usd"));
        note(open, "still open: usd leaves them out");
        let moved_usd = shown(self.total.moved_usd);
        note(moved, &format!("moved to another team by corrections: {moved_usd} of usd"));
    }

    /// CSV (RFC 4180): a header and one record a group, without the total.
    #[must_use]
    pub fn csv(&self) -> String {
        let names = self.by.iter().map(ToString::to_string);
        let mut text = names.map(|name| csv_field(&name)).collect::<Vec<_>>().join(",");
        for name in FIGURES {
            let _ = write!(text, ",{name}");
        }
        text.push_str("\r\n");
        for row in &self.rows {
            let fields = row.values.iter().map(|v| csv_field(v.as_deref().unwrap_or_default()));
            text.push_str(&fields.collect::<Vec<_>>().join(","));
            let sums = &row.sums;
            let _ = write!(text, ",{}", sums.exchanges);
            for tokens in sums.tokens {
                let _ = write!(text, ",{tokens}");
            }
            for (_, amount) in amounts(sums) {
                let _ = write!(text, ",{amount}");
            }
            let _ = write!(text, ",{}\r\n", sums.unpriced);
        }
        text
    }

    /// The report's JSON, on one line without the newline.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// A column that is not in every table: its name and its figure.
struct Extra(&'static str, fn(&Sums) -> Money);

fn cells_of(sums: &Sums, extra: &[Extra], decimals: u32) -> Vec<String> {
    let mut cells = vec![thousands(sums.exchanges)];
    cells.extend(sums.tokens.map(thousands));
    let unpriced = if sums.unpriced > 0 { " + ?" } else { "" };
    cells.push(format!("{}{unpriced}", usd_readable(sums.usd, decimals)));
    cells.extend(extra.iter().map(|Extra(_, figure)| usd_readable(figure(sums), decimals)));
    cells.push(thousands(sums.unpriced));
    cells
}

/// The amounts, in the order of [`FIGURES`].
fn amounts(sums: &Sums) -> [(&'static str, Money); 6] {
    [
        ("usd", sums.usd),
        ("usd_max", sums.usd_max),
        ("list_usd", sums.list),
        ("estimated_usd", sums.estimated),
        ("estimated_max_usd", sums.estimated_max),
        ("notional_usd", sums.notional),
    ]
}

fn figures<M: SerializeMap>(map: &mut M, sums: &Sums) -> Result<(), M::Error> {
    map.serialize_entry("exchanges", &sums.exchanges)?;
    for (name, tokens) in TOKEN_FIGURES.iter().zip(sums.tokens) {
        map.serialize_entry(name, &tokens)?;
    }
    for (name, amount) in amounts(sums) {
        map.serialize_entry(name, &amount)?;
    }
    map.serialize_entry("unpriced", &sums.unpriced)
}

struct NamedRow<'r>(&'r [Dimension], &'r ReportRow);

impl Serialize for NamedRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (dimension, value) in self.0.iter().zip(&self.1.values) {
            map.serialize_entry(&dimension.to_string(), value)?;
        }
        figures(&mut map, &self.1.sums)?;
        map.end()
    }
}

impl Serialize for Sums {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        figures(&mut map, self)?;
        map.end()
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |moment: Option<super::period::Moment>| moment.map(|moment| moment.to_string());
        let by: Vec<String> = self.by.iter().map(ToString::to_string).collect();
        let rows: Vec<NamedRow<'_>> = self.rows.iter().map(|r| NamedRow(&self.by, r)).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("from", &text(self.period.from))?;
        map.serialize_entry("to", &text(self.period.to))?;
        map.serialize_entry("by", &by)?;
        map.serialize_entry("rows", &rows)?;
        map.serialize_entry("total", &self.total)?;
        map.serialize_entry("pricing_versions", &self.pricing_versions)?;
        map.serialize_entry("moved_exchanges", &self.total.moved)?;
        map.serialize_entry("moved_usd", &self.total.moved_usd)?;
        if let Some(since) = self.kept_since {
            map.serialize_entry("kept_since", &super::period::instant(since))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Facts, Period, Tally};

    fn report() -> Report {
        let mut tally = Tally::new(vec![Dimension::Team, Dimension::Tag("a".to_owned())]);
        let usd: Option<Money> = Some("1234.0000000055".parse().unwrap());
        let tokens = [1_000_000, 2, 3, 4, 5];
        let pricing = Some("2026-11");
        tally.add(&Facts { usd, tokens, pricing, ..Facts::default() }, |place| {
            [Some("=cmd()"), None][place]
        });
        tally.add(&Facts { unpriced: true, ..Facts::default() }, |_| Some("\u{1b}[2Jx"));
        tally.finish(Period { from: "2026-11-20".parse().ok(), to: None })
    }

    #[test]
    fn json_has_the_shape_of_the_interface() {
        let shown: serde_json::Value = serde_json::from_str(&report().json().unwrap()).unwrap();
        let expected = serde_json::json!({
            "from": "2026-11-20", "to": null, "by": ["team", "tag:a"],
            "rows": [
                {"team": "=cmd()", "tag:a": null, "exchanges": 1, "input_tokens": 1_000_000,
                 "output_tokens": 2, "cache_read_tokens": 3, "cache_write_5m_tokens": 4,
                 "cache_write_1h_tokens": 5, "usd": "1234.0000000055",
                 "usd_max": "1234.0000000055", "list_usd": "1234.0000000055",
                 "estimated_usd": "0", "estimated_max_usd": "0", "notional_usd": "0",
                 "unpriced": 0},
                {"team": "\u{1b}[2Jx", "tag:a": "\u{1b}[2Jx", "exchanges": 1, "input_tokens": 0,
                 "output_tokens": 0, "cache_read_tokens": 0, "cache_write_5m_tokens": 0,
                 "cache_write_1h_tokens": 0, "usd": "0", "usd_max": "0", "list_usd": "0",
                 "estimated_usd": "0", "estimated_max_usd": "0", "notional_usd": "0",
                 "unpriced": 1}],
            "total": {"exchanges": 2, "input_tokens": 1_000_000, "output_tokens": 2,
                 "cache_read_tokens": 3, "cache_write_5m_tokens": 4, "cache_write_1h_tokens": 5,
                 "usd": "1234.0000000055", "usd_max": "1234.0000000055",
                 "list_usd": "1234.0000000055", "estimated_usd": "0", "estimated_max_usd": "0",
                 "notional_usd": "0", "unpriced": 1},
            "pricing_versions": ["2026-11"], "moved_exchanges": 0, "moved_usd": "0"});
        assert_eq!(shown, expected);
    }

    #[test]
    fn csv_is_exact_and_safe() {
        let csv = report().csv();
        let lines: Vec<&str> = csv.split("\r\n").collect();
        assert_eq!(lines[0], format!("team,tag:a,{}", FIGURES.join(",")));
        assert_eq!(
            lines[1],
            "'=cmd(),,1,1000000,2,3,4,5,1234.0000000055,1234.0000000055,1234.0000000055,0,0,0,0"
        );
        assert_eq!(lines[2], "\\u{1b}[2Jx,\\u{1b}[2Jx,1,0,0,0,0,0,0,0,0,0,0,0,1");
        assert_eq!(lines[3..], [""]);
    }

    #[test]
    fn the_table_is_safe_and_says_what_is_left_out() {
        for fancy in [false, true] {
            let table = report().table(fancy);
            assert!(!table.contains('\u{1b}'), "{table}");
            assert!(table.contains("1,234.0000 + ?") && table.contains("total"), "{table}");
            assert!(table.contains("note: 1 exchange unpriced"), "{table}");
            assert!(!table.contains("still open"), "{table}");
        }
    }

    #[test]
    fn an_amount_that_is_not_zero_does_not_look_like_it() {
        let shown = |text: &str| usd_readable(text.parse().unwrap(), 4);
        assert_eq!(shown("0"), "0.0000");
        assert_eq!(shown("0.0000000055"), "<0.0001");
        assert_eq!(shown("-0.0000000055"), ">-0.0001");
        assert_eq!(shown("1234567.00005"), "1,234,567.0000");
        assert_eq!(shown("1234567.00015"), "1,234,567.0002");
    }
}
