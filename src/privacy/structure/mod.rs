//! Structure before guessing: what a key, a segment or a header says of a value is worth more than
//! what the value looks like.
//!
//! A document is asked what it is; pieces of another form within it are read by that form, to a
//! bounded depth.

mod aligned;
mod card;
mod columns;
mod frames;
mod hl7;
mod hl7_places;
mod json;
mod markup;
mod nameless;
mod segments;
mod sql;
mod stream;
mod table;
mod vertical;

use memchr::{memchr, memchr2, memchr3};

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
    let formed = |byte: u8| matches!(byte, b'{' | b'[' | b'<' | b'|' | b'=' | b'~' | b'\n');
    let short = text.len() < 24 && !text.bytes().any(formed);
    if short {
        return document.plain(view);
    }
    if markup::is(text) {
        return markup::read(document, view, depth);
    }
    // What none of the forms can do without is looked for first, at the speed of `memchr`.
    let bytes = text.as_bytes();
    if memchr2(b'{', b'[', bytes).is_some() && json::read(document, view, depth) {
        return;
    }
    lines(document, view, depth);
}

/// What a text is line by line: segments of HL7 and X12, tables, statements, and plain text.
fn lines(document: &mut Document<'_>, view: &View<'_>, depth: usize) {
    if is_escaped(&view.text) {
        let read_once_more = view.unescaped(0, view.text.len());
        return read(document, &read_once_more, depth + 1);
    }
    // A header of HL7 has an `&` whatever its separator is.
    let segments = memchr3(b'|', b'*', b'&', view.text.as_bytes()).is_some()
        || hl7::may_have_own_signs(&view.text);
    if segments && hl7::is(&view.text) {
        return hl7::read(document, view, depth);
    }
    match segments {
        true => without_hl7(document, view, depth),
        false => tables(document, view, depth),
    }
}

/// The text was escaped once too often: it has a quote or the end of a line written out, and no
/// backslash that is anything else, as those of paths and patterns are.
fn is_escaped(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut escapes = 0;
    let mut at = 0;
    while let Some(slash) = memchr(b'\\', bytes.get(at..).unwrap_or(&[])) {
        at += slash + 2;
        match bytes.get(at - 1) {
            Some(b'n' | b'r' | b'"') => escapes += 1,
            Some(b't' | b'\\' | b'/' | b'\'' | b'u') => {}
            _ => return false,
        }
    }
    escapes > 0
}

fn without_hl7(document: &mut Document<'_>, view: &View<'_>, depth: usize) {
    match segments::signs(&view.text) {
        Some(signs) => segments::read(document, view, signs, depth),
        None => tables(document, view, depth),
    }
}

/// Tables and statements of SQL in a text; what is neither is plain text.
fn tables(document: &mut Document<'_>, view: &View<'_>, depth: usize) {
    let mut blocks = vertical::blocks(document.rules, &view.text);
    blocks.extend(table::blocks(document.rules, &view.text));
    blocks.extend(sql::blocks(document.rules, &view.text));
    if memchr(b';', view.text.as_bytes()).is_some() {
        blocks.extend(card::blocks(&view.text));
    }
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
