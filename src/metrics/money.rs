//! Families of money: summed in exact integers, a float only when somebody scrapes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, LabelPair, Metric, MetricFamily, MetricType};

use super::build::lock;
use crate::accounting::Money;

/// One team's and model's sum; absent until something is added.
#[derive(Clone, Default)]
pub(super) struct MoneySum(Arc<Mutex<Option<Money>>>);

impl MoneySum {
    /// Adds an amount, zero included: then the sum is known to be zero.
    pub(super) fn add(&self, usd: Money) {
        let mut sum = lock(&self.0);
        *sum = Some(sum.unwrap_or_default().saturating_add(usd));
    }
}

/// A counter of dollars by model and team.
#[derive(Clone)]
pub(super) struct MoneyFamily {
    /// By team, then model; bounded by whoever asks for children.
    sums: Arc<Mutex<BTreeMap<(String, String), MoneySum>>>,
    description: Desc,
}

impl MoneyFamily {
    pub(super) fn new(name: &str, help: &str) -> Result<MoneyFamily, prometheus::Error> {
        let labels = vec!["model".to_owned(), "team".to_owned()];
        let description = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())?;
        Ok(MoneyFamily { sums: Arc::default(), description })
    }

    /// The sum of a team and a model, to be kept by whoever adds to it.
    pub(super) fn child(&self, team: &str, model: &str) -> MoneySum {
        lock(&self.sums).entry((team.to_owned(), model.to_owned())).or_default().clone()
    }
}

impl Collector for MoneyFamily {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let sums = lock(&self.sums);
        let known = sums.iter().filter_map(|(names, sum)| Some((names, (*lock(&sum.0))?)));
        let metrics: Vec<Metric> =
            known.map(|((team, model), sum)| metric(team, model, sum)).collect();
        if metrics.is_empty() {
            return Vec::new();
        }
        let mut family = MetricFamily::default();
        family.set_name(self.description.fq_name.clone());
        family.set_help(self.description.help.clone());
        family.set_field_type(MetricType::COUNTER);
        *family.mut_metric() = metrics;
        vec![family]
    }
}

fn metric(team: &str, model: &str, sum: Money) -> Metric {
    let pair = |name: &str, value: &str| {
        let mut label = LabelPair::default();
        label.set_name(name.to_owned());
        label.set_value(value.to_owned());
        label
    };
    let mut counter = Counter::default();
    // The nearest float to the exact decimal, digits of every size included.
    counter.set_value(sum.to_string().parse().unwrap_or(f64::MAX));
    let mut metric = Metric::default();
    metric.set_label(vec![pair("model", model), pair("team", team)]);
    metric.set_counter(counter);
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_exposed_as_the_nearest_float_once_it_is_known() {
        let family = MoneyFamily::new("usd_total", "help").unwrap();
        let sum = family.child("t", "m");
        assert!(family.collect().is_empty());
        for _ in 0..3 {
            sum.add("0.1".parse().unwrap());
        }
        let value = family.collect()[0].get_metric()[0].get_counter().get_value();
        assert_eq!(value.to_string(), "0.3");
        family.child("t", "free").add(Money::ZERO);
        assert_eq!(family.collect()[0].get_metric().len(), 2);
    }
}
