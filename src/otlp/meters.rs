//! The signal `metrics`: the GenAI metrics, counted from the ledger.
//!
//! Sums are cumulative since this process began to read, and it begins with the first entry that no
//! accepted post covers: so the sums of all runs together count every entry once, also where the
//! collector or the sidecar was down. The exact amounts of money are kept beside and become floats
//! when a post is made.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use serde::{Deserialize, Serialize};

use super::follower::{Post, Signal};
use super::names;
use super::spans::Called;
use super::transport::Transport;
use super::usage::Tokens;
use super::wire::{Closed, Envelope, Fact, LineParser};
use crate::accounting::{Money, Usage};
use crate::config::Semconv;
use crate::privacy::Identifier;
use crate::record::Opening;
use crate::record::batch::BatchResult;
use crate::record::exchange::Endpoint;

/// Posts are asked for, never made by the reader's own clock.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Sets of attributes told apart; what more there are are counted with team and models `other`.
/// The SDK has the same bound.
const SERIES_MAX: usize = 2000;
const OTHER: &str = "other";
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

/// The attributes of one series.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Labels {
    operation: &'static str,
    provider: &'static str,
    requested: Option<String>,
    served: Option<String>,
    team: String,
    error: Option<String>,
}

impl Labels {
    fn attributes(&self) -> Vec<KeyValue> {
        let mut list = vec![
            KeyValue::new(names::OPERATION, self.operation),
            KeyValue::new(names::PROVIDER, self.provider),
            KeyValue::new(names::TEAM, self.team.clone()),
        ];
        let more = [
            (names::REQUEST_MODEL, &self.requested),
            (names::RESPONSE_MODEL, &self.served),
            (names::ERROR, &self.error),
        ];
        list.extend(more.into_iter().filter_map(|(k, v)| Some(KeyValue::new(k, v.clone()?))));
        list
    }
}

/// The attributes of a series, made once.
#[derive(Clone, Debug)]
struct Attributes {
    plain: Arc<[KeyValue]>,
    /// With the modality that token counters must name; the API does not split by it.
    counted: Arc<[KeyValue]>,
}

impl Attributes {
    fn new(labels: &Labels) -> Attributes {
        let plain = labels.attributes();
        let modality = KeyValue::new(names::TOKEN_MODALITY, "unknown");
        let counted = plain.iter().cloned().chain([modality]).collect();
        Attributes { plain: plain.into(), counted }
    }
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

/// Exact sums of money by series, read when a post is made.
type Sums = Arc<Mutex<HashMap<Labels, Money>>>;

/// The signal.
pub(super) struct Meters {
    provider: SdkMeterProvider,
    instruments: Instruments,
    transport: Transport,
    parser: LineParser,
    running: BTreeMap<String, Asked>,
    series: HashMap<Labels, Attributes>,
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
                for (labels, usd) in sums.iter() {
                    let nearest = usd.to_string().parse().unwrap_or(f64::MAX);
                    observer.observe(nearest, &labels.attributes());
                }
            })
            .build();
        Meters {
            instruments: Instruments::new(&meter, semconv),
            provider,
            transport,
            parser: LineParser::default(),
            running: BTreeMap::new(),
            series: HashMap::new(),
            money,
            counted: 0,
            interval_ns: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX),
            posted_at_ns: 0,
        }
    }

    fn opened(&mut self, opening: Opening) {
        let is_model = opening.endpoint.is_metered() || opening.endpoint == Endpoint::CountTokens;
        if is_model && self.running.len() < RUNNING_MAX {
            let Opening { endpoint, model, team, .. } = opening;
            let asked = Asked { endpoint, model, streamed: opening.streamed != 0, team };
            self.running.insert(opening.exchange, asked);
        }
    }

    fn closed(&mut self, entry: &Envelope<Closed<'_>>) {
        let body = &entry.body;
        let Some(asked) = self.running.remove(&*body.exchange) else { return };
        self.counted += 1;
        let requested = asked.model.as_ref().map(Identifier::as_str);
        let called = Called::new(asked.endpoint, requested, body);
        let labels = Labels {
            operation: called.operation.unwrap_or("chat"),
            provider: called.provider,
            requested: requested.map(str::to_owned),
            served: called.served.map(str::to_owned),
            team: asked.team,
            error: body.error().map(str::to_owned),
        };
        let (labels, attributes) = self.series(labels);
        let plain = &attributes.plain;
        let seconds = |us: u64| Duration::from_micros(us).as_secs_f64();
        for duration in &self.instruments.durations {
            duration.record(seconds(body.duration_us), plain);
        }
        if let Some(first) = body.first_token_us.filter(|_| asked.streamed) {
            for histogram in &self.instruments.first_chunks {
                histogram.record(seconds(first), plain);
            }
        }
        if asked.endpoint.is_metered() {
            let charge = body.charge.as_ref().filter(|charge| charge.notional == 0);
            let usd = charge.and_then(|charge| charge.usd);
            self.used(labels, &attributes, (body.usage.as_ref(), usd));
        }
    }

    /// A priced result of a batch: tokens and money, and no call.
    fn batch_result(&mut self, body: &str) {
        let Ok(result) = serde_json::from_str::<BatchResult>(body) else { return };
        self.counted += 1;
        let labels = Labels {
            operation: "chat",
            provider: "anthropic",
            requested: None,
            served: result.model.as_ref().map(|model| model.as_str().to_owned()),
            team: result.team,
            error: None,
        };
        let (labels, attributes) = self.series(labels);
        let charge = result.charge.as_ref().filter(|charge| charge.notional == 0);
        let usd = charge.and_then(|charge| charge.usd);
        self.used(labels, &attributes, (result.usage.as_ref(), usd));
    }

    /// Tokens and money.
    fn used(
        &self,
        labels: Labels,
        attributes: &Attributes,
        (usage, usd): (Option<&Usage>, Option<Money>),
    ) {
        let tokens = usage.map(Tokens::of).unwrap_or_default();
        let counts = [tokens.input, tokens.output, tokens.cache_read, tokens.cache_write];
        for (counter, count) in self.instruments.counters.iter().zip(counts) {
            if let Some(count) = count {
                counter.add(count, &attributes.counted);
            }
        }
        if let Some(histogram) = &self.instruments.usage {
            for (kind, count) in [("input", tokens.input), ("output", tokens.output)] {
                if let Some(count) = count {
                    let kind = KeyValue::new(names::TOKEN_TYPE, kind);
                    let plain = attributes.plain.iter().cloned();
                    let with_kind: Vec<_> = plain.chain([kind]).collect();
                    histogram.record(count, &with_kind);
                }
            }
        }
        if let Some(usd) = usd {
            let mut sums = self.money.lock().unwrap_or_else(PoisonError::into_inner);
            let sum = sums.entry(labels).or_default();
            *sum = sum.saturating_add(usd);
        }
    }

    /// The attributes of a series, made once.
    fn series(&mut self, mut labels: Labels) -> (Labels, Attributes) {
        if let Some(known) = self.series.get(&labels) {
            return (labels, known.clone());
        }
        if self.series.len() >= SERIES_MAX {
            let other = || Some(OTHER.to_owned());
            (labels.requested, labels.served) = (other(), other());
            labels.team = OTHER.to_owned();
        }
        let made = self.series.entry(labels.clone()).or_insert_with(|| Attributes::new(&labels));
        let attributes = made.clone();
        (labels, attributes)
    }
}

impl Signal for Meters {
    const NAME: &'static str = "metrics";
    type State = BTreeMap<String, Asked>;

    fn state(&self) -> &Self::State {
        &self.running
    }

    fn resume(&mut self, state: Self::State) {
        self.running = state;
    }

    fn take(&mut self, line: &[u8]) {
        match self.parser.parse(line) {
            Some(Fact::Opened(entry)) => self.opened(entry.body),
            Some(Fact::Closed(entry)) => self.closed(&entry),
            Some(Fact::Other("batch_result", entry)) => self.batch_result(entry.body.get()),
            Some(Fact::Other(..)) | None => {}
        }
    }

    fn is_full(&self) -> bool {
        false
    }

    fn is_due(&mut self, now_ns: u64, stopping: bool) -> bool {
        let due = now_ns.saturating_sub(self.posted_at_ns) >= self.interval_ns;
        if due {
            self.posted_at_ns = now_ns;
        }
        due || (stopping && self.counted > 0)
    }

    fn post(&mut self) -> Vec<Post> {
        self.transport.begin();
        // Its error says less than the transport knows.
        let _ = self.provider.force_flush();
        let items = std::mem::take(&mut self.counted);
        vec![Post { signal: Self::NAME, items, posted: self.transport.posted() }]
    }
}

/// The SDK posts once more when its provider goes: by then all that can be posted was.
impl Drop for Meters {
    fn drop(&mut self) {
        self.transport.close();
    }
}
