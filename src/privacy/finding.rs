//! A detected identifier, and which of several that overlap is told.

use super::label::Label;

/// A detected identifier. Offsets are bytes, the end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
    /// What it is.
    pub label: Label,
    /// The rule that found it, for `redact --explain`.
    pub rule: &'static str,
    /// A number of JSON without quotes: where the document has the quote, escaped as it is there,
    /// that belongs about what stands in the number's place.
    pub quote: Option<(usize, usize)>,
}

impl Finding {
    /// A finding of `rule`.
    #[must_use]
    pub const fn new(start: usize, end: usize, label: Label, rule: &'static str) -> Finding {
        Finding { start, end, label, rule, quote: None }
    }
}

/// What a written form is where it stands.
pub enum Verdict {
    /// An identifier, by this rule.
    Is(Label, &'static str),
    /// A number of no person.
    IsNothing,
    /// The form says nothing; a cue may.
    Unknown,
}

/// In order and without overlap: findings that overlap become one, under the label of the longest.
#[must_use]
pub fn merged(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.retain(|finding| finding.start < finding.end);
    findings.sort_by_key(|finding| (finding.start, std::cmp::Reverse(finding.end)));
    let mut merged: Vec<Finding> = Vec::with_capacity(findings.len());
    let mut longest = 0;
    for finding in findings {
        let length = finding.end - finding.start;
        match merged.last_mut() {
            Some(last) if finding.start < last.end => {
                last.end = last.end.max(finding.end);
                if length > longest {
                    longest = length;
                    (last.label, last.rule) = (finding.label, finding.rule);
                }
            }
            _ => {
                longest = length;
                merged.push(finding);
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_becomes_one_under_the_longest() {
        let name = Finding::new(4, 9, Label::Name, "a");
        let mail = Finding::new(0, 7, Label::Email, "b");
        let zip = Finding::new(9, 12, Label::Zip, "c");
        let joined = Finding { start: 0, end: 9, ..mail };
        assert_eq!(merged(vec![zip, name, mail]), [joined, zip]);
        assert!(merged(vec![Finding::new(3, 3, Label::Id, "empty")]).is_empty());
    }
}
