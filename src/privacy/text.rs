//! A text, its tokens, and what stands around a place in it.

use super::cue::Cues;
use super::finding::Finding;
use super::label::Label;
use super::lexicon;
use super::token::{self, Case, Gap, Kind, Token};

/// A text that has been cut into tokens.
pub struct Text<'a> {
    /// The text.
    pub text: &'a str,
    /// Its tokens.
    pub tokens: Vec<Token>,
    /// What any of its words announces: most texts are short and announce little, and a rule that
    /// nothing announces need not look.
    cues: Cues,
    /// It may have `S/N` in it, which announces by its signs.
    serial: bool,
}

/// How far back a cue may stand before a number, in tokens.
const CUE_TOKENS_MAX: usize = 9;

/// How many words may stand between a cue and its number.
const CUE_WORDS_MAX: usize = 5;

impl<'a> Text<'a> {
    /// Cuts a text into tokens.
    #[must_use]
    pub fn new(text: &'a str) -> Text<'a> {
        Text::reusing(text, Vec::new())
    }

    /// The same with a list that another text had.
    #[must_use]
    pub fn reusing(text: &'a str, mut tokens: Vec<Token>) -> Text<'a> {
        token::read(text, &mut tokens);
        let cues = tokens.iter().fold(Cues::default(), |all, token| all.or(token.cues));
        let n = lexicon::hash(b"n");
        let serial = tokens.iter().any(|token| token.hash == n);
        Text { text, tokens, cues, serial }
    }

    /// Any word of the text announces any of these.
    #[must_use]
    pub fn has(&self, cues: Cues) -> bool {
        self.cues.has(cues)
    }

    /// A finding from one token on, up to the place behind its last.
    #[must_use]
    pub fn finding(
        &self,
        start: usize,
        end: usize,
        label: Label,
        rule: &'static str,
    ) -> Option<Finding> {
        let last = self.get(end.checked_sub(1)?).filter(|_| end > start)?;
        Some(Finding::new(self.get(start)?.start, last.end, label, rule))
    }

    /// The tokens that stand between two offsets.
    #[must_use]
    pub fn within(&self, start: usize, end: usize) -> &[Token] {
        let first = self.tokens.partition_point(|token| token.start < start);
        let rest = self.tokens.get(first..).unwrap_or(&[]);
        let last = rest.partition_point(|token| token.end <= end);
        rest.get(..last).unwrap_or(&[])
    }

    /// The token at a place.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&Token> {
        self.tokens.get(at)
    }

    /// The token before a place.
    #[must_use]
    pub fn before(&self, at: usize) -> Option<&Token> {
        at.checked_sub(1).and_then(|before| self.tokens.get(before))
    }

    /// The bytes of a token.
    #[must_use]
    pub fn str(&self, token: &Token) -> &'a str {
        self.text.get(token.start..token.end).unwrap_or("")
    }

    /// The byte before an offset.
    #[must_use]
    pub fn byte_before(&self, start: usize) -> Option<u8> {
        start.checked_sub(1).and_then(|at| self.text.as_bytes().get(at)).copied()
    }

    /// The byte at an offset.
    #[must_use]
    pub fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// The place of the first token at or after an offset.
    #[must_use]
    pub fn place_from(&self, after: usize, offset: usize) -> usize {
        let rest = self.tokens.get(after..).unwrap_or(&[]);
        after + rest.iter().take_while(|token| token.start < offset).count()
    }

    /// The token is the first of its line.
    #[must_use]
    pub fn begins_line(&self, at: usize) -> bool {
        self.get(at).is_some_and(|token| token.gap == Gap::Line)
    }

    /// The cues of the words before a place, the nearest first, with the number of words between.
    /// A number, a line, a clause or a field ends them.
    pub fn cues_before(&self, at: usize) -> impl Iterator<Item = (usize, &Token)> {
        let mut words = 0;
        let mut gap = self.get(at).map_or(Gap::Line, |token| token.gap);
        let mut ended = false;
        let before = self.tokens.get(at.saturating_sub(CUE_TOKENS_MAX)..at).unwrap_or(&[]);
        before
            .iter()
            .rev()
            .map_while(move |token| {
                let label_above = gap == Gap::Line && token.is_sign(b':');
                if ended || gap == Gap::Line && !label_above || words > CUE_WORDS_MAX {
                    return None;
                }
                gap = token.gap;
                match token.kind {
                    Kind::Word => {
                        words += 1;
                        return Some(Some((words - 1, token)));
                    }
                    Kind::Number | Kind::Mixed => ended = true,
                    Kind::Sign(b';' | b'|' | b'}' | b'{' | b'<' | b'>' | b'[' | b'&') => {
                        ended = true
                    }
                    Kind::Sign(b',' | b')' | b'.' | b'!' | b'?') if words > 0 => ended = true,
                    Kind::Sign(_) => {}
                }
                Some(None)
            })
            .flatten()
    }

    /// What the word says that is spelled with points before a place: `S.S.N.`, `D.O.B`.
    #[must_use]
    pub fn spelled_before(&self, at: usize) -> Option<Cues> {
        const LETTERS_MAX: usize = 4;
        let mut place = at - usize::from(self.before(at)?.is_sign(b'.'));
        let mut letters = Vec::with_capacity(LETTERS_MAX);
        while letters.len() < LETTERS_MAX {
            let letter = self.before(place).filter(|letter| letter.len() == 1)?;
            letters.insert(0, self.byte(letter.start)?.to_ascii_lowercase());
            let more = place
                .checked_sub(2)
                .and_then(|point| self.get(point))
                .is_some_and(|sign| sign.is_sign(b'.'));
            if letter.gap != Gap::None || !more {
                break;
            }
            place -= 2;
        }
        let cues = super::cue::cues(super::lexicon::hash(&letters));
        (letters.len() >= 3 && !cues.is_none()).then_some(cues)
    }

    /// What the words before a number say that it is. `None` also where they say it is a quantity.
    #[must_use]
    pub fn announced(&self, at: usize) -> Option<(Label, &'static str)> {
        const ANNOUNCING: Cues = Cues::MRN
            .or(Cues::SSN)
            .or(Cues::PHONE)
            .or(Cues::CALL)
            .or(Cues::DEVICE)
            .or(Cues::VEHICLE)
            .or(Cues::LICENSE)
            .or(Cues::ACCOUNT)
            .or(Cues::PLAN)
            .or(Cues::ZIP)
            .or(Cues::CODE)
            .or(Cues::PERSON)
            .or(Cues::NUMBER);
        if !self.has(ANNOUNCING) && !self.serial {
            return None;
        }
        let mut number = None;
        for (distance, word) in self.cues_before(at) {
            let has = |cues| word.cues.has(cues);
            let near = distance <= 1 || number.is_some_and(|at: usize| distance <= at + 2);
            let found = if has(Cues::MRN) && !self.is_process(word, at) {
                Some((Label::Mrn, "mrn-cue"))
            } else if has(Cues::SSN) {
                Some((Label::Ssn, "ssn-cue"))
            } else if has(Cues::PHONE) || has(Cues::CALL) && distance <= 3 {
                Some((Label::Phone, "phone-cue"))
            } else if has(Cues::DEVICE) || self.is_serial_number(word) {
                Some((Label::Device, "device-cue"))
            } else if has(Cues::VEHICLE) {
                Some((Label::Vehicle, "vehicle-cue"))
            } else if has(Cues::LICENSE) {
                Some((Label::License, "license-cue"))
            } else if has(Cues::ACCOUNT) {
                Some((Label::Account, "account-cue"))
            } else if has(Cues::PLAN) && near {
                Some((Label::HealthPlanId, "plan-cue"))
            } else if has(Cues::ZIP) && near {
                Some((Label::Zip, "zip-cue"))
            } else if has(Cues::CODE.or(Cues::PERSON))
                && near
                && !self.str(word).eq_ignore_ascii_case("user")
            {
                Some((Label::Id, "code-cue"))
            } else {
                None
            };
            if found.is_some() {
                return found;
            }
            if distance <= 1 && has(Cues::QUANTITY) {
                return None;
            }
            if has(Cues::NUMBER) && number.is_none() {
                number = Some(distance);
            }
        }
        (number == Some(0)).then_some((Label::Id, "number-cue"))
    }

    /// `pid=1234`, `[pid 4411]`: a process, whose numbers have seven digits at most; that of a
    /// patient is written in capitals or has more.
    #[must_use]
    pub fn is_process(&self, word: &Token, at: usize) -> bool {
        const DIGITS_MAX: usize = 7;
        let short = self
            .get(at)
            .is_some_and(|number| number.kind == Kind::Number && number.len() < DIGITS_MAX);
        short && self.str(word).eq_ignore_ascii_case("pid")
    }

    /// `ending 4011`: the last digits of a longer number.
    #[must_use]
    pub fn has_ending(&self, at: usize) -> bool {
        self.before(at).is_some_and(|word| {
            matches!(self.str(word), "ending" | "ends" | "in" | "last" | "xxxx" | "XXXX")
        })
    }

    /// Any of the words before a place is about a car.
    #[must_use]
    pub fn is_about_car(&self, at: usize) -> bool {
        self.has_before(at, Cues::CAR, 2)
    }

    /// `S/N`.
    fn is_serial_number(&self, word: &Token) -> bool {
        let before = word.start.checked_sub(2).and_then(|start| self.text.get(start..word.end));
        before.is_some_and(|written| written.eq_ignore_ascii_case("s/n"))
    }

    /// Any of the words before a place announces one of these.
    #[must_use]
    pub fn has_before(&self, at: usize, cues: Cues, words_max: usize) -> bool {
        self.has(cues)
            && self
                .cues_before(at)
                .any(|(distance, word)| distance < words_max && word.cues.has(cues))
    }

    /// The place stands in program text: a name with a point, an underscore or a call about it.
    #[must_use]
    pub fn is_code(&self, at: usize) -> bool {
        let Some(token) = self.get(at) else { return false };
        let around = (self.byte_before(token.start), self.byte(token.end));
        let after = self.byte(token.end + 1);
        match around {
            (Some(b'_' | b'$' | b'@' | b'#' | b'\\'), _) | (_, Some(b'_' | b'(')) => true,
            (Some(b'.'), _) => token.gap == Gap::None && !self.is_abbreviation(at),
            (_, Some(b'.')) => after.is_some_and(|byte| byte.is_ascii_lowercase()),
            (_, Some(b':')) => after == Some(b':'),
            (Some(b':'), _) => self.byte_before(token.start - 1) == Some(b':'),
            _ => false,
        }
    }

    /// The point before this place belongs to an initial or a title (`Dr.Smith`, `J.Smith`).
    fn is_abbreviation(&self, at: usize) -> bool {
        let word = at.checked_sub(2).and_then(|before| self.get(before));
        word.is_some_and(|word| word.case == Case::Initial || word.cues.has(Cues::TITLE))
    }
}
