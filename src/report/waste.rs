//! Cache waste: what was paid to write to the prompt cache and never came back.
//!
//! A *chain* is the exchanges of one session, agent and model, in the order they were opened. What
//! a call read and wrote is taken for one prefix: first what it read, then what it wrote for an
//! hour, then what it wrote for five minutes. A later read that reaches into the written part reads
//! it, and keeps it alive. Two things count, each written token in one of them at most:
//!
//! * *never read*: written, and no later call of the chain that began before the time to live ran
//!   out read as far. The time runs from the end of the last call that wrote or read it.
//! * *rewritten*: written again for a part of the prefix that had been in the cache until its time
//!   ran out.
//!
//! The amount is what these writes cost beyond plain input. What a reader must know of the limits
//! stands in `docs/reports.md`.

use std::collections::HashMap;

use super::exchange::{Exchange, Item};
use crate::accounting::{Money, TokenKind};

const MINUTE_NS: i64 = 60_000_000_000;
/// How long a write lives after its last use: an hour's, and the default one's.
const LIVES_NS: [i64; 2] = [60 * MINUTE_NS, 5 * MINUTE_NS];
/// The kinds of write in the order they stand in a prompt: the longer life first.
const KINDS: [TokenKind; 2] = [TokenKind::CacheWrite1h, TokenKind::CacheWrite5m];
/// The most writes of one chain that wait for a reader; the oldest is settled before one more.
const WAITING_MAX: usize = 16;
/// Chains are looked through for dead ones when there are this many, and twice what was left.
const CHAINS_SWEEP: usize = 1024;

/// The most chains that are followed at once. Where more are alive, all are let go and begin anew:
/// less waste is seen, never more.
const CHAINS_MAX: usize = 200_000;

/// Tokens that were paid for in vain, and what they cost beyond plain input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Tokens.
    pub tokens: u64,
    /// What writing them cost beyond plain input, where that is known.
    pub usd: Money,
    /// The tokens among them whose surcharge is not known.
    pub unpriced: u64,
}

impl Lost {
    fn add(&mut self, tokens: u64, surcharge: Option<Surcharge>) {
        self.tokens = self.tokens.saturating_add(tokens);
        match surcharge {
            Some(surcharge) => self.usd = self.usd.saturating_add(surcharge.of(tokens)),
            None => self.unpriced = self.unpriced.saturating_add(tokens),
        }
    }
}

/// Cache waste of a group of exchanges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waste {
    /// All tokens written, wasted or not.
    pub written: u64,
    /// Written, and not read before their time ran out.
    pub never_read: Lost,
    /// Written again after their time had run out.
    pub rewritten: Lost,
}

impl Waste {
    /// The amounts of both kinds.
    #[must_use]
    pub fn usd(&self) -> Money {
        self.never_read.usd.saturating_add(self.rewritten.usd)
    }
}

/// What so many written tokens cost more than as many plain input tokens.
#[derive(Clone, Copy, Debug)]
struct Surcharge {
    usd: Money,
    tokens: u64,
}

impl Surcharge {
    /// The share of `tokens`; rounded down to 10⁻¹⁸ where it does not come out even.
    fn of(self, tokens: u64) -> Money {
        share(self.usd, tokens, self.tokens).unwrap_or(Money::ZERO)
    }
}

/// `usd` × `part` / `whole`.
fn share(usd: Money, part: u64, whole: u64) -> Option<Money> {
    let product = usd.atto().checked_mul(i128::from(part))?;
    product.checked_div_euclid(i128::from(whole)).map(Money::from_atto)
}

/// What one call did to the cache; writes in the order of [`KINDS`].
#[derive(Clone, Copy, Debug)]
struct Call {
    began: i64,
    ended: i64,
    read: u64,
    writes: [u64; 2],
    surcharges: [Option<Surcharge>; 2],
}

/// Tokens of one kind that one call wrote: a part of the prefix, from `start` on.
#[derive(Clone, Copy, Debug)]
struct Write {
    start: u64,
    tokens: u64,
    /// The most of them that one later call read.
    read: u64,
    /// How many had been in the cache before, until their time ran out.
    again: u64,
    life_ns: i64,
    dies_at: i64,
    surcharge: Option<Surcharge>,
}

/// What is known of one chain.
#[derive(Debug, Default)]
struct Chain {
    waiting: Vec<Write>,
    /// How far the prefix reached that lives for an hour, for five minutes; and until when.
    reach: [(u64, i64); 2],
}

/// Adds up cache waste. Memory holds the chains of the last hour only, so exchanges of one instance
/// are to be added in the order of their opening, one instance after the other.
#[derive(Debug, Default)]
pub struct WasteMeter {
    chains: HashMap<Vec<u8>, Chain>,
    sweep_at: usize,
    key: Vec<u8>,
    total: Waste,
}

impl WasteMeter {
    /// Counts one exchange with its line items. What a subscription paid for is left out, and so
    /// are results of batches.
    pub fn add(&mut self, exchange: &Exchange<'_>, items: &[Item<'_>]) {
        let writes = KINDS.map(|kind| own_tokens(exchange, items, kind));
        let read = own_tokens(exchange, items, TokenKind::CacheRead);
        // Requests of a batch share prefixes in an order that nobody sees.
        let in_batch = exchange.endpoint == Some("batches");
        if exchange.notional || in_batch || (read == 0 && writes == [0, 0]) {
            return;
        }
        self.key.clear();
        for part in [exchange.session, exchange.agent, exchange.model] {
            self.key.extend_from_slice(part.unwrap_or_default().as_bytes());
            self.key.push(0);
        }
        // A call without a session is a chain of its own.
        if exchange.session.is_none() {
            self.key.extend_from_slice(exchange.id.as_bytes());
        }
        self.total.written =
            writes.iter().fold(self.total.written, |sum, count| sum.saturating_add(*count));
        let call = Call {
            began: exchange.opened_at,
            ended: exchange.closed_at.unwrap_or(exchange.opened_at),
            read,
            writes,
            surcharges: surcharges(exchange, items),
        };
        if let Some(chain) = self.chains.get_mut(&self.key) {
            chain.read(&call, &mut self.total);
            return chain.write(&call, &mut self.total);
        }
        let mut chain = Chain::default();
        chain.write(&call, &mut self.total);
        self.chains.insert(self.key.clone(), chain);
        self.sweep(call.began);
    }

    /// Settles the chains that nothing can read any more.
    fn sweep(&mut self, now: i64) {
        if self.chains.len() < self.sweep_at.max(CHAINS_SWEEP) {
            return;
        }
        let total = &mut self.total;
        self.chains.retain(|_, chain| {
            let lives = chain.reach.iter().any(|(_, dies_at)| *dies_at >= now);
            if !lives {
                chain.waiting.drain(..).for_each(|write| settle(write, total));
            }
            lives
        });
        if self.chains.len() >= CHAINS_MAX {
            self.end_instance(i64::MIN);
        }
        self.sweep_at = self.chains.len().saturating_mul(2).min(CHAINS_MAX);
    }

    /// Ends one instance: its chains go no further. What lives on at `now` may still be read, and
    /// is no waste yet.
    pub fn end_instance(&mut self, now: i64) {
        for (_, mut chain) in self.chains.drain() {
            for mut write in chain.waiting.drain(..) {
                if write.dies_at >= now {
                    write.read = write.tokens;
                }
                settle(write, &mut self.total);
            }
        }
    }

    /// The waste of all instances that were ended.
    #[must_use]
    pub fn finish(self) -> Waste {
        self.total
    }
}

impl Chain {
    /// What waited for this call to be read, and what it came too late for.
    fn read(&mut self, call: &Call, total: &mut Waste) {
        let Call { began, ended, read, .. } = *call;
        self.waiting.retain_mut(|write| {
            if write.dies_at < began {
                settle(*write, total);
                return false;
            }
            let reached = read.saturating_sub(write.start).min(write.tokens);
            if reached > 0 {
                write.read = write.read.max(reached);
                write.dies_at = ended.saturating_add(write.life_ns);
            }
            if write.read == write.tokens {
                settle(*write, total);
            }
            write.read < write.tokens
        });
    }

    fn write(&mut self, call: &Call, total: &mut Waste) {
        let Call { began, ended, read, writes, surcharges } = *call;
        let live = self.reach.iter().filter(|(_, dies_at)| *dies_at >= began);
        let live_end = live.map(|(end, _)| *end).max().unwrap_or(0);
        let dead = self.reach.iter().filter(|(_, dies_at)| *dies_at < began);
        let dead_end = dead.map(|(end, _)| *end).max().unwrap_or(0);
        // Only what had been there, was not read now, and is beyond what still lives.
        let mut again = dead_end.saturating_sub(read.max(live_end));
        let mut start = read;
        for (place, tokens) in writes.into_iter().enumerate() {
            let life_ns = LIVES_NS[place];
            let dies_at = ended.saturating_add(life_ns);
            if tokens > 0 {
                let repeated = again.min(tokens);
                again -= repeated;
                if self.waiting.len() >= WAITING_MAX {
                    settle(self.waiting.remove(0), total);
                }
                let surcharge = surcharges[place];
                let write =
                    Write { start, tokens, read: 0, again: repeated, life_ns, dies_at, surcharge };
                self.waiting.push(write);
                start = start.saturating_add(tokens);
                self.reach[place] = (start, dies_at);
            } else if read > 0 && self.reach[place].1 >= began {
                self.reach[place].1 = self.reach[place].1.max(dies_at);
            }
        }
    }
}

/// Nothing more can happen to a write: what nobody read is waste, and so is what was read but had
/// been written before.
fn settle(write: Write, total: &mut Waste) {
    let unread = write.tokens.saturating_sub(write.read);
    if unread > 0 {
        total.never_read.add(unread, write.surcharge);
    }
    let again = write.again.min(write.read);
    if again > 0 {
        total.rewritten.add(again, write.surcharge);
    }
}

/// Tokens that the exchange's own model read or wrote: an advisor has a prefix of its own.
fn own_tokens(exchange: &Exchange<'_>, items: &[Item<'_>], kind: TokenKind) -> u64 {
    if items.iter().all(|item| item.model.is_none()) {
        return match kind {
            TokenKind::CacheRead => exchange.cache_read,
            TokenKind::CacheWrite5m => exchange.write_5m,
            TokenKind::CacheWrite1h => exchange.write_1h,
            TokenKind::Input | TokenKind::Output => None,
        }
        .unwrap_or(0);
    }
    let own = items.iter().filter(|item| item.model.is_none() && item.kind == kind.name());
    own.fold(0, |sum: u64, item| sum.saturating_add(item.quantity))
}

/// What the writes of an exchange cost beyond plain input, in the order of [`KINDS`]. The price of
/// plain input is that of the input line; without one it follows from what the cache saved, where
/// the whole exchange is of one model.
fn surcharges(exchange: &Exchange<'_>, items: &[Item<'_>]) -> [Option<Surcharge>; 2] {
    let own = |kind: TokenKind| {
        items.iter().find(|item| item.model.is_none() && item.kind == kind.name())
    };
    let one_model = items.iter().all(|item| item.model.is_none());
    let input = own(TokenKind::Input).map(|item| (item.usd, item.quantity));
    let plain = input.or_else(|| {
        let savings = exchange.savings.filter(|_| one_model)?;
        let cached = [own(TokenKind::CacheRead), own(KINDS[0]), own(KINDS[1])];
        let cached = || cached.iter().flatten();
        let usd = cached().map(|item| item.usd).sum::<Money>().saturating_add(savings);
        Some((usd, cached().fold(0, |sum: u64, item| sum.saturating_add(item.quantity))))
    });
    KINDS.map(|kind| {
        let (plain, item) = (plain.filter(|(_, quantity)| *quantity > 0)?, own(kind)?);
        let usd = item.usd.checked_sub(share(plain.0, item.quantity, plain.1)?).ok()?;
        Some(Surcharge { usd, tokens: item.quantity })
    })
}

#[cfg(test)]
mod tests;
