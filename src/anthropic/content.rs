//! The contents of a call as pieces: one for each block, whole, as the client or the model wrote
//! it.
//!
//! Read only where contents are kept, after the call, from a copy: the bytes that pass are never
//! held up. Deltas of a stream are put together first, so that how it was cut makes no difference.
//! The data of images and documents is not taken; its type and size are.

use std::collections::BTreeMap;

use serde_json::Value;

/// Who wrote a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// The client, which speaks for the user.
    User,
    /// The model.
    Assistant,
}

/// One block of content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Who wrote it.
    pub author: Author,
    /// What it is, in our own words.
    pub kind: &'static str,
    /// The tool it is for or from.
    pub tool: Option<String>,
    /// Its text; the input of a tool as JSON. Empty for data.
    pub text: String,
    /// Data that is not text: its type and its bytes as they were written.
    pub data: Option<(String, String)>,
}

/// How many pieces of one call are read.
const PIECES_MAX: usize = 1_000;

/// The pieces of messages that are new with a request.
#[must_use]
pub fn of_request(messages: &[Vec<u8>]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for message in messages {
        let Ok(message) = serde_json::from_slice::<Value>(message) else {
            pieces.push(unread(Author::User));
            continue;
        };
        let assistant = message.get("role").and_then(Value::as_str) == Some("assistant");
        let author = if assistant { Author::Assistant } else { Author::User };
        of_content(author, message.get("content"), &mut pieces);
    }
    pieces.truncate(PIECES_MAX);
    pieces
}

/// The pieces of an answer: one JSON document, or a stream of events.
#[must_use]
pub fn of_response(body: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
        match serde_json::from_slice::<Value>(body) {
            Ok(message) => of_content(Author::Assistant, message.get("content"), &mut pieces),
            Err(_) => pieces.push(unread(Author::Assistant)),
        }
    } else {
        pieces.extend(of_stream(body));
    }
    pieces.truncate(PIECES_MAX);
    pieces
}

/// A piece that could not be read: it is told that there was one.
fn unread(author: Author) -> Piece {
    Piece { author, kind: "unread", tool: None, text: String::new(), data: None }
}

fn of_content(author: Author, content: Option<&Value>, pieces: &mut Vec<Piece>) {
    match content {
        Some(Value::String(text)) => pieces.push(piece(author, "text", text.clone())),
        Some(Value::Array(blocks)) => {
            pieces.extend(blocks.iter().filter_map(|block| of_block(author, block)));
        }
        _ => {}
    }
}

fn piece(author: Author, kind: &'static str, text: String) -> Piece {
    Piece { author, kind, tool: None, text, data: None }
}

fn of_block(author: Author, block: &Value) -> Option<Piece> {
    let field = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let kind = block.get("type").and_then(Value::as_str)?;
    let kind = known(kind);
    Some(match kind {
        "text" => piece(author, kind, field("text")),
        "thinking" => piece(author, kind, field("thinking")),
        "tool_use" | "server_tool_use" | "mcp_tool_use" => {
            let input = block.get("input").map(Value::to_string).unwrap_or_default();
            Piece { tool: Some(field("name")), ..piece(author, kind, input) }
        }
        "tool_result" => piece(author, kind, joined(block.get("content"))),
        "image" | "document" => {
            let source = block.get("source").cloned().unwrap_or_default();
            let of = |name: &str| source.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
            match of("type").as_str() {
                "text" => piece(author, kind, of("data")),
                "url" => piece(author, kind, of("url")),
                _ => {
                    let data = Some((of("media_type"), of("data")));
                    Piece { data, ..piece(author, kind, String::new()) }
                }
            }
        }
        _ => piece(author, kind, block.to_string()),
    })
}

/// The text of a tool's result: a string, or blocks of text.
fn joined(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(blocks)) => {
            let text = |block: &Value| match block.get("text").and_then(Value::as_str) {
                Some(text) => text.to_owned(),
                None => String::new(),
            };
            blocks.iter().map(text).collect::<Vec<_>>().join("\n")
        }
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// The kind of a block in our own words: what comes from outside is not kept as it is.
fn known(kind: &str) -> &'static str {
    const KINDS: [&str; 9] = [
        "text",
        "thinking",
        "tool_use",
        "server_tool_use",
        "mcp_tool_use",
        "tool_result",
        "image",
        "document",
        "redacted_thinking",
    ];
    KINDS.into_iter().find(|known| *known == kind).unwrap_or("other")
}

/// The blocks of a stream, put together by their number.
fn of_stream(body: &[u8]) -> Vec<Piece> {
    let mut blocks: BTreeMap<u64, Piece> = BTreeMap::new();
    for line in body.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let Some(data) = line.strip_prefix(b"data:") else { continue };
        let Ok(event) = serde_json::from_slice::<Value>(data) else { continue };
        let index = event.get("index").and_then(Value::as_u64).unwrap_or(0);
        match event.get("type").and_then(Value::as_str) {
            Some("content_block_start") if blocks.len() < PIECES_MAX => {
                let block = event.get("content_block");
                if let Some(mut piece) = block.and_then(|block| of_block(Author::Assistant, block))
                {
                    if piece.tool.is_some() && piece.text == "{}" {
                        piece.text.clear();
                    }
                    blocks.insert(index, piece);
                }
            }
            Some("content_block_delta") => {
                let Some(piece) = blocks.get_mut(&index) else { continue };
                let delta = event.get("delta");
                let text = ["text", "thinking", "partial_json"]
                    .iter()
                    .find_map(|name| delta?.get(name)?.as_str());
                piece.text.push_str(text.unwrap_or(""));
            }
            _ => {}
        }
    }
    blocks.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_put_together_and_a_document_is_the_same() {
        let stream = "event: x\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":\
            {\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"Bash\",\"input\":{}}}\n\n\
            data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\
            \"partial_json\":\"{\\\"a\\\":\"}}\n\n\
            data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\
            \"partial_json\":\"1}\"}}\n\n";
        let document =
            r#"{"content":[{"type":"tool_use","id":"t","name":"Bash","input":{"a":1}}]}"#;
        assert_eq!(of_response(stream.as_bytes()), of_response(document.as_bytes()));
    }

    #[test]
    fn results_and_images_of_a_request_are_read() {
        let message = br#"{"role":"user","content":[
            {"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"x"}]},
            {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}"#;
        let pieces = of_request(&[message.to_vec()]);
        assert_eq!((pieces[0].kind, pieces[0].text.as_str()), ("tool_result", "x"));
        assert_eq!(pieces[1].data, Some(("image/png".to_owned(), "AAAA".to_owned())));
        assert!(pieces[1].text.is_empty());
    }
}
