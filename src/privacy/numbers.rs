//! Numbers: which of them are dates, telephones, cards, records, and which are quantities.
//!
//! The written form ([`super::forms`]) proposes, the words around decide. A form that is nothing
//! else is masked without a cue; a bare number needs one.

use memchr::memrchr;

use super::ages;
use super::checks;
use super::cue::Cues;
use super::dates::{self, date};
use super::finding::{Finding, Verdict};
use super::forms::{self, Form};
use super::key::{self, Field};
use super::label::Label;
use super::series;
use super::text::Text;
use super::token::{Case, Gap, Kind, Token};

/// The identifier that begins at a token, if one does.
#[must_use]
pub fn find(text: &Text<'_>, at: usize) -> Option<Finding> {
    let token = text.get(at)?;
    if !may_begin(text, at, token) {
        return None;
    }
    if let Some(day) = dates::birth_in_digits(text, at).or_else(|| dates::ordinal(text, at)) {
        return Some(day);
    }
    if let Some(address) = series::defanged(text, at) {
        return Some(address);
    }
    if let Some((form, end)) = forms::at(text.text, token.start) {
        let (label, rule) = match judge(text, at, form, end) {
            Verdict::Is(label, rule) => (label, rule),
            Verdict::IsNothing => return None,
            Verdict::Unknown => return code(text, at),
        };
        // Groups of a number that a word announces may be more than the form has.
        let all = if form == Form::PhoneGroups { code_end(text, at).0.max(end) } else { end };
        return Some(Finding::new(token.start, all, label, rule));
    }
    code(text, at)
}

/// Where a form may begin: at a number, a sign before one, a month, or letters of a hexadecimal.
fn may_begin(text: &Text<'_>, at: usize, token: &Token) -> bool {
    let joined = matches!(text.byte_before(token.start), Some(b'.' | b'_'))
        && token.gap == Gap::None
        && text.before(at).is_some_and(|before| before.end == token.start)
        && text.byte_before(token.start - 1).is_some_and(|byte| byte.is_ascii_digit());
    if joined {
        return false;
    }
    match token.kind {
        Kind::Number | Kind::Mixed => true,
        Kind::Sign(b'+' | b'(' | b'-') => text.get(at + 1).is_some_and(Token::has_digits),
        Kind::Sign(_) => false,
        Kind::Word => {
            let next = text.byte(token.end);
            token.cues.has(Cues::MONTH)
                || token.len() <= 8
                    && matches!(next, Some(b'-' | b':' | b' '))
                    && text.str(token).bytes().all(|byte| byte.is_ascii_hexdigit())
                || token.len() == 2 && token.case == Case::Upper
        }
    }
}

/// `MRN 00418827`, `Aadhaar 2345 6789 0123`: a word says what a number is that looks like another.
fn said_otherwise(
    announced: Option<(Label, &'static str)>,
    form: Form,
    written: &str,
) -> Option<Verdict> {
    let (label, rule) = announced?;
    let other = match form {
        Form::PhoneAbroad => {
            !matches!(label, Label::Phone | Label::Id) && !written.starts_with('+')
        }
        Form::Card => !matches!(label, Label::Phone | Label::Zip),
        _ => false,
    };
    other.then_some(Verdict::Is(label, rule))
}

fn judge(text: &Text<'_>, at: usize, form: Form, end: usize) -> Verdict {
    let Some(token) = text.get(at) else { return Verdict::IsNothing };
    let written = text.text.get(token.start..end).unwrap_or("");
    let digits = checks::digits(written);
    let announced = text.announced(at);
    let is = |label: Label| announced.is_some_and(|(found, _)| found == label);
    let when = |condition: bool, label, rule| {
        if condition { Verdict::Is(label, rule) } else { Verdict::Unknown }
    };
    if let Some(verdict) = said_otherwise(announced, form, written) {
        return verdict;
    }
    match form {
        Form::Opaque if text.has_before(at, Cues::PERSON.or(Cues::MRN).or(Cues::DEVICE), 3) => {
            announced.map_or(Verdict::IsNothing, |(label, rule)| Verdict::Is(label, rule))
        }
        Form::Opaque => Verdict::IsNothing,
        Form::Ssn => when(true, Label::Ssn, "ssn"),
        Form::Phone => when(!is(Label::Account), Label::Phone, "phone"),
        Form::PhoneAbroad => when(
            (8..=15).contains(&digits.len()) && !text.has_before(at, Cues::QUANTITY, 1),
            Label::Phone,
            "phone-abroad",
        ),
        Form::PhoneGroups => groups(text, at, written, &digits, announced),
        Form::PhoneLocal => when(is(Label::Phone), Label::Phone, "phone-local"),
        Form::Card => when(checks::luhn(&digits), Label::Account, "card"),
        Form::Ipv4 => ipv4(text, at, written, end),
        Form::Ipv6 => when(written.len() > 6 && digits.len() > 1, Label::Ip, "ipv6"),
        Form::Mac => when(true, Label::Device, "mac"),
        Form::Mbi => when(true, Label::HealthPlanId, "mbi"),
        Form::Iban => when(checks::iban(written) || is(Label::Account), Label::Account, "iban"),
        Form::Vin => when(
            digits.len() < 17
                && written.bytes().any(|byte| byte.is_ascii_alphabetic())
                && (checks::vin(written) || is(Label::Vehicle)),
            Label::Vehicle,
            "vin",
        ),
        Form::Dea => when(
            checks::dea(&digits) || text.has_before(at, Cues::LICENSE, 3),
            Label::License,
            "dea",
        ),
        // The prefixes that are given out stand for themselves; others need a word.
        Form::Nino => when(is_nino(text, at, written) || is(Label::Ssn), Label::Ssn, "nino"),
        Form::Udi => when(true, Label::Device, "udi"),
        Form::Geocode => when(true, Label::Location, "geocode"),
        Form::Postcode => when(
            token.kind == Kind::Mixed && written.contains(' ') || is(Label::Zip),
            Label::Zip,
            "postcode",
        ),
        Form::ZipPlus => match announced {
            Some((label, rule)) if label != Label::Zip => Verdict::Is(label, rule),
            _ => when(
                is(Label::Zip) || text.before(at).is_some_and(is_state),
                Label::Zip,
                "zip-plus-four",
            ),
        },
        // Dates are another file's.
        _ => date(text, at, form, end, written),
    }
}

fn is_nino(text: &Text<'_>, at: usize, written: &str) -> bool {
    !written.starts_with(|sign| "DFIQUV".contains(sign))
        && !written.get(1..2).is_some_and(|sign| "DFIOQUV".contains(sign))
        || text
            .cues_before(at)
            .take(3)
            .any(|(_, word)| matches!(text.str(word), "NI" | "ni" | "National" | "national"))
}

/// Groups of digits: a telephone with a cue, or with the zero of a trunk call.
fn groups(
    text: &Text<'_>,
    at: usize,
    written: &str,
    digits: &[u8],
    announced: Option<(Label, &'static str)>,
) -> Verdict {
    let length = digits.len();
    let parts = written.split([' ', '-', '.', '/', '(', ')']).filter(|part| !part.is_empty());
    let parts = parts.count();
    let phone = announced.is_some_and(|(label, _)| label == Label::Phone);
    if phone && (7..=15).contains(&length) {
        return Verdict::Is(Label::Phone, "phone-cue");
    }
    let grouped = parts >= 3 || parts == 2 && written.contains([' ', '/', '(']);
    if let Some((label, rule)) = announced
        .filter(|(label, _)| grouped && length >= 6 && !matches!(label, Label::Phone | Label::Zip))
    {
        return Verdict::Is(label, rule);
    }
    // `312-5550191`: the area, and the rest in one piece.
    let area = written.len() == 11 && written.as_bytes().get(3) == Some(&b'-');
    if area && checks::nanp(digits) && announced.is_none() {
        return Verdict::Is(Label::Phone, "phone");
    }
    let trunk = digits.first() == Some(&0) && grouped && (9..=12).contains(&length);
    if trunk && announced.is_none() && !text.has_before(at, Cues::QUANTITY, 3) {
        return Verdict::Is(Label::Phone, "phone-trunk");
    }
    Verdict::Unknown
}

fn ipv4(text: &Text<'_>, at: usize, written: &str, end: usize) -> Verdict {
    let address = written.split(['/', ':']).next().unwrap_or("");
    let fits = address.split('.').all(|part| part.parse::<u16>().is_ok_and(|part| part <= 255));
    let goes_on = text.byte(end) == Some(b'.')
        && text.byte(end + 1).is_some_and(|byte| byte.is_ascii_digit());
    let version = text.has_before(at, Cues::QUANTITY, 1);
    let network = written.contains('/') && address.ends_with(".0");
    let own = address.starts_with("127.") || address == "0.0.0.0" || network;
    if fits && !goes_on && !version && !own {
        return Verdict::Is(Label::Ip, "ipv4");
    }
    Verdict::IsNothing
}

/// Two letters that are a state, or its whole name.
#[must_use]
pub fn is_state(token: &Token) -> bool {
    token.cues.has(Cues::STATE) && token.case == Case::Upper && token.len() == 2
}

/// The longest code that is read, in tokens.
const CODE_TOKENS_MAX: usize = 9;

/// Where a code ends that begins at a token: pieces of letters and digits that hang together by
/// `-`, `.`, `/` or `_`. Whether it has digits, and how many.
#[must_use]
pub fn code_end(text: &Text<'_>, at: usize) -> (usize, usize) {
    let Some(first) = text.get(at) else { return (0, 0) };
    let count = |token: &Token| text.str(token).bytes().filter(u8::is_ascii_digit).count();
    let (mut end, mut digits) = (first.end, count(first));
    let mut next = at + 1;
    for _ in 0..CODE_TOKENS_MAX {
        let (Some(sign), Some(piece)) = (text.get(next), text.get(next + 1)) else { break };
        let hangs = sign.start == end
            && piece.start == sign.end
            && matches!(sign.kind, Kind::Sign(b'-' | b'.' | b'/' | b'_'))
            && piece.is_alphanumeric()
            && (piece.has_digits() || piece.len() <= 4 && piece.case == Case::Upper);
        if !hangs {
            break;
        }
        end = piece.end;
        digits += count(piece);
        next += 2;
    }
    (end, digits)
}

/// `BHC-0261789`: the letters before a number belong to its code.
fn code_begin(text: &Text<'_>, at: usize) -> usize {
    let hangs = text.get(at).is_some_and(|token| token.gap == Gap::None)
        && text.before(at).is_some_and(|sign| sign.is_sign(b'-') && sign.gap == Gap::None);
    let letters = at.checked_sub(2).and_then(|place| text.get(place));
    let belongs = letters.is_some_and(|letters| {
        letters.kind == Kind::Word && letters.case != Case::Lower && letters.len() <= 5
    });
    if hangs && belongs { at - 2 } else { at }
}

/// A code that a word before it announces.
fn code(text: &Text<'_>, at: usize) -> Option<Finding> {
    let at = code_begin(text, at);
    let token = text.get(at)?;
    let (end, digits) = code_end(text, at);
    if let Some(finding) = prefixed(text, at, end, digits) {
        return Some(finding);
    }
    if !token.has_digits() && digits == 0 {
        return None;
    }
    let written = text.text.get(token.start..end)?;
    if token.kind == Kind::Mixed && is_digest(written) {
        return None;
    }
    let mut points = 0;
    let decimal = written.bytes().all(|byte| {
        points += u32::from(byte == b'.');
        byte.is_ascii_digit() || byte == b'.' && points == 1
    }) && points == 1;
    if decimal || text.byte(end) == Some(b'%') {
        return None;
    }
    let special = || ages::age_with_sex(text, at, end);
    if let Some(finding) = series::short(text, at).or_else(special) {
        return Some(finding);
    }
    let (label, rule) = match text.announced(at) {
        Some(found) => found,
        None => match label_above(text, at).or_else(|| series::of_thing(text, at)) {
            Some(found) => found,
            None => return bare(text, at, end, written),
        },
    };
    // A visa is a card or a permission to enter a country; no card begins with a letter.
    let letter = written.starts_with(|sign: char| sign.is_ascii_alphabetic());
    let visa = label == Label::Account
        && letter
        && text.cues_before(at).any(|(_, word)| text.str(word).eq_ignore_ascii_case("visa"));
    let label = if visa { Label::License } else { label };
    let badge = label == Label::Id && digits >= BADGE_DIGITS_MIN && is_badge(text, at);
    let enough = match label {
        Label::Zip => digits >= 5,
        Label::Phone => digits == 10 || digits == 11 || digits == 7 && written.len() > 7,
        Label::Ssn => (9..=15).contains(&digits) || digits == 4,
        Label::Account => digits >= 4 && (written.len() >= 5 || text.has_ending(at)),
        Label::Mrn => digits >= 4,
        Label::Vehicle => digits <= 8 && written.len() <= 10 || written.len() == 17,
        Label::Id => digits >= 4 && written.len() >= 5,
        _ => digits >= 4 && written.len() >= 5,
    };
    if !enough && !badge {
        return None;
    }
    let (start, end) =
        if label == Label::Vehicle { plate(text, at, end) } else { (token.start, end) };
    let start = if label == Label::Device { lettered_start(text, at, start) } else { start };
    Some(Finding::new(start, end, label, rule))
}

/// Badges and groups have few digits.
const BADGE_DIGITS_MIN: usize = 3;

/// `badge 4471`.
fn is_badge(text: &Text<'_>, at: usize) -> bool {
    let word = text.cues_before(at).find(|(_, word)| !word.cues.has(Cues::NUMBER));
    word.is_some_and(|(_, word)| {
        ["badge", "employee", "subject"]
            .iter()
            .any(|badge| text.str(word).eq_ignore_ascii_case(badge))
    })
}

/// The line before this one is a label and nothing else (`MRN`, `Medical Record Number`).
fn label_above(text: &Text<'_>, at: usize) -> Option<(Label, &'static str)> {
    text.get(at).filter(|token| token.gap == Gap::Line)?;
    let above = text.before(at)?;
    if above.kind != Kind::Word && !above.is_sign(b'#') {
        return None;
    }
    let before = text.text.get(..above.end)?;
    let start = memrchr(b'\n', before.as_bytes()).map_or(0, |end| end + 1);
    let label = before.get(start..)?;
    match key::field(label.trim_matches(['#', ':', '*', ' ', '\r']))? {
        Field::Number(label) => Some((label, "label-above")),
        _ => None,
    }
}

/// `Social: 123456789`, `soc sec 123456789`: words that say it of nine digits alone.
fn is_social(text: &Text<'_>, at: usize) -> bool {
    let mut words = text.cues_before(at).take(2).map(|(_, word)| text.str(word));
    words.any(|word| ["social", "soc"].iter().any(|social| social.eq_ignore_ascii_case(word)))
        || text.spelled_before(at).is_some_and(|cues| cues.has(Cues::SSN))
}

/// `group 0081234`: the number of a policy's group.
fn is_group(text: &Text<'_>, at: usize) -> bool {
    text.cues_before(at).next().is_some_and(|(distance, word)| {
        distance == 0
            && ["group", "grp"].iter().any(|group| group.eq_ignore_ascii_case(text.str(word)))
    })
}

/// A number that no word announces: an account by its check digit, a telephone by its plan.
fn bare(text: &Text<'_>, at: usize, end: usize, written: &str) -> Option<Finding> {
    let token = text.get(at)?;
    let (from, to) = plate(text, at, end);
    let plate = text.text.get(from..to).unwrap_or("");
    let lettered = plate.bytes().any(|byte| byte.is_ascii_uppercase());
    if text.is_about_car(at) && lettered && (5..=9).contains(&plate.len()) {
        return Some(Finding::new(from, to, Label::Vehicle, "plate"));
    }
    if is_numbered(text, at) && end - token.start >= 5 {
        return Some(Finding::new(token.start, end, Label::Id, "number-sign"));
    }
    if end - token.start >= 5 && !written.contains('.') && is_group(text, at) {
        return Some(Finding::new(token.start, end, Label::HealthPlanId, "group-number"));
    }
    if token.kind != Kind::Number || end != token.end {
        return None;
    }
    let digits = checks::digits(written);
    let hangs = token.gap == Gap::None
        && matches!(text.byte_before(token.start), Some(b'-' | b'.' | b'/' | b'_' | b'=' | b':'));
    let found = |label, rule| Some(Finding::new(token.start, end, label, rule));
    match digits.len() {
        9 if is_social(text, at) => found(Label::Ssn, "ssn-cue"),
        13..=19 if checks::luhn(&digits) && !hangs => found(Label::Account, "card"),
        10 if checks::nanp(&digits)
            && !hangs
            && !series::is_limit(written)
            && !text.has_before(at, Cues::QUANTITY, 2) =>
        {
            found(Label::Phone, "phone-bare")
        }
        _ => None,
    }
}

/// `PCR# 8336067`: the sign hangs on the name of a number.
fn is_numbered(text: &Text<'_>, at: usize) -> bool {
    text.before(at).is_some_and(|sign| sign.is_sign(b'#') && sign.gap == Gap::None)
        && at
            .checked_sub(2)
            .and_then(|name| text.get(name))
            .is_some_and(|name| name.case == Case::Upper && !name.cues.has(Cues::QUANTITY))
}

/// `KJX 9306`, `KJX-9306`, `7TR 8482`, `030 GZW`: both halves of a plate.
fn plate(text: &Text<'_>, at: usize, end: usize) -> (usize, usize) {
    let half = |token: &Token| {
        (2..=4).contains(&token.len()) && (token.case == Case::Upper || token.has_digits())
    };
    let Some(token) = text.get(at) else { return (0, end) };
    let hangs = text.before(at).is_some_and(|sign| sign.is_sign(b'-') && sign.gap == Gap::None);
    let before = at.checked_sub(if hangs { 2 } else { 1 }).and_then(|place| text.get(place));
    let start = match before {
        Some(letters) if letters.case == Case::Upper && half(letters) => letters.start,
        _ => token.start,
    };
    let behind = text.get(text.place_from(at, end));
    match behind {
        Some(other)
            if start == token.start
                && other.gap == Gap::Space
                && half(other)
                && token.len() <= 4 =>
        {
            (start, other.end)
        }
        _ => (start, end),
    }
}

/// `SN RTM563699S`: the letters before a serial number belong to it.
fn lettered_start(text: &Text<'_>, at: usize, start: usize) -> usize {
    match text.before(at) {
        Some(letters) if letters.cues.has(Cues::DEVICE) && letters.case == Case::Upper => {
            letters.start
        }
        _ => start,
    }
}

/// `PT407227`, `pat-031475`, and what follows `/patients/`.
fn prefixed(text: &Text<'_>, at: usize, end: usize, digits: usize) -> Option<Finding> {
    const PREFIXES: [&str; 12] = [
        "pt", "pat", "patient", "subj", "subject", "mrn", "mem", "mbr", "enc", "person", "ptid",
        "pid",
    ];
    let token = text.get(at)?;
    let path = at.checked_sub(2).and_then(|noun| text.get(noun)).is_some_and(|noun| {
        noun.cues.has(Cues::PERSON.or(Cues::MRN).or(Cues::CODE))
            && text.byte_before(token.start) == Some(b'/')
            && noun.end + 1 == token.start
    });
    if path && digits >= 2 {
        return Some(Finding::new(token.start, end, Label::Id, "path-of-person"));
    }
    if !matches!(token.kind, Kind::Mixed) || digits < 4 {
        return None;
    }
    let letters = text.str(token).bytes().take_while(u8::is_ascii_alphabetic).count();
    let prefix = text.str(token).get(..letters)?.to_ascii_lowercase();
    let joined = token.end == end && letters + digits == token.len();
    let label = match (prefix.as_str(), digits) {
        ("ssn", 9) => Some(Label::Ssn),
        ("dob", 6 | 8) => Some(Label::Date),
        ("tel" | "phone" | "fax" | "cell" | "ph", 10 | 11) => Some(Label::Phone),
        _ => None,
    };
    if let Some(label) = label.filter(|_| joined) {
        return Some(Finding::new(token.start + letters, end, label, "joined-cue"));
    }
    PREFIXES
        .contains(&prefix.as_str())
        .then(|| Finding::new(token.start, end, Label::Id, "person-prefix"))
}

/// A code of the form `pat-031475`, whose first piece is a word.
#[must_use]
pub fn prefixed_word(text: &Text<'_>, at: usize) -> Option<Finding> {
    let token = text.get(at)?;
    let in_path = text.byte_before(token.start) == Some(b'/');
    let hangs = matches!(text.byte(token.end), Some(b'-' | b'_' | b'.' | b'/')) || in_path;
    if token.kind != Kind::Word || !hangs {
        return None;
    }
    if let Some(file) = in_path.then(|| file_of_person(text, at)).flatten() {
        return Some(file);
    }
    let (end, digits) = code_end(text, at);
    if let Some(finding) = prefixed(text, at, end, digits) {
        return Some(finding);
    }
    let person = token.cues.has(Cues::PERSON.or(Cues::MRN));
    let sign = text.get(at + 1)?;
    let number = text.get(at + 2)?;
    let hangs = matches!(sign.kind, Kind::Sign(b'-' | b'_'))
        && sign.start == token.end
        && number.start == sign.end
        && number.has_digits();
    if !person || !hangs {
        return None;
    }
    let (end, digits) = code_end(text, at + 2);
    (digits >= 3).then(|| Finding::new(token.start, end, Label::Id, "person-prefix"))
}

/// `/patients/hope_grace_1234567.pdf`: what is named in the folder of a person, but for its ending,
/// where two names or a long number are in it.
fn file_of_person(text: &Text<'_>, at: usize) -> Option<Finding> {
    const FILE_BYTES_MAX: usize = 128;
    let folder = text.get(at.checked_sub(2)?)?;
    if !folder.cues.has(Cues::PERSON.or(Cues::MRN)) || text.get(at)?.gap != Gap::None {
        return None;
    }
    let start = text.get(at)?.start;
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let rest = text.text.as_bytes().get(start..)?;
    let length = rest.iter().take(FILE_BYTES_MAX).take_while(|byte| inside(byte)).count();
    let name = text.text.get(start..start + length)?;
    let stem = name.rfind('.').unwrap_or(name.len());
    let end = start + stem;
    let words = text.tokens.get(at..)?.iter().take_while(|token| token.end <= end);
    let (mut names, mut number) = (0, false);
    for word in words {
        names += usize::from(word.flags.is_name());
        number |= word.has_digits() && word.len() >= 5;
    }
    let first = text.tokens.get(at..)?.iter().take(3).any(|word| word.flags.is_first());
    (number || names >= 2 && first).then(|| Finding::new(start, end, Label::Id, "file-of-person"))
}

/// A digest or another hexadecimal of a machine.
fn is_digest(written: &str) -> bool {
    written.len() >= 12
        && written.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
}
