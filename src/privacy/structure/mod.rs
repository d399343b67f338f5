//! Structure before guessing: what a key, a segment or a header says of a value is worth more than
//! what the value looks like.
//!
//! A document is asked what it is; pieces of another form within it are read by that form, to a
//! bounded depth.

mod hl7;
mod json;
mod markup;
mod segments;
mod sql;
mod stream;
mod table;

use memchr::{memchr, memchr2};

use super::document::{DEPTH_MAX, Document};
use super::view::View;

/// Where cells of tables and values of statements begin: within them one document more is read, so
/// that tables in tables do not multiply.
const CELL_DEPTH: usize = DEPTH_MAX - 2;

/// Reads a view by whatever structure it has.
pub fn read(document: &mut Document<'_>, view: &View<'_>, depth: usize) {
    let text = view.text.as_ref();
    if text.bytes().all(|byte| byte.is_ascii_whitespace()) {
        return;
    }
    if depth >= DEPTH_MAX {
        return document.plain(view);
    }
    let formed = |byte: u8| matches!(byte, b'{' | b'[' | b'<' | b'|' | b'=' | b'\n');
    let short = text.len() < 24 && !text.bytes().any(formed);
    if short {
        return document.plain(view);
    }
    // What none of the forms can do without is looked for first, at the speed of `memchr`.
    let bytes = text.as_bytes();
    let has = |byte| memchr(byte, bytes).is_some();
    if has(b'|') && hl7::is(text) {
        return hl7::read(document, view, depth);
    }
    if has(b'*') && segments::is(text) {
        return segments::read(document, view, depth);
    }
    if markup::is(text) {
        return markup::read(document, view, depth);
    }
    if memchr2(b'{', b'[', bytes).is_some() && json::read(document, view, depth) {
        return;
    }
    lines(document, view, depth);
}

/// Tables and statements of SQL in a text; what is neither is plain text.
fn lines(document: &mut Document<'_>, view: &View<'_>, depth: usize) {
    let mut blocks = table::blocks(document.rules, &view.text);
    blocks.extend(sql::blocks(&view.text));
    if blocks.is_empty() {
        return document.plain(view);
    }
    blocks.sort_by_key(|block| block.start);
    let mut from = 0;
    for block in blocks {
        if block.start < from {
            continue;
        }
        if block.start > from {
            document.plain(&view.part(from, block.start));
        }
        for (start, end, field) in &block.cells {
            document.value(&view.part(*start, *end), *field, depth.max(CELL_DEPTH));
        }
        from = block.end;
    }
    if from < view.text.len() {
        document.plain(&view.part(from, view.text.len()));
    }
}

/// Cells of a table: where they stand, and what their column says of them.
struct Block {
    start: usize,
    end: usize,
    cells: Vec<(usize, usize, Option<super::key::Field>)>,
}
