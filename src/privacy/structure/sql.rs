//! Statements that insert rows: the list of columns names the values.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::super::key::{self, Field};
use super::Block;

static VALUES: LazyLock<[Finder<'static>; 2]> =
    LazyLock::new(|| [Finder::new("VALUES"), Finder::new("values")]);

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
        let Some(open) = upper[from..].find('(').map(|open| open + from) else { break };
        let Some(close) = upper[open..].find(')').map(|close| close + open) else { break };
        let after = upper[close + 1..].trim_start();
        if !after.starts_with("VALUES") {
            continue;
        }
        let fields: Vec<Option<Field>> = text[open + 1..close]
            .split(',')
            .map(|name| key::field(name.trim().trim_matches(['"', '`', '\''])))
            .collect();
        let start = upper.len() - after.len() + 6;
        let mut block = Block { start, end: start, cells: Vec::new() };
        rows(text, &fields, &mut block);
        from = block.end.max(from);
        if !block.cells.is_empty() {
            blocks.push(block);
        }
    }
    blocks
}

/// Reads `('x', 1), ('y', 2)` from the block's start on.
fn rows(text: &str, fields: &[Option<Field>], block: &mut Block) {
    let bytes = text.as_bytes();
    let mut at = block.start;
    let (mut column, mut inside) = (0, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'(' if !inside => (inside, column) = (true, 0),
            b')' if inside => {
                inside = false;
                block.end = at + 1;
            }
            b',' if inside => column += 1,
            b'\'' if inside => {
                let from = at + 1;
                let mut to = from;
                while bytes
                    .get(to)
                    .is_some_and(|byte| *byte != b'\'' || bytes.get(to + 1) == Some(&b'\''))
                {
                    to += if bytes[to] == b'\'' { 2 } else { 1 };
                }
                block.cells.push((from, to.min(text.len()), fields.get(column).copied().flatten()));
                at = to;
            }
            byte if inside && byte.is_ascii_digit() => {
                let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                let field = fields.get(column).copied().flatten();
                block.cells.push((at, at + digits, field.or(Some(Field::Code))));
                at += digits - 1;
            }
            b';' if !inside => break,
            byte if !inside && !byte.is_ascii_whitespace() && *byte != b',' => break,
            _ => {}
        }
        at += 1;
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
