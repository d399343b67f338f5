//! Exact amounts of money.
//!
//! One unit is an atto-dollar (10⁻¹⁸ USD): the smallest power of ten that keeps every published
//! rate, every modifier (batch 1/2, geography 11/10) and a four-decimal discount exact per token.
//! A nano-dollar is too coarse: a Haiku 5.5 cache read in a US batch costs 5.5 nano-dollars.

use std::fmt;
use std::iter::Sum;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Digits after the decimal point that [`Money`] keeps.
pub const DECIMALS: u32 = 18;
/// Atto-dollars in one US dollar.
pub const ATTO_PER_USD: i128 = 1_000_000_000_000_000_000;
/// Atto-dollars in one nano-dollar; [`Money::split_nano`] cuts here.
const ATTO_PER_NANO: i128 = 1_000_000_000;

/// An amount in US dollars, held as a whole number of atto-dollars. Range ±1.7 × 10²⁰ USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i128);

/// An amount left the range of [`Money`]: the quantity or the rate is absurd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the amount is beyond 1.7e20 USD; check the token counts and the rate")]
pub struct MoneyOverflow;

/// A text is not a decimal amount of at most 18 decimals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an amount: write digits, at most one point and at most 18 decimals, like 0.0125"
)]
pub struct MoneyParseError(pub String);

impl Money {
    /// No money at all. Not the same as an unknown amount, which is the absence of a `Money`.
    pub const ZERO: Money = Money(0);

    /// From atto-dollars.
    #[must_use]
    pub const fn from_atto(atto: i128) -> Self {
        Money(atto)
    }

    /// In atto-dollars.
    #[must_use]
    pub const fn atto(self) -> i128 {
        self.0
    }

    /// The sum, or an error where it leaves the range.
    pub fn checked_add(self, other: Money) -> Result<Money, MoneyOverflow> {
        self.0.checked_add(other.0).map(Money).ok_or(MoneyOverflow)
    }

    /// The difference, or an error where it leaves the range.
    pub fn checked_sub(self, other: Money) -> Result<Money, MoneyOverflow> {
        self.0.checked_sub(other.0).map(Money).ok_or(MoneyOverflow)
    }

    /// The sum, held at the end of the range. For running totals only, where an error has no one
    /// to go to; a single charge uses [`Money::checked_add`].
    #[must_use]
    pub const fn saturating_add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }

    /// As (nano-dollars, remaining atto-dollars), the second in `0..1_000_000_000`. Both parts add
    /// up exactly in 64-bit integer columns over billions of rows.
    #[must_use]
    pub fn split_nano(self) -> (i64, i64) {
        let nano = self.0.div_euclid(ATTO_PER_NANO);
        let rest = self.0.rem_euclid(ATTO_PER_NANO);
        let nano = i64::try_from(nano).unwrap_or(if nano < 0 { i64::MIN } else { i64::MAX });
        (nano, i64::try_from(rest).unwrap_or(0))
    }

    /// The inverse of [`Money::split_nano`], also for sums of its parts.
    #[must_use]
    pub const fn from_nano(nano: i64, atto: i64) -> Money {
        Money((nano as i128).saturating_mul(ATTO_PER_NANO).saturating_add(atto as i128))
    }

    /// Rounded half-even to `decimals` places for people to read; money that is added up again
    /// must never pass through here.
    #[must_use]
    pub fn display_rounded(self, decimals: u32) -> String {
        let decimals = decimals.min(DECIMALS);
        let step = 10_i128.pow(DECIMALS.saturating_sub(decimals));
        let (whole, rest) = (self.0.div_euclid(step), self.0.rem_euclid(step));
        let twice = rest.saturating_mul(2);
        let up = twice > step || (twice == step && whole.rem_euclid(2) == 1);
        let units = whole.saturating_add(i128::from(up));
        let scale = 10_u128.pow(decimals);
        let (sign, magnitude) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
        let (dollars, fraction) = (magnitude.div_euclid(scale), magnitude.rem_euclid(scale));
        if decimals == 0 {
            return format!("{sign}{dollars}");
        }
        format!("{sign}{dollars}.{fraction:0width$}", width = decimals as usize)
    }
}

/// Exact, with no trailing zeros: `0.0123`, `-1.5`, `0`. On the path of every call, several times:
/// the digits are written without an allocation.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let unit = ATTO_PER_USD.unsigned_abs();
        let (dollars, fraction) = (magnitude.div_euclid(unit), magnitude.rem_euclid(unit));
        if self.0 < 0 {
            f.write_str("-")?;
        }
        match u64::try_from(dollars) {
            Ok(dollars) => fmt::Display::fmt(&dollars, f)?,
            Err(_) => fmt::Display::fmt(&dollars, f)?,
        }
        // Below 10¹⁸, so it fits.
        let mut rest = u64::try_from(fraction).unwrap_or_default();
        if rest == 0 {
            return Ok(());
        }
        let mut text = [b'0'; DECIMALS as usize + 1];
        text[0] = b'.';
        for digit in text.iter_mut().skip(1).rev() {
            *digit = b'0'.saturating_add(u8::try_from(rest.rem_euclid(10)).unwrap_or_default());
            rest = rest.div_euclid(10);
        }
        let end = text.iter().rposition(|digit| *digit != b'0').unwrap_or_default();
        let shown = text.get(..=end).and_then(|digits| std::str::from_utf8(digits).ok());
        f.write_str(shown.unwrap_or_default())
    }
}

impl FromStr for Money {
    type Err = MoneyParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || MoneyParseError(text.chars().take(64).collect());
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || !plain(fraction) || fraction.len() > DECIMALS as usize {
            return Err(error());
        }
        let whole: i128 = whole.parse().map_err(|_| error())?;
        let padded = format!("{fraction:0<18}");
        let fraction: i128 = padded.parse().map_err(|_| error())?;
        let atto = whole
            .checked_mul(ATTO_PER_USD)
            .and_then(|w| w.checked_add(fraction))
            .ok_or_else(error)?;
        Ok(Money(if negative { atto.saturating_neg() } else { atto }))
    }
}

/// Adds up, held at the end of the range.
impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(iter: I) -> Money {
        iter.fold(Money::ZERO, Money::saturating_add)
    }
}

/// A decimal string: JSON numbers would lose digits in most readers.
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_exactly_what_it_holds() {
        for text in ["0", "0.000000000000000001", "-1.5", "1234567.89", "0.0000000055"] {
            assert_eq!(text.parse::<Money>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_not_an_amount() {
        for text in ["", "1.", ".5", "1e3", "+1", "1,5", "NaN", "0.0000000000000000001"] {
            assert!(text.parse::<Money>().is_err(), "{text}");
        }
    }

    #[test]
    fn rounds_half_even_for_display_only() {
        let shown = |t: &str, d| t.parse::<Money>().unwrap().display_rounded(d);
        assert_eq!(shown("0.125", 2), "0.12");
        assert_eq!(shown("0.135", 2), "0.14");
        assert_eq!(shown("0.1250001", 2), "0.13");
        assert_eq!(shown("-0.125", 2), "-0.12");
        assert_eq!(shown("2.5", 0), "2");
    }

    #[test]
    fn splits_into_columns_that_add_up() {
        let parts = ["0.0000000055", "-3.000000000000000001", "12"];
        let money: Vec<Money> = parts.iter().map(|t| t.parse().unwrap()).collect();
        let (nano, atto) =
            money.iter().map(|m| m.split_nano()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        assert_eq!(Money::from_nano(nano, atto), money.into_iter().sum());
    }

    #[test]
    fn overflow_is_an_error() {
        assert_eq!(Money(i128::MAX).checked_add(Money(1)), Err(MoneyOverflow));
    }
}
