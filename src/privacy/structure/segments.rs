//! X12 (270, 271, 278, 835, 837): elements by their place in a segment.

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
    ("CLM", &[(1, Field::Sure(Label::Account))]),
    ("CLP", &[(1, Field::Sure(Label::Account)), (7, Field::Number(Label::Id))]),
    ("REF", &[(2, Field::Number(Label::Id)), (3, Field::MaybeName)]),
    ("BPR", &[(9, Field::Number(Label::Account)), (15, Field::Number(Label::Account))]),
    ("TRN", &[(2, Field::Number(Label::Id))]),
    ("SBR", &[(3, Field::Number(Label::HealthPlanId))]),
    ("INS", &[(12, Field::Date)]),
];

/// The text holds segments that end with `~` and elements between `*`.
pub(super) fn is(text: &str) -> bool {
    text.contains('~')
        && (text.contains("NM1*")
            || text.trim_start().starts_with("ISA*")
            || text.contains("DMG*D8*"))
}

/// Reads the segments.
pub(super) fn read(document: &mut Document<'_>, view: &View<'_>, depth: usize) {
    let text = view.text.as_ref();
    let mut at = 0;
    for segment in text.split('~') {
        let lead = segment.len() - segment.trim_start().len();
        let (start, end) = (at + lead, at + segment.len());
        at += segment.len() + 1;
        let trimmed = segment.trim();
        let id = trimmed.split('*').next().unwrap_or("");
        let known = (2..=3).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if known && trimmed.contains('*') {
            elements(document, view, id, (start, end), depth);
        } else if start < end {
            super::lines(document, &view.part(start, end), depth);
        }
    }
}

fn elements(
    document: &mut Document<'_>,
    view: &View<'_>,
    id: &str,
    (start, end): (usize, usize),
    depth: usize,
) {
    let text = view.text.get(start..end).unwrap_or("");
    let all: Vec<&str> = text.split('*').collect();
    let person = all.get(2) == Some(&"1");
    let places =
        PLACES.iter().find(|(known, _)| *known == id).map_or(&[][..], |(_, places)| places);
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
                None => continue,
            },
        };
        document.value(&piece, field, depth);
    }
}
