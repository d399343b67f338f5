//! Every Prometheus family, in one struct.
//!
//! Labels come from bounded sets: a team or model beyond the bound is counted as `other`, so a
//! client that invents names cannot grow memory. Money is summed in exact integers and becomes a
//! float only when somebody scrapes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};

use crate::accounting::{Flag, Money, TokenKind, Usage};
use crate::privacy::Identifier;
use crate::record::batch::{BatchResult, BatchTally};
use crate::record::{ChargeRecord, Closing, Opening};

/// Most values one label can take before the rest is counted as [`OTHER`].
pub const LABEL_VALUES_MAX: usize = 200;
/// The label of what has no label of its own.
pub const OTHER: &str = "other";
/// Most sessions whose last sign of life is remembered.
pub const SESSIONS_MAX: usize = 100_000;
/// A session without a sign of life for this long is not active.
pub const SESSION_IDLE_NS: u64 = 5 * 60 * 1_000_000_000;

/// From fast local answers to an agent's ten-minute call, in seconds.
const DURATION_BUCKETS: [f64; 16] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0];

/// Every family of the sidecar.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
    first_token: HistogramVec,
    tokens: IntCounterVec,
    unpriced: IntCounterVec,
    anomalies: IntCounterVec,
    batch_results: IntCounterVec,
    active_sessions: IntGauge,
    /// Exchanges running now.
    pub open_exchanges: IntGauge,
    /// Requests answered by the sidecar itself, by our reason.
    pub refusals: IntCounterVec,
    label_overflow: IntCounter,
    /// Time an append took on the path of a call.
    pub append_seconds: Histogram,
    /// Entries in the ledger.
    pub ledger_entries: IntGauge,
    /// Entries covered by a completed sync.
    pub ledger_synced: IntGauge,
    /// 1 for the state the ledger is in.
    pub ledger_state: prometheus::IntGaugeVec,
    /// Entries the index has taken in.
    pub index_entries: IntGauge,
    /// Closings that could not be written anywhere.
    pub lost_closings: IntCounter,
    /// Exchanges that went on without a record (`observe`).
    pub unrecorded: IntCounter,
    money: MoneyCollector,
    savings: MoneyCollector,
    notional: MoneyCollector,
    state: Mutex<State>,
}

/// The children of one team and one model.
struct Series {
    team: String,
    model: String,
    succeeded: IntCounter,
    duration: Histogram,
    first_token: Histogram,
    /// In the order of [`TokenKind::ALL`].
    tokens: [IntCounter; 5],
}

/// What is behind one short lock.
#[derive(Default)]
struct State {
    /// By team, then model; bounded because their names are.
    series: HashMap<String, HashMap<String, Arc<Series>>>,
    teams: BTreeSet<String>,
    models: BTreeSet<String>,
    errors: BTreeSet<String>,
    sessions: HashMap<String, u64>,
}

/// The exact sums behind a family of money.
#[derive(Clone)]
struct MoneyCollector {
    /// A gauge where a sum can fall.
    kind: MetricType,
    /// By team, then model.
    sums: Arc<Mutex<BTreeMap<String, BTreeMap<String, Money>>>>,
    description: Desc,
}

impl MoneyCollector {
    fn new(kind: MetricType, name: &str, help: &str) -> Result<MoneyCollector, prometheus::Error> {
        let labels = vec!["model".to_owned(), "team".to_owned()];
        let description = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())?;
        Ok(MoneyCollector { kind, sums: Arc::default(), description })
    }

    fn add(&self, team: &str, model: &str, usd: Money) {
        let mut sums = lock(&self.sums);
        let models = sums.entry(team.to_owned()).or_default();
        let sum = models.entry(model.to_owned()).or_default();
        *sum = sum.saturating_add(usd);
    }
}

impl Collector for MoneyCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let sums = lock(&self.sums);
        if sums.is_empty() {
            return Vec::new();
        }
        let mut family = MetricFamily::default();
        family.set_name(self.description.fq_name.clone());
        family.set_help(self.description.help.clone());
        family.set_field_type(self.kind);
        let all = sums.iter().flat_map(|(team, models)| {
            models.iter().map(move |(model, money)| (team, model, money))
        });
        for (team, model, money) in all {
            let pair = |name: &str, value: &str| {
                let mut label = LabelPair::default();
                label.set_name(name.to_owned());
                label.set_value(value.to_owned());
                label
            };
            let mut metric = Metric::default();
            metric.set_label(vec![pair("model", model), pair("team", team)]);
            // The nearest float to the exact decimal, digits of every size included.
            let value = money.to_string().parse().unwrap_or(f64::MAX);
            if self.kind == MetricType::GAUGE {
                let mut gauge = prometheus::proto::Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            } else {
                let mut counter = prometheus::proto::Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            family.mut_metric().push(metric);
        }
        vec![family]
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Metrics {
    /// All families, registered.
    ///
    /// # Errors
    ///
    /// Two families of one name: a mistake in this file.
    #[expect(clippy::too_many_lines, reason = "one list of all families, read top to bottom")]
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let build = Build { registry: &registry };
        let money = build.add(MoneyCollector::new(
            MetricType::COUNTER,
            "claude_cost_usd_total",
            "Cost of closed calls with a known price, in US dollars, from exact amounts.",
        )?)?;
        let savings = build.add(MoneyCollector::new(
            MetricType::GAUGE,
            "claude_cache_savings_usd_total",
            "What prompt caching saved against uncached input, in US dollars; writes cost first.",
        )?)?;
        let notional = build.add(MoneyCollector::new(
            MetricType::COUNTER,
            "claude_notional_cost_usd_total",
            "What calls with a subscription login would have cost, in US dollars; never billed.",
        )?)?;
        let build_info = build.gauges(
            "weighbridge_build_info",
            "1, with the program's version.",
            &["version"],
        )?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Metrics {
            requests: build.counters(
                "claude_requests_total",
                "Metered calls (Messages, Bedrock, Vertex), every attempt, by the status sent.",
                &["model", "team", "status", "error_type"],
            )?,
            duration: build.histograms(
                "claude_request_duration_seconds",
                "From the first byte of a request to the end of its response.",
            )?,
            first_token: build.histograms(
                "claude_time_to_first_token_seconds",
                "From the first byte of a request to the first content of its response.",
            )?,
            tokens: build.counters(
                "claude_tokens_total",
                "Tokens by kind as the API reported them; input is uncached input.",
                &["model", "team", "type"],
            )?,
            unpriced: build.counters(
                "claude_unpriced_requests_total",
                "Calls with usage but no known rate: their cost is unknown, not zero.",
                &["model", "team"],
            )?,
            anomalies: build.counters(
                "claude_usage_anomalies_total",
                "Calls whose usage held something that is not a count, or contradicts itself.",
                &["model", "team"],
            )?,
            batch_results: build.counters(
                "claude_batch_results_total",
                "Results of message batches that were fetched, by what they were.",
                &["team", "result"],
            )?,
            active_sessions: build.gauge(
                "claude_active_sessions",
                "Sessions with a call in the last five minutes.",
            )?,
            open_exchanges: build.gauge("weighbridge_open_exchanges", "Exchanges running now.")?,
            refusals: build.counters(
                "weighbridge_refusals_total",
                "Requests the sidecar answered itself.",
                &["reason"],
            )?,
            label_overflow: build.counter(
                "weighbridge_label_overflow_total",
                "Observations counted as other because a label had too many values.",
            )?,
            append_seconds: build.histogram(
                "weighbridge_append_seconds",
                "Time to append one entry to the ledger on the path of a call.",
            )?,
            ledger_entries: build.gauge("weighbridge_ledger_entries", "Entries in the ledger.")?,
            ledger_synced: build.gauge(
                "weighbridge_ledger_synced_entries",
                "Entries covered by a completed sync to disk.",
            )?,
            ledger_state: build.gauges(
                "weighbridge_ledger_state",
                "1 for the state the ledger is in.",
                &["state"],
            )?,
            index_entries: build.gauge(
                "weighbridge_index_entries",
                "Entries the index has taken in; its lag is the ledger's entries less these.",
            )?,
            lost_closings: build.counter(
                "weighbridge_lost_closings_total",
                "Closings that could not be written and went to standard error instead.",
            )?,
            unrecorded: build.counter(
                "weighbridge_unrecorded_total",
                "Entries left out in observe mode because the ledger could not be written.",
            )?,
            money,
            savings,
            notional,
            state: Mutex::default(),
            registry,
        })
    }

    /// Exposes families that are made elsewhere from a state of their own.
    ///
    /// # Errors
    ///
    /// A family of this name is there already.
    pub fn register(&self, families: impl Collector + 'static) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(families))
    }

    /// Counts a call that opened.
    pub fn opened(&self, opening: &Opening, mono_ns: u64) {
        self.open_exchanges.inc();
        let Some(session) = &opening.session else { return };
        let mut state = lock(&self.state);
        let known = state.sessions.get_mut(session.as_str());
        if let Some(last) = known {
            *last = mono_ns;
        } else if state.sessions.len() < SESSIONS_MAX {
            state.sessions.insert(session.as_str().to_owned(), mono_ns);
        }
    }

    /// Takes back [`Metrics::opened`]: the entry did not reach the disk, the call was refused.
    pub fn not_opened(&self) {
        self.open_exchanges.dec();
    }

    /// Counts a call that closed. Called after its entry is in the ledger, so that no figure here
    /// is ahead of the record.
    pub fn closed(&self, opening: &Opening, closing: &Closing) {
        self.open_exchanges.dec();
        if !opening.endpoint.is_metered() {
            return;
        }
        let asked = closing.model.as_ref().or(opening.model.as_ref());
        let model = asked.map_or("unknown", |model| model.as_str());
        let series = self.series(&opening.team, model);
        match (closing.status, &closing.error_type) {
            (Some(200), None) => series.succeeded.inc(),
            (status, error) => self.count_failure(&series, status, error.as_ref()),
        }
        series.duration.observe(seconds(closing.duration_us));
        if let Some(first) = closing.first_token_us {
            series.first_token.observe(seconds(first));
        }
        self.used(&series, closing.usage.as_ref());
        self.charged(&series, closing.charge.as_ref(), &closing.flags);
    }

    /// What a subscription would have cost is nobody's cost: it is counted by itself.
    fn charged(&self, series: &Series, charge: Option<&ChargeRecord>, flags: &[Flag]) {
        if flags.contains(&Flag::UsageAnomaly) {
            self.anomalies.with_label_values(&[&*series.model, &*series.team]).inc();
        }
        let notional = charge.is_some_and(|charge| charge.notional != 0);
        let saved = charge.and_then(|charge| charge.cache_savings_usd).filter(|_| !notional);
        if let Some(saved) = saved {
            self.savings.add(&series.team, &series.model, saved);
        }
        if let Some(usd) = charge.and_then(|charge| charge.usd) {
            let money = if notional { &self.notional } else { &self.money };
            money.add(&series.team, &series.model, usd);
        } else if flags.contains(&Flag::Unpriced) {
            self.unpriced.with_label_values(&[&*series.model, &*series.team]).inc();
        }
    }

    /// Counts a result of a batch that was priced. It is no request, so it has no duration.
    pub fn batch_result(&self, result: &BatchResult) {
        let model = result.model.as_ref().map_or("unknown", |model| model.as_str());
        let series = self.series(&result.team, model);
        self.used(&series, result.usage.as_ref());
        self.charged(&series, result.charge.as_ref(), &result.flags);
    }

    /// Counts what one fetch of a batch's results held.
    pub fn batch_results(&self, team: &str, tally: &BatchTally) {
        let team = self.bounded(&mut lock(&self.state).teams, team);
        for (result, count) in tally.counts() {
            if count > 0 {
                self.batch_results.with_label_values(&[&*team, result]).inc_by(count);
            }
        }
    }

    fn used(&self, series: &Series, usage: Option<&Usage>) {
        for (kind, count) in usage.into_iter().flat_map(Usage::tokens) {
            series.tokens[kind as usize].inc_by(count);
        }
    }

    /// Anything but a plain 200: rare enough to be looked up by its labels.
    fn count_failure(&self, series: &Series, status: Option<u16>, error: Option<&Identifier>) {
        let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        let error = error.map_or_else(String::new, |error| {
            self.bounded(&mut lock(&self.state).errors, error.as_str())
        });
        let labels = [&*series.model, &*series.team, &status, &error];
        self.requests.with_label_values(&labels).inc();
    }

    /// The families' children for a team and a model, looked up once and kept.
    fn series(&self, team: &str, model: &str) -> Arc<Series> {
        let mut state = lock(&self.state);
        if let Some(series) = state.series.get(team).and_then(|models| models.get(model)) {
            return Arc::clone(series);
        }
        let State { teams, models, series, .. } = &mut *state;
        let (team, model) = (self.bounded(teams, team), self.bounded(models, model));
        let known = series.entry(team.clone()).or_default();
        let made = known.entry(model.clone()).or_insert_with(|| {
            let labels = [model.as_str(), team.as_str()];
            Arc::new(Series {
                succeeded: self.requests.with_label_values(&[labels[0], labels[1], "200", ""]),
                duration: self.duration.with_label_values(&labels[..1]),
                first_token: self.first_token.with_label_values(&labels[..1]),
                tokens: TokenKind::ALL.map(|kind| {
                    self.tokens.with_label_values(&[labels[0], labels[1], kind.name()])
                }),
                team: team.clone(),
                model: model.clone(),
            })
        });
        Arc::clone(made)
    }

    fn bounded(&self, known: &mut BTreeSet<String>, value: &str) -> String {
        if known.contains(value) {
            return value.to_owned();
        }
        if known.len() >= LABEL_VALUES_MAX {
            self.label_overflow.inc();
            return OTHER.to_owned();
        }
        known.insert(value.to_owned());
        value.to_owned()
    }

    /// The exposition text of all families.
    pub fn expose(&self, mono_ns: u64) -> Result<String, prometheus::Error> {
        {
            let mut state = lock(&self.state);
            state.sessions.retain(|_, last| mono_ns.saturating_sub(*last) < SESSION_IDLE_NS);
            self.active_sessions.set(i64::try_from(state.sessions.len()).unwrap_or(i64::MAX));
        }
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn seconds(microseconds: u64) -> f64 {
    std::time::Duration::from_micros(microseconds).as_secs_f64()
}

/// Makes families and registers them.
struct Build<'a> {
    registry: &'a Registry,
}

impl Build<'_> {
    fn add<C: Collector + Clone + 'static>(&self, family: C) -> Result<C, prometheus::Error> {
        self.registry.register(Box::new(family.clone()))?;
        Ok(family)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.add(IntCounter::new(name, help)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.add(IntGauge::new(name, help)?)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<prometheus::IntGaugeVec, prometheus::Error> {
        self.add(prometheus::IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn histograms(&self, name: &str, help: &str) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(DURATION_BUCKETS.to_vec());
        self.add(HistogramVec::new(options, &["model"])?)
    }

    fn histogram(&self, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
        let buckets = vec![1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 0.1, 1.0];
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_and_the_overflow_is_counted() {
        let metrics = Metrics::new().unwrap();
        let mut known = BTreeSet::new();
        for value in 0..LABEL_VALUES_MAX + 10 {
            metrics.bounded(&mut known, &value.to_string());
        }
        assert_eq!(known.len(), LABEL_VALUES_MAX);
        assert_eq!(metrics.label_overflow.get(), 10);
        assert_eq!(metrics.bounded(&mut known, "5"), "5");
    }

    #[test]
    fn money_is_exposed_as_the_nearest_float() {
        let metrics = Metrics::new().unwrap();
        let tenth: Money = "0.1".parse().unwrap();
        for _ in 0..3 {
            metrics.money.add("t", "m", tenth);
        }
        let text = metrics.expose(0).unwrap();
        assert!(text.contains(r#"claude_cost_usd_total{model="m",team="t"} 0.3"#), "{text}");
    }
}
