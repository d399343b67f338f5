//! What Prometheus sees of budgets and notifications, made from the exact state at each scrape.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::Budgets;
use crate::accounting::Money;
use crate::accounting::budget::{Burn, Figures, NS_PER_SECOND, PPM, Window};
use crate::clock::Clock;

/// A family: its name, what it says, and its labels.
struct Family {
    kind: MetricType,
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
}

/// Labels of a subject of a budget.
const SUBJECT: &[&str] = &["budget", "scope", "name", "period"];
/// The same and a window.
const WINDOW: &[&str] = &["budget", "scope", "name", "period", "window"];

/// The families of budgets, in the order of [`BudgetFamilies::samples`].
const BUDGETS: [Family; 8] = [
    gauge("claude_budget_usd", "The limit of a budget, in US dollars.", SUBJECT),
    gauge("claude_budget_used_usd", "Used in the running period, in US dollars.", SUBJECT),
    gauge("claude_budget_used_ratio", "Used in the running period, by the limit.", SUBJECT),
    gauge("claude_budget_forecast_usd", "Expected at the period's end, in US dollars.", SUBJECT),
    gauge(
        "claude_budget_burn_ratio",
        "Spend rate by the rate that uses the budget up exactly at the period's end.",
        WINDOW,
    ),
    gauge("claude_budget_burn_usd_per_hour", "Spend rate, in US dollars an hour.", WINDOW),
    gauge(
        "claude_budget_remaining_seconds",
        "Until the limit is used up at the rate of the last day; absent without spend.",
        SUBJECT,
    ),
    gauge("claude_budget_period_end_timestamp_seconds", "When the period ends.", SUBJECT),
];
const CROSSINGS: Family = counter(
    "claude_budget_crossings_total",
    "Thresholds that were crossed since the start, each an entry in the ledger.",
    &["budget", "threshold"],
);
const SENT: Family = counter(
    "weighbridge_notifications_total",
    "Notifications: delivered, failed (tried again) or dropped.",
    &["channel", "result"],
);
const PENDING: Family = gauge(
    "weighbridge_notifications_pending",
    "Notifications that are not delivered yet.",
    &["channel"],
);

const fn gauge(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Family {
    Family { kind: MetricType::GAUGE, name, help, labels }
}

const fn counter(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
) -> Family {
    Family { kind: MetricType::COUNTER, name, help, labels }
}

impl Family {
    fn describe(&self) -> Result<Desc, prometheus::Error> {
        let labels = self.labels.iter().map(|label| (*label).to_owned()).collect();
        Desc::new(self.name.to_owned(), self.help.to_owned(), labels, HashMap::new())
    }

    /// `None` without a sample: such a family is not exposed.
    fn filled(&self, samples: Vec<(Vec<String>, f64)>) -> Option<MetricFamily> {
        if samples.is_empty() {
            return None;
        }
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        for (values, value) in samples {
            let mut metric = Metric::default();
            let pairs = self.labels.iter().zip(values).map(|(name, value)| {
                let mut pair = LabelPair::default();
                pair.set_name((*name).to_owned());
                pair.set_value(value);
                pair
            });
            let mut pairs: Vec<LabelPair> = pairs.collect();
            pairs.sort_by(|a, b| a.name().cmp(b.name()));
            metric.set_label(pairs);
            if self.kind == MetricType::GAUGE {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            } else {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            family.mut_metric().push(metric);
        }
        Some(family)
    }
}

/// The nearest float to the exact decimal.
fn float(money: Money) -> f64 {
    money.to_string().parse().unwrap_or(f64::MAX)
}

fn ratio(ppm: i128) -> f64 {
    // Parts per million are exact up to 9e9 times the limit.
    ppm as f64 / PPM as f64
}

fn seconds(ns: i64) -> f64 {
    ns.div_euclid(NS_PER_SECOND) as f64
}

/// Exposes budgets.
pub struct BudgetFamilies {
    budgets: Arc<Budgets>,
    clock: Clock,
    descriptions: Vec<Desc>,
}

impl BudgetFamilies {
    /// The families of `budgets`.
    ///
    /// # Errors
    ///
    /// A name that is none: a mistake in this file.
    pub fn new(budgets: Arc<Budgets>, clock: Clock) -> Result<BudgetFamilies, prometheus::Error> {
        let all = BUDGETS.iter().chain([&CROSSINGS]);
        let descriptions = all.map(Family::describe).collect::<Result<_, _>>()?;
        Ok(BudgetFamilies { budgets, clock, descriptions })
    }

    /// The samples of each family of [`BUDGETS`].
    fn samples(figures: &[Figures]) -> [Vec<(Vec<String>, f64)>; 8] {
        let mut samples: [Vec<(Vec<String>, f64)>; 8] = Default::default();
        for one in figures {
            let budget = &one.budget;
            let labels = vec![
                budget.name.clone(),
                budget.scope.name().to_owned(),
                one.subject.clone(),
                budget.period.name().to_owned(),
            ];
            let [limit, used, used_ratio, forecast, burn, rate, left, end] = &mut samples;
            limit.push((labels.clone(), float(budget.limit)));
            used.push((labels.clone(), float(one.used)));
            used_ratio.push((labels.clone(), ratio(one.used_ppm)));
            forecast.push((labels.clone(), float(one.forecast)));
            for Burn { window, per_hour, ratio_ppm } in Window::ALL.map(|w| one.burn(w)) {
                let mut labels = labels.clone();
                labels.push(window.name().to_owned());
                burn.push((labels.clone(), ratio(ratio_ppm)));
                rate.push((labels, float(per_hour)));
            }
            if let Some(seconds) = one.seconds_left {
                left.push((labels.clone(), seconds as f64));
            }
            end.push((labels, seconds(one.bounds.end)));
        }
        samples
    }
}

impl Collector for BudgetFamilies {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now = i64::try_from(self.clock.stamp().wall_ns).unwrap_or(i64::MAX);
        let figures = self.budgets.figures(now).unwrap_or_default();
        let samples = BudgetFamilies::samples(&figures);
        let families = BUDGETS.iter().zip(samples).filter_map(|(family, s)| family.filled(s));
        let crossed = self.budgets.crossed().into_iter();
        let crossed = crossed.map(|((budget, threshold), n)| (vec![budget, threshold], n as f64));
        families.chain(CROSSINGS.filled(crossed.collect())).collect()
    }
}

/// What became of the notifications of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    delivered: u64,
    failed: u64,
    dropped: u64,
    pending: u64,
}

/// What became of notifications, by channel.
#[derive(Debug, Default)]
pub struct Deliveries(Mutex<BTreeMap<String, Counts>>);

impl Deliveries {
    fn change(&self, channel: &str, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(counts.entry(channel.to_owned()).or_default());
    }

    /// One was delivered.
    pub fn delivered(&self, channel: &str) {
        self.change(channel, |counts| counts.delivered = counts.delivered.saturating_add(1));
    }

    /// An attempt failed; there will be another.
    pub fn failed(&self, channel: &str) {
        self.change(channel, |counts| counts.failed = counts.failed.saturating_add(1));
    }

    /// One was given up.
    pub fn dropped(&self, channel: &str) {
        self.change(channel, |counts| counts.dropped = counts.dropped.saturating_add(1));
    }

    /// So many wait.
    pub fn pending(&self, channel: &str, pending: usize) {
        self.change(channel, |counts| counts.pending = pending as u64);
    }
}

/// Exposes notifications.
pub struct DeliveryFamilies {
    deliveries: Arc<Deliveries>,
    descriptions: Vec<Desc>,
}

impl DeliveryFamilies {
    /// The families of `deliveries`.
    ///
    /// # Errors
    ///
    /// A name that is none: a mistake in this file.
    pub fn new(deliveries: Arc<Deliveries>) -> Result<DeliveryFamilies, prometheus::Error> {
        let descriptions = [&SENT, &PENDING].map(Family::describe);
        let descriptions = descriptions.into_iter().collect::<Result<_, _>>()?;
        Ok(DeliveryFamilies { deliveries, descriptions })
    }
}

impl Collector for DeliveryFamilies {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let counts = self.deliveries.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut sent, mut pending) = (Vec::new(), Vec::new());
        for (channel, counts) in counts {
            let results = [
                ("delivered", counts.delivered),
                ("failed", counts.failed),
                ("dropped", counts.dropped),
            ];
            for (result, count) in results.into_iter().filter(|(_, count)| *count > 0) {
                sent.push((vec![channel.clone(), result.to_owned()], count as f64));
            }
            pending.push((vec![channel], counts.pending as f64));
        }
        SENT.filled(sent).into_iter().chain(PENDING.filled(pending)).collect()
    }
}
