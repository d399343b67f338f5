//! Who follows the ledger, how far each is behind, and what the exporter has sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec};

use super::build::{Build, level, lock, seconds};

/// Most remembered moments of one follower; beyond them every other one is dropped.
const MOMENTS_MAX: usize = 256;

/// The families about followers of the ledger.
pub struct Followers {
    lag_entries: IntGaugeVec,
    lag_seconds: GaugeVec,
    /// What the receiver of OTLP took and did not take: `signal` (traces, metrics, logs), `result`
    /// (accepted, rejected).
    pub otlp_items: IntCounterVec,
    /// Requests to the receiver of OTLP: `signal`, `result` (ok; failed: it is tried again).
    pub otlp_requests: IntCounterVec,
}

impl Followers {
    pub(super) fn new(build: &Build<'_>) -> Result<Followers, prometheus::Error> {
        Ok(Followers {
            lag_entries: build.gauges(
                "weighbridge_follower_lag_entries",
                "Entries of the ledger that a follower has not taken in.",
                &["follower"],
            )?,
            lag_seconds: build.time_gauges(
                "weighbridge_follower_lag_seconds",
                "How long ago a follower was last at the ledger's end; 0 when it is.",
                &["follower"],
            )?,
            otlp_items: build.counters(
                "weighbridge_otlp_items_total",
                "Spans, data points and log records that the receiver took or rejected.",
                &["signal", "result"],
            )?,
            otlp_requests: build.counters(
                "weighbridge_otlp_requests_total",
                "Requests to the receiver by how they went; failed ones are tried again.",
                &["signal", "result"],
            )?,
        })
    }

    /// The figures of a follower: `index`, `otlp`.
    #[must_use]
    pub fn named(&self, follower: &str) -> Arc<Lag> {
        Arc::new(Lag {
            entries: self.lag_entries.with_label_values(&[follower]),
            seconds: self.lag_seconds.with_label_values(&[follower]),
            moments: Mutex::default(),
        })
    }
}

/// How far one follower is behind.
pub struct Lag {
    entries: IntGauge,
    seconds: Gauge,
    /// When the ledger had how many entries, oldest first.
    moments: Mutex<VecDeque<(u64, u64)>>,
}

impl Lag {
    /// How far somebody is behind who has a family of seconds of their own.
    pub(super) fn shown_in(seconds: Gauge) -> Result<Arc<Lag>, prometheus::Error> {
        let entries = IntGauge::new("entries", "Entries not taken in.")?;
        Ok(Arc::new(Lag { entries, seconds, moments: Mutex::default() }))
    }

    /// The follower has taken in `taken` of the ledger's `entries`; `mono_ns` is now. Called at
    /// least once a second, which is how exact the seconds are: a follower that is always a little
    /// behind a busy ledger was at its end when the ledger was that short.
    pub fn is(&self, taken: u64, entries: u64, mono_ns: u64) {
        self.entries.set(level(entries.saturating_sub(taken)));
        let mut moments = lock(&self.moments);
        // The newest moment at which the follower had all there was, and all after it.
        while moments.get(1).is_some_and(|(then, _)| *then <= taken) {
            moments.pop_front();
        }
        let is_only = moments.len() == 1;
        match moments.back_mut() {
            Some((then, at)) if *then >= entries => {
                // Where it was behind from the beginning, the beginning is what is known.
                if !is_only || *then <= taken {
                    *at = mono_ns;
                }
            }
            _ => {
                if moments.len() >= MOMENTS_MAX {
                    let mut keep = false;
                    moments.retain(|_| {
                        keep = !keep;
                        keep
                    });
                }
                moments.push_back((entries, mono_ns));
            }
        }
        let since = moments.front().filter(|_| taken < entries).map(|(_, at)| *at);
        self.seconds.set(seconds(mono_ns.saturating_sub(since.unwrap_or(mono_ns))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Registry;

    const SECOND: u64 = 1_000_000_000;

    fn lag() -> Arc<Lag> {
        let registry = Registry::new();
        Followers::new(&Build { registry: &registry }).unwrap().named("index")
    }

    #[test]
    fn a_follower_that_stands_still_falls_behind_by_the_second() {
        let lag = lag();
        lag.is(10, 10, SECOND);
        assert_eq!((lag.entries.get(), lag.seconds.get()), (0, 0.0));
        for now in 2..5_000 {
            lag.is(10, 8 + now, now * SECOND);
        }
        assert_eq!(lag.entries.get(), 4_997);
        assert_eq!(lag.seconds.get(), 4_997.0, "last at the end in second 2");
        assert!(lock(&lag.moments).len() <= MOMENTS_MAX);
        lag.is(5_007, 5_007, 5_000 * SECOND);
        assert_eq!((lag.entries.get(), lag.seconds.get()), (0, 0.0));
    }

    #[test]
    fn one_that_keeps_up_with_a_busy_ledger_is_never_long_behind() {
        let lag = lag();
        for now in 1..100 {
            // Two seconds behind a ledger that never rests.
            lag.is((now * 10_u64).saturating_sub(20), now * 10, now * SECOND);
            assert!(lag.seconds.get() <= 2.0, "{} at {now}", lag.seconds.get());
        }
        assert_eq!(lag.seconds.get(), 2.0);
        lag.is(990, 990, 200 * SECOND);
        lag.is(990, 991, 300 * SECOND);
        assert_eq!(lag.seconds.get(), 100.0, "at the end when it was last looked at");
    }
}
