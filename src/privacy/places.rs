//! Streets, post boxes, towns and postal codes.

use super::cue::Cues;
use super::finding::Finding;
use super::label::Label;
use super::numbers::is_state;
use super::text::Text;
use super::token::{Case, Gap, Kind, Token};

/// How many words a street's name has.
const STREET_WORDS_MAX: usize = 6;

/// How many words a town's name has.
const TOWN_WORDS_MAX: usize = 4;

/// The address that begins at a token, with the town and the postal code behind it.
pub fn find(text: &Text<'_>, at: usize, found: &mut Vec<Finding>) -> Option<usize> {
    let token = text.get(at)?;
    let end = match token.kind {
        Kind::Number | Kind::Mixed => numbered_street(text, at)
            .or_else(|| street_in_small_letters(text, at))
            .or_else(|| street_without_end(text, at))?,
        Kind::Word if token.cues.has(Cues::COUNT) => street_in_words(text, at)?,
        Kind::Word => post_box(text, at).or_else(|| street_abroad(text, at))?,
        Kind::Sign(_) => return None,
    };
    let last = end - 1;
    let end = unit(text, end);
    let finish = text.get(end - 1).or(text.get(last))?.end;
    found.push(Finding::new(token.start, finish, Label::Address, "street"));
    Some(town_behind(text, end, found))
}

/// `123 N Main St`: the place behind the street's last word.
fn numbered_street(text: &Text<'_>, at: usize) -> Option<usize> {
    let number = text.get(at)?;
    let digits = text.str(number).bytes().filter(u8::is_ascii_digit).count();
    if !(1..=6).contains(&digits) || number.len() > digits + 1 {
        return None;
    }
    if let Some(end) = text
        .get(at + 1)
        .filter(|word| word.gap == Gap::Space)
        .and_then(|_| named_street(text, at + 1))
    {
        return Some(end);
    }
    if text.byte(number.end) == Some(b'.') || !text.has(Cues::STREET) {
        return None;
    }
    let mut place = at + 1;
    if text.get(place).is_some_and(|sign| sign.is_sign(b'-')) && text.get(place + 1)?.has_digits() {
        place += 2;
    }
    let mut words = 0;
    while words < STREET_WORDS_MAX {
        let word = text.get(place)?;
        if word.gap == Gap::Line || word.gap == Gap::Wide {
            return None;
        }
        if word.kind == Kind::Word
            && word.cues.has(Cues::STREET)
            && word.case != Case::Lower
            && (words > 0 || word.hash == super::lexicon::hash(b"broadway"))
            && !continues_street(text, place)
        {
            let dot = text
                .get(place + 1)
                .is_some_and(|sign| sign.is_sign(b'.') && sign.gap == Gap::None && word.len() <= 5);
            let behind = direction(text, place + 1 + usize::from(dot));
            return Some(route_number(text, place, behind));
        }
        // `#13 PARL. Dr Montemayor` is a tooth and a dentist.
        let titled = text.get(place + 1).is_some_and(|next| next.cues.has(Cues::TITLE));
        let part = word.is_capital()
            || word.case == Case::Initial
            || is_ordinal(text, word)
            || word.kind == Kind::Number
            || word.is_sign(b'.') && word.gap == Gap::None && !titled
            || word.is_sign(b'\'') && word.gap == Gap::None
            || word.is_sign(b'-') && word.gap == Gap::None
            || word.cues.has(Cues::PARTICLE) && words > 0;
        if !part || word.cues.has(Cues::QUANTITY) {
            return None;
        }
        words += usize::from(word.is_alphanumeric());
        place += 1;
    }
    None
}

/// Ends of streets that are nothing else when they end a name.
const ENDS: [&str; 16] = [
    "street",
    "st",
    "avenue",
    "ave",
    "road",
    "rd",
    "boulevard",
    "blvd",
    "lane",
    "ln",
    "drive",
    "dr",
    "court",
    "ct",
    "terrace",
    "parkway",
];

fn is_end(text: &Text<'_>, place: usize) -> bool {
    text.get(place).is_some_and(|word| {
        word.cues.has(Cues::STREET)
            && word.gap == Gap::Space
            && ENDS.iter().any(|end| end.eq_ignore_ascii_case(text.str(word)))
    })
}

/// `123 main street`: in small letters anything may be meant, so the end must be one of few and the
/// phrase must end with it; the short ends need a word of living before them, too.
fn street_in_small_letters(text: &Text<'_>, at: usize) -> Option<usize> {
    const WORDS_MAX: usize = 3;
    let number = text.get(at).filter(|number| number.kind == Kind::Number && number.len() <= 5)?;
    // Most numbers are no house: one look at the next word says so.
    let next = text.get(at + 1).filter(|next| next.gap == Gap::Space)?;
    if next.case != Case::Lower && next.len() > 1 && !next.has_digits() {
        return None;
    }
    let end = (at + 2..=at + 1 + WORDS_MAX).find(|place| is_end(text, *place))?;
    let thing = ["way", "lane", "side", "wheel", "car", "through", "cross"];
    let name = (at + 1..end).all(|place| {
        text.get(place).is_some_and(|word| {
            let letter = word.case == Case::Initial || word.len() == 1;
            (word.case == Case::Lower || is_ordinal(text, word) || letter || word.is_sign(b'.'))
                && !word.cues.has(Cues::QUANTITY.or(Cues::STOP).or(Cues::AGE))
                && !thing.contains(&text.str(word))
        })
    });
    let led = text.has_before(at, Cues::LIVES.or(Cues::ADDRESS), 3)
        || text.before(at).is_some_and(|word| text.str(word) == "at");
    let whole = matches!(
        text.get(end).map(|word| text.str(word)),
        Some("street" | "avenue" | "ave" | "boulevard" | "blvd" | "road" | "rd")
    );
    let follows = text.get(end + 1).is_none_or(|next| {
        next.gap == Gap::Line
            || !next.is_alphanumeric()
            || next.cues.has(Cues::UNIT)
            || matches!(text.str(next), "in" | "and" | "near" | "with" | "since" | "n" | "s")
    });
    (number.case == Case::Other && name && (led || whole) && follows).then_some(end + 1)
}

/// `lives at 9 Elm`, `address 9 Elm`: without its last word, behind a word of living and up to a
/// sign.
fn street_without_end(text: &Text<'_>, at: usize) -> Option<usize> {
    const WORDS_MAX: usize = 3;
    let number = text.get(at).filter(|it| it.kind == Kind::Number && it.len() <= 5)?;
    let lives = text.before(at).is_some_and(|word| text.str(word) == "at")
        && at.checked_sub(2).and_then(|it| text.get(it)).is_some_and(|it| it.cues.has(Cues::LIVES));
    if number.gap == Gap::Line || !lives && !text.has_before(at, Cues::ADDRESS, 2) {
        return None;
    }
    let name = |word: &Token| {
        word.case == Case::Title
            && word.gap == Gap::Space
            && !word.cues.has(Cues::QUANTITY.or(Cues::MONTH))
    };
    let words = (at + 1..at + 1 + WORDS_MAX).take_while(|it| text.get(*it).is_some_and(name));
    let end = at + 1 + words.count();
    let ends = text.get(end).is_none_or(|it| it.gap == Gap::Line || !it.is_alphanumeric());
    (end > at + 1 && ends).then_some(end)
}

/// `One Main Street`, `Twenty-Two Elm Ave`: the number in words.
fn street_in_words(text: &Text<'_>, at: usize) -> Option<usize> {
    const WORDS_MAX: usize = 3;
    let counts = |place: usize| text.get(place).is_some_and(|word| word.cues.has(Cues::COUNT));
    let joined = text.get(at + 1).is_some_and(|sign| sign.is_sign(b'-')) && counts(at + 2);
    let begin = at + if joined { 3 } else { 1 };
    let end = (begin + 1..=begin + WORDS_MAX).find(|place| is_end(text, *place))?;
    let name = (begin..=end).all(|place| {
        text.get(place).is_some_and(|word| word.is_capital() && word.gap == Gap::Space)
    });
    let way = text.get(begin).is_some_and(|word| text.str(word).eq_ignore_ascii_case("way"));
    (name && !way).then(|| direction(text, end + 1))
}

/// The next word is the end of the street's name, too: `Park Avenue`, `Lake View Dr`.
fn continues_street(text: &Text<'_>, place: usize) -> bool {
    text.get(place + 1).is_some_and(|next| {
        next.kind == Kind::Word
            && next.gap == Gap::Space
            && next.case != Case::Lower
            && next.cues.has(Cues::STREET)
    })
}

/// `Oak Hwy 7`: the number of a road.
fn route_number(text: &Text<'_>, suffix: usize, behind: usize) -> usize {
    let road = text.get(suffix).is_some_and(|word| {
        matches!(
            text.str(word).to_ascii_lowercase().as_str(),
            "hwy" | "highway" | "route" | "rte" | "rd" | "road"
        )
    });
    let number = text.get(behind).is_some_and(|number| {
        number.kind == Kind::Number && number.len() <= 4 && number.gap == Gap::Space
    });
    behind + usize::from(road && number)
}

/// `St SW`: a direction behind a street.
fn direction(text: &Text<'_>, place: usize) -> usize {
    let is = text.get(place).is_some_and(|word| {
        word.gap == Gap::Space
            && matches!(
                text.str(word),
                "N" | "S"
                    | "E"
                    | "W"
                    | "NE"
                    | "NW"
                    | "SE"
                    | "SW"
                    | "North"
                    | "South"
                    | "East"
                    | "West"
            )
    });
    place + usize::from(is)
}

/// `42nd`.
fn is_ordinal(text: &Text<'_>, word: &Token) -> bool {
    let written = text.str(word);
    let digits = written.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0
        && written.get(digits..).is_some_and(|tail| {
            ["st", "nd", "rd", "th"].iter().any(|end| tail.eq_ignore_ascii_case(end))
        })
}

/// `PO Box 12`, `PSC 1234, Box 5678`.
fn post_box(text: &Text<'_>, at: usize) -> Option<usize> {
    let word = |place: usize, written: &str| {
        text.get(place).is_some_and(|token| text.str(token).eq_ignore_ascii_case(written))
    };
    let sign = |place: usize, byte| text.get(place).is_some_and(|token| token.is_sign(byte));
    let number = |place: usize| text.get(place).is_some_and(Token::has_digits);
    let first = text.byte(text.get(at)?.start)?;
    if !matches!(first.to_ascii_lowercase(), b'p' | b'u' | b'c' | b'r' | b's' | b'h') {
        return None;
    }
    if (word(at, "psc") || word(at, "unit") || word(at, "cmr")) && number(at + 1) {
        let place = at + 2 + usize::from(sign(at + 2, b','));
        return (word(place, "box") && number(place + 1)).then_some(place + 2);
    }
    // Routes of country mail: `RR 2 Box 14`, `Rural Route 2, Box 14`, `HC 63 Box 12`.
    let rural =
        usize::from(word(at, "rural") || word(at, "star")) * usize::from(word(at + 1, "route"));
    if (rural == 1 || word(at, "rr") || word(at, "hc") || word(at, "rfd")) && number(at + 1 + rural)
    {
        let place = at + 2 + rural;
        let place = place + usize::from(sign(place, b','));
        return (word(place, "box") && number(place + 1)).then_some(place + 2);
    }
    if !first.eq_ignore_ascii_case(&b'p') {
        return None;
    }
    let mut place = at;
    if word(place, "p") && sign(place + 1, b'.') && word(place + 2, "o") {
        place += 3 + usize::from(sign(place + 3, b'.'));
    } else if word(place, "po") {
        place += 1;
    } else if word(place, "post") && word(place + 1, "office") {
        place += 2;
    } else {
        return (word(at, "postbox") || word(at, "postfach"))
            .then_some(at + 1)
            .and_then(|place| number(place).then_some(place + 1));
    }
    (word(place, "box") && number(place + 1)).then_some(place + 2)
}

/// `rue des Tilleuls` and `avenue Victor Hugo` behind their number.
fn named_street(text: &Text<'_>, at: usize) -> Option<usize> {
    let first = text.get(at)?;
    if !is_begin(text.str(first)) {
        return None;
    }
    let mut place = at + 1;
    let mut named = false;
    while let Some(word) = text.get(place) {
        let part = word.is_capital() && word.gap <= Gap::Space
            || matches!(
                text.str(word),
                "des" | "de" | "du" | "la" | "le" | "les" | "d" | "l" | "di" | "da"
            )
            || matches!(word.kind, Kind::Sign(b'\'' | b'-')) && word.gap == Gap::None;
        if !part || place > at + STREET_WORDS_MAX {
            break;
        }
        named |= word.is_capital();
        place += 1;
    }
    named.then_some(place)
}

fn is_begin(word: &str) -> bool {
    BEGINS.iter().any(|begin| begin.eq_ignore_ascii_case(word))
}

/// What street names begin with in other languages.
const BEGINS: [&str; 18] = [
    "via",
    "viale",
    "piazza",
    "corso",
    "rue",
    "boulevard",
    "avenue",
    "calle",
    "avenida",
    "plaza",
    "rua",
    "chemin",
    "allée",
    "quai",
    "paseo",
    "carrera",
    "ulica",
    "impasse",
];

/// `Hauptstrasse 12`, `Via Roma 131`, `rue de la Paix 3`.
fn street_abroad(text: &Text<'_>, at: usize) -> Option<usize> {
    const ENDS: [&str; 12] = [
        "strasse", "straße", "str", "gasse", "weg", "platz", "allee", "straat", "laan", "gatan",
        "vej", "gata",
    ];
    let word = text.get(at)?;
    let written = text.str(word);
    let number = |place: usize| text.get(place).is_some_and(Token::has_digits);
    if written.len() > 5
        && word.case == Case::Title
        && ENDS.iter().any(|end| written.ends_with(end))
    {
        let place = at + 1 + usize::from(text.get(at + 1).is_some_and(|sign| sign.is_sign(b'.')));
        return number(place).then_some(place + 1);
    }
    if !is_begin(written) {
        return None;
    }
    let begins = text.before(at).is_some_and(|before| before.has_digits() || before.is_sign(b','));
    for (words, place) in (at + 1..).take(STREET_WORDS_MAX).enumerate() {
        let word = text.get(place)?;
        if words > 0 && (word.has_digits() || begins && !word.is_capital()) {
            return Some(if word.has_digits() { place + 1 } else { place });
        }
        let part = word.is_capital()
            || word.cues.has(Cues::PARTICLE)
            || word.is_sign(b'\'')
            || matches!(text.str(word), "des" | "de" | "di" | "da" | "l" | "d" | "du");
        if !part || word.gap == Gap::Line {
            return None;
        }
    }
    None
}

/// `, Apt 4B` and `Suite 100` behind a street.
fn unit(text: &Text<'_>, end: usize) -> usize {
    let place = end + usize::from(text.get(end).is_some_and(|sign| sign.is_sign(b',')));
    let Some(word) = text.get(place) else { return end };
    let number = |place: usize| {
        text.get(place)
            .is_some_and(|token| token.has_digits() || matches!(token.case, Case::Initial))
    };
    let skip = |place: usize| {
        let sign = text.get(place).is_some_and(|sign| sign.is_sign(b'.') || sign.is_sign(b'#'));
        place + usize::from(sign)
    };
    if word.is_sign(b'#') && number(place + 1) {
        return place + 2;
    }
    let named = word.cues.has(Cues::UNIT) && word.case != Case::Lower || text.str(word) == "apt";
    let place = skip(place + 1);
    if named && number(place) {
        let hangs =
            text.get(place + 1).is_some_and(|sign| sign.is_sign(b'-') && sign.gap == Gap::None);
        return if hangs && number(place + 2) {
            unit(text, place + 3)
        } else {
            unit(text, place + 1)
        };
    }
    end
}

/// `, Oak Park, MN 55021`: the town and the code behind an address. Returns the place behind.
fn town_behind(text: &Text<'_>, end: usize, found: &mut Vec<Finding>) -> usize {
    let comma = text.get(end).is_some_and(|sign| sign.is_sign(b','));
    let start = end + usize::from(comma);
    let Some(first) = text.get(start) else { return end };
    let led = comma || first.gap == Gap::Line;
    let place = words(text, start);
    if let Some(behind) = led.then(|| zip_and_town(text, start, found)).flatten() {
        return behind;
    }
    let stop = place == start + 1 && first.cues.has(Cues::STOP);
    if !led || place == start || stop || first.cues.has(Cues::PHONE.or(Cues::TITLE)) {
        return end;
    }
    let behind = state_and_zip(text, place, found);
    let plain_end = comma && first.gap != Gap::Line;
    if behind == place && !plain_end {
        return end;
    }
    found.extend(text.finding(start, place, Label::Location, "town-behind-street"));
    behind
}

/// `47700 Besançon`: the code before the town, behind a street.
fn zip_and_town(text: &Text<'_>, start: usize, found: &mut Vec<Finding>) -> Option<usize> {
    let token = text.get(start)?;
    if token.kind != Kind::Number || !(4..=6).contains(&token.len()) {
        return None;
    }
    let end = words(text, start + 1);
    if end == start + 1 || text.get(start + 1)?.gap != Gap::Space {
        return None;
    }
    found.push(Finding::new(token.start, token.end, Label::Zip, "zip-before-town"));
    found.extend(text.finding(start + 1, end, Label::Location, "town-behind-street"));
    Some(end)
}

/// Capitalised words that may be a town's name, from a place on. The place behind.
fn words(text: &Text<'_>, start: usize) -> usize {
    let mut place = start;
    while place < start + TOWN_WORDS_MAX {
        let Some(word) = text.get(place) else { break };
        let gap = if place == start { Gap::Line } else { Gap::Space };
        let inner = place > start
            && (word.is_sign(b'.') || word.is_sign(b'\'') || word.is_sign(b'-'))
            && word.gap == Gap::None
            && text.get(place + 1).is_some_and(Token::is_capital)
            && (!word.is_sign(b'.') || text.get(place - 1).is_some_and(|before| before.len() <= 3));
        let part = word.is_capital() && word.gap <= gap && !(is_state(word) && place > start);
        let part = part
            || word.kind == Kind::Word
                && word.case == Case::Other
                && text.str(word).starts_with("d'");
        let particle = place > start
            && word.gap == Gap::Space
            && matches!(
                text.str(word),
                "du" | "de" | "la" | "of" | "am" | "an" | "der" | "le" | "upon"
            )
            && text.get(place + 1).is_some_and(|next| next.is_capital() && next.gap == Gap::Space);
        if !part && !inner && !particle {
            break;
        }
        place += 1;
    }
    place
}

/// `, MN 55021` from a place on; finds the code. The place behind, or the same place.
fn state_and_zip(text: &Text<'_>, place: usize, found: &mut Vec<Finding>) -> usize {
    let after = place + usize::from(text.get(place).is_some_and(|sign| sign.is_sign(b',')));
    let Some(state) = text.get(after) else { return place };
    if let Some(behind) = zip(text, after, found) {
        return behind;
    }
    let is = is_state(state) || state.cues.has(Cues::PROPER) && state.is_capital();
    if !is || state.gap == Gap::Line {
        return place;
    }
    let comma = usize::from(text.get(after + 1).is_some_and(|sign| sign.is_sign(b',')));
    zip(text, after + 1 + comma, found).or_else(|| zip(text, after + 1, found)).unwrap_or(after + 1)
}

/// Five digits, with four more or without.
fn zip(text: &Text<'_>, place: usize, found: &mut Vec<Finding>) -> Option<usize> {
    let token = text.get(place)?;
    if token.kind != Kind::Number || token.len() != 5 || token.gap == Gap::Line {
        return None;
    }
    let plus = text.get(place + 1).is_some_and(|sign| sign.is_sign(b'-') && sign.gap == Gap::None)
        && text.get(place + 2).is_some_and(|more| more.kind == Kind::Number && more.len() == 4);
    let behind = place + if plus { 3 } else { 1 };
    let end = text.get(behind - 1)?.end;
    found.push(Finding::new(token.start, end, Label::Zip, "zip"));
    Some(behind)
}

/// A town with its state: `Worcester, VT`, `St. Paul, Minnesota 55101`. The place behind.
pub fn town_and_state(text: &Text<'_>, at: usize, found: &mut Vec<Finding>) -> Option<usize> {
    if !text.has(Cues::STATE.or(Cues::PROPER)) {
        return None;
    }
    let first = text.get(at)?;
    let inside =
        text.before(at).is_some_and(|before| before.is_capital() && first.gap == Gap::Space);
    if !first.is_capital() || inside && !first.cues.is_none() {
        return None;
    }
    let place = words(text, at);
    if place == at {
        return None;
    }
    let comma = text.get(place).is_some_and(|sign| sign.is_sign(b','));
    let state = text.get(place + usize::from(comma))?;
    let abbreviated = is_state(state) && state.gap != Gap::Line;
    let whole = comma && state.cues.has(Cues::PROPER) && state.is_capital();
    let behind = place + usize::from(comma) + 1;
    let coded = text
        .get(behind)
        .is_some_and(|zip| zip.kind == Kind::Number && zip.len() == 5 && zip.gap == Gap::Space);
    // `Smith, MD` is a doctor, and so is `Jones, PA` more often than not.
    let credential = state.cues.has(Cues::CREDENTIAL) && !coded;
    let strong = abbreviated && (comma || coded) && !credential || whole;
    if !strong {
        return None;
    }
    let start = skip_leading(text, at, place);
    if start == place {
        return None;
    }
    found.extend(text.finding(start, place, Label::Location, "town-and-state"));
    Some(state_and_zip(text, place, found))
}

/// Words such as `From` and `In` before a town's name are not of it.
fn skip_leading(text: &Text<'_>, at: usize, end: usize) -> usize {
    let stop = Cues::STOP.or(Cues::ADDRESS).or(Cues::LIVES).or(Cues::DATE);
    (at..end).find(|place| text.get(*place).is_some_and(|word| !word.cues.has(stop))).unwrap_or(end)
}

/// A place somebody is said to live in or come from: `lives in Nelsontown`.
pub fn lived_in(text: &Text<'_>, at: usize, found: &mut Vec<Finding>) -> Option<usize> {
    let preposition = text.before(at)?;
    let first = text.get(at)?;
    let leads =
        matches!(text.str(preposition), "in" | "from" | "to" | "at" | "near" | "of" | "outside");
    let lives = at.checked_sub(2).and_then(|verb| text.get(verb)).is_some_and(|verb| {
        verb.cues.has(Cues::LIVES)
            || matches!(text.str(verb), "widow" | "widower" | "up" | "home" | "back")
    });
    if !leads || !lives || !first.is_capital() || first.cues.has(Cues::PROPER.or(Cues::MONTH)) {
        return None;
    }
    let place = words(text, at);
    if text.get(place - 1).is_some_and(|last| last.cues.has(Cues::ORGANISATION)) {
        return None;
    }
    found.extend(text.finding(at, place, Label::Location, "lives-in"));
    Some(state_and_zip(text, place, found).max(place))
}

/// Five digits that follow a state: a postal code without its town.
pub fn zip_after_state(text: &Text<'_>, at: usize, found: &mut Vec<Finding>) -> Option<usize> {
    let state = text.before(at)?;
    let is = is_state(state) || state.cues.has(Cues::PROPER) && state.is_capital();
    // `lives in 55101`, `ZIP of residence 55101`.
    let lives = matches!(text.str(state), "in" | "at" | "near")
        && at.checked_sub(2).and_then(|it| text.get(it)).is_some_and(|it| it.cues.has(Cues::LIVES));
    let home = state.cues.has(Cues::LIVES.or(Cues::ADDRESS)) && text.has_before(at, Cues::ZIP, 4);
    if !(is || lives || home) || text.get(at).is_none_or(|token| token.gap != Gap::Space) {
        return None;
    }
    zip(text, at, found)
}
