//! How the sidecar itself is: exchanges, refusals, the ledger, the disk, the prices.

use std::sync::{Mutex, OnceLock};

use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::build::{Build, level, lock, seconds};
use crate::ledger::{Durability, Health as LedgerHealth, Mode, State};
use crate::record::Outcome;
use crate::record::exchange::Endpoint;

/// Forms of the API, and ways to close: the children of one family.
const ENDPOINTS: usize = Endpoint::Other as usize + 1;
const OUTCOMES: usize = Outcome::Refused as usize + 1;

/// The families about the sidecar itself.
pub struct Health {
    /// Exchanges running now.
    pub open_exchanges: IntGauge,
    exchanges: IntCounterVec,
    closed: [[OnceLock<IntCounter>; OUTCOMES]; ENDPOINTS],
    /// Requests answered by the sidecar itself, by our reason.
    pub refusals: IntCounterVec,
    /// Time an append took on the path of a call.
    pub append_seconds: Histogram,
    /// Closings that could not be written anywhere.
    pub lost_closings: IntCounter,
    /// Exchanges that went on without a record (`observe`).
    pub unrecorded: IntCounter,
    log_suppressed: IntCounterVec,
    ledger_entries: IntGauge,
    ledger_synced: IntGauge,
    ledger_unsynced: Gauge,
    ledger_sync: Gauge,
    ledger_reserve: IntGauge,
    ledger_state: IntGaugeVec,
    ledger_mode: IntGaugeVec,
    data_free: IntGauge,
    index_entries: IntGauge,
    pricing: IntGaugeVec,
    pricing_checked: Gauge,
    /// The version that [`Health::pricing`] shows.
    pricing_version: Mutex<String>,
}

impl Health {
    #[expect(clippy::too_many_lines, reason = "one list of families, read top to bottom")]
    pub(super) fn new(build: &Build<'_>) -> Result<Health, prometheus::Error> {
        let build_info = build.gauges(
            "weighbridge_build_info",
            "1, with the program's version.",
            &["version"],
        )?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Health {
            open_exchanges: build.gauge("weighbridge_open_exchanges", "Exchanges running now.")?,
            exchanges: build.counters(
                "weighbridge_exchanges_total",
                "Exchanges that closed, metered or not.",
                &["endpoint", "outcome"],
            )?,
            closed: Default::default(),
            refusals: build.counters(
                "weighbridge_refusals_total",
                "Requests the sidecar answered itself.",
                &["reason"],
            )?,
            append_seconds: build.histogram(
                "weighbridge_append_seconds",
                "Time to append one entry to the ledger on the path of a call.",
            )?,
            lost_closings: build.counter(
                "weighbridge_lost_closings_total",
                "Closings that could not be written and went to standard error instead.",
            )?,
            unrecorded: build.counter(
                "weighbridge_unrecorded_total",
                "Entries left out in observe mode because the ledger could not be written.",
            )?,
            log_suppressed: build.counters(
                "weighbridge_log_suppressed_total",
                "Log lines left out by the rate limit.",
                &["level"],
            )?,
            ledger_entries: build.gauge("weighbridge_ledger_entries", "Entries in the ledger.")?,
            ledger_synced: build.gauge(
                "weighbridge_ledger_synced_entries",
                "Entries covered by a completed sync to disk.",
            )?,
            ledger_unsynced: build.time_gauge(
                "weighbridge_ledger_unsynced_seconds",
                "Age of the oldest entry that no completed sync covers; 0 without one.",
            )?,
            ledger_sync: build.time_gauge(
                "weighbridge_ledger_sync_seconds",
                "How long the last completed sync took.",
            )?,
            ledger_reserve: build.gauge(
                "weighbridge_ledger_reserve_bytes",
                "Room left in the space set aside for a full disk.",
            )?,
            ledger_state: build.gauges(
                "weighbridge_ledger_state",
                "1 for the state the ledger is in.",
                &["state"],
            )?,
            ledger_mode: build.gauges(
                "weighbridge_ledger_mode",
                "1, with what happens when the ledger cannot be written, and what an entry survives.",
                &["mode", "durability"],
            )?,
            data_free: build.gauge(
                "weighbridge_data_free_bytes",
                "Free room on the disk of the data directory.",
            )?,
            index_entries: build.gauge(
                "weighbridge_index_entries",
                "Entries the index has taken in; its lag is the ledger's entries less these.",
            )?,
            pricing: build.gauges(
                "weighbridge_pricing_info",
                "1, with the version of the prices in force.",
                &["version"],
            )?,
            pricing_checked: build.time_gauge(
                "weighbridge_pricing_checked_timestamp_seconds",
                "When the prices in force were last compared with their sources.",
            )?,
            pricing_version: Mutex::default(),
        })
    }

    /// Counts an exchange that closed.
    pub(super) fn closed(&self, endpoint: Endpoint, outcome: Outcome) {
        let made = || self.exchanges.with_label_values(&[endpoint.name(), outcome.name()]);
        let places = self.closed.get(endpoint as usize);
        match places.and_then(|outcomes| outcomes.get(outcome as usize)) {
            Some(child) => child.get_or_init(made).inc(),
            None => made().inc(),
        }
    }

    /// How the ledger was opened.
    pub fn ledger_is(&self, mode: Mode, durability: Durability) {
        self.ledger_mode.with_label_values(&[mode.name(), durability.name()]).set(1);
    }

    /// How the ledger is, and how many of its entries the index holds. `mono_ns` is now.
    pub fn show_ledger(&self, health: &LedgerHealth, indexed: u64, mono_ns: u64) {
        self.ledger_entries.set(level(health.entries));
        self.ledger_synced.set(level(health.synced_upto));
        let age = health.unsynced_since_ns.map_or(0, |since| mono_ns.saturating_sub(since));
        self.ledger_unsynced.set(seconds(age));
        self.ledger_sync.set(seconds(health.sync_ns_last));
        self.ledger_reserve.set(level(health.reserve_free_bytes));
        for state in [State::Normal, State::Reserve, State::Full, State::Poisoned] {
            let is = i64::from(state == health.state);
            self.ledger_state.with_label_values(&[state.name()]).set(is);
        }
        self.index_entries.set(level(indexed));
    }

    /// Free bytes on the disk of the data directory.
    pub fn show_disk(&self, free_bytes: u64) {
        self.data_free.set(level(free_bytes));
    }

    /// The prices in force, and when they were compared with their sources (seconds since 1970).
    pub fn show_prices(&self, version: &str, checked_s: i64) {
        let mut shown = lock(&self.pricing_version);
        if *shown != version {
            // Absent where nothing was shown yet.
            let _ = self.pricing.remove_label_values(&[shown.as_str()]);
            self.pricing.with_label_values(&[version]).set(1);
            version.clone_into(&mut shown);
        }
        // Seconds of a day's beginning stay far below 2⁵³: exact.
        self.pricing_checked.set(checked_s as f64);
    }

    /// Log lines left out so far, by level.
    pub fn show_suppressed(&self, level: &str, total: u64) {
        if total > 0 {
            let count = self.log_suppressed.with_label_values(&[level]);
            count.inc_by(total.saturating_sub(count.get()));
        }
    }
}
