//! Labels whose values come from outside, each from a bounded set.

use std::collections::BTreeSet;
use std::sync::Mutex;

use prometheus::IntCounter;

use super::build::lock;

/// Most values one label can take before the rest is counted as [`OTHER`].
pub const LABEL_VALUES_MAX: usize = 200;
/// How many of these may be names that only a client has said: one that invents names must not take
/// the room of those that are real.
pub const LABEL_CLAIMS_MAX: usize = 50;
/// The label of what has no label of its own.
pub const OTHER: &str = "other";

/// The values one label has taken.
pub(super) struct Label {
    known: Mutex<Known>,
    overflow: IntCounter,
}

#[derive(Default)]
struct Known {
    values: BTreeSet<String>,
    /// How many of them came as claims.
    claims: usize,
}

impl Label {
    /// No value yet; what does not fit counts in `overflow`.
    pub(super) fn new(overflow: &IntCounter) -> Label {
        Label { known: Mutex::default(), overflow: overflow.clone() }
    }

    /// The value itself while there is room, else [`OTHER`].
    pub(super) fn bounded(&self, value: &str) -> String {
        self.known_or_other(value, false)
    }

    /// The same for a name that only a client has said.
    pub(super) fn claimed(&self, value: &str) -> String {
        self.known_or_other(value, true)
    }

    fn known_or_other(&self, value: &str, claim: bool) -> String {
        let mut known = lock(&self.known);
        if known.values.contains(value) {
            return value.to_owned();
        }
        let full = known.values.len() >= LABEL_VALUES_MAX;
        if full || (claim && known.claims >= LABEL_CLAIMS_MAX) {
            self.overflow.inc();
            return OTHER.to_owned();
        }
        known.claims += usize::from(claim);
        known.values.insert(value.to_owned());
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bounded_and_the_overflow_is_counted() {
        let overflow = IntCounter::new("overflow", "help").unwrap();
        let label = Label::new(&overflow);
        for value in 0..LABEL_VALUES_MAX + 10 {
            label.bounded(&value.to_string());
        }
        assert_eq!(lock(&label.known).values.len(), LABEL_VALUES_MAX);
        assert_eq!(overflow.get(), 10);
        assert_eq!(label.bounded("5"), "5");
    }

    #[test]
    fn invented_names_leave_room_for_real_ones() {
        let overflow = IntCounter::new("overflow", "help").unwrap();
        let label = Label::new(&overflow);
        for value in 0..LABEL_VALUES_MAX {
            label.claimed(&format!("made-up-{value}"));
        }
        assert_eq!(label.claimed("one-more"), OTHER);
        assert_eq!(label.bounded("claude-opus-5-5"), "claude-opus-5-5");
        assert_eq!(label.claimed("claude-opus-5-5"), "claude-opus-5-5", "it is known by now");
    }
}
