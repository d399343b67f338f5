//! From the table as it is written to rates that can be trusted, or an error that names the place.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;

use super::table::{self, Confidence, SourceKind, State, Table};
use super::{ATTO_PER_PICO, Model, Modifier, Modifiers, Period, Rates, Tiers, platform};
use crate::accounting::Money;

/// The format that this version reads.
const SCHEMA: u32 = 1;
/// Decimals a price may have: then it is a whole number of pico-dollars per token.
const PRICE_DECIMALS: usize = 6;
/// Atto-dollars per request for each micro-dollar per 1,000 requests.
const ATTO_PER_MICRO_PER_1000: i128 = 1_000_000_000;
/// Atto-dollars in a micro-dollar.
const ATTO_PER_MICRO: i128 = 1_000_000_000_000;

/// Why a pricing table was refused.
#[derive(Debug, thiserror::Error)]
pub enum PriceBookError {
    /// Not TOML, or not this format; the message has the line.
    #[error("the pricing table does not parse; correct it at the place shown: {0}")]
    Format(Box<toml::de::Error>),
    /// Another format.
    #[error("the pricing table has schema {0}, this version reads schema 1; use a table for it")]
    Schema(u32),
    /// It parses, but says something that cannot be.
    #[error("pricing table, {place}: {problem}")]
    Content {
        /// The model, period and field, or the modifier.
        place: String,
        /// What is wrong there.
        problem: Problem,
    },
}

impl From<toml::de::Error> for PriceBookError {
    fn from(error: toml::de::Error) -> Self {
        PriceBookError::Format(Box::new(error))
    }
}

/// What is wrong at a place of a pricing table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A price that cannot be read exactly.
    #[error("{0:?} is not a price; write US dollars with at most 6 decimals, like \"0.125\"")]
    Price(String),
    /// No source at all.
    #[error("no source; name at least one from [source]")]
    NoSource,
    /// A source that is not declared.
    #[error("source {0:?} is not declared; add it under [source] or correct the name")]
    UnknownSource(String),
    /// Too little to rely on.
    #[error(
        "fewer than one official or two third-party sources; add one or set confidence = \"single\""
    )]
    WeakSources,
    /// A source that says nothing.
    #[error("the reference is empty; say where the price was read")]
    EmptyReference,
    /// Two models answer to one name.
    #[error("the name {0:?} is taken twice; every id and alias belongs to one model")]
    DuplicateName(String),
    /// A name that lookup would take apart.
    #[error("{0:?} cannot be a name; leave out platform prefixes and suffixes")]
    Name(String),
    /// No confirmed period.
    #[error("no confirmed period; remove the model to leave it unpriced")]
    NoPeriod,
    /// A period that ends before it begins.
    #[error("`to` is not after `from`; `to` is the first day that no longer belongs to it")]
    EmptyPeriod,
    /// Two periods hold on one day.
    #[error("overlaps the period before it; end that one at this `from`")]
    Overlap,
    /// Days without a price between two periods.
    #[error("leaves a gap after the period before it; begin where that one ends")]
    Gap,
    /// No tier for short prompts.
    #[error("the first tier must have prompt_tokens_gt = 0")]
    FirstTier,
    /// Tiers out of order.
    #[error("tiers must have ascending prompt_tokens_gt")]
    TierOrder,
    /// A fraction with a zero.
    #[error("num and den must be above zero")]
    Fraction,
    /// Fractions that would need rounding.
    #[error("the product of all den must divide 1000000, else amounts would be rounded")]
    InexactFractions,
}

impl Problem {
    fn at(self, place: &str) -> PriceBookError {
        PriceBookError::Content { place: place.to_owned(), problem: self }
    }
}

/// The parts of a price book, checked.
pub(super) struct Checked {
    pub(super) models: Vec<Model>,
    pub(super) names: HashMap<String, usize>,
    pub(super) modifiers: Modifiers,
    pub(super) web_search: Money,
}

pub(super) fn check(table: &Table) -> Result<Checked, PriceBookError> {
    if table.table.schema != SCHEMA {
        return Err(PriceBookError::Schema(table.table.schema));
    }
    let sources = Sources(&table.source);
    sources.check_declared()?;
    let models =
        table.model.iter().map(|m| model(m, &sources)).collect::<Result<Vec<Model>, _>>()?;
    Ok(Checked {
        names: names(&table.model)?,
        models,
        modifiers: modifiers(&table.modifier, &sources)?,
        web_search: tool("tool web_search", &table.tool.web_search, &sources)?,
    })
}

struct Sources<'a>(&'a BTreeMap<String, table::Source>);

impl Sources<'_> {
    fn check_declared(&self) -> Result<(), PriceBookError> {
        let empty = self.0.iter().find(|(_, source)| source.reference.trim().is_empty());
        empty.map_or(Ok(()), |(id, _)| Err(Problem::EmptyReference.at(&format!("source {id}"))))
    }

    /// One official or two third-party sources, unless the author says that there is less.
    fn check(
        &self,
        place: &str,
        ids: &[String],
        confidence: Option<&Confidence>,
    ) -> Result<(), PriceBookError> {
        let mut third_parties: Vec<&str> = Vec::new();
        let mut official = false;
        for id in ids {
            let source = self.0.get(id);
            let source = source.ok_or_else(|| Problem::UnknownSource(id.clone()).at(place))?;
            match source.kind {
                SourceKind::Official => official = true,
                SourceKind::ThirdParty if !third_parties.contains(&id.as_str()) => {
                    third_parties.push(id);
                }
                SourceKind::ThirdParty | SourceKind::Identifiers | SourceKind::Unverified => {}
            }
        }
        match confidence {
            _ if ids.is_empty() => Err(Problem::NoSource.at(place)),
            None if !official && third_parties.len() < 2 => Err(Problem::WeakSources.at(place)),
            _ => Ok(()),
        }
    }
}

/// Every name to its model's place; Vertex's form of dated names is added to the written ones.
fn names(models: &[table::Model]) -> Result<HashMap<String, usize>, PriceBookError> {
    let mut names = HashMap::new();
    for (place, model) in models.iter().enumerate() {
        for name in std::iter::once(&model.id).chain(&model.aliases) {
            let at = format!("model {}", model.id);
            if name.is_empty() || platform::split(name).0 != name {
                return Err(Problem::Name(name.clone()).at(&at));
            }
            for form in std::iter::once(name.clone()).chain(platform::vertex_form(name)) {
                if names.insert(form.clone(), place).is_some() {
                    return Err(Problem::DuplicateName(form).at(&at));
                }
            }
        }
    }
    Ok(names)
}

fn model(model: &table::Model, sources: &Sources<'_>) -> Result<Model, PriceBookError> {
    let mut periods: Vec<Period> = Vec::new();
    for written in &model.period {
        let place = format!("model {}, period from {}", model.id, written.from.0);
        let period = period(&place, written, sources)?;
        if written.state != State::Confirmed {
            continue;
        }
        if let Some(before) = periods.last() {
            match before.to {
                Some(to) if to < period.from => return Err(Problem::Gap.at(&place)),
                Some(to) if to == period.from => {}
                _ => return Err(Problem::Overlap.at(&place)),
            }
        }
        periods.push(period);
    }
    let first = periods.first().map(|period| period.from);
    let released = first.ok_or_else(|| Problem::NoPeriod.at(&format!("model {}", model.id)))?;
    Ok(Model { id: model.id.clone(), released, periods })
}

fn period(
    place: &str,
    written: &table::Period,
    sources: &Sources<'_>,
) -> Result<Period, PriceBookError> {
    sources.check(place, &written.sources, written.confidence.as_ref())?;
    let (from, to): (Date, Option<Date>) = (written.from.0, written.to.map(|day| day.0));
    if to.is_some_and(|to| to <= from) {
        return Err(Problem::EmptyPeriod.at(place));
    }
    let fast = written.fast.as_deref().map(|fast| tiers(&format!("{place}, fast"), fast));
    Ok(Period { from, to, standard: tiers(place, &written.tier)?, fast: fast.transpose()? })
}

fn tiers(place: &str, written: &[table::Tier]) -> Result<Tiers, PriceBookError> {
    let (first, rest) = match written.split_first() {
        Some((first, rest)) if first.prompt_tokens_gt == 0 => (first, rest),
        _ => return Err(Problem::FirstTier.at(place)),
    };
    let mut above: Vec<(u64, Rates)> = Vec::new();
    for tier in rest {
        let bound = above.last().map_or(0, |(bound, _)| *bound);
        if tier.prompt_tokens_gt <= bound {
            return Err(Problem::TierOrder.at(place));
        }
        above.push((tier.prompt_tokens_gt, rates(place, tier)?));
    }
    Ok(Tiers { base: rates(place, first)?, above })
}

fn rates(place: &str, tier: &table::Tier) -> Result<Rates, PriceBookError> {
    let rate = |field: &str, text: &str| {
        // A micro-dollar per million tokens is a pico-dollar per token.
        let micro = micro_dollars(text).and_then(|micro| u64::try_from(micro).ok());
        let place = || format!("{place}, tier above {}, {field}", tier.prompt_tokens_gt);
        micro.ok_or_else(|| Problem::Price(text.to_owned()).at(&place()))
    };
    Ok(Rates {
        input: rate("input", &tier.input)?,
        output: rate("output", &tier.output)?,
        cache_read: rate("cache_read", &tier.cache_read)?,
        cache_write_5m: rate("cache_write_5m", &tier.cache_write_5m)?,
        cache_write_1h: rate("cache_write_1h", &tier.cache_write_1h)?,
    })
}

/// A price in micro-dollars; `None` where it is negative, no decimal, or has too many decimals.
fn micro_dollars(text: &str) -> Option<i128> {
    let decimals = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    if decimals > PRICE_DECIMALS || text.starts_with('-') {
        return None;
    }
    text.parse::<Money>().ok()?.atto().checked_div(ATTO_PER_MICRO)
}

fn modifiers(
    written: &table::Modifiers,
    sources: &Sources<'_>,
) -> Result<Modifiers, PriceBookError> {
    let one = |name: &str, modifier: &table::Modifier| {
        let place = format!("modifier {name}");
        sources.check(&place, &modifier.sources, modifier.confidence.as_ref())?;
        if modifier.num == 0 || modifier.den == 0 {
            return Err(Problem::Fraction.at(&place));
        }
        Ok(Modifier {
            num: modifier.num.into(),
            den: modifier.den.into(),
            from: modifier.from.0,
            released_from: modifier.released_from.map(|day| day.0),
        })
    };
    let modifiers = Modifiers {
        batch: one("batch", &written.batch)?,
        inference_geo_us: one("inference_geo_us", &written.inference_geo_us)?,
        bedrock_regional: one("bedrock_regional", &written.bedrock_regional)?,
        bedrock_gov: one("bedrock_gov", &written.bedrock_gov)?,
    };
    let all = [
        &modifiers.batch,
        &modifiers.inference_geo_us,
        &modifiers.bedrock_regional,
        &modifiers.bedrock_gov,
    ];
    let product = all.iter().try_fold(1_u64, |product, m| product.checked_mul(m.den));
    match product {
        Some(product) if ATTO_PER_PICO.checked_rem(product) == Some(0) => Ok(modifiers),
        _ => Err(Problem::InexactFractions.at("modifiers")),
    }
}

fn tool(place: &str, tool: &table::Tool, sources: &Sources<'_>) -> Result<Money, PriceBookError> {
    sources.check(place, &tool.sources, tool.confidence.as_ref())?;
    let atto = micro_dollars(&tool.price_per_1000)
        .and_then(|micro| micro.checked_mul(ATTO_PER_MICRO_PER_1000))
        .ok_or_else(|| Problem::Price(tool.price_per_1000.clone()).at(place))?;
    Ok(Money::from_atto(atto))
}
