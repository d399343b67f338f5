//! The results of tools in a request, and the tools of the API that it offers.
//!
//! A result stands in the messages after the last one of the assistant's: the API asks for it. So
//! whatever a client sends again with every turn is neither read nor counted again; only the last
//! messages are made contiguous and parsed. The assistant's message before them names the tools.

use std::collections::VecDeque;

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::tools::{Content, OUTPUT_BYTES_MAX, ToolReturned, canonical_output, skill_of};

/// Messages whose places are noted: the last ones.
const MESSAGES_MAX: usize = 64;
/// Bytes of last messages that are read.
const TAIL_BYTES_MAX: u64 = 16 << 20;
/// Bytes of `tools` that are read; real clients send 40 to 90 KB.
const TOOLS_BYTES_MAX: u64 = 4 << 20;
/// Results of one request.
const RETURNED_MAX: usize = 1_000;

/// A part of the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Where the parts stand that are read at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    pub(super) messages: VecDeque<Span>,
    pub(super) tools: Option<Span>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use_id: Option<&'a RawValue>,
    #[serde(borrow)]
    is_error: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
}

fn text(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

impl Places {
    /// A message of the list.
    pub(super) fn message(&mut self, span: Span) {
        if self.messages.len() == MESSAGES_MAX {
            self.messages.pop_front();
        }
        self.messages.push_back(span);
    }

    /// The results that are new with this request.
    pub(super) fn returned<'a>(
        &self,
        chunks: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Vec<ToolReturned> {
        let (mut results, mut bytes_left) = (Vec::new(), TAIL_BYTES_MAX);
        for (place, span) in self.messages.iter().rev().enumerate() {
            let Some(left) = bytes_left.checked_sub(span.end.saturating_sub(span.start)) else {
                break;
            };
            bytes_left = left;
            let raw = copied(chunks.clone(), *span);
            let Ok(message) = serde_json::from_slice::<Message<'_>>(&raw) else { break };
            let is_assistant = text(message.role).is_some_and(|role| role == "assistant");
            // A last message of the assistant's is the beginning of the answer that is asked for.
            if is_assistant && place == 0 {
                continue;
            }
            let blocks = blocks(message.content);
            if is_assistant {
                name(&mut results, &blocks);
                break;
            }
            let found: Vec<_> = blocks.iter().filter_map(result).collect();
            results.splice(0..0, found);
        }
        results.truncate(RETURNED_MAX);
        results
    }

    /// The tools that run at the API: those with a type of their own. And whether there were more
    /// than are read.
    pub(super) fn server_tools<'a>(
        &self,
        chunks: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> (Vec<String>, bool) {
        let Some(span) = self.tools else { return (Vec::new(), false) };
        if span.end.saturating_sub(span.start) > TOOLS_BYTES_MAX {
            return (Vec::new(), true);
        }
        let raw = copied(chunks, span);
        let Ok(tools) = serde_json::from_slice::<Vec<Tool<'_>>>(&raw) else {
            return (Vec::new(), false);
        };
        let at_the_api = |tool: &Tool<'_>| {
            let kind = text(tool.kind).filter(|kind| kind != "custom")?;
            Some(text(tool.name).unwrap_or(kind))
        };
        (tools.iter().filter_map(at_the_api).collect(), false)
    }
}

/// The bytes of a part.
fn copied<'a>(chunks: impl Iterator<Item = &'a [u8]>, span: Span) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut at = 0_u64;
    for chunk in chunks {
        let end = at + chunk.len() as u64;
        let within = |place: u64| {
            let place = place.clamp(at, end) - at;
            usize::try_from(place).unwrap_or(usize::MAX)
        };
        let part = chunk.get(within(span.start)..within(span.end));
        bytes.extend_from_slice(part.unwrap_or_default());
        at = end;
        if at >= span.end {
            break;
        }
    }
    bytes
}

/// The blocks of a content that are about tools.
fn blocks(content: Option<&RawValue>) -> Vec<Block<'_>> {
    let Some(raw) = content.map(RawValue::get) else { return Vec::new() };
    if memmem::find(raw.as_bytes(), b"tool_").is_none() {
        return Vec::new();
    }
    let Ok(blocks) = serde_json::from_str::<Vec<&RawValue>>(raw) else { return Vec::new() };
    blocks.into_iter().filter_map(|block| serde_json::from_str(block.get()).ok()).collect()
}

fn result(block: &Block<'_>) -> Option<ToolReturned> {
    text(block.kind).filter(|kind| kind == "tool_result")?;
    let output = match block.content.map(RawValue::get) {
        None => Content { bytes: 0, canonical: Some(Vec::new()) },
        Some(raw) if raw.len() > OUTPUT_BYTES_MAX => {
            Content { bytes: raw.len() as u64, canonical: None }
        }
        Some(raw) => Content { bytes: raw.len() as u64, canonical: canonical_output(raw) },
    };
    Some(ToolReturned {
        id: text(block.tool_use_id)?,
        name: None,
        skill: None,
        failed: block.is_error.is_some_and(|error| error.get() == "true"),
        output,
    })
}

/// Gives the results the names that the assistant's message has for them.
fn name(results: &mut [ToolReturned], asked: &[Block<'_>]) {
    for block in asked {
        let Some(id) = text(block.id) else { continue };
        let name = text(block.name);
        let input = block.input.map(RawValue::get);
        for result in results.iter_mut().filter(|result| result.id == id) {
            result.skill = name.as_deref().and_then(|name| skill_of(name, input?));
            result.name.clone_from(&name);
        }
    }
}
