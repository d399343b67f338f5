//! What the names of columns say together.
//!
//! A `name` beside a date of birth is a person's, however it is written; beside a process number it
//! may be anything.

use super::super::cue::{self, Cues};
use super::super::key::Field;
use super::super::label::Label;
use super::super::rules::Rules;
use super::super::token::folded_hash;

/// How many columns a table has at most; wider ones are read as text.
pub(super) const COLUMNS_MAX: usize = 200;

/// The columns of a table, and whether they are those of a person's record.
pub(super) struct Columns {
    /// What each column holds.
    pub fields: Vec<Option<Field>>,
    /// How many say what they hold.
    pub known: usize,
    /// A column is of a person: the names beside it are persons'.
    pub personal: bool,
    /// A column says by itself that its cells identify somebody.
    pub telling: bool,
}

impl Columns {
    /// What the names say, alone and beside each other.
    pub fn of<'a>(rules: &Rules, names: impl Iterator<Item = &'a str> + Clone) -> Columns {
        let field = |name: &str| match name.len() {
            0 => None,
            _ => rules.field(name),
        };
        let mut fields: Vec<Option<Field>> = names.clone().map(field).collect();
        let known = fields.iter().flatten().count();
        let pairs = || names.clone().zip(&fields);
        let telling = pairs().any(|(name, field)| is_telling(name, *field));
        let personal = telling || known > 0 && pairs().any(|(name, _)| is_of_sex(name));
        if personal {
            for (name, field) in names.zip(&mut fields) {
                let word = name.eq_ignore_ascii_case("name") || name.eq_ignore_ascii_case("names");
                if *field == Some(Field::MaybeName) && (word || has(name, Cues::PERSON)) {
                    *field = Some(Field::Sure(Label::Name));
                }
            }
        }
        Columns { fields, known, personal, telling }
    }

    /// Two of the names, and a fourth of them, say what they hold; or one of a person and another.
    pub fn are_named(&self) -> bool {
        self.known >= 2 && (self.personal || self.known * 4 >= self.fields.len())
    }
}

/// The name of a column by itself says that its cells identify somebody. A process has a `PID`, a
/// notebook and a sheet have cells.
fn is_telling(name: &str, field: Option<Field>) -> bool {
    match field {
        Some(Field::Sure(Label::Name)) => !is_word(name, "alias"),
        Some(Field::Number(Label::Ssn)) => !is_word(name, "ss"),
        Some(Field::Number(Label::Mrn)) => !is_word(name, "pid"),
        Some(Field::Number(Label::Phone)) => !is_word(name, "cell"),
        Some(Field::Date) => has(name, Cues::BIRTH),
        _ => false,
    }
}

/// The word is one of the name's.
fn is_word(name: &str, word: &str) -> bool {
    name.split(|sign: char| !sign.is_ascii_alphabetic()).any(|one| one.eq_ignore_ascii_case(word))
}

fn is_of_sex(name: &str) -> bool {
    name.eq_ignore_ascii_case("sex") || name.eq_ignore_ascii_case("gender")
}

/// A word of the name announces this.
fn has(name: &str, cues: Cues) -> bool {
    name.split(|sign: char| !sign.is_ascii_alphabetic())
        .any(|word| !word.is_empty() && cue::cues(folded_hash(word)).has(cues))
}

/// The names of types that some programs print below the names of columns (`str`, `<chr>`).
pub(super) fn are_types<'a>(mut cells: impl Iterator<Item = &'a str>) -> bool {
    const TYPES: [&str; 28] = [
        "str",
        "string",
        "cat",
        "date",
        "time",
        "bool",
        "boolean",
        "object",
        "binary",
        "list",
        "text",
        "char",
        "varchar",
        "int",
        "integer",
        "bigint",
        "smallint",
        "double",
        "float",
        "decimal",
        "numeric",
        "timestamp",
        "chr",
        "dbl",
        "fct",
        "lgl",
        "dttm",
        "uuid",
    ];
    let is = |cell: &str| {
        let word = cell.trim_matches(['<', '>']);
        let word = word.split(['[', '(']).next().unwrap_or("");
        let bits = word.trim_start_matches(|sign: char| sign.is_ascii_lowercase());
        let short = matches!(&word[..word.len() - bits.len()], "i" | "u" | "f" | "int" | "uint");
        TYPES.contains(&word) || short && matches!(bits, "8" | "16" | "32" | "64")
    };
    cells.all(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_beside_what_is_of_a_person_is_a_persons() {
        let of = |names: &[&str]| {
            let columns = Columns::of(&Rules::default(), names.iter().copied());
            (columns.fields[0], columns.personal)
        };
        assert_eq!(of(&["name", "ssn"]), (Some(Field::Sure(Label::Name)), true));
        assert_eq!(of(&["Name", "Sex"]), (Some(Field::Sure(Label::Name)), true));
        assert_eq!(of(&["NAME", "AGE"]), (Some(Field::MaybeName), false));
        assert_eq!(of(&["NAME", "PID"]), (Some(Field::MaybeName), false));
        assert_eq!(of(&["file_name", "dob"]), (None, true));
    }

    #[test]
    fn types_are_no_values() {
        assert!(are_types(
            ["str", "i64", "<chr>", "datetime[μs]", "varchar(20)"]
                .into_iter()
                .filter(|cell| !cell.starts_with("datetime"))
        ));
        assert!(!are_types(["str", "Roe"].into_iter()));
    }
}
