//! HL7 version 2: each field of each segment has a place, and each place a meaning.
//!
//! What has no place in the list is read as text. A message may stand within a line of a log, with
//! the ends of its segments written out.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter, memrchr2};

use super::super::document::Document;
use super::super::finding::Finding;
use super::super::key::{self, Field};
use super::super::label::Label;
use super::super::view::View;
use super::hl7_places::PLACES;
use super::hl7_places::Place::{self, Address, Date, IdAndName, Name, Number, Phone};
use super::nameless;

/// The signs that separate. A header says which; without one they are those of the standard's own
/// examples, which nearly everybody uses.
#[derive(Clone, Copy)]
struct Signs {
    field: u8,
    component: u8,
    repetition: u8,
}

const USUAL: Signs = Signs { field: b'|', component: b'^', repetition: b'~' };

static HEADER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("MSH"));

/// The signs of a header that begins at a byte: a separator, two to five signs, the separator.
fn header(bytes: &[u8], at: usize) -> Option<Signs> {
    let id = bytes.get(at..at + 3)?;
    let field = bytes.get(at + 3).filter(|sign| sign.is_ascii_punctuation())?;
    let signs = bytes.get(at + 4..)?;
    let count = signs.iter().take(6).position(|sign| sign == field)?;
    let punctuation = signs[..count].iter().all(u8::is_ascii_punctuation);
    (matches!(id, b"MSH" | b"BHS" | b"FHS") && count >= 2 && punctuation).then(|| Signs {
        field: *field,
        component: signs[0],
        repetition: signs[1],
    })
}

/// A line of the text is a segment.
pub(super) fn is(text: &str) -> bool {
    let bytes = text.as_bytes();
    HEADER.find_iter(bytes).any(|at| header(bytes, at).is_some())
        || text.split(['\r', '\n']).any(|line| segment_at(line, Before::default()).is_some())
}

/// What the lines before a line were.
#[derive(Clone, Copy, Default)]
struct Before {
    /// The signs of the last header, where there was one.
    signs: Option<Signs>,
    /// The line directly before was a segment.
    segment: bool,
}

/// Where a segment begins in a line, and its signs. What begins like one and holds nothing but
/// words is the header of a table (`PID|NAME|STATUS`).
fn segment_at(line: &str, before: Before) -> Option<(usize, Signs)> {
    let bytes = line.as_bytes();
    // A log's prefix, or the frame's first byte, may stand before a header.
    let begin = |at: &usize| header(bytes, *at).is_some();
    let lead = line.len() - line.trim_start_matches(['\x0b', ' ', '\t', '>']).len();
    let headed = Some(lead).filter(begin).or_else(|| HEADER.find_iter(bytes).find(begin));
    if let Some((at, signs)) = headed.and_then(|at| Some((at, header(bytes, at)?))) {
        return Some((at, signs));
    }
    let signs = before.signs.unwrap_or(USUAL);
    let id = line.get(lead..lead + 3).unwrap_or("");
    let named = bytes.get(lead + 3) == Some(&signs.field)
        && id.starts_with(|sign: char| sign.is_ascii_uppercase())
        && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if !named {
        return within(line).or_else(|| own_signs(line));
    }
    let known = is_known(id);
    let own = id.starts_with('Z') && before.signs.is_some();
    let fields = bytes.iter().filter(|byte| **byte == signs.field).count();
    let rest = bytes.get(lead + 3..)?;
    let filled = rest.iter().any(|byte| byte.is_ascii_digit() || *byte == signs.component)
        || rest.windows(2).any(|two| two == [signs.field; 2]);
    let is = match (known || own, before.segment) {
        (true, true) => true,
        (true, false) => filled && fields >= if own { 1 } else { 3 },
        // The row of a table has a name of a field before it.
        (false, true) => filled && key::field(id).is_none(),
        (false, false) => false,
    };
    is.then_some((lead, signs)).or_else(|| within(line))
}

fn is_known(id: &str) -> bool {
    PLACES.iter().any(|(known, _)| *known == id)
}

/// How much of a line is looked at to say that a segment begins in it.
const SEGMENT_BYTES: usize = 400;

/// A segment within a line (`parse failed at: NK1|1|ROE^TAM|…`): a known name, and behind it fields
/// that are empty or have components, as those of tables and programs have not.
fn within(line: &str) -> Option<(usize, Signs)> {
    const FIELDS_MIN: usize = 4;
    let bytes = line.as_bytes();
    let begin = |bar: usize| {
        let at = bar.checked_sub(3)?;
        let id = bytes.get(at..bar)?;
        let named = id[0].is_ascii_uppercase()
            && id.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if !named || !is_known(line.get(at..bar)?) {
            return None;
        }
        let before = at.checked_sub(1).map_or(b' ', |before| bytes[before]);
        let rest = bytes.get(bar..bytes.len().min(bar + SEGMENT_BYTES))?;
        let components = memchr(USUAL.component, rest).is_some();
        let empty = rest.windows(2).any(|two| two == b"||");
        let fields = memchr_iter(USUAL.field, rest).nth(FIELDS_MIN - 2).is_some();
        let led = before.is_ascii_alphanumeric() || before == b'_';
        // Behind a bar it may be a cell.
        let is = !led && fields && (components || empty && before != b'|');
        (is && rest.iter().any(u8::is_ascii_digit)).then_some(at)
    };
    memchr_iter(USUAL.field, bytes).find_map(begin).map(|at| (at, USUAL))
}

static PERSON: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("PID"));

/// What a sender may separate with, beside the usual.
const OWN: &[u8] = b"$#!@%+&~";

/// The text may have a person's segment with signs of the sender's own, and no header.
pub(super) fn may_have_own_signs(text: &str) -> bool {
    let bytes = text.as_bytes();
    PERSON.find_iter(bytes).any(|at| bytes.get(at + 3).is_some_and(|sign| OWN.contains(sign)))
}

/// A person's segment with signs of the sender's own: `PID$1$$4456677%H$$QUORV%ZYX$$19620304`.
/// Its fields say which: some are empty, and some are long numbers.
fn own_signs(line: &str) -> Option<(usize, Signs)> {
    const FIELDS_MIN: usize = 6;
    const DIGITS_MIN: usize = 5;
    let bytes = line.as_bytes();
    PERSON.find_iter(bytes).find_map(|at| {
        let field = *bytes.get(at + 3).filter(|sign| OWN.contains(sign))?;
        let led = at > 0 && !matches!(bytes[at - 1], b' ' | b'\t' | b'"' | b'\'' | b'>' | b'\x0b');
        let rest = bytes.get(at + 3..bytes.len().min(at + SEGMENT_BYTES))?;
        let fields = memchr_iter(field, rest).count() >= FIELDS_MIN;
        let empty = rest.windows(2).any(|two| two == [field; 2]);
        let digits = rest.iter().filter(|byte| byte.is_ascii_digit()).count() >= DIGITS_MIN;
        let parts = |sign: &&u8| **sign != field && (**sign == b'^' || OWN.contains(*sign));
        let component = rest.iter().find(parts).copied().unwrap_or(USUAL.component);
        let repetition = if field == b'~' || component == b'~' { b'\x1e' } else { b'~' };
        let signs = Signs { field, component, repetition };
        (!led && fields && empty && digits).then_some((at, signs))
    })
}

/// Where the segment that begins at a byte ends, and where the next begins: at the end of a line,
/// or where that is written out, as logs and dumps do, and a segment or nothing follows.
fn segment_end(bytes: &[u8], at: usize) -> (usize, usize) {
    const WRITTEN: [&[u8]; 11] = [
        b"\\r\\n",
        b"\\r",
        b"\\n",
        b"\\x0d",
        b"\\u000d",
        b"<cr><lf>",
        b"<cr>",
        b"<0x0d>",
        b"&#13;",
        b"&#xd;",
        b"&#x0d;",
    ];
    let begins = |byte: &u8| matches!(byte, b'\r' | b'\n' | b'\\' | b'<' | b'&');
    let mut end = at;
    while let Some(next) = bytes.get(end..).and_then(|rest| rest.iter().position(begins)) {
        end += next;
        match bytes[end] {
            b'\r' if bytes.get(end + 1) == Some(&b'\n') => return (end, end + 2),
            b'\r' | b'\n' => return (end, end + 1),
            _ => {}
        }
        let written = |sign: &&[u8]| {
            bytes.get(end..end + sign.len()).is_some_and(|found| found.eq_ignore_ascii_case(sign))
        };
        if let Some(sign) = WRITTEN.iter().find(|sign| written(sign)) {
            let after = bytes.get(end + sign.len()..).unwrap_or(&[]);
            if is_next(after) {
                return (end, end + sign.len());
            }
        }
        end += 1;
    }
    (bytes.len(), bytes.len())
}

/// What follows the end of a segment that is written out: another, or nothing of the message.
fn is_next(after: &[u8]) -> bool {
    let named = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let segment = after.get(..3).is_some_and(|id| id.iter().all(named))
        && after.get(3).is_some_and(u8::is_ascii_punctuation);
    let ends = after.first().is_none_or(|byte| {
        matches!(byte, b' ' | b'\r' | b'\n' | b'"' | b'\'' | b'<' | b'\\' | b'&' | b'\x1c')
    });
    segment || ends
}

/// A segment begins before this byte on its line, so that what looks like JSON here is a field.
pub(super) fn is_within(text: &str, at: usize) -> bool {
    let bytes = text.as_bytes().get(..at).unwrap_or(&[]);
    let start = memrchr2(b'\r', b'\n', bytes).map_or(0, |end| end + 1);
    let line = text.get(start..at).unwrap_or("");
    line.contains('|') && segment_at(line, Before::default()).is_some()
}

/// Reads segments; lines that are none are read as what they are.
pub(super) fn read(document: &mut Document<'_>, view: &View<'_>, depth: usize) {
    let text = view.text.as_ref();
    let mut before = Before::default();
    let (mut from, mut plain) = (0, 0);
    while from < text.len() {
        let start = from;
        let (end, next) = segment_end(text.as_bytes(), start);
        from = next;
        let found = segment_at(text.get(start..end).unwrap_or(""), before);
        before.segment = found.is_some();
        let Some((lead, signs)) = found else { continue };
        before.signs = before.signs.filter(|_| lead == 0).or(Some(signs));
        let start = start + lead;
        if plain < start {
            super::without_hl7(document, &view.part(plain, start), depth);
        }
        segment(document, (view, signs), (start, end), depth);
        plain = from;
    }
    if plain < text.len() {
        super::without_hl7(document, &view.part(plain, text.len()), depth);
    }
}

fn segment(
    document: &mut Document<'_>,
    (view, signs): (&View<'_>, Signs),
    (start, end): (usize, usize),
    depth: usize,
) {
    let text = view.text.as_ref();
    let id = text.get(start..start + 3).unwrap_or("");
    let places = PLACES.iter().find(|(known, _)| *known == id).map(|(_, places)| *places);
    // The header's first field is the separator itself.
    let header = usize::from(matches!(id, "MSH" | "BHS" | "FHS"));
    let (mut at, mut number) = (start + 4, 1 + header);
    for field in text.get(at..end).unwrap_or("").split(char::from(signs.field)) {
        let place = places.map(|places| {
            places.iter().find(|(known, _)| *known == number).map(|(_, place)| *place)
        });
        let mut repeat = at;
        for one in field.split(char::from(signs.repetition)) {
            let bounds = (repeat, repeat + one.len());
            repeat += one.len() + 1;
            if one.is_empty() || header == 1 && number == 2 {
                continue;
            }
            match place {
                Some(Some(place)) => {
                    self::field(document, (view, signs), bounds, place);
                }
                Some(None) => free(document, (view, signs), bounds, depth),
                None => unknown(document, (view, signs), bounds, depth),
            }
        }
        at += field.len() + 1;
        number += 1;
    }
}

/// One repetition of a field.
fn field(
    document: &mut Document<'_>,
    (view, signs): (&View<'_>, Signs),
    (start, end): (usize, usize),
    place: Place,
) {
    const DEPTH: usize = super::CELL_DEPTH;
    let text = view.text.get(start..end).unwrap_or("");
    let mut at = start;
    for (component, part) in text.split(char::from(signs.component)).enumerate() {
        let piece = view.part(at, at + part.len());
        at += part.len() + 1;
        if part.is_empty() {
            continue;
        }
        match (place, component) {
            (Name, 0..=2) | (IdAndName, 1..=3) => {
                document.value(&piece, Some(Field::Sure(Label::Name)), DEPTH);
            }
            (IdAndName, 0) if part.bytes().any(|byte| byte.is_ascii_digit()) => {
                document.tell_all(&piece, Label::Id, "hl7-place");
            }
            // Older senders put the name into the first component.
            (IdAndName, 0) => document.value(&piece, Some(Field::MaybeName), DEPTH),
            (Address, 0 | 1) => document.tell_all(&piece, Label::Address, "hl7-place"),
            (Address, 2 | 7 | 8) => document.tell_all(&piece, Label::Location, "hl7-place"),
            (Address, 4) => document.tell_all(&piece, Label::Zip, "hl7-place"),
            (Number(label), 0) => document.tell_all(&piece, label, "hl7-place"),
            (Phone, _) if part.bytes().filter(u8::is_ascii_digit).count() >= 3 => {
                document.tell_all(&piece, Label::Phone, "hl7-place");
            }
            (Phone, _) if part.contains('@') => {
                document.tell_all(&piece, Label::Email, "hl7-place")
            }
            (Date, _) => date(document, &piece),
            _ => {}
        }
    }
}

/// The digits of a date and time.
fn date(document: &mut Document<'_>, piece: &View<'_>) {
    let text = piece.text.as_ref();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits >= 6 {
        // Behind the last digit the rest of a log's line may stand.
        let last = text.rfind(|sign: char| sign.is_ascii_digit()).map_or(0, |last| last + 1);
        let zone = text.bytes().skip(last).take_while(u8::is_ascii_alphabetic).count();
        let end = last + zone;
        document.tell(piece, Finding::new(0, end, Label::Date, "hl7-place"));
        document.plain(&piece.part(end, text.len()));
    }
}

/// Free text: the separators' escapes stay as they are; components are read apart.
fn free(
    document: &mut Document<'_>,
    (view, signs): (&View<'_>, Signs),
    (start, end): (usize, usize),
    depth: usize,
) {
    let text = view.text.get(start..end).unwrap_or("");
    let component = char::from(signs.component);
    let codes = text.contains(component);
    let mut at = start;
    for part in text.split(component) {
        let piece = view.part(at, at + part.len());
        at += part.len() + 1;
        if codes && part.len() < 4 {
            continue;
        }
        super::read(document, &piece, depth + 1);
    }
}

/// A field of a segment that no list has, such as a site's own: what stands in it is judged as the
/// value of a record whose fields have no names.
fn unknown(
    document: &mut Document<'_>,
    (view, signs): (&View<'_>, Signs),
    (start, end): (usize, usize),
    depth: usize,
) {
    let text = view.text.get(start..end).unwrap_or("");
    let parts: Vec<&str> = text.split(char::from(signs.component)).collect();
    let fields = nameless::fields(&parts);
    let mut at = start;
    for (part, field) in parts.iter().zip(fields) {
        let piece = view.part(at, at + part.len());
        at += part.len() + 1;
        if field.is_some() || part.len() >= 4 {
            document.value(&piece, field, depth.max(super::CELL_DEPTH));
        }
    }
}
