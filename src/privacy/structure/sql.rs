//! Statements that insert rows: the list of columns names the values.

use std::sync::LazyLock;

use memchr::memchr;
use memchr::memmem::Finder;

use super::super::key::{self, Field};
use super::{Block, nameless};

static VALUES: LazyLock<[Finder<'static>; 2]> =
    LazyLock::new(|| [Finder::new("VALUES"), Finder::new("values")]);

/// The names of a table and of its columns are not longer together.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The values of `INSERT INTO t (a, b) VALUES ('x', 'y'), …` in a text.
pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    if VALUES.iter().all(|values| values.find(text.as_bytes()).is_none()) {
        return blocks;
    }
    let upper = text.to_ascii_uppercase();
    let mut from = 0;
    while let Some(at) =
        upper.get(from..).and_then(|rest| rest.find("INSERT INTO")).map(|at| at + from)
    {
        from = at + 11;
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
            let fields: Vec<Option<Field>> = text[open + 1..close]
                .split(',')
                .map(|name| key::field(name.trim().trim_matches(['"', '`', '\''])))
                .collect();
            block.start = upper.len() - after.len() + 6;
            block.end = block.start;
            from = rows(text, Some(&fields), &mut block);
        }
        if !block.cells.is_empty() {
            blocks.push(block);
        }
    }
    blocks
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
            byte if depth > 0 && byte.is_ascii_digit() => {
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
        let blocks = blocks(text);
        let cells: Vec<&str> =
            blocks[0].cells.iter().map(|(from, to, _)| &text[*from..*to]).collect();
        assert_eq!(cells, ["O''Neil", "5", "Roe", "6"]);
        assert_eq!(&text[blocks[0].end..], "; select 1");
    }
}
