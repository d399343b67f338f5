//! What the events or the document of a response say, gathered into facts.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::accounting::estimate::Streamed;
use crate::accounting::{Flag, Usage};

use super::converse;
use super::error_class;
use super::json;
use super::merge::UsageMerge;
use super::meter::Seen;
use super::tool_blocks::ToolBlocks;

/// The longest event or frame that is kept for reading; the ones that matter have under 4 KB.
pub(super) const EVENT_BYTES_MAX: usize = 1 << 20;

/// The longest part of an event that becomes a value in memory (`usage`, `error`).
const PART_BYTES_MAX: usize = 64 * 1024;

/// The longest text fact.
const TEXT_BYTES_MAX: usize = 256;

/// What an event is to the meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Start,
    Delta,
    Stop,
    Error,
    /// Content of the answer: only its arrival matters.
    Content,
    /// A block of content begins: it may be a tool's.
    BlockStart,
    /// A piece of a tool's input.
    ToolInput,
    /// A block of content ends.
    BlockStop,
    /// Everything else, known or not.
    Other,
}

impl Kind {
    /// From an SSE event's name; `None` where the data must tell.
    pub(super) fn of_name(name: &[u8]) -> Option<Kind> {
        match name {
            b"content_block_delta" => Some(Kind::Content),
            b"content_block_start" => Some(Kind::BlockStart),
            b"content_block_stop" => Some(Kind::BlockStop),
            b"ping" => Some(Kind::Other),
            b"message_start" => Some(Kind::Start),
            b"message_delta" => Some(Kind::Delta),
            b"message_stop" => Some(Kind::Stop),
            b"error" => Some(Kind::Error),
            _ => None,
        }
    }

    /// From the beginning of the data, where `type` comes first; `None` where it does not.
    pub(super) fn sniff(data: &[u8]) -> Option<Kind> {
        let rest = data.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start();
        let rest = rest.strip_prefix(b"\"type\"")?.trim_ascii_start();
        let rest = rest.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
        let name = &rest[..memchr::memchr(b'"', rest)?];
        Some(Kind::of_name(name).unwrap_or(Kind::Other))
    }

    /// Whether the data says more than the kind does.
    pub(super) const fn is_read(self) -> bool {
        !matches!(self, Kind::Stop | Kind::Content | Kind::Other)
    }
}

/// What a piece of content is. Its bytes are counted, to estimate the output of a stream that is
/// cut before it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Text,
    Thinking,
    ToolInput,
}

impl Content {
    /// From the beginning of a `content_block_delta`: its kind, and how many bytes stand before
    /// the content. On the path of every delta, so the form that the API writes is no search;
    /// gateways write others (blanks, keys in another order).
    pub(super) fn sniff(data: &[u8]) -> Option<(Content, usize)> {
        Content::sniff_compact(data).or_else(|| Content::sniff_any(data))
    }

    fn sniff_compact(data: &[u8]) -> Option<(Content, usize)> {
        let rest = data.strip_prefix(b"{\"type\":\"content_block_delta\",\"index\":")?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let rest = rest[digits..].strip_prefix(b",\"delta\":{\"type\":\"")?;
        let (content, rest) = match rest.first()? {
            b't' if rest.starts_with(b"te") => {
                (Content::Text, rest.strip_prefix(b"text_delta\",\"text\":\"")?)
            }
            b't' => (Content::Thinking, rest.strip_prefix(b"thinking_delta\",\"thinking\":\"")?),
            b'i' => {
                let tool = rest.strip_prefix(b"input_json_delta\",\"partial_json\":\"")?;
                (Content::ToolInput, tool)
            }
            _ => return None,
        };
        Some((content, data.len() - rest.len()))
    }

    /// Walks over the members that stand before the content, in any order and with any blanks.
    /// The key in `delta` tells the kind: `type` may come behind the content.
    fn sniff_any(data: &[u8]) -> Option<(Content, usize)> {
        let mut rest = after(data, b'{')?;
        let mut is_in_delta = false;
        loop {
            let key_and_rest = after(rest, b'"')?;
            let (key, behind) = key_and_rest.split_at(memchr::memchr(b'"', key_and_rest)?);
            let value = after(&behind[1..], b':')?.trim_ascii_start();
            let content = match key {
                b"delta" if !is_in_delta => {
                    is_in_delta = true;
                    rest = after(value, b'{')?;
                    continue;
                }
                b"text" if is_in_delta => Content::Text,
                b"thinking" if is_in_delta => Content::Thinking,
                b"partial_json" if is_in_delta => Content::ToolInput,
                b"type" | b"index" => {
                    // Neither holds a comma.
                    rest = &value[memchr::memchr(b',', value)? + 1..];
                    continue;
                }
                _ => return None,
            };
            return Some((content, data.len() - after(value, b'"')?.len()));
        }
    }
}

/// What follows a byte that must come next, blanks apart.
fn after(data: &[u8], byte: u8) -> Option<&[u8]> {
    data.trim_ascii_start().strip_prefix(&[byte])
}

/// The facts so far.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) streamed: Streamed,
    pub(super) complete: bool,
    pub(super) ended: bool,
    /// Nothing that still comes can change the facts.
    pub(super) settled: bool,
    pub(super) error_class: Option<&'static str>,
    pub(super) error_type: Option<String>,
    pub(super) message_id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) refusal_category: Option<String>,
    pub(super) stop_reason: Option<String>,
    pub(super) tools: ToolBlocks,
    flags: BTreeSet<Flag>,
    usage: UsageMerge,
    content_seen: bool,
    /// Not yet told to the caller.
    seen: Seen,
}

/// The fields of a message, of a delta and of an error body that matter; each optional, each of
/// any type.
#[derive(Default, Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_details: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    partial_json: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    /// The text of an error of Bedrock's.
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    /// Bedrock's Converse form.
    #[serde(borrow, rename = "stopReason")]
    converse_stop: Option<&'a RawValue>,
    #[serde(borrow, rename = "serviceTier")]
    converse_tier: Option<&'a RawValue>,
}

/// One event of a stream.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    index: Option<u64>,
    #[serde(borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<Message<'a>>,
    #[serde(borrow)]
    delta: Option<Message<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl Reading {
    /// As soon as an event's kind is known, before its data is whole.
    pub(super) fn announce(&mut self, kind: Kind) {
        match kind {
            Kind::Content | Kind::BlockStart | Kind::ToolInput if !self.content_seen => {
                self.content_seen = true;
                self.seen.first_token = true;
            }
            Kind::Stop | Kind::Error => {
                self.seen.end |= !self.ended;
                self.ended = true;
                self.complete |= kind == Kind::Stop;
                self.settled |= kind == Kind::Stop;
            }
            _ => {}
        }
    }

    /// Counts bytes of content, as they stand between its quotes.
    pub(super) const fn count(&mut self, content: Content, bytes: usize) {
        let field = match content {
            Content::Text => &mut self.streamed.text,
            Content::Thinking => &mut self.streamed.thinking,
            Content::ToolInput => &mut self.streamed.tool_input,
        };
        *field = field.saturating_add(bytes as u64);
    }

    /// What has been seen since the last call.
    pub(super) fn take_seen(&mut self) -> Seen {
        std::mem::take(&mut self.seen)
    }

    pub(super) fn flag(&mut self, flag: Flag) {
        self.flags.insert(flag);
    }

    /// A whole event. `kind` is `None` where only the data can tell.
    pub(super) fn event(&mut self, kind: Option<Kind>, data: &[u8]) {
        if kind.is_some_and(|kind| !kind.is_read()) {
            return;
        }
        let Ok(event) = serde_json::from_slice::<Event<'_>>(data) else {
            // An event that nothing marks as ours may be anything, such as a gateway's `[DONE]`.
            if kind.is_some() {
                self.flag(Flag::Unparseable);
            }
            return;
        };
        let kind = kind.unwrap_or_else(|| {
            let name = text(event.kind).unwrap_or_default();
            let kind = Kind::of_name(name.as_bytes()).unwrap_or(Kind::Other);
            self.announce(kind);
            kind
        });
        match kind {
            Kind::Start => {
                let message = event.message.unwrap_or_default();
                self.message(&message);
                if let Some(usage) = self.part(message.usage) {
                    self.usage.start(&usage);
                }
            }
            Kind::Delta => {
                self.message(&event.delta.unwrap_or_default());
                self.complete |= self.stop_reason.is_some();
                if let Some(usage) = self.part(event.usage) {
                    self.usage.delta(&usage);
                }
            }
            Kind::Error => {
                self.error(event.error);
                self.settled = true;
            }
            Kind::BlockStart => {
                if let (Some(index), Some(block)) = (event.index, event.content_block) {
                    self.tools.begin(index, block.get());
                }
            }
            Kind::ToolInput => {
                let piece = event.delta.and_then(|delta| delta.partial_json);
                if let (Some(index), Some(piece)) = (event.index, piece) {
                    self.tools.input(index, piece.get());
                }
            }
            Kind::BlockStop => {
                if let Some(index) = event.index {
                    self.tools.end(index);
                }
            }
            Kind::Stop | Kind::Content | Kind::Other => {}
        }
    }

    /// A failure that the transport names (Bedrock's exceptions).
    pub(super) fn failure(&mut self, name: &str) {
        self.announce(Kind::Error);
        self.error_type = bounded(name);
        self.settled = true;
    }

    /// A whole document: a message or an error. Says whether it is one JSON object.
    pub(super) fn document(&mut self, body: &[u8]) -> bool {
        let message: Message<'_> = match serde_json::from_slice(body) {
            Ok(message) => message,
            Err(error) => {
                // A document that was cut short is incomplete, not garbage.
                if !error.is_eof() {
                    self.flag(Flag::Unparseable);
                }
                return false;
            }
        };
        self.message(&message);
        if let Some(content) = message.content {
            self.tools.document(content.get());
        }
        self.whole_usage(&message);
        self.error(message.error);
        if message.error.is_none() {
            self.error_class = text(message.message).and_then(|text| error_class::of(None, &text));
        }
        (self.complete, self.ended) = (true, true);
        true
    }

    /// An event of Bedrock's Converse stream: its name stands in a header, its data as they are.
    pub(super) fn converse(&mut self, name: &[u8], data: &[u8]) {
        if matches!(name, b"contentBlockStart" | b"contentBlockDelta") {
            return self.announce(Kind::Content);
        }
        if !matches!(name, b"messageStop" | b"metadata") {
            return;
        }
        let Ok(message) = serde_json::from_slice::<Message<'_>>(data) else {
            return self.flag(Flag::Unparseable);
        };
        self.message(&message);
        // The usage comes after the end of the message: both are held back together.
        self.seen.end |= !self.ended;
        self.ended = true;
        if name == b"metadata" {
            self.whole_usage(&message);
            (self.complete, self.settled) = (true, true);
        }
    }

    /// The usage of a whole answer, in either form.
    fn whole_usage(&mut self, message: &Message<'_>) {
        let Some(usage) = self.part(message.usage) else { return };
        let tier = self.part(message.converse_tier);
        match converse::usage(&usage, tier.as_ref()) {
            Some(usage) => self.usage.start(&usage),
            None => self.usage.start(&usage),
        }
    }

    /// The usage and all flags; the texts are read before.
    pub(super) fn finish(self) -> (Option<Usage>, BTreeSet<Flag>) {
        let (usage, mut flags) = self.usage.finish();
        flags.extend(self.flags);
        (usage, flags)
    }

    fn message(&mut self, message: &Message<'_>) {
        let details = self.part(message.stop_details);
        let category = details.as_ref().and_then(|details| details.get("category"));
        for (field, text) in [
            (&mut self.refusal_category, category.and_then(Value::as_str).and_then(bounded)),
            (&mut self.message_id, text(message.id)),
            (&mut self.model, text(message.model)),
            (&mut self.stop_reason, text(message.stop_reason.or(message.converse_stop))),
        ] {
            if text.is_some() {
                *field = text;
            }
        }
    }

    /// The API and Bedrock say `error.type`, Vertex `error.status`.
    fn error(&mut self, error: Option<&RawValue>) {
        let Some(error) = self.part(error) else { return };
        let name = error.get("type").or_else(|| error.get("status")).and_then(Value::as_str);
        let text = error.get("message").and_then(Value::as_str);
        self.error_class = text.and_then(|text| error_class::of(name, text));
        self.error_type = name.and_then(bounded);
    }

    fn part(&mut self, raw: Option<&RawValue>) -> Option<Value> {
        let raw = raw?.get();
        if raw.len() > PART_BYTES_MAX {
            self.flag(Flag::InspectionTruncated);
            return None;
        }
        let Ok(parsed) = json::parse(raw) else {
            self.flag(Flag::Unparseable);
            return None;
        };
        if parsed.has_duplicate {
            self.flag(Flag::UsageAnomaly);
        }
        Some(parsed.value)
    }
}

fn text(raw: Option<&RawValue>) -> Option<String> {
    // Six raw bytes may stand for one.
    let raw = raw?.get();
    if raw.len() > TEXT_BYTES_MAX * 6 {
        return None;
    }
    bounded(&serde_json::from_str::<String>(raw).ok()?)
}

pub(super) fn bounded(text: &str) -> Option<String> {
    (1..=TEXT_BYTES_MAX).contains(&text.len()).then(|| text.to_owned())
}
