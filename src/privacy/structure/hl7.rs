//! HL7 version 2: each field of each segment has a place, and each place a meaning.
//!
//! The places are those of the standard's chapters 2 to 12 (version 2.5.1). What has no place in
//! the list is read as text.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::memrchr2;

use super::super::document::Document;
use super::super::finding::Finding;
use super::super::key::{self, Field};
use super::super::label::Label;
use super::super::view::View;
use super::nameless;

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A person's name: every component but prefix, suffix and degree.
    Name,
    /// An identifier and then a name.
    IdAndName,
    Address,
    Date,
    /// The first component.
    Number(Label),
    Phone,
    /// Codes of vocabularies and switches.
    Code,
}

use Place::{Address, Code, Date, IdAndName, Name, Number, Phone};

const PLACES: &[(&str, &[(usize, Place)])] = &[
    (
        "MSH",
        &[
            (1, Code),
            (2, Code),
            (3, Code),
            (4, Code),
            (5, Code),
            (6, Code),
            (7, Code),
            (9, Code),
            (10, Code),
            (11, Code),
            (12, Code),
        ],
    ),
    ("EVN", &[(1, Code), (2, Date), (3, Date), (5, IdAndName), (6, Date)]),
    (
        "PID",
        &[
            (2, Number(Label::Mrn)),
            (3, Number(Label::Mrn)),
            (4, Number(Label::Mrn)),
            (5, Name),
            (6, Name),
            (7, Date),
            (9, Name),
            (10, Code),
            (11, Address),
            (12, Number(Label::Location)),
            (13, Phone),
            (14, Phone),
            (18, Number(Label::Account)),
            (19, Number(Label::Ssn)),
            (20, Number(Label::License)),
            (21, Number(Label::Mrn)),
            (23, Number(Label::Location)),
            (29, Date),
            (33, Date),
        ],
    ),
    ("PD1", &[(4, IdAndName)]),
    (
        "NK1",
        &[
            (2, Name),
            (3, Code),
            (4, Address),
            (5, Phone),
            (6, Phone),
            (8, Date),
            (9, Date),
            (12, Number(Label::Id)),
            (16, Date),
            (26, Name),
            (30, Name),
            (31, Phone),
            (32, Address),
            (33, Number(Label::Id)),
            (37, Number(Label::Ssn)),
        ],
    ),
    (
        "GT1",
        &[
            (2, Number(Label::Id)),
            (3, Name),
            (4, Name),
            (5, Address),
            (6, Phone),
            (7, Phone),
            (8, Date),
            (12, Number(Label::Ssn)),
            (13, Date),
            (14, Date),
            (16, Name),
            (17, Address),
            (18, Phone),
            (19, Number(Label::Id)),
            (45, Name),
            (46, Phone),
        ],
    ),
    (
        "IN1",
        &[
            (2, Code),
            (3, Code),
            (4, Code),
            (5, Address),
            (6, Name),
            (7, Phone),
            (8, Number(Label::HealthPlanId)),
            (12, Date),
            (13, Date),
            (14, Number(Label::HealthPlanId)),
            (16, Name),
            (18, Date),
            (19, Address),
            (36, Number(Label::HealthPlanId)),
            (49, Number(Label::HealthPlanId)),
        ],
    ),
    (
        "IN2",
        &[
            (1, Number(Label::Id)),
            (2, Number(Label::Ssn)),
            (3, IdAndName),
            (6, Number(Label::HealthPlanId)),
            (8, Number(Label::HealthPlanId)),
            (10, Number(Label::HealthPlanId)),
            (22, Name),
            (25, Number(Label::HealthPlanId)),
            (26, Number(Label::HealthPlanId)),
            (40, Name),
            (61, Number(Label::HealthPlanId)),
            (63, Phone),
            (64, Phone),
        ],
    ),
    (
        "PV1",
        &[
            (2, Code),
            (3, Code),
            (7, IdAndName),
            (8, IdAndName),
            (9, IdAndName),
            (17, IdAndName),
            (19, Number(Label::Id)),
            (44, Date),
            (45, Date),
            (50, Number(Label::Id)),
            (52, IdAndName),
        ],
    ),
    ("PV2", &[(8, Date), (9, Date), (13, IdAndName), (14, Date), (15, Date), (17, Date)]),
    (
        "MRG",
        &[
            (1, Number(Label::Mrn)),
            (2, Number(Label::Mrn)),
            (3, Number(Label::Account)),
            (4, Number(Label::Mrn)),
            (5, Number(Label::Id)),
            (7, Name),
        ],
    ),
    (
        "ORC",
        &[
            (1, Code),
            (2, Number(Label::Id)),
            (3, Number(Label::Id)),
            (4, Number(Label::Id)),
            (9, Date),
            (10, IdAndName),
            (11, IdAndName),
            (12, IdAndName),
            (14, Phone),
            (15, Date),
            (19, IdAndName),
            (23, Phone),
            (24, Address),
        ],
    ),
    (
        "OBR",
        &[
            (2, Number(Label::Id)),
            (3, Number(Label::Id)),
            (4, Code),
            (6, Date),
            (7, Date),
            (8, Date),
            (10, IdAndName),
            (14, Date),
            (16, IdAndName),
            (17, Phone),
            (18, Number(Label::Id)),
            (19, Number(Label::Id)),
            (20, Number(Label::Id)),
            (22, Date),
            (28, IdAndName),
            (32, IdAndName),
            (33, IdAndName),
            (34, IdAndName),
            (35, IdAndName),
            (36, Date),
        ],
    ),
    (
        "OBX",
        &[
            (2, Code),
            (3, Code),
            (6, Code),
            (7, Code),
            (14, Date),
            (16, IdAndName),
            (18, Number(Label::Device)),
            (19, Date),
            (25, IdAndName),
        ],
    ),
    ("SPM", &[(2, Number(Label::Id)), (4, Code), (17, Date), (18, Date)]),
    (
        "SCH",
        &[
            (1, Number(Label::Id)),
            (2, Number(Label::Id)),
            (11, Date),
            (12, IdAndName),
            (13, Phone),
            (14, Address),
            (16, IdAndName),
            (17, Phone),
            (18, Address),
            (20, IdAndName),
            (21, Phone),
            (26, Number(Label::Id)),
        ],
    ),
    ("AIP", &[(3, IdAndName), (6, Date)]),
    ("AIS", &[(3, Code), (4, Date)]),
    ("AIL", &[(3, Code), (6, Date)]),
    ("AIG", &[(3, IdAndName), (8, Date)]),
    ("DG1", &[(3, Code), (5, Date), (16, IdAndName), (19, Date)]),
    ("PR1", &[(3, Code), (5, Date), (8, IdAndName), (11, IdAndName), (12, IdAndName)]),
    ("AL1", &[(3, Code), (6, Date)]),
    (
        "TXA",
        &[
            (2, Code),
            (4, Date),
            (5, IdAndName),
            (6, Date),
            (7, Date),
            (8, Date),
            (9, IdAndName),
            (10, IdAndName),
            (11, IdAndName),
            (12, Number(Label::Id)),
            (13, Number(Label::Id)),
            (22, IdAndName),
        ],
    ),
    (
        "FT1",
        &[
            (2, Number(Label::Id)),
            (4, Date),
            (5, Date),
            (7, Code),
            (20, IdAndName),
            (21, IdAndName),
            (23, Number(Label::Id)),
            (25, Code),
        ],
    ),
    (
        "RXA",
        &[
            (3, Date),
            (4, Date),
            (5, Code),
            (10, IdAndName),
            (15, Number(Label::Device)),
            (16, Date),
            (22, Date),
        ],
    ),
    ("RXE", &[(2, Code), (15, Number(Label::Id))]),
    ("RXO", &[(1, Code)]),
    (
        "ROL",
        &[(1, Number(Label::Id)), (4, IdAndName), (5, Date), (6, Date), (11, Address), (12, Phone)],
    ),
    ("CTD", &[(2, Name), (3, Address), (5, Phone), (7, Number(Label::Id))]),
    ("ACC", &[(1, Date), (7, Name), (11, Address)]),
    ("UB2", &[(17, Number(Label::Id))]),
    ("PDA", &[(3, Date), (5, IdAndName), (9, IdAndName)]),
    ("DB1", &[(3, Number(Label::Id)), (5, Date)]),
    (
        "STF",
        &[
            (1, Number(Label::Id)),
            (2, Number(Label::Id)),
            (3, Name),
            (6, Date),
            (10, Phone),
            (11, Address),
            (15, Number(Label::Email)),
        ],
    ),
    ("MFE", &[(2, Number(Label::Id)), (3, Date)]),
    ("QRD", &[(1, Date), (4, Number(Label::Id)), (8, IdAndName)]),
    ("PRD", &[(2, Name), (3, Address), (5, Phone), (7, Number(Label::Id))]),
    ("ARQ", &[(1, Number(Label::Id)), (11, Date), (15, IdAndName), (16, Phone)]),
];

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
    let id = line.get(lead..lead + 3)?;
    let named = bytes.get(lead + 3) == Some(&signs.field)
        && id.starts_with(|sign: char| sign.is_ascii_uppercase())
        && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if !named {
        return None;
    }
    let known = PLACES.iter().any(|(known, _)| *known == id);
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
    is.then_some((lead, signs))
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
    for line in text.split_inclusive(['\r', '\n']) {
        let (start, end) = (from, from + line.trim_end_matches(['\r', '\n']).len());
        from += line.len();
        let split = start == end && start > 0 && text.as_bytes()[start - 1] == b'\r';
        if split && line == "\n" {
            continue;
        }
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
        document.tell(piece, Finding::new(0, text.len(), Label::Date, "hl7-place"));
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
