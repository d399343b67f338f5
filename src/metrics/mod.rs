//! Every Prometheus family of the sidecar, by subject.
//!
//! Labels come from bounded sets: a team or model beyond the bound is counted as `other`, and so
//! is a pair of the two, so a client that invents names cannot grow memory. Money is summed in
//! exact integers and becomes a float only when somebody scrapes.
//!
//! On the path of a call nothing is formatted and no family is locked: what a team and a model
//! count in is looked up once (`series`). Gauges of things that change by themselves are set by
//! whoever scrapes ([`crate::admin`]).

mod agents;
mod build;
mod calls;
mod evidence;
mod followers;
mod health;
mod labels;
mod limits;
mod money;
mod privacy;
mod series;
mod sessions;

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{Encoder, Registry, TextEncoder};

use build::Build;
use calls::Calls;
use labels::Label;
use limits::Limits;
use sessions::Sessions;

pub use agents::{Agents, HOOK_EVENTS};
pub use calls::PAIRS_MAX;
pub use evidence::{Evidence, WITNESS_ERRORS};
pub use followers::{Followers, Lag};
pub use health::Health;
pub use labels::{LABEL_VALUES_MAX, OTHER};
pub use privacy::Privacy;
pub use series::FAILURES_MAX;
pub use sessions::{SESSION_IDLE_NS, SESSIONS_MAX};

use crate::anthropic::RateLimits;
use crate::record::batch::{BatchResult, BatchTally};
use crate::record::{Closing, Opening};

/// Every family of the sidecar.
pub struct Metrics {
    registry: Registry,
    calls: Calls,
    sessions: Sessions,
    limits: Limits,
    /// Queries, tool calls, hooks and rules.
    pub agents: Agents,
    /// What was redacted, kept and dropped.
    pub privacy: Privacy,
    /// How the sidecar itself is.
    pub health: Health,
    /// What is signed, and who holds it besides.
    pub evidence: Evidence,
    /// Who follows the ledger.
    pub followers: Followers,
}

impl Metrics {
    /// All families, registered.
    ///
    /// # Errors
    ///
    /// Two families of one name: a mistake in this folder.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let build = Build { registry: &registry };
        let overflow = build.counter(
            "weighbridge_label_overflow_total",
            "Observations counted as other because a label had too many values.",
        )?;
        let team_names = Arc::new(Label::new(&overflow));
        let calls = Calls::new(&build, &overflow, &team_names)?;
        let sessions = Sessions::new(&build)?;
        let limits = Limits::new(&build, &team_names)?;
        let agents = Agents::new(&build, &overflow, &team_names)?;
        let privacy = Privacy::new(&build, &team_names)?;
        let evidence = Evidence::new(&build)?;
        let (health, followers) = (Health::new(&build)?, Followers::new(&build)?);
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Metrics {
            registry,
            calls,
            sessions,
            limits,
            agents,
            privacy,
            health,
            evidence,
            followers,
        })
    }

    /// Adds families that are made elsewhere; they are collected with every scrape.
    ///
    /// # Errors
    ///
    /// There is a family of that name.
    pub fn register(&self, families: impl Collector + 'static) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(families))
    }

    /// Counts a call that opened.
    pub fn opened(&self, opening: &Opening, mono_ns: u64) {
        self.health.open_exchanges.inc();
        if let Some(session) = &opening.session {
            self.sessions.seen(session.as_str(), mono_ns);
        }
    }

    /// Counts a session that a hook speaks of.
    pub fn session(&self, session: &str, event: &str, mono_ns: u64) {
        match event {
            "SessionEnd" => self.sessions.over(session),
            _ => self.sessions.seen(session, mono_ns),
        }
    }

    /// Takes back [`Metrics::opened`]: the entry did not reach the disk, the call was refused.
    pub fn not_opened(&self) {
        self.health.open_exchanges.dec();
    }

    /// Counts a call that closed. Called after its entry is in the ledger, so that no figure here
    /// is ahead of the record.
    pub fn closed(&self, opening: &Opening, closing: &Closing) {
        self.health.open_exchanges.dec();
        self.health.closed(opening.endpoint, closing.outcome);
        if opening.endpoint.is_metered() {
            self.calls.closed(opening, closing);
        }
    }

    /// Counts a result of a batch that was priced.
    pub fn batch_result(&self, result: &BatchResult) {
        self.calls.batch_result(result);
    }

    /// Counts what one fetch of a batch's results held.
    pub fn batch_results(&self, team: &str, tally: &BatchTally) {
        self.calls.batch_results(team, tally);
    }

    /// Shows the rate limits that the head of a team's answer named.
    pub fn limits_seen(&self, team: &str, limits: &RateLimits) {
        self.limits.seen(team, limits);
    }

    /// The exposition text of all families. `mono_ns` is now.
    ///
    /// # Errors
    ///
    /// A registered family that cannot be written: a mistake in it.
    pub fn expose(&self, mono_ns: u64) -> Result<String, prometheus::Error> {
        self.sessions.show(mono_ns);
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests;
