//! Bedrock's binary event stream (`application/vnd.amazon.eventstream`), split while it passes.
//!
//! A frame is a prelude (total length, header length, CRC), headers, a payload and a CRC. The
//! payload is `{"bytes":"…"}` with one event of the API in base64, or in Converse's form the event
//! itself. The checksums are not checked:
//! the client does, and the transport has its own.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::accounting::Flag;

use super::converse;
use super::reading::{Content, EVENT_BYTES_MAX, Kind, Reading};

/// Total length, header length and their checksum.
const PRELUDE_BYTES: usize = 12;

/// The checksum behind the payload.
const CHECKSUM_BYTES: usize = 4;

/// The longest frame that is kept: an event in base64, and its headers.
const FRAME_BYTES_MAX: usize = 2 * EVENT_BYTES_MAX;

/// The one event of InvokeModelWithResponseStream; Converse names its own.
const CHUNK: &[u8] = b"chunk";

/// How much of the base64 is needed to see an event's type: 96 bytes of it.
const SNIFF_BYTES: usize = 128;

/// A buffer above this is given back after its frame.
const BUFFER_BYTES_KEPT: usize = 4 * 1024;

/// The splitter's state between two chunks.
#[derive(Debug, Default)]
pub(super) struct EventStream {
    /// A frame that is not whole yet.
    frame: Vec<u8>,
    /// Bytes of an overlong frame that are still to be stepped over.
    skip: usize,
    /// The lengths made no sense: nothing after can be found.
    lost: bool,
}

impl EventStream {
    /// Takes the next bytes.
    pub(super) fn push(&mut self, chunk: &[u8], reading: &mut Reading) {
        let mut rest = chunk;
        while !rest.is_empty() && !self.lost {
            if self.skip > 0 {
                let step = self.skip.min(rest.len());
                self.skip -= step;
                rest = &rest[step..];
            } else if self.frame.is_empty() {
                rest = self.whole_frames(rest, reading);
            } else {
                rest = self.torn_frame(rest, reading);
            }
        }
    }

    /// Reads frames where they lie, and keeps the beginning of the last one.
    fn whole_frames<'a>(&mut self, chunk: &'a [u8], reading: &mut Reading) -> &'a [u8] {
        let mut rest = chunk;
        while let Some(prelude) = rest.first_chunk::<PRELUDE_BYTES>() {
            let Some(length) = self.frame_length(prelude, reading) else { return rest };
            let Some((frame, after)) = rest.split_at_checked(length) else { break };
            read_frame(frame, reading);
            rest = after;
        }
        self.frame.extend_from_slice(rest);
        &[]
    }

    /// Completes the frame that an earlier chunk began.
    fn torn_frame<'a>(&mut self, chunk: &'a [u8], reading: &mut Reading) -> &'a [u8] {
        let wanted = match self.frame.first_chunk::<PRELUDE_BYTES>().copied() {
            None => PRELUDE_BYTES,
            Some(prelude) => match self.frame_length(&prelude, reading) {
                Some(length) => length,
                None => {
                    // The prelude is gone already; only what follows it is stepped over.
                    self.skip = self.skip.saturating_sub(self.frame.len());
                    self.frame.clear();
                    return chunk;
                }
            },
        };
        let (part, rest) = chunk.split_at(chunk.len().min(wanted - self.frame.len()));
        self.frame.extend_from_slice(part);
        if self.frame.len() == wanted && wanted > PRELUDE_BYTES {
            let frame = std::mem::take(&mut self.frame);
            read_frame(&frame, reading);
            self.frame = frame;
            self.frame.clear();
            self.frame.shrink_to(BUFFER_BYTES_KEPT);
        }
        rest
    }

    /// The length of the frame; `None` where it is stepped over or makes no sense.
    fn frame_length(
        &mut self,
        prelude: &[u8; PRELUDE_BYTES],
        reading: &mut Reading,
    ) -> Option<usize> {
        let (total, headers) = lengths(prelude);
        if !make_sense(total, headers) {
            self.lost = true;
            reading.flag(Flag::Unparseable);
            return None;
        }
        if total > FRAME_BYTES_MAX {
            self.skip = total;
            reading.flag(Flag::InspectionTruncated);
            return None;
        }
        Some(total)
    }
}

/// Frame and headers can be as long as they say.
fn make_sense(total: usize, headers: usize) -> bool {
    total.checked_sub(PRELUDE_BYTES + CHECKSUM_BYTES).is_some_and(|rest| headers <= rest)
}

fn lengths(prelude: &[u8; PRELUDE_BYTES]) -> (usize, usize) {
    let [a, b, c, d, e, f, g, h, ..] = *prelude;
    let length = |bytes| usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX);
    (length([a, b, c, d]), length([e, f, g, h]))
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    bytes: Option<Cow<'a, str>>,
}

/// Reads a whole frame whose lengths were checked.
fn read_frame(frame: &[u8], reading: &mut Reading) {
    let Some((prelude, rest)) = frame.split_first_chunk::<PRELUDE_BYTES>() else { return };
    let body = &rest[..rest.len() - CHECKSUM_BYTES];
    let (headers, payload) = body.split_at(lengths(prelude).1);
    let (event, exception) = names(headers);
    if let Some(name) = exception {
        reading.failure(name);
        return;
    }
    if let Some(event) = event.filter(|event| *event != CHUNK) {
        reading.converse(event, payload);
        return;
    }
    let Ok(Payload { bytes }) = serde_json::from_slice(payload) else {
        reading.flag(Flag::Unparseable);
        return;
    };
    let Some(text) = bytes else { return };
    let text = text.as_bytes();
    let mut head = [0_u8; SNIFF_BYTES];
    let decoded = STANDARD.decode_slice(&text[..text.len().min(SNIFF_BYTES)], &mut head);
    let head = decoded.ok().map(|length| &head[..length]);
    let kind = head.and_then(Kind::sniff).map(|kind| match head.and_then(Content::sniff) {
        Some((Content::ToolInput, _)) if kind == Kind::Content => Kind::ToolInput,
        _ => kind,
    });
    if let Some(kind) = kind {
        reading.announce(kind);
        if !kind.is_read() {
            return;
        }
    }
    match STANDARD.decode(text) {
        Ok(event) => reading.event(kind, &event),
        Err(_) => reading.flag(Flag::Unparseable),
    }
}

/// Each event of a copy of a stream, as the Messages API writes it, as far as frames make sense.
/// Exceptions are no events.
pub(super) fn each_event(body: &[u8], mut take: impl FnMut(Value)) {
    let mut rest = body;
    while let Some(prelude) = rest.first_chunk::<PRELUDE_BYTES>() {
        let (total, headers) = lengths(prelude);
        let frame = rest.split_at_checked(total).filter(|_| make_sense(total, headers));
        let Some((frame, after)) = frame else { return };
        rest = after;
        let body = frame.get(PRELUDE_BYTES..total - CHECKSUM_BYTES).unwrap_or_default();
        if let Some(event) = body.split_at_checked(headers).and_then(event_of) {
            take(event);
        }
    }
}

/// The event in a frame with these headers and this payload.
fn event_of((headers, payload): (&[u8], &[u8])) -> Option<Value> {
    let (event, exception) = names(headers);
    if exception.is_some() {
        return None;
    }
    if let Some(event) = event.filter(|event| *event != CHUNK) {
        return converse::event(event, serde_json::from_slice(payload).ok()?);
    }
    let Payload { bytes } = serde_json::from_slice(payload).ok()?;
    serde_json::from_slice(&STANDARD.decode(bytes?.as_bytes()).ok()?).ok()
}

/// The name of a frame's event, and of the exception or error that it is, if it is one.
fn names(headers: &[u8]) -> (Option<&[u8]>, Option<&str>) {
    let (mut failed, mut name, mut event) = (false, None, None);
    let mut rest = headers;
    while let Some((header, value, after)) = next_header(rest) {
        match header {
            b":event-type" => event = Some(value),
            b":message-type" => failed = matches!(value, b"exception" | b"error"),
            b":exception-type" | b":error-code" => name = str::from_utf8(value).ok(),
            _ => {}
        }
        rest = after;
    }
    (event, failed.then(|| name.unwrap_or("exception")))
}

/// Name, value and the headers after it.
fn next_header(headers: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&name_length, rest) = headers.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(name_length))?;
    let (&kind, rest) = rest.split_first()?;
    let (length, rest) = match kind {
        0 | 1 => (0, rest),
        2 => (1, rest),
        3 => (2, rest),
        4 => (4, rest),
        5 | 8 => (8, rest),
        6 | 7 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        9 => (16, rest),
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((name, value, rest))
}
