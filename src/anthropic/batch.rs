//! The results of a message batch (JSON Lines), read while their bytes pass.
//!
//! A line is one request's result: `{"custom_id", "result": {"type", "message"}}`, in any order.
//! One that lies whole in a chunk is read where it lies; else its beginning is kept, up to a bound.
//! What cannot be read is counted, because it may have cost something.

use std::io::{self, Write};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::decode::{Coding, Decoder};
use super::meter::{Metered, gathered};
use super::reading::Reading;
use crate::accounting::Flag;
use crate::record::batch::BatchTally;

/// The longest line that is looked at; real ones have 0.5 KB to 1 MB.
const LINE_BYTES_MAX: usize = 4 << 20;
/// The most decoded bytes of one batch that are looked at. The API takes batches of 256 MB.
const DECODED_BYTES_MAX: u64 = 16 << 30;
/// The longest `custom_id`; the API takes 64 characters.
const CUSTOM_ID_BYTES_MAX: usize = 512;
/// The most results of one chunk that are kept: what the API takes into one batch.
const FOUND_MAX: usize = 100_000;
/// A chunk is looked at in pieces, so that little is decoded at a time.
const PIECE_BYTES: usize = 4 * 1024;
/// A buffer above this is given back after its line.
const BUFFER_BYTES_KEPT: usize = 64 * 1024;

/// A request of a batch that succeeded.
#[derive(Clone, Debug)]
pub struct BatchItem {
    /// The caller's own name for it: free text, to be hashed.
    pub custom_id: String,
    /// What its message says.
    pub metered: Metered,
}

/// Reads the results of one batch.
#[derive(Debug)]
pub struct BatchReader {
    /// `None` where the coding is not known.
    decoder: Option<Decoder<Lines>>,
}

/// What a whole body of results was.
#[derive(Clone, Debug, Default)]
pub struct BatchEnd {
    /// Succeeded requests in the last line, which need not end with a newline.
    pub items: Vec<BatchItem>,
    /// Results by kind; those that succeeded are left to the caller.
    pub tally: BatchTally,
    /// What a reader of the figures must know.
    pub flags: Vec<Flag>,
}

impl BatchReader {
    /// A reader for a body with this `content-encoding`.
    #[must_use]
    pub fn new(content_encoding: Option<&str>) -> BatchReader {
        let coding = Coding::of(content_encoding);
        let bounded = |coding| Decoder::with_bound(coding, Lines::default(), DECODED_BYTES_MAX);
        BatchReader { decoder: coding.and_then(bounded) }
    }

    /// Takes the next bytes of the body, as they came; shows each request that succeeded.
    pub fn observe(&mut self, chunk: &[u8], visit: &mut dyn FnMut(BatchItem)) {
        let Some(decoder) = &mut self.decoder else { return };
        for piece in chunk.chunks(PIECE_BYTES) {
            decoder.push(piece);
            decoder.sink_mut().found.drain(..).for_each(&mut *visit);
        }
    }

    /// After the last chunk, or wherever the body was cut (`whole` is false): then half a line is
    /// no damage.
    #[must_use]
    pub fn finish(self, whole: bool) -> BatchEnd {
        let Some(mut decoder) = self.decoder else {
            let flags = vec![Flag::Unparseable, Flag::UsageUnknown];
            return BatchEnd { flags, ..BatchEnd::default() };
        };
        let stopped = decoder.stopped();
        let mut lines = std::mem::take(decoder.sink_mut());
        lines.end(whole && stopped.is_none());
        let mut flags: Vec<Flag> = lines.flags;
        flags.extend(stopped);
        if !flags.is_empty() {
            flags.push(Flag::UsageUnknown);
        }
        if !whole {
            flags.push(Flag::Partial);
        }
        flags.sort_unstable();
        flags.dedup();
        BatchEnd { items: lines.found, tally: lines.tally, flags }
    }
}

/// Takes decoded bytes apart into lines; never fails.
#[derive(Debug, Default)]
struct Lines {
    /// The beginning of a line.
    line: Vec<u8>,
    /// Inside a line that is too long.
    skipping: bool,
    found: Vec<BatchItem>,
    tally: BatchTally,
    flags: Vec<Flag>,
}

#[derive(Deserialize)]
struct ResultLine<'a> {
    custom_id: String,
    #[serde(borrow)]
    result: ResultBody<'a>,
}

#[derive(Deserialize)]
struct ResultBody<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

impl Lines {
    fn keep(&mut self, part: &[u8]) {
        if self.skipping {
            return;
        }
        if self.line.len() + part.len() > LINE_BYTES_MAX {
            self.unreadable(Flag::InspectionTruncated);
            self.skipping = true;
            self.line = Vec::new();
            return;
        }
        self.line.extend_from_slice(part);
    }

    /// The newline of what was kept.
    fn close(&mut self) {
        if !std::mem::take(&mut self.skipping) {
            let line = std::mem::take(&mut self.line);
            self.read(&line);
            self.line = line;
            self.line.clear();
            self.line.shrink_to(BUFFER_BYTES_KEPT);
        }
    }

    /// The end of the body.
    fn end(&mut self, whole: bool) {
        let line = std::mem::take(&mut self.line);
        if whole || serde_json::from_slice::<ResultLine<'_>>(&line).is_ok() {
            self.read(&line);
        }
    }

    fn read(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let Ok(ResultLine { custom_id, result }) = serde_json::from_slice(line) else {
            return self.unreadable(Flag::Unparseable);
        };
        let tally = &mut self.tally;
        let count = match (result.kind.as_str(), result.message) {
            ("succeeded", Some(message)) if custom_id.len() <= CUSTOM_ID_BYTES_MAX => {
                return self.succeeded(custom_id, message);
            }
            ("errored", _) => &mut tally.errored,
            ("canceled", _) => &mut tally.canceled,
            ("expired", _) => &mut tally.expired,
            _ => return self.unreadable(Flag::Unparseable),
        };
        *count = count.saturating_add(1);
    }

    fn succeeded(&mut self, custom_id: String, message: &RawValue) {
        if self.found.len() >= FOUND_MAX {
            return self.unreadable(Flag::InspectionTruncated);
        }
        let mut reading = Reading::default();
        reading.document(message.get().as_bytes());
        self.found.push(BatchItem { custom_id, metered: gathered(reading) });
    }

    fn unreadable(&mut self, flag: Flag) {
        self.tally.unreadable = self.tally.unreadable.saturating_add(1);
        if !self.flags.contains(&flag) {
            self.flags.push(flag);
        }
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (part, after) = (&rest[..end], &rest[end + 1..]);
            if self.line.is_empty() && !self.skipping {
                self.read(part);
            } else {
                self.keep(part);
                self.close();
            }
            rest = after;
        }
        self.keep(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, kind: &str, output: u64) -> String {
        let message = match kind {
            "succeeded" => format!(
                r#","message":{{"id":"msg_1","model":"claude-opus-5-5","stop_reason":"end_turn",
                "content":[{{"type":"text","text":"a \"line\" \\n"}}],
                "usage":{{"input_tokens":10,"output_tokens":{output},"service_tier":"batch"}}}}"#
            )
            .replace("\n                ", ""),
            _ => String::new(),
        };
        format!(r#"{{"custom_id":"{id}","result":{{"type":"{kind}"{message}}}}}"#)
    }

    fn read(chunks: &[&[u8]], whole: bool) -> (Vec<(String, Option<u64>)>, BatchEnd) {
        let mut reader = BatchReader::new(None);
        let mut found = Vec::new();
        let note = |item: BatchItem| {
            (item.custom_id, item.metered.usage.and_then(|usage| usage.output_tokens))
        };
        for chunk in chunks {
            reader.observe(chunk, &mut |item| found.push(note(item)));
        }
        let mut end = reader.finish(whole);
        found.extend(end.items.drain(..).map(note));
        (found, end)
    }

    #[test]
    fn any_split_gives_the_same_results() {
        let kinds = ["succeeded", "errored", "expired", "succeeded", "canceled", "succeeded"];
        let lines: Vec<String> =
            kinds.iter().zip(0..).map(|(kind, n)| line(&format!("c{n}"), kind, n)).collect();
        for (join, end) in [("\n", ""), ("\n", "\n"), ("\r\n", "\r\n"), ("\n\n", "")] {
            let body = lines.join(join) + end;
            for size in [1, 2, 7, 100, body.len()] {
                let chunks: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
                let (found, end) = read(&chunks, true);
                let expected = [0, 3, 5].map(|n| (format!("c{n}"), Some(n)));
                assert_eq!(found, expected, "in pieces of {size}");
                let tally =
                    BatchTally { errored: 1, expired: 1, canceled: 1, ..BatchTally::default() };
                assert_eq!((end.tally, end.flags), (tally, vec![]));
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_counted() {
        let good = line("a", "succeeded", 1);
        let long = format!("{{\"custom_id\":\"{}\"}}", "x".repeat(LINE_BYTES_MAX));
        let strange = line("b", "postponed", 0);
        let body = format!("{good}\nnot json\n{long}\n{strange}\n{good}\n");
        let (found, end) = read(&[body.as_bytes()], true);
        assert_eq!((found.len(), end.tally.unreadable), (2, 3));
        let flags = [Flag::InspectionTruncated, Flag::Unparseable, Flag::UsageUnknown];
        assert_eq!(end.flags, flags);
    }

    #[test]
    fn a_cut_leaves_half_a_line_that_is_no_damage() {
        let body = format!("{}\n{}", line("a", "succeeded", 1), line("b", "succeeded", 2));
        let (found, end) = read(&[&body.as_bytes()[..body.len() - 3]], false);
        assert_eq!((found.len(), end.flags, end.tally.unreadable), (1, vec![Flag::Partial], 0));
        let (found, end) = read(&[&body.as_bytes()[..body.len() - 3]], true);
        assert_eq!((found.len(), end.tally.unreadable), (1, 1));
        let (found, _) = read(&[body.as_bytes()], false);
        assert_eq!(found.len(), 2, "the last line was whole");
    }

    #[test]
    fn an_unknown_coding_is_never_silent() {
        let end = BatchReader::new(Some("lzma")).finish(true);
        assert_eq!(end.flags, [Flag::Unparseable, Flag::UsageUnknown]);
    }
}
