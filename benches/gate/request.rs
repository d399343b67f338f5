//! Requests as an agent sends them: one conversation that grows by a turn a call, so that all but
//! the last message was seen before. The fields stand in the order in which Claude Code is known
//! to send them (`messages` second, `metadata` and `stream` last): the hard order for a reader who
//! hopes to find `stream` early.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use serde_json::{Value, json};

/// Text of the kind an agent carries: code, escapes, paths, and some that looks like identifiers.
const TEXT: &str = "src/gate/scale.rs:42\n\tfn weigh(load: &Load) -> Kilograms {\n\t\t\
     println!(\"gross {}\", \"\\\"q\\\"\");\n\t}\nTicket 00482913 of 2026-11-20T08:15:00Z — \
     questions to office@example.org or (555) 010-0199. The scale had settled, nothing changed. ";
/// The longest text of one message of the conversation.
const MESSAGE_BYTES: usize = 3000;

/// How the upstream shall answer.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// One JSON message.
    Message,
    /// This many events, this far apart.
    Events { events: u64, gap_us: u64 },
}

/// A conversation, ready for one more turn.
pub(crate) struct Conversation {
    before: Bytes,
    after: Bytes,
    fresh_bytes: usize,
    turn: AtomicU64,
    /// Events the answer must have; 0 for a message.
    pub(crate) events: u64,
}

impl Conversation {
    /// About `bytes` a request, of which `fresh_bytes` are new in each.
    pub(crate) fn new(bytes: usize, fresh_bytes: usize, answer: Answer) -> Self {
        let (stream, events, gap_us) = match answer {
            Answer::Message => (false, 0, 0),
            Answer::Events { events, gap_us } => (true, events, gap_us),
        };
        let system = json!([{"type": "text", "text": "You weigh what comes through the gate.",
            "cache_control": {"type": "ephemeral"}}]);
        let tools = json!([{"name": "read_file", "description": "Reads a file.", "input_schema":
            {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}}]);
        let after = format!(
            "],\"system\":{system},\"tools\":{tools},\"metadata\":{{\"user_id\":\
             \"gap={gap_us};events={events};delay=0\"}},\"max_tokens\":4096,\"stream\":{stream}}}"
        );
        let mut before = String::from("{\"model\":\"claude-sonnet-4-5-20250929\",\"messages\":[");
        let mut index = 0;
        // The last message of the past must be the assistant's: the new one is the user's.
        while before.len() + after.len() + fresh_bytes + MESSAGE_BYTES < bytes || index % 2 == 1 {
            before.push_str(&message(index).to_string());
            before.push(',');
            index += 1;
        }
        let turn = AtomicU64::new(0);
        Self { before: before.into(), after: after.into(), fresh_bytes, turn, events }
    }

    /// The next request of this conversation; no two are alike.
    pub(crate) fn next_turn(&self) -> Turn {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut text = format!("turn {turn}: ");
        while text.len() < self.fresh_bytes {
            text.push_str("what does the ticket say about the tare, and who has signed for it? ");
        }
        let fresh = format!("{{\"role\":\"user\",\"content\":\"{text}\"}}");
        Turn { parts: [self.before.clone(), fresh.into(), self.after.clone()], next: 0 }
    }
}

/// Message `index` of the conversation; user and assistant take turns.
fn message(index: usize) -> Value {
    let mut text = format!("{index}: ");
    while text.len() < MESSAGE_BYTES {
        text.push_str(TEXT);
    }
    let id = format!("toolu_{:06}", index / 2);
    let path = format!("src/gate/ticket_{index}.rs");
    let text_block = json!({"type": "text", "text": text});
    match index % 4 {
        0 => json!({"role": "user", "content": text}),
        1 => json!({"role": "assistant", "content": [
            {"type": "text", "text": "I read the ticket first."},
            {"type": "tool_use", "id": id, "name": "read_file", "input": {"path": path}}]}),
        2 => json!({"role": "user", "content": [{"type": "tool_result",
            "tool_use_id": format!("toolu_{:06}", (index - 1) / 2), "content": [text_block]}]}),
        _ => json!({"role": "assistant", "content": [text_block]}),
    }
}

/// A request body in three pieces, so that a megabyte of old context is not copied for each call.
pub(crate) struct Turn {
    parts: [Bytes; 3],
    next: usize,
}

impl Body for Turn {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let at = self.next;
        self.next += 1;
        Poll::Ready(self.parts.get(at).map(|part| Ok(Frame::data(part.clone()))))
    }

    fn is_end_stream(&self) -> bool {
        self.next >= self.parts.len()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.parts.iter().skip(self.next).map(|part| part.len() as u64).sum();
        SizeHint::with_exact(left)
    }
}
