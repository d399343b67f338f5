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

/// How often a text is read again at most in strict mode; most are settled after one.
const ROUNDS_MAX: usize = 8;

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
        // Nobody stops it; if it were stopped, nothing of the text would be left.
        let whole = || vec![Finding::new(0, text.len(), Label::Custom, "stopped")];
        document::findings(text, &self.rules, known, &|| false).unwrap_or_else(whole)
    }

    /// The text without what is found in it.
    #[must_use]
    pub fn redact(&self, text: &str, known: &mut Known) -> Outcome {
        let findings = self.findings(text, known);
        let text = self.settled(replaced(text, &findings), known);
        Outcome { text, counts: counts(&findings) }
    }

    /// The same, unless `stop` says that nobody waits any more: it is asked before each part of the
    /// text is scanned. `None` where it was stopped; nothing of the text is to be kept then.
    #[must_use]
    pub fn redact_until(
        &self,
        text: &str,
        known: &mut Known,
        stop: &dyn Fn() -> bool,
    ) -> Option<Outcome> {
        let findings = document::findings(text, &self.rules, known, stop)?;
        let text = self.settled(replaced(text, &findings), known);
        Some(Outcome { text, counts: counts(&findings) })
    }

    /// A redacted text that is redacted once more stays as it is. In strict mode what stands beside
    /// a placeholder may read in another way than before, so it is read until nothing is found.
    #[must_use]
    pub fn settled(&self, mut text: Redacted, known: &mut Known) -> Redacted {
        for _ in 0..ROUNDS_MAX {
            let findings = match self.rules.mode {
                Mode::Standard => return text,
                Mode::Strict => self.findings(text.as_str(), known),
            };
            if findings.is_empty() {
                break;
            }
            text = replaced(text.as_str(), &findings);
        }
        text
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_stop_holds_within_one_text() {
        let redactor = Redactor::default();
        let text = format!("[{}\"end\"]", "{\"note\": \"Seen by Dr. Roe.\"},".repeat(500));
        let asked = Cell::new(0);
        let stop_at = |limit: u32| {
            asked.set(0);
            let stop = || {
                asked.set(asked.get() + 1);
                asked.get() > limit
            };
            redactor.redact_until(&text, &mut Known::default(), &stop)
        };
        assert!(stop_at(10).is_none());
        assert_eq!(asked.get(), 11, "nothing is scanned behind the stop");
        let whole = stop_at(u32::MAX).unwrap().text;
        assert_eq!(whole, redactor.redact(&text, &mut Known::default()).text);
        assert!(!whole.as_str().contains("Roe") && asked.get() >= 500);
    }
}
