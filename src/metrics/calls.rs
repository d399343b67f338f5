//! Calls: how many, how long, how many tokens, how much money.
//!
//! Everything is counted by team and model, in children that are looked up once per pair. Pairs
//! are bounded beyond their two labels, because each has some thirty series.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use prometheus::{HistogramVec, IntCounter, IntCounterVec};

use super::build::{Build, DURATION_BUCKETS, RATE_BUCKETS, lock, seconds};
use super::labels::{Label, OTHER};
use super::money::MoneyFamily;
use super::series::Series;
use crate::accounting::{Flag, Money, Usage};
use crate::privacy::Identifier;
use crate::record::batch::{BatchResult, BatchTally};
use crate::record::{ChargeRecord, Closing, Opening, Outcome};

/// Most pairs of a team and a model that have series of their own; the rest is one more pair.
pub const PAIRS_MAX: usize = 2_000;
/// An answer that came faster than this after its first token came whole, and says nothing about
/// the model's speed. Microseconds.
const RATE_US_MIN: u64 = 1_000;

/// The families about calls.
pub(super) struct Calls {
    pub(super) requests: IntCounterVec,
    pub(super) duration: HistogramVec,
    pub(super) first_token: HistogramVec,
    pub(super) output_rate: HistogramVec,
    pub(super) tokens: IntCounterVec,
    pub(super) cost: MoneyFamily,
    pub(super) notional: MoneyFamily,
    pub(super) estimates: MoneyFamily,
    pub(super) savings: MoneyFamily,
    pub(super) losses: MoneyFamily,
    pub(super) stop_reasons: IntCounterVec,
    pub(super) overflow: IntCounter,
    pub(super) reason_names: Label,
    pub(super) error_names: Label,
    unpriced: IntCounterVec,
    estimated: IntCounterVec,
    anomalies: IntCounterVec,
    retries: IntCounterVec,
    batch_results: IntCounterVec,
    model_names: Label,
    team_names: Arc<Label>,
    pairs: Mutex<Pairs>,
}

/// The children by team, then model.
#[derive(Default)]
struct Pairs {
    series: HashMap<String, HashMap<String, Arc<Series>>>,
    count: usize,
}

impl Pairs {
    fn find(&self, team: &str, model: &str) -> Option<Arc<Series>> {
        self.series.get(team).and_then(|models| models.get(model)).cloned()
    }
}

impl Calls {
    #[expect(clippy::too_many_lines, reason = "one list of families, read top to bottom")]
    pub(super) fn new(
        build: &Build<'_>,
        overflow: &IntCounter,
        team_names: &Arc<Label>,
    ) -> Result<Calls, prometheus::Error> {
        Ok(Calls {
            requests: build.counters(
                "claude_requests_total",
                "Metered calls (Messages, Bedrock, Vertex), every attempt, by the status sent.",
                &["model", "team", "status", "error_type"],
            )?,
            duration: build.histograms(
                "claude_request_duration_seconds",
                "From the first byte of a request to the end of its response.",
                &DURATION_BUCKETS,
            )?,
            first_token: build.histograms(
                "claude_time_to_first_token_seconds",
                "From the first byte of a request to the first content of its response.",
                &DURATION_BUCKETS,
            )?,
            output_rate: build.histograms(
                "claude_output_tokens_per_second",
                "Output tokens of completed streams by the time after their first content.",
                &RATE_BUCKETS,
            )?,
            tokens: build.counters(
                "claude_tokens_total",
                "Tokens by kind as the API reported them; input is uncached input.",
                &["model", "team", "type"],
            )?,
            cost: build.money(
                "claude_cost_usd_total",
                "Cost of closed calls with a known price, in US dollars, from exact amounts.",
            )?,
            notional: build.money(
                "claude_notional_cost_usd_total",
                "What calls with a subscription login would have cost, in US dollars; never billed.",
            )?,
            estimates: build.money(
                "claude_estimated_cost_usd_total",
                "Lower end of what unreported output of cut streams cost, in US dollars.",
            )?,
            savings: build.money(
                "claude_cache_savings_usd_total",
                "What prompt caching saved in calls where it saved, in US dollars.",
            )?,
            losses: build.money(
                "claude_cache_losses_usd_total",
                "What prompt caching cost beyond uncached input in calls where it did, in US dollars.",
            )?,
            unpriced: build.counters(
                "claude_unpriced_requests_total",
                "Calls with usage but no known rate: their cost is unknown, not zero.",
                &["model", "team"],
            )?,
            estimated: build.counters(
                "claude_estimated_requests_total",
                "Calls whose output is estimated: their stream was cut before it was reported.",
                &["model", "team"],
            )?,
            anomalies: build.counters(
                "claude_usage_anomalies_total",
                "Calls whose usage held something that is not a count, or contradicts itself.",
                &["model", "team"],
            )?,
            stop_reasons: build.counters(
                "claude_stop_reasons_total",
                "Answers by why the model stopped.",
                &["model", "stop_reason"],
            )?,
            retries: build.counters(
                "claude_retries_total",
                "Metered attempts after the first of their logical call.",
                &["model", "team"],
            )?,
            batch_results: build.counters(
                "claude_batch_results_total",
                "Results of message batches that were fetched, by what they were.",
                &["team", "result"],
            )?,
            overflow: overflow.clone(),
            reason_names: Label::new(overflow),
            error_names: Label::new(overflow),
            model_names: Label::new(overflow),
            team_names: Arc::clone(team_names),
            pairs: Mutex::default(),
        })
    }

    /// Counts a metered call that closed.
    pub(super) fn closed(&self, opening: &Opening, closing: &Closing) {
        let answered = closing.model.as_ref();
        let series = self.series(&opening.team, answered.or(opening.model.as_ref()), answered);
        let error = closing.error_class.as_ref().or(closing.error_type.as_ref());
        match (closing.status, error) {
            (Some(200), None) => series.succeeded.inc(),
            (status, error) => {
                series.failed(self, status, error.map_or("", Identifier::as_str));
            }
        }
        series.duration.observe(seconds(closing.duration_us.saturating_mul(1000)));
        if let Some(first) = closing.first_token_us {
            series.first_token.observe(seconds(first.saturating_mul(1000)));
        }
        if let Some(rate) = output_rate(opening, closing) {
            let made = || self.output_rate.with_label_values(&[&*series.model]);
            series.output_rate.get_or_init(made).observe(rate);
        }
        if opening.attempt > 1 {
            self.one(&series.retries, &self.retries, &series);
        }
        self.answered(&series, closing.usage.as_ref(), closing.stop_reason.as_ref());
        self.charged(&series, closing.charge.as_ref(), &closing.flags);
    }

    /// Counts a result of a batch that was priced. It is no request, so it has no duration.
    pub(super) fn batch_result(&self, result: &BatchResult) {
        let model = result.model.as_ref();
        let series = self.series(&result.team, model, model);
        self.answered(&series, result.usage.as_ref(), result.stop_reason.as_ref());
        self.charged(&series, result.charge.as_ref(), &result.flags);
    }

    /// Counts what one fetch of a batch's results held.
    pub(super) fn batch_results(&self, team: &str, tally: &BatchTally) {
        let team = self.team_names.bounded(team);
        for (result, count) in tally.counts() {
            if count > 0 {
                self.batch_results.with_label_values(&[&*team, result]).inc_by(count);
            }
        }
    }

    fn answered(&self, series: &Series, usage: Option<&Usage>, stop: Option<&Identifier>) {
        for (kind, count) in usage.into_iter().flat_map(Usage::tokens) {
            series.tokens[kind as usize].inc_by(count);
        }
        if let Some(reason) = stop {
            series.stopped(self, reason.as_str());
        }
    }

    /// What a subscription would have cost is nobody's cost: it is counted by itself, and nothing
    /// is saved or estimated of it.
    fn charged(&self, series: &Series, charge: Option<&ChargeRecord>, flags: &[Flag]) {
        if flags.contains(&Flag::UsageAnomaly) {
            self.one(&series.anomalies, &self.anomalies, series);
        }
        let notional = charge.is_some_and(|charge| charge.notional != 0);
        if let Some(charge) = charge.filter(|_| !notional) {
            if let Some(saved) = charge.cache_savings_usd {
                match Money::ZERO.checked_sub(saved) {
                    Ok(lost) if saved < Money::ZERO => series.losses.add(lost),
                    _ => series.savings.add(saved),
                }
            }
            if let Some(usd) = charge.estimated_usd {
                series.estimates.add(usd);
                self.one(&series.estimated, &self.estimated, series);
            }
        }
        if let Some(usd) = charge.and_then(|charge| charge.usd) {
            let sum = if notional { &series.notional } else { &series.cost };
            sum.add(usd);
        } else if flags.contains(&Flag::Unpriced) {
            self.one(&series.unpriced, &self.unpriced, series);
        }
    }

    /// Counts one more of something that is rare.
    fn one(
        &self,
        child: &std::sync::OnceLock<IntCounter>,
        family: &IntCounterVec,
        series: &Series,
    ) {
        child.get_or_init(|| family.with_label_values(&[&*series.model, &*series.team])).inc();
    }

    /// The families' children for a team and a model, looked up once and kept. Without an answer
    /// the model is a claim of the client's.
    fn series(
        &self,
        team: &str,
        model: Option<&Identifier>,
        answered: Option<&Identifier>,
    ) -> Arc<Series> {
        let model = model.map_or("unknown", Identifier::as_str);
        let mut pairs = lock(&self.pairs);
        if let Some(known) = pairs.find(team, model) {
            return known;
        }
        let mut model = match answered {
            Some(_) => self.model_names.bounded(model),
            None => self.model_names.claimed(model),
        };
        let mut team = self.team_names.bounded(team);
        if let Some(known) = pairs.find(&team, &model) {
            return known;
        }
        if pairs.count >= PAIRS_MAX {
            self.overflow.inc();
            (team, model) = (OTHER.to_owned(), OTHER.to_owned());
            if let Some(known) = pairs.find(&team, &model) {
                return known;
            }
        }
        let made = Arc::new(Series::new(self, &team, &model));
        pairs.count += 1;
        pairs.series.entry(team).or_default().insert(model, Arc::clone(&made));
        made
    }
}

/// How fast the answer came, in output tokens per second after the first content. Only a stream
/// that came to its end tells.
fn output_rate(opening: &Opening, closing: &Closing) -> Option<f64> {
    let streamed = opening.streamed != 0 && !closing.flags.contains(&Flag::JsonForStream);
    let whole = closing.outcome == Outcome::Completed && closing.error_type.is_none();
    if !streamed || !whole || closing.status != Some(200) {
        return None;
    }
    let took = closing.duration_us.checked_sub(closing.first_token_us?)?;
    let tokens = u32::try_from(closing.usage.as_ref()?.output_tokens?).ok()?;
    (took >= RATE_US_MIN).then(|| f64::from(tokens) / seconds(took.saturating_mul(1000)))
}
