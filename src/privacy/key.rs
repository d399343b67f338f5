//! What a name of a field says about its value: `patient_mrn`, `PAT_LAST_NM`, `DOB`, `Home Phone`.
//!
//! Keys of JSON, headers of tables, labels of forms and `key=value` in logs are read alike: cut
//! into words, whose cues are put together.

use any_ascii::any_ascii;
use memchr::memrchr2;
use smallvec::SmallVec;

use super::cue::{self, Cues};
use super::label::Label;
use super::token;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// This, whatever it looks like.
    Sure(Label),
    /// A number of this kind, where it has digits.
    Number(Label),
    /// A person's name, where it looks like one.
    MaybeName,
    /// Cookies: names and values.
    Cookie,
    /// The name that somebody logs in by.
    Login,
    /// The same, or a name, where it looks like either.
    MaybeLogin,
    /// A password, where it looks like one.
    MaybeSecret,
    /// A date, in any form that dates have.
    Date,
    /// An age in years.
    Age,
    /// When a system did something: the time of a log, of no person.
    LogTime,
    /// A code of a system: nothing is looked for in a single word.
    Code,
}

/// The most words of a key that are read.
pub const KEY_WORDS_MAX: usize = 6;

/// What the field with this name holds. The last part of a path is its name.
#[must_use]
pub fn field(key: &str) -> Option<Field> {
    const KEY_BYTES_MAX: usize = 64;
    if key.len() > KEY_BYTES_MAX || key.is_empty() {
        return None;
    }
    let from = memrchr2(b'/', b'.', key.as_bytes()).map_or(0, |sign| sign + 1);
    let name = key.get(from..).unwrap_or(key);
    let spelled = spelled(key);
    let name = spelled.as_deref().unwrap_or(name);
    match name.is_ascii() {
        true => of_words(&words(name)?),
        false => of_words(&words(&any_ascii(name))?),
    }
}

/// The cues of each word of a key: `birthDate` and `DOBDate` are two words. What an earlier
/// redaction put in its place is none. `None` where it has more words than are read.
fn words(name: &str) -> Option<SmallVec<[Cues; KEY_WORDS_MAX]>> {
    let bytes = name.as_bytes();
    let mut words = SmallVec::new();
    let mut start = None;
    let mut at = 0;
    while at <= bytes.len() {
        let sign = bytes.get(at).copied().unwrap_or(b' ');
        if let Some(end) = start.and_then(|from| word_end(bytes, from, at)) {
            if words.len() == KEY_WORDS_MAX {
                return None;
            }
            words.push(cue::cues(token::folded_hash(name.get(start?..end)?)));
            start = sign.is_ascii_alphabetic().then_some(end);
        } else if start.is_none() && sign.is_ascii_alphabetic() {
            start = Some(at);
        }
        at += if sign == b'[' { Label::placeholder_at(name.get(at..)?).unwrap_or(1) } else { 1 };
    }
    Some(words)
}

/// Where the word that began at `from` ends, if the byte at `at` ends it.
fn word_end(bytes: &[u8], from: usize, at: usize) -> Option<usize> {
    let sign = bytes.get(at).copied().unwrap_or(b' ');
    let upper = |place: usize| bytes[place].is_ascii_uppercase();
    if !sign.is_ascii_alphabetic() || bytes[at - 1].is_ascii_lowercase() && upper(at) {
        return Some(at);
    }
    let capitals = at >= from + 2 && upper(at - 1) && upper(at - 2);
    (sign.is_ascii_lowercase() && capitals).then_some(at - 1)
}

/// `S.S.N.` and `d.o.b`: letters with points between, as one word.
fn spelled(key: &str) -> Option<String> {
    if key.as_bytes().get(1) != Some(&b'.') {
        return None;
    }
    let parts = key.strip_suffix('.').unwrap_or(key).split('.');
    let single = |part: &str| part.len() == 1 && part.as_bytes()[0].is_ascii_alphabetic();
    let letters = parts.clone().all(single) && key.len() > 3;
    letters.then(|| parts.collect())
}

/// What the words of a key say together.
#[must_use]
pub fn of_words(words: &[Cues]) -> Option<Field> {
    if words.is_empty() || words.len() > KEY_WORDS_MAX {
        return None;
    }
    let all = words.iter().fold(Cues::default(), |all, cues| all.or(*cues));
    let has = |cues| all.has(cues);
    let single = words.len() == 1;
    let key = has(Cues::ACCESS) && has(Cues::NUMBER) && !has(Cues::PERSON);
    if has(Cues::PASSWORD) && single {
        return Some(Field::Sure(Label::Secret));
    }
    if has(Cues::COOKIE) && words.iter().all(|word| word.has(Cues::COOKIE) || word.is_none()) {
        return Some(Field::Cookie);
    }
    if has(Cues::PASS) && single {
        return Some(Field::MaybeSecret);
    }
    if has(Cues::SECRET.or(Cues::PASSWORD)) || key {
        return Some(Field::Number(Label::Secret));
    }
    if let Some(field) = of_logins(words, all) {
        return Some(field);
    }
    if has(Cues::CREATED) {
        return Some(Field::LogTime);
    }
    if let Some(field) = of_numbers(all, single) {
        return Some(field);
    }
    if has(Cues::FULL_NAME) {
        return Some(Field::Sure(Label::Name));
    }
    let of_person = Cues::PERSON
        .or(Cues::NAME_PART)
        .or(Cues::ROLE)
        .or(Cues::RELATIVE)
        .or(Cues::BIRTH)
        .or(Cues::CALL);
    if has(Cues::NAME) && has(of_person) && !has(Cues::NUMBER) {
        return Some(Field::Sure(Label::Name));
    }
    if has(Cues::THING) || has(Cues::QUANTITY) {
        return None;
    }
    if has(Cues::NAME) {
        return Some(Field::MaybeName);
    }
    if has(Cues::DATE) {
        return Some(Field::Date);
    }
    let person = Cues::PERSON.or(Cues::ROLE).or(Cues::RELATIVE);
    let alone = has(Cues::ADDRESSEE.or(Cues::NAME_PART)) && single;
    (has(person) || alone).then_some(Field::MaybeName)
}

/// Fields of logins: `username`, `user_id`, `owner`, `created_by`.
fn of_logins(words: &[Cues], all: Cues) -> Option<Field> {
    let has = |cues| all.has(cues);
    let last = *words.last()?;
    if has(Cues::NAME.or(Cues::FULL_NAME).or(Cues::EMAIL).or(Cues::PHONE)) {
        return None;
    }
    if last.has(Cues::LOGIN) || has(Cues::OWNER) && last.has(Cues::NUMBER) && words.len() == 2 {
        return Some(Field::Login);
    }
    let done_by = words.len() > 1 && last.has(Cues::BY) && has(Cues::CREATED.or(Cues::ROLE));
    (last.has(Cues::OWNER) && (words.len() == 1 || !has(Cues::ROLE)) || done_by)
        .then_some(Field::MaybeLogin)
}

/// Fields of numbers, contacts and places.
fn of_numbers(all: Cues, single: bool) -> Option<Field> {
    let has = |cues| all.has(cues);
    let number = has(Cues::NUMBER);
    let sure = |label| Some(Field::Sure(label));
    let with_digits = |label| Some(Field::Number(label));
    if has(Cues::EMAIL) {
        return sure(Label::Email);
    }
    if has(Cues::BIRTH) && has(Cues::CITY) {
        return sure(Label::Location);
    }
    if has(Cues::BIRTH) && !has(Cues::NAME.or(Cues::FULL_NAME)) {
        return Some(Field::Date);
    }
    if has(Cues::PHONE) && !has(Cues::NAME.or(Cues::DATE)) {
        return with_digits(Label::Phone);
    }
    if has(Cues::MRN) {
        return with_digits(Label::Mrn);
    }
    if has(Cues::SSN) {
        return with_digits(Label::Ssn);
    }
    if has(Cues::ZIP) {
        return with_digits(Label::Zip);
    }
    if has(Cues::NAME.or(Cues::FULL_NAME)) {
        return None;
    }
    if has(Cues::ADDRESS) && !has(Cues::MACHINE) {
        return sure(Label::Address);
    }
    if has(Cues::CITY) && !number {
        return sure(Label::Location);
    }
    if has(Cues::DATE) && !number {
        return None;
    }
    if has(Cues::VEHICLE) {
        return with_digits(Label::Vehicle);
    }
    if has(Cues::LICENSE) {
        return with_digits(Label::License);
    }
    if has(Cues::DEVICE) {
        return with_digits(Label::Device);
    }
    if has(Cues::ACCOUNT) {
        return with_digits(Label::Account);
    }
    if has(Cues::PLAN) && (number || single || has(Cues::PERSON)) && !has(Cues::THING) {
        return with_digits(Label::HealthPlanId);
    }
    if has(Cues::CODE) && (number || single) {
        return with_digits(Label::Id);
    }
    if has(Cues::PERSON.or(Cues::ROLE).or(Cues::RELATIVE)) && number {
        return with_digits(Label::Id);
    }
    if has(Cues::AGE) && (single || has(Cues::PERSON)) {
        return Some(Field::Age);
    }
    (number && !has(Cues::PERSON)).then_some(Field::Code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_fields_are_read_in_any_style() {
        for (key, field) in [
            ("mrn", Some(Field::Number(Label::Mrn))),
            ("patient_mrn_no", Some(Field::Number(Label::Mrn))),
            ("PAT_LAST_NM", Some(Field::Sure(Label::Name))),
            ("birthDate", Some(Field::Date)),
            ("DOB", Some(Field::Date)),
            ("Home Phone", Some(Field::Number(Label::Phone))),
            ("postalCode", Some(Field::Number(Label::Zip))),
            ("memberId", Some(Field::Number(Label::HealthPlanId))),
            ("address_line1", Some(Field::Sure(Label::Address))),
            ("city", Some(Field::Sure(Label::Location))),
            ("state", None),
            ("file_name", None),
            ("name", Some(Field::MaybeName)),
            ("firstName", Some(Field::Sure(Label::Name))),
            ("emergency_contact_name", Some(Field::Sure(Label::Name))),
            ("attending", Some(Field::MaybeName)),
            ("request_id", Some(Field::Code)),
            ("patient_id", Some(Field::Number(Label::Id))),
            ("created_at", Some(Field::LogTime)),
            ("last_visit", Some(Field::Date)),
            ("api_key", Some(Field::Number(Label::Secret))),
            ("password", Some(Field::Sure(Label::Secret))),
            ("db_password", Some(Field::Number(Label::Secret))),
            ("S.S.N.", Some(Field::Number(Label::Ssn))),
            ("a.b", None),
            ("ip_address", None),
            ("model", None),
            ("DOBDate", Some(Field::Date)),
            ("prénom", Some(Field::Sure(Label::Name))),
            ("Téléphone", Some(Field::Number(Label::Phone))),
            ("[NAME]", None),
            ("[NAME]_dob", Some(Field::Date)),
        ] {
            assert_eq!(super::field(key), field, "{key}");
        }
    }
}
