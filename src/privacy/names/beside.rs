//! Rules that look at what stands beside a word: another name, a title, a cue, a verb, letters
//! after it.

use super::super::cue::Cues;
use super::super::text::Text;
use super::super::token::{Case, Gap, Kind, Token};
use super::alone::eponym_behind;
use super::*;

/// A first name and a surname beside each other, perhaps with initials between.
pub(super) fn pairs(text: &Text<'_>, tokens: &[&Token], run: &mut Run) {
    for place in 0..tokens.len() {
        let first = &tokens[place];
        let Some(next) = (place + 1..tokens.len()).find(|next| {
            tokens[*next].case != Case::Initial && !tokens[*next].cues.has(Cues::PARTICLE)
                || tokens[*next].is_capital()
        }) else {
            break;
        };
        let last = &tokens[next];
        // `Bence Jones protein`: a discoverer's, and a word that is never said of a patient.
        let discoverer = first.cues.or(last.cues).has(Cues::DISCOVERER);
        let thing = discoverer
            && text.get(run.places[next] + 1).is_some_and(|word| word.cues.has(Cues::LAW));
        // `Cauchy-Schwarz`: two surnames of one thing.
        let hyphened = text.byte(first.end) == Some(b'-') && tokens.len() == 2;
        let stopped = is_stop(last)
            && !(last.flags.is_last() && first.flags.is_first() && !first.flags.is_known());
        if first.case == Case::Initial
            || hyphened
            || thing
            || stopped
            || last.cues.has(Cues::EPONYM.or(Cues::STREET))
                && last.flags.is_known()
                && !last.flags.is_last()
        {
            continue;
        }
        let named_month = first.flags.is_first() && last.flags.is_last() && !last.flags.is_known();
        if is_stop(first) && !(named_month && first.cues.has(Cues::MONTH.or(Cues::PROPER))) {
            continue;
        }
        let names = first.flags.is_any_first() && (last.flags.is_any_last() || is_strange(last));
        let strange = (is_strange(first) || is_pure(first)) && is_pure(last)
            || is_pure(first) && is_strange(last);
        let words = first.flags.is_known() && last.flags.is_known();
        let upper = first.case == Case::Upper && last.case == Case::Upper;
        let common = first.flags.is_first() && last.flags.is_last();
        let one_word = first.flags.is_known() || last.flags.is_known();
        let enough = match (names, words) {
            (true, true) => common && !upper && first.flags.is_first(),
            (true, false) => {
                !upper || common || !one_word && (first.flags.is_first() || last.flags.is_last())
            }
            (false, _) => strange && !upper,
        };
        if enough {
            for mark in &mut run.marks[place..=next] {
                *mark = mark.or(Some("name-pair"));
            }
        }
    }
}

/// `M. Price`, `J Okonkwo`.
pub(super) fn initials(text: &Text<'_>, tokens: &[&Token], run: &mut Run) {
    for place in 0..tokens.len().saturating_sub(1) {
        let (initial, name) = (&tokens[place], &tokens[place + 1]);
        if initial.case != Case::Initial || name.case == Case::Initial {
            continue;
        }
        let point = text.byte(initial.end) == Some(b'.');
        let name_like = point && may_be_name(name) && name.case != Case::Upper
            || is_pure(name)
                && !name.cues.has(Cues::DISCOVERER)
                && (point || name.case == Case::Title);
        if name_like && !eponym_behind(text, run.places[place + 1]) {
            run.marks[place] = run.marks[place].or(Some("initial-and-surname"));
            run.marks[place + 1] = run.marks[place + 1].or(Some("initial-and-surname"));
        }
    }
}

/// `Dr. Raval`, `Ms Rose Hill`: what follows a title is a name, on a list or not.
pub(super) fn titled(text: &Text<'_>, tokens: &[&Token], run: &mut Run) {
    if !text.has(Cues::TITLE.or(Cues::CREDENTIAL)) {
        return;
    }
    let before = run.places[0].checked_sub(1).map(|at| {
        let point = text.get(at).is_some_and(|token| token.is_sign(b'.'));
        at.saturating_sub(usize::from(point))
    });
    let beside = text.get(run.places[0]).is_some_and(|token| token.gap <= Gap::Space);
    if beside && before.is_some_and(|at| is_title(text, at)) {
        behind_title(tokens, run, 0);
    }
    for place in 0..tokens.len() {
        if is_title(text, run.places[place]) {
            behind_title(tokens, run, place + 1);
        }
    }
}

/// What follows a title, to the first word that is no part of a name.
fn behind_title(tokens: &[&Token], run: &mut Run, start: usize) {
    for (place, token) in tokens.iter().enumerate().skip(start).take(NAME_WORDS_MAX) {
        let stop = token.cues.has(Cues::STOP.or(Cues::ORGANISATION).or(Cues::TITLE))
            && !token.flags.is_any_last()
            || token.cues.has(Cues::CREDENTIAL) && token.case == Case::Upper
            || place > start
                && !may_be_name(token)
                && token.case != Case::Initial
                && !token.cues.has(Cues::PARTICLE);
        if stop {
            break;
        }
        run.marks[place] = Some("title");
    }
}

pub(super) fn is_title(text: &Text<'_>, at: usize) -> bool {
    let Some(token) = text.get(at) else { return false };
    let point = text.byte(token.end) == Some(b'.');
    // `MS` and `MR` are a disease and an image, `DR` behind a street is a drive.
    if token.cues.has(Cues::TITLE) && (token.case != Case::Upper || point || token.len() > 2) {
        return true;
    }
    // `MD Kelly aware`, `CNS Adaeze to phone`.
    let next = text.get(at + 1);
    token.cues.has(Cues::CREDENTIAL)
        && token.case == Case::Upper
        && next.is_some_and(|next| {
            next.gap == Gap::Space && next.case == Case::Title && may_be_name(next)
        })
        && !text.before(at).is_some_and(|before| before.is_capital() || before.is_sign(b','))
}

/// `patient Gina Foley`, `Attending: Lynn Yang`, `her son, Hunter`.
pub(super) fn announced(text: &Text<'_>, tokens: &[&Token], run: &mut Run) {
    let after_name = is_masked(text.before(run.places[0]), text);
    let inside = (0..tokens.len()).find(|place| {
        let led = Cues::PERSON.or(Cues::ROLE).or(Cues::RELATIVE).or(Cues::NAME);
        // `Child-Pugh` is no child.
        let joined = text.byte(tokens[*place].end) == Some(b'-');
        tokens[*place].cues.has(led)
            && !joined
            && (*place == 0 && !after_name || !tokens[*place].flags.is_any_last())
    });
    let start = match inside {
        Some(place) => place + 1,
        None if cue_before(text, run.places[0]) => 0,
        None => return,
    };
    let mut named = false;
    for (place, token) in tokens.iter().enumerate().skip(start).take(NAME_WORDS_MAX) {
        let part = may_follow_cue(token) && !token.cues.has(Cues::EPONYM)
            || place > start && (token.case == Case::Initial || token.cues.has(Cues::PARTICLE));
        let beside_cue = place == start && start > 0 && token.flags.is_last();
        let upper_word =
            token.case == Case::Upper && (token.flags.is_known() || token.len() < 4) && !beside_cue;
        if !part || upper_word && !named || eponym_behind(text, run.places[place]) {
            break;
        }
        named = true;
        run.marks[place] = run.marks[place].or(Some("name-cue"));
    }
}

/// A word before a place that a name follows.
pub(super) fn cue_before(text: &Text<'_>, at: usize) -> bool {
    const BETWEEN: [&str; 14] = [
        "is", "was", "named", "called", "by", "with", "a", "the", "to", "contact", "am", "for",
        "s", "of",
    ];
    let led = Cues::PERSON.or(Cues::ROLE).or(Cues::RELATIVE).or(Cues::NAME);
    if !text.has(led) {
        return false;
    }
    let mut words = 0;
    let mut gap = text.get(at).map_or(Gap::Line, |token| token.gap);
    for place in (at.saturating_sub(6)..at).rev() {
        let Some(token) = text.get(place) else { return false };
        if gap == Gap::Line {
            return false;
        }
        gap = token.gap;
        match token.kind {
            Kind::Word if token.cues.has(led) => return true,
            Kind::Word
                if words < 2
                    && BETWEEN.iter().any(|word| word.eq_ignore_ascii_case(text.str(token))) =>
            {
                words += 1;
            }
            Kind::Sign(b':' | b',' | b'(' | b'"' | b'\'' | b'-' | b'*' | b'=' | b'#') => {}
            _ => return false,
        }
    }
    false
}

/// The longest mail address that is looked for behind a name.
const MAIL_BYTES_MAX: usize = 320;

/// `Sky Walker (DOB …)`, `June Day is a 97 yo`, `From: Will Page <…>`: what follows is said of a
/// person.
pub(super) fn before_facts(text: &Text<'_>, tokens: &[&Token], run: &mut Run) {
    let mut place = run.end;
    let mail = text.get(place).is_some_and(|sign| sign.is_sign(b'<'))
        && text.text.get(place..).is_some()
        && text.get(place + 1).is_some_and(|word| {
            let rest = text.text.as_bytes().get(word.start..).unwrap_or(&[]);
            let mail = rest.iter().take(MAIL_BYTES_MAX).take_while(|byte| **byte != b'>');
            mail.into_iter().any(|byte| *byte == b'@')
        });
    while text.get(place).is_some_and(|token| {
        matches!(token.kind, Kind::Sign(b'(' | b',' | b'-' | b'/' | b'|'))
            || matches!(text.str(token), "is" | "a" | "an" | "was")
    }) && place < run.end + 3
    {
        place += 1;
    }
    let Some(fact) = text.get(place) else { return };
    let number = |token: &Token| text.str(token).bytes().take_while(u8::is_ascii_digit).count();
    let age_behind = text.get(place + 1).is_some_and(|unit| {
        unit.cues.has(Cues::AGE)
            || matches!(text.str(unit), "y" | "M" | "F" | "-")
            || unit.is_sign(b'-')
    });
    let aged = (1..=3).contains(&number(fact))
        && (fact.kind == Kind::Number && age_behind
            || fact.kind == Kind::Mixed
                && matches!(
                    text.text.get(fact.start + number(fact)..fact.end),
                    Some("M" | "F" | "yo" | "y" | "yoF" | "yoM" | "yof" | "yom")
                ));
    if !(fact.cues.has(Cues::BIRTH.or(Cues::MRN).or(Cues::SSN)) || aged || mail) {
        return;
    }
    let mut start = tokens.len();
    while start > 0 && tokens.len() - start < NAME_WORDS_MAX {
        let token = &tokens[start - 1];
        let part = may_follow_cue(token) && !(token.case == Case::Upper && token.flags.is_known())
            || token.case == Case::Initial
            || token.cues.has(Cues::PARTICLE);
        if !part {
            break;
        }
        start -= 1;
    }
    if !tokens[start..]
        .iter()
        .any(|token| token.is_capital() && token.flags.is_name() || is_strange(token))
    {
        return;
    }
    for mark in &mut run.marks[start..] {
        *mark = mark.or(Some("name-before-facts"));
    }
}

/// `Grace reports`, `Glass c/o pain`, and who speaks in a chat (`[09:12] Grace: …`).
pub(super) fn acting(text: &Text<'_>, tokens: &[&Token], run: &mut Run) {
    let Some(next) = text.get(run.end) else { return };
    let verb = next.case == Case::Lower && next.cues.has(Cues::VERB) && next.gap == Gap::Space;
    let begins = text.begins_line(run.places[0])
        || text.before(run.places[0]).is_some_and(|sign| sign.is_sign(b']') || sign.is_sign(b')'));
    let speaks = next.is_sign(b':')
        && next.gap == Gap::None
        && begins
        && tokens[0].flags.is_any_first()
        && tokens.len() <= 2
        && text.get(run.end + 1).is_some_and(|word| word.gap == Gap::Space);
    let speaks = speaks || is_speaker_label(text, run);
    let last = tokens.len() - 1;
    let word = &tokens[last];
    let plain = matches!(word.case, Case::Title)
        && (may_be_name(word) && !word.cues.has(Cues::EPONYM)
            || may_follow_cue(word) && word.cues.has(Cues::MONTH));
    let frequent = word.flags.is_first() || word.flags.is_last() || !word.flags.is_known();
    if plain && frequent && tokens.len() <= 3 && (verb || speaks) {
        let rule = if verb { "name-and-verb" } else { "speaker" };
        run.marks[last] = run.marks[last].or(Some(rule));
        // `Will Page takes`: a first name that is a small word, too.
        if let Some(before) = last
            .checked_sub(1)
            .filter(|before| may_follow_cue(tokens[*before]) && tokens[*before].flags.is_first())
        {
            run.marks[before] = run.marks[before].or(Some(rule));
        }
    }
}

/// `Agent (June): …` at the beginning of a line.
fn is_speaker_label(text: &Text<'_>, run: &Run) -> bool {
    let sign = |place: usize, byte| text.get(place).is_some_and(|sign| sign.is_sign(byte));
    let Some(part) = run.places[0].checked_sub(2) else { return false };
    const PARTS: [&str; 6] = ["agent", "rep", "representative", "speaker", "host", "advisor"];
    sign(part + 1, b'(')
        && sign(run.end, b')')
        && sign(run.end + 1, b':')
        && text.begins_line(part)
        && text.get(part).is_some_and(|word| {
            word.cues.has(Cues::PERSON.or(Cues::ROLE))
                || PARTS.iter().any(|known| known.eq_ignore_ascii_case(text.str(word)))
        })
}

/// `Krystal Stevens RN`, `Débora Rincón, DO`.
pub(super) fn credentials(text: &Text<'_>, tokens: &[&Token], run: &mut Run) {
    if !text.has(Cues::CREDENTIAL) {
        return;
    }
    let is = |token: &Token| token.cues.has(Cues::CREDENTIAL) && token.case != Case::Title;
    let inside = (1..tokens.len()).find(|place| is(tokens[*place]));
    let comma = text.get(run.end).is_some_and(|sign| sign.is_sign(b',') || sign.is_sign(b'('));
    let behind =
        comma && text.get(run.end + 1).is_some_and(|token| is(token) && token.gap <= Gap::Space);
    let end = match inside {
        Some(place) => place,
        None if behind => tokens.len(),
        None => return,
    };
    let mut start = end;
    while start > 0 && end - start < NAME_WORDS_MAX {
        let token = &tokens[start - 1];
        let part = (!is_stop(token) || may_follow_cue(token))
            && (token.is_capital() || token.case == Case::Initial)
            || token.cues.has(Cues::PARTICLE);
        if !part {
            break;
        }
        start -= 1;
    }
    if tokens[start..end].iter().any(|token| may_be_name(token)) {
        for mark in &mut run.marks[start..end] {
            *mark = mark.or(Some("credential"));
        }
    }
}

/// A word beside a name that may be part of it is part of it.
pub(super) fn extend(tokens: &[&Token], run: &mut Run) {
    let belongs = |token: &Token| {
        token.case == Case::Initial
            || token.cues.has(Cues::PARTICLE) && token.case == Case::Lower
            || token.cues.has(Cues::SUFFIX)
            || may_be_name(token) && !(token.case == Case::Upper && token.flags.is_known())
    };
    for (place, word) in tokens.iter().enumerate().skip(1) {
        if run.marks[place - 1].is_some() && belongs(word) {
            run.marks[place] = run.marks[place].or(Some("beside-name"));
        }
    }
    for place in (0..tokens.len().saturating_sub(1)).rev() {
        let word = &tokens[place];
        let first = may_be_name(word) && (!word.flags.is_known() || word.flags.is_first());
        if run.marks[place + 1].is_some() && (first || word.case == Case::Initial) {
            run.marks[place] = run.marks[place].or(Some("beside-name"));
        }
    }
    // A particle or an initial at the end of a run names nobody.
    for place in (0..tokens.len()).rev() {
        if run.marks[place].is_some() && tokens[place].case == Case::Lower {
            run.marks[place] = None;
        } else {
            break;
        }
    }
}
