//! The tool calls that run: sightings put together until a call is settled.
//!
//! A call settles when its result was sent, or when nothing more will be seen of it. It is given
//! out once; what is seen of it afterwards (a request sent again, a late hook) changes nothing
//! here. The index, which has all sightings, is where late ones are found.

use std::collections::{BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::tool_use::{Content, Decider, Done, Returned, Sightings, State, ToolKind};

/// Calls followed at the same time; beyond that the oldest is settled as it is.
pub const CALLS_MAX: usize = 50_000;
/// Calls remembered after they settled.
pub const SETTLED_MAX: usize = 50_000;
/// How long a tool may run before its call is settled as it is, and its query counts as left.
pub const TOOL_WAIT_NS: u64 = 30 * 60 * 1_000_000_000;

/// Which call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// The client's session.
    pub session: Option<&'a str>,
    /// The API's id of it.
    pub id: &'a str,
}

impl Name<'_> {
    /// One number for both, to look it up by.
    #[must_use]
    pub fn key(self) -> u128 {
        let mut hash = Xxh3::new();
        hash.update(self.session.unwrap_or_default().as_bytes());
        hash.update(b"\0");
        hash.update(self.id.as_bytes());
        hash.digest128()
    }
}

/// What a sighting says of the call beside itself; absent where it does not.
#[derive(Clone, Copy, Debug, Default)]
pub struct About<'a> {
    /// Who pays, as the traffic says.
    pub team: Option<&'a str>,
    /// The sub-agent.
    pub agent: Option<&'a str>,
    /// The tool.
    pub tool: Option<&'a str>,
    /// Its MCP server.
    pub server: Option<&'a str>,
    /// When it was seen, nanoseconds since 1970 (UTC).
    pub at_ns: u64,
}

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub enum Sighting {
    /// The model asked for it.
    Asked(ToolKind, Content),
    /// The client announced it.
    Announced(Content),
    /// The client ran it.
    Done(Done),
    /// The client said what goes back.
    Batched(Content),
    /// Somebody denied it.
    Denied(Decider),
    /// Its result was sent.
    Returned(Returned),
}

/// A tool call and who made it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The API's id of it.
    pub id: String,
    /// The client's session.
    pub session: Option<String>,
    /// Who pays; absent where the traffic does not know it.
    pub team: Option<String>,
    /// The sub-agent.
    pub agent: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// Its MCP server.
    pub server: Option<String>,
    /// When it was first seen, nanoseconds since 1970 (UTC).
    pub first_ns: u64,
    /// What was seen.
    pub seen: Sightings,
}

impl ToolCall {
    /// Which call it is.
    #[must_use]
    pub fn name(&self) -> Name<'_> {
        Name { session: self.session.as_deref(), id: &self.id }
    }

    fn take(&mut self, about: &About<'_>, sighting: Sighting) {
        let observed = matches!(sighting, Sighting::Asked(..) | Sighting::Returned(_));
        if let Sighting::Asked(..) = sighting {
            // What the model asked for holds, whatever a hook said that it is.
            self.tool = about.tool.map(str::to_owned).or_else(|| self.tool.take());
            self.server = about.server.map(str::to_owned).or_else(|| self.server.take());
        }
        for (field, said) in [
            (&mut self.team, about.team.filter(|_| observed)),
            (&mut self.agent, about.agent),
            (&mut self.tool, about.tool),
            (&mut self.server, about.server),
        ] {
            if field.is_none() {
                *field = said.map(str::to_owned);
            }
        }
        let (seen, at_ns) = (&mut self.seen, about.at_ns);
        match sighting {
            Sighting::Asked(kind, input) => {
                seen.kind = kind;
                seen.asked.get_or_insert((at_ns, input));
            }
            Sighting::Announced(input) => {
                seen.announced.get_or_insert((at_ns, input));
            }
            Sighting::Done(done) => {
                seen.done.get_or_insert(done);
            }
            Sighting::Batched(output) => {
                seen.batched.get_or_insert(output);
            }
            Sighting::Denied(decider) => {
                seen.denied.get_or_insert(decider);
            }
            Sighting::Returned(returned) => {
                seen.returned.get_or_insert(returned);
            }
        }
    }

    /// How it ended.
    #[must_use]
    pub fn state(&self) -> State {
        self.seen.state(true).unwrap_or(State::NotExecuted)
    }
}

/// What is remembered of a call that settled, so that its result can be sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The tool, as the model asked for it.
    pub tool: Option<String>,
    /// A rule denied it to the client, and nothing said that it ran.
    pub denied: bool,
    /// The client announced it, and no rule denied it.
    pub announced: bool,
}

impl From<&ToolCall> for Settled {
    fn from(call: &ToolCall) -> Settled {
        let seen = &call.seen;
        Settled {
            tool: call.tool.clone(),
            denied: seen.denied == Some(Decider::Rule) && seen.done.is_none(),
            announced: seen.announced.is_some() && seen.denied.is_none(),
        }
    }
}

/// The calls that run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Kept")]
pub struct ToolCalls {
    open: HashMap<u128, ToolCall>,
    /// The same by age: at the bound every new call asks for the oldest.
    #[serde(skip)]
    ages: BTreeSet<(u64, u128)>,
    /// Not kept over a restart: what is resent then is told again.
    #[serde(skip)]
    settled: HashMap<u128, Settled>,
    #[serde(skip)]
    order: VecDeque<u128>,
}

/// What is kept over a restart.
#[derive(Deserialize)]
struct Kept {
    open: HashMap<u128, ToolCall>,
}

impl From<Kept> for ToolCalls {
    fn from(Kept { open }: Kept) -> ToolCalls {
        let ages = open.iter().map(|(key, call)| (call.first_ns, *key)).collect();
        ToolCalls { open, ages, ..ToolCalls::default() }
    }
}

impl ToolCalls {
    /// Takes a sighting in. Gives the call if it settles with it, and one that had to make room.
    pub fn take(&mut self, name: Name<'_>, about: &About<'_>, sighting: Sighting) -> Vec<ToolCall> {
        let key = name.key();
        if self.settled.contains_key(&key) {
            return Vec::new();
        }
        let mut settled = Vec::new();
        if !self.open.contains_key(&key) {
            if self.open.len() >= CALLS_MAX {
                settled.extend(self.evict());
            }
            self.ages.insert((about.at_ns, key));
        }
        let call = self.open.entry(key).or_insert_with(|| ToolCall {
            id: name.id.to_owned(),
            session: name.session.map(str::to_owned),
            first_ns: about.at_ns,
            ..ToolCall::default()
        });
        call.take(about, sighting);
        if call.seen.returned.is_some() {
            settled.extend(self.settle(key));
        }
        settled
    }

    /// What is known of a call that runs.
    #[must_use]
    pub fn open(&self, name: Name<'_>) -> Option<&ToolCall> {
        self.open.get(&name.key())
    }

    /// Whether its result was seen before.
    #[must_use]
    pub fn is_settled(&self, name: Name<'_>) -> bool {
        self.settled.contains_key(&name.key())
    }

    /// What rules ask of a call, whether it runs or has settled.
    #[must_use]
    pub fn known(&self, name: Name<'_>) -> Option<Settled> {
        let key = name.key();
        self.open.get(&key).map(Settled::from).or_else(|| self.settled.get(&key).cloned())
    }

    /// How many calls run.
    #[must_use]
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// Nothing more will come of a session.
    pub fn session_over(&mut self, session: &str) -> Vec<ToolCall> {
        let of = self.open.iter().filter(|(_, call)| call.session.as_deref() == Some(session));
        let mut keys: Vec<(u64, u128)> = of.map(|(key, call)| (call.first_ns, *key)).collect();
        keys.sort_unstable();
        keys.into_iter().filter_map(|(_, key)| self.settle(key)).collect()
    }

    /// Settles what nothing was seen of for too long: at most `most`.
    pub fn expire(&mut self, now_ns: u64, most: usize) -> Vec<ToolCall> {
        let too_long = |since_ns: u64| since_ns.saturating_add(TOOL_WAIT_NS) <= now_ns;
        let last = |call: &ToolCall| call.seen.span_ns().map_or(call.first_ns, |(_, last)| last);
        let over = |key: &u128| self.open.get(key).is_some_and(|call| too_long(last(call)));
        // What was first seen too lately was last seen no earlier.
        let old = self.ages.iter().take_while(|(first_ns, _)| too_long(*first_ns));
        let keys: Vec<u128> = old.map(|(_, key)| *key).filter(over).take(most).collect();
        keys.into_iter().filter_map(|key| self.settle(key)).collect()
    }

    fn settle(&mut self, key: u128) -> Option<ToolCall> {
        let call = self.open.remove(&key)?;
        self.ages.remove(&(call.first_ns, key));
        if self.settled.insert(key, Settled::from(&call)).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > SETTLED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.settled.remove(&oldest);
        }
        Some(call)
    }

    fn evict(&mut self) -> Option<ToolCall> {
        let (_, oldest) = *self.ages.first()?;
        self.settle(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name<'_> = Name { session: Some("s"), id: "toolu_1" };

    fn about(at_ns: u64) -> About<'static> {
        About { team: Some("search"), tool: Some("Bash"), at_ns, ..About::default() }
    }

    fn asked() -> Sighting {
        Sighting::Asked(ToolKind::Client, Content::default())
    }

    fn returned() -> Sighting {
        Sighting::Returned(Returned::default())
    }

    #[test]
    fn a_call_settles_once_with_its_result() {
        let mut calls = ToolCalls::default();
        assert!(calls.take(NAME, &about(1), asked()).is_empty());
        for again in 0..3 {
            let sighting = Sighting::Announced(Content::default());
            assert!(calls.take(NAME, &about(2 + again), sighting).is_empty());
        }
        calls.take(NAME, &about(5), Sighting::Done(Done { at_ns: 5, ..Done::default() }));
        let settled = calls.take(NAME, &about(6), returned());
        assert_eq!((settled.len(), settled[0].state()), (1, State::Complete));
        assert_eq!(settled[0].seen.announced, Some((2, Content::default())), "the first holds");
        for late in [returned(), asked(), Sighting::Announced(Content::default())] {
            assert!(calls.take(NAME, &about(9), late).is_empty());
        }
        assert!(calls.is_settled(NAME) && calls.count() == 0);
        // The same id in another session is another call.
        let other = Name { session: Some("t"), ..NAME };
        assert_eq!(calls.take(other, &about(9), returned()).len(), 1);
    }

    #[test]
    fn who_pays_is_known_from_the_traffic_only() {
        let mut calls = ToolCalls::default();
        calls.take(NAME, &about(1), Sighting::Announced(Content::default()));
        let over = calls.session_over("s");
        assert_eq!((over[0].team.as_deref(), over[0].state()), (None, State::Unverified));
        assert!(calls.session_over("s").is_empty());
    }

    #[test]
    fn calls_have_a_bound_and_an_end() {
        let mut calls = ToolCalls::default();
        let ids: Vec<String> = (0..=CALLS_MAX).map(|n| format!("toolu_{n}")).collect();
        let mut settled = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            settled = calls.take(Name { session: None, id }, &about(at as u64), asked());
        }
        assert_eq!(
            (settled.len(), settled[0].id.as_str(), calls.count()),
            (1, "toolu_0", CALLS_MAX)
        );
        assert_eq!(calls.expire(TOOL_WAIT_NS + 2, 9).len(), 2);
        assert_eq!(calls.expire(u64::MAX, 9).len(), 9);
        assert_eq!((calls.ages.len(), calls.count()), (CALLS_MAX - 11, CALLS_MAX - 11));
    }

    #[test]
    fn what_is_kept_over_a_restart_ends_by_age_too() -> Result<(), serde_json::Error> {
        let mut calls = ToolCalls::default();
        for (at, id) in ["toolu_old", "toolu_new"].into_iter().enumerate() {
            calls.take(Name { session: None, id }, &about(at as u64), asked());
        }
        let mut calls: ToolCalls = serde_json::from_str(&serde_json::to_string(&calls)?)?;
        let over = calls.expire(TOOL_WAIT_NS, 9);
        assert_eq!((over.len(), over[0].id.as_str(), calls.count()), (1, "toolu_old", 1));
        Ok(())
    }
}
