//! The API's rate limits as its answers last named them, by team.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use prometheus::{IntGauge, IntGaugeVec};

use super::build::{Build, level};
use super::labels::Label;
use crate::anthropic::RateLimits;

const KINDS: usize = RateLimits::KINDS.len();

/// The families about rate limits. Seen with the head of every metered answer, so a team that is
/// known is found without a lock.
pub(super) struct Limits {
    limit: IntGaugeVec,
    remaining: IntGaugeVec,
    team_names: Arc<Label>,
    teams: ArcSwap<HashMap<String, Arc<Team>>>,
}

/// The gauges of one team, each made when it is first seen.
#[derive(Default)]
struct Team {
    name: String,
    limit: [OnceLock<IntGauge>; KINDS],
    remaining: [OnceLock<IntGauge>; KINDS],
}

impl Limits {
    pub(super) fn new(
        build: &Build<'_>,
        team_names: &Arc<Label>,
    ) -> Result<Limits, prometheus::Error> {
        Ok(Limits {
            limit: build.gauges(
                "claude_ratelimit_limit",
                "The API's limit as its last answer named it.",
                &["team", "kind"],
            )?,
            remaining: build.gauges(
                "claude_ratelimit_remaining",
                "What was left of the API's limit at its last answer.",
                &["team", "kind"],
            )?,
            team_names: Arc::clone(team_names),
            teams: ArcSwap::default(),
        })
    }

    /// Shows what the head of an answer said.
    pub(super) fn seen(&self, team: &str, limits: &RateLimits) {
        let known = self.teams.load().get(team).cloned();
        let gauges = known.unwrap_or_else(|| self.made(team));
        let sides = [
            (&self.limit, &gauges.limit, &limits.limit),
            (&self.remaining, &gauges.remaining, &limits.remaining),
        ];
        for (family, children, values) in sides {
            for ((kind, child), value) in RateLimits::KINDS.iter().zip(children).zip(values) {
                if let Some(value) = value {
                    let made = || family.with_label_values(&[&*gauges.name, kind]);
                    child.get_or_init(made).set(level(*value));
                }
            }
        }
    }

    /// The gauges of a team that was not seen yet, or that has none of its own.
    fn made(&self, team: &str) -> Arc<Team> {
        let name = self.team_names.bounded(team);
        // One beyond the bound of names comes here with each answer: nothing is made for it again.
        if let Some(known) = self.teams.load().get(&name) {
            return Arc::clone(known);
        }
        let made = Arc::new(Team { name: name.clone(), ..Team::default() });
        self.teams.rcu(|teams| {
            let mut teams = HashMap::clone(teams);
            teams.entry(name.clone()).or_insert_with(|| Arc::clone(&made));
            teams
        });
        self.teams.load().get(&name).cloned().unwrap_or(made)
    }
}
