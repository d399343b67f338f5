//! Records that databases print one below the other: `\x` of psql, `\G` of MySQL.
//!
//! A rule begins a record; then a line has the name of a column and its value.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::super::rules::Rules;
use super::Block;
use super::columns::{COLUMNS_MAX, Columns};

static RULES: LazyLock<[(Finder<'static>, char); 2]> =
    LazyLock::new(|| [(Finder::new("-[ RECORD "), '|'), (Finder::new(". row *"), ':')]);

/// What stands between a name and its value, where a text has such records.
pub(super) fn separator(text: &str) -> Option<char> {
    let bytes = text.as_bytes();
    RULES.iter().find(|(rule, _)| rule.find(bytes).is_some()).map(|(_, separator)| *separator)
}

/// The records of a text.
pub(super) fn blocks(rules: &Rules, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let Some(separator) = separator(text) else { return blocks };
    let mut record: Option<Vec<Line<'_>>> = None;
    let mut from = 0;
    for line in text.split_inclusive('\n') {
        let start = from;
        from += line.len();
        let line = line.trim_end();
        if is_rule(line, separator) {
            blocks.extend(record.replace(Vec::new()).and_then(|lines| block(rules, &lines)));
            continue;
        }
        let Some(lines) = record.as_mut() else { continue };
        match cut(line, start, separator).filter(|_| lines.len() < COLUMNS_MAX) {
            // A value of several lines has its name once.
            Some(line) if line.name.is_empty() && !lines.is_empty() => {
                let name = lines[lines.len() - 1].name;
                lines.push(Line { name, ..line });
            }
            Some(line) => lines.push(line),
            None => blocks.extend(record.take().and_then(|lines| block(rules, &lines))),
        }
    }
    blocks.extend(record.and_then(|lines| block(rules, &lines)));
    blocks
}

/// A name and where its value stands.
struct Line<'a> {
    start: usize,
    name: &'a str,
    from: usize,
    to: usize,
}

/// `-[ RECORD 1 ]-----`, `******** 1. row ********`.
fn is_rule(line: &str, separator: char) -> bool {
    match separator {
        '|' => line.starts_with("-[ RECORD "),
        _ => line.starts_with("***") && line.ends_with("***") && line.contains(". row *"),
    }
}

fn cut(line: &str, start: usize, separator: char) -> Option<Line<'_>> {
    let (name, value) = line.split_once(separator)?;
    let value = value.trim_start();
    let name = name.trim();
    let named = name.split_whitespace().count() <= 4;
    named.then(|| Line {
        start,
        name,
        from: start + line.len() - value.len(),
        to: start + line.len(),
    })
}

fn block(rules: &Rules, lines: &[Line<'_>]) -> Option<Block> {
    let columns = Columns::of(rules, lines.iter().map(|line| line.name));
    let (first, last) = lines.first().zip(lines.last())?;
    let fields = lines.iter().zip(columns.fields);
    let cells = fields.map(|(line, field)| (line.from, line.to, field)).collect();
    (columns.known > 0).then_some(Block { start: first.start, end: last.to, cells })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_ends_with_its_last_column() {
        let text =
            "-[ RECORD 1 ]--\nname | a\nssn  | 5\n     | 6\n-[ RECORD 2 ]--\ndob | x\n(2 rows)\n";
        let blocks = blocks(&Rules::default(), text);
        let cells: Vec<Vec<&str>> = blocks
            .iter()
            .map(|block| block.cells.iter().map(|(from, to, _)| &text[*from..*to]).collect())
            .collect();
        assert_eq!(cells, [vec!["a", "5", "6"], vec!["x"]]);
        assert_eq!(blocks[0].cells[2].2, blocks[0].cells[1].2);
    }
}
