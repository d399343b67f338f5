//! From a part of the bill to its lines: rate, modifiers, negotiated price.

use crate::accounting::call::{Call, Dated, ResultKind};
use crate::accounting::money::{Money, MoneyOverflow};
use crate::accounting::price_book::{
    ATTO_PER_PICO, Billing, Discount, Model, Modifier, Period, Platform, Price, PriceBook, Rates,
};
use crate::accounting::{Flag, TokenKind};

use super::parts::Part;
use super::unknown::Unknown;
use super::{Agreed, Basis, Bill, Flags, LineItem, LineKind, amount};

/// The rates of a part, and everything they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::accounting) struct Rating<'a> {
    pub(in crate::accounting) model: &'a Model,
    pub(in crate::accounting) period: &'a Period,
    pub(in crate::accounting) fast: bool,
    /// The bound of the tier: the prompt is longer.
    pub(in crate::accounting) above: u64,
    pub(in crate::accounting) rates: Rates,
    pub(in crate::accounting) batch: Option<&'a Modifier>,
    pub(in crate::accounting) place: Option<&'a Modifier>,
    /// Atto-dollars per pico-dollar of rate: every modifier applied.
    scale: i128,
}

/// What holds for all parts of a call.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    batch: Option<&'a Modifier>,
    place: Option<&'a Modifier>,
    fast: bool,
    /// The model that answered.
    model: Option<&'a Model>,
}

/// The lines of a part under one reading of it.
struct Reading<'a> {
    rating: Rating<'a>,
    lines: Vec<LineItem<'a>>,
    sum: Money,
    exact: bool,
}

impl PriceBook {
    /// Tier, speed, geography and platform, or what of them is unknown.
    pub(super) fn terms<'a, 'u>(
        &'a self,
        call: &Call<'u>,
        flags: &mut Flags,
    ) -> Result<Terms<'a>, Unknown<'u, 'a>> {
        let is_batch = call.facts.result == ResultKind::BatchItem;
        let batch = match call.usage.service_tier.as_deref() {
            Some("batch") => true,
            None | Some("standard") => is_batch,
            Some("priority") => {
                flags.insert(Flag::PriorityTier);
                is_batch
            }
            Some(tier) => return Err(Unknown::Tier(tier)),
        };
        let batch = batch.then_some(&self.modifiers.batch);
        if let Some(batch) = batch.filter(|batch| call.day < batch.from) {
            return Err(Unknown::Batch(call.day, batch.from));
        }
        let fast = match call.usage.speed.as_deref() {
            None | Some("standard") => false,
            Some("fast") if batch.is_some() => {
                flags.insert(Flag::FastInBatch);
                false
            }
            Some("fast") => true,
            Some(speed) => return Err(Unknown::Speed(speed)),
        };
        let model = self.find(call.model).map(|(model, _)| model);
        Ok(Terms { batch, place: self.place(call, model, flags)?, fast, model })
    }

    /// The modifier for where the call ran. A cloud says it by name or address, the API by
    /// `inference_geo`; both at once are one fact, not two.
    fn place<'a, 'u>(
        &'a self,
        call: &Call<'u>,
        model: Option<&Model>,
        flags: &mut Flags,
    ) -> Result<Option<&'a Modifier>, Unknown<'u, 'a>> {
        let named = |name: &str| self.find(name).map(|(_, platform)| platform);
        let by_name = call.facts.requested.and_then(named).filter(|p| *p != Platform::Direct);
        let platform = call.facts.platform.or(by_name).or_else(|| named(call.model));
        let modifiers = &self.modifiers;
        let cloud = match platform.unwrap_or_default() {
            Platform::Direct | Platform::BedrockGlobal => None,
            Platform::BedrockRegional => Some(&modifiers.bedrock_regional),
            Platform::BedrockGov => Some(&modifiers.bedrock_gov),
            Platform::VertexRegional => Some(&modifiers.vertex_regional),
            Platform::FoundryUsDataZone => Some(&modifiers.foundry_us_data_zone),
        };
        let geography = &modifiers.inference_geo_us;
        match call.usage.inference_geo.as_deref() {
            None | Some("global" | "not_available") => Ok(cloud),
            Some("us") if cloud.is_some() => Ok(cloud),
            Some("us") => {
                if model.is_some_and(|model| !geography.covers(model, call.day)) {
                    flags.insert(Flag::UnknownModifier);
                }
                Ok(Some(geography))
            }
            Some(place) => Err(Unknown::Geography(place)),
        }
    }

    /// Adds a part to the bill; the inner error says what is unknown.
    pub(super) fn add_part<'a, 'u>(
        &'a self,
        bill: &mut Bill<'a>,
        call: &Call<'_>,
        (terms, part): (&Terms<'a>, &Part<'u, 'a>),
        flags: &mut Flags,
    ) -> Result<Result<(), Unknown<'u, 'a>>, MoneyOverflow> {
        if part.billing == Billing::Free {
            return Ok(Ok(()));
        }
        let found = self.find(part.model).map(|(model, _)| model);
        let period = found.and_then(|model| Some((model, model.period(call.day)?)));
        let Some((model, period)) = period else {
            let unknown = Unknown::Model(part.model);
            let unknown = found.map_or(unknown, |model| Unknown::Day(model, call.day));
            // What nobody knows to be billed does not hide what is.
            return Ok(if part.known { Err(unknown) } else { Ok(()) });
        };
        let (first, others) = ratings(terms, call, part, (model, period), flags);
        let mut low = self.reading(first, call, part)?;
        let mut high: Option<Reading<'a>> = None;
        for rating in others.into_iter().flatten() {
            let mut reading = self.reading(rating, call, part)?;
            if reading.sum < low.sum {
                std::mem::swap(&mut reading, &mut low);
            }
            if reading.sum > high.as_ref().map_or(low.sum, |high| high.sum) {
                high = Some(reading);
            }
        }
        bill.high = bill.high.checked_add(high.as_ref().map_or(low.sum, |high| high.sum))?;
        if call.facts.dated == Dated::Moment && self.changed_on(call, (terms, part), &low)? {
            flags.insert(Flag::PriceBoundaryDay);
        }
        if !low.exact {
            flags.insert(Flag::Rounded);
        }
        if part.billing == Billing::Billed {
            self.add_savings(bill, call, (&low, part))?;
            for line in low.lines {
                bill.add_line(line)?;
            }
            bill.upper.extend(high.into_iter().flat_map(|high| high.lines));
        } else {
            bill.unsure.extend(high.unwrap_or(low).lines);
        }
        Ok(Ok(()))
    }

    /// Whether the day before, the same tokens had another price. A negotiated price does not
    /// change by the hour, so today's is taken for both days.
    fn changed_on(
        &self,
        call: &Call<'_>,
        (terms, part): (&Terms<'_>, &Part<'_, '_>),
        today: &Reading<'_>,
    ) -> Result<bool, MoneyOverflow> {
        let model = today.rating.model;
        let (Some(period), Ok(day)) = (model.period_ending(call.day), call.day.yesterday()) else {
            return Ok(false);
        };
        // Fast mode may have ended between the days.
        let fast = today.rating.fast || (terms.fast && part.serves);
        let before = Call { day, ..*call };
        let rating = rating(terms, &before, (model, period), (fast, part.tokens.prompt()));
        let before = self.reading(rating, call, part)?;
        Ok(before.lines.iter().map(|line| line.amount).ne(today.lines.iter().map(|l| l.amount)))
    }

    fn reading<'a>(
        &'a self,
        rating: Rating<'a>,
        call: &Call<'_>,
        part: &Part<'_, 'a>,
    ) -> Result<Reading<'a>, MoneyOverflow> {
        let lines = Vec::with_capacity(TokenKind::ALL.len());
        let mut reading = Reading { rating, lines, sum: Money::ZERO, exact: true };
        for kind in TokenKind::ALL {
            let quantity = part.tokens.of(kind);
            if quantity == 0 {
                continue;
            }
            let agreed = self.agreed(call, &rating, kind);
            let (paid, exact) = rating.price(kind, quantity, agreed)?;
            let list = match agreed {
                Agreed::List => paid,
                _ => rating.price(kind, quantity, Agreed::List)?.0,
            };
            reading.exact &= exact;
            reading.sum = reading.sum.checked_add(paid)?;
            reading.lines.push(LineItem {
                amount: paid,
                basis: Basis::Tokens(rating, agreed),
                kind: LineKind::Tokens(kind),
                list,
                model: Some(&rating.model.id),
                quantity,
                step: part.step,
            });
        }
        Ok(reading)
    }

    fn agreed<'a>(&'a self, call: &Call<'_>, rating: &Rating<'_>, kind: TokenKind) -> Agreed<'a> {
        if let Some(discount) = call.facts.discount {
            return Agreed::Discount(discount);
        }
        let who = (call.facts.team, call.day);
        match self.contracts.find(who, &rating.model.id, kind) {
            // A rate is one of standard mode.
            Some(contract) if rating.fast && matches!(contract.price, Price::Rate(_)) => {
                Agreed::List
            }
            Some(contract) => Agreed::Contract(contract),
            None => Agreed::List,
        }
    }

    /// Cache reads and writes at the price of uncached input, minus what they cost.
    fn add_savings(
        &self,
        bill: &mut Bill<'_>,
        call: &Call<'_>,
        (reading, part): (&Reading<'_>, &Part<'_, '_>),
    ) -> Result<(), MoneyOverflow> {
        let rating = &reading.rating;
        let uncached = self.agreed(call, rating, TokenKind::Input);
        for kind in [TokenKind::CacheRead, TokenKind::CacheWrite5m, TokenKind::CacheWrite1h] {
            let quantity = part.tokens.of(kind);
            if quantity == 0 {
                continue;
            }
            let (without, _) = rating.price(TokenKind::Input, quantity, uncached)?;
            let (with, _) = rating.price(kind, quantity, self.agreed(call, rating, kind))?;
            let saved = bill.savings.unwrap_or_default().checked_add(without)?;
            bill.savings = Some(saved.checked_sub(with)?);
        }
        Ok(())
    }
}

impl Rating<'_> {
    /// What so many tokens of a kind cost, and whether that is exact.
    fn price(
        &self,
        kind: TokenKind,
        quantity: u64,
        agreed: Agreed<'_>,
    ) -> Result<(Money, bool), MoneyOverflow> {
        let list = self.rates.of(kind);
        let (pico, discount): (u64, Option<Discount>) = match agreed {
            Agreed::List => (list, None),
            Agreed::Discount(discount) => (list, Some(discount)),
            Agreed::Contract(contract) => match contract.price {
                Price::Rate(pico) => (pico, None),
                Price::Discount(discount) => (list, Some(discount)),
            },
        };
        amount(quantity, pico, self.scale, discount)
    }
}

/// Every rating that a part may have. Entries carry no speed: the top level's is that of the
/// answer, and another model beside it may have run at either. And a step of an answer may take
/// its tier from its own prompt or from that of the whole answer.
fn ratings<'a>(
    terms: &Terms<'a>,
    call: &Call<'_>,
    part: &Part<'_, '_>,
    (model, period): (&'a Model, &'a Period),
    flags: &mut Flags,
) -> (Rating<'a>, [Option<Rating<'a>>; 2]) {
    let of = |fast: bool, prompt: u64| rating(terms, call, (model, period), (fast, prompt));
    let own = part.tokens.prompt();
    let has_fast = period.fast.is_some();
    let same = terms.model.is_some_and(|answered| std::ptr::eq(answered, model));
    let fast = terms.fast && has_fast && (part.serves || same);
    if terms.fast && !has_fast && part.serves {
        flags.insert(Flag::FastWithoutRate);
    }
    let first = of(fast, own);
    let by_whole = Some(of(fast, part.whole_prompt)).filter(|whole| whole.above != first.above);
    if by_whole.is_some() {
        flags.insert(Flag::PromptTier);
    }
    let is_either = terms.fast && has_fast && !fast;
    if is_either {
        flags.insert(Flag::AttemptSpeed);
    }
    (first, [by_whole, is_either.then(|| of(true, own))])
}

fn rating<'a>(
    terms: &Terms<'a>,
    call: &Call<'_>,
    (model, period): (&'a Model, &'a Period),
    (fast, prompt): (bool, u64),
) -> Rating<'a> {
    let row = period.fast.as_ref().filter(|_| fast);
    let (above, rates) = row.unwrap_or(&period.standard).rates(prompt);
    // A model from before a split has a single price everywhere.
    let place = terms.place.filter(|place| place.covers(model, call.day));
    let batch = terms.batch;
    let modifiers = [batch, place].into_iter().flatten();
    // The loader has checked that no denominator is zero and that the products are whole.
    let scale =
        modifiers.fold(ATTO_PER_PICO, |scale, modifier| modifier.apply(scale).unwrap_or(scale));
    Rating { model, period, fast: row.is_some(), above, rates, batch, place, scale }
}
