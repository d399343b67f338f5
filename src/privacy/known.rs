//! Names that a session has told: who was `John Smith` once is `Smith` later.
//!
//! Hashes of words, in memory only, forgotten with the session.

use std::collections::HashSet;

use super::cue::Cues;
use super::text::Text;
use super::token::{Case, Token};

/// How many names of one session are remembered.
pub const NAMES_MAX: usize = 4_096;

/// The names that one session has told so far.
#[derive(Clone, Debug, Default)]
pub struct Known {
    names: HashSet<u64>,
}

impl Known {
    /// Remembers the words of a name.
    pub fn learn(&mut self, name: &Text<'_>) {
        for token in &name.tokens {
            let small = token.case == Case::Lower && token.flags.is_name();
            let name = (token.is_capital() || small) && token.len() >= 3;
            let word = token.flags.is_known()
                || token.cues.has(Cues::STOP.or(Cues::TITLE).or(Cues::PROPER));
            if name && !word && self.names.len() < NAMES_MAX {
                self.names.insert(token.hash);
            }
        }
    }

    /// The session has told this word as a name.
    #[must_use]
    pub fn has(&self, token: &Token) -> bool {
        matches!(token.case, Case::Title | Case::Upper | Case::Inner | Case::Lower)
            && self.names.contains(&token.hash)
            && (token.case != Case::Lower || !token.flags.is_known())
    }

    /// Nothing has been told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}
