//! Statements that insert rows: the list of columns names the values.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memchr2_iter, memrchr};

use super::super::key::Field;
use super::super::rules::Rules;
use super::columns::Columns;
use super::table::cells;
use super::{Block, nameless};

static VALUES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("VALUES"));
static INTO: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("INTO "));
static COPY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("FROM STDIN"));

/// The names of a table and of its columns are not longer together.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The values of `INSERT INTO t (a, b) VALUES ('x', 'y'), …` in a text, and the rows of
/// `COPY t (a, b) FROM stdin`.
pub(super) fn blocks(rules: &Rules, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    // Both words have letters that are rare beside each other.
    if !has_any_case(text, b'V', b"VALUES") && !has_any_case(text, b'S', b"STDIN") {
        return blocks;
    }
    let upper = text.to_ascii_uppercase();
    if VALUES.find(upper.as_bytes()).is_some() {
        inserted(rules, (text, &upper), &mut blocks);
    }
    copied(rules, (text, &upper), &mut blocks);
    blocks
}

/// The word stands in the text, in capitals or not.
fn has_any_case(text: &str, first: u8, word: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let is = |at: usize| {
        bytes.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word))
    };
    memchr2_iter(first, first.to_ascii_lowercase(), bytes).any(is)
}

/// What the names of columns say, in brackets and with quotes about them.
fn named(rules: &Rules, list: &str) -> Vec<Option<Field>> {
    let names = list.split(',').map(|name| name.trim().trim_matches(['"', '`', '\'', '[', ']']));
    Columns::of(rules, names).fields
}

fn inserted(rules: &Rules, (text, upper): (&str, &str), blocks: &mut Vec<Block>) {
    let mut from = 0;
    while let Some(at) =
        upper.as_bytes().get(from..).and_then(|rest| INTO.find(rest)).map(|at| at + from)
    {
        from = at + 5;
        let before = upper[..at].trim_end();
        if !before.ends_with("INSERT") && !before.ends_with("REPLACE") {
            continue;
        }
        let near = |sign: u8, from: usize| {
            let bytes = upper.as_bytes();
            let window = bytes.get(from..bytes.len().min(from + HEAD_BYTES_MAX))?;
            memchr(sign, window).map(|at| at + from)
        };
        let Some(open) = near(b'(', from) else { continue };
        let mut block = Block { start: open, end: open, cells: Vec::new() };
        if upper[from..open].trim_end().ends_with("VALUES") {
            from = rows(text, None, &mut block);
        } else {
            let Some(close) = near(b')', open) else { continue };
            let after = upper[close + 1..].trim_start();
            if !after.starts_with("VALUES") {
                continue;
            }
            let fields = named(rules, &text[open + 1..close]);
            block.start = upper.len() - after.len() + 6;
            block.end = block.start;
            from = rows(text, Some(&fields), &mut block);
        }
        if !block.cells.is_empty() {
            blocks.push(block);
        }
    }
}

/// The rows of `COPY t (a, b) FROM stdin`: lines to the one that is `\.`, cells between tabs.
fn copied(rules: &Rules, (text, upper): (&str, &str), blocks: &mut Vec<Block>) {
    let mut from = 0;
    while let Some(at) =
        upper.as_bytes().get(from..).and_then(|rest| COPY.find(rest)).map(|at| at + from)
    {
        let line = memrchr(b'\n', &text.as_bytes()[from..at]).map_or(from, |end| from + end + 1);
        let Some(rest) = memchr(b'\n', &text.as_bytes()[at..]) else { return };
        let (head, tail) = (&upper[line..at], &upper[at..at + rest]);
        from = at + rest + 1;
        let head_text = &text[line..at];
        if !head.trim_start().trim_start_matches('\\').starts_with("COPY ") {
            continue;
        }
        let list = head_text.find('(').zip(head_text.rfind(')')).filter(|(open, end)| open < end);
        let fields = list.map(|(open, end)| named(rules, &head_text[open + 1..end]));
        let comma = tail.contains("CSV") || tail.contains("','");
        let separator = if comma { ',' } else { '\t' };
        let mut block = Block { start: at, end: from, cells: Vec::new() };
        for line in text[from..].split_inclusive('\n') {
            let start = from;
            let row = line.trim_end_matches(['\r', '\n']);
            from += line.len();
            block.end = start + row.len();
            if row == "\\." {
                break;
            }
            let first = block.cells.len();
            let cells = cells(row, start, separator).into_iter().enumerate();
            block.cells.extend(cells.map(|(column, (from, to))| {
                let field = fields.as_ref().and_then(|fields| fields.get(column).copied());
                (from, to, field.flatten())
            }));
            if fields.is_none() {
                judge(text, &mut block.cells[first..]);
            }
        }
        blocks.push(block);
    }
}

/// Reads `('x', 1), ('y', 2)` from the block's start on. Without fields the values are judged row
/// by row, as those of a person's record: nothing says that they are not. The byte where reading
/// ended: a statement that is cut off ends with the text.
fn rows(text: &str, fields: Option<&[Option<Field>]>, block: &mut Block) -> usize {
    let bytes = text.as_bytes();
    let mut at = block.start;
    let (mut column, mut depth, mut row) = (0, 0_usize, 0);
    let named = |column: usize| fields.and_then(|fields| fields.get(column).copied().flatten());
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'(' => {
                if depth == 0 {
                    (column, row) = (0, block.cells.len());
                }
                depth += 1;
            }
            b')' if depth > 1 => depth -= 1,
            b')' if depth == 1 => {
                depth = 0;
                block.end = at + 1;
                if fields.is_none() {
                    judge(text, &mut block.cells[row..]);
                }
            }
            b',' if depth == 1 => column += 1,
            b'\'' | b'"' if depth > 0 => {
                let to = quote_end(bytes, at);
                block.cells.push((at + 1, to, named(column)));
                at = to;
            }
            // `$1` is a place that a program fills.
            byte if depth > 0 && byte.is_ascii_digit() && bytes[at - 1] != b'$' => {
                let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                block.cells.push((at, at + digits, named(column).or(Some(Field::Code))));
                at += digits - 1;
            }
            byte if depth == 0 && !byte.is_ascii_whitespace() && *byte != b',' => break,
            _ => {}
        }
        at += 1;
    }
    if fields.is_none() && depth > 0 {
        judge(text, &mut block.cells[row..]);
    }
    at.min(bytes.len())
}

/// The byte of the quote that ends a value; a quote written twice or behind a backslash is of it.
fn quote_end(bytes: &[u8], open: usize) -> usize {
    let quote = bytes[open];
    let mut to = open + 1;
    while let Some(byte) = bytes.get(to) {
        let doubled = *byte == quote && bytes.get(to + 1) == Some(&quote);
        match byte {
            b'\\' => to += 2,
            _ if doubled => to += 2,
            byte if *byte == quote => return to,
            _ => to += 1,
        }
    }
    bytes.len()
}

/// What the values of a row are that has no names.
fn judge(text: &str, cells: &mut [(usize, usize, Option<Field>)]) {
    let values: Vec<&str> =
        cells.iter().map(|(from, to, _)| text.get(*from..*to).unwrap_or("")).collect();
    for (cell, field) in cells.iter_mut().zip(nameless::fields(&values)) {
        cell.2 = field.or(cell.2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_named_by_their_columns() {
        let text = "insert into p (last_name, n) values ('O''Neil', 5), ('Roe', 6); select 1";
        let blocks = blocks(&Rules::default(), text);
        let cells: Vec<&str> =
            blocks[0].cells.iter().map(|(from, to, _)| &text[*from..*to]).collect();
        assert_eq!(cells, ["O''Neil", "5", "Roe", "6"]);
        assert_eq!(&text[blocks[0].end..], "; select 1");
    }
}
