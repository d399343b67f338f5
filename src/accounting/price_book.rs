//! The pricing table: which rates held for which model on which day.
//!
//! The table is data (`pricing/claude.toml`), read once and never changed; a new price is a new
//! table with a new version. Names match exactly: a prefix or family rule would price
//! `claude-opus-4-8` at three times its rate, and an unknown model must come out as *unpriced*.
//!
//! A rate is a whole number of pico-dollars (10⁻¹² USD) per token, which is what a price per
//! million tokens with up to six decimals is.

mod check;
mod platform;
mod table;

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::civil::Date;

pub use check::{PriceBookError, Problem};
pub(super) use platform::Platform;

use crate::accounting::{Money, TokenKind};

/// The table that is compiled in.
const EMBEDDED: &str = include_str!("../../pricing/claude.toml");
/// Atto-dollars in a pico-dollar: turns rates into [`Money`], and is what modifiers multiply.
pub(super) const ATTO_PER_PICO: u64 = 1_000_000;
/// Hexadecimal digits of the content hash in [`PriceBook::version`].
const VERSION_HASH_DIGITS: usize = 12;

/// All rates, for all models and days. Immutable.
#[derive(Debug)]
pub struct PriceBook {
    version: String,
    models: Vec<Model>,
    /// Every exact name (id, alias, Vertex form) to its place in `models`.
    names: HashMap<String, usize>,
    pub(super) modifiers: Modifiers,
    pub(super) web_search: Money,
}

impl PriceBook {
    /// Reads and checks a table. Strict: what is not understood, not sourced or contradictory is
    /// an error that names the place, never a default.
    pub fn parse(text: &str) -> Result<PriceBook, PriceBookError> {
        let table: table::Table = toml::from_str(text)?;
        let checked = check::check(&table)?;
        let hash = digest(&SHA256, text.as_bytes());
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let short: String = hex.chars().take(VERSION_HASH_DIGITS).collect();
        Ok(PriceBook {
            version: format!("{}+{short}", table.table.version),
            models: checked.models,
            names: checked.names,
            modifiers: checked.modifiers,
            web_search: checked.web_search,
        })
    }

    /// The table that was compiled in.
    pub fn embedded() -> Result<PriceBook, PriceBookError> {
        PriceBook::parse(EMBEDDED)
    }

    /// The table's own version, `+`, and the first 12 hexadecimal digits of the SHA-256 of its
    /// text: written beside every charge, so that an amount can be traced to the very rates.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The ids of all models, in the table's order. Aliases and platform forms are not listed.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.models.iter().map(|model| model.id.as_str())
    }

    /// The model behind an exact id, alias or platform form, and the platform the form names.
    pub(super) fn find(&self, name: &str) -> Option<(&Model, Platform)> {
        let (name, platform) = platform::split(name);
        let place = self.names.get(name)?;
        self.models.get(*place).map(|model| (model, platform))
    }
}

/// One model and its price history.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) id: String,
    /// The first day of the first period; modifiers are scoped by it.
    pub(super) released: Date,
    /// Confirmed periods only, in order and without gaps.
    periods: Vec<Period>,
}

impl Model {
    /// The period that holds on `day`.
    pub(super) fn period(&self, day: Date) -> Option<&Period> {
        self.periods.iter().find(|p| p.from <= day && p.to.is_none_or(|to| day < to))
    }
}

/// The rates of a half-open range of days.
#[derive(Debug)]
pub(super) struct Period {
    from: Date,
    to: Option<Date>,
    pub(super) standard: Tiers,
    /// Absent where fast mode was not offered.
    pub(super) fast: Option<Tiers>,
}

/// Rates by the length of the prompt.
#[derive(Debug)]
pub(super) struct Tiers {
    base: Rates,
    /// (prompt tokens that must be exceeded, rates), ascending.
    above: Vec<(u64, Rates)>,
}

impl Tiers {
    /// The rates for a prompt of this many tokens: of the highest tier that it exceeds.
    pub(super) fn rates(&self, prompt_tokens: u64) -> &Rates {
        let tier = self.above.iter().rev().find(|(above, _)| prompt_tokens > *above);
        tier.map_or(&self.base, |(_, rates)| rates)
    }
}

/// Pico-dollars per token of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rates {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
}

impl Rates {
    pub(super) const fn of(&self, kind: TokenKind) -> u64 {
        match kind {
            TokenKind::Input => self.input,
            TokenKind::Output => self.output,
            TokenKind::CacheRead => self.cache_read,
            TokenKind::CacheWrite5m => self.cache_write_5m,
            TokenKind::CacheWrite1h => self.cache_write_1h,
        }
    }
}

/// What multiplies the rates of all five kinds.
#[derive(Debug)]
pub(super) struct Modifiers {
    pub(super) batch: Modifier,
    pub(super) inference_geo_us: Modifier,
    pub(super) bedrock_regional: Modifier,
    pub(super) bedrock_gov: Modifier,
}

/// An exact fraction, and where it holds.
#[derive(Debug)]
pub(super) struct Modifier {
    num: u64,
    den: u64,
    from: Date,
    released_from: Option<Date>,
}

impl Modifier {
    /// Whether it holds for this model on this day.
    pub(super) fn covers(&self, model: &Model, day: Date) -> bool {
        self.from <= day && self.released_from.is_none_or(|from| from <= model.released)
    }

    /// `scale` times this fraction; exact, because the loader has checked that the product of all
    /// denominators divides the scale that a charge starts from.
    pub(super) fn apply(&self, scale: u64) -> Option<u64> {
        scale.checked_mul(self.num)?.checked_div(self.den)
    }
}

#[cfg(test)]
mod tests;
