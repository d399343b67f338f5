//! The tools in an answer: what it asks for, and the results of those that ran at the API.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::tools::{
    ASKED_MAX, Block, Content, INPUTS_BYTES_MAX, ToolAsked, ToolKind, ToolReturned, canonical,
    skill_of, text,
};

/// A block that asks for a tool.
#[derive(Debug)]
struct Asking {
    index: u64,
    kind: ToolKind,
    id: String,
    name: String,
    server: Option<String>,
    /// The pieces of the input, joined; content, never printed.
    input: Input,
    complete: bool,
}

#[derive(Default)]
struct Input {
    text: String,
    bytes: u64,
    /// What was too long is not kept at all.
    dropped: bool,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// The blocks of one answer that are about tools.
#[derive(Debug, Default)]
pub(super) struct ToolBlocks {
    asking: Vec<Asking>,
    returned: Vec<ToolReturned>,
    /// Bytes of inputs that are kept.
    kept: usize,
}

/// What the content of a result that failed at the API says of itself.
#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    error_code: Option<&'a RawValue>,
}

impl ToolBlocks {
    /// A block begins. Its input comes in pieces; the one it begins with counts where none do.
    pub(super) fn begin(&mut self, index: u64, raw: &str) {
        // Nearly all blocks are text.
        if memchr::memmem::find(raw.as_bytes(), b"tool_").is_none() {
            return;
        }
        let Ok(block) = serde_json::from_str::<Block<'_>>(raw) else { return };
        let kind = text(block.kind);
        let kind = match kind.as_deref() {
            Some("tool_use") => ToolKind::Client,
            Some("server_tool_use") => ToolKind::Server,
            Some("mcp_tool_use") => ToolKind::Mcp,
            _ => return self.result(&block),
        };
        let (Some(id), Some(name)) = (text(block.id), text(block.name)) else { return };
        if self.asking.len() >= ASKED_MAX {
            return;
        }
        let server = text(block.server_name);
        let mut input = Input::default();
        if let Some(whole) = block.input.map(RawValue::get).filter(|whole| *whole != "{}") {
            self.keep(&mut input, whole);
        }
        self.asking.push(Asking { index, kind, id, name, server, input, complete: false });
    }

    fn result(&mut self, block: &Block<'_>) {
        if self.returned.len() >= ASKED_MAX {
            return;
        }
        let raw = block.content.map_or("", RawValue::get);
        let failure = serde_json::from_str::<Failure<'_>>(raw).ok();
        let has_error = failure.is_some_and(|failure| {
            let named = text(failure.kind).is_some_and(|kind| kind.ends_with("_error"));
            named || failure.error_code.is_some()
        });
        self.returned.extend(block.returned(has_error));
    }

    /// A piece of a block's input: JSON in a JSON text.
    pub(super) fn input(&mut self, index: u64, piece: &str) {
        let Some(place) = self.asking.iter().rposition(|block| block.index == index) else {
            return;
        };
        let Ok(piece) = serde_json::from_str::<std::borrow::Cow<'_, str>>(piece) else { return };
        let mut input = std::mem::take(&mut self.asking[place].input);
        self.keep(&mut input, &piece);
        self.asking[place].input = input;
    }

    fn keep(&mut self, input: &mut Input, piece: &str) {
        input.bytes = input.bytes.saturating_add(piece.len() as u64);
        if input.dropped || self.kept + piece.len() > INPUTS_BYTES_MAX {
            self.kept = self.kept.saturating_sub(input.text.len());
            (input.text, input.dropped) = (String::new(), true);
            return;
        }
        self.kept += piece.len();
        input.text.push_str(piece);
    }

    /// A block ends.
    pub(super) fn end(&mut self, index: u64) {
        if let Some(block) = self.asking.iter_mut().rfind(|block| block.index == index) {
            block.complete = true;
        }
    }

    /// The content of a message that came whole.
    pub(super) fn document(&mut self, raw: &str) {
        let Ok(blocks) = serde_json::from_str::<Vec<&RawValue>>(raw) else { return };
        for (index, block) in (0..).zip(blocks) {
            self.begin(index, block.get());
            self.end(index);
        }
    }

    /// What is asked for, and what ran.
    pub(super) fn finish(self) -> (Vec<ToolAsked>, Vec<ToolReturned>) {
        let mut returned = self.returned;
        for result in &mut returned {
            let asked = self.asking.iter().find(|block| block.id == result.id);
            result.name = asked.map(|block| block.name.clone());
        }
        let asked = self.asking.into_iter().map(|block| {
            let Input { text, bytes, dropped } = block.input;
            // No input at all is an empty one.
            let text = if text.is_empty() && !dropped { "{}" } else { &text };
            ToolAsked {
                skill: skill_of(&block.name, text),
                input: Content { bytes, canonical: canonical(text) },
                id: block.id,
                name: block.name,
                kind: block.kind,
                server: block.server,
                complete: block.complete,
            }
        });
        (asked.collect(), returned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(blocks: ToolBlocks) -> ToolAsked {
        blocks.finish().0.remove(0)
    }

    #[test]
    fn pieces_are_joined_by_index_and_compared_in_one_form() {
        let mut blocks = ToolBlocks::default();
        blocks.begin(0, r#"{"type":"text","text":""}"#);
        blocks.begin(1, r#"{"type":"tool_use","id":"a","name":"Bash","input":{}}"#);
        blocks.begin(
            2,
            r#"{"type":"mcp_tool_use","id":"b","name":"find","server_name":"s","input":{}}"#,
        );
        for (index, piece) in
            [(1, r#""{ \"b\" : \"\\u00e9\",""#), (2, r#""""#), (1, r#"" \"a\": 1}""#)]
        {
            blocks.input(index, piece);
        }
        blocks.end(1);
        let (asked, _) = blocks.finish();
        assert_eq!(asked[0].input.canonical.as_deref(), Some("{\"a\":1,\"b\":\"é\"}".as_bytes()));
        assert_eq!((asked[0].input.bytes, asked[0].complete), (25, true));
        assert_eq!(asked[1].input.canonical.as_deref(), Some(&b"{}"[..]));
        assert_eq!((asked[1].kind, asked[1].server.as_deref()), (ToolKind::Mcp, Some("s")));
        assert!(!asked[1].complete);
        assert!(!format!("{asked:?}").contains("é"), "content is not printed");
    }

    #[test]
    fn what_is_too_long_keeps_its_size_alone() {
        let mut blocks = ToolBlocks::default();
        blocks.begin(0, r#"{"type":"tool_use","id":"a","name":"Write","input":{}}"#);
        let piece = format!("\"{}\"", "x".repeat(INPUTS_BYTES_MAX / 2 + 1));
        blocks.input(0, &piece);
        blocks.input(0, &piece);
        assert_eq!(blocks.kept, 0);
        let tool = asked(blocks);
        assert_eq!((tool.input.bytes, tool.input.canonical), (INPUTS_BYTES_MAX as u64 + 2, None));
    }

    #[test]
    fn results_at_the_api_say_whether_they_failed() {
        let mut blocks = ToolBlocks::default();
        blocks.document(
            r#"[{"type":"server_tool_use","id":"a","name":"web_search","input":{"query":"q"}},
            {"type":"web_search_tool_result","tool_use_id":"a","content":[{"type":"web_search_result"}]},
            {"type":"web_fetch_tool_result","tool_use_id":"b","content":
                {"type":"web_fetch_tool_error","error_code":"url_not_accessible"}},
            {"type":"mcp_tool_result","tool_use_id":"c","is_error":true,
                "content":[{"type":"text","text":"no"}]}]"#,
        );
        let (asked, returned) = blocks.finish();
        assert_eq!((asked.len(), asked[0].complete, asked[0].kind), (1, true, ToolKind::Server));
        let failed: Vec<bool> = returned.iter().map(|result| result.failed).collect();
        assert_eq!(failed, [false, true, true]);
        assert_eq!(returned[0].name.as_deref(), Some("web_search"));
        assert_eq!(returned[2].output.canonical.as_deref(), Some(&b"no"[..]));
    }
}
