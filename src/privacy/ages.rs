//! Ages over 89: in digits with their unit, with a sex, in apposition, and in words.

use super::cue::Cues;
use super::finding::Finding;
use super::label::Label;
use super::text::Text;
use super::token::{Kind, Token};

/// `103M`, `94F`, `92yo`.
#[must_use]
pub fn age_with_sex(text: &Text<'_>, at: usize, end: usize) -> Option<Finding> {
    let token = text.get(at)?;
    let written = text.text.get(token.start..end)?;
    let digits = written.bytes().take_while(u8::is_ascii_digit).count();
    let age: u32 = written.get(..digits)?.parse().ok()?;
    let tail = written.get(digits..)?.to_ascii_lowercase();
    let is_age = matches!(tail.as_str(), "m" | "f" | "yo" | "y" | "yof" | "yom" | "yrs" | "yr");
    (is_age && (90..=120).contains(&age))
        .then(|| Finding::new(token.start, token.start + digits, Label::Age, "age"))
}

/// An age over 89: the number with `year`, `yo` or `aged` beside it.
#[must_use]
pub fn age(text: &Text<'_>, at: usize) -> Option<Finding> {
    let token = text.get(at).filter(|token| token.kind == Kind::Number && token.len() <= 3)?;
    let age: u32 = text.str(token).parse().ok()?;
    if !(90..=120).contains(&age) {
        return None;
    }
    let rest = text.text.get(token.end..)?.trim_start_matches([' ', '-']);
    let unit =
        ["year", "yo", "y/o", "y.o", "yr", "y o", "years", "Year", "YEAR", "YO", "Y/O", "jahre"];
    let aged = unit.iter().any(|unit| rest.starts_with(unit));
    let sexed = rest
        .strip_prefix(['M', 'F'])
        .is_some_and(|rest| !rest.starts_with(|sign: char| sign.is_ascii_alphanumeric()));
    let led = text.cues_before(at).take(2).any(|(_, word)| {
        word.cues.has(Cues::AGE) || matches!(text.str(word), "turned" | "turning")
    });
    // `Ayşe Aksoy, 92, found`: an age in apposition to a name.
    let comma = |token: Option<&Token>| token.is_some_and(|sign| sign.is_sign(b','));
    let apposed = comma(text.before(at))
        && (comma(text.get(at + 1))
            || text.get(at + 1).is_some_and(|sign| sign.is_sign(b'.') || sign.is_sign(b')')))
        && at
            .checked_sub(2)
            .and_then(|name| text.get(name))
            .is_some_and(|name| name.is_capital() && !name.cues.has(Cues::MONTH));
    let slashed = text.before(at).is_some_and(|sign| sign.is_sign(b'/'))
        && at
            .checked_sub(2)
            .and_then(|sex| text.get(sex))
            .is_some_and(|sex| matches!(text.str(sex), "M" | "F"));
    (aged || sexed || led || apposed || slashed)
        .then(|| Finding::new(token.start, token.end, Label::Age, "age"))
}

/// `ninety-three years old`, `Age: one hundred and two`: an age over 89 in words.
#[must_use]
pub fn age_in_words(text: &Text<'_>, at: usize) -> Option<Finding> {
    let token = text.get(at)?;
    let is = |place: usize, words: &[&str]| {
        text.get(place).is_some_and(|word| {
            words.iter().any(|known| known.eq_ignore_ascii_case(text.str(word)))
        })
    };
    let number = |place: usize| text.get(place).is_some_and(|word| word.cues.has(Cues::COUNT));
    let mut start = at;
    if is(at, &["one", "a"]) && is(at + 1, &["hundred"]) {
        return age_in_words(text, at + 1);
    }
    if !token.cues.has(Cues::OLD) {
        return None;
    }
    if is(at, &["hundred"]) {
        start = at.checked_sub(1).filter(|place| is(*place, &["one", "a"]))?;
    }
    let mut end = at + 1;
    let joined = is(end, &["and", "-"]);
    if number(end + usize::from(joined)) {
        end += 1 + usize::from(joined);
    }
    let unit = end + usize::from(is(end, &["-"]));
    let aged = is(unit, &["year", "years", "yo", "yr", "yrs"])
        || text.has_before(start, Cues::AGE, 2)
        || is(start.wrapping_sub(1), &["turned", "turning"]);
    aged.then(|| text.finding(start, end, Label::Age, "age-in-words")).flatten()
}
