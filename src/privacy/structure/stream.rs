//! The deltas of a stream: what they say together is read once, whole.

use super::super::view::View;
use super::json::{Kind, Value};

/// The texts of a stream's blocks, collected.
#[derive(Default)]
pub(super) struct Stream {
    blocks: Vec<(String, Vec<View<'static>>)>,
}

/// How many blocks of one document are joined; more are read delta by delta.
const BLOCKS_MAX: usize = 256;

impl Stream {
    /// Takes the text of a delta, where this is one.
    pub fn takes(
        &mut self,
        view: &View<'_>,
        fields: &[(Value, Value)],
        key: &str,
        value: &Value,
    ) -> bool {
        if !matches!(key, "text" | "thinking" | "partial_json") || !matches!(value.kind, Kind::Text)
        {
            return false;
        }
        let raw = |value: &Value| view.text.get(value.start..value.end).unwrap_or("").to_owned();
        let delta = fields.iter().any(|(name, value)| {
            raw(name).trim_matches('"') == "type"
                && raw(value).trim_matches('"').ends_with("_delta")
        });
        if !delta {
            return false;
        }
        let (start, end) = value.inner(&view.text);
        // The block's number stands before its delta, on the same line.
        let line = view.text.get(..start).unwrap_or("").rsplit('\n').next().unwrap_or("");
        let index = line.split("\"index\"").nth(1).unwrap_or("");
        let index: String = index.chars().filter(|c| c.is_ascii_digit()).take(6).collect();
        let block = format!("{key} {index}");
        let text = View::joined(&[view.unescaped(start, end)]);
        match self.blocks.iter().position(|(known, _)| *known == block) {
            Some(at) => self.blocks[at].1.push(text),
            None if self.blocks.len() >= BLOCKS_MAX => return false,
            None => self.blocks.push((block, vec![text])),
        }
        true
    }

    /// Each block as it reads.
    pub fn joined(self) -> impl Iterator<Item = View<'static>> {
        self.blocks.into_iter().map(|(_, parts)| View::joined(&parts))
    }
}
