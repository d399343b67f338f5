//! Dates: in numbers, in letters, compact; and the times of logs and releases, which are no
//! person's.

use memchr::memrchr;

use super::checks;
use super::cue::Cues;
use super::finding::{Finding, Verdict};
use super::forms::{self, Form};
use super::label::Label;
use super::text::Text;
use super::token::{Gap, Kind, Token};

/// The number at a token as a field that is known to hold dates has it.
#[must_use]
pub fn find_date(text: &Text<'_>, at: usize) -> Option<Finding> {
    let token = text.get(at)?;
    let (form, end) = forms::at(text.text, token.start)?;
    let written = text.text.get(token.start..end)?;
    let parts: Vec<u32> = written.split('/').filter_map(|part| part.parse().ok()).collect();
    let quantity = form == Form::DayMonth
        && !matches!(parts.as_slice(), [one, other] if checks::day_and_month(*one, *other));
    let is_date = form.is_date()
        && !quantity
        && !text.before(at).is_some_and(|word| word.cues.has(Cues::QUANTITY));
    is_date.then(|| Finding::new(token.start, end, Label::Date, "date-field"))
}

/// A date of birth in bare digits: `DOB 030462`, `born 03041962`, `DOB 3 4 1962`. A word of birth
/// must stand before it, for six digits are a number of anything.
#[must_use]
pub fn birth_in_digits(text: &Text<'_>, at: usize) -> Option<Finding> {
    let token = text.get(at).filter(|token| token.kind == Kind::Number)?;
    if !matches!(token.len(), 1 | 2 | 6 | 8) || !text.has_before(at, Cues::BIRTH, 2) {
        return None;
    }
    let written = text.str(token);
    let part = |from: usize, to: usize| written.get(from..to).and_then(|part| part.parse().ok());
    let pair = |from: usize| Some((part(from, from + 2)?, part(from + 2, from + 4)?));
    let fits = |pair: Option<(u32, u32)>| {
        pair.is_some_and(|(one, other)| checks::day_and_month(one, other))
    };
    match written.len() {
        6 if fits(pair(0)) || fits(pair(2)) => {}
        8 if fits(pair(0)) || fits(pair(4)) => {}
        1 | 2 => return spaced(text, at),
        _ => return None,
    }
    Some(Finding::new(token.start, token.end, Label::Date, "birth-in-digits"))
}

/// `3 4 1962`: three numbers, the last a year.
fn spaced(text: &Text<'_>, at: usize) -> Option<Finding> {
    let number = |place: usize| -> Option<u32> {
        let token = text.get(place).filter(|token| token.kind == Kind::Number)?;
        (place == at || token.gap == Gap::Space).then(|| text.str(token).parse().ok()).flatten()
    };
    let (one, other, year) = (number(at)?, number(at + 1)?, number(at + 2)?);
    let fits = checks::day_and_month(one, other) && ((1850..2100).contains(&year) || year < 100);
    fits.then(|| text.finding(at, at + 3, Label::Date, "birth-in-digits")).flatten()
}

pub(super) fn date(text: &Text<'_>, at: usize, form: Form, end: usize, written: &str) -> Verdict {
    let Some(token) = text.get(at) else { return Verdict::IsNothing };
    let parts: Vec<u32> = written
        .split(|sign: char| !sign.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect();
    let is = |condition: bool, rule| {
        if condition { Verdict::Is(Label::Date, rule) } else { Verdict::Unknown }
    };
    let dated = || text.has_before(at, Cues::DATE.or(Cues::WHEN), 3);
    match form {
        _ if is_beginning_of_time(written) => Verdict::IsNothing,
        // Programs write seconds, people do not.
        Form::DateTime if is_system_time(text, at, end) && written.len() > 16 => Verdict::IsNothing,
        Form::WrittenDate if is_access_log(text, at, end) => Verdict::IsNothing,
        Form::DateTime => is(true, "date-time"),
        Form::Date => {
            let (one, other) = match parts.as_slice() {
                [year, month, day] if *year > 31 => (*month, *day),
                [one, other, ..] => (*one, *other),
                _ => (0, 0),
            };
            let goes_on = goes_on(text, end, b"/-");
            let version = text.byte_before(token.start) == Some(b'-') && token.gap == Gap::None
                || is_release(text, token)
                || is_version(text, at);
            let announced = text
                .announced(at)
                .is_some_and(|(label, _)| !matches!(label, Label::Id | Label::Phone | Label::Zip));
            is(checks::day_and_month(one, other) && !goes_on && !version && !announced, "date")
        }
        Form::DottedDate => {
            let fits = matches!(parts.as_slice(), [one, other, _]
                if checks::day_and_month(*one, *other));
            is(fits && dated(), "date-dotted")
        }
        Form::WrittenDate => written_date(text, at, written, &parts),
        Form::DateAbroad => is(is_date_abroad(text, at, &parts), "date-abroad"),
        Form::DateCjk => is(true, "date-cjk"),
        Form::MonthYear => is(!text.has_before(at, Cues::QUANTITY, 2), "month-year"),
        Form::CompactDate => compact_date(text, at, end, written),
        Form::DayMonth => {
            let fits =
                matches!(parts.as_slice(), [one, other] if checks::day_and_month(*one, *other));
            let quantity = text.has_before(at, Cues::QUANTITY, 3) && !dated();
            // `2024/03/04`: the end of a longer one.
            let inside = token.gap == Gap::None
                && matches!(text.byte_before(token.start), Some(b'/' | b'-'));
            let sentence = text.before(at).is_none_or(|sign| sign.is_sign(b'.'))
                && text.byte(end) == Some(b':');
            let next = text.get(text.place_from(at, end));
            let visit =
                next.is_some_and(|next| next.cues.has(Cues::DATE) && next.gap == Gap::Space);
            let follow_up = text
                .text
                .get(..token.start)
                .is_some_and(|before| LEADS.iter().any(|lead| before.ends_with(lead)));
            let led = visit
                || follow_up
                || dated()
                || text.begins_line(at)
                || followed_by_time(text, end)
                || sentence;
            let goes_on = goes_on(text, end, b"/-.%");
            is(fits && led && !quantity && !goes_on && !inside, "day-month")
        }
        _ => Verdict::Unknown,
    }
}

/// One of these signs and more of the same word stand behind.
fn goes_on(text: &Text<'_>, end: usize, signs: &[u8]) -> bool {
    text.byte(end).is_some_and(|byte| signs.contains(&byte))
        && text.byte(end + 1).is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// What a chart writes before a day and a month: things that happen on a day.
const LEADS: [&str; 24] = [
    "f/u ",
    "F/U ",
    "~",
    "sign-out ",
    "handoff ",
    "note ",
    "rounds ",
    "d/c ",
    "D/C ",
    "d/c'd ",
    "labs ",
    "Labs ",
    "consult ",
    "cxr ",
    "CXR ",
    "CT ",
    "MRI ",
    "echo ",
    "Echo ",
    "EKG ",
    "ECG ",
    "biopsy ",
    "cx ",
    "imaging ",
];

/// `4 mars 1962`; a day and a month alone are a date behind their article (`le 4 mars`).
fn is_date_abroad(text: &Text<'_>, at: usize, parts: &[u32]) -> bool {
    let led = text.before(at).is_some_and(|word| {
        matches!(text.str(word), "le" | "Le" | "du" | "au" | "el" | "El" | "am" | "den")
            || word.cues.has(Cues::DATE)
    });
    let fits = parts.iter().all(|part| *part <= 31 || (1800..2100).contains(part));
    fits && (parts.len() > 1 || led)
}

/// A month in letters with a day, a year or both. `may 5` and `march 10` in small letters can be
/// verbs: they need a year, an ordinal or a cue.
fn written_date(text: &Text<'_>, at: usize, written: &str, parts: &[u32]) -> Verdict {
    let month = written.find(|sign: char| sign.is_ascii_alphabetic()).unwrap_or(0);
    let ordinal_first =
        parts.first().is_some_and(|_| written.starts_with(|c: char| c.is_ascii_digit()));
    let name = written.get(month..).unwrap_or("");
    let name = if ordinal_first {
        name.trim_start_matches(|sign: char| sign.is_ascii_lowercase() && "stndrhof".contains(sign))
    } else {
        name
    };
    // `4th of March`, also in small letters: nobody marches there.
    let name = name.trim_start();
    let of = ordinal_first && name.starts_with("of ");
    let capital = of || name.starts_with(|sign: char| sign.is_ascii_uppercase());
    let has_year = parts.iter().any(|part| *part > 31);
    let fits = parts.iter().all(|part| *part <= 31 || (1800..2100).contains(part) || *part < 100);
    let joined = text.get(at).is_some_and(|token| {
        token.gap == Gap::None && matches!(text.byte_before(token.start), Some(b'_' | b'.'))
    });
    let spoken = parts.is_empty();
    let dated = text.has_before(at, Cues::DATE.or(Cues::WHEN).or(Cues::WEEKDAY), 3)
        || at
            .checked_sub(2)
            .and_then(|day| text.get(day))
            .is_some_and(|day| day.cues.has(Cues::WEEKDAY));
    let day = !ordinal_first || parts.first().is_none_or(|day| *day <= 31);
    let listing = is_listing(text, text.get(at).map_or(0, |token| token.start));
    if fits && day && !joined && !listing && (capital || has_year || spoken || dated) {
        return Verdict::Is(Label::Date, "date-written");
    }
    Verdict::IsNothing
}

/// `20231015`, also with a time behind it; not the date in the name of a model.
fn compact_date(text: &Text<'_>, at: usize, end: usize, written: &str) -> Verdict {
    let Some(token) = text.get(at) else { return Verdict::IsNothing };
    let part = |from: usize, to: usize| {
        written.get(from..to).and_then(|part| part.parse::<u32>().ok()).unwrap_or(0)
    };
    let fits = (1..=12).contains(&part(4, 6)) && (1..=31).contains(&part(6, 8));
    if written.contains('T') && is_system_time(text, at, end) {
        return Verdict::IsNothing;
    }
    let joined =
        token.gap == Gap::None && matches!(text.byte_before(token.start), Some(b'-' | b'/' | b'.'));
    let goes_on = matches!(text.byte(end), Some(b'.' | b'-' | b'_'))
        && text.byte(end + 1).is_some_and(|byte| byte.is_ascii_alphanumeric());
    if fits && !joined && !goes_on && text.announced(at).is_none() {
        return Verdict::Is(Label::Date, "date-compact");
    }
    Verdict::Unknown
}

/// The time of a line of a log, or of a field that says when a system did something.
fn is_system_time(text: &Text<'_>, at: usize, end: usize) -> bool {
    let rest = text.text.get(end..).unwrap_or("");
    let goes_on = rest.lines().next().is_some_and(|line| !line.trim().is_empty());
    if !goes_on {
        return text.has_before(at, Cues::CREATED, 2);
    }
    let opens = match at.checked_sub(1).and_then(|before| text.get(before)) {
        None => true,
        Some(before) => before.is_sign(b'[') && text.begins_line(at - 1),
    };
    opens || text.begins_line(at) || text.has_before(at, Cues::CREATED, 2)
}

/// The dates that programs write for "none" and "never".
fn is_beginning_of_time(written: &str) -> bool {
    ["1900-01-01", "1970-01-01", "0001-01-01", "9999-12-31"]
        .iter()
        .any(|none| written.starts_with(none))
}

/// `[13/Oct/2025:22:24:41 +0000]`: the time of a web server's log.
fn is_access_log(text: &Text<'_>, at: usize, end: usize) -> bool {
    text.before(at).is_some_and(|sign| sign.is_sign(b'['))
        && text.byte(end) == Some(b':')
        && text.byte(end + 1).is_some_and(|byte| byte.is_ascii_digit())
}

/// `## [2.1.0] - 2025-07-26`: the heading of a release.
fn is_release(text: &Text<'_>, token: &Token) -> bool {
    let line = text.text.get(..token.start).unwrap_or("").rsplit('\n').next().unwrap_or("");
    line.starts_with("## [")
}

/// `-rw-r--r-- 1 a staff 64 Jan 3 10:00 x`: the time of a file.
fn is_listing(text: &Text<'_>, start: usize) -> bool {
    const LINE_BYTES_MAX: usize = 256;
    let mut from = start.saturating_sub(LINE_BYTES_MAX);
    while !text.text.is_char_boundary(from) {
        from += 1;
    }
    let line = text.text.get(from..start).unwrap_or("");
    let line = line.get(memrchr(b'\n', line.as_bytes()).map_or(0, |end| end + 1)..).unwrap_or("");
    let modes = line.bytes().take(10).all(|byte| b"-dlbcpsrwxtST".contains(&byte));
    line.len() > 10 && modes
}

/// `the 4th`: a day of this month or the last, behind a preposition and with nothing behind it that
/// it counts.
#[must_use]
pub fn ordinal(text: &Text<'_>, at: usize) -> Option<Finding> {
    let token = text.get(at).filter(|token| token.kind == Kind::Mixed && token.len() <= 4)?;
    let written = text.str(token);
    let digits = written.trim_end_matches(|sign: char| sign.is_ascii_lowercase());
    let ends = matches!(written.get(digits.len()..), Some("st" | "nd" | "rd" | "th"));
    let the = text.before(at).is_some_and(|the| text.str(the).eq_ignore_ascii_case("the"));
    let led = at
        .checked_sub(2)
        .and_then(|it| text.get(it))
        .is_some_and(|it| it.cues.has(Cues::WHEN.or(Cues::DATE).or(Cues::VERB)));
    let behind = text.get(at + 1).is_none_or(|next| {
        next.gap == Gap::Line
            || matches!(next.kind, Kind::Sign(b'.' | b',' | b';' | b')'))
            || matches!(text.str(next), "and" | "at" | "with" | "for" | "she" | "he" | "pt")
    });
    let day = digits.parse().is_ok_and(|day: u32| (1..=31).contains(&day));
    (ends && the && led && behind && day)
        .then(|| Finding::new(token.start, token.end, Label::Date, "date-ordinal"))
}

/// `anthropic-version: 2023-06-01`: interfaces are numbered by dates.
fn is_version(text: &Text<'_>, at: usize) -> bool {
    let mut words = text.cues_before(at);
    words.next().is_some_and(|(distance, word)| {
        distance == 0 && text.str(word).eq_ignore_ascii_case("version")
    })
}

/// `2/27 0436` and `2/27 at 04:36`.
fn followed_by_time(text: &Text<'_>, end: usize) -> bool {
    let rest = text.text.get(end..).unwrap_or("").trim_start_matches([' ', ',', '@']);
    let rest = rest.strip_prefix("at ").unwrap_or(rest).as_bytes();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits == 4 && !rest.get(4).is_some_and(u8::is_ascii_alphanumeric)
        || (1..=2).contains(&digits) && rest.get(digits) == Some(&b':')
}
