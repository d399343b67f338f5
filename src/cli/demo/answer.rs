//! What the simulated API answers: as one JSON body, or as the events of a paced stream.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use tokio::time::Sleep;

use super::bill::Tokens;

/// The most pieces that a text is streamed in.
const PIECES_MAX: usize = 24;
/// Pause before each event of a stream.
const PACE: Duration = Duration::from_millis(11);
/// How much of a stream that is cut gets out: its start and a few words.
const EVENTS_BEFORE_CUT: usize = 9;
/// What the model has to say, over and over.
const WORDS: &str = "This text is made up: nobody reads it, yet every token of it is counted. ";

/// An answer before it has a form.
pub(super) struct Answer {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) text: String,
    /// Asks the client to use this tool.
    pub(super) tool: Option<Value>,
    pub(super) tokens: Tokens,
}

/// A text of so many bytes.
pub(super) fn text(length: usize) -> String {
    WORDS.chars().cycle().take(length).collect()
}

impl Answer {
    /// Usage as the API reports it, with the output tokens known at that moment.
    fn usage(&self, output: u64) -> Value {
        let Tokens { input, cache_write_5m, cache_write_1h, cache_read, .. } = self.tokens;
        json!({
            "input_tokens": input,
            "cache_creation_input_tokens": cache_write_5m + cache_write_1h,
            "cache_read_input_tokens": cache_read,
            "cache_creation": {"ephemeral_5m_input_tokens": cache_write_5m,
                "ephemeral_1h_input_tokens": cache_write_1h},
            "output_tokens": output,
            "service_tier": "standard",
            "inference_geo": "not_available",
        })
    }

    fn message(&self, content: &Value, stop_reason: Option<&str>, output: u64) -> Value {
        json!({"id": self.id, "type": "message", "role": "assistant", "model": self.model,
            "content": content, "stop_reason": stop_reason, "stop_sequence": null,
            "usage": self.usage(output)})
    }

    const fn stop_reason(&self) -> &'static str {
        if self.tool.is_some() { "tool_use" } else { "end_turn" }
    }

    /// Everything at once.
    pub(super) fn json(&self) -> Bytes {
        let said = json!({"type": "text", "text": self.text});
        let content: Vec<&Value> = std::iter::once(&said).chain(&self.tool).collect();
        let message = self.message(&json!(content), Some(self.stop_reason()), self.tokens.output);
        Bytes::from(message.to_string())
    }

    /// One event after the other.
    pub(super) fn stream(&self) -> Stream {
        let start = json!({"type": "message_start", "message": self.message(&json!([]), None, 1)});
        let mut events = VecDeque::from([event(&start), event(&json!({"type": "ping"}))]);
        let mut block = |index: usize, block: Value, deltas: Vec<Value>| {
            let start = json!({"type": "content_block_start", "index": index,
                "content_block": block});
            events.push_back(event(&start));
            for delta in deltas {
                let delta = json!({"type": "content_block_delta", "index": index, "delta": delta});
                events.push_back(event(&delta));
            }
            events.push_back(event(&json!({"type": "content_block_stop", "index": index})));
        };
        let piece = self.text.len().div_ceil(PIECES_MAX).max(1);
        let pieces = self.text.as_bytes().chunks(piece);
        let delta = |text| json!({"type": "text_delta", "text": String::from_utf8_lossy(text)});
        block(0, json!({"type": "text", "text": ""}), pieces.map(delta).collect());
        if let Some(tool) = &self.tool {
            let input = tool["input"].to_string();
            let mut empty = tool.clone();
            empty["input"] = json!({});
            block(1, empty, vec![json!({"type": "input_json_delta", "partial_json": input})]);
        }
        let end = json!({"type": "message_delta",
            "delta": {"stop_reason": self.stop_reason(), "stop_sequence": null},
            "usage": self.usage(self.tokens.output)});
        events.push_back(event(&end));
        events.push_back(event(&json!({"type": "message_stop"})));
        Stream { events, pause: Box::pin(tokio::time::sleep(PACE)), cut: false }
    }
}

fn event(data: &Value) -> Bytes {
    let name = data["type"].as_str().unwrap_or_default();
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

/// The body of a streamed answer: an event, a pause, an event.
pub(super) struct Stream {
    events: VecDeque<Bytes>,
    pause: Pin<Box<Sleep>>,
    /// Breaks off instead of ending.
    cut: bool,
}

impl Stream {
    /// The same stream from a server that dies in the middle of it.
    pub(super) fn cut(mut self) -> Stream {
        self.events.truncate(EVENTS_BEFORE_CUT);
        self.cut = true;
        self
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        ready!(self.pause.as_mut().poll(context));
        let next = match self.events.pop_front() {
            Some(event) => Some(Ok(Frame::data(event))),
            None if self.cut => Some(Err(io::ErrorKind::ConnectionAborted.into())),
            None => None,
        };
        self.pause = Box::pin(tokio::time::sleep(PACE));
        Poll::Ready(next)
    }
}
