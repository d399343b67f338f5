//! Sums over exchanges, with what is billed, estimated and notional kept apart.

use crate::accounting::{Money, TokenKind};

/// What a report needs to know of one exchange.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// When it was opened, nanoseconds since 1970 (UTC).
    pub opened_at: i64,
    /// Tokens, in the order of [`TokenKind::ALL`]; unknown counts as nothing here and is flagged.
    pub tokens: [u64; TokenKind::ALL.len()],
    /// The amount; absent where nothing was billed, or the price or the usage is unknown.
    pub usd: Option<Money>,
    /// The upper end where `usd` is the lower end of a range.
    pub usd_max: Option<Money>,
    /// The amount at list prices, where that is not `usd`.
    pub list: Option<Money>,
    /// What a cut stream may have cost beyond `usd`.
    pub estimated: Option<Money>,
    /// The upper end of that, where it is a range.
    pub estimated_max: Option<Money>,
    /// A subscription paid: `usd` is what the API would have cost.
    pub notional: bool,
    /// Usage was billed and no rate is known.
    pub unpriced: bool,
    /// It has not closed yet.
    pub open: bool,
    /// A correction moved it to its cost centre.
    pub moved: bool,
    /// The flags as they stand in the ledger: a JSON array.
    pub flags: Option<&'a str>,
    /// The pricing table that gave the rates.
    pub pricing: Option<&'a str>,
    /// A further part of an exchange that is divided: its first part counts it.
    pub further: bool,
}

impl<'a> Facts<'a> {
    /// The exchange in so many equal parts. What a division leaves over is the first one's, so that
    /// the parts add up to the whole.
    pub fn parts(&self, parts: usize) -> impl Iterator<Item = Facts<'a>> + use<'a> {
        let (whole, parts) = (*self, parts.max(1));
        (0..parts).map(move |place| whole.part(parts, place == 0))
    }

    fn part(&self, parts: usize, is_first: bool) -> Facts<'a> {
        let (by, by_money) = (parts as u64, parts as i128);
        let tokens = |count: u64| count / by + if is_first { count % by } else { 0 };
        let money = |amount: Option<Money>| {
            let atto = amount?.atto();
            Some(Money::from_atto(atto / by_money + if is_first { atto % by_money } else { 0 }))
        };
        Facts {
            tokens: self.tokens.map(tokens),
            usd: money(self.usd),
            usd_max: money(self.usd_max),
            list: money(self.list),
            estimated: money(self.estimated),
            estimated_max: money(self.estimated_max),
            further: self.further || !is_first,
            ..*self
        }
    }
}

/// Sums over a group of exchanges. No amount is in two of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many.
    pub exchanges: u64,
    /// Tokens, in the order of [`TokenKind::ALL`].
    pub tokens: [u64; TokenKind::ALL.len()],
    /// What is billed at contracted prices, as the API reported the usage.
    pub usd: Money,
    /// The same where every range is taken at its upper end.
    pub usd_max: Money,
    /// The same as `usd` at list prices.
    pub list: Money,
    /// Estimates for cut streams, beyond `usd`.
    pub estimated: Money,
    /// The upper end of the estimates.
    pub estimated_max: Money,
    /// What subscriptions paid for, at the API's prices: nobody is billed for it.
    pub notional: Money,
    /// Exchanges whose amount is not known because their model has no rate: not in `usd`.
    pub unpriced: u64,
    /// Exchanges whose usage was never seen: not in `usd`.
    pub unknown: u64,
    /// Exchanges that ended early: their output is a lower bound.
    pub partial: u64,
    /// Exchanges with an estimate.
    pub guessed: u64,
    /// Exchanges whose amount is a range.
    pub ranges: u64,
    /// Exchanges that a subscription paid for.
    pub subscribed: u64,
    /// Exchanges that have not closed yet.
    pub open: u64,
    /// Exchanges that a correction moved here.
    pub moved: u64,
    /// What is billed for those; in `usd` too.
    pub moved_usd: Money,
}

impl Sums {
    /// Counts one exchange.
    pub fn add(&mut self, facts: &Facts<'_>) {
        let counted = !facts.further;
        self.exchanges += u64::from(counted);
        for (sum, tokens) in self.tokens.iter_mut().zip(facts.tokens) {
            *sum = sum.saturating_add(tokens);
        }
        self.unpriced += u64::from(counted && facts.unpriced);
        self.open += u64::from(counted && facts.open);
        self.moved += u64::from(counted && facts.moved);
        if let Some(flags) = facts.flags {
            let flagged = |name: &str| u64::from(counted && has_flag(flags, name));
            self.unknown += flagged("usage_unknown");
            self.partial += flagged("partial");
        }
        let usd = facts.usd.unwrap_or(Money::ZERO);
        if facts.notional {
            self.subscribed += u64::from(counted);
            self.notional = self.notional.saturating_add(usd);
            return;
        }
        self.usd = self.usd.saturating_add(usd);
        if facts.moved {
            self.moved_usd = self.moved_usd.saturating_add(usd);
        }
        // An upper end without a lower one bounds nothing: the call is unpriced.
        let most = facts.usd_max.filter(|_| facts.usd.is_some());
        self.usd_max = self.usd_max.saturating_add(most.unwrap_or(usd));
        self.list = self.list.saturating_add(facts.list.unwrap_or(usd));
        self.ranges += u64::from(counted && most.is_some());
        if let Some(estimated) = facts.estimated {
            let upper = facts.estimated_max.unwrap_or(estimated);
            self.guessed += u64::from(counted);
            self.estimated = self.estimated.saturating_add(estimated);
            self.estimated_max = self.estimated_max.saturating_add(upper);
        }
    }

    /// Adds another group.
    pub fn merge(&mut self, other: &Sums) {
        for (sum, tokens) in self.tokens.iter_mut().zip(other.tokens) {
            *sum = sum.saturating_add(tokens);
        }
        for (sum, more) in [
            (&mut self.usd, other.usd),
            (&mut self.usd_max, other.usd_max),
            (&mut self.list, other.list),
            (&mut self.estimated, other.estimated),
            (&mut self.estimated_max, other.estimated_max),
            (&mut self.notional, other.notional),
            (&mut self.moved_usd, other.moved_usd),
        ] {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in [
            (&mut self.exchanges, other.exchanges),
            (&mut self.unpriced, other.unpriced),
            (&mut self.unknown, other.unknown),
            (&mut self.partial, other.partial),
            (&mut self.guessed, other.guessed),
            (&mut self.ranges, other.ranges),
            (&mut self.subscribed, other.subscribed),
            (&mut self.open, other.open),
            (&mut self.moved, other.moved),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// Whether a JSON array of names holds `name`.
#[must_use]
pub fn has_flag(flags: &str, name: &str) -> bool {
    flags.split('"').any(|part| part == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_by_name() {
        let mut sums = Sums::default();
        let flags = Some(r#"["partial","usage_unknown"]"#);
        sums.add(&Facts { flags, ..Facts::default() });
        sums.add(&Facts { flags: Some(r#"["not_partial"]"#), ..Facts::default() });
        assert_eq!((sums.partial, sums.unknown, sums.exchanges), (1, 1, 2));
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let usd = |text: &str| Some(text.parse::<Money>().unwrap());
        let plain = Facts {
            tokens: [10, 1, 0, 7, 3],
            usd: usd("1.000000000000000001"),
            usd_max: usd("2"),
            estimated: usd("0.1"),
            unpriced: true,
            moved: true,
            flags: Some(r#"["partial"]"#),
            ..Facts::default()
        };
        let subscribed = Facts { notional: true, open: true, ..plain };
        for facts in [plain, subscribed, Facts::default()] {
            let mut whole = Sums::default();
            whole.add(&facts);
            for parts in 0..9 {
                let mut sums = Sums::default();
                facts.parts(parts).for_each(|part| sums.add(&part));
                assert_eq!(sums, whole, "{parts}");
            }
        }
        let shares: Vec<_> = plain.parts(3).map(|part| (part.tokens[0], part.usd)).collect();
        let (first, other) = (usd("0.333333333333333335"), usd("0.333333333333333333"));
        assert_eq!(shares, [(4, first), (3, other), (3, other)]);
    }

    #[test]
    fn what_is_billed_estimated_and_notional_stays_apart() {
        let usd = |text: &str| Some(text.parse::<Money>().unwrap());
        let mut sums = Sums::default();
        sums.add(&Facts { usd: usd("1"), list: usd("1.5"), ..Facts::default() });
        sums.add(&Facts { usd: usd("2"), usd_max: usd("2.25"), ..Facts::default() });
        sums.add(&Facts { usd: usd("4"), estimated: usd("0.5"), ..Facts::default() });
        let range = Facts { estimated: usd("1"), estimated_max: usd("3"), ..Facts::default() };
        sums.add(&range);
        sums.add(&Facts { usd: usd("100"), list: usd("101"), notional: true, ..range });
        let mut twice = sums.clone();
        twice.merge(&sums);
        for (sums, times) in [(sums, 1), (twice, 2)] {
            let times = |text: &str| (0..times).map(|_| text.parse().unwrap()).sum::<Money>();
            assert_eq!(sums.usd, times("7"));
            assert_eq!(sums.usd_max, times("7.25"));
            assert_eq!(sums.list, times("7.5"));
            assert_eq!((sums.estimated, sums.estimated_max), (times("1.5"), times("3.5")));
            assert_eq!(sums.notional, times("100"));
        }
    }
}
