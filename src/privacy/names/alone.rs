//! Names that stand alone or are written in another way: one word, a surname before the first
//! name, small letters, names of files. And what makes a name a thing: a disease, an instrument,
//! a company.

use super::super::cue::Cues;
use super::super::finding::Finding;
use super::super::label::Label;
use super::super::numbers::is_state;
use super::super::text::Text;
use super::super::token::{Case, Gap, Kind, Token};
use super::beside::cue_before;
use super::*;

/// One word that is a name and nothing else.
pub(super) fn singles(text: &Text<'_>, tokens: &[&Token], run: &mut Run) {
    for (place, token) in tokens.iter().enumerate() {
        let at = run.places[place];
        let frequent = token.flags.is_first() || token.flags.is_last();
        let alone = tokens.iter().filter(|token| token.is_capital()).count() <= 2;
        let shape = matches!(token.case, Case::Title | Case::Inner) && token.len() >= 3;
        let compound =
            text.byte(token.end) == Some(b'-') || text.byte_before(token.start) == Some(b'-');
        let thing = token.cues.has(Cues::DISCOVERER)
            || compound
            || eponym_behind(text, at)
            || organisation_behind(text, at);
        if is_pure(token) && frequent && alone && shape && !thing {
            run.marks[place] = Some("name-alone");
        }
    }
}

/// Words that are names if the document is about a person: rare names alone, and names that are
/// words within a sentence.
pub(super) fn doubtful(text: &Text<'_>, run: &Run, perhaps: &mut Vec<Finding>) {
    // What stands beside a name that was masked before was no doubt of then.
    if run.places.len() > 2
        || is_masked(text.before(run.places[0]), text)
        || is_masked(text.get(run.end), text)
    {
        return;
    }
    for at in &run.places {
        let Some(token) = text.get(*at) else { continue };
        let inside = !text.begins_line(*at)
            && text
                .before(*at)
                .is_some_and(|before| before.kind == Kind::Word || before.is_sign(b','));
        let plain = token.cues.is_none() || token.cues == Cues::DISCOVERER;
        let shape = matches!(token.case, Case::Title) && token.len() >= 3 && plain;
        let rare = is_pure(token);
        let word = token.flags.is_first() && inside;
        let compound =
            text.byte(token.end) == Some(b'-') || text.byte_before(token.start) == Some(b'-');
        let thing = compound || eponym_behind(text, *at) || organisation_behind(text, *at);
        if shape && (rare || word) && !thing {
            perhaps.push(Finding::new(token.start, token.end, Label::Name, "name-in-context"));
        }
    }
}

/// `ward_denis_ekg.pdf`: two names joined as files are named.
pub(super) fn in_file_name(text: &Text<'_>, at: usize) -> Option<usize> {
    let first = text.get(at)?;
    let sign = text.get(at + 1)?;
    let second = text.get(at + 2)?;
    let joined = matches!(sign.kind, Kind::Sign(b'_' | b'-' | b'.' | b'+'))
        && sign.gap == Gap::None
        && second.gap == Gap::None
        && second.kind == Kind::Word;
    // `jackson-core` is a package; `roe-jane-5.txt` is somebody's file.
    let goes_on = matches!(text.byte(second.end), Some(b'-' | b'_' | b'.'));
    let joined = joined && (!sign.is_sign(b'-') || goes_on);
    let one = first.flags.is_any_first() && second.flags.is_any_last();
    let other = first.flags.is_any_last() && second.flags.is_any_first();
    let words = first.flags.is_known() && second.flags.is_known();
    let frequent = first.flags.is_first() || second.flags.is_first();
    let shape = first.len() > 2 && second.len() > 2 && !is_stop(first) && !is_stop(second);
    (joined && (one || other) && !words && frequent && shape).then_some(at + 3)
}

/// `disease`, `'s sign` or a second discoverer behind a word.
pub(super) fn eponym_behind(text: &Text<'_>, at: usize) -> bool {
    if !text.has(Cues::EPONYM.or(Cues::DISCOVERER)) {
        return false;
    }
    let mut place = at + 1;
    let sign = |place: usize, byte| text.get(place).is_some_and(|token| token.is_sign(byte));
    let possessive = text.get(place).is_some_and(|token| matches!(text.str(token), "'" | "’"));
    if possessive {
        place += 2;
    } else if sign(place, b'-') || sign(place, b'/') {
        let discoverer = text.get(at).is_some_and(|token| token.cues.has(Cues::DISCOVERER));
        return text.get(place + 1).is_some_and(|token| {
            token.cues.has(Cues::EPONYM) || discoverer && token.cues.has(Cues::DISCOVERER)
        });
    }
    text.get(place).is_some_and(|token| {
        token.cues.has(Cues::EPONYM) && token.gap <= Gap::Space && token.case == Case::Lower
    })
}

pub(super) fn organisation_behind(text: &Text<'_>, at: usize) -> bool {
    text.tokens
        .get(at + 1..)
        .unwrap_or(&[])
        .iter()
        .take(3)
        .take_while(|token| token.is_capital() && token.gap <= Gap::Space || token.is_sign(b'&'))
        .any(|token| token.cues.has(Cues::ORGANISATION.or(Cues::STREET)) || token.is_sign(b'&'))
}

/// `Martinez, Tammy`, `HOWARD, HEATHER G`: the place behind the first name, where one follows.
pub(super) fn surname_first(text: &Text<'_>, run: &Run, taken: &[bool]) -> Option<usize> {
    let last = text.get(*run.places.last()?)?;
    let comma = text.get(run.end)?;
    let at = run.end + 1;
    let first = text.get(at)?;
    let free = !taken.get(at).copied().unwrap_or(false);
    let begins = first.is_capital() || first.case == Case::Initial && is_pure(last);
    if !comma.is_sign(b',') || comma.gap != Gap::None || !begins || !free || first.gap > Gap::Space
    {
        return None;
    }
    let surname = (last.flags.is_any_last() || is_strange(last) || last.flags.is_any_first())
        && !is_stop(last)
        && !last.cues.has(Cues::EPONYM);
    let given = first.case == Case::Initial
        || (!is_stop(first)
            || first.cues.has(Cues::MONTH.or(Cues::PROPER)) && first.flags.is_first())
            && (first.flags.is_name() || is_strange(first))
            && !is_state(first);
    let words = last.flags.is_known() && first.flags.is_known();
    let common = first.flags.is_first() && last.flags.is_last();
    let both_strange = is_strange(last) && is_strange(first);
    let upper_word = first.case == Case::Upper && first.flags.is_known() && !first.flags.is_first();
    // A list of three or more: `Cook, Hunter, Page and Hill` are surnames, and masked as such.
    if !surname || !given || words && !common || both_strange || upper_word {
        return None;
    }
    let mut end = at + 1;
    while let Some(token) = text.get(end) {
        let part = token.case == Case::Initial
            || token.is_capital() && may_be_name(token) && token.gap == Gap::Space;
        let point = token.is_sign(b'.') && is_initial(text, end - 1) && token.gap == Gap::None;
        if !(part && token.gap <= Gap::Space || point) || end > at + 3 {
            break;
        }
        end += 1;
    }
    Some(end)
}

/// `nurse ogden`, `pt smith denies`: a surname behind somebody's part; one that is a word, too,
/// needs a verb behind it.
fn behind_part(text: &Text<'_>, part: &Token, at: usize) -> bool {
    let Some(name) = text.get(at).filter(|name| name.gap == Gap::Space) else { return false };
    let people = matches!(text.str(part), "nurse" | "doctor" | "pt" | "patient");
    let next = text.get(at + 1).filter(|next| next.gap == Gap::Space);
    let acts = next.is_some_and(|next| {
        next.case == Case::Lower
            && (next.cues.has(Cues::VERB) || matches!(text.str(next), "is" | "was"))
    });
    let surname = name.flags.is_last() && name.len() > 3 && !is_stop(name);
    let word = name.flags.is_known();
    let thing = Cues::THING.or(Cues::UNIT).or(Cues::QUANTITY).or(Cues::DATE).or(Cues::VERB);
    people && surname && (!word || acts && name.flags.is_any_first() && !name.cues.has(thing))
}

/// `tammy martinez`: two names of the lists that are no words, or one with a cue before it.
pub(super) fn small_letters(text: &Text<'_>, at: usize) -> Option<usize> {
    let first = text.get(at)?;
    let point = usize::from(first.gap == Gap::Space && text.before(at)?.is_sign(b'.'));
    let title = at.checked_sub(1 + point).and_then(|place| text.get(place));
    if point == 0 && title.is_some_and(|title| behind_part(text, title, at)) {
        return Some(at + 1);
    }
    let titled = title.is_some_and(|title| {
        title.cues.has(Cues::TITLE)
            && title.case == Case::Lower
            && title.len() <= 4
            && first.gap == Gap::Space
    });
    let frequent = first.flags.is_first() || first.flags.is_last();
    if titled && may_be_name(first) && (point == 0 || frequent || !first.flags.is_known()) {
        let more = text.get(at + 1).is_some_and(|next| {
            next.case == Case::Lower
                && next.gap == Gap::Space
                && may_be_name(next)
                && !next.flags.is_known()
        });
        return Some(at + 1 + usize::from(more));
    }
    if !first.flags.is_any_first() || first.flags.is_known() || is_stop(first) || text.is_code(at) {
        return None;
    }
    let plus = usize::from(
        text.get(at + 1).is_some_and(|sign| sign.is_sign(b'+') && sign.gap == Gap::None),
    );
    let second = text
        .get(at + 1 + plus)
        .filter(|token| token.case == Case::Lower && (token.gap == Gap::Space || plus == 1));
    let surname = second.is_some_and(|token| {
        token.flags.is_any_last() && !token.flags.is_known() && !is_stop(token)
    });
    let led = cue_before(text, at);
    if surname && (first.flags.is_first() || led) {
        return Some(at + 2 + plus);
    }
    let beside = text.before(at).is_some_and(|cue| {
        cue.cues.has(Cues::RELATIVE.or(Cues::PERSON)) && first.gap == Gap::Space
    });
    (led && first.flags.is_first() || beside && first.len() > 3).then_some(at + 1)
}
