//! Names that a session has told: who was `John Smith` once is `Smith` later.
//!
//! Hashes of words, in memory only, forgotten with the session.

use std::collections::HashSet;

use super::cue::{ByHash, Cues};
use super::logins;
use super::token::{Case, Token};

/// How many names of one session are remembered.
pub const NAMES_MAX: usize = 4_096;

/// A word is a name again where it is written as names are, or in small letters and on no list of
/// words.
#[must_use]
pub fn may_recall(token: &Token) -> bool {
    match token.case {
        Case::Title | Case::Upper | Case::Inner => true,
        Case::Lower => !token.flags.is_known(),
        Case::Initial | Case::Other => false,
    }
}

/// The names that one session has told so far.
#[derive(Clone, Debug, Default)]
pub struct Known {
    names: HashSet<u64, ByHash>,
}

impl Known {
    /// Remembers the words of a name.
    pub fn learn(&mut self, name: &[Token]) {
        for token in name {
            let small = token.case == Case::Lower && token.flags.is_name();
            let name = (token.is_capital() || small) && token.len() >= 3;
            let word = token.flags.is_known()
                || token.cues.has(Cues::STOP.or(Cues::TITLE).or(Cues::PROPER));
            if name && !word && self.names.len() < NAMES_MAX {
                self.names.insert(token.hash);
            }
        }
    }

    /// Remembers the words of a login: who owns a file is named in its listing, too.
    pub fn learn_login(&mut self, login: &[Token]) {
        for hash in logins::told(login) {
            if self.names.len() < NAMES_MAX {
                self.names.insert(hash);
            }
        }
    }

    /// The session has told this word as a name.
    #[must_use]
    pub fn has(&self, hash: u64) -> bool {
        self.names.contains(&hash)
    }

    /// Nothing has been told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}
