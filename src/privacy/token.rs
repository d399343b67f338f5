//! One pass over a text: words, numbers and signs, each looked up once.
//!
//! Every rule works on these tokens. Offsets are bytes; white space is not a token, but each token
//! says what white space stood before it.

use smallvec::SmallVec;

use super::cue::Cues;
use super::label::Label;
use super::lexicon::{self, Flags};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Letters only; an apostrophe within belongs to it (`O'Brien`).
    Word,
    /// Digits only.
    Number,
    /// Letters and digits in one piece.
    Mixed,
    /// One other character; for ASCII it is given.
    Sign(u8),
}

/// How a word is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// `word`.
    Lower,
    /// `Word`.
    Title,
    /// `WORD`, two letters at least.
    Upper,
    /// `W`.
    Initial,
    /// `McDonald`, `DeShawn`, `O'Brien`.
    Inner,
    /// `camelCase` and other mixtures.
    Other,
}

/// The white space before a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// None.
    None,
    /// One space.
    Space,
    /// A tab or several spaces.
    Wide,
    /// A line ends here.
    Line,
}

/// One token.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
    /// What it is.
    pub kind: Kind,
    /// How it is written; [`Case::Other`] where it is no word.
    pub case: Case,
    /// What stood before it.
    pub gap: Gap,
    /// The [`lexicon::hash`] of a word in small letters without accents; 0 where it is no word.
    pub hash: u64,
    /// What the lists say of it.
    pub flags: Flags,
    /// What it announces.
    pub cues: Cues,
}

impl Token {
    /// It is this sign.
    #[must_use]
    pub fn is_sign(&self, sign: u8) -> bool {
        self.kind == Kind::Sign(sign)
    }

    /// A word written as names are.
    #[must_use]
    pub fn is_capital(&self) -> bool {
        self.kind == Kind::Word && matches!(self.case, Case::Title | Case::Upper | Case::Inner)
    }

    /// It has digits in it.
    #[must_use]
    pub fn has_digits(&self) -> bool {
        matches!(self.kind, Kind::Number | Kind::Mixed)
    }

    /// It has letters or digits in it.
    #[must_use]
    pub fn is_alphanumeric(&self) -> bool {
        !matches!(self.kind, Kind::Sign(_))
    }

    /// Its bytes: never none.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a token is never empty")]
    pub fn len(&self) -> usize {
        self.end - self.start
    }
}

/// Cuts `text` into tokens. Placeholders of an earlier redaction are passed over.
#[must_use]
pub fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    read(text, &mut tokens);
    tokens
}

/// The same into a list that is reused.
pub fn read(text: &str, tokens: &mut Vec<Token>) {
    let bytes = text.as_bytes();
    tokens.clear();
    tokens.reserve(bytes.len() / 4 + 4);
    let (mut at, mut gap) = (0, Gap::Line);
    while let Some(byte) = bytes.get(at).copied() {
        match byte {
            b' ' => gap = if gap == Gap::None { Gap::Space } else { gap.max(Gap::Wide) },
            b'\t' => gap = gap.max(Gap::Wide),
            b'\n' | b'\r' | 0x0b | 0x0c => gap = Gap::Line,
            b'[' if let Some(length) = Label::placeholder_at(text.get(at..).unwrap_or("")) => {
                let mut token = sign(at, b'[', gap);
                token.end = at + length;
                tokens.push(token);
                gap = Gap::None;
                at += length;
                continue;
            }
            b'\\' if is_written_out(bytes, at) => {
                gap = Gap::Line;
                at += 1;
            }
            _ => {
                let token = token_at(text, at, gap);
                at = token.end;
                if let Some(token) = Some(token).filter(|token| !is_space(text, token)) {
                    tokens.push(token);
                    gap = Gap::None;
                } else {
                    gap = gap.max(Gap::Space);
                }
                continue;
            }
        }
        at += 1;
    }
}

/// The end of a line, written out as logs do (`\nMRN: 5`); with a small letter or behind a drive's
/// colon it is a path.
fn is_written_out(bytes: &[u8], at: usize) -> bool {
    let before = |count| at.checked_sub(count).and_then(|at| bytes.get(at)).copied();
    let drive = before(1) == Some(b':') && !before(3).is_some_and(|b| b.is_ascii_alphanumeric());
    matches!(bytes.get(at + 1), Some(b'n' | b'r'))
        && !bytes.get(at + 2).is_some_and(|byte| byte.is_ascii_lowercase() || *byte >= 0x80)
        && before(1) != Some(b'\\')
        && !drive
}

/// A space of Unicode, such as one that does not break.
fn is_space(text: &str, token: &Token) -> bool {
    token.kind == Kind::Sign(0)
        && text.get(token.start..token.end).is_some_and(|sign| sign.trim().is_empty())
}

fn sign(start: usize, byte: u8, gap: Gap) -> Token {
    Token {
        start,
        end: start + 1,
        kind: Kind::Sign(byte),
        case: Case::Other,
        gap,
        hash: 0,
        flags: Flags::default(),
        cues: Cues::default(),
    }
}

/// What a byte is within a token, as bits of a [`Shape`]; none ends it.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' => Shape::LOWER,
            b'A'..=b'Z' => Shape::UPPER,
            b'0'..=b'9' => Shape::DIGIT,
            b'\'' | 0x80.. => Shape::ODD,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// The token at a place. Most are plain ASCII and are read byte by byte without a decision.
fn token_at(text: &str, start: usize, gap: Gap) -> Token {
    let bytes = text.as_bytes();
    let rest = bytes.get(start..).unwrap_or(&[]);
    let mut shape = Shape::default();
    let mut length = 0;
    for byte in rest {
        let class = CLASSES[usize::from(*byte)];
        if class == 0 {
            break;
        }
        shape.see(class);
        length += 1;
    }
    if shape.seen & Shape::ODD != 0 {
        return odd_token_at(text, start, gap);
    }
    if length == 0 {
        return sign(start, bytes[start], gap);
    }
    shape.begins_upper = rest[0].is_ascii_uppercase();
    shape.token(text, start, start + length, gap)
}

/// The same for whatever is not plain ASCII.
fn odd_token_at(text: &str, start: usize, gap: Gap) -> Token {
    let bytes = text.as_bytes();
    let mut shape = Shape::default();
    let mut at = start;
    while let Some(byte) = bytes.get(at).copied() {
        let length = match byte {
            b'A'..=b'Z' => {
                shape.upper();
                1
            }
            _ if byte.is_ascii_alphanumeric() => {
                shape.see(CLASSES[usize::from(byte)]);
                1
            }
            b'\'' if shape.has_letters() && joins(text, at + 1) => 1,
            0x80.. => match text.get(at..).and_then(|rest| rest.chars().next()) {
                Some('\u{2019}') if shape.has_letters() && joins(text, at + 3) => 3,
                Some(letter) if letter.is_alphabetic() => {
                    shape.letter(letter);
                    letter.len_utf8()
                }
                _ => break,
            },
            _ => break,
        };
        if !byte.is_ascii_alphanumeric() {
            shape.see(Shape::ODD);
        }
        at += length;
    }
    if at == start {
        let length = text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
        let byte = if length == 1 { bytes[start] } else { 0 };
        return Token { end: start + length, ..sign(start, byte, gap) };
    }
    shape.token(text, start, at, gap)
}

/// Letters go on after an apostrophe: `O'Brien`, but not `Tammy's` and not `'quoted'`.
fn joins(text: &str, at: usize) -> bool {
    let mut letters = text.get(at..).unwrap_or("").chars().take_while(|c| c.is_alphabetic());
    match (letters.next(), letters.next()) {
        (Some('s' | 'S'), None) | (None, _) => false,
        (Some(first), _) => first.is_uppercase(),
    }
}

/// What is known of a token while its bytes pass.
#[derive(Default)]
struct Shape {
    /// Kinds of signs that it has.
    seen: u8,
    /// Kinds that it has more than once.
    twice: u8,
    begins_upper: bool,
}

impl Shape {
    const LOWER: u8 = 1;
    const UPPER: u8 = 2;
    const DIGIT: u8 = 4;
    /// A sign beyond ASCII, or an apostrophe, which both ask for a closer look.
    const ODD: u8 = 8;

    fn see(&mut self, class: u8) {
        self.twice |= self.seen & class;
        self.seen |= class;
    }

    fn has_letters(&self) -> bool {
        self.seen & (Shape::LOWER | Shape::UPPER) != 0
    }

    fn upper(&mut self) {
        self.begins_upper |= !self.has_letters() && self.seen & Shape::DIGIT == 0;
        self.see(Shape::UPPER);
    }

    fn letter(&mut self, letter: char) {
        self.see(Shape::ODD);
        if letter.is_uppercase() { self.upper() } else { self.see(Shape::LOWER) }
    }

    fn token(&self, text: &str, start: usize, end: usize, gap: Gap) -> Token {
        let mut token = Token { end, ..sign(start, 0, gap) };
        token.kind = match (self.has_letters(), self.seen & Shape::DIGIT != 0) {
            (_, false) => Kind::Word,
            (false, true) => Kind::Number,
            (true, true) => Kind::Mixed,
        };
        if token.kind != Kind::Word {
            return token;
        }
        let (one, more) = (self.seen & Shape::UPPER != 0, self.twice & Shape::UPPER != 0);
        let lower = self.seen & Shape::LOWER != 0;
        token.case = match (one, more, lower) {
            (false, _, _) => Case::Lower,
            (_, false, false) => Case::Initial,
            (_, true, false) => Case::Upper,
            (_, false, true) if self.begins_upper => Case::Title,
            (_, true, true) if self.begins_upper => Case::Inner,
            _ => Case::Other,
        };
        let word = text.get(start..end).unwrap_or("");
        let folded = token.case == Case::Lower && word.len() <= WORD_BYTES_MAX;
        token.hash = match self.seen & Shape::ODD {
            0 if folded => lexicon::hash(word.as_bytes()),
            0 => folded_hash(word),
            _ => odd_hash(word),
        };
        token.flags = lexicon::flags(token.hash);
        token.cues = super::cue::cues(token.hash);
        token
    }
}

/// The longest word that is looked up, in bytes.
const WORD_BYTES_MAX: usize = 32;

/// The hash of a word in small letters without accents and apostrophes.
fn odd_hash(word: &str) -> u64 {
    let mut folded: SmallVec<[u8; WORD_BYTES_MAX]> = SmallVec::new();
    for sign in word.chars() {
        let plain = any_ascii::any_ascii_char(sign).bytes().filter(u8::is_ascii_alphabetic);
        folded.extend(plain.map(|letter| letter.to_ascii_lowercase()));
    }
    lexicon::hash(&folded)
}

/// The hash of a word of ASCII letters in small ones.
#[must_use]
pub fn folded_hash(word: &str) -> u64 {
    let mut buffer = [0; WORD_BYTES_MAX];
    let length = word.len().min(WORD_BYTES_MAX);
    let folded = &mut buffer[..length];
    folded.copy_from_slice(&word.as_bytes()[..length]);
    folded.make_ascii_lowercase();
    lexicon::hash(folded)
}
