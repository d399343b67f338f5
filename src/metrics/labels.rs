//! Labels whose values come from outside, each from a bounded set.

use std::collections::BTreeSet;
use std::sync::Mutex;

use prometheus::IntCounter;

use super::build::lock;

/// Most values one label can take before the rest is counted as [`OTHER`].
pub const LABEL_VALUES_MAX: usize = 200;
/// The label of what has no label of its own.
pub const OTHER: &str = "other";

/// The values one label has taken.
pub(super) struct Label {
    known: Mutex<BTreeSet<String>>,
    overflow: IntCounter,
}

impl Label {
    /// No value yet; what does not fit counts in `overflow`.
    pub(super) fn new(overflow: &IntCounter) -> Label {
        Label { known: Mutex::default(), overflow: overflow.clone() }
    }

    /// The value itself while there is room, else [`OTHER`].
    pub(super) fn bounded(&self, value: &str) -> String {
        let mut known = lock(&self.known);
        if known.contains(value) {
            return value.to_owned();
        }
        if known.len() >= LABEL_VALUES_MAX {
            self.overflow.inc();
            return OTHER.to_owned();
        }
        known.insert(value.to_owned());
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
        assert_eq!(lock(&label.known).len(), LABEL_VALUES_MAX);
        assert_eq!(overflow.get(), 10);
        assert_eq!(label.bounded("5"), "5");
    }
}
