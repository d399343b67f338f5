//! Server-sent events, split while they pass.
//!
//! Lines end with LF, CRLF or a lone CR and may be torn anywhere, inside a character too. The data
//! of events that say nothing about usage (nearly all of a stream) is stepped over with `memchr`,
//! neither kept nor read. What decides about a line is its first [`LINE_HEAD_BYTES`] bytes at
//! most, so the cut into chunks makes no difference.

use memchr::memchr2;

use crate::accounting::Flag;

use super::reading::{Content, EVENT_BYTES_MAX, Kind, Reading};

/// How much of a line is needed to know its field and, in data without an event name, its type.
const LINE_HEAD_BYTES: usize = 128;

/// A buffer above this is given back after its event: streams stay open for minutes.
const BUFFER_BYTES_KEPT: usize = 4 * 1024;

/// What the rest of the current line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    /// Not known yet; the bytes so far are in `head`.
    #[default]
    Head,
    /// Data that is kept.
    Data,
    /// Anything else.
    Skipped,
}

/// The splitter's state between two chunks.
#[derive(Debug, Default)]
pub(super) struct Sse {
    line: Line,
    head: Vec<u8>,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    kind: Option<Kind>,
    has_data: bool,
    data: Vec<u8>,
    truncated: bool,
    /// What the current line of data is a piece of, as long as its bytes are counted.
    content: Option<Content>,
    /// The last byte of the content was a backslash that holds for the next one.
    escaped: bool,
}

impl Sse {
    /// Takes the next bytes.
    pub(super) fn push(&mut self, chunk: &[u8], reading: &mut Reading) {
        let mut rest = chunk;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        loop {
            // A third of all lines are blank: no search for them.
            let end = match rest.first() {
                Some(b'\n' | b'\r') => 0,
                _ => match memchr2(b'\n', b'\r', rest) {
                    Some(end) => end,
                    None => break,
                },
            };
            let (line, after) = rest.split_at(end);
            self.end_line(line, reading);
            rest = &after[1..];
            if after[0] == b'\r' {
                self.after_cr = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
        }
        self.part_of_line(rest, reading);
    }

    /// Takes what an end without a final blank line left: clients do, too.
    pub(super) fn finish(&mut self, reading: &mut Reading) {
        self.end_line(b"", reading);
        self.dispatch(reading);
    }

    /// The last part of a line, without its end.
    fn end_line(&mut self, part: &[u8], reading: &mut Reading) {
        if self.line == Line::Head && self.head.is_empty() {
            if part.is_empty() {
                self.dispatch(reading);
            } else {
                self.begin_line(part, reading);
            }
        } else {
            self.part_of_line(part, reading);
            if self.line == Line::Head {
                let head = std::mem::take(&mut self.head);
                self.begin_line(&head, reading);
                self.head = head;
            }
        }
        self.line = Line::Head;
        (self.content, self.escaped) = (None, false);
        self.head.clear();
    }

    /// A part of a line whose end has not come.
    fn part_of_line(&mut self, part: &[u8], reading: &mut Reading) {
        let mut part = part;
        if self.line == Line::Head {
            let (head, rest) = part.split_at(part.len().min(LINE_HEAD_BYTES - self.head.len()));
            self.head.extend_from_slice(head);
            if self.head.len() < LINE_HEAD_BYTES {
                return;
            }
            let head = std::mem::take(&mut self.head);
            self.line = self.begin_line(&head, reading);
            self.head = head;
            self.head.clear();
            part = rest;
        }
        if self.line == Line::Data {
            self.keep(part);
        }
        self.count(part, reading);
    }

    /// Decides what a line is from its head, and takes as much of it as is there.
    fn begin_line(&mut self, line: &[u8], reading: &mut Reading) -> Line {
        if let Some(value) = field(line, b"data") {
            return self.begin_data(value, line.len(), reading);
        }
        if let Some(kind) = field(line, b"event").and_then(Kind::of_name) {
            reading.announce(kind);
            self.kind = Some(kind);
        }
        Line::Skipped
    }

    fn begin_data(&mut self, value: &[u8], line_bytes: usize, reading: &mut Reading) -> Line {
        let before = line_bytes - value.len();
        let head = &value[..value.len().min(LINE_HEAD_BYTES - before)];
        if self.kind.is_none() && !self.has_data {
            let content = || Content::sniff(head).map(|_| Kind::Content);
            self.kind = Kind::sniff(head).or_else(content);
            if let Some(kind) = self.kind {
                reading.announce(kind);
            }
        }
        let first = !self.has_data;
        self.has_data = true;
        if self.kind == Some(Kind::Content)
            && first
            && let Some((Content::ToolInput, before)) = Content::sniff(head)
        {
            // Read whole, and counted as all content is.
            self.kind = Some(Kind::ToolInput);
            self.content = Some(Content::ToolInput);
            self.count(&value[before..], reading);
        }
        if let Some(kind) = self.kind.filter(|kind| !kind.is_read()) {
            if kind == Kind::Content
                && first
                && let Some((content, before)) = Content::sniff(head)
            {
                self.content = Some(content);
                self.count(&value[before..], reading);
            }
            return Line::Skipped;
        }
        if !first {
            self.keep(b"\n");
        }
        self.keep(value);
        Line::Data
    }

    /// Counts what of a part belongs to the content: everything before the quote that ends it.
    fn count(&mut self, part: &[u8], reading: &mut Reading) {
        let Some(content) = self.content else { return };
        let mut bytes = 0;
        if self.escaped && !part.is_empty() {
            (bytes, self.escaped) = (1, false);
        }
        while let Some(place) = memchr2(b'"', b'\\', &part[bytes..]) {
            bytes += place;
            if part[bytes] == b'"' {
                self.content = None;
                break;
            }
            self.escaped = bytes + 1 == part.len();
            bytes = part.len().min(bytes + 2);
        }
        if self.content.is_some() {
            bytes = part.len();
        }
        reading.count(content, bytes);
    }

    fn keep(&mut self, part: &[u8]) {
        self.truncated |= self.data.len() + part.len() > EVENT_BYTES_MAX;
        if !self.truncated {
            self.data.extend_from_slice(part);
        }
    }

    /// The blank line behind an event.
    fn dispatch(&mut self, reading: &mut Reading) {
        if self.truncated {
            reading.flag(Flag::InspectionTruncated);
        } else if self.has_data {
            reading.event(self.kind, &self.data);
        }
        self.kind = None;
        self.has_data = false;
        self.truncated = false;
        if !self.data.is_empty() {
            self.data.clear();
            self.data.shrink_to(BUFFER_BYTES_KEPT);
        }
    }
}

/// The value of a line's field, without the one blank that may follow the colon.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}
