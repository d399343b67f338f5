//! A piece of a document as it reads, and where each of its bytes stands in the document.
//!
//! A string of JSON reads `é` where the document has `\u00e9`, and a value may be spread over the
//! deltas of a stream. Rules look at what is read; findings name places of the document.

use std::borrow::Cow;

use memchr::{memchr, memchr2_iter, memchr3_iter};

use super::finding::Finding;

/// A piece of a document.
#[derive(Clone)]
pub struct View<'a> {
    /// As it reads.
    pub text: Cow<'a, str>,
    places: Places,
}

/// Where the bytes of a view stand.
#[derive(Clone)]
enum Places {
    /// From this byte on, one after the other.
    From(usize),
    /// The document's byte of each byte, and of the one after the last.
    Each(Vec<u32>),
}

/// Two bytes further apart in the document than this do not stand beside each other: the longest
/// escape is a pair of `\uXXXX`.
const ESCAPE_BYTES_MAX: u32 = 12;

impl<'a> View<'a> {
    /// A whole document.
    #[must_use]
    pub fn document(text: &'a str) -> View<'a> {
        View { text: Cow::Borrowed(text), places: Places::From(0) }
    }

    /// A document in which hyphens, slashes and digits of other kinds are read as the plain ones,
    /// and signs without width are not read. `None` where there are none of these.
    #[must_use]
    pub fn normalised(text: &str) -> Option<View<'static>> {
        if !has_odd_signs(text) {
            return None;
        }
        let mut read = String::with_capacity(text.len());
        let mut each: Vec<u32> = Vec::with_capacity(text.len() + 1);
        for (at, sign) in text.char_indices() {
            let Some(sign) = plain(sign) else { continue };
            let place = u32::try_from(at).unwrap_or(u32::MAX);
            read.push(sign);
            // The bytes of one sign stand at its first: it is found whole or not at all.
            each.extend(std::iter::repeat_n(place, sign.len_utf8()));
        }
        each.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        Some(View { text: Cow::Owned(read), places: Places::Each(each) })
    }

    /// A part of this view.
    #[must_use]
    pub fn part(&self, start: usize, end: usize) -> View<'_> {
        let text = Cow::Borrowed(self.text.get(start..end).unwrap_or(""));
        let places = match &self.places {
            Places::From(from) => Places::From(from + start),
            Places::Each(each) => Places::Each(each.get(start..=end).unwrap_or(&[]).to_vec()),
        };
        View { text, places }
    }

    /// The part between two quotes, its escapes read.
    #[must_use]
    pub fn unescaped(&self, start: usize, end: usize) -> View<'_> {
        let raw = self.text.get(start..end).unwrap_or("");
        if memchr(b'\\', raw.as_bytes()).is_none() {
            return self.part(start, end);
        }
        let mut text = String::with_capacity(raw.len());
        let mut each: Vec<u32> = Vec::with_capacity(raw.len() + 1);
        let mut at = 0;
        while let Some(sign) = raw.get(at..).and_then(|rest| rest.chars().next()) {
            let (read, length) =
                if sign == '\\' { escape(&raw[at..]) } else { (sign, sign.len_utf8()) };
            let place = self.place(start + at);
            text.push(read);
            each.extend(std::iter::repeat_n(place, read.len_utf8()));
            at += length;
        }
        each.push(self.place(end));
        View { text: Cow::Owned(text), places: Places::Each(each) }
    }

    /// Several views read one after the other.
    #[must_use]
    pub fn joined(parts: &[View<'_>]) -> View<'static> {
        let mut text = String::new();
        let mut each: Vec<u32> = Vec::new();
        let mut end = 0;
        for part in parts {
            text.push_str(&part.text);
            each.extend((0..part.text.len()).map(|at| part.place(at)));
            end = part.place(part.text.len());
        }
        each.push(end);
        View { text: Cow::Owned(text), places: Places::Each(each) }
    }

    /// The document's byte of a byte of this view.
    fn place(&self, at: usize) -> u32 {
        match &self.places {
            Places::From(from) => u32::try_from(from + at).unwrap_or(u32::MAX),
            Places::Each(each) => each.get(at).or(each.last()).copied().unwrap_or(0),
        }
    }

    /// Where a word of this view stands in the document.
    #[must_use]
    pub fn bounds(&self, start: usize, end: usize, document: &str) -> (usize, usize) {
        match &self.places {
            Places::From(from) => (from + start, from + end),
            Places::Each(_) => {
                let last = self.place(end.saturating_sub(1)) as usize;
                (self.place(start) as usize, last + sign_length(document, last))
            }
        }
    }

    /// A finding in this view as findings in the document: several, where it is spread over it.
    pub fn tell(&self, finding: Finding, document: &str, found: &mut Vec<Finding>) {
        let Places::Each(each) = &self.places else {
            let from = self.place(0) as usize;
            let (start, end) = (finding.start + from, finding.end + from);
            found.push(Finding { start, end, ..finding });
            return;
        };
        let Some(places) = each.get(finding.start..finding.end) else { return };
        let Some(first) = places.first() else { return };
        let (mut start, mut last) = (*first, *first);
        let mut tell = |start: u32, last: u32| {
            let end = last as usize + sign_length(document, last as usize);
            found.push(Finding { start: start as usize, end, ..finding });
        };
        for place in &places[1..] {
            if *place > last + ESCAPE_BYTES_MAX {
                tell(start, last);
                start = *place;
            }
            last = *place;
        }
        tell(start, last);
    }
}

/// Any sign is read as another one. Looks only at the bytes that those of [`plain`] begin with.
fn has_odd_signs(text: &str) -> bool {
    let bytes = text.as_bytes();
    let odd = |at: usize| {
        let sign = text.get(at..).and_then(|rest| rest.chars().next());
        sign.is_some_and(|sign| plain(sign) != Some(sign))
    };
    memchr3_iter(0xc2, 0xe2, 0xef, bytes).any(odd) || memchr2_iter(0xd9, 0xdb, bytes).any(odd)
}

/// A sign as the rules read it; `None` where it has no width.
fn plain(sign: char) -> Option<char> {
    Some(match sign {
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}' | '\u{fe63}' => '-',
        '\u{2044}' | '\u{2215}' | '\u{ff0f}' => '/',
        '\u{ff10}'..='\u{ff19}' => digit(sign, '\u{ff10}'),
        '\u{0660}'..='\u{0669}' => digit(sign, '\u{0660}'),
        '\u{06f0}'..='\u{06f9}' => digit(sign, '\u{06f0}'),
        '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{00ad}' | '\u{feff}' => return None,
        other => other,
    })
}

/// A digit of a row of ten that begins with `zero`.
fn digit(sign: char, zero: char) -> char {
    let value = u32::from(sign) - u32::from(zero);
    char::from_digit(value, 10).unwrap_or(sign)
}

/// The length of the sign, escaped or not, that begins at a byte of the document. Escapes within
/// escapes (`\\u00e9`, `\\\"`) are whole, too.
fn sign_length(document: &str, at: usize) -> usize {
    let bytes = document.as_bytes();
    let slashes = bytes.get(at..).unwrap_or(&[]).iter().take_while(|byte| **byte == b'\\').count();
    if slashes == 0 {
        let rest = document.get(at..).unwrap_or("");
        return rest.chars().next().map_or(1, char::len_utf8);
    }
    match bytes.get(at + slashes) {
        Some(b'u') => slashes + 5,
        Some(_) => slashes + 1,
        None => slashes,
    }
}

/// The sign that an escape stands for, and the escape's length.
fn escape(raw: &str) -> (char, usize) {
    let bytes = raw.as_bytes();
    let unit =
        |at: usize| raw.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    match bytes.get(1) {
        Some(b'n') => ('\n', 2),
        Some(b't') => ('\t', 2),
        Some(b'r') => ('\r', 2),
        Some(b'b' | b'f') => (' ', 2),
        Some(b'u') => match unit(2) {
            Some(high @ 0xd800..0xdc00) if bytes.get(6) == Some(&b'\\') => match unit(8) {
                Some(low @ 0xdc00..0xe000) => {
                    let scalar = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                    (char::from_u32(scalar).unwrap_or(' '), 12)
                }
                _ => (' ', 6),
            },
            Some(scalar) => (char::from_u32(scalar).unwrap_or(' '), 6),
            None => ('\\', 1),
        },
        Some(b'"' | b'\\' | b'/' | b'\'') => (char::from(bytes[1]), 2),
        _ => ('\\', 1),
    }
}

#[cfg(test)]
mod tests {
    use super::super::label::Label;
    use super::*;

    #[test]
    fn a_finding_in_escapes_is_told_where_it_stands() {
        let document = r#"{"a":"Jos\u00e9\nDoe"}"#;
        let view = View::document(document);
        let string = view.unescaped(6, document.len() - 2);
        assert_eq!(string.text, "José\nDoe");
        let mut found = Vec::new();
        string.tell(Finding::new(0, 5, Label::Name, "x"), document, &mut found);
        assert_eq!(&document[found[0].start..found[0].end], r"Jos\u00e9");
    }

    #[test]
    fn a_finding_over_several_parts_is_told_in_each() {
        let document = "ab.................cd";
        let view = View::document(document);
        let joined = View::joined(&[view.part(0, 2), view.part(19, 21)]);
        let mut found = Vec::new();
        joined.tell(Finding::new(1, 3, Label::Name, "x"), document, &mut found);
        assert_eq!((found[0].start, found[0].end), (1, 2));
        assert_eq!((found[1].start, found[1].end), (19, 20));
    }
}
