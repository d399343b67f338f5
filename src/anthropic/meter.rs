//! Usage from a response, read while its bytes pass.

use crate::accounting::{Flag, Usage};
use crate::record::exchange::Endpoint;

/// What a meter must know before the first byte of the body.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// The request's form of the API.
    pub endpoint: Endpoint,
    /// HTTP status.
    pub status: u16,
    /// The `content-type` header.
    pub content_type: Option<&'a str>,
    /// The `content-encoding` header; several values joined by commas.
    pub content_encoding: Option<&'a str>,
    /// Whether the request asked for a stream.
    pub stream_requested: bool,
}

/// How a response body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON document.
    Json,
    /// Server-sent events.
    Sse,
    /// Bedrock's binary event stream.
    EventStream,
    /// Not looked at: an unmetered endpoint, or an encoding that is not known.
    Opaque,
}

/// What one chunk held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The first content of the answer; true at most once.
    pub first_token: bool,
    /// The beginning of `message_stop` or of an error event: this chunk *and all after it* are
    /// held back until the closing entry is durable (R2), and still observed. True at most once.
    /// Never true for JSON: there the last frame is the end.
    pub end: bool,
}

/// What a response said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metered {
    /// The usage is final: `message_stop`, a `message_delta` with a stop reason, or a whole JSON
    /// document was seen.
    pub complete: bool,
    /// `message_stop`, an error event or a whole JSON document was seen.
    pub ended: bool,
    /// The error's type, from an error body or an error event.
    pub error_type: Option<String>,
    /// What a reader of the figures must know; sorted, each at most once.
    pub flags: Vec<Flag>,
    /// The message's id.
    pub message_id: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// `stop_details.category`: decides whether a refusal before any output is billed.
    pub refusal_category: Option<String>,
    /// Why the model stopped.
    pub stop_reason: Option<String>,
    /// What was used; `None` is unknown, never zero.
    pub usage: Option<Usage>,
}

/// Reads one response.
#[derive(Debug)]
pub struct Meter {
    form: Form,
}

impl Meter {
    /// A meter for the body that follows `head`.
    #[must_use]
    pub fn new(head: &ResponseHead<'_>) -> Meter {
        let _ = head;
        Meter { form: Form::Opaque }
    }

    /// How the body is read.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Takes the next bytes of the body, as they came (still compressed).
    pub fn observe(&mut self, chunk: &[u8]) -> Seen {
        let _ = chunk;
        Seen::default()
    }

    /// The facts, after the last chunk or wherever the body was cut.
    #[must_use]
    pub fn finish(self) -> Metered {
        Metered::default()
    }
}
