//! Whether the ledger and the simulated API's bill say the same: in sum, and of every call.

use std::collections::BTreeMap;

/// Two sides of one account; amounts as text, exact.
pub(super) struct Verdict<'a> {
    /// What the simulated API charged, by request id.
    pub(super) charges: &'a BTreeMap<String, String>,
    /// The sum of that.
    pub(super) charged: &'a str,
    /// What the ledger has for each request id that cost something.
    pub(super) recorded: &'a BTreeMap<String, String>,
    /// The report's total.
    pub(super) total: &'a str,
}

impl Verdict<'_> {
    /// `None` where all is equal, else what differs and what to do about it.
    pub(super) fn difference(&self) -> Option<String> {
        let Verdict { charges, charged, recorded, total } = self;
        if charged == total && charges == recorded {
            return None;
        }
        let differs = |id: &&String| charges.get(*id) != recorded.get(*id);
        let first = charges.keys().chain(recorded.keys()).find(differs);
        let of = |amounts: &BTreeMap<String, String>| {
            let amount = first.and_then(|id| amounts.get(id));
            amount.map_or_else(|| "nothing".to_owned(), |usd| format!("${usd}"))
        };
        let call = first.map_or_else(String::new, |id| {
            format!("; of request {id}, {} and {}", of(charges), of(recorded))
        });
        Some(format!(
            "the simulated API charged ${charged} and the ledger says ${total}{call}. Either a \
             price has changed since this version was made, or this is a defect: please report it"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(charges: &[(&str, &str)], recorded: &[(&str, &str)]) -> Option<String> {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(id, usd)| ((*id).to_owned(), (*usd).to_owned())).collect()
        };
        let (charges, recorded) = (&map(charges), &map(recorded));
        Verdict { charges, charged: "3", recorded, total: "3" }.difference()
    }

    #[test]
    fn equal_sums_of_different_calls_are_not_equal() {
        assert_eq!(difference(&[("a", "1"), ("b", "2")], &[("a", "1"), ("b", "2")]), None);
        let text = difference(&[("a", "1"), ("b", "2")], &[("a", "2"), ("b", "1")]).unwrap();
        assert!(text.contains("request a, $1 and $2"), "{text}");
        let text = difference(&[("a", "3")], &[("a", "3"), ("b", "0")]).unwrap();
        assert!(text.contains("request b, nothing and $0"), "{text}");
    }

    #[test]
    fn a_different_sum_is_told() {
        let none = BTreeMap::new();
        let verdict = Verdict { charges: &none, charged: "3", recorded: &none, total: "3.1" };
        let text = verdict.difference().unwrap();
        assert!(
            text.starts_with("the simulated API charged $3 and the ledger says $3.1."),
            "{text}"
        );
    }
}
