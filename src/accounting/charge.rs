//! Usage times rates: the line items of one call and their exact sums.
//!
//! # Order of operations
//!
//! 1. **What is billed** (`parts`): the entries of `usage.iterations` where there are any, else the
//!    top level, never both. An error bills nothing; a refusal before any output bills by its
//!    category and day; an attempt that declined before any output may be billed: a range.
//! 2. **The rate** (`rating`): of the model's period that holds on the day; the fast row where the
//!    answer was served fast and not in a batch; the tier that the prompt's length exceeds. The
//!    prompt is input, cache writes and cache reads together; where a single iteration and the
//!    whole answer fall into different tiers, both are computed: a range.
//! 3. **List price** of a line: tokens × rate × batch × place (US-only inference or a cloud's
//!    region, never both), on token lines only. Searches and containers have a price of their own.
//! 4. **Contracted price**: the one negotiated price that is most specific. A negotiated rate takes
//!    the place of the list rate in step 3; a discount multiplies the list price of step 3.
//! 5. **Sums** of lines. The lower end of a range is `total`, made of the lines; the upper one is
//!    `max`.
//!
//! All of it in whole atto-dollars with checked multiplication. Nothing is rounded, but for what
//! has no finite decimal (a container's second costs 0.05/3600): that line is rounded half-even
//! once, at 10⁻¹⁸ USD, and flagged.
//!
//! A total is either exact for what the API reported or absent; it is never a guess. Where the
//! table does not cover something there are no lines and no total, and flags say why. One
//! exception is a missing count: what was reported is priced, and [`Flag::UsageAnomaly`] marks the
//! total as a lower bound.

mod parts;
mod rating;
mod unknown;

use jiff::civil::Date;

use crate::accounting::call::{Allowance, Call, Containers, ResultKind};
use crate::accounting::money::{Money, MoneyOverflow};
use crate::accounting::price_book::{ContainerTool, Contract, Discount, PriceBook, Tool, holds};
use crate::accounting::{Flag, TokenKind};

pub(super) use rating::Rating;

use parts::Part;
use unknown::Unknown;

/// Microseconds in an hour, the unit of a container's price.
const HOUR_MICROS: i128 = 3_600_000_000;
/// Microseconds in a second.
const SECOND_MICROS: u64 = 1_000_000;
/// More requests to a server tool than one answer can make.
const REQUESTS_PLAUSIBLE_MAX: u64 = 100_000;

/// What one call costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Charge<'a> {
    /// What prompt caching saved: reads and writes at the price of uncached input, minus what they
    /// cost. `None` without caching.
    pub cache_savings: Option<Money>,
    /// What a reader of the amount must know, each at most once, sorted.
    pub flags: Vec<Flag>,
    /// The lines with a quantity above zero; empty where there is no total.
    pub lines: Vec<LineItem<'a>>,
    /// The sum at list price; equal to `total` without negotiated prices.
    pub list: Option<Money>,
    /// The upper end, where the truth is a range.
    pub max: Option<Money>,
    /// The id of the model that answered; `None` where the table does not know it.
    pub model: Option<&'a str>,
    /// The exact sum of the lines, contracted; `None` means unknown, never zero.
    pub total: Option<Money>,
    /// What the table does not cover, in words; only where there is no total.
    pub unknown: Option<String>,
    /// Lines that are billed or not: in `max`, not in `total`.
    pub unsure: Vec<LineItem<'a>>,
    /// Lines that stand in `max` in place of some of `lines`: the same tokens or time at the
    /// highest price that they may have.
    pub upper: Vec<LineItem<'a>>,
}

/// Kind × quantity × rate = amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineItem<'a> {
    /// The exact amount, contracted.
    pub amount: Money,
    /// How it was made.
    pub(super) basis: Basis<'a>,
    /// What was used.
    pub kind: LineKind,
    /// The exact amount at list price.
    pub list: Money,
    /// The model's id; `None` for tools.
    pub model: Option<&'a str>,
    /// Tokens, requests, or seconds of containers, a begun one as a whole
    /// ([`LineItem::exact_quantity`]).
    pub quantity: u64,
    /// The type of the iteration that it is about; `None` for the top level and for tools.
    pub step: Option<&'a str>,
}

/// Where a line's rate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis<'a> {
    /// Tokens at a rate.
    Tokens(Rating<'a>, Agreed<'a>),
    /// Requests at a price each.
    Requests(&'a Tool),
    /// Containers by time; so many microseconds were used, and so many are billed.
    Time(&'a ContainerTool, u64, u64),
}

impl LineItem<'_> {
    /// The quantity as a decimal: seconds of containers may be fractions.
    #[must_use]
    pub fn exact_quantity(&self) -> String {
        match self.basis {
            Basis::Time(_, used, _) => seconds(used),
            Basis::Tokens(..) | Basis::Requests(_) => self.quantity.to_string(),
        }
    }
}

/// Microseconds as a decimal number of seconds.
pub(super) fn seconds(micros: u64) -> String {
    let (whole, rest) = (micros.div_euclid(SECOND_MICROS), micros.rem_euclid(SECOND_MICROS));
    let text = format!("{whole}.{rest:06}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What is paid in place of the list price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreed<'a> {
    List,
    Contract(&'a Contract),
    /// Named by the caller.
    Discount(Discount),
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineKind {
    /// Tokens of one kind.
    Tokens(TokenKind),
    /// Web searches, per request.
    WebSearch,
    /// Web fetches, per request.
    WebFetch,
    /// Containers of code execution, per second.
    CodeExecution,
}

impl LineKind {
    /// The name used in entries and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            LineKind::Tokens(kind) => kind.name(),
            LineKind::WebSearch => "web_search",
            LineKind::WebFetch => "web_fetch",
            LineKind::CodeExecution => "code_execution",
        }
    }
}

/// Flags, each once.
#[derive(Debug, Default)]
struct Flags(Vec<Flag>);

impl Flags {
    fn insert(&mut self, flag: Flag) {
        if !self.0.contains(&flag) {
            self.0.push(flag);
        }
    }
}

/// A charge under construction.
#[derive(Debug, Default)]
struct Bill<'a> {
    lines: Vec<LineItem<'a>>,
    /// The sums of the lines at contracted and at list price.
    low: Money,
    list: Money,
    high: Money,
    savings: Option<Money>,
    unsure: Vec<LineItem<'a>>,
    upper: Vec<LineItem<'a>>,
}

impl<'a> Bill<'a> {
    fn add_line(&mut self, line: LineItem<'a>) -> Result<(), MoneyOverflow> {
        self.low = self.low.checked_add(line.amount)?;
        self.list = self.list.checked_add(line.list)?;
        self.lines.push(line);
        Ok(())
    }
}

impl PriceBook {
    /// Prices one call.
    ///
    /// The error means that an amount left the range of [`Money`]: the counts are absurd.
    pub fn charge(&self, call: &Call<'_>) -> Result<Charge<'_>, MoneyOverflow> {
        let mut flags = Flags::default();
        let model = self.find(call.model).map(|(model, _)| model.id.as_str());
        if call.facts.result == ResultKind::NotBilled {
            let (total, list) = (Some(Money::ZERO), Some(Money::ZERO));
            let flags = vec![Flag::NotBilled];
            return Ok(Charge { total, list, flags, model, ..Charge::default() });
        }
        let mut bill = Bill { lines: Vec::with_capacity(8), ..Bill::default() };
        let known = match parts::of(&self.rules, call, &mut flags) {
            None => Err(Unknown::Usage),
            Some(parts) => self.bill(&mut bill, call, &parts, &mut flags)?,
        };
        if let Err(unknown) = &known {
            flags.insert(unknown.flag());
            flags.insert(Flag::Unpriced);
            bill = Bill::default();
        }
        let Bill { lines, low, list, high, savings, unsure, upper } = bill;
        flags.0.sort_unstable();
        Ok(Charge {
            cache_savings: savings,
            flags: flags.0,
            lines,
            list: known.is_ok().then_some(list),
            max: (high != low).then_some(high),
            model,
            total: known.is_ok().then_some(low),
            unknown: known.err().map(|unknown| unknown.to_string()),
            unsure,
            upper,
        })
    }

    /// Everything that is billed; the inner error says what is unknown.
    fn bill<'a, 'u>(
        &'a self,
        bill: &mut Bill<'a>,
        call: &Call<'u>,
        parts: &[Part<'u, 'a>],
        flags: &mut Flags,
    ) -> Result<Result<(), Unknown<'u, 'a>>, MoneyOverflow> {
        let terms = match self.terms(call, flags) {
            Ok(terms) => terms,
            Err(unknown) => return Ok(Err(unknown)),
        };
        for part in parts {
            if let Err(unknown) = self.add_part(bill, call, (&terms, part), flags)? {
                return Ok(Err(unknown));
            }
        }
        self.add_tools(bill, call, flags)?;
        if let Some(containers) = call.facts.containers {
            self.add_containers(bill, call.day, containers, flags)?;
        }
        Ok(Ok(()))
    }

    fn add_tools<'a>(
        &'a self,
        bill: &mut Bill<'a>,
        call: &Call<'_>,
        flags: &mut Flags,
    ) -> Result<(), MoneyOverflow> {
        let Some(used) = call.usage.server_tool_use else { return Ok(()) };
        for (kind, count, periods) in [
            (LineKind::WebSearch, used.web_search_requests, &self.tools.web_search),
            (LineKind::WebFetch, used.web_fetch_requests, &self.tools.web_fetch),
        ] {
            let quantity = count.unwrap_or(0);
            if quantity == 0 {
                continue;
            }
            if quantity > REQUESTS_PLAUSIBLE_MAX {
                flags.insert(Flag::UsageAnomaly);
            }
            let Some(tool) = periods.iter().find(|tool| holds(tool.from, tool.to, call.day)) else {
                flags.insert(Flag::UnknownMeter);
                continue;
            };
            if tool.price == Money::ZERO {
                continue;
            }
            let atto = tool.price.atto().checked_mul(quantity.into()).ok_or(MoneyOverflow)?;
            let (amount, basis) = (Money::from_atto(atto), Basis::Requests(tool));
            bill.high = bill.high.checked_add(amount)?;
            let (list, model, step) = (amount, None, None);
            bill.add_line(LineItem { amount, basis, kind, list, model, quantity, step })?;
        }
        Ok(())
    }

    /// Each container counts for a minimum of time; what is left of the free time goes off the sum.
    fn add_containers<'a>(
        &'a self,
        bill: &mut Bill<'a>,
        day: Date,
        containers: Containers<'_>,
        flags: &mut Flags,
    ) -> Result<(), MoneyOverflow> {
        let tool = self.tools.code_execution.iter().find(|tool| holds(tool.from, tool.to, day));
        let Some(tool) = tool else {
            flags.insert(Flag::UnknownMeter);
            return Ok(());
        };
        if containers.allowance == Allowance::Free {
            return Ok(());
        }
        let least = tool.minimum_seconds.saturating_mul(SECOND_MICROS);
        let used = containers.micros.iter().map(|micros| (*micros).max(least));
        let used = used.fold(0_u64, u64::saturating_add);
        let billed = match containers.allowance {
            Allowance::Left(left) => used.saturating_sub(left),
            Allowance::Unknown => 0,
            Allowance::Free => return Ok(()),
        };
        let price = |micros: u64| {
            let product = tool.price.atto().checked_mul(micros.into()).ok_or(MoneyOverflow)?;
            Ok::<_, MoneyOverflow>(divided(product, HOUR_MICROS))
        };
        let (amount, mut exact) = price(billed)?;
        let line = |amount: Money, billed: u64| LineItem {
            amount,
            basis: Basis::Time(tool, used, billed),
            kind: LineKind::CodeExecution,
            list: amount,
            model: None,
            quantity: used.div_ceil(SECOND_MICROS),
            step: None,
        };
        let mut most = amount;
        if containers.allowance == Allowance::Unknown {
            flags.insert(Flag::AllowanceUnknown);
            (most, exact) = price(used)?;
            bill.upper.push(line(most, used));
        }
        if !exact {
            flags.insert(Flag::Rounded);
        }
        bill.high = bill.high.checked_add(most)?;
        bill.add_line(line(amount, billed))
    }
}

/// The quotient, rounded half-even, and whether it needed no rounding. `by` is above zero.
fn divided(product: i128, by: i128) -> (Money, bool) {
    let (whole, rest) = (product.div_euclid(by), product.rem_euclid(by));
    let twice = rest.saturating_mul(2);
    let up = twice > by || (twice == by && whole.rem_euclid(2) == 1);
    (Money::from_atto(whole.saturating_add(i128::from(up))), rest == 0)
}

/// Tokens × pico-dollars × scale, then the discount; and whether that was exact.
fn amount(
    quantity: u64,
    pico: u64,
    scale: i128,
    discount: Option<Discount>,
) -> Result<(Money, bool), MoneyOverflow> {
    let Discount { num, den } = discount.unwrap_or(Discount { num: 1, den: 1 });
    let scaled = scale.checked_mul(num).ok_or(MoneyOverflow)?;
    let (scaled, den) = match scaled.checked_rem(den) {
        Some(0) => (scaled.div_euclid(den), 1),
        _ => (scaled, den),
    };
    let product = i128::from(pico).checked_mul(scaled).ok_or(MoneyOverflow)?;
    let product = product.checked_mul(quantity.into()).ok_or(MoneyOverflow)?;
    Ok(if den == 1 { (Money::from_atto(product), true) } else { divided(product, den) })
}

#[cfg(test)]
mod tests;
