//! Usage times rates: the line items of one exchange and their exact sum.
//!
//! A total is either exact for what the API reported or absent; it is never a guess. Where the
//! table does not cover something (model, day, tier, geography, speed) or `iterations` holds parts
//! with rules of their own, there are no lines and no total, and a flag says why. One exception
//! is a missing count: what was reported is priced, and [`Flag::UsageAnomaly`] marks the total
//! as a lower bound.
//!
//! Nothing is rounded: rates are whole pico-dollars, and the table's loader refuses modifiers
//! that would not divide evenly into atto-dollars.

use jiff::civil::Date;

use crate::accounting::money::{Money, MoneyOverflow};
use crate::accounting::price_book::{ATTO_PER_PICO, Model, Platform, PriceBook, Tiers};
use crate::accounting::{Flag, TokenKind, Usage};

/// The type of the iterations that the top-level usage already sums up.
const MESSAGE_ITERATION: &str = "message";

/// What one exchange costs at list price.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// The lines with a quantity above zero; empty where there is no total.
    pub lines: Vec<LineItem>,
    /// The exact sum of the lines; `None` means unknown, never zero.
    pub total: Option<Money>,
    /// What a reader of the amount must know, each at most once.
    pub flags: Vec<Flag>,
}

/// Kind × quantity × rate = amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineItem {
    /// What was used.
    pub kind: LineKind,
    /// The model, where it is not the exchange's own.
    pub model: Option<String>,
    /// Tokens or requests.
    pub quantity: u64,
    /// The exact amount.
    pub amount: Money,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineKind {
    /// Tokens of one kind.
    Tokens(TokenKind),
    /// Web searches, per request.
    WebSearch,
}

impl LineKind {
    /// The name used in entries and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            LineKind::Tokens(kind) => kind.name(),
            LineKind::WebSearch => "web_search",
        }
    }
}

impl PriceBook {
    /// Prices `usage` of `model` on `day` (UTC; the day on which the request began).
    ///
    /// The error means that an amount left the range of [`Money`]: the counts are absurd.
    pub fn charge(&self, model: &str, day: Date, usage: &Usage) -> Result<Charge, MoneyOverflow> {
        let quantities = Quantities::of(usage);
        let mut charge = Charge::default();
        match self.pricing(model, day, usage) {
            Ok(pricing) if quantities.is_known() => {
                charge.lines = self.lines(&pricing, &quantities)?;
                let add = |sum: Money, line: &LineItem| sum.checked_add(line.amount);
                charge.total = Some(charge.lines.iter().try_fold(Money::ZERO, add)?);
            }
            Ok(_) => {}
            Err(flag) => charge.flags.push(flag),
        }
        charge.flags.extend(quantities.flags);
        Ok(charge)
    }

    /// The rates for this usage and what multiplies them, or the flag that says what is unknown.
    fn pricing(&self, name: &str, day: Date, usage: &Usage) -> Result<Pricing<'_>, Flag> {
        let (model, platform) = self.find(name).ok_or(Flag::Unpriced)?;
        let period = model.period(day).ok_or(Flag::Unpriced)?;
        if !self.is_one_bill(model, usage) {
            return Err(Flag::UnknownIteration);
        }
        let tiers = match usage.speed.as_deref() {
            None | Some("standard") => Some(&period.standard),
            Some("fast") => period.fast.as_ref(),
            Some(_) => None,
        };
        let tiers = tiers.ok_or(Flag::UnknownModifier)?;
        let scale = self.scale(model, platform, day, usage).ok_or(Flag::UnknownModifier)?;
        Ok(Pricing { tiers, scale })
    }

    /// Whether the top level of `usage` is all that is billed: every iteration is a message of
    /// this same model. Compaction, advisors and fallbacks are billed beside it, at other rates.
    fn is_one_bill(&self, model: &Model, usage: &Usage) -> bool {
        usage.iterations.iter().all(|iteration| {
            let named = iteration.model.as_deref().map(|name| self.find(name));
            let same = named.is_none_or(|found| found.is_some_and(|(m, _)| m.id == model.id));
            iteration.kind == MESSAGE_ITERATION && same
        })
    }

    /// Atto-dollars per pico-dollar of rate: every modifier applied. `None` where one is not in
    /// the table or may not be combined.
    fn scale(&self, model: &Model, platform: Platform, day: Date, usage: &Usage) -> Option<u64> {
        let modifiers = &self.modifiers;
        let is_fast = usage.speed.as_deref() == Some("fast");
        let tier = match usage.service_tier.as_deref() {
            None | Some("standard") => None,
            Some("batch") if !is_fast && modifiers.batch.covers(model, day) => {
                Some(&modifiers.batch)
            }
            Some(_) => return None,
        };
        let geography = &modifiers.inference_geo_us;
        let geography = match usage.inference_geo.as_deref() {
            None | Some("global" | "not_available") => None,
            // Bedrock states its geography in the name; both at once is not known.
            Some("us") if platform == Platform::Direct && geography.covers(model, day) => {
                Some(geography)
            }
            Some(_) => return None,
        };
        let place = match platform {
            Platform::Direct | Platform::BedrockGlobal => None,
            Platform::BedrockRegional => Some(&modifiers.bedrock_regional),
            Platform::BedrockGov => Some(&modifiers.bedrock_gov),
        };
        // Models from before the split have a single price in all regions.
        let place = place.filter(|modifier| modifier.covers(model, day));
        let mut all = [tier, geography, place].into_iter().flatten();
        all.try_fold(ATTO_PER_PICO, |scale, modifier| modifier.apply(scale))
    }

    fn lines(
        &self,
        pricing: &Pricing<'_>,
        quantities: &Quantities,
    ) -> Result<Vec<LineItem>, MoneyOverflow> {
        let rates = pricing.tiers.rates(quantities.prompt_tokens());
        // One line for each kind of token, one for the searches.
        let mut lines = Vec::with_capacity(TokenKind::ALL.len().saturating_add(1));
        let mut add = |kind, quantity: u64, atto_each: Option<i128>| {
            if quantity > 0 {
                let atto = atto_each.and_then(|each| each.checked_mul(quantity.into()));
                let amount = Money::from_atto(atto.ok_or(MoneyOverflow)?);
                lines.push(LineItem { kind, model: None, quantity, amount });
            }
            Ok(())
        };
        for kind in TokenKind::ALL {
            let atto_each = i128::from(rates.of(kind)).checked_mul(pricing.scale.into());
            add(LineKind::Tokens(kind), quantities.tokens(kind), atto_each)?;
        }
        add(LineKind::WebSearch, quantities.web_searches, Some(self.web_search.atto()))?;
        Ok(lines)
    }
}

/// What a usage is multiplied with.
struct Pricing<'a> {
    tiers: &'a Tiers,
    /// Atto-dollars per pico-dollar of rate.
    scale: u64,
}

/// The billable counts of a usage, and what is doubtful about them.
struct Quantities {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_writes: CacheWrites,
    web_searches: u64,
    flags: Vec<Flag>,
}

impl Quantities {
    /// Reads the counts. The API always sends `input_tokens` and `output_tokens`, so a missing
    /// one is flagged; the others are absent where a feature was not used. A usage without any
    /// count at all is unknown.
    fn of(usage: &Usage) -> Quantities {
        let cache_writes = CacheWrites::of(usage);
        let searches = usage.server_tool_use.and_then(|tools| tools.web_search_requests);
        let required = [usage.input_tokens, usage.output_tokens];
        let optional = [usage.cache_read_input_tokens, searches];
        let nothing = required.iter().chain(&optional).all(Option::is_none);
        let mut flags: Vec<Flag> = cache_writes.flag.into_iter().collect();
        if nothing && !cache_writes.is_reported {
            flags.push(Flag::UsageUnknown);
        } else if required.contains(&None) && !flags.contains(&Flag::UsageAnomaly) {
            flags.push(Flag::UsageAnomaly);
        }
        Quantities {
            input: usage.input_tokens.unwrap_or(0),
            output: usage.output_tokens.unwrap_or(0),
            cache_read: usage.cache_read_input_tokens.unwrap_or(0),
            cache_writes,
            web_searches: searches.unwrap_or(0),
            flags,
        }
    }

    const fn tokens(&self, kind: TokenKind) -> u64 {
        match kind {
            TokenKind::Input => self.input,
            TokenKind::Output => self.output,
            TokenKind::CacheRead => self.cache_read,
            TokenKind::CacheWrite5m => self.cache_writes.for_5m,
            TokenKind::CacheWrite1h => self.cache_writes.for_1h,
        }
    }

    /// What the price tier depends on: everything that went in. Saturation is far above any tier.
    const fn prompt_tokens(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_writes.for_5m)
            .saturating_add(self.cache_writes.for_1h)
    }

    fn is_known(&self) -> bool {
        !self.flags.contains(&Flag::UsageUnknown)
    }
}

/// Cache writes by time to live.
struct CacheWrites {
    for_5m: u64,
    for_1h: u64,
    is_reported: bool,
    flag: Option<Flag>,
}

impl CacheWrites {
    /// The split where it adds up to the total. Else the total, all of it at the five-minute rate:
    /// after a fallback the split can be the declined attempt's, beside the serving one's total.
    fn of(usage: &Usage) -> CacheWrites {
        let total = usage.cache_creation_input_tokens;
        let split = usage.cache_creation.unwrap_or_default();
        let (for_5m, for_1h) = (split.ephemeral_5m_input_tokens, split.ephemeral_1h_input_tokens);
        let sum = for_5m.unwrap_or(0).checked_add(for_1h.unwrap_or(0));
        let has_split = for_5m.is_some() || for_1h.is_some();
        let is_reported = total.is_some() || has_split;
        let (split_counts, flag) = match total {
            Some(_) if !has_split => (false, None),
            Some(_) if sum != total => (false, Some(Flag::CacheSplitMismatch)),
            Some(_) => (true, None),
            // Half a split and no total: the other half is unknown.
            None if for_5m.is_some() != for_1h.is_some() => (true, Some(Flag::UsageAnomaly)),
            None => (true, None),
        };
        let (for_5m, for_1h) = if split_counts {
            (for_5m.unwrap_or(0), for_1h.unwrap_or(0))
        } else {
            (total.unwrap_or(0), 0)
        };
        CacheWrites { for_5m, for_1h, is_reported, flag }
    }
}

#[cfg(test)]
mod tests;
