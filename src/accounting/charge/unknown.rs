//! What stands between a call and its price.

use std::fmt;

use jiff::civil::Date;

use crate::accounting::Flag;
use crate::accounting::price_book::Model;

/// Why there is no total: what the table does not cover, with the words of the usage (`'u`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown<'u, 'b> {
    /// No count at all came.
    Usage,
    Tier(&'u str),
    Speed(&'u str),
    Geography(&'u str),
    /// A batch on a day before there were any: it began on the second day.
    Batch(Date, Date),
    Model(&'u str),
    /// A model without a price on that day.
    Day(&'b Model, Date),
}

impl Unknown<'_, '_> {
    /// The flag beside `unpriced`.
    pub(super) const fn flag(&self) -> Flag {
        match self {
            Unknown::Usage => Flag::UsageUnknown,
            Unknown::Tier(_) | Unknown::Speed(_) | Unknown::Geography(_) | Unknown::Batch(..) => {
                Flag::UnknownModifier
            }
            Unknown::Model(_) | Unknown::Day(..) => Flag::Unpriced,
        }
    }
}

impl fmt::Display for Unknown<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unknown::Usage => write!(f, "the usage has no count"),
            Unknown::Tier(tier) => write!(f, "service_tier {tier:?} is not in the table"),
            Unknown::Speed(speed) => write!(f, "speed {speed:?} is not in the table"),
            Unknown::Geography(place) => write!(f, "inference_geo {place:?} is not in the table"),
            Unknown::Batch(day, from) => {
                write!(f, "no price of batches on {day} (known from {from})")
            }
            Unknown::Model(name) => write!(f, "model {name:?} is not in the table"),
            Unknown::Day(model, day) => {
                write!(f, "no price of {} on {day} (known from {}", model.id, model.released)?;
                let end = model.periods.last().and_then(|last| last.to);
                end.map_or(Ok(()), |end| write!(f, " until {end}"))?;
                write!(f, ")")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::accounting::price_book::PriceBook;
    use crate::accounting::{Call, Usage};

    #[test]
    fn what_is_not_covered_is_named() {
        let book = PriceBook::embedded().unwrap();
        let unknown = |model: &str, day: &str, usage: &Usage| {
            book.charge(&Call::new(model, day.parse().unwrap(), usage)).unwrap().unknown
        };
        let plain = || Usage { input_tokens: Some(1), output_tokens: Some(1), ..Usage::default() };
        let modifier = |field: fn(&mut Usage) -> &mut Option<String>, word: &str| {
            let mut usage = plain();
            *field(&mut usage) = Some(word.into());
            usage
        };
        for (model, day, usage, named) in [
            ("claude-x", "2026-11-20", plain(), "model \"claude-x\" is not"),
            (
                "claude-opus-5-5",
                "2020-01-01",
                plain(),
                "no price of claude-opus-5-5 on 2020-01-01 (",
            ),
            ("claude-opus-5-5", "2026-11-20", modifier(|u| &mut u.speed, "warp"), "speed \"warp\""),
            (
                "claude-opus-5-5",
                "2026-11-20",
                modifier(|u| &mut u.service_tier, "x"),
                "service_tier",
            ),
            (
                "claude-opus-5-5",
                "2026-11-20",
                modifier(|u| &mut u.inference_geo, "e"),
                "inference_geo",
            ),
            ("claude-opus-5-5", "2026-11-20", Usage::default(), "the usage has no count"),
        ] {
            let unknown = unknown(model, day, &usage).unwrap();
            assert!(unknown.starts_with(named), "{unknown}");
        }
        assert_eq!(unknown("claude-opus-5-5", "2026-11-20", &plain()), None);
    }
}
