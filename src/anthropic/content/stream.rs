//! The blocks of a stream, put together by their number.

use std::collections::BTreeMap;

use serde_json::Value;

use super::blocks::{of_block, piece};
use super::{Author, PIECES_MAX, Piece, part};
use crate::anthropic::eventstream;

/// What of a delta is text, and of which kind of block.
const TEXTS: [(&str, &str); 3] =
    [("text", "text"), ("thinking", "thinking"), ("partial_json", "tool_use")];

/// An answer that is put together.
#[derive(Default)]
pub(super) struct Assembly {
    blocks: BTreeMap<u64, Vec<Piece>>,
}

impl Assembly {
    /// From server-sent events.
    pub(super) fn of_lines(body: &[u8]) -> Vec<Piece> {
        let mut assembly = Assembly::default();
        for line in body.split(|byte| matches!(byte, b'\n' | b'\r')) {
            let data = line.strip_prefix(b"data:");
            if let Some(event) = data.and_then(|data| serde_json::from_slice(data).ok()) {
                assembly.take(event);
            }
        }
        assembly.pieces()
    }

    /// From Bedrock's frames.
    pub(super) fn of_frames(body: &[u8]) -> Vec<Piece> {
        let mut assembly = Assembly::default();
        eventstream::each_event(body, |event| assembly.take(event));
        assembly.pieces()
    }

    fn pieces(self) -> Vec<Piece> {
        self.blocks.into_values().flatten().collect()
    }

    fn take(&mut self, mut event: Value) {
        let index = event.get("index").and_then(Value::as_u64).unwrap_or(0);
        if self.blocks.len() >= PIECES_MAX && !self.blocks.contains_key(&index) {
            return;
        }
        match event.get("type").and_then(Value::as_str) {
            Some("content_block_start") => {
                let mut pieces = Vec::new();
                of_block(Author::Assistant, part(&mut event, "content_block"), &mut pieces);
                // The input of a tool comes in deltas, behind an empty object.
                let tool = pieces.first_mut().filter(|piece| piece.tool.is_some());
                if let Some(piece) = tool.filter(|piece| piece.text == "{}") {
                    piece.text.clear();
                }
                self.blocks.insert(index, pieces);
            }
            Some("content_block_delta") => {
                let Some(delta) = event.get("delta") else { return };
                let text = TEXTS
                    .into_iter()
                    .find_map(|(name, kind)| Some((delta.get(name)?.as_str()?, kind)));
                let Some((text, kind)) = text else { return };
                let pieces = self.blocks.entry(index).or_default();
                if pieces.is_empty() {
                    // Bedrock's Converse announces no block of text.
                    pieces.push(piece((Author::Assistant, kind), String::new()));
                }
                if let Some(piece) = pieces.first_mut() {
                    piece.text.push_str(text);
                }
            }
            _ => {}
        }
    }
}
