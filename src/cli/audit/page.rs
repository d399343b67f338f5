//! `summary.html`.

use super::facts::Facts;

pub(super) fn page(facts: &Facts) -> String {
    format!("<!doctype html><title>{}</title>", facts.instance)
}
