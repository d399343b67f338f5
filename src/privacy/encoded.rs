//! Bytes written as letters: base64 and hexadecimal within a text, and `data:` addresses.
//!
//! What they say nobody reads here, and it may be a picture of a face or a letter to a patient, so
//! none of it is kept. It is told as [`Label::Id`]: any other unique characteristic or code.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::finding::Finding;
use super::label::Label;

/// A shorter run may be a key, a digest or a path, which have rules of their own.
pub const RUN_BYTES_MIN: usize = 200;

/// Lines of encoded bytes are not shorter, but for the last, and not longer.
const LINE_BYTES_MIN: usize = 40;
const LINE_BYTES_MAX: usize = 160;

static DATA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("data:"));

/// A run may have this byte: the letters of base64 in both alphabets, and the ends of its lines,
/// also written out.
static MEMBERS: [bool; 256] = {
    let mut members = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let sign = byte as u8;
        members[byte] = sign.is_ascii_alphanumeric()
            || matches!(sign, b'+' | b'/' | b'=' | b'-' | b'_' | b'\n' | b'\r' | b'\\');
        byte += 1;
    }
    members
};

/// Encoded bytes in a text. A run as long as is asked for has a member at every place of a window,
/// so most windows are left after a look at their last few bytes.
pub fn find(text: &str, found: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let member = |byte: &u8| MEMBERS[usize::from(*byte)];
    let mut at = 0;
    while let Some(window) = bytes.get(at..at + RUN_BYTES_MIN) {
        if let Some(other) = window.iter().rposition(|byte| !member(byte)) {
            at += other + 1;
            continue;
        }
        let more = bytes[at + RUN_BYTES_MIN..].iter().take_while(|byte| member(byte)).count();
        let end = at + RUN_BYTES_MIN + more;
        run(bytes, (at, end), found);
        at = end;
    }
    // An address may hold another; it is read once.
    let mut read = 0;
    for at in DATA.find_iter(bytes) {
        if let Some(end) = Some(at).filter(|at| *at >= read).and_then(|at| data_address(bytes, at))
        {
            found.push(Finding::new(at, end, Label::Id, "data-address"));
            read = end;
        }
    }
}

/// Tells the lines of a run that belong together and are encoded: all of one length, and a last one
/// that ends as encoded bytes do.
fn run(bytes: &[u8], (start, end): (usize, usize), found: &mut Vec<Finding>) {
    let lines = lines(bytes, start, end);
    let mut first = 0;
    while first < lines.len() {
        let length = |line: usize| lines[line].1 - lines[line].0;
        let wrapped = (LINE_BYTES_MIN..=LINE_BYTES_MAX).contains(&length(first));
        let mut last = first;
        while wrapped && last + 1 < lines.len() && length(last + 1) == length(first) {
            last += 1;
        }
        if wrapped && lines.get(last + 1).is_some_and(|line| is_last(&bytes[line.0..line.1])) {
            last += usize::from(length(last + 1) < length(first));
        }
        let (start, end) = (lines[first].0, lines[last].1);
        if end - start >= RUN_BYTES_MIN && is_encoded(&bytes[start..end]) {
            found.push(Finding::new(start, end, Label::Id, "encoded-bytes"));
        }
        first = last + 1;
    }
}

/// The last line of encoded bytes: whole groups of four, and no word in small letters.
fn is_last(line: &[u8]) -> bool {
    line.len().is_multiple_of(4) && !line.iter().all(u8::is_ascii_lowercase)
}

/// Where the lines of a run stand that are not empty.
fn lines(bytes: &[u8], start: usize, end: usize) -> Vec<(usize, usize)> {
    let mut lines = Vec::new();
    let (mut from, mut at) = (start, start);
    while at < end {
        let length = match bytes[at] {
            b'\n' | b'\r' => 1,
            b'\\' if matches!(bytes.get(at + 1), Some(b'n' | b'r')) => 2,
            b'\\' => 1,
            _ => 0,
        };
        if length > 0 {
            lines.push((from, at));
            from = (at + length).min(end);
        }
        at += length.max(1);
    }
    lines.push((from, end));
    lines.retain(|(from, to)| from < to);
    lines
}

/// No words: digits all through in hexadecimal; in base64 small letters, capitals and digits, mixed
/// as no path and no name in a program mixes them.
fn is_encoded(bytes: &[u8]) -> bool {
    const KINDS_MIN: usize = 10;
    let count = |is: fn(&u8) -> bool| bytes.iter().filter(|byte| is(byte)).count();
    let mut seen = [false; 256];
    for byte in bytes {
        seen[usize::from(*byte)] = true;
    }
    let various = seen.iter().filter(|seen| **seen).count() >= KINDS_MIN;
    let (upper, lower) = (count(u8::is_ascii_uppercase), count(u8::is_ascii_lowercase));
    let digits = count(u8::is_ascii_digit);
    let signs = bytes.len() - upper - lower - digits;
    let hex = count(u8::is_ascii_hexdigit) + signs == bytes.len();
    let mixed = upper * 10 >= bytes.len() && lower * 10 >= bytes.len();
    various && signs * 6 <= bytes.len() && digits * 40 >= bytes.len() && (hex || mixed)
}

/// The end of `data:image/png;base64,…` and `data:text/plain,…`.
fn data_address(bytes: &[u8], at: usize) -> Option<usize> {
    const KIND_BYTES_MAX: usize = 120;
    const DATA_BYTES_MIN: usize = 8;
    let rest = bytes.get(at + 5..)?;
    let comma = rest.iter().take(KIND_BYTES_MAX).position(|byte| *byte == b',')?;
    let kind = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'/' | b'+' | b'.' | b'-' | b';' | b'=' | b'_')
    };
    let slash = rest[..comma].iter().position(|byte| *byte == b'/')?;
    let named = slash > 0 && rest[0].is_ascii_alphabetic() && rest[..comma].iter().all(kind);
    let inside = |byte: &&u8| {
        byte.is_ascii_graphic()
            && !matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'(' | b')' | b'`' | b'\\' | b'[')
    };
    let length = rest[comma + 1..].iter().take_while(inside).count();
    (named && length >= DATA_BYTES_MIN).then_some(at + 5 + comma + 1 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters of base64 that look like those of bytes.
    fn letters(count: usize) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        (0..count).map(|at| char::from(ALPHABET[(at * at * 31 % 64) ^ (at % 64)])).collect()
    }

    fn all(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        find(text, &mut found);
        found.iter().map(|finding| &text[finding.start..finding.end]).collect()
    }

    #[test]
    fn runs_of_bytes_are_found_whole() {
        let run = letters(1_000);
        assert_eq!(all(&format!("a file: {run} is there")), [run.as_str()]);
        for end in ["\n", "\r\n", "\\n"] {
            let lines: Vec<&str> = (0..5).map(|at| &run[at * 76..at * 76 + 76]).collect();
            let text = format!("the body follows\n{}{end}Ab3=\nand ends\n", lines.join(end));
            let body = format!("{}{end}Ab3=", lines.join(end));
            assert_eq!(all(&text), [body.as_str()], "{end:?}");
        }
        let hex: String = run.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(all(&hex), [hex.as_str()]);
        assert_eq!(all("<img src=\"data:image/png;base64,aGVsbG8gd29ybGQ=\">").len(), 1);
        assert_eq!(all("data:text/plain,Dear%20Jane%20Roe").len(), 1);
    }

    #[test]
    fn words_paths_and_rules_are_none() {
        for text in [
            "-".repeat(400),
            "src/main/java/com/example/project/internal/ServiceRegistration/".repeat(6),
            "word\n".repeat(100),
            "Capital1\n".repeat(100),
            "0".repeat(400),
            "data: {\"a\": 1}, data:image/png".to_owned(),
            letters(199),
        ] {
            assert!(all(&text).is_empty(), "{text}");
        }
    }
}
