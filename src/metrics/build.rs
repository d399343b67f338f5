//! How families are made and registered: one call each, name and help as literals, so that
//! `tests/docs.rs` can read them from the source.

use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

use super::money::MoneyFamily;

/// From fast local answers to an agent's ten-minute call, in seconds.
pub(super) const DURATION_BUCKETS: [f64; 16] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0];
/// From a model under load to the fastest, in tokens per second.
pub(super) const RATE_BUCKETS: [f64; 14] =
    [1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 40.0, 60.0, 80.0, 100.0, 150.0, 200.0, 400.0, 1000.0];
/// From an append that only the kernel sees to one that waits for a slow disk, in seconds.
const APPEND_BUCKETS: [f64; 12] =
    [1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 0.1, 1.0];

type Made<T> = Result<T, prometheus::Error>;

/// Makes families and registers them.
pub(super) struct Build<'a> {
    pub(super) registry: &'a Registry,
}

impl Build<'_> {
    fn add<C: Collector + Clone + 'static>(&self, family: C) -> Made<C> {
        self.registry.register(Box::new(family.clone()))?;
        Ok(family)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Made<IntCounter> {
        self.add(IntCounter::new(name, help)?)
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Made<IntGauge> {
        self.add(IntGauge::new(name, help)?)
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// A gauge of seconds.
    pub(super) fn time_gauge(&self, name: &str, help: &str) -> Made<Gauge> {
        self.add(Gauge::new(name, help)?)
    }

    pub(super) fn time_gauges(&self, name: &str, help: &str, labels: &[&str]) -> Made<GaugeVec> {
        self.add(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// Histograms by model.
    pub(super) fn histograms(&self, name: &str, help: &str, buckets: &[f64]) -> Made<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.add(HistogramVec::new(options, &["model"])?)
    }

    /// Histograms by labels of their own.
    pub(super) fn histograms_by(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Made<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.add(HistogramVec::new(options, labels)?)
    }

    /// One histogram.
    pub(super) fn histogram_of(&self, name: &str, help: &str, buckets: &[f64]) -> Made<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
    }

    pub(super) fn histogram(&self, name: &str, help: &str) -> Made<Histogram> {
        let options = HistogramOpts::new(name, help).buckets(APPEND_BUCKETS.to_vec());
        self.add(Histogram::with_opts(options)?)
    }

    /// A counter of exact dollars by model and team.
    pub(super) fn money(&self, name: &str, help: &str) -> Made<MoneyFamily> {
        self.add(MoneyFamily::new(name, help)?)
    }
}

/// Locks; what a panicking holder left is as good as before.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A count as a gauge holds it.
pub(super) fn level(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Nanoseconds as seconds.
pub(super) fn seconds(ns: u64) -> f64 {
    std::time::Duration::from_nanos(ns).as_secs_f64()
}
