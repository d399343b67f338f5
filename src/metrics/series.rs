//! What the families hold for one team and one model: looked up once, then counted in without a
//! name being formatted or a family being locked.

use std::sync::{Mutex, OnceLock};

use prometheus::{Histogram, IntCounter};

use super::build::lock;
use super::calls::Calls;
use super::labels::OTHER;
use super::money::MoneySum;
use crate::accounting::TokenKind;

/// Most kinds of failure (status and error type) told apart for one team and model.
pub const FAILURES_MAX: usize = 32;
/// The stop reasons the API documents; others have a slower way.
const STOP_REASONS: [&str; 8] = [
    "end_turn",
    "tool_use",
    "max_tokens",
    "stop_sequence",
    "refusal",
    "pause_turn",
    "model_context_window_exceeded",
    "compaction",
];

/// The children of one team and one model. What is rare is made when it is first needed.
pub(super) struct Series {
    pub(super) team: String,
    pub(super) model: String,
    /// Calls with a plain 200.
    pub(super) succeeded: IntCounter,
    pub(super) duration: Histogram,
    pub(super) first_token: Histogram,
    pub(super) output_rate: OnceLock<Histogram>,
    /// In the order of [`TokenKind::ALL`].
    pub(super) tokens: [IntCounter; TokenKind::ALL.len()],
    pub(super) cost: MoneySum,
    pub(super) notional: MoneySum,
    pub(super) estimates: MoneySum,
    pub(super) savings: MoneySum,
    pub(super) losses: MoneySum,
    pub(super) unpriced: OnceLock<IntCounter>,
    pub(super) estimated: OnceLock<IntCounter>,
    pub(super) anomalies: OnceLock<IntCounter>,
    pub(super) retries: OnceLock<IntCounter>,
    /// In the order of [`STOP_REASONS`].
    stop_reasons: [OnceLock<IntCounter>; STOP_REASONS.len()],
    /// Everything but a plain 200; at most [`FAILURES_MAX`].
    failures: Mutex<Vec<Failure>>,
}

struct Failure {
    status: Option<u16>,
    error: String,
    count: IntCounter,
}

impl Series {
    /// The children of bounded names.
    pub(super) fn new(calls: &Calls, team: &str, model: &str) -> Series {
        let token = |kind: TokenKind| calls.tokens.with_label_values(&[model, team, kind.name()]);
        Series {
            team: team.to_owned(),
            model: model.to_owned(),
            succeeded: calls.requests.with_label_values(&[model, team, "200", ""]),
            duration: calls.duration.with_label_values(&[model]),
            first_token: calls.first_token.with_label_values(&[model]),
            output_rate: OnceLock::new(),
            tokens: TokenKind::ALL.map(token),
            cost: calls.cost.child(team, model),
            notional: calls.notional.child(team, model),
            estimates: calls.estimates.child(team, model),
            savings: calls.savings.child(team, model),
            losses: calls.losses.child(team, model),
            unpriced: OnceLock::new(),
            estimated: OnceLock::new(),
            anomalies: OnceLock::new(),
            retries: OnceLock::new(),
            stop_reasons: Default::default(),
            failures: Mutex::default(),
        }
    }

    /// Counts why a model stopped.
    pub(super) fn stopped(&self, calls: &Calls, reason: &str) {
        let made = |reason: &str| calls.stop_reasons.with_label_values(&[&*self.model, reason]);
        let place = STOP_REASONS.iter().position(|known| *known == reason);
        match place.and_then(|place| self.stop_reasons.get(place)) {
            Some(child) => child.get_or_init(|| made(reason)).inc(),
            None => made(&calls.reason_names.bounded(reason)).inc(),
        }
    }

    /// Counts anything but a plain 200.
    pub(super) fn failed(&self, calls: &Calls, status: Option<u16>, error: &str) {
        let mut failures = lock(&self.failures);
        let alike = |known: &&Failure| known.status == status && known.error == error;
        if let Some(known) = failures.iter().find(alike) {
            return known.count.inc();
        }
        let (model, team) = (&*self.model, &*self.team);
        if failures.len() >= FAILURES_MAX {
            calls.overflow.inc();
            return calls.requests.with_label_values(&[model, team, OTHER, OTHER]).inc();
        }
        let code = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        let name = if error.is_empty() { String::new() } else { calls.error_names.bounded(error) };
        let count = calls.requests.with_label_values(&[model, team, &code, &name]);
        count.inc();
        failures.push(Failure { status, error: error.to_owned(), count });
    }
}
