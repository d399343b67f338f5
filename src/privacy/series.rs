//! Numbers that are known by what stands right before them: the next of a list, the extension of a
//! telephone, the number behind letters of a profession; and addresses of machines that were made
//! harmless.

use super::cue::Cues;
use super::finding::Finding;
use super::label::Label;
use super::numbers;
use super::text::Text;
use super::token::{Case, Gap, Kind, Token};

/// How many values of a list are told by its first.
const VALUES_MAX: usize = 256;

/// `IN ('527-48-1936', '527481937')`, `MRNs 1234567, 7654321 and 8812345`: what follows a number in
/// a list is the same again where it has as many digits.
pub fn rest(text: &Text<'_>, first: &Finding, from: usize, found: &mut Vec<Finding>) {
    const DIGITS_MIN: usize = 4;
    let listed = matches!(
        first.label,
        Label::Ssn
            | Label::Mrn
            | Label::HealthPlanId
            | Label::Account
            | Label::License
            | Label::Device
    );
    let length = |start: usize, end: usize| {
        let written = text.text.get(start..end).unwrap_or("");
        written.bytes().filter(u8::is_ascii_digit).count()
    };
    let digits = length(first.start, first.end);
    if !listed || digits < DIGITS_MIN {
        return;
    }
    let mut place = text.place_from(from, first.end);
    for _ in 0..VALUES_MAX {
        let begin = place;
        let joins = |token: &Token| {
            matches!(token.kind, Kind::Sign(b',' | b'\'' | b'"' | b'&' | b'/'))
                || matches!(text.str(token), "and" | "or")
        };
        while place < begin + 4 && text.get(place).is_some_and(joins) {
            place += 1;
        }
        let Some(token) = text.get(place).filter(|token| token.has_digits()) else { return };
        let (end, _) = numbers::code_end(text, place);
        if place == begin || length(token.start, end).abs_diff(digits) > 1 {
            return;
        }
        found.push(Finding::new(token.start, end, first.label, "next-of-list"));
        place = text.place_from(place, end);
    }
}

/// `ext 4471`, `RN #123456`.
#[must_use]
pub fn short(text: &Text<'_>, at: usize) -> Option<Finding> {
    let token = text.get(at).filter(|token| token.kind == Kind::Number)?;
    let found = |label, rule| Some(Finding::new(token.start, token.end, label, rule));
    let point = text.before(at).is_some_and(|sign| sign.is_sign(b'.') || sign.is_sign(b'#'));
    let word = at.checked_sub(1 + usize::from(point)).and_then(|place| text.get(place))?;
    let is = |known: &str| known.eq_ignore_ascii_case(text.str(word));
    if (is("ext") || is("extension")) && (3..=6).contains(&token.len()) {
        return found(Label::Phone, "extension");
    }
    let numbered = text.before(at).is_some_and(|sign| sign.is_sign(b'#'));
    let profession = word.cues.has(Cues::CREDENTIAL) && word.case == Case::Upper;
    if numbered && profession && token.len() >= 4 {
        return found(Label::License, "license-cue");
    }
    None
}

/// `lot 4471A`, `Lot # A12345`, `order #123456`: numbers of a thing that somebody was given.
#[must_use]
pub fn of_thing(text: &Text<'_>, at: usize) -> Option<(Label, &'static str)> {
    let sign = usize::from(text.before(at)?.is_sign(b'#'));
    let word = at.checked_sub(1 + sign).and_then(|place| text.get(place))?;
    let is = |known: &str| known.eq_ignore_ascii_case(text.str(word));
    if is("lot") {
        return Some((Label::Device, "lot-cue"));
    }
    (sign == 1 && is("order")).then_some((Label::Id, "order-cue"))
}

/// The limits of whole numbers of 32 bits.
#[must_use]
pub fn is_limit(written: &str) -> bool {
    matches!(written, "2147483647" | "2147483648" | "4294967295" | "4294967296")
}

/// `10[.]0[.]0[.]4`: an address that nobody shall follow by mistake.
#[must_use]
pub fn defanged(text: &Text<'_>, at: usize) -> Option<Finding> {
    const SIGNS: [&str; 7] = ["[.]", "(.)", "{.}", "[dot]", "(dot)", " dot ", "."];
    let token = text.get(at).filter(|token| token.kind == Kind::Number && token.len() <= 3)?;
    if !matches!(text.byte(token.end), Some(b'[' | b'(' | b'{' | b'.' | b' ')) {
        return None;
    }
    let mut end = token.end;
    let mut odd = false;
    for _ in 0..3 {
        let rest = text.text.get(end..)?;
        let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign))?;
        odd |= sign.len() > 1;
        let rest = rest.get(sign.len()..)?;
        let digits = rest.bytes().take(4).take_while(u8::is_ascii_digit).count();
        if !(1..=3).contains(&digits) {
            return None;
        }
        end += sign.len() + digits;
    }
    odd.then(|| Finding::new(token.start, end, Label::Ip, "ipv4-defanged"))
}

/// `twitter: @jroe`, `insta jroe`: what somebody is called elsewhere.
#[must_use]
pub fn handle(text: &Text<'_>, at: usize) -> Option<Finding> {
    const PLACES: [&str; 12] = [
        "twitter",
        "insta",
        "instagram",
        "tiktok",
        "snapchat",
        "facebook",
        "mastodon",
        "telegram",
        "reddit",
        "discord",
        "bluesky",
        "linkedin",
    ];
    const HANDLE_BYTES_MAX: usize = 40;
    let word = text.get(at).filter(|word| (5..=9).contains(&word.len()))?;
    let next = (text.byte(word.end), text.byte(word.end + 1));
    if !matches!(next, (Some(b':'), _) | (Some(b' '), Some(b'@'))) {
        return None;
    }
    if !PLACES.iter().any(|place| place.eq_ignore_ascii_case(text.str(word))) {
        return None;
    }
    let colon = usize::from(text.get(at + 1).is_some_and(|sign| sign.is_sign(b':')));
    let mark = usize::from(text.get(at + 1 + colon).is_some_and(|sign| sign.is_sign(b'@')));
    let token = text.get(at + 1 + colon + mark).filter(|token| token.gap <= Gap::Space)?;
    let rest = text.text.get(token.start..)?.bytes().take(HANDLE_BYTES_MAX);
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let length = rest.take_while(inside).count();
    let end =
        token.start + text.text.get(token.start..token.start + length)?.trim_end_matches('.').len();
    let strange = token.case == Case::Lower && token.flags.is_strange() && token.len() > 4;
    let own = token.is_alphanumeric() && (mark == 1 || strange || token.kind == Kind::Mixed);
    (own && end > token.start).then(|| Finding::new(token.start, end, Label::Id, "handle"))
}
