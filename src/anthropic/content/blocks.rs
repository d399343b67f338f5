//! One block of content, as pieces.

use serde_json::Value;

use super::{Author, Piece, part};
use crate::anthropic::converse;

/// Whose content it is, and what a text alone in it is.
type Place = (Author, &'static str);

/// The pieces of a content: a text, or blocks. Blocks of text that stand in another block are one
/// text.
pub(super) fn of_content((author, kind): Place, content: Value, pieces: &mut Vec<Piece>) {
    match content {
        Value::String(text) => pieces.push(piece((author, kind), text)),
        Value::Array(blocks) => {
            blocks.into_iter().for_each(|block| of_block(author, block, pieces))
        }
        Value::Null => {}
        other => of_other((author, kind), other, pieces),
    }
}

/// The pieces of one block.
pub(super) fn of_block(author: Author, mut block: Value, pieces: &mut Vec<Piece>) {
    let Some(kind) = block.get("type").and_then(Value::as_str).map(known) else {
        return match converse::block(&mut block) {
            Some(same) => of_block(author, same, pieces),
            None => of_other((author, "other"), block, pieces),
        };
    };
    let place = (author, kind);
    match kind {
        "text" | "thinking" => pieces.push(piece(place, text(&block, kind))),
        "tool_use" | "server_tool_use" | "mcp_tool_use" => {
            let input = block.get("input").map(Value::to_string).unwrap_or_default();
            pieces.push(Piece { tool: Some(text(&block, "name")), ..piece(place, input) });
        }
        "tool_result" | "mcp_tool_result" => of_inner(place, part(&mut block, "content"), pieces),
        "image" | "document" => of_source(place, block, pieces),
        _ => of_other(place, block, pieces),
    }
}

/// What stands in another block: its text in one piece, and whatever is not text.
fn of_inner(place: Place, content: Value, pieces: &mut Vec<Piece>) {
    let Value::Array(blocks) = content else { return of_content(place, content, pieces) };
    let (mut texts, mut others) = (Vec::new(), Vec::new());
    for block in blocks {
        // Bedrock's Converse says by the key what it is.
        let kind = block.get("type").and_then(Value::as_str).unwrap_or("text");
        match block.get("text").and_then(Value::as_str).filter(|_| kind == "text") {
            Some(text) => texts.push(text.to_owned()),
            None => others.push(block),
        }
    }
    if !texts.is_empty() || others.is_empty() {
        pieces.push(piece(place, texts.join("\n")));
    }
    of_content(place, Value::Array(others), pieces);
}

/// An image or a document: what is said about it, and what it is.
fn of_source(place: Place, mut block: Value, pieces: &mut Vec<Piece>) {
    let about = ["title", "context"].map(|name| text(&block, name));
    let about = about.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
    if !about.is_empty() {
        pieces.push(piece(place, about));
    }
    let mut source = part(&mut block, "source");
    match text(&source, "type").as_str() {
        "base64" => pieces.push(data(place, &source)),
        "text" => pieces.push(piece(place, text(&source, "data"))),
        "url" => pieces.push(piece(place, text(&source, "url"))),
        "file" => pieces.push(piece(place, text(&source, "file_id"))),
        "content" => of_inner(place, part(&mut source, "content"), pieces),
        _ => of_other(place, source, pieces),
    }
}

/// A block of another form: as JSON, and what is data or a block of its own in it beside that.
fn of_other(place: Place, mut block: Value, pieces: &mut Vec<Piece>) {
    let mut taken = Vec::new();
    take_data(place, &mut block, &mut taken);
    if !block.is_null() || taken.is_empty() {
        pieces.push(piece(place, block.to_string()));
    }
    pieces.append(&mut taken);
}

/// Takes images, documents and other data out of a block.
fn take_data((author, kind): Place, block: &mut Value, taken: &mut Vec<Piece>) {
    let said = block.get("type").and_then(Value::as_str);
    if matches!(said, Some("image" | "document")) && block.get("source").is_some() {
        return of_block(author, block.take(), taken);
    }
    if said == Some("base64") && block.get("data").is_some_and(Value::is_string) {
        return taken.push(data((author, kind), &block.take()));
    }
    match block {
        Value::Array(values) => {
            values.iter_mut().for_each(|value| take_data((author, kind), value, taken));
        }
        Value::Object(values) => {
            values.values_mut().for_each(|value| take_data((author, kind), value, taken));
        }
        _ => {}
    }
}

fn text(block: &Value, name: &str) -> String {
    block.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(super) fn piece((author, kind): Place, text: String) -> Piece {
    Piece { author, kind, tool: None, text, data: None }
}

fn data(place: Place, source: &Value) -> Piece {
    let data = Some((text(source, "media_type"), text(source, "data")));
    Piece { data, ..piece(place, String::new()) }
}

/// The kind of a block in our own words: what comes from outside is not kept as it is.
fn known(kind: &str) -> &'static str {
    const KINDS: [&str; 17] = [
        "text",
        "thinking",
        "tool_use",
        "server_tool_use",
        "mcp_tool_use",
        "tool_result",
        "mcp_tool_result",
        "image",
        "document",
        "redacted_thinking",
        "search_result",
        "web_search_tool_result",
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "container_upload",
    ];
    KINDS.into_iter().find(|known| *known == kind).unwrap_or("other")
}
