//! Where in a text something may begin.
//!
//! Two thirds of the tokens of a text are words of small letters and signs at which no rule begins.
//! They are passed over here once, without a decision for each, so that the rules do not look at
//! them one after the other.

use super::cue::Cues;
use super::text::Text;
use super::token::{Case, Kind, Token};

/// Signs at which a rule begins: of a label, a number or a telephone.
static SIGNS: [bool; 256] = table(b":=+(-");

/// Bytes behind a word that join it with what follows: a code, a machine's number, a file's name.
static JOINS: [bool; 256] = table(b"-_./:+");

const fn table(bytes: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] = true;
        at += 1;
    }
    table
}

/// The places of the tokens of a text at which something may begin.
pub fn read(text: &Text<'_>, places: &mut Vec<u32>) {
    places.clear();
    places.resize(text.tokens.len(), 0);
    let mut count = 0;
    let mut titled = false;
    for (token, at) in text.tokens.iter().zip(0..) {
        places[count] = at;
        count += usize::from(may_begin(text.text.as_bytes(), token, titled));
        // A point may stand between, as in `dr. singh`.
        titled = token.cues.has(Cues::TITLE.or(Cues::PERSON).or(Cues::ROLE))
            || titled && token.is_sign(b'.');
    }
    places.truncate(count);
}

/// What words in small letters announce that a rule begins at.
const BEGINNING: Cues = Cues::MONTH
    .or(Cues::OLD)
    .or(Cues::HOME)
    .or(Cues::LOGIN)
    .or(Cues::USER)
    .or(Cues::COMMAND)
    .or(Cues::PASSWORD)
    .or(Cues::IDENTIFIED);

fn may_begin(bytes: &[u8], token: &Token, titled: bool) -> bool {
    let Kind::Word = token.kind else {
        let Kind::Sign(sign) = token.kind else { return true };
        return SIGNS[usize::from(sign)];
    };
    let behind = bytes.get(token.end).copied().unwrap_or(0);
    let before = bytes.get(token.start.wrapping_sub(1)).copied().unwrap_or(0);
    (token.case != Case::Lower)
        | titled
        | (token.flags.is_name() & !token.flags.is_known())
        | token.cues.has(BEGINNING)
        | JOINS[usize::from(behind)]
        | (before == b'/')
}
