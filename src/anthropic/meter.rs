//! Usage from a response, read while its bytes pass.
//!
//! A successful answer of a metered endpoint is read in the form its content type names; an error
//! body is read for its type only; anything else is not looked at. All state is bounded, and how
//! the body is cut into chunks makes no difference to the facts.

use std::io::{self, Write};

use crate::accounting::estimate::Streamed;
use crate::accounting::{Flag, Usage};
use crate::record::batch::BatchTally;
use crate::record::exchange::Endpoint;

use super::decode::{Coding, Decoder};
use super::eventstream::EventStream;
use super::reading::{Reading, bounded};
use super::sse::Sse;
use super::tools::{ToolAsked, ToolReturned};

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
    /// The beginning of `message_stop` or of an error event: this chunk and those after it, up to
    /// the one with which [`Meter::is_settled`], are held back until the closing entry is durable
    /// (R2). True at most once; never for JSON, where the last frame is the end.
    pub end: bool,
}

/// What a response said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metered {
    /// The tools that the answer asks for.
    pub asked: Vec<ToolAsked>,
    /// Results of tools that ran at the API, in the same answer.
    pub returned: Vec<ToolReturned>,
    /// What a fetch of a batch's results held.
    pub batch: Option<BatchTally>,
    /// The body, decoded, where a copy was asked for.
    pub copy: BodyCopy,
    /// The usage is final: `message_stop`, a `message_delta` with a stop reason, or a whole JSON
    /// document was seen.
    pub complete: bool,
    /// `message_stop`, an error event or a whole JSON document was seen.
    pub ended: bool,
    /// What the error is, where its type does not say it and its text does: our own word.
    pub error_class: Option<&'static str>,
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
    /// Bytes of content, counted in server-sent events only.
    pub streamed: Streamed,
    /// What was used; `None` is unknown, never zero.
    pub usage: Option<Usage>,
}

/// A copy of a decoded body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BodyCopy {
    /// There was no answer to copy, or nobody asked.
    #[default]
    None,
    /// As far as the body came.
    Whole(Vec<u8>),
    /// It was longer than asked for.
    TooLong,
}

/// The longest JSON document that is looked at; real ones have 0.4 to 100 KB.
const DOCUMENT_BYTES_MAX: usize = 4 << 20;

/// Reads one response.
#[derive(Debug)]
pub struct Meter {
    form: Form,
    /// `None` where nothing is read: the form is opaque.
    decoder: Option<Decoder<Inspector>>,
    /// A successful answer of a metered endpoint: usage is expected.
    expects_usage: bool,
    stream_requested: bool,
    first_byte_seen: bool,
    /// What a header says of an error; the body's word comes first.
    error_header: Option<String>,
}

impl Meter {
    /// A meter for the body that follows `head`.
    #[must_use]
    pub fn new(head: &ResponseHead<'_>) -> Meter {
        let success = (200..300).contains(&head.status);
        let expects_usage = success && head.endpoint.is_metered();
        let wanted = expects_usage || head.status >= 400;
        let form = if expects_usage { form_of(head) } else { Form::Json };
        let decoder = Coding::of(head.content_encoding)
            .filter(|_| wanted)
            .and_then(|coding| Decoder::new(coding, Inspector::new(form)));
        Meter {
            form: if decoder.is_some() { form } else { Form::Opaque },
            decoder,
            expects_usage,
            stream_requested: head.stream_requested,
            first_byte_seen: false,
            error_header: None,
        }
    }

    /// The same, where a header names the error: Bedrock's `x-amzn-errortype`, which has an address
    /// behind a colon.
    #[must_use]
    pub fn with_error_header(mut self, header: Option<&str>) -> Meter {
        let name = header.and_then(|header| header.split(':').next()).map(str::trim);
        self.error_header = name.and_then(bounded);
        self
    }

    /// A meter for a document that bills nothing and whose id matters.
    #[must_use]
    pub fn of_document(content_encoding: Option<&str>) -> Meter {
        let inspector = Inspector::new(Form::Json);
        let decoder = Coding::of(content_encoding).and_then(|c| Decoder::new(c, inspector));
        Meter {
            form: if decoder.is_some() { Form::Json } else { Form::Opaque },
            decoder,
            expects_usage: false,
            stream_requested: false,
            first_byte_seen: false,
            error_header: None,
        }
    }

    /// Keeps a copy of the decoded body, of at most so many bytes, for whoever keeps contents.
    pub fn keep_copy(&mut self, bytes_max: usize) {
        if let Some(decoder) = self.decoder.as_mut().filter(|_| self.expects_usage) {
            decoder.sink_mut().copy = Some(Copying { bytes: Vec::new(), bytes_max });
        }
    }

    /// How the body is read.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Takes the next bytes of the body, as they came (still compressed).
    pub fn observe(&mut self, chunk: &[u8]) -> Seen {
        let Some(decoder) = &mut self.decoder else { return Seen::default() };
        decoder.push(chunk);
        let mut seen = decoder.sink_mut().reading.take_seen();
        if self.form == Form::Json && self.expects_usage && !chunk.is_empty() {
            seen.first_token = !self.first_byte_seen;
            self.first_byte_seen = true;
        }
        seen
    }

    /// Whether nothing that may still come can change the facts of a stream.
    pub fn is_settled(&mut self) -> bool {
        self.decoder.as_mut().is_none_or(|decoder| decoder.sink_mut().reading.settled)
    }

    /// The facts, after the last chunk or wherever the body was cut.
    #[must_use]
    pub fn finish(mut self) -> Metered {
        let error_header = self.error_header.take();
        let metered = self.finished();
        Metered { error_type: metered.error_type.or(error_header), ..metered }
    }

    fn finished(mut self) -> Metered {
        let Some(decoder) = &mut self.decoder else {
            // An unmetered answer has nothing to say; a metered one in an unknown coding does.
            let flags = [Flag::Unparseable, Flag::UsageUnknown];
            let flags = if self.expects_usage { flags.to_vec() } else { Vec::new() };
            return Metered { flags, ..Metered::default() };
        };
        let stopped = decoder.stopped();
        let mut inspector = std::mem::take(decoder.sink_mut());
        let whole_document = inspector.finish();
        let copy = inspector.copy.take().map_or(BodyCopy::None, Copying::finish);
        let mut reading = inspector.reading;
        if let Some(flag) = stopped {
            reading.flag(flag);
        }
        if whole_document && self.stream_requested {
            reading.flag(Flag::JsonForStream);
        }
        let metered = Metered { copy, ..gathered(reading) };
        if !self.expects_usage {
            // An error page need not be JSON, and bills nothing.
            return Metered { flags: Vec::new(), usage: None, ..metered };
        }
        metered
    }
}

/// What was read of a response that bills.
pub(super) fn gathered(mut reading: Reading) -> Metered {
    let (asked, returned) = std::mem::take(&mut reading.tools).finish();
    let mut metered = Metered {
        complete: reading.complete,
        ended: reading.ended,
        error_class: reading.error_class,
        error_type: reading.error_type.take(),
        message_id: reading.message_id.take(),
        model: reading.model.take(),
        refusal_category: reading.refusal_category.take(),
        stop_reason: reading.stop_reason.take(),
        asked,
        returned,
        streamed: reading.streamed,
        ..Metered::default()
    };
    let (usage, mut flags) = reading.finish();
    if usage.is_none() {
        flags.insert(Flag::UsageUnknown);
    } else if !metered.complete {
        flags.insert(Flag::Partial);
    }
    metered.usage = usage;
    metered.flags = flags.into_iter().collect();
    metered
}

/// The form of a successful answer of a metered endpoint. Where the content type says nothing
/// that is known, a whole JSON document is tried for: failing at that is flagged.
fn form_of(head: &ResponseHead<'_>) -> Form {
    let Some(content_type) = head.content_type else {
        return if head.stream_requested { Form::Sse } else { Form::Json };
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("text/event-stream") {
        Form::Sse
    } else if essence.eq_ignore_ascii_case("application/vnd.amazon.eventstream") {
        Form::EventStream
    } else {
        Form::Json
    }
}

/// The decoded body, and what has been read from it.
#[derive(Debug, Default)]
struct Inspector {
    body: Body,
    reading: Reading,
    copy: Option<Copying>,
}

/// A copy of a body in the making.
#[derive(Debug)]
struct Copying {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Copying {
    fn push(&mut self, bytes: &[u8]) {
        // One byte above the bound tells that it was passed.
        let room = (self.bytes_max + 1).saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or(bytes));
    }

    fn finish(self) -> BodyCopy {
        match self.bytes.len() <= self.bytes_max {
            true => BodyCopy::Whole(self.bytes),
            false => BodyCopy::TooLong,
        }
    }
}

#[derive(Debug)]
enum Body {
    Document(Vec<u8>),
    Sse(Sse),
    EventStream(EventStream),
}

impl Default for Body {
    fn default() -> Body {
        Body::Document(Vec::new())
    }
}

impl Inspector {
    fn new(form: Form) -> Inspector {
        let body = match form {
            Form::Json | Form::Opaque => Body::default(),
            Form::Sse => Body::Sse(Sse::default()),
            Form::EventStream => Body::EventStream(EventStream::default()),
        };
        Inspector { body, reading: Reading::default(), copy: None }
    }

    /// Reads what only the end makes readable. Says whether the body was one whole document.
    fn finish(&mut self) -> bool {
        match &mut self.body {
            Body::Document(bytes) if bytes.len() > DOCUMENT_BYTES_MAX => {
                self.reading.flag(Flag::InspectionTruncated);
                false
            }
            Body::Document(bytes) => self.reading.document(bytes),
            Body::Sse(sse) => {
                sse.finish(&mut self.reading);
                false
            }
            Body::EventStream(_) => false,
        }
    }
}

/// Takes decoded bytes; never fails.
impl Write for Inspector {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(copy) = &mut self.copy {
            copy.push(bytes);
        }
        match &mut self.body {
            Body::Document(document) => {
                // One byte above the bound tells that it was passed.
                let room = (DOCUMENT_BYTES_MAX + 1).saturating_sub(document.len());
                document.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Body::Sse(sse) => sse.push(bytes, &mut self.reading),
            Body::EventStream(stream) => stream.push(bytes, &mut self.reading),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
