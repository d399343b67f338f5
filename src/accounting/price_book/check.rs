//! From the table as it is written to rates that can be trusted, or an error that names the line.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;
use toml::Spanned;

use super::contract::{Contract, Contracts, DiscountError, Price};
use super::rules::{ContainerTool, Modifier, Modifiers, RefusalRule, Rules, Tool, Tools};
use super::table::{self, Confidence, Day, Override, SourceKind, State, Table};
use super::{Model, Period, PriceBook, Rates, Source, Tiers, platform};
use crate::accounting::Money;

/// The format that this version reads.
const SCHEMA: u32 = 2;
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
    /// Nothing but blanks and comments.
    #[error("the file is empty; write a whole table or at least one [[override]]")]
    Empty,
    /// Another format.
    #[error("the pricing table has schema {0}, this version reads schema 2; use a table for it")]
    Schema(u32),
    /// It parses, but says something that cannot be.
    #[error("{}{place}: {problem}", line_of(*line))]
    Content {
        /// The line, from 1; 0 where the text is not at hand (overrides in the configuration).
        line: usize,
        /// The model, period and field, or the modifier.
        place: String,
        /// What is wrong there.
        problem: Problem,
    },
}

fn line_of(line: usize) -> String {
    if line == 0 { String::new() } else { format!("pricing table, line {line}: ") }
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
    #[error("its den times the batch's must divide 1000000, else amounts would be rounded")]
    InexactFractions,
    /// A rule that is not there.
    #[error("no rule for {0:?}; add one, or such usage cannot be priced")]
    NoRule(&'static str),
    /// Two rules for one type.
    #[error("a second rule for {0:?}; keep one")]
    DuplicateRule(String),
    /// A discount that cannot be read exactly.
    #[error(transparent)]
    Discount(#[from] DiscountError),
    /// Neither or both of discount and rate.
    #[error("write either a discount or a rate")]
    DiscountOrRate,
    /// A rate without what it is the rate of.
    #[error("a rate is that of one model and one kind of token; name both")]
    RateOfWhat,
    /// An override for a model that is not in the table.
    #[error("no model is called {0:?}; use an id or alias of the table")]
    UnknownModel(String),
    /// Two overrides for the same tokens.
    #[error("holds for the same tokens as the override before it; part their scope or their days")]
    Contradiction,
}

/// The parts of a price book, checked.
pub(super) struct Checked {
    pub(super) sources: BTreeMap<String, Source>,
    pub(super) models: Vec<Model>,
    pub(super) names: HashMap<String, usize>,
    pub(super) modifiers: Modifiers,
    pub(super) tools: Tools,
    pub(super) rules: Rules,
    pub(super) contracts: Contracts,
}

pub(super) fn check(text: &str, table: &Table) -> Result<Checked, PriceBookError> {
    if table.table.schema != SCHEMA {
        return Err(PriceBookError::Schema(table.table.schema));
    }
    let check = Check { text, sources: &table.source };
    let sources = check.declared()?;
    let models = table.model.iter().map(|m| check.model(m)).collect::<Result<Vec<Model>, _>>()?;
    let names = check.names(&table.model)?;
    let contracts = check.contracts(&table.overrides, (&models, &names))?;
    Ok(Checked {
        sources,
        modifiers: check.modifiers(&table.modifier)?,
        tools: check.tools(&table.tool)?,
        rules: check.rules(&table.rule)?,
        contracts,
        models,
        names,
    })
}

/// Adds the overrides of a file of their own.
pub(super) fn add_contracts(
    book: &mut PriceBook,
    text: &str,
    overrides: &[Spanned<Override>],
) -> Result<(), PriceBookError> {
    let check = Check { text, sources: &BTreeMap::new() };
    for written in overrides {
        let contract = contract(written.get_ref(), (&book.models, &book.names))
            .and_then(|contract| accepted(&book.contracts, contract));
        let line = written.span().start;
        book.contracts.0.push(contract.map_err(|problem| check.error(line, "override", problem))?);
    }
    Ok(())
}

/// Adds an override of the configuration, the `place`th there.
pub(super) fn add_contract(
    book: &mut PriceBook,
    place: usize,
    written: &Override,
) -> Result<(), PriceBookError> {
    let contract = contract(written, (&book.models, &book.names))
        .and_then(|contract| accepted(&book.contracts, contract));
    let error = |problem| {
        let place = format!("override {}", place.saturating_add(1));
        PriceBookError::Content { line: 0, place, problem }
    };
    book.contracts.0.push(contract.map_err(error)?);
    Ok(())
}

type Known<'a> = (&'a [Model], &'a HashMap<String, usize>);

/// A table's text, to name lines, and its sources.
struct Check<'a> {
    text: &'a str,
    sources: &'a BTreeMap<String, Spanned<table::Source>>,
}

impl Check<'_> {
    /// `start` is the place in the text, in bytes.
    fn error(&self, start: usize, place: &str, problem: Problem) -> PriceBookError {
        let before = self.text.as_bytes().get(..start).unwrap_or_default();
        let line = memchr::memchr_iter(b'\n', before).count().saturating_add(1);
        PriceBookError::Content { line, place: place.to_owned(), problem }
    }

    fn declared(&self) -> Result<BTreeMap<String, Source>, PriceBookError> {
        let declared = self.sources.iter().map(|(id, written)| {
            let table::Source { kind, reference, retrieved } = written.get_ref();
            if reference.trim().is_empty() {
                let place = format!("source {id}");
                return Err(self.error(written.span().start, &place, Problem::EmptyReference));
            }
            let (kind, reference, retrieved) = (*kind, reference.clone(), retrieved.0);
            Ok((id.clone(), Source { kind, reference, retrieved }))
        });
        declared.collect()
    }

    /// One official or two third-party sources, unless the author says that there is less.
    fn sourced(&self, ids: &[String], confidence: Option<&Confidence>) -> Result<(), Problem> {
        let mut third_parties: Vec<&str> = Vec::new();
        let mut official = false;
        for id in ids {
            let source = self.sources.get(id);
            let source = source.ok_or_else(|| Problem::UnknownSource(id.clone()))?;
            match source.get_ref().kind {
                SourceKind::Official => official = true,
                SourceKind::ThirdParty if !third_parties.contains(&id.as_str()) => {
                    third_parties.push(id);
                }
                SourceKind::ThirdParty | SourceKind::Identifiers | SourceKind::Unverified => {}
            }
        }
        match confidence {
            _ if ids.is_empty() => Err(Problem::NoSource),
            None if !official && third_parties.len() < 2 => Err(Problem::WeakSources),
            _ => Ok(()),
        }
    }

    /// Every name to its model's place; Vertex's form of dated names is added to the written ones.
    fn names(
        &self,
        models: &[Spanned<table::Model>],
    ) -> Result<HashMap<String, usize>, PriceBookError> {
        let mut names = HashMap::new();
        for (place, spanned) in models.iter().enumerate() {
            let model = spanned.get_ref();
            let at = format!("model {}", model.id);
            let wrong = |problem| self.error(spanned.span().start, &at, problem);
            for name in std::iter::once(&model.id).chain(&model.aliases) {
                if name.is_empty() || platform::split(name).0 != name {
                    return Err(wrong(Problem::Name(name.clone())));
                }
                for form in std::iter::once(name.clone()).chain(platform::vertex_form(name)) {
                    if names.insert(form.clone(), place).is_some() {
                        return Err(wrong(Problem::DuplicateName(form)));
                    }
                }
            }
        }
        Ok(names)
    }

    fn model(&self, spanned: &Spanned<table::Model>) -> Result<Model, PriceBookError> {
        let model = spanned.get_ref();
        let (mut periods, mut unused): (Vec<Period>, Vec<_>) = (Vec::new(), Vec::new());
        for written in &model.period {
            let place = format!("model {}, period from {}", model.id, written.get_ref().from.0);
            let period = self.period(&place, written)?;
            match written.get_ref().state {
                State::Confirmed => {}
                State::Announced => {
                    unused.push(("announced", period));
                    continue;
                }
                State::Withdrawn => {
                    unused.push(("withdrawn", period));
                    continue;
                }
            }
            let start = written.span().start;
            let before = periods.last().map(|before| before.to);
            follows(before, Some(period.from)).map_err(|p| self.error(start, &place, p))?;
            periods.push(period);
        }
        let first = periods.first().map(|period| period.from);
        let place = format!("model {}", model.id);
        let released =
            first.ok_or_else(|| self.error(spanned.span().start, &place, Problem::NoPeriod))?;
        Ok(Model { id: model.id.clone(), released, periods, unused })
    }

    fn period(
        &self,
        place: &str,
        spanned: &Spanned<table::Period>,
    ) -> Result<Period, PriceBookError> {
        let (start, written) = (spanned.span().start, spanned.get_ref());
        self.sourced(&written.sources, written.confidence.as_ref())
            .and_then(|()| in_order(Some(written.from), written.to))
            .map_err(|problem| self.error(start, place, problem))?;
        let fast = written.fast.as_deref();
        let fast = fast.map(|fast| self.tiers(&format!("{place}, fast"), fast, start));
        Ok(Period {
            from: written.from.0,
            to: written.to.map(|day| day.0),
            standard: self.tiers(place, &written.tier, start)?,
            fast: fast.transpose()?,
            sources: written.sources.clone(),
        })
    }

    fn tiers(
        &self,
        place: &str,
        written: &[Spanned<table::Tier>],
        start: usize,
    ) -> Result<Tiers, PriceBookError> {
        let (first, rest) = match written.split_first() {
            Some((first, rest)) if first.get_ref().prompt_tokens_gt == 0 => (first, rest),
            first => {
                let start = first.map_or(start, |(first, _)| first.span().start);
                return Err(self.error(start, place, Problem::FirstTier));
            }
        };
        let mut above: Vec<(u64, Rates)> = Vec::new();
        for spanned in rest {
            let tier = spanned.get_ref();
            let bound = above.last().map_or(0, |(bound, _)| *bound);
            if tier.prompt_tokens_gt <= bound {
                return Err(self.error(spanned.span().start, place, Problem::TierOrder));
            }
            above.push((tier.prompt_tokens_gt, self.rates(place, tier)?));
        }
        Ok(Tiers { base: self.rates(place, first.get_ref())?, above })
    }

    fn rates(&self, place: &str, tier: &table::Tier) -> Result<Rates, PriceBookError> {
        let one = |field: &str, text: &Spanned<String>| {
            let place = || format!("{place}, tier above {}, {field}", tier.prompt_tokens_gt);
            rate(text.get_ref()).map_err(|p| self.error(text.span().start, &place(), p))
        };
        Ok(Rates {
            input: one("input", &tier.input)?,
            output: one("output", &tier.output)?,
            cache_read: one("cache_read", &tier.cache_read)?,
            cache_write_5m: one("cache_write_5m", &tier.cache_write_5m)?,
            cache_write_1h: one("cache_write_1h", &tier.cache_write_1h)?,
        })
    }

    fn modifiers(&self, written: &table::Modifiers) -> Result<Modifiers, PriceBookError> {
        let one = |name: &'static str, spanned: &Spanned<table::Modifier>| {
            let modifier = spanned.get_ref();
            let sourced = self.sourced(&modifier.sources, modifier.confidence.as_ref());
            let zero = modifier.num == 0 || modifier.den == 0;
            sourced
                .and(if zero { Err(Problem::Fraction) } else { Ok(()) })
                .map_err(|p| self.error(spanned.span().start, &format!("modifier {name}"), p))?;
            Ok::<Modifier, PriceBookError>(Modifier {
                name,
                num: modifier.num.into(),
                den: modifier.den.into(),
                from: modifier.from.0,
                released_from: modifier.released_from.map(|day| day.0),
                sources: modifier.sources.clone(),
            })
        };
        let modifiers = Modifiers {
            batch: one("batch", &written.batch)?,
            inference_geo_us: one("inference_geo_us", &written.inference_geo_us)?,
            bedrock_regional: one("bedrock_regional", &written.bedrock_regional)?,
            bedrock_gov: one("bedrock_gov", &written.bedrock_gov)?,
            vertex_regional: one("vertex_regional", &written.vertex_regional)?,
            foundry_us_data_zone: one("foundry_us_data_zone", &written.foundry_us_data_zone)?,
        };
        // A batch goes with each of the others, and of these one comes at a time.
        let others = modifiers.all().into_iter().skip(1);
        for other in others {
            if !other.is_exact_after(&modifiers.batch) {
                let place = format!("modifier {} with a batch", other.name);
                let start = written.batch.span().start;
                return Err(self.error(start, &place, Problem::InexactFractions));
            }
        }
        Ok(modifiers)
    }

    fn tools(&self, written: &table::Tools) -> Result<Tools, PriceBookError> {
        Ok(Tools {
            web_search: self.tool("tool web_search", &written.web_search)?,
            web_fetch: self.tool("tool web_fetch", &written.web_fetch)?,
            code_execution: self.container("tool code_execution", &written.code_execution)?,
        })
    }

    fn tool(
        &self,
        place: &str,
        written: &[Spanned<table::Tool>],
    ) -> Result<Vec<Tool>, PriceBookError> {
        let mut tools: Vec<Tool> = Vec::new();
        for spanned in written {
            let tool = spanned.get_ref();
            let price = self
                .sourced(&tool.sources, tool.confidence.as_ref())
                .and_then(|()| in_order(tool.from, tool.to))
                .and_then(|()| follows(tools.last().map(|t| t.to), tool.from.map(|day| day.0)))
                .and_then(|()| dollars(&tool.price_per_1000, ATTO_PER_MICRO_PER_1000))
                .map_err(|problem| self.error(spanned.span().start, place, problem))?;
            let (from, to) = (tool.from.map(|day| day.0), tool.to.map(|day| day.0));
            tools.push(Tool { from, to, price, sources: tool.sources.clone() });
        }
        Ok(tools)
    }

    fn container(
        &self,
        place: &str,
        written: &[Spanned<table::ContainerTool>],
    ) -> Result<Vec<ContainerTool>, PriceBookError> {
        let mut tools: Vec<ContainerTool> = Vec::new();
        for spanned in written {
            let tool = spanned.get_ref();
            let price = self
                .sourced(&tool.sources, tool.confidence.as_ref())
                .and_then(|()| in_order(tool.from, tool.to))
                .and_then(|()| follows(tools.last().map(|t| t.to), tool.from.map(|day| day.0)))
                .and_then(|()| dollars(&tool.price_per_hour, ATTO_PER_MICRO))
                .map_err(|problem| self.error(spanned.span().start, place, problem))?;
            tools.push(ContainerTool {
                from: tool.from.map(|day| day.0),
                to: tool.to.map(|day| day.0),
                price,
                minimum_seconds: tool.minimum_seconds,
                free_hours_per_month: tool.free_hours_per_month,
                sources: tool.sources.clone(),
            });
        }
        Ok(tools)
    }

    fn rules(&self, written: &table::Rules) -> Result<Rules, PriceBookError> {
        let mut refusals: Vec<RefusalRule> = Vec::new();
        for spanned in &written.refusal {
            let rule = spanned.get_ref();
            self.sourced(&rule.sources, rule.confidence.as_ref())
                .and_then(|()| in_order(Some(rule.from), rule.to))
                .and_then(|()| follows(refusals.last().map(|r| r.to), Some(rule.from.0)))
                .map_err(|problem| self.error(spanned.span().start, "rule refusal", problem))?;
            refusals.push(RefusalRule {
                from: rule.from.0,
                to: rule.to.map(|day| day.0),
                billing: rule.billing,
                categories: rule.categories.clone(),
            });
        }
        let mut usage: Vec<(String, table::Role)> = Vec::new();
        for spanned in &written.usage {
            let rule = spanned.get_ref();
            let twice = usage.iter().any(|(known, _)| *known == rule.iteration);
            let twice = twice.then(|| Problem::DuplicateRule(rule.iteration.clone()));
            self.sourced(&rule.sources, rule.confidence.as_ref())
                .and_then(|()| twice.map_or(Ok(()), Err))
                .map_err(|problem| self.error(spanned.span().start, "rule usage", problem))?;
            usage.push((rule.iteration.clone(), rule.bills));
        }
        if !usage.iter().any(|(known, _)| known == "message") {
            return Err(self.error(0, "rule usage", Problem::NoRule("message")));
        }
        Ok(Rules { refusals, usage })
    }

    fn contracts(
        &self,
        written: &[Spanned<Override>],
        known: Known<'_>,
    ) -> Result<Contracts, PriceBookError> {
        let mut contracts = Contracts::default();
        for spanned in written {
            let contract = contract(spanned.get_ref(), known)
                .and_then(|contract| accepted(&contracts, contract))
                .map_err(|problem| self.error(spanned.span().start, "override", problem))?;
            contracts.0.push(contract);
        }
        Ok(contracts)
    }
}

fn in_order(from: Option<Day>, to: Option<Day>) -> Result<(), Problem> {
    let empty = from.zip(to).is_some_and(|(from, to)| to.0 <= from.0);
    if empty { Err(Problem::EmptyPeriod) } else { Ok(()) }
}

/// Whether a period that begins at `from` follows one that ended at `before`: no day is held by
/// two and none by neither. `before` is `None` for the first.
fn follows(before: Option<Option<Date>>, from: Option<Date>) -> Result<(), Problem> {
    match (before, from) {
        (None, _) => Ok(()),
        (Some(Some(to)), Some(from)) if to < from => Err(Problem::Gap),
        (Some(Some(to)), Some(from)) if to == from => Ok(()),
        _ => Err(Problem::Overlap),
    }
}

fn accepted(contracts: &Contracts, contract: Contract) -> Result<Contract, Problem> {
    let contradicts = contracts.0.iter().any(|known| known.contradicts(&contract));
    if contradicts { Err(Problem::Contradiction) } else { Ok(contract) }
}

fn contract(written: &Override, (models, names): Known<'_>) -> Result<Contract, Problem> {
    in_order(Some(written.from), written.to)?;
    if written.source.trim().is_empty() {
        return Err(Problem::EmptyReference);
    }
    let model = written.model.as_ref().map(|name| {
        let found = names.get(name).and_then(|place| models.get(*place));
        found.map(|model| model.id.clone()).ok_or_else(|| Problem::UnknownModel(name.clone()))
    });
    let price = match (&written.discount, &written.rate) {
        (Some(discount), None) => Price::Discount(discount.parse()?),
        (None, Some(_)) if written.model.is_none() || written.kind.is_none() => {
            return Err(Problem::RateOfWhat);
        }
        (None, Some(text)) => Price::Rate(rate(text)?),
        _ => return Err(Problem::DiscountOrRate),
    };
    Ok(Contract {
        from: written.from.0,
        to: written.to.map(|day| day.0),
        team: written.team.clone(),
        model: model.transpose()?,
        kind: written.kind,
        price,
        source: written.source.clone(),
    })
}

/// Pico-dollars per token from dollars per million tokens: a micro-dollar per million is one.
fn rate(text: &str) -> Result<u64, Problem> {
    let micro = micro_dollars(text).and_then(|micro| u64::try_from(micro).ok());
    micro.ok_or_else(|| Problem::Price(text.to_owned()))
}

fn dollars(text: &str, atto_per_micro: i128) -> Result<Money, Problem> {
    let atto = micro_dollars(text).and_then(|micro| micro.checked_mul(atto_per_micro));
    atto.map(Money::from_atto).ok_or_else(|| Problem::Price(text.to_owned()))
}

/// A price in micro-dollars; `None` where it is negative, no decimal, or has too many decimals.
fn micro_dollars(text: &str) -> Option<i128> {
    let decimals = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    if decimals > PRICE_DECIMALS || text.starts_with('-') {
        return None;
    }
    text.parse::<Money>().ok()?.atto().checked_div(ATTO_PER_MICRO)
}
