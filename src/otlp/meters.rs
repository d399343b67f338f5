//! The signal `metrics`: the GenAI metrics, counted from the ledger.
//!
//! Sums are cumulative since this process began to read, and it begins with the first entry that no
//! accepted post covers: so the sums of all runs together count every entry once, also where the
//! collector or the sidecar was down. The exact amounts of money are kept beside and become floats
//! when a post is made.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::follower::Post;
use super::names;
use super::spans::Called;
use super::transport::{Posted, Transport};
use super::usage::Tokens;
use super::wire::{Closed, Envelope, Fact};
use crate::accounting::{Money, Usage};
use crate::config::Semconv;
use crate::privacy::Identifier;
use crate::record::Opening;
use crate::record::batch::BatchResult;
use crate::record::exchange::Endpoint;

/// Posts are asked for, never made by the reader's own clock.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Sets of attributes told apart; what more there are are counted with `other` in their place. The
/// SDK's own bound is 2,000, and one histogram has two kinds a set.
const SERIES_MAX: usize = 900;
const OTHER: &str = "other";
fn key(exchange: &str) -> u128 {
    xxh3_128(exchange.as_bytes())
}

/// Exchanges that opened and did not close, at most; what opens beyond it is not counted here.
const RUNNING_MAX: usize = 100_000;

/// Seconds: the conventions' boundaries, and longer ones, as agents' calls take minutes.
const SECONDS: [f64; 17] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 120.0,
    300.0, 600.0,
];
/// Tokens: the conventions' boundaries.
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// What is known of an exchange until it closes.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Asked {
    endpoint: Endpoint,
    model: Option<Identifier>,
    streamed: bool,
    team: String,
}

/// What tells one series from another.
#[derive(Clone, Copy, Debug)]
struct Labels<'a> {
    operation: &'static str,
    provider: &'static str,
    requested: Option<&'a str>,
    served: Option<&'a str>,
    team: &'a str,
    error: Option<&'a str>,
}

impl Labels<'_> {
    /// As a key: names hold no control characters, so the parts cannot run into each other.
    fn write(&self, key: &mut Vec<u8>) {
        key.clear();
        let whole = [Some(self.operation), Some(self.provider), Some(self.team)];
        for part in whole.into_iter().chain([self.requested, self.served, self.error]) {
            key.extend_from_slice(part.map_or(&[1][..], str::as_bytes));
            key.push(0);
        }
    }

    fn attributes(&self) -> Vec<KeyValue> {
        let text = |name, value: &str| KeyValue::new(name, value.to_owned());
        let mut list = vec![
            KeyValue::new(names::OPERATION, self.operation),
            KeyValue::new(names::PROVIDER, self.provider),
            text(names::TEAM, self.team),
        ];
        let more = [
            (names::REQUEST_MODEL, self.requested),
            (names::RESPONSE_MODEL, self.served),
            (names::ERROR, self.error),
        ];
        list.extend(more.into_iter().filter_map(|(name, value)| Some(text(name, value?))));
        list
    }

    /// What is counted for series beyond the bound.
    const fn other(self) -> Labels<'static> {
        Labels {
            operation: self.operation,
            provider: self.provider,
            requested: Some(OTHER),
            served: Some(OTHER),
            team: OTHER,
            error: if self.error.is_some() { Some(OTHER) } else { None },
        }
    }
}

/// A series: its attributes, made once.
#[derive(Clone, Debug)]
struct Series {
    plain: Arc<[KeyValue]>,
    /// With the modality that token counters must name; the API does not split by it.
    counted: Arc<[KeyValue]>,
    /// Its place in [`Sums`].
    money: usize,
}

/// The instruments, as far as the names are wanted.
struct Instruments {
    durations: Vec<Histogram<f64>>,
    first_chunks: Vec<Histogram<f64>>,
    /// Latest; in the order of [`names::TOKEN_COUNTERS`].
    counters: Vec<Counter<u64>>,
    /// 1.41.
    usage: Option<Histogram<u64>>,
}

impl Instruments {
    fn new(meter: &Meter, semconv: Semconv) -> Instruments {
        let wanted = |[latest, old]: [&'static str; 2]| {
            let latest = Some(latest).filter(|_| semconv.is_latest());
            latest.into_iter().chain(Some(old).filter(|_| semconv.is_v1_41()))
        };
        let seconds = |name| {
            meter.f64_histogram(name).with_unit("s").with_boundaries(SECONDS.to_vec()).build()
        };
        let counter = |name| meter.u64_counter(name).with_unit("{token}").build();
        let usage = || {
            let histogram = meter.u64_histogram(names::TOKEN_USAGE).with_unit("{token}");
            histogram.with_boundaries(TOKENS.to_vec()).build()
        };
        Instruments {
            durations: wanted(names::DURATION).map(seconds).collect(),
            first_chunks: wanted(names::FIRST_CHUNK_METRIC).map(seconds).collect(),
            counters: match semconv.is_latest() {
                true => names::TOKEN_COUNTERS.into_iter().map(counter).collect(),
                false => Vec::new(),
            },
            usage: semconv.is_v1_41().then(usage),
        }
    }
}

/// Exact sums of money, one a series; absent until there is an amount. Read when a post is made.
type Sums = Arc<Mutex<Vec<(Arc<[KeyValue]>, Option<Money>)>>>;

/// The signal.
pub(super) struct Meters {
    provider: SdkMeterProvider,
    instruments: Instruments,
    transport: Transport,
    running: HashMap<u128, Asked>,
    series: HashMap<Vec<u8>, Series>,
    /// Used again for each look-up.
    key: Vec<u8>,
    money: Sums,
    /// Exchanges and results counted since the last post.
    counted: usize,
    interval_ns: u64,
    posted_at_ns: u64,
}

impl Meters {
    pub(super) fn new(
        (exporter, transport): (MetricExporter, Transport),
        resource: Resource,
        scope: InstrumentationScope,
        (semconv, interval): (Semconv, Duration),
    ) -> Meters {
        let reader = PeriodicReader::builder(exporter).with_interval(NEVER).build();
        let provider =
            SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build();
        let meter = provider.meter_with_scope(scope);
        let money = Sums::default();
        let sums = Arc::clone(&money);
        let cost = meter.f64_observable_counter(names::COST_METRIC).with_unit("{USD}");
        cost.with_description("Cost of calls with a known price, from exact amounts")
            .with_callback(move |observer| {
                let sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                for (attributes, usd) in sums.iter() {
                    if let Some(usd) = usd {
                        let nearest = usd.to_string().parse().unwrap_or(f64::MAX);
                        observer.observe(nearest, attributes);
                    }
                }
            })
            .build();
        Meters {
            instruments: Instruments::new(&meter, semconv),
            provider,
            transport,
            running: HashMap::new(),
            series: HashMap::new(),
            key: Vec::new(),
            money,
            counted: 0,
            interval_ns: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX),
            posted_at_ns: 0,
        }
    }

    fn opened(&mut self, opening: &Opening) {
        let is_model = opening.endpoint.is_metered() || opening.endpoint == Endpoint::CountTokens;
        if is_model && self.running.len() < RUNNING_MAX {
            let asked = Asked {
                endpoint: opening.endpoint,
                model: opening.model.clone(),
                streamed: opening.streamed != 0,
                team: opening.team.clone(),
            };
            self.running.insert(key(&opening.exchange), asked);
        }
    }

    fn closed(&mut self, entry: &Envelope<Closed<'_>>) {
        let body = &entry.body;
        let Some(asked) = self.running.remove(&key(&body.exchange)) else { return };
        self.counted += 1;
        let requested = asked.model.as_ref().map(Identifier::as_str);
        let called = Called::new(asked.endpoint, requested, body);
        let series = self.series(Labels {
            operation: called.operation.unwrap_or("chat"),
            provider: called.provider,
            requested,
            served: called.served,
            team: &asked.team,
            error: body.error(),
        });
        let seconds = |us: u64| Duration::from_micros(us).as_secs_f64();
        // A crash leaves no duration: unknown, not zero.
        for duration in self.instruments.durations.iter().filter(|_| body.duration_us > 0) {
            duration.record(seconds(body.duration_us), &series.plain);
        }
        if let Some(first) = body.first_token_us.filter(|_| asked.streamed) {
            for histogram in &self.instruments.first_chunks {
                histogram.record(seconds(first), &series.plain);
            }
        }
        if asked.endpoint.is_metered() {
            let charge = body.charge.as_ref().filter(|charge| charge.notional == 0);
            self.used(&series, body.usage.as_ref(), charge.and_then(|charge| charge.usd));
        }
    }

    /// A priced result of a batch: tokens and money, and no call.
    fn batch_result(&mut self, body: &str) {
        let Ok(result) = serde_json::from_str::<BatchResult>(body) else { return };
        self.counted += 1;
        let series = self.series(Labels {
            operation: "chat",
            provider: "anthropic",
            requested: None,
            served: result.model.as_ref().map(Identifier::as_str),
            team: &result.team,
            error: None,
        });
        let charge = result.charge.as_ref().filter(|charge| charge.notional == 0);
        self.used(&series, result.usage.as_ref(), charge.and_then(|charge| charge.usd));
    }

    /// Tokens and money.
    fn used(&self, series: &Series, usage: Option<&Usage>, usd: Option<Money>) {
        let tokens = usage.map(Tokens::of).unwrap_or_default();
        let counts = [tokens.input, tokens.output, tokens.cache_read, tokens.cache_write];
        for (counter, count) in self.instruments.counters.iter().zip(counts) {
            if let Some(count) = count {
                counter.add(count, &series.counted);
            }
        }
        if let Some(histogram) = &self.instruments.usage {
            for (kind, count) in [("input", tokens.input), ("output", tokens.output)] {
                if let Some(count) = count {
                    let kind = KeyValue::new(names::TOKEN_TYPE, kind);
                    let with_kind: Vec<_> = series.plain.iter().cloned().chain([kind]).collect();
                    histogram.record(count, &with_kind);
                }
            }
        }
        if let Some(usd) = usd {
            let mut sums = self.money.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, sum)) = sums.get_mut(series.money) {
                *sum = Some(sum.unwrap_or_default().saturating_add(usd));
            }
        }
    }

    fn series(&mut self, labels: Labels<'_>) -> Series {
        labels.write(&mut self.key);
        if let Some(known) = self.series.get(&self.key) {
            return known.clone();
        }
        if self.series.len() < SERIES_MAX {
            return self.add(labels);
        }
        let other = labels.other();
        other.write(&mut self.key);
        match self.series.get(&self.key) {
            Some(known) => known.clone(),
            None => self.add(other),
        }
    }

    fn add(&mut self, labels: Labels<'_>) -> Series {
        let plain: Arc<[KeyValue]> = labels.attributes().into();
        let modality = KeyValue::new(names::TOKEN_MODALITY, "unknown");
        let counted = plain.iter().cloned().chain([modality]).collect();
        let mut sums = self.money.lock().unwrap_or_else(PoisonError::into_inner);
        let series = Series { plain: Arc::clone(&plain), counted, money: sums.len() };
        sums.push((plain, None));
        self.series.insert(self.key.clone(), series.clone());
        series
    }
}

impl Meters {
    /// Begins with the exchanges that were open where metrics go on.
    pub(super) fn resume(&mut self, running: HashMap<u128, Asked>) {
        self.running = running;
    }

    /// The exchanges that are open here.
    pub(super) fn running(&self) -> HashMap<u128, Asked> {
        self.running.clone()
    }

    /// Takes an entry in.
    pub(super) fn take(&mut self, fact: &Fact<'_>) {
        match fact {
            Fact::Opened(entry) => self.opened(&entry.body),
            Fact::Closed(entry) => self.closed(entry),
            Fact::Other("batch_result", entry) => self.batch_result(entry.body.get()),
            Fact::Tools(..) | Fact::Other(..) => {}
        }
    }

    /// Whether anything was counted that no taken post covers.
    pub(super) fn has_counted(&self) -> bool {
        self.counted > 0
    }

    /// Whether it is time for a post; at the stop, whether anything was counted since the last.
    pub(super) fn is_due(&self, now_ns: u64, stopping: bool) -> bool {
        let since = now_ns.saturating_sub(self.posted_at_ns);
        since >= self.interval_ns || (stopping && self.has_counted())
    }

    /// Posts all sums, once.
    pub(super) fn post(&mut self, now_ns: u64) -> Post {
        self.posted_at_ns = now_ns;
        self.transport.begin();
        // Its error says less than the transport knows.
        let _ = self.provider.force_flush();
        let (items, posted) = (self.counted, self.transport.posted());
        if matches!(posted, Posted::Taken { .. } | Posted::Refused(_)) {
            self.counted = 0;
        }
        Post { signal: "metrics", items, posted }
    }
}

/// The SDK posts once more when its provider goes: by then all that can be posted was.
impl Drop for Meters {
    fn drop(&mut self) {
        self.transport.close();
    }
}
