//! The contents of a call as pieces: one for each block, whole, as the client or the model wrote
//! it.
//!
//! Read only where contents are kept, after the call, from a copy: the bytes that pass are never
//! held up. Deltas of a stream are put together first, so that how it was cut makes no difference.
//! The data of images and documents is not taken; its type and size are. What stands in another
//! block, an image in a tool's result or a page in a fetch's, is a piece of its own.

mod blocks;
mod stream;

use serde_json::Value;

use blocks::of_content;
use stream::Assembly;

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
        let Ok(mut message) = serde_json::from_slice::<Value>(message) else {
            pieces.push(unread(Author::User));
            continue;
        };
        let assistant = message.get("role").and_then(Value::as_str) == Some("assistant");
        let author = if assistant { Author::Assistant } else { Author::User };
        of_content((author, "text"), part(&mut message, "content"), &mut pieces);
    }
    pieces.truncate(PIECES_MAX);
    pieces
}

/// The pieces of an answer: one JSON document, a stream of events, or Bedrock's frames.
#[must_use]
pub fn of_response(body: &[u8]) -> Vec<Piece> {
    let mut pieces = match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => of_document(body),
        // A frame begins with its length, of which the first byte is 16 MiB.
        Some(0) => Assembly::of_frames(body),
        _ => Assembly::of_lines(body),
    };
    pieces.truncate(PIECES_MAX);
    pieces
}

fn of_document(body: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    match serde_json::from_slice::<Value>(body) {
        Ok(mut message) => {
            // Bedrock's Converse has the message one deeper.
            let content = match message.pointer_mut("/output/message") {
                Some(message) => part(message, "content"),
                None => part(&mut message, "content"),
            };
            of_content((Author::Assistant, "text"), content, &mut pieces);
        }
        Err(_) => pieces.push(unread(Author::Assistant)),
    }
    pieces
}

/// A piece that could not be read: it is told that there was one.
fn unread(author: Author) -> Piece {
    Piece { author, kind: "unread", tool: None, text: String::new(), data: None }
}

/// Takes a part of a value out of it.
fn part(value: &mut Value, name: &str) -> Value {
    value.get_mut(name).map(Value::take).unwrap_or_default()
}

#[cfg(test)]
mod tests;
