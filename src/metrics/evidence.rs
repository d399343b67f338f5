//! What is signed, and who holds it besides.

use std::sync::Arc;

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::build::{Build, level};
use super::followers::Lag;

/// The families about checkpoints and their witnesses.
pub struct Evidence {
    ledger: IntGaugeVec,
    size: IntGauge,
    lag: Gauge,
    errors: IntCounter,
    witness_lag: GaugeVec,
    witness_errors: IntCounterVec,
}

/// Why a witness does not hold a checkpoint.
pub const WITNESS_ERRORS: [&str; 4] = ["inconsistent", "invalid", "refused", "unreachable"];

impl Evidence {
    pub(super) fn new(build: &Build<'_>) -> Result<Evidence, prometheus::Error> {
        Ok(Evidence {
            ledger: build.gauges(
                "weighbridge_ledger_info",
                "1, with the identity of the ledger: two sidecars never share one.",
                &["ledger"],
            )?,
            size: build.gauge(
                "weighbridge_audit_checkpoint_size",
                "Entries that the newest signed checkpoint covers.",
            )?,
            lag: build.time_gauge(
                "weighbridge_audit_checkpoint_lag_seconds",
                "How long ago the newest checkpoint covered all entries; 0 when it does.",
            )?,
            errors: build.counter(
                "weighbridge_audit_checkpoint_errors_total",
                "Checkpoints that could not be signed or written.",
            )?,
            witness_lag: build.time_gauges(
                "weighbridge_audit_witness_lag_seconds",
                "How long ago a witness held the newest checkpoint; 0 when it does.",
                &["witness"],
            )?,
            witness_errors: build.counters(
                "weighbridge_audit_witness_errors_total",
                "Checkpoints that a witness did not take, by reason.",
                &["witness", "reason"],
            )?,
        })
    }

    /// Which ledger it is. A copy of a data directory has the same identity.
    pub fn ledger_is(&self, instance: &str) {
        self.ledger.with_label_values(&[instance]).set(1);
    }

    /// The newest checkpoint covers so many entries.
    pub fn signed(&self, size: u64) {
        self.size.set(level(size));
    }

    /// A checkpoint could not be made.
    pub fn failed(&self) {
        self.errors.inc();
    }

    /// How far checkpoints are behind the ledger.
    ///
    /// # Errors
    ///
    /// A family that cannot be made: a mistake in this folder.
    pub fn lag(&self) -> Result<Arc<Lag>, prometheus::Error> {
        Lag::shown_in(self.lag.clone())
    }

    /// How far a witness is behind the checkpoints. Every reason's counter begins with zero.
    ///
    /// # Errors
    ///
    /// A family that cannot be made: a mistake in this folder.
    pub fn witness(&self, name: &str) -> Result<Arc<Lag>, prometheus::Error> {
        for reason in WITNESS_ERRORS {
            self.witness_errors.with_label_values(&[name, reason]);
        }
        Lag::shown_in(self.witness_lag.with_label_values(&[name]))
    }

    /// A witness did not take a checkpoint.
    pub fn not_witnessed(&self, name: &str, reason: &'static str) {
        self.witness_errors.with_label_values(&[name, reason]).inc();
    }
}
