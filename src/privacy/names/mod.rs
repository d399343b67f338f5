//! Names of persons: by title, by cue, by the lists, and by what stands beside a name.
//!
//! Capitalised words in a row are a run; each rule marks words of it. A word on the lists that is a
//! common word, too, needs more than its own look. Names of discoverers before `disease`, `sign` or
//! `catheter` are things of medicine.

mod alone;
mod beside;

use smallvec::{SmallVec, smallvec};

use super::cue::Cues;
use super::finding::Finding;
use super::label::Label;
use super::lexicon;
use super::text::Text;
use super::token::{Case, Gap, Kind, Token};
use alone::{doubtful, in_file_name, singles, small_letters, surname_first};
use beside::{acting, announced, before_facts, credentials, extend, initials, pairs, titled};

/// How many words a run has at most.
const RUN_WORDS_MAX: usize = 8;

/// How many words a name has.
const NAME_WORDS_MAX: usize = 4;

/// Why a word of a run is taken for a name.
type Mark = Option<&'static str>;

/// A run of capitalised words: places of its words in the text.
struct Run {
    places: SmallVec<[usize; RUN_WORDS_MAX]>,
    marks: SmallVec<[Mark; RUN_WORDS_MAX]>,
    /// The place behind the run.
    end: usize,
}

/// Names in a text; `begins` tells where one may begin, `taken` the tokens that are found already.
/// Words that are names where the document is about a person, and perhaps none where it is not, go
/// to `perhaps`.
pub fn find(
    text: &Text<'_>,
    (begins, taken): (&[u32], &[bool]),
    found: &mut Vec<Finding>,
    perhaps: &mut Vec<Finding>,
) {
    let mut from = 0;
    for at in begins.iter().map(|at| *at as usize) {
        let free = at >= from && !taken.get(at).copied().unwrap_or(false);
        let Some(token) = text.get(at).filter(|_| free) else { continue };
        if (token.is_capital() || is_initial(text, at)) && !text.is_code(at) {
            let mut run = run_at(text, at, taken);
            let end = run.end.max(at + 1);
            let surname_first = surname_first(text, &run, taken);
            judge(text, &mut run, surname_first);
            if run.marks.iter().all(Option::is_none) {
                doubtful(text, &run, perhaps);
            }
            push(text, &run, found);
            from = surname_first.unwrap_or(end).max(end);
        } else if token.case == Case::Lower {
            let end = small_letters(text, at).or_else(|| in_file_name(text, at));
            if let Some(end) = end {
                found.extend(text.finding(at, end, Label::Name, "name-small-letters"));
                from = end;
            }
        }
    }
}

fn is_initial(text: &Text<'_>, at: usize) -> bool {
    text.get(at).is_some_and(|token| token.case == Case::Initial)
}

/// The words from a place on that hang together as a name might.
fn run_at(text: &Text<'_>, at: usize, taken: &[bool]) -> Run {
    let mut run = Run { places: smallvec![at], marks: SmallVec::new(), end: at + 1 };
    let mut place = at + 1;
    while run.places.len() < RUN_WORDS_MAX {
        let Some(token) = text.get(place) else { break };
        if taken.get(place).copied().unwrap_or(false) {
            break;
        }
        let after_initial = run.places.last().is_some_and(|last| {
            is_initial(text, *last)
                || text.get(*last).is_some_and(|word| {
                    word.cues.has(Cues::TITLE.or(Cues::SUFFIX))
                        || word.len() <= 2 && word.case != Case::Upper
                })
        });
        let point = token.is_sign(b'.') && token.gap == Gap::None && after_initial
            || token.is_sign(b'^') && token.gap == Gap::None
            || token.is_sign(b'+') && token.gap == Gap::None && text.byte(token.end) != Some(b' ');
        let hyphen = token.is_sign(b'-')
            && token.gap == Gap::None
            && text
                .get(place + 1)
                .is_some_and(|next| next.gap == Gap::None && next.kind == Kind::Word);
        if point || hyphen {
            place += 1;
            continue;
        }
        let part = token.is_capital() || token.case == Case::Initial;
        let beside = token.gap <= Gap::Space;
        let particle = token.cues.has(Cues::PARTICLE)
            && token.case == Case::Lower
            && !matches!(text.str(token), "and" | "e" | "y")
            && beside
            && text.get(place + 1).is_some_and(|next| {
                next.gap == Gap::Space && (next.is_capital() || next.cues.has(Cues::PARTICLE))
            });
        if !(part && beside || particle) {
            break;
        }
        run.places.push(place);
        place += 1;
        run.end = place;
    }
    run.marks = smallvec![None; run.places.len()];
    run
}

/// A name stood here and was masked by an earlier redaction.
fn is_masked(token: Option<&Token>, text: &Text<'_>) -> bool {
    token.is_some_and(|token| text.str(token) == Label::Name.placeholder())
}

/// A word that no rule takes for a name on its own.
fn is_stop(token: &Token) -> bool {
    token.cues.has(
        Cues::STOP
            .or(Cues::MONTH)
            .or(Cues::WEEKDAY)
            .or(Cues::PROPER)
            .or(Cues::ORGANISATION)
            .or(Cues::ROLE)
            .or(Cues::RELATIVE)
            .or(Cues::PERSON)
            .or(Cues::NAME),
    ) || token.cues.has(Cues::TITLE) && !token.flags.is_any_last()
        || token.cues.has(Cues::CREDENTIAL) && token.case != Case::Title
}

/// On a list of names and on no list of words.
fn is_pure(token: &Token) -> bool {
    token.flags.is_name() && !token.flags.is_known() && !is_stop(token)
}

/// On no list at all, and long enough to be a name. Words with capitals inside are names of
/// programs (`BaseModel`) but for `McDonald` and its like.
fn is_strange(token: &Token) -> bool {
    token.flags.is_strange() && token.cues.is_none() && token.len() > 1 && token.case != Case::Inner
}

/// A word that is a name directly behind a cue, though it is a month, a state or a small word, too.
fn may_follow_cue(token: &Token) -> bool {
    let first = token.flags.is_first() && token.case == Case::Title;
    may_be_name(token) || first && token.cues.has(Cues::MONTH.or(Cues::PROPER).or(Cues::STOP))
}

/// A word that is a name where something says so.
#[must_use]
pub fn may_be_name(token: &Token) -> bool {
    (token.flags.is_name() || is_strange(token)) && !is_stop(token)
}

/// Puts the rules to a run. `surname_first` says that a first name follows behind a comma.
fn judge(text: &Text<'_>, run: &mut Run, surname_first: Option<usize>) {
    let tokens: SmallVec<[&Token; RUN_WORDS_MAX]> =
        run.places.iter().filter_map(|at| text.get(*at)).collect();
    if let Some(end) = surname_first {
        let first = run.places.len().saturating_sub(3);
        for (place, token) in tokens.iter().enumerate().skip(first) {
            if may_be_name(token) || token.cues.has(Cues::PARTICLE) || token.flags.is_any_last() {
                run.marks[place] = Some("surname-first");
            }
        }
        run.end = end;
        return extend(&tokens, run);
    }
    pairs(text, &tokens, run);
    initials(text, &tokens, run);
    titled(text, &tokens, run);
    announced(text, &tokens, run);
    before_facts(text, &tokens, run);
    acting(text, &tokens, run);
    credentials(text, &tokens, run);
    extend(&tokens, run);
    // A name that was masked before belonged to the run, and the rest of it was left.
    let alone = run.marks.iter().all(Option::is_none);
    if alone && !is_masked(text.get(run.end), text) {
        singles(text, &tokens, run);
    }
}

/// Tells the marked words of a run, those beside each other as one.
fn push(text: &Text<'_>, run: &Run, found: &mut Vec<Finding>) {
    let mut place = 0;
    while place < run.places.len() {
        let Some(rule) = run.marks[place] else {
            place += 1;
            continue;
        };
        let mut last = place;
        while last + 1 < run.places.len() && run.marks[last + 1].is_some() {
            last += 1;
        }
        let surname = run.marks[last] == Some("surname-first") && last + 1 == run.places.len();
        let end = if surname { run.end } else { run.places[last] + 1 };
        found.extend(text.finding(run.places[place], end, Label::Name, rule));
        place = last + 1;
    }
}

/// A value that reads like a person's name: two to five words in capitals, one of them on a list
/// of names.
#[must_use]
pub fn reads_like_name(text: &Text<'_>) -> bool {
    const WORDS_MAX: usize = 6;
    let words: Vec<&Token> = text.tokens.iter().filter(|token| token.is_alphanumeric()).collect();
    let signs = text.tokens.iter().all(|token| {
        token.is_alphanumeric()
            || matches!(
                token.kind,
                Kind::Sign(b'.' | b',' | b'-' | b'\'' | b'^' | 0 | b'(' | b')' | b'"')
            )
    });
    let shape = words.iter().all(|word| {
        word.kind == Kind::Word && (word.is_capital() || word.case == Case::Initial)
            || word.cues.has(Cues::PARTICLE)
    });
    let small = words
        .iter()
        .all(|word| word.case == Case::Lower && word.flags.is_name() && !word.flags.is_known());
    let named = words.iter().any(|word| may_be_name(word) && word.len() > 1);
    let thing = words.iter().any(|word| {
        word.cues.has(Cues::ORGANISATION.or(Cues::EPONYM)) && !word.flags.is_last()
            || word.hash == lexicon::hash(b"claude")
    });
    let plain = words.iter().filter(|word| word.flags.is_known() && !word.flags.is_name()).count();
    let counted = (1..=WORDS_MAX).contains(&words.len());
    signs && counted && named && !thing && plain * 2 <= words.len() && (shape || small)
}
