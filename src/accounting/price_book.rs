//! The pricing table: which rates held for which model on which day.
//!
//! The table is data (`pricing/claude.toml`), read once and never changed; a new price is a new
//! table with a new version. Names match exactly: a prefix or family rule would price
//! `claude-opus-4-8` at three times its rate, and an unknown model must come out as *unpriced*.
//!
//! A rate is a whole number of pico-dollars (10⁻¹² USD) per token, which is what a price per
//! million tokens with up to six decimals is.

mod check;
mod contract;
pub mod listing;
mod platform;
mod rules;
mod table;

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::digest::{SHA256, digest};
use jiff::civil::Date;

pub use check::{PriceBookError, Problem};
pub(super) use contract::{Contract, Contracts, Price};
pub use contract::{Discount, DiscountError};
pub use platform::Platform;
pub(super) use rules::{Billing, ContainerTool, Modifier, Modifiers, Rules, Tool, Tools, holds};
pub use table::Override;
pub(super) use table::Role;
use table::SourceKind;

use crate::accounting::{Money, TokenKind};

/// The table that is compiled in.
const EMBEDDED: &str = include_str!("../../pricing/claude.toml");
/// Atto-dollars in a pico-dollar: turns rates into [`Money`], and is what modifiers multiply.
pub(super) const ATTO_PER_PICO: i128 = 1_000_000;
/// Hexadecimal digits of each content hash in [`PriceBook::version`].
const VERSION_HASH_DIGITS: usize = 12;
/// A table that was last compared with its sources longer ago than this says so.
pub const AGE_DAYS_MAX: i32 = 30;

/// All rates, for all models and days. Immutable.
#[derive(Debug)]
pub struct PriceBook {
    version: String,
    checked: Date,
    sources: BTreeMap<String, Source>,
    models: Vec<Model>,
    /// Every exact name (id, alias, Vertex form) to its place in `models`.
    names: HashMap<String, usize>,
    pub(super) modifiers: Modifiers,
    pub(super) tools: Tools,
    pub(super) rules: Rules,
    pub(super) contracts: Contracts,
}

/// Where prices were read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) kind: SourceKind,
    pub(super) reference: String,
    pub(super) retrieved: Date,
}

/// A file of prices: its name, for messages, and its text.
#[derive(Clone, Debug)]
pub struct PricingFile {
    /// As the user wrote it.
    pub name: String,
    /// A whole table, or `[[override]]`s alone.
    pub text: String,
}

/// Files that do not make a price book.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// One file is wrong.
    #[error("{name}: {error}")]
    File {
        /// The file.
        name: String,
        /// What is wrong with it.
        error: PriceBookError,
    },
    /// What the configuration itself says is wrong.
    #[error("pricing.override: {0}")]
    Override(PriceBookError),
    /// Two whole tables.
    #[error("{first} and {second} are both whole tables; name one, the others hold overrides only")]
    TwoTables {
        /// The first of them.
        first: String,
        /// The second.
        second: String,
    },
    /// The compiled-in table, which tests keep from happening.
    #[error("the built-in pricing table: {0}")]
    Embedded(PriceBookError),
}

impl PriceBook {
    /// Reads and checks a table. Strict: what is not understood, not sourced or contradictory is
    /// an error that names the line, never a default.
    pub fn parse(text: &str) -> Result<PriceBook, PriceBookError> {
        let table: table::Table = toml::from_str(text)?;
        let checked = check::check(text, &table)?;
        Ok(PriceBook {
            version: format!("{}+{}", table.table.version, short_hash(text)),
            checked: table.table.checked.0,
            sources: checked.sources,
            contracts: checked.contracts,
            models: checked.models,
            names: checked.names,
            modifiers: checked.modifiers,
            tools: checked.tools,
            rules: checked.rules,
        })
    }

    /// The table that was compiled in.
    pub fn embedded() -> Result<PriceBook, PriceBookError> {
        PriceBook::parse(EMBEDDED)
    }

    /// The book that a configuration asks for: the one whole table among `files`, else the
    /// compiled-in one, with the overrides of all files and of the configuration.
    pub fn load(files: &[PricingFile], overrides: &[Override]) -> Result<PriceBook, LoadError> {
        let wrong = |file: &PricingFile, error| LoadError::File { name: file.name.clone(), error };
        let mut whole: Option<(&PricingFile, PriceBook)> = None;
        let mut parts = Vec::new();
        for file in files {
            if !is_whole(&file.text).map_err(|error| wrong(file, error))? {
                parts.push(file);
                continue;
            }
            if let Some((first, _)) = &whole {
                let (first, second) = (first.name.clone(), file.name.clone());
                return Err(LoadError::TwoTables { first, second });
            }
            let book = PriceBook::parse(&file.text).map_err(|error| wrong(file, error))?;
            whole = Some((file, book));
        }
        let mut book = match whole {
            Some((_, book)) => book,
            None => PriceBook::embedded().map_err(LoadError::Embedded)?,
        };
        let mut agreed = String::new();
        for file in parts {
            let table: table::OverrideTable = toml::from_str(&file.text)
                .map_err(|error: toml::de::Error| wrong(file, error.into()))?;
            check::add_contracts(&mut book, &file.text, &table.overrides)
                .map_err(|error| wrong(file, error))?;
            agreed.push_str(&file.text);
        }
        for (place, one) in overrides.iter().enumerate() {
            check::add_contract(&mut book, place, one).map_err(LoadError::Override)?;
            agreed.push_str(&toml::to_string(one).unwrap_or_default());
        }
        if !agreed.is_empty() {
            book.version = format!("{}+{}", book.version, short_hash(&agreed));
        }
        Ok(book)
    }

    /// The table's own version, `+`, and the first 12 hexadecimal digits of the SHA-256 of its
    /// text; with overrides from elsewhere, `+` and 12 digits of theirs. Written beside every
    /// charge, so that an amount can be traced to the very rates.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The day when the table was last compared with its sources.
    #[must_use]
    pub const fn checked(&self) -> Date {
        self.checked
    }

    /// How many days ago the table was last compared with its sources, where that is more than
    /// [`AGE_DAYS_MAX`]: prices may have changed since.
    #[must_use]
    pub fn days_too_old(&self, today: Date) -> Option<i32> {
        let age = today.since(self.checked).map_or(0, |span| span.get_days());
        (age > AGE_DAYS_MAX).then_some(age)
    }

    /// The day of that comparison, where it is still to come: nobody can have made it.
    #[must_use]
    pub fn checked_after(&self, today: Date) -> Option<Date> {
        (self.checked > today).then_some(self.checked)
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

    /// The source behind an id of the table.
    pub(super) fn source(&self, id: &str) -> Option<&Source> {
        self.sources.get(id)
    }
}

fn short_hash(text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    hex.chars().take(VERSION_HASH_DIGITS).collect()
}

/// Whether a file is a whole table; else it may hold overrides only.
fn is_whole(text: &str) -> Result<bool, PriceBookError> {
    let table: toml::Table = toml::from_str(text)?;
    if table.is_empty() {
        return Err(PriceBookError::Empty);
    }
    Ok(table.contains_key("table"))
}

/// One model and its price history.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) id: String,
    /// The first day of the first period; modifiers are scoped by it.
    pub(super) released: Date,
    /// Confirmed periods only, in order and without gaps.
    pub(super) periods: Vec<Period>,
    /// Announced and withdrawn ones: shown, never used.
    pub(super) unused: Vec<(&'static str, Period)>,
}

impl Model {
    /// The period that holds on `day`.
    pub(super) fn period(&self, day: Date) -> Option<&Period> {
        self.periods.iter().find(|p| p.from <= day && p.to.is_none_or(|to| day < to))
    }

    /// The period before one that begins on `day`.
    pub(super) fn period_ending(&self, day: Date) -> Option<&Period> {
        self.periods.iter().find(|period| period.to == Some(day))
    }
}

/// The rates of a half-open range of days.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) from: Date,
    pub(super) to: Option<Date>,
    pub(super) standard: Tiers,
    /// Absent where fast mode was not offered.
    pub(super) fast: Option<Tiers>,
    /// Ids of its sources.
    pub(super) sources: Vec<String>,
}

/// Rates by the length of the prompt.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tiers {
    pub(super) base: Rates,
    /// (prompt tokens that must be exceeded, rates), ascending.
    pub(super) above: Vec<(u64, Rates)>,
}

impl Tiers {
    /// The rates for a prompt of this many tokens: of the highest tier that it exceeds, and that
    /// tier's bound.
    pub(super) fn rates(&self, prompt_tokens: u64) -> (u64, Rates) {
        let tier = self.above.iter().rev().find(|(above, _)| prompt_tokens > *above);
        tier.copied().unwrap_or((0, self.base))
    }
}

/// Pico-dollars per token of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cache_read: u64,
    pub(super) cache_write_5m: u64,
    pub(super) cache_write_1h: u64,
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

/// A rate in US dollars per million tokens, as price lists write it.
pub(super) fn per_million(pico: u64) -> String {
    // A pico-dollar per token is a micro-dollar per million tokens.
    Money::from_atto(i128::from(pico).saturating_mul(1_000_000_000_000)).to_string()
}

#[cfg(test)]
mod tests;
