//! vCard: a line is a property, and its name says what its parts between `;` are.

use super::super::key::Field;
use super::super::label::Label;
use super::Block;

/// What a property holds. The parts of an address are its box, its house, its street, its town, its
/// state and its postal code.
fn fields(property: &str) -> Option<&'static [Option<Field>]> {
    const NAME: Option<Field> = Some(Field::Sure(Label::Name));
    const STREET: Option<Field> = Some(Field::Sure(Label::Address));
    Some(match property {
        "N" | "FN" | "NICKNAME" => &[NAME, NAME, NAME, NAME, NAME],
        "ADR" => &[
            STREET,
            STREET,
            STREET,
            Some(Field::Sure(Label::Location)),
            None,
            Some(Field::Number(Label::Zip)),
        ],
        "TEL" => &[Some(Field::Number(Label::Phone)); 2],
        "EMAIL" => &[None],
        "BDAY" | "ANNIVERSARY" | "DEATHDATE" => &[Some(Field::Date)],
        "UID" => &[Some(Field::Number(Label::Id))],
        _ => return None,
    })
}

/// The properties of cards in a text. A name alone, without the card about it, has its parts.
pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut from, mut carded) = (0, false);
    for line in text.split_inclusive('\n') {
        let start = from;
        from += line.len();
        let line = line.trim_end();
        let first = line.as_bytes().first();
        if !matches!(first, Some(b'N' | b'F' | b'A' | b'T' | b'E' | b'B' | b'D' | b'U' | b'i')) {
            continue;
        }
        let Some((head, value)) = line.split_once(':') else { continue };
        carded |= head == "BEGIN" && value == "VCARD";
        let property = head.split(';').next().unwrap_or("");
        // `item1.TEL`: a group of properties.
        let property = property.rsplit('.').next().unwrap_or("");
        let Some(fields) = fields(property) else { continue };
        let structured = value.contains(';') && !value.starts_with(' ');
        if !carded && !structured && !head.contains(';') {
            continue;
        }
        let value = value.strip_prefix("tel:").unwrap_or(value);
        let mut at = start + line.len() - value.len();
        let mut block = Block { start: at, end: start + line.len(), cells: Vec::new() };
        for (number, part) in value.split(';').enumerate() {
            let field = fields.get(number).copied().flatten();
            block.cells.push((at, at + part.len(), field));
            at += part.len() + 1;
        }
        blocks.push(block);
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_cut_into_its_parts() {
        let text =
            "x\nN:Roe;Jane;;;\nTEL;TYPE=cell:+1 919\nN: 5; M: 6\nADR:;;1 Elm St;Town;MN;55101\n";
        let blocks = blocks(text);
        let cells: Vec<Vec<&str>> = blocks
            .iter()
            .map(|block| block.cells.iter().map(|(from, to, _)| &text[*from..*to]).collect())
            .collect();
        assert_eq!(cells[0][..2], ["Roe", "Jane"]);
        assert_eq!(cells[1], ["+1 919"]);
        assert_eq!(cells[2][2..], ["1 Elm St", "Town", "MN", "55101"]);
    }
}
