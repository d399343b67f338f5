//! The one door to the ledger: the only module that knows what "recorded" means.
//!
//! One order, always: the ledger first, awaited; then memory (metrics), which cannot fail. So no
//! figure is ever ahead of the record. Never the network: whoever exports follows the ledger.
//!
//! R1 and R2 hang on two types: [`OpenExchange`] exists only once its `opened` entry is in the
//! ledger, and [`OpenExchange::close`] takes it away, so closing twice does not compile. Dropped
//! without being closed (a panic, a forced stop), it closes itself as `interrupted`.

mod agents;
mod batches;
mod charging;
mod spending;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::civil::Date;
use tokio::sync::watch;

pub use batches::BatchFetch;
use batches::Fetched;

use crate::accounting::call::{Dated, Facts, Refusal};
use crate::accounting::estimate::{Calibration, Range};
use crate::accounting::price_book::{Platform, PriceBook};
use crate::accounting::{Call, Flag, Usage};
use crate::anthropic::{Metered, RateLimits, ToolReturned};
use crate::budgets::Budgets;
use crate::clock::Clock;
use crate::ledger::{Ledger, LedgerError, Position, Purpose};
use crate::live::{Ended, Live};
use crate::logging;
use crate::metrics::Metrics;
use crate::privacy::Identifier;
use crate::privacy::commitment::CommitmentKey;
use crate::privacy::identifier::HashKey;
use crate::record::entry::PricesChanged;
use crate::record::exchange::Endpoint;
use crate::record::{ChargeRecord, Closing, Entry, Opening, Outcome, Stamp};

/// Names from outside whose written form is remembered, at most.
const NAMES_MAX: usize = 1024;
/// The longest name that is remembered.
const NAME_BYTES_MAX: usize = 1024;

/// Everything that recording needs; shared by all exchanges.
pub struct Recorder {
    ledger: Ledger,
    metrics: Arc<Metrics>,
    budgets: Option<Arc<Budgets>>,
    clock: Clock,
    prices: ArcSwap<PriceBook>,
    identifiers: HashKey,
    commitments: CommitmentKey,
    /// Random at every start.
    repeat_seed: u64,
    /// Queries, sessions and tool calls that run.
    live: Live,
    /// How names from outside are written down: looking at one anew costs as much as parsing the
    /// request.
    names: Mutex<HashMap<Vec<u8>, Identifier>>,
    /// What completed streams say about the length of cut ones.
    calibration: Mutex<Calibration>,
    /// The batches whose results are being fetched.
    fetched: Fetched,
    /// The first metered call of this process that closed, for whoever greets.
    first: watch::Sender<Option<Arc<Closing>>>,
}

/// What is secret to an instance or a process.
pub struct Secrets {
    /// For hashing names that may not be kept.
    pub identifiers: HashKey,
    /// For committing to contents.
    pub commitments: CommitmentKey,
    /// Random at every start.
    pub repeat_seed: u64,
}

/// What the exchange task found out by the end of the response.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Why it ended.
    pub outcome: Outcome,
    /// Status sent to the client, if any.
    pub status: Option<u16>,
    /// What the meter read.
    pub metered: Metered,
    /// Our own error type, where we answered instead of the API.
    pub error_type: Option<&'static str>,
    /// The API's `request-id`.
    pub request_id: Option<Vec<u8>>,
    /// Body bytes sent on to the client.
    pub response_bytes: u64,
    /// Monotonic moment of the first content, nanoseconds.
    pub first_token_ns: Option<u64>,
    /// Facts that the request side knows: a probe, …
    pub flags: Vec<Flag>,
    /// The id of the batch that the response names as made.
    pub batch_created: Option<String>,
}

impl Ending {
    /// An ending without a response. Boxed, because it is handed on several times in every call.
    #[must_use]
    pub fn without_response(outcome: Outcome) -> Box<Ending> {
        Box::new(Ending {
            outcome,
            status: None,
            metered: Metered::default(),
            error_type: None,
            request_id: None,
            response_bytes: 0,
            first_token_ns: None,
            flags: Vec::new(),
            batch_created: None,
        })
    }
}

impl Recorder {
    /// A recorder over an open ledger.
    #[must_use]
    pub fn new(
        ledger: Ledger,
        metrics: Arc<Metrics>,
        clock: Clock,
        prices: PriceBook,
        secrets: Secrets,
    ) -> Recorder {
        let Secrets { identifiers, commitments, repeat_seed } = secrets;
        let (first, _) = watch::channel(None);
        let prices = ArcSwap::from_pointee(prices);
        let (names, calibration, fetched) =
            (Mutex::default(), Mutex::default(), Fetched::default());
        Recorder {
            ledger,
            metrics,
            budgets: None,
            clock,
            prices,
            identifiers,
            commitments,
            repeat_seed,
            live: Live::default(),
            names,
            calibration,
            fetched,
            first,
        }
    }

    /// Counts charges and errors in `budgets` too, once they are in the ledger.
    #[must_use]
    pub fn with_budgets(mut self, budgets: Arc<Budgets>) -> Recorder {
        self.budgets = (!budgets.is_idle()).then_some(budgets);
        self
    }

    /// The clock that stamps entries.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The ledger, for its health and its followers.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The rates that the next call is priced with.
    #[must_use]
    pub fn prices(&self) -> Arc<PriceBook> {
        self.prices.load_full()
    }

    /// The metrics, to be kept by a thread of its own.
    #[must_use]
    pub fn shared_metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// The metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A name from outside, as it may be written down. What a machine has made is kept at once; the
    /// rest is put to the rules or hashed, and remembered: clients send the same names again.
    #[must_use]
    pub fn identifier(&self, text: &[u8]) -> Identifier {
        if let Some(made) = Identifier::machine_made(text) {
            return made;
        }
        let names = || self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let known = names().get(text).cloned();
        if let Some(known) = known {
            return known;
        }
        // Not under the lock: the rules take longer than everything else here.
        let identifier = Identifier::from_outside(text, &self.identifiers);
        if text.len() <= NAME_BYTES_MAX {
            let mut names = names();
            if names.len() >= NAMES_MAX {
                names.clear();
            }
            names.insert(text.to_vec(), identifier.clone());
        }
        identifier
    }

    /// Records that an exchange opens (R1), then the results of tools that come with it.
    /// `started_ns` is the monotonic moment of its first byte.
    ///
    /// # Errors
    ///
    /// The ledger did not take the entry: the call must be refused, nothing may go upstream.
    pub async fn open(
        self: &Arc<Self>,
        opening: Opening,
        started_ns: u64,
        returned: Vec<ToolReturned>,
    ) -> Result<OpenExchange, LedgerError> {
        let entry = Entry::Opened(Box::new(opening));
        let (position, stamp) = self.append_now(&entry, Purpose::NewCall)?;
        let Entry::Opened(opening) = entry else { return Err(LedgerError::ShutDown) };
        self.metrics.opened(&opening, stamp.mono_ns);
        let prices = self.prices.load_full();
        // Made before the wait: a caller that does not wait for the disk leaves a closing behind.
        let mut exchange = OpenExchange {
            open: Some(Open { opening, started_ns, prices, recorded: true, query: String::new() }),
            recorder: Arc::clone(self),
        };
        let durable = self.durable(position, stamp).await;
        if let (Ok(false), Some(open)) = (&durable, &mut exchange.open) {
            open.recorded = false;
        }
        match (&durable, &mut exchange.open) {
            (Err(_), open) => {
                self.metrics.not_opened();
                *open = None;
            }
            (Ok(true), Some(open)) if open.opening.endpoint.is_metered() => {
                let mut ended = Ended::default();
                open.query = self.live.opened(&open.opening, stamp.wall_ns, &mut ended);
                self.ended(&ended);
                self.tools_returned(&open.opening, returned);
            }
            _ => {}
        }
        durable.map(|_| exchange)
    }

    /// Records a fact that belongs to no exchange.
    pub async fn record(&self, entry: &Entry) -> Result<Written, LedgerError> {
        let written = self.append(entry, Purpose::Running).await?;
        if let (Entry::Reattributed(_), Some(budgets)) = (entry, &self.budgets) {
            budgets.stale();
        }
        Ok(written)
    }

    /// Lets other prices hold for calls from now on; tells whether they differ. The change is in
    /// the ledger first. A running call keeps the prices it began with.
    pub async fn change_prices(&self, prices: PriceBook) -> Result<bool, LedgerError> {
        let before = self.prices.load().version().to_owned();
        let after = prices.version().to_owned();
        if before == after {
            return Ok(false);
        }
        self.record(&Entry::PricesChanged(PricesChanged { after, before })).await?;
        self.prices.store(Arc::new(prices));
        Ok(true)
    }

    async fn append(&self, entry: &Entry, purpose: Purpose) -> Result<Written, LedgerError> {
        let (position, stamp) = self.append_now(entry, purpose)?;
        let is_there = self.durable(position, stamp).await?;
        Ok(Written { sequence: position.sequence.filter(|_| is_there), stamp })
    }

    fn append_now(
        &self,
        entry: &Entry,
        purpose: Purpose,
    ) -> Result<(Position, Stamp), LedgerError> {
        let stamp = self.clock.stamp();
        Ok((self.ledger.append_now(entry, stamp, purpose)?, stamp))
    }

    /// Waits as the configuration says. `false` where the entry is not in the ledger after all:
    /// `observe` mode goes on without it.
    async fn durable(&self, position: Position, stamp: Stamp) -> Result<bool, LedgerError> {
        let position = self.ledger.durable(position).await?;
        let took = self.clock.mono_ns().saturating_sub(stamp.mono_ns);
        self.metrics.health.append_seconds.observe(Duration::from_nanos(took).as_secs_f64());
        if position.sequence.is_none() {
            self.metrics.health.unrecorded.inc();
        }
        Ok(position.sequence.is_some())
    }

    /// Today, by which a call is priced: the day its request came in (UTC).
    fn day(&self, started_ns: u64) -> Date {
        let stamp = self.clock.stamp();
        let age = stamp.mono_ns.saturating_sub(started_ns);
        day_of(stamp.wall_ns.saturating_sub(age))
    }
}

/// An entry that was appended.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Its place in the ledger; `None` where it is not there after all (`observe` mode).
    pub sequence: Option<u64>,
    /// The moment it holds.
    pub stamp: Stamp,
}

/// The UTC day of a moment in nanoseconds since 1970.
fn day_of(wall_ns: u64) -> Date {
    let moment = jiff::Timestamp::from_nanosecond(wall_ns.into()).unwrap_or_default();
    moment.to_zoned(jiff::tz::TimeZone::UTC).date()
}

struct Open {
    opening: Box<Opening>,
    started_ns: u64,
    /// The table the call was admitted with: a reload does not change a running call.
    prices: Arc<PriceBook>,
    /// Whether the opening is in the ledger; not so only in `observe` mode.
    recorded: bool,
    /// The first exchange of its query; empty where it belongs to none.
    query: String,
}

/// An exchange whose opening is in the ledger and whose closing is not yet.
#[must_use = "an exchange that is open must be closed"]
pub struct OpenExchange {
    /// Taken by the closing.
    open: Option<Open>,
    recorder: Arc<Recorder>,
}

impl OpenExchange {
    /// Prices the exchange and records its end (R2). Returns when the entry is durable in the
    /// configured sense.
    ///
    /// A client is never cut off because our disk is full: a closing that cannot be written is
    /// counted and printed whole to standard error, the one exception to R2.
    pub async fn close(mut self, ending: Box<Ending>) {
        let Some(open) = self.open.take() else { return };
        let entry = Entry::Closed(Box::new(self.recorder.closing(&open, *ending)));
        if open.recorded {
            match self.recorder.append(&entry, Purpose::Running).await {
                Ok(written) => self.recorder.spent(&open.opening, &entry, written),
                Err(error) => self.recorder.lost(&entry, &error),
            }
        } else {
            self.recorder.metrics.health.unrecorded.inc();
        }
        self.recorder.count(&open, &entry);
    }
}

impl OpenExchange {
    /// Shows the API's rate limits as the head of the answer names them.
    pub fn limits_seen(&self, limits: &RateLimits) {
        if let Some(open) = &self.open {
            self.recorder.metrics.limits_seen(&open.opening.team, limits);
        }
    }

    /// Like [`OpenExchange::close`], without waiting for the disk: nobody is there to wait for.
    pub fn close_now(mut self, ending: Box<Ending>) {
        if let Some(open) = self.open.take() {
            self.recorder.close_now(&open, *ending);
        }
    }
}

impl Drop for OpenExchange {
    /// A panic or a forced stop: the record is closed all the same, without waiting.
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        let mut ending = Ending::without_response(Outcome::Interrupted);
        ending.flags.push(Flag::UsageUnknown);
        self.recorder.close_now(&open, *ending);
    }
}

impl Recorder {
    fn close_now(&self, open: &Open, ending: Ending) {
        let entry = Entry::Closed(Box::new(self.closing(open, ending)));
        if !open.recorded {
            self.metrics.health.unrecorded.inc();
        } else {
            match self.append_now(&entry, Purpose::Running) {
                Ok((position, _)) if position.sequence.is_none() => {
                    self.metrics.health.unrecorded.inc()
                }
                Ok((Position { sequence }, stamp)) => {
                    self.spent(&open.opening, &entry, Written { sequence, stamp });
                }
                Err(error) => self.lost(&entry, &error),
            }
        }
        self.count(open, &entry);
    }
}

/// The model that answered: after a fallback it is named in the usage, and `message_start` may
/// still name the one that was asked for.
fn served_model(metered: &Metered) -> Option<&str> {
    let iterations = metered.usage.as_ref().map_or(&[][..], |usage| &usage.iterations);
    let fallback = iterations.iter().rev().find(|one| one.kind == "fallback_message");
    fallback.and_then(|one| one.model.as_deref()).or(metered.model.as_deref())
}

impl Recorder {
    fn closing(&self, open: &Open, ending: Ending) -> Closing {
        let Ending { outcome, status, mut metered, error_type, request_id, .. } = ending;
        if let Some(batch) = &ending.batch_created {
            self.batch_created(open, batch);
        }
        let mut flags = std::mem::take(&mut metered.flags);
        flags.extend(ending.flags);
        let served = served_model(&metered).map(|model| self.identifier(model.as_bytes()));
        let asked = served.as_ref().or(open.opening.model.as_ref());
        let charge = match (&metered.usage, asked) {
            (Some(usage), Some(model)) => {
                self.charge(open, (model.as_str(), usage), &metered, &mut flags)
            }
            _ => None,
        };
        self.tools_seen(open, &mut metered, charge.as_ref());
        let now = self.clock.mono_ns();
        let since_start = |moment: u64| moment.saturating_sub(open.started_ns).div_euclid(1000);
        flags.sort_unstable();
        flags.dedup();
        let Metered { batch, error_class, usage, stop_reason, error_type: from_api, .. } = metered;
        let from_api = from_api.map(|kind| self.identifier(kind.as_bytes()));
        Closing {
            batch,
            charge,
            duration_us: since_start(now),
            error_class: error_class.map(Identifier::known),
            error_type: error_type.map(Identifier::known).or(from_api),
            exchange: open.opening.exchange.clone(),
            flags,
            first_token_us: ending.first_token_ns.map(since_start),
            model: served,
            outcome,
            request_id: request_id.map(|id| self.identifier(&id)),
            response_bytes: ending.response_bytes,
            status,
            stop_reason: stop_reason.map(|reason| self.identifier(reason.as_bytes())),
            usage,
        }
    }

    fn charge(
        &self,
        open: &Open,
        (model, usage): (&str, &Usage),
        metered: &Metered,
        flags: &mut Vec<Flag>,
    ) -> Option<ChargeRecord> {
        let opening = &open.opening;
        if !opening.endpoint.is_metered() || opening.endpoint == Endpoint::CountTokens {
            return None;
        }
        let is_refusal = metered.stop_reason.as_deref() == Some("refusal");
        let category = metered.refusal_category.as_deref();
        let facts = Facts {
            dated: Dated::Moment,
            platform: opening.platform.as_ref().and_then(|name| Platform::named(name.as_str())),
            refusal: is_refusal.then_some(Refusal { category }),
            requested: opening.model.as_ref().map(Identifier::as_str),
            team: Some(&opening.team),
            ..Facts::default()
        };
        let call = Call { day: self.day(open.started_ns), facts, model, usage };
        let estimated = self.estimated_output(&call, metered);
        let notional = opening.subscription != 0;
        Some(charging::record(&open.prices, &call, (estimated, notional), flags, |name| {
            self.identifier(name.as_bytes())
        }))
    }

    /// Learns from a stream that was read to its end; estimates the output of one that was not.
    fn estimated_output(&self, call: &Call<'_>, metered: &Metered) -> Option<Range> {
        let Metered { streamed, complete, .. } = metered;
        if streamed.is_empty() {
            return None;
        }
        let mut calibration = self.calibration.lock().unwrap_or_else(PoisonError::into_inner);
        if !*complete {
            return Some(calibration.estimate(call.model, streamed));
        }
        // With iterations the top level is not the answer's alone.
        if let Some(output) = call.usage.output_tokens.filter(|_| call.usage.iterations.is_empty())
        {
            let details = call.usage.output_tokens_details;
            let thinking = details.and_then(|details| details.thinking_tokens);
            calibration.learn(call.model, streamed, output, thinking);
        }
        None
    }

    fn count(&self, open: &Open, entry: &Entry) {
        let Entry::Closed(closing) = entry else { return };
        let opening = &open.opening;
        if !open.query.is_empty() {
            let mut ended = Ended::default();
            let now_ns = self.clock.stamp().wall_ns;
            self.live.closed((opening, &open.query), closing, now_ns, &mut ended);
            self.ended(&ended);
        }
        self.metrics.closed(opening, closing);
        tracing::debug!(
            exchange = %closing.exchange,
            endpoint = opening.endpoint.name(),
            team = %opening.team,
            attempt = opening.attempt,
            outcome = closing.outcome.name(),
            status = closing.status,
            duration_us = closing.duration_us,
            "an exchange closed"
        );
        if self.first.borrow().is_none() && opening.endpoint.is_metered() {
            self.first.send_replace(Some(Arc::new(Closing::clone(closing))));
        }
    }

    /// Waits for the first metered call of this process to close.
    pub async fn first_closing(&self) -> Option<Arc<Closing>> {
        let mut first = self.first.subscribe();
        let found = first.wait_for(Option::is_some).await;
        found.ok().and_then(|closing| closing.clone())
    }

    fn lost(&self, entry: &Entry, error: &LedgerError) {
        self.metrics.health.lost_closings.inc();
        let body = match entry {
            Entry::Closed(closing) => serde_json::to_string(closing),
            Entry::BatchResult(result) => serde_json::to_string(result),
            Entry::BatchCreated(created) => serde_json::to_string(created),
            Entry::ToolsAsked(tools) => serde_json::to_string(tools),
            Entry::ToolsReturned(tools) => serde_json::to_string(tools),
            _ => return,
        };
        let body = body.unwrap_or_default();
        let kind = entry.kind();
        tracing::error!(target: logging::LOST, %error, kind, %body, "an entry could not be written");
    }
}
