//! The written forms of numbers: dates, telephones, cards, addresses of machines.
//!
//! All are one automaton that is asked at the tokens where one may begin, and there alone; the
//! first form that fits wins. ASCII classes only: with Unicode classes the same set was measured
//! 30 times slower.

use std::sync::LazyLock;

use memchr::memchr;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

/// A form that a text has at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A code for machines that names nobody: UUID, digest.
    Opaque,
    /// Date and time.
    DateTime,
    /// A date with its year.
    Date,
    /// Three numbers with dots, two digits of a year: a date or a version.
    DottedDate,
    /// A date with the month in letters.
    WrittenDate,
    /// A date with the month in the letters of another language.
    DateAbroad,
    /// A date with the signs for year, month and day.
    DateCjk,
    /// Month and year in numbers.
    MonthYear,
    /// Eight digits that are a day, perhaps with a time.
    CompactDate,
    /// `6/24`.
    DayMonth,
    /// Social security number.
    Ssn,
    /// Telephone of the North American plan, or one that is written as such.
    Phone,
    /// Telephone with a country code.
    PhoneAbroad,
    /// Groups of digits that may be a telephone.
    PhoneGroups,
    /// Seven digits.
    PhoneLocal,
    /// Groups of digits that may be a card.
    Card,
    /// Internet address, version 4.
    Ipv4,
    /// Internet address, version 6.
    Ipv6,
    /// Address of a network card.
    Mac,
    /// Medicare beneficiary identifier.
    Mbi,
    /// International bank account.
    Iban,
    /// Vehicle identification number.
    Vin,
    /// Two letters and seven digits.
    Dea,
    /// National insurance number of the United Kingdom.
    Nino,
    /// Postal code with four more digits.
    ZipPlus,
    /// Postal code of the United Kingdom.
    Postcode,
    /// Latitude and longitude.
    Geocode,
    /// Unique device identifier.
    Udi,
}

impl Form {
    /// It is a way to write a date.
    #[must_use]
    pub const fn is_date(self) -> bool {
        matches!(
            self,
            Form::DateTime
                | Form::Date
                | Form::DottedDate
                | Form::WrittenDate
                | Form::DateAbroad
                | Form::DateCjk
                | Form::MonthYear
                | Form::CompactDate
                | Form::DayMonth
        )
    }
}

const MONTH: &str = "(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|\
    aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\\.?";

/// Months of French, Spanish and German, behind a day.
const MOIS: &str = "(?i:janvier|f(?:e|é|É)vrier|mars|avril|mai|juin|juillet|ao(?:u|û|Û)t|\
    septembre|octobre|novembre|d(?:e|é|É)cembre|enero|febrero|marzo|abril|mayo|junio|julio|\
    agosto|sep?tiembre|octubre|noviembre|diciembre|januar|j(?:ae|ä|Ä)nner|februar|\
    m(?:ae|ä|Ä)rz|april|juni|juli|august|september|oktober|november|dezember)";

const ORDINAL: &str = "(?i:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|\
    eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|\
    twentieth|twenty[ -][a-z]+|thirtieth|thirty[ -]first)";

/// In the order of preference. `MONTH`, `MOIS` and `ORDINAL` are put in.
const FORMS: &[(Form, &str)] = &[
    (
        Form::Opaque,
        r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b",
    ),
    (Form::Date, r"(?:19|20)\d\d, ?\d{1,2}, ?\d{1,2}\b"),
    (Form::Ssn, r"[12] \d\d \d\d \d\d \d{3} \d{3}(?: \d\d)?\b"),
    (Form::Udi, r"\(01\)\d{14}(?:\(\d{2,3}\)[A-Za-z0-9-]{1,20})*"),
    (Form::Geocode, r"[-+]?\d{1,3}\.\d{3,}, ?[-+]?\d{1,3}\.\d{3,}\b"),
    (Form::Postcode, r"[A-Z]{1,2}\d[A-Z0-9]? ?\d[ABD-HJLNP-UW-Z]{2}\b"),
    (Form::Mac, r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}\b"),
    (Form::Ipv6, r"(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}\b"),
    (
        Form::Ipv6,
        concat!(
            r"[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,5}::(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1",
            r",4}){0,5})?\b",
        ),
    ),
    (
        Form::DateTime,
        concat!(
            r"\d{4}[-/]\d\d[-/]\d\d(?:T|t| )\d\d:?\d\d(?::?\d\d(?:[.,]\d+)?)?(?: ?Z\b|[+-]\d\d",
            r":?\d\d\b)?",
        ),
    ),
    (Form::Date, r"(?:18|19|20)\d\d([-/.])\d{1,2}[-/.]\d{1,2}\b"),
    (
        Form::WrittenDate,
        concat!(
            r"\d{1,2}(?:st|nd|rd|th)?(?: of)?(?: |, |-|/|\.|\. )MONTH(?:,? (?:of )?\d{4}|,? ?'",
            r"\d\d|[-/.]\d{4}|[-/.]\d\d|\d{4}|\d\d)\b",
        ),
    ),
    (Form::WrittenDate, r"\d{1,2}MONTH(?:\d{4}|-\d\d)\b"),
    (Form::WrittenDate, r"\d{1,2}(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\d\d\b"),
    (Form::DateAbroad, r"\d{1,2}(?:er|re|\.)?(?: de)? ?MOIS(?:,?(?: de| del)? \d{4})?\b"),
    (Form::DateCjk, "(?:\\d{2,4} ?(?:年|년) ?)?\\d{1,2} ?(?:月|월) ?\\d{1,2} ?(?:日|일)"),
    (Form::WrittenDate, r"\d{1,2}(?:st|nd|rd|th)?(?: of)?(?: |-|)MONTH\b"),
    (Form::WrittenDate, r"(?:18|19|20)\d\d[- /.]MONTH[- /.]\d{1,2}\b"),
    (
        Form::WrittenDate,
        concat!(
            r"MONTH(?: |-|/|, )?\d{1,2}(?:st|nd|rd|th)?(?:(?:,|, | |-|/)(?:of )?(?:18|19|20)\d",
            r"\d|[-/]\d\d|,? ?'\d\d)\b",
        ),
    ),
    (Form::WrittenDate, r"MONTH(?: |-|, )?(?:of )?(?:18|19|20)\d\d\b"),
    (Form::WrittenDate, r"MONTH ?'\d\d\b"),
    (Form::WrittenDate, r"MONTH(?: |-|)(?:the )?\d{1,2}(?:st|nd|rd|th)?\b"),
    (
        Form::WrittenDate,
        concat!(
            r"MONTH (?:the )?ORDINAL(?:,? (?i:nineteen|twenty|two thousand)(?:[ -](?i:and |hun",
            r"dred |oh |ten|eleven|twelve|[a-z]+teen|[a-z]+ty|one|two|three|four|five|six|seve",
            r"n|eight|nine)){0,3})?\b",
        ),
    ),
    (Form::Iban, r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"),
    (Form::Date, r"\d{1,2}/\d{1,2}/(?:\d{4}|\d\d)\b"),
    (Form::Date, r"\d{1,2} ?/ ?\d{1,2} ?/ ?\d{4}\b"),
    (Form::Ssn, r"\d{3}[- .]\d{2}[- .]\d{4}\b"),
    (Form::Date, r"\d{1,2}-\d{1,2}-(?:\d{4}|\d\d)\b"),
    (Form::Date, r"\d{1,2}\. ?\d{1,2}\. ?(?:19|20)\d\d\b"),
    (Form::Ipv4, r"\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2}\b|:\d{1,5}\b|\b)"),
    (Form::DottedDate, r"\d{1,2}\.\d{1,2}\.\d\d\b"),
    (
        Form::Phone,
        concat!(
            r"(?:\+?1[-. ]?)?(?:\(\d{3}\) ?-?|\d{3}[-. /])\d{3}[-. ]\d{4}(?:,? ?(?i:x|ext\.?|e",
            r"xtension) ?\d{1,6})?\b",
        ),
    ),
    (Form::Phone, r"\(\d{3}\) ?\d{7}\b"),
    (Form::PhoneAbroad, r"(?:\+|00)[1-9]\d{0,2}(?:[-. ]?\(?\d{1,5}\)?){1,7}\b"),
    (Form::Card, r"\d{4}(?:[ -]\d{4}){2,3}(?:[ -]\d{1,4})?\b"),
    (Form::Card, r"3\d{3}[ -]\d{6}[ -]\d{5}\b"),
    (
        Form::Mbi,
        concat!(
            r"[1-9][AC-HJKMNP-RT-Yac-hjkmnp-rt-y][0-9AC-HJKMNP-RT-Yac-hjkmnp-rt-y]\d-?[AC-HJKM",
            r"NP-RT-Yac-hjkmnp-rt-y][0-9AC-HJKMNP-RT-Yac-hjkmnp-rt-y]\d-?[AC-HJKMNP-RT-Yac-hjk",
            r"mnp-rt-y]{2}\d\d\b",
        ),
    ),
    (Form::Vin, r"[A-HJ-NPR-Z0-9]{17}\b"),
    (Form::Dea, r"[A-Za-z]{2}\d{7}\b"),
    (Form::Nino, r"[A-Z]{2} ?\d\d ?\d\d ?\d\d ?[A-D]\b"),
    (Form::CompactDate, r"(?:19|20)\d{6}(?:T?(?:\d{4}|\d{6})Z?)?(?:[+-]\d{4})?\b"),
    (Form::MonthYear, r"(?:0?[1-9]|1[0-2])[/-](?:19|20)\d\d\b"),
    (Form::DayMonth, r"\d{1,2}/\d{1,2}\b"),
    (Form::ZipPlus, r"\d{5}-\d{4}\b"),
    (Form::PhoneLocal, r"\d{3}[-.]\d{4}\b"),
    (Form::PhoneGroups, r"\(?\d{2,5}\)?(?:[ .-]?/?[ .-]?\d{2,8}){1,5}\b"),
];

static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let patterns = FORMS.iter().map(|(_, pattern)| {
        pattern.replace("MONTH", MONTH).replace("MOIS", MOIS).replace("ORDINAL", ORDINAL)
    });
    let patterns: Vec<String> = patterns.collect();
    // A test asks for every form: none of the patterns is refused.
    Regex::builder()
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .build_many(&patterns)
        .ok()
});

/// Compiles the forms, so that no call has to wait for it.
pub fn load() {
    LazyLock::force(&FORM);
}

/// The form that `text` has at `start`, and the byte after it.
#[must_use]
pub fn at(text: &str, start: usize) -> Option<(Form, usize)> {
    /// No form is longer.
    const BYTES_MAX: usize = 80;
    let bytes = text.as_bytes();
    let end = text.len().min(start + BYTES_MAX);
    // No form holds an underscore; what stands before one ends there (`_2022-08-07_`).
    let end = memchr(b'_', bytes.get(start..end)?).map_or(end, |at| start + at);
    let input = Input::new(bytes.get(..end)?).span(start..end).anchored(Anchored::Yes);
    let found = FORM.as_ref()?.search(&input)?;
    let (form, _) = FORMS.get(found.pattern().as_usize())?;
    let mut end = found.end();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Some((*form, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_found_as_it_is_written() {
        for (text, form) in [
            ("7f3c0a52-90b1-4a7e-8d77-2f1be33a0c11", Form::Opaque),
            ("00:1B:44:11:3A:B7", Form::Mac),
            ("2001:0db8:85a3:0000:0000:8a2e:0370:7334", Form::Ipv6),
            ("fe80::1ff:fe23:4567", Form::Ipv6),
            ("2026-01-13T04:45:01.800Z", Form::DateTime),
            ("1942-03-09", Form::Date),
            ("09/02/2005", Form::Date),
            ("3rd of March, 2021", Form::WrittenDate),
            ("12-Mar-21", Form::WrittenDate),
            ("02MAR1960", Form::WrittenDate),
            ("02MAR60", Form::WrittenDate),
            ("4 de marzo de 1962", Form::DateAbroad),
            ("4. März 1962", Form::DateAbroad),
            ("1er février 1970", Form::DateAbroad),
            ("1962年3月4日", Form::DateCjk),
            ("(919)5550121", Form::Phone),
            ("20240304T1000", Form::CompactDate),
            ("26 Oct 2023", Form::WrittenDate),
            ("July 7", Form::WrittenDate),
            ("Sept. 4th, 1951", Form::WrittenDate),
            ("march third nineteen forty two", Form::WrittenDate),
            ("March of 1950", Form::WrittenDate),
            ("Jan '19", Form::WrittenDate),
            ("078-05-1120", Form::Ssn),
            ("(919) 555-0121 x322", Form::Phone),
            ("+44 20 7946 0958", Form::PhoneAbroad),
            ("0487 98 11 92", Form::PhoneGroups),
            ("555-0121", Form::PhoneLocal),
            ("4111 1111 1111 1111", Form::Card),
            ("24.16.38.27", Form::Ipv4),
            ("1EG4-TE5-MK73", Form::Mbi),
            ("GB82 WEST 1234 5698 7654 32", Form::Iban),
            ("1M8GDM9AXKP042788", Form::Vin),
            ("MN2430279", Form::Dea),
            ("AB 12 34 56 C", Form::Nino),
            ("202310150930", Form::CompactDate),
            ("10/2024", Form::MonthYear),
            ("6/24", Form::DayMonth),
            ("12.05.42", Form::DottedDate),
            ("81249-2854", Form::ZipPlus),
            ("M28 6BB", Form::Postcode),
            ("40.82377, -109.89354", Form::Geocode),
            ("(01)00550573571855(17)271000(21)20809488", Form::Udi),
        ] {
            assert_eq!(at(text, 0), Some((form, text.len())), "{text}");
        }
    }
}
