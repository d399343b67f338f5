//! The remover: a text goes in, a [`Redacted`] comes out.

use super::document;
use super::finding::Finding;
use super::known::Known;
use super::label::Label;
use super::redacted::Redacted;
use super::rules::{Mode, Rules};
use super::{contact, forms, lexicon, secrets};

/// The longest text that is redacted, in bytes: what is longer is dropped by its keeper.
pub const TEXT_BYTES_MAX: usize = 4 << 20;

/// Redacts texts by rules.
#[derive(Debug, Default)]
pub struct Redactor {
    rules: Rules,
}

/// A redacted text and what was found in it.
#[derive(Debug)]
pub struct Outcome {
    /// The text without what was found.
    pub text: Redacted,
    /// How often each label was found, in the order of [`Label::ALL`].
    pub counts: [u32; Label::ALL.len()],
}

impl Redactor {
    /// With these rules.
    #[must_use]
    pub fn new(rules: Rules) -> Redactor {
        Redactor { rules }
    }

    /// Unpacks lists and compiles patterns, so that no text has to wait for it.
    pub fn load() {
        lexicon::load();
        forms::load();
        secrets::load();
        contact::load();
    }

    /// How strictly it redacts.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.rules.mode
    }

    /// What is found in a text, in order and without overlap. Names are remembered in `known`, and
    /// names told before are found.
    #[must_use]
    pub fn findings(&self, text: &str, known: &mut Known) -> Vec<Finding> {
        document::findings(text, &self.rules, known)
    }

    /// The text without what is found in it.
    #[must_use]
    pub fn redact(&self, text: &str, known: &mut Known) -> Outcome {
        let findings = self.findings(text, known);
        Outcome { text: replaced(text, &findings), counts: counts(&findings) }
    }
}

/// Puts placeholders in the place of findings. A number of JSON that had no quotes gets them, so
/// that the document stays one.
#[must_use]
pub fn replaced(text: &str, findings: &[Finding]) -> Redacted {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for finding in findings {
        out.push_str(text.get(from..finding.start).unwrap_or(""));
        let quote = finding.quote.and_then(|(start, end)| text.get(start..end)).unwrap_or("");
        out.push_str(quote);
        out.push_str(finding.label.placeholder());
        out.push_str(quote);
        from = finding.end;
    }
    out.push_str(text.get(from..).unwrap_or(""));
    Redacted::new(out)
}

fn counts(findings: &[Finding]) -> [u32; Label::ALL.len()] {
    let mut counts = [0; Label::ALL.len()];
    for finding in findings {
        for (count, label) in counts.iter_mut().zip(Label::ALL) {
            *count += u32::from(label == finding.label);
        }
    }
    counts
}
