//! Classes of errors that somebody wants to hear of: told once an episode.
//!
//! An episode begins with the first error of a class and ends when none has come for
//! [`QUIET_NS`].

use std::collections::BTreeMap;

use crate::privacy::Identifier;
use crate::record::ErrorClassSeen;

/// After so much quiet the next error of a class is told again, in nanoseconds: 15 minutes.
pub(super) const QUIET_NS: i64 = 15 * 60 * 1_000_000_000;

/// The running episodes, by class. Bounded by the classes in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ErrorWatch(BTreeMap<String, Episode>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Episode {
    team: String,
    last: i64,
    count: u64,
    told: bool,
}

impl ErrorWatch {
    /// An error of a class came at `at`, nanoseconds since 1970.
    pub(super) fn seen(&mut self, class: &str, team: &str, at: i64) {
        let episode = self.0.entry(class.to_owned()).or_default();
        if at.saturating_sub(episode.last) > QUIET_NS {
            *episode = Episode { team: team.to_owned(), ..Episode::default() };
        }
        episode.last = episode.last.max(at);
        episode.count = episode.count.saturating_add(1);
    }

    /// Somebody was told about a class at `at`.
    pub(super) fn told(&mut self, class: &str, at: i64) {
        let episode = self.0.entry(class.to_owned()).or_default();
        episode.last = episode.last.max(at);
        episode.told = true;
    }

    /// Episodes that run at `now` and that nobody was told about.
    pub(super) fn due(&self, now: i64) -> impl Iterator<Item = ErrorClassSeen> {
        let waits = move |episode: &Episode| {
            !episode.told && episode.count > 0 && now.saturating_sub(episode.last) <= QUIET_NS
        };
        let found = self.0.iter().filter(move |(_, episode)| waits(episode));
        found.filter_map(|(class, Episode { team, count, .. })| {
            let class = Identifier::plain(class.as_bytes())?;
            Some(ErrorClassSeen { class, count: *count, team: team.clone() })
        })
    }
}
