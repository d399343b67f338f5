//! The results of tools in a request, and the tools of the API that it offers.
//!
//! A result stands in the messages after the last one of the assistant's: the API asks for it. So
//! whatever a client sends again with every turn is neither read nor counted again; only the last
//! messages are made contiguous and parsed. The assistant's message before them names the tools.

use std::collections::VecDeque;

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::tools::{Block, ToolReturned, skill_of, text};

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
struct Tool<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
}

impl Places {
    /// A message of the list.
    pub(super) fn message(&mut self, span: Span) {
        if self.messages.len() == MESSAGES_MAX {
            self.messages.pop_front();
        }
        self.messages.push_back(span);
    }

    /// The results that are new with this request, and whether some may have been missed.
    pub(super) fn returned<'a>(
        &self,
        chunks: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> (Vec<ToolReturned>, bool) {
        let (mut results, mut unread, mut bytes_left) = (Vec::new(), false, TAIL_BYTES_MAX);
        // The beginning of the answer that is asked for may stand at the end, as the assistant's.
        let (mut is_beginning, mut is_whole) = (true, self.messages.len() < MESSAGES_MAX);
        for span in self.messages.iter().rev() {
            let Some(left) = bytes_left.checked_sub(span.end.saturating_sub(span.start)) else {
                return (results, true);
            };
            bytes_left = left;
            let raw = copied(chunks.clone(), *span);
            let Ok(message) = serde_json::from_slice::<Message<'_>>(&raw) else {
                return (results, true);
            };
            let is_assistant = text(message.role).is_some_and(|role| role == "assistant");
            if is_assistant && is_beginning {
                continue;
            }
            let blocks = blocks(message.content, &mut unread);
            if is_assistant {
                name(&mut results, &blocks);
                is_whole = true;
                break;
            }
            is_beginning = false;
            let found: Vec<_> = blocks.iter().filter_map(result).collect();
            results.splice(0..0, found);
        }
        unread |= !is_whole || results.len() > RETURNED_MAX;
        results.truncate(RETURNED_MAX);
        (results, unread)
    }

    /// The messages behind the last one of the assistant's, as they came: what is new with this
    /// request. At most the last [`MESSAGES_MAX`], and [`TAIL_BYTES_MAX`] of them.
    pub(super) fn new_messages<'a>(
        &self,
        chunks: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Vec<Vec<u8>> {
        let (mut messages, mut bytes_left) = (Vec::new(), TAIL_BYTES_MAX);
        for span in self.messages.iter().rev() {
            let Some(left) = bytes_left.checked_sub(span.end.saturating_sub(span.start)) else {
                break;
            };
            bytes_left = left;
            let raw = copied(chunks.clone(), *span);
            let role = serde_json::from_slice::<Message<'_>>(&raw).ok().and_then(|m| text(m.role));
            if role.is_some_and(|role| role == "assistant") {
                break;
            }
            messages.push(raw);
        }
        messages.reverse();
        messages
    }

    /// The tools that run at the API: those with a type of their own. And whether some may
    /// have been missed.
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
            return (Vec::new(), true);
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

/// The blocks of a content that may be about tools.
fn blocks<'a>(content: Option<&'a RawValue>, unread: &mut bool) -> Vec<Block<'a>> {
    let Some(raw) = content.map(RawValue::get) else { return Vec::new() };
    // A key can be written with escapes, so that only what has neither is passed over.
    let bytes = raw.as_bytes();
    if memmem::find(bytes, b"tool_").is_none() && memmem::find(bytes, b"\\u").is_none() {
        return Vec::new();
    }
    let Ok(blocks) = serde_json::from_str::<Vec<&RawValue>>(raw) else { return Vec::new() };
    let read = blocks.into_iter().filter_map(|block| {
        let block = serde_json::from_str(block.get());
        *unread |= block.is_err();
        block.ok()
    });
    read.collect()
}

fn result(block: &Block<'_>) -> Option<ToolReturned> {
    text(block.kind).filter(|kind| kind == "tool_result")?;
    block.returned(false)
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
