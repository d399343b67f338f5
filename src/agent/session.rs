//! What runs in a session, as far as rules ask for it.
//!
//! Memory of the running process, made of entries that are in the ledger. A client that names no
//! session cannot be limited by one.

use std::collections::{HashMap, HashSet};

use xxhash_rust::xxh3::xxh3_128;

use crate::accounting::Money;

/// Sessions remembered; beyond that the one that was silent longest is forgotten.
pub const SESSIONS_MAX: usize = 20_000;
/// Sub-agents and tool calls told apart in one session; what more there are count as one.
const PARTS_MAX: usize = 1_024;
/// Payers of one session whose rules hold for its hooks: the first ones, and the last.
const PAYERS_MAX: usize = 8;

/// Who pays for a session, from the credential of its last call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Payer {
    /// The team.
    pub team: String,
    /// The project.
    pub project: Option<String>,
    /// The task, as the client asserts it.
    pub task: Option<String>,
}

/// One session.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// Who paid for its last call; absent before the first.
    pub payer: Option<Payer>,
    /// Who paid for calls of it: whoever names a session must not take its rules away.
    payers: Vec<Payer>,
    /// Calls to the model since the last prompt.
    pub calls: u64,
    /// Queries that began.
    pub turns: u64,
    /// What its closed calls cost.
    pub spent: Money,
    /// Sub-agents that started and did not stop.
    agents: HashSet<u128>,
    /// Tool calls that start a sub-agent, announced and not done.
    starting: HashSet<u128>,
    /// By agent: the last tool call and how often it came in a row.
    last: HashMap<u128, (u128, u64)>,
    at_ns: u64,
}

impl Session {
    /// A call of it was paid for by.
    pub fn paid_by(&mut self, payer: Payer) {
        if self.payers.len() < PAYERS_MAX && !self.payers.contains(&payer) {
            self.payers.push(payer.clone());
        }
        self.payer = Some(payer);
    }

    /// Whose rules hold for what its hooks ask.
    pub fn payers(&self) -> impl Iterator<Item = &Payer> {
        let last = self.payer.iter().filter(|last| !self.payers.contains(last));
        self.payers.iter().chain(last)
    }

    /// Sub-agents that run.
    #[must_use]
    pub fn agents_running(&self) -> u64 {
        self.agents.len().max(self.starting.len()) as u64
    }

    /// How often this tool call came in a row by now, before this time.
    #[must_use]
    pub fn repeats(&self, agent: Option<&str>, call: u128) -> u64 {
        let last = self.last.get(&part(agent.unwrap_or_default()));
        last.filter(|(known, _)| *known == call).map_or(0, |(_, times)| *times)
    }

    /// How often the agent's last tool call came in a row.
    #[must_use]
    pub fn repeated(&self, agent: Option<&str>) -> u64 {
        self.last.get(&part(agent.unwrap_or_default())).map_or(0, |(_, times)| *times)
    }

    /// A tool call came.
    pub fn called(&mut self, agent: Option<&str>, call: u128) {
        let has_room = self.last.len() < PARTS_MAX;
        let key = part(agent.unwrap_or_default());
        if !has_room && !self.last.contains_key(&key) {
            return;
        }
        let (last, times) = self.last.entry(key).or_insert((call, 0));
        *times = if *last == call { times.saturating_add(1) } else { 1 };
        *last = call;
    }

    /// A tool that starts a sub-agent was announced, or is done.
    pub fn starting(&mut self, id: &str, begins: bool) {
        change(&mut self.starting, id, begins);
    }

    /// A sub-agent started or stopped.
    pub fn agent(&mut self, id: &str, begins: bool) {
        change(&mut self.agents, id, begins);
    }
}

fn part(name: &str) -> u128 {
    xxh3_128(name.as_bytes())
}

fn change(set: &mut HashSet<u128>, name: &str, begins: bool) {
    if !begins {
        set.remove(&part(name));
    } else if set.len() < PARTS_MAX {
        set.insert(part(name));
    }
}

/// The sessions that are remembered.
#[derive(Debug, Default)]
pub struct Sessions {
    by_key: HashMap<u128, Session>,
}

impl Sessions {
    /// What is known of a session.
    #[must_use]
    pub fn get(&self, session: &str) -> Option<&Session> {
        self.by_key.get(&part(session))
    }

    /// The session, to be changed. `at_ns`: now, nanoseconds since 1970 (UTC).
    pub fn seen(&mut self, session: &str, at_ns: u64) -> &mut Session {
        let key = part(session);
        if self.by_key.len() >= SESSIONS_MAX && !self.by_key.contains_key(&key) {
            self.forget_half();
        }
        let session = self.by_key.entry(key).or_default();
        session.at_ns = session.at_ns.max(at_ns);
        session
    }

    /// Room for many at once: looking for the oldest each time would cost more.
    fn forget_half(&mut self) {
        let mut moments: Vec<u64> = self.by_key.values().map(|session| session.at_ns).collect();
        let middle = moments.len() / 2;
        let (_, median, _) = moments.select_nth_unstable(middle);
        let median = *median;
        self.by_key.retain(|_, session| session.at_ns > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_call_in_a_row_is_counted_by_agent() {
        let mut session = Session::default();
        for (agent, call, before) in [
            (None, 1, 0),
            (None, 1, 1),
            (Some("a"), 1, 0),
            (None, 1, 2),
            (None, 2, 0),
            (None, 1, 0),
            (Some("a"), 1, 1),
        ] {
            assert_eq!(session.repeats(agent, call), before);
            session.called(agent, call);
        }
        assert_eq!((session.repeated(None), session.repeated(Some("a"))), (1, 2));
    }

    #[test]
    fn agents_count_from_their_announcement() {
        let mut session = Session::default();
        session.starting("toolu_1", true);
        session.starting("toolu_2", true);
        session.agent("a", true);
        assert_eq!(session.agents_running(), 2);
        session.starting("toolu_1", false);
        session.starting("toolu_2", false);
        assert_eq!(session.agents_running(), 1, "it runs in the background");
        session.agent("a", false);
        session.agent("never started", false);
        assert_eq!(session.agents_running(), 0);
    }

    #[test]
    fn the_silent_half_is_forgotten() {
        let mut sessions = Sessions::default();
        let names: Vec<String> = (0..=SESSIONS_MAX).map(|n| format!("s{n}")).collect();
        for (at, name) in names.iter().enumerate() {
            sessions.seen(name, at as u64).turns = 1;
        }
        assert!(sessions.get("s0").is_none() && sessions.get(&names[SESSIONS_MAX]).is_some());
        assert!(sessions.by_key.len() <= SESSIONS_MAX);
    }
}
