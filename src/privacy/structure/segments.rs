//! X12 (270, 271, 278, 835, 837): elements by their place in a segment.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter, memchr2};

use super::super::document::Document;
use super::super::key::Field;
use super::super::label::Label;
use super::super::view::View;

/// Segments that are read, and what their elements hold.
const PLACES: &[(&str, &[(usize, Field)])] = &[
    ("N3", &[(1, Field::Sure(Label::Address)), (2, Field::Sure(Label::Address))]),
    (
        "N4",
        &[
            (1, Field::Sure(Label::Location)),
            (3, Field::Number(Label::Zip)),
            (6, Field::Sure(Label::Location)),
        ],
    ),
    ("DMG", &[(2, Field::Date)]),
    ("DTP", &[(3, Field::Date)]),
    ("DTM", &[(2, Field::Date)]),
    ("PAT", &[(6, Field::Date)]),
    ("CLM", &[(1, Field::Sure(Label::Account))]),
    ("CLP", &[(1, Field::Sure(Label::Account)), (7, Field::Number(Label::Id))]),
    ("REF", &[(2, Field::Number(Label::Id)), (3, Field::MaybeName)]),
    ("BPR", &[(9, Field::Number(Label::Account)), (15, Field::Number(Label::Account))]),
    ("TRN", &[(2, Field::Number(Label::Id))]),
    ("SBR", &[(3, Field::Number(Label::HealthPlanId))]),
    ("INS", &[(12, Field::Date)]),
];

/// Segments whose elements are codes, amounts and numbers of the transmission.
const CODES: [&str; 42] = [
    "ISA", "IEA", "GS", "GE", "ST", "SE", "BHT", "HL", "LX", "SV1", "SV2", "SV3", "SV5", "SVC",
    "SVD", "HI", "CAS", "AMT", "QTY", "CUR", "OI", "MOA", "MIA", "EB", "III", "LQ", "TS2", "TS3",
    "PLB", "CR1", "CRC", "CN1", "PWK", "CL1", "PRV", "EQ", "AAA", "BGN", "HD", "N1", "LS", "LE",
];

/// The signs that separate: a header says which.
#[derive(Clone, Copy)]
pub(super) struct Signs {
    element: u8,
    segment: u8,
}

static HEADER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("ISA"));

/// The signs of the text's segments, where it holds any.
pub(super) fn signs(text: &str) -> Option<Signs> {
    let bytes = text.as_bytes();
    if let Some(signs) = HEADER.find_iter(bytes).find_map(|at| header(bytes, at)) {
        return Some(signs);
    }
    let usual = Signs { element: b'*', segment: b'~' };
    let named = |at: usize| id_before(text, at).map(|id| (at, id));
    let mut known = memchr_iter(b'*', bytes).filter_map(named);
    // A person's name or dates are enough; anything else needs its end, or a second.
    let (at, id) = known.next()?;
    let sure = matches!(id, "NM1" | "DMG") || is_ended(bytes, at, id);
    // Programs multiply `N1*N2`; segments begin a line, or have their end somewhere.
    let begins = at == id.len() || bytes[at - id.len() - 1] == b'\n';
    let second = (begins || memchr(b'~', bytes).is_some()) && known.next().is_some();
    (sure || second).then_some(usual)
}

/// The segment has values of a person, and its end: `REF*SY*527481936~`.
fn is_ended(bytes: &[u8], at: usize, id: &str) -> bool {
    const SEGMENT_BYTES: usize = 200;
    let rest = bytes.get(at..bytes.len().min(at + SEGMENT_BYTES)).unwrap_or(&[]);
    let end = memchr2(b'~', b'\n', rest).filter(|end| rest[*end] == b'~');
    let elements = end.map_or(&[][..], |end| &rest[..end]);
    // What programs have between: operators of their own.
    let value = |byte: &u8| !matches!(byte, b';' | b'=' | b'{' | b'}' | b'(' | b')' | b'"');
    PLACES.iter().any(|(known, _)| *known == id) && elements.len() > 4 && elements.iter().all(value)
}

/// The signs of a header that begins at a byte: 16 elements behind their separator, the last of
/// them one sign, then the sign that ends the segment.
fn header(bytes: &[u8], at: usize) -> Option<Signs> {
    const ELEMENTS: usize = 16;
    const BYTES_MAX: usize = 160;
    let led = at > 0 && bytes[at - 1].is_ascii_alphanumeric();
    let rest = bytes.get(at..bytes.len().min(at + BYTES_MAX))?;
    let element = *rest.get(3).filter(|byte| !byte.is_ascii_alphanumeric() && **byte != b' ')?;
    let last = memchr_iter(element, rest).nth(ELEMENTS - 1)?;
    let segment = *rest.get(last + 2).filter(|byte| !byte.is_ascii_alphanumeric())?;
    (!led).then_some(Signs { element, segment })
}

/// The known name of a segment that ends before an element's sign.
fn id_before(text: &str, at: usize) -> Option<&str> {
    let bytes = text.as_bytes();
    let named = |byte: &&u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let length = bytes[..at].iter().rev().take(4).take_while(named).count();
    let id = text.get(at - length..at)?;
    // What stands behind a star is an element, or a program's pointer.
    let led = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'_' | b'&');
    let led = at > length && led(bytes[at - length - 1]);
    (!led && is_known(id)).then_some(id)
}

fn is_known(id: &str) -> bool {
    matches!(id, "NM1" | "PER" | "NTE" | "MSG" | "K3")
        || PLACES.iter().any(|(known, _)| *known == id)
        || CODES.contains(&id)
}

/// Reads the segments; what is none is read as what it is.
pub(super) fn read(document: &mut Document<'_>, view: &View<'_>, signs: Signs, depth: usize) {
    let text = view.text.as_ref();
    let (mut at, mut plain) = (0, 0);
    while at < text.len() {
        let end = segment_end(text.as_bytes(), at, signs.segment);
        if let Some(start) = segment_start(text, (at, end), signs) {
            if plain < start {
                super::tables(document, &view.part(plain, start), depth);
            }
            elements(document, view, (start, end, signs), depth);
            plain = (end + 1).min(text.len());
        }
        at = end + 1;
    }
    if plain < text.len() {
        super::tables(document, &view.part(plain, text.len()), depth);
    }
}

/// Where a segment ends: at its sign, or with its line. Some senders break lines after 80 signs
/// wherever that is: the next line then has the sign.
fn segment_end(bytes: &[u8], at: usize, sign: u8) -> usize {
    const LINE_BYTES: std::ops::Range<usize> = 70..200;
    let ends = |from: usize| {
        memchr2(sign, b'\n', bytes.get(from..).unwrap_or(&[])).map(|length| from + length)
    };
    let Some(end) = ends(at) else { return bytes.len() };
    let wrapped = bytes[end] == b'\n' && sign != b'\n' && LINE_BYTES.contains(&(end - at));
    match ends(end + 1).filter(|next| wrapped && bytes[*next] == sign) {
        Some(next) => next,
        None => end,
    }
}

/// Where a segment begins in a piece: at its first sign, or at a known name within a line.
fn segment_start(text: &str, (at, end): (usize, usize), signs: Signs) -> Option<usize> {
    let piece = text.get(at..end)?;
    let start = at + piece.len() - piece.trim_start().len();
    let first = at + memchr(signs.element, piece.as_bytes())?;
    let id = text.get(start..first)?;
    let named = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    if (2..=3).contains(&id.len()) && id.bytes().all(named) {
        return Some(start);
    }
    memchr_iter(signs.element, piece.as_bytes())
        .find_map(|sign| id_before(text, at + sign).map(|id| at + sign - id.len()))
}

fn elements(
    document: &mut Document<'_>,
    view: &View<'_>,
    (start, end, signs): (usize, usize, Signs),
    depth: usize,
) {
    let text = view.text.get(start..end).unwrap_or("");
    let all: Vec<&str> = text.split(char::from(signs.element)).collect();
    let id = all.first().copied().unwrap_or("");
    let person = all.get(2) == Some(&"1");
    let places =
        PLACES.iter().find(|(known, _)| *known == id).map_or(&[][..], |(_, places)| places);
    let known = is_known(id);
    let mut at = start;
    for (number, element) in all.iter().enumerate() {
        let piece = view.part(at, at + element.len());
        at += element.len() + 1;
        if element.is_empty() || number == 0 {
            continue;
        }
        let field = match id {
            "NM1" if person && matches!(number, 3..=5) => Some(Field::Sure(Label::Name)),
            "NM1" if number == 9 && person => Some(Field::Number(Label::HealthPlanId)),
            "PER" if number == 2 => Some(Field::MaybeName),
            "PER" if matches!(all.get(number - 1), Some(&"TE" | &"FX" | &"CP" | &"WP" | &"HP")) => {
                Some(Field::Number(Label::Phone))
            }
            "PER" if all.get(number - 1) == Some(&"EM") => None,
            "NTE" | "MSG" | "K3" | "PER" => None,
            _ => match places.iter().find(|(known, _)| *known == number) {
                Some((_, field)) => Some(*field),
                None if known => continue,
                None => None,
            },
        };
        document.value(&piece, field, depth);
    }
}
