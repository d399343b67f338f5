//! What verification needs of a ledger's line, found from both ends without parsing the whole.

use memchr::{memchr, memmem};

use super::merkle::Hash;

/// What stands behind the kind takes no more bytes than this.
const TAIL_BYTES_MAX: usize = 256;

/// The part of a line that is the ledger's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The entry's body: JSON.
    pub body: &'a [u8],
    /// The entry's place.
    pub index: u64,
    /// Who wrote it.
    pub instance: &'a [u8],
    /// What it is.
    pub kind: &'a [u8],
    /// Leaf hash of the line before.
    pub previous: Hash,
    /// Wall clock, nanoseconds since 1970 (UTC).
    pub wall_ns: u64,
}

/// Reads a line without its newline; `None` where it is not written as a ledger writes it.
#[must_use]
pub fn envelope(line: &[u8]) -> Option<Envelope<'_>> {
    let from = line.len().saturating_sub(TAIL_BYTES_MAX);
    let kind_at = from + memmem::rfind(&line[from..], b",\"kind\":\"")?;
    let (kind, rest) = until_quote(&line[kind_at + 9..])?;
    let (_, rest) = number(rest.strip_prefix(b",\"mono\":")?)?;
    let (previous, rest) = until_quote(rest.strip_prefix(b",\"prev\":\"")?)?;
    let (wall_ns, rest) = number(rest.strip_prefix(b",\"t\":")?)?;
    let (_, rest) = number(rest.strip_prefix(b",\"v\":")?)?;
    if rest != b"}" {
        return None;
    }
    let head = line[..kind_at].strip_suffix(b"\"")?;
    let instance_at = memmem::rfind(head, b",\"instance\":\"")?;
    let instance = &head[instance_at + 13..];
    let digits_at = memmem::rfind(&head[..instance_at], b",\"i\":")?;
    let (index, rest) = number(&head[digits_at + 5..instance_at])?;
    let boot = head[..digits_at].strip_suffix(b"\"")?;
    let boot_at = memmem::rfind(boot, b",\"boot\":\"")?;
    let body = boot[..boot_at].strip_prefix(b"{\"body\":")?;
    let previous = Hash::from_hex(std::str::from_utf8(previous).ok()?)?;
    let plain = rest.is_empty() && memchr(b'"', instance).is_none();
    plain.then_some(Envelope { body, index, instance, kind, previous, wall_ns })
}

/// The id of the exchange that a body is about. No value can hold the name's quotes unescaped.
#[must_use]
pub fn exchange(body: &[u8]) -> Option<&[u8]> {
    text(body, b"\"exchange\":\"")
}

/// The amount of a charge, as it is written.
#[must_use]
pub fn usd(body: &[u8]) -> Option<&str> {
    let at = memmem::find(body, b"\"pricing\":\"")? + 11;
    let (_, rest) = until_quote(&body[at..])?;
    let (amount, _) = until_quote(rest.strip_prefix(b",\"usd\":\"")?)?;
    std::str::from_utf8(amount).ok()
}

fn text<'a>(body: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let at = memmem::find(body, mark)? + mark.len();
    until_quote(&body[at..]).map(|(value, _)| value)
}

fn until_quote(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'"', bytes)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Digits without a leading zero, and what follows.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().position(|b| !b.is_ascii_digit()).unwrap_or(bytes.len());
    let (digits, rest) = bytes.split_at(end);
    if digits.is_empty() || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().map(|value| (value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"body":{"exchange":"e-1","tags":{"a":"\",\"kind\":\"x"},"charge":{"pricing":"p","usd":"0.5"}},"boot":"b","i":7,"instance":"wb-1","kind":"closed","mono":0,"prev":"0000000000000000000000000000000000000000000000000000000000000000","t":12,"v":1}"#;

    #[test]
    fn the_envelope_is_found_and_nothing_inside_looks_like_it() {
        let found = envelope(LINE.as_bytes()).unwrap();
        assert_eq!((found.index, found.kind, found.wall_ns), (7, b"closed".as_slice(), 12));
        assert_eq!((found.instance, found.previous), (b"wb-1".as_slice(), Hash::ZERO));
        assert_eq!(exchange(found.body), Some(b"e-1".as_slice()));
        assert_eq!(usd(found.body), Some("0.5"));
    }

    #[test]
    fn what_is_written_otherwise_is_no_line() {
        for (old, new) in [
            ("\"i\":7", "\"i\":07"),
            ("\"i\":7", "\"i\": 7"),
            ("\"v\":1}", "\"v\":1} "),
            ("\"mono\":0", "\"mono\":-1"),
            ("{\"body\":", "{\"bodi\":"),
            ("000\",\"t\"", "00\",\"t\""),
        ] {
            assert_eq!(envelope(LINE.replace(old, new).as_bytes()), None, "{new}");
        }
        for cut in 0..LINE.len() {
            assert_eq!(envelope(&LINE.as_bytes()[..cut]), None);
        }
    }
}
