//! Negotiated prices: what an organisation or a team pays in place of the list price.

use std::fmt;

use jiff::civil::Date;

use super::per_million;
use super::rules::holds;
use crate::accounting::money::ATTO_PER_USD;
use crate::accounting::{Money, TokenKind};

/// Decimals a discount may have. With four, every amount stays exact with every modifier.
const DISCOUNT_DECIMALS: usize = 6;
/// 10 to the power of [`DISCOUNT_DECIMALS`].
const DISCOUNT_UNITS: i128 = 1_000_000;
/// Atto-dollars, as [`Money`] parses decimals, in one of those units.
const ATTO_PER_UNIT: i128 = 1_000_000_000_000;

/// A discount, as the exact fraction that is left to pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discount {
    pub(in crate::accounting) num: i128,
    pub(in crate::accounting) den: i128,
}

/// A text is not a discount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a discount; write the part that is taken off, from 0 to 1, like 0.075")]
pub struct DiscountError(pub String);

impl std::str::FromStr for Discount {
    type Err = DiscountError;

    fn from_str(text: &str) -> Result<Discount, DiscountError> {
        let error = || DiscountError(text.chars().take(64).collect());
        let decimals = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        if decimals > DISCOUNT_DECIMALS {
            return Err(error());
        }
        let off = text.parse::<Money>().map_err(|_| error())?.atto().div_euclid(ATTO_PER_UNIT);
        if !(0..=DISCOUNT_UNITS).contains(&off) {
            return Err(error());
        }
        let (num, den) = reduced(DISCOUNT_UNITS.saturating_sub(off), DISCOUNT_UNITS);
        Ok(Discount { num, den })
    }
}

/// The same fraction in lowest terms.
fn reduced(num: i128, den: i128) -> (i128, i128) {
    let (mut a, mut b) = (num, den);
    while b != 0 {
        (a, b) = (b, a.checked_rem(b).unwrap_or(0));
    }
    (num.checked_div(a).unwrap_or(num), den.checked_div(a).unwrap_or(den))
}

/// What is paid in place of the list price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::accounting) enum Price {
    /// A part of the list price.
    Discount(Discount),
    /// Pico-dollars per token in place of the list rate, at any prompt length in standard mode.
    Rate(u64),
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Price::Discount(Discount { num, den }) => {
                // The loader reads at most six decimals of a part: so many of a percent are whole.
                let off = den.saturating_sub(*num).saturating_mul(ATTO_PER_USD).saturating_mul(100);
                let percent = Money::from_atto(off.checked_div(*den).unwrap_or(0));
                write!(f, "discount of {percent} %")
            }
            Price::Rate(pico) => write!(f, "rate of {} per million", per_million(*pico)),
        }
    }
}

/// A negotiated price and where it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::accounting) struct Contract {
    pub(in crate::accounting) from: Date,
    pub(in crate::accounting) to: Option<Date>,
    /// Everybody where absent.
    pub(in crate::accounting) team: Option<String>,
    /// A model's id; every model where absent.
    pub(in crate::accounting) model: Option<String>,
    /// Every kind of token where absent.
    pub(in crate::accounting) kind: Option<TokenKind>,
    pub(in crate::accounting) price: Price,
    pub(in crate::accounting) source: String,
}

impl Contract {
    fn covers(&self, team: Option<&str>, model: &str, kind: TokenKind) -> bool {
        self.team.as_deref().is_none_or(|own| Some(own) == team)
            && self.model.as_deref().is_none_or(|own| own == model)
            && self.kind.is_none_or(|own| own == kind)
    }

    /// A team's price comes before an organisation's, a model's before all models', a kind's
    /// before all kinds', in this order of weight.
    const fn rank(&self) -> (bool, bool, bool) {
        (self.team.is_some(), self.model.is_some(), self.kind.is_some())
    }

    /// Whether both would hold for the same tokens with the same rank.
    pub(super) fn contradicts(&self, other: &Contract) -> bool {
        let starts_before_end = |a: &Contract, b: &Contract| b.to.is_none_or(|to| a.from < to);
        self.team == other.team
            && self.model == other.model
            && self.kind == other.kind
            && starts_before_end(self, other)
            && starts_before_end(other, self)
    }
}

/// All negotiated prices.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::accounting) struct Contracts(pub(super) Vec<Contract>);

impl Contracts {
    /// The one price that holds: the most specific. They do not add up.
    pub(in crate::accounting) fn find(
        &self,
        (team, day): (Option<&str>, Date),
        model: &str,
        kind: TokenKind,
    ) -> Option<&Contract> {
        self.holding((team, day), model, kind).max_by_key(|one| one.rank())
    }

    /// Every price that holds, specific or not.
    pub(in crate::accounting) fn holding<'a, 'k>(
        &'a self,
        (team, day): (Option<&'k str>, Date),
        model: &'k str,
        kind: TokenKind,
    ) -> impl Iterator<Item = &'a Contract> {
        self.0
            .iter()
            .filter(move |one| holds(Some(one.from), one.to, day) && one.covers(team, model, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discount_is_an_exact_fraction_of_what_is_left() {
        for (text, num, den) in
            [("0.075", 37, 40), ("0", 1, 1), ("1", 0, 1), ("0.333333", 666_667, 1_000_000)]
        {
            assert_eq!(text.parse(), Ok(Discount { num, den }), "{text}");
        }
        let off = |text: &str| Price::Discount(text.parse().unwrap()).to_string();
        assert_eq!(
            (off("0.075"), off("0.333333")),
            ("discount of 7.5 %".into(), "discount of 33.3333 %".into())
        );
        for text in ["", "7.5", "-0.1", "0.0000001", "7%", "1.000001"] {
            assert_eq!(text.parse::<Discount>(), Err(DiscountError(text.to_owned())));
        }
    }
}
