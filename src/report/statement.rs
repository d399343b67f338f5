//! A statement: everything about a period that somebody would pass on, worked out once, for the
//! HTML page and for Markdown alike.
//!
//! Models and token kinds are summed by line item, so that a call that more than one model worked
//! on counts for each of them. What a charge does not break down is shown as such: every list adds
//! up to the same total.

use std::collections::{BTreeMap, BTreeSet};

use super::exchange::{Exchange, Item};
use super::groups::Groups;
use super::period::{self, NS_PER_DAY, Period};
use super::sums::{Facts, Sums};
use super::tally::Report;
use super::text::thousands;
use super::waste::{Waste, WasteMeter};
use crate::accounting::attribution::UNATTRIBUTED;
use crate::accounting::{Money, TokenKind};

/// The most teams and models that are listed one by one.
const ROWS_MAX: usize = 12;
/// How many sessions are listed.
const SESSIONS_MAX: usize = 10;
/// The most unpriced models that are named.
const UNPRICED_MAX: usize = 8;
/// The most days that are shown one by one; a longer period is shown by month.
pub const DAYS_SHOWN_MAX: i64 = 92;
/// The most days or months that are shown; a hundred years.
const BUCKETS_MAX: usize = 1200;
/// The name for what a charge does not break down.
const NOT_BROKEN_DOWN: &str = "not broken down";

/// Amounts of one model, kind or session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Exchanges; for a kind those that have it.
    pub exchanges: u64,
    /// Those among them that have no known price.
    pub unpriced: u64,
    /// Tokens, or the requests or seconds that are billed instead.
    pub quantity: u64,
    /// Billed at contracted prices.
    pub usd: Money,
    /// The same at list prices.
    pub list: Money,
}

impl Share {
    fn add(&mut self, quantity: u64, usd: Money, list: Money) {
        self.quantity = self.quantity.saturating_add(quantity);
        self.usd = self.usd.saturating_add(usd);
        self.list = self.list.saturating_add(list);
    }

    fn merge(&mut self, other: &Share) {
        self.exchanges = self.exchanges.saturating_add(other.exchanges);
        self.unpriced = self.unpriced.saturating_add(other.unpriced);
        self.add(other.quantity, other.usd, other.list);
    }
}

/// A session's sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionShare {
    /// Who pays; the last one where that changed.
    pub team: Option<String>,
    /// When its first exchange was opened, nanoseconds since 1970 (UTC).
    pub first: i64,
    /// When its last one was.
    pub last: i64,
    /// Its amounts.
    pub share: Share,
}

/// The same length of time right before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// When it began, nanoseconds since 1970 (UTC).
    pub from: i64,
    /// When it ended.
    pub to: i64,
    /// Its sums.
    pub sums: Sums,
    /// When recording began, where that was during it: then there is nothing whole to compare with.
    pub began: Option<i64>,
}

/// What is known beside the exchanges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The period that was asked for.
    pub period: Period,
    /// When the statement was made, nanoseconds since 1970 (UTC).
    pub made_at: i64,
    /// The period before, where one can be compared with.
    pub before: Option<Before>,
    /// Lines of the ledger that cannot be read.
    pub damaged: u64,
    /// Calls from before this moment were removed from a ledger, nanoseconds since 1970 (UTC).
    pub kept_since: Option<i64>,
    /// The breakdown that was asked for beside the usual ones.
    pub breakdown: Option<Report>,
}

/// A finished statement. Every list but `sessions` adds up to `total.usd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What is known beside the exchanges.
    pub frame: Frame,
    /// The first moment covered: as asked for, else the first day with an exchange.
    pub from: i64,
    /// The first moment not covered: as asked for, else the end of the last such day.
    pub to: i64,
    /// All of it.
    pub total: Sums,
    /// By who pays.
    pub teams: Vec<(String, Sums)>,
    /// By the model of each line item.
    pub models: Vec<(String, Share)>,
    /// By the kind of each line item.
    pub kinds: Vec<(String, Share)>,
    /// By day, counted from 1970; days without an exchange are left out.
    pub days: BTreeMap<i64, Sums>,
    /// The dearest sessions.
    pub sessions: Vec<(String, SessionShare)>,
    /// How many sessions there are.
    pub session_count: u64,
    /// What the cache saved, where it is known.
    pub savings: Money,
    /// Exchanges that read or wrote the cache and do not say what it saved.
    pub savings_unknown: u64,
    /// What was written to the cache in vain.
    pub waste: Waste,
    /// Models without a rate, and their exchanges.
    pub unpriced: Vec<(String, u64)>,
    /// The pricing tables that gave the rates.
    pub pricing_versions: Vec<String>,
    /// The instances that recorded it.
    pub instances: Vec<String>,
}

/// A statement while it is added up.
#[derive(Debug, Default)]
pub struct StatementBuilder {
    total: Sums,
    teams: Groups<Sums>,
    models: Groups<Share>,
    kinds: Groups<Share>,
    days: BTreeMap<i64, Sums>,
    sessions: Groups<SessionShare>,
    session_count: u64,
    savings: Money,
    savings_unknown: u64,
    waste: WasteMeter,
    unpriced: Groups<u64>,
    pricing: BTreeSet<String>,
    instances: BTreeSet<String>,
    span: Option<(i64, i64)>,
}

/// A day or a month of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// For an axis.
    pub short: String,
    /// In full.
    pub long: String,
    /// Exchanges.
    pub exchanges: u64,
    /// Billed.
    pub usd: Money,
}

impl Statement {
    /// Whether the period is too long to show day by day.
    #[must_use]
    pub fn is_by_month(&self) -> bool {
        self.to.saturating_sub(self.from) > DAYS_SHOWN_MAX.saturating_mul(NS_PER_DAY)
    }

    /// The days of the period, or its months, those without a call too.
    #[must_use]
    pub fn buckets(&self) -> Vec<Bucket> {
        let monthly = self.is_by_month();
        let mut buckets = Vec::new();
        let mut at = if monthly { period::month(self.from).0 } else { day_start(self.from) };
        while at < self.to && buckets.len() < BUCKETS_MAX {
            let end = if monthly { period::month(at).1 } else { at.saturating_add(NS_PER_DAY) };
            let days = self.days.range(at.div_euclid(NS_PER_DAY)..end.div_euclid(NS_PER_DAY));
            let (mut exchanges, mut usd) = (0, Money::ZERO);
            for (_, sums) in days {
                exchanges += sums.exchanges;
                usd = usd.saturating_add(sums.usd);
            }
            let (short, long) = match monthly {
                true => (period::short_month(at), period::short_month(at)),
                false => (period::short_day(at), period::long_day(at)),
            };
            buckets.push(Bucket { short, long, exchanges, usd });
            if end <= at {
                break;
            }
            at = end;
        }
        buckets
    }
}

impl StatementBuilder {
    /// Counts one exchange. Those of one instance come in the order of their opening.
    pub fn add(&mut self, exchange: &Exchange<'_>) {
        let facts = exchange.facts();
        self.total.add(&facts);
        self.teams.at(exchange.team.unwrap_or(UNATTRIBUTED)).add(&facts);
        self.days.entry(exchange.opened_at.div_euclid(NS_PER_DAY)).or_default().add(&facts);
        let (first, last) = self.span.unwrap_or((exchange.opened_at, exchange.opened_at));
        self.span = Some((first.min(exchange.opened_at), last.max(exchange.opened_at)));
        note(&mut self.instances, Some(exchange.instance));
        note(&mut self.pricing, exchange.pricing);
        let model = exchange.model.unwrap_or("unknown model");
        if facts.unpriced {
            *self.unpriced.at(model) += 1;
        }
        if let Some(session) = exchange.session {
            self.add_session(session, exchange, &facts);
        }
        self.models.at(model).exchanges += 1;
        if facts.unpriced {
            self.add_unpriced(model, &facts);
        }
        let Some(usd) = facts.usd else { return };
        let items = exchange.items();
        self.add_lines(&items, model, usd, &facts);
        if facts.notional {
            return;
        }
        self.waste.add(exchange, &items);
        match exchange.savings {
            Some(savings) => self.savings = self.savings.saturating_add(savings),
            None => {
                let cached = facts.tokens.iter().skip(2).any(|count| *count > 0);
                self.savings_unknown += u64::from(cached);
            }
        }
    }

    /// Tokens without a price.
    fn add_unpriced(&mut self, model: &str, facts: &Facts<'_>) {
        let tokens = facts.tokens.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
        let share = self.models.at(model);
        share.unpriced += 1;
        share.quantity = share.quantity.saturating_add(tokens);
        for (kind, count) in TokenKind::ALL.into_iter().zip(facts.tokens) {
            if count > 0 {
                let share = self.kinds.at(kind.name());
                share.exchanges += 1;
                share.unpriced += 1;
                share.quantity = share.quantity.saturating_add(count);
            }
        }
    }

    /// Line items; where a subscription paid, their quantities alone.
    fn add_lines(&mut self, items: &[Item<'_>], model: &str, usd: Money, facts: &Facts<'_>) {
        let billed = |amount: Money| if facts.notional { Money::ZERO } else { amount };
        let list = facts.list.unwrap_or(usd);
        let (mut rest, mut rest_list) = (usd, list);
        for (place, item) in items.iter().enumerate() {
            let listed = item.list_usd.unwrap_or(item.usd);
            let name = item.model.as_ref().map_or(model, |name| &name.0);
            let tokens = if is_token(&item.kind) { item.quantity } else { 0 };
            let before = &items[..place];
            let worked =
                before.iter().any(|other| other.model.as_ref().is_some_and(|m| m.0 == name));
            let share = self.models.at(name);
            share.exchanges += u64::from(name != model && !worked);
            share.add(tokens, billed(item.usd), billed(listed));
            let share = self.kinds.at(&item.kind);
            share.exchanges += u64::from(before.iter().all(|other| other.kind != item.kind));
            share.add(item.quantity, billed(item.usd), billed(listed));
            rest = minus(rest, item.usd);
            rest_list = minus(rest_list, listed);
        }
        let (rest, rest_list) = (billed(rest), billed(rest_list));
        if rest != Money::ZERO || rest_list != Money::ZERO {
            self.models.at(model).add(0, rest, rest_list);
            self.kinds.at(NOT_BROKEN_DOWN).add(0, rest, rest_list);
        }
    }

    fn add_session(&mut self, id: &str, exchange: &Exchange<'_>, facts: &Facts<'_>) {
        let at = exchange.opened_at;
        let session = self.sessions.at(id);
        if session.share.exchanges == 0 {
            self.session_count += 1;
            (session.first, session.last) = (at, at);
        }
        session.first = session.first.min(at);
        session.last = session.last.max(at);
        if session.team.as_deref() != exchange.team {
            session.team = exchange.team.map(str::to_owned);
        }
        let tokens = facts.tokens.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
        let usd = facts.usd.filter(|_| !facts.notional).unwrap_or(Money::ZERO);
        let list = facts.list.filter(|_| !facts.notional).unwrap_or(usd);
        session.share.exchanges += 1;
        session.share.unpriced += u64::from(facts.unpriced);
        session.share.add(tokens, usd, list);
    }

    /// Ends one instance, `now` being the end of what is looked at.
    pub fn end_instance(&mut self, now: i64) {
        self.waste.end_instance(now);
    }

    /// The moments of the first and the last exchange.
    #[must_use]
    pub fn span(&self) -> Option<(i64, i64)> {
        self.span
    }

    /// The statement.
    #[must_use]
    pub fn finish(self, frame: Frame) -> Statement {
        let others = |what: &'static str| {
            move |count: usize| format!("{} other {what}", thousands(count as u64))
        };
        let merge = |sum: &mut Share, more: Share| sum.merge(&more);
        let by_usd = |share: &Share| share.usd;
        let rank = |sums: &Sums| (sums.usd, sums.estimated, sums.notional);
        let (from, to) = covered(frame.period, self.span);
        let mut sessions = self.sessions.ranked(
            SESSIONS_MAX,
            |session| session.share.usd,
            others("sessions"),
            |_, _| (),
        );
        sessions.truncate(SESSIONS_MAX);
        Statement {
            from,
            to,
            total: self.total,
            teams: self.teams.ranked(ROWS_MAX, rank, others("teams"), |sum, more| sum.merge(&more)),
            models: self.models.ranked(ROWS_MAX, by_usd, others("models"), merge),
            kinds: self.kinds.ranked(ROWS_MAX, by_usd, others("kinds"), merge),
            days: self.days,
            sessions,
            session_count: self.session_count,
            savings: self.savings,
            savings_unknown: self.savings_unknown,
            waste: self.waste.finish(),
            unpriced: self.unpriced.ranked(
                UNPRICED_MAX,
                |count| *count,
                others("models"),
                |sum, more| *sum += more,
            ),
            pricing_versions: self.pricing.into_iter().collect(),
            instances: self.instances.into_iter().collect(),
            frame,
        }
    }
}

/// What people call a kind of line item.
#[must_use]
pub fn kind_name(kind: &str) -> &str {
    match kind {
        "input" => "Input, uncached",
        "output" => "Output",
        "cache_read" => "Cache read",
        "cache_write_5m" => "Cache write, 5 minutes",
        "cache_write_1h" => "Cache write, 1 hour",
        "web_search" => "Web search",
        "code_execution" => "Code execution, seconds",
        NOT_BROKEN_DOWN => "Not broken down",
        other => other,
    }
}

/// Whether a kind of line item counts tokens.
#[must_use]
pub fn is_token(kind: &str) -> bool {
    TokenKind::ALL.iter().any(|known| known.name() == kind)
}

/// As asked for, else from the first day with an exchange to the last.
fn covered(period: Period, span: Option<(i64, i64)>) -> (i64, i64) {
    let first = span.map(|(first, _)| day_start(first));
    let end = span.map(|(_, last)| day_start(last).saturating_add(NS_PER_DAY));
    let from = period.from.map(|from| from.0).or(first);
    let to = period.to.map(|to| to.0).or(end);
    let from = from.or(to).unwrap_or(0);
    (from, to.unwrap_or(from).max(from))
}

fn day_start(at: i64) -> i64 {
    at.div_euclid(NS_PER_DAY).saturating_mul(NS_PER_DAY)
}

fn minus(amount: Money, less: Money) -> Money {
    amount.saturating_add(Money::from_atto(less.atto().saturating_neg()))
}

/// Keeps a name that is almost always there already.
fn note(names: &mut BTreeSet<String>, name: Option<&str>) {
    if let Some(name) = name.filter(|name| !names.contains(*name)) {
        names.insert(name.to_owned());
    }
}
