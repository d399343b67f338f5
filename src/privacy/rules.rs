//! What an operator adds to the rules: patterns, fields, words that are names and words that are
//! not, and hosts of their own.

use std::collections::{HashMap, HashSet};

use regex::{Regex, RegexBuilder};
use thiserror::Error;

use super::finding::Finding;
use super::key::{self, Field};
use super::label::Label;
use super::lexicon;

/// The largest compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// How strictly a text is redacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// What the rules find.
    #[default]
    Standard,
    /// Also every capitalised word that is on no list of words, and every word with four digits.
    Strict,
}

/// What an operator adds.
#[derive(Debug, Default)]
pub struct Rules {
    /// How strictly.
    pub mode: Mode,
    /// Hosts whose web addresses are kept where their path has no digits.
    pub own_hosts: Vec<String>,
    patterns: Vec<(Label, Regex)>,
    fields: HashMap<String, Label>,
    allowed: HashSet<String>,
    names: HashSet<u64>,
}

/// An addition that cannot be taken.
#[derive(Debug, Error)]
pub enum RuleError {
    /// A pattern that is no regular expression, or too large a one.
    #[error("redaction pattern {name:?}: {reason}; correct the pattern or take it out")]
    Pattern {
        /// Its name in the configuration.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Rules {
    /// The rules as they come.
    #[must_use]
    pub fn new(mode: Mode) -> Rules {
        Rules { mode, ..Rules::default() }
    }

    /// Adds a pattern; what it matches is masked under `label`.
    ///
    /// # Errors
    ///
    /// When it is no regular expression, matches nothing at all, or is larger than a mebibyte.
    pub fn add_pattern(
        &mut self,
        name: &str,
        pattern: &str,
        label: Label,
    ) -> Result<(), RuleError> {
        let refused = |reason: String| RuleError::Pattern { name: name.to_owned(), reason };
        let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
        let regex = built.map_err(|error| refused(error.to_string()))?;
        if regex.is_match("") {
            return Err(refused("it matches where there is nothing".to_owned()));
        }
        self.patterns.push((label, regex));
        Ok(())
    }

    /// Adds a field: every value under this key is masked whole.
    pub fn add_field(&mut self, key: &str, label: Label) {
        self.fields.insert(key.to_ascii_lowercase(), label);
    }

    /// Adds a text that is never masked where a finding is exactly it.
    pub fn allow(&mut self, text: &str) {
        self.allowed.insert(text.to_lowercase());
    }

    /// Adds a word that is a name.
    pub fn add_name(&mut self, word: &str) {
        self.names.insert(lexicon::hash(word.to_lowercase().as_bytes()));
    }

    /// What the field with this name holds: the operator's word first.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Field> {
        let own = match self.fields.is_empty() {
            true => None,
            false => self.fields.get(&name.to_ascii_lowercase()),
        };
        own.map(|label| Field::Sure(*label)).or_else(|| key::field(name))
    }

    /// What the operator's patterns find.
    pub fn find_own(&self, text: &str, found: &mut Vec<Finding>) {
        for (label, pattern) in &self.patterns {
            for hit in pattern.find_iter(text) {
                found.push(Finding::new(hit.start(), hit.end(), *label, "pattern"));
            }
        }
    }

    /// The operator has said that the word is a name.
    #[must_use]
    pub fn names(&self, hash: u64) -> bool {
        !self.names.is_empty() && self.names.contains(&hash)
    }

    /// The operator has said that the text of this finding is kept.
    #[must_use]
    pub fn allows(&self, finding: &Finding, text: &str) -> bool {
        !self.allowed.is_empty()
            && text
                .get(finding.start..finding.end)
                .is_some_and(|found| self.allowed.contains(&found.to_lowercase()))
    }
}
