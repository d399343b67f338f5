//! HL7 version 2: each field of each segment has a place, and each place a meaning.
//!
//! The places are those of the standard's chapters 2 to 12 (version 2.5.1). What has no place in
//! the list is read as text.

use super::super::document::Document;
use super::super::finding::Finding;
use super::super::key::Field;
use super::super::label::Label;
use super::super::view::View;

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

/// The text begins with segments, or a line of it does.
pub(super) fn is(text: &str) -> bool {
    if text.contains("MSH|^~\\&") || text.contains("MSH|^~&") {
        return true;
    }
    let begins = text.trim_start();
    begins.as_bytes().get(3) == Some(&b'|')
        && begins.get(..3).is_some_and(|id| PLACES.iter().any(|(known, _)| *known == id))
        && begins.matches('|').count() >= 4
}

/// Reads segments; lines that are none are read as text.
pub(super) fn read(document: &mut Document<'_>, view: &View<'_>, depth: usize) {
    let text = view.text.as_ref();
    let mut from = 0;
    let mut plain = 0;
    for line in text.split_inclusive(['\r', '\n']) {
        let (start, end) = (from, from + line.trim_end_matches(['\r', '\n']).len());
        from += line.len();
        // A log's prefix, or the frame's first byte, may stand before a header.
        let lead = text.get(start..end).and_then(|line| line.find("MSH|")).unwrap_or(0);
        let start = start + lead;
        let id =
            text.get(start..start + 3).filter(|_| text.as_bytes().get(start + 3) == Some(&b'|'));
        let is_segment = id.is_some_and(|id| {
            id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        });
        if is_segment {
            if plain < start {
                super::lines(document, &view.part(plain, start), depth);
            }
            segment(document, view, (start, end), depth);
            plain = from;
        }
    }
    if plain < text.len() {
        super::lines(document, &view.part(plain, text.len()), depth);
    }
}

fn segment(
    document: &mut Document<'_>,
    view: &View<'_>,
    (start, end): (usize, usize),
    depth: usize,
) {
    let text = view.text.as_ref();
    let id = text.get(start..start + 3).unwrap_or("");
    let places =
        PLACES.iter().find(|(known, _)| *known == id).map_or(&[][..], |(_, places)| places);
    // The header's first field is the separator itself.
    let header = usize::from(id == "MSH");
    let (mut at, mut number) = (start + 4, 1 + header);
    for field in text.get(at..end).unwrap_or("").split('|') {
        let place = places.iter().find(|(known, _)| *known == number).map(|(_, place)| *place);
        if !field.is_empty() {
            let mut repeat = at;
            for one in field.split('~') {
                if !(header == 1 && number == 2) {
                    self::field(document, view, (repeat, repeat + one.len()), place, depth);
                }
                repeat += one.len() + 1;
            }
        }
        at += field.len() + 1;
        number += 1;
    }
}

/// One repetition of a field.
fn field(
    document: &mut Document<'_>,
    view: &View<'_>,
    (start, end): (usize, usize),
    place: Option<Place>,
    depth: usize,
) {
    let text = view.text.get(start..end).unwrap_or("");
    let Some(place) = place else {
        return free(document, view, (start, end), depth);
    };
    let mut at = start;
    for (component, part) in text.split('^').enumerate() {
        let piece = view.part(at, at + part.len());
        at += part.len() + 1;
        if part.is_empty() {
            continue;
        }
        match (place, component) {
            (Name, 0..=2) | (IdAndName, 1..=3) => {
                document.value(&piece, Some(Field::Sure(Label::Name)), depth);
            }
            (IdAndName, 0) if part.bytes().any(|byte| byte.is_ascii_digit()) => {
                document.tell_all(&piece, Label::Id, "hl7-place");
            }
            // Older senders put the name into the first component.
            (IdAndName, 0) => document.value(&piece, Some(Field::MaybeName), depth),
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
fn free(document: &mut Document<'_>, view: &View<'_>, (start, end): (usize, usize), depth: usize) {
    let text = view.text.get(start..end).unwrap_or("");
    let codes = text.contains('^');
    let mut at = start;
    for part in text.split('^') {
        let piece = view.part(at, at + part.len());
        at += part.len() + 1;
        if codes && part.len() < 4 {
            continue;
        }
        super::read(document, &piece, depth + 1);
    }
}
