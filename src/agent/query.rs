//! Queries, inferred from the wire: one user prompt until its final answer.
//!
//! A client sends a prompt, runs the tools that the answer asks for, sends their results, and so on
//! until an answer asks for none. All these exchanges carry one session id; sub-agents' exchanges
//! carry an agent id beside it. So a query begins with an exchange in a session that has none
//! running, and ends when the main agent's answer is final and nothing else of the session runs.
//! Where the client's hooks say when a prompt comes and when it is answered, that holds instead.
//! A client that sends no session id cannot be followed from call to call: there, each logical call
//! (with its repetitions) is a query of its own.
//!
//! Everything here follows from the ledger's entries alone, so reading them again gives the same
//! queries.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::calls::TOOL_WAIT_NS;

/// Queries followed at the same time; beyond that the one that was silent longest ends.
pub const QUERIES_MAX: usize = 10_000;
/// How long a client may wait before it repeats what failed: its longest waits are below.
pub const RETRY_WAIT_NS: u64 = 5 * 60 * 1_000_000_000;
/// Sub-agents told apart in one query; what more there are count to the query alone.
pub const AGENTS_MAX: usize = 256;
/// Exchanges of one query that are linked to a client's trace; an OpenTelemetry SDK's own bound.
pub const TRACED_MAX: usize = 128;

/// An exchange that opens, as far as queries depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Begin<'a> {
    /// The exchange's id.
    pub exchange: &'a str,
    /// The client's session.
    pub session: Option<&'a str>,
    /// The id of the first attempt's exchange.
    pub call: &'a str,
    /// Who pays.
    pub team: &'a str,
    /// The sub-agent's id; `None` for the main agent.
    pub agent: Option<&'a str>,
    /// The model asked for.
    pub model: Option<&'a str>,
    /// The agent that started this one.
    pub parent_agent: Option<&'a str>,
    /// The trace that the client says it belongs to, 32 hexadecimal digits.
    pub trace: Option<&'a str>,
    /// When, nanoseconds since 1970 (UTC).
    pub at_ns: u64,
}

/// An event of the client's hooks, as far as queries depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// The event's name.
    pub event: &'a str,
    /// The client's session.
    pub session: Option<&'a str>,
    /// The sub-agent it is about.
    pub agent: Option<&'a str>,
    /// What kind of sub-agent.
    pub agent_type: Option<&'a str>,
    /// We denied what it announced.
    pub denied: bool,
}

/// Where an exchange belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The id of its query's first exchange.
    pub query: String,
    /// The query's trace, where its first exchange named one.
    pub trace: Option<String>,
    /// Whether its sub-agent is told apart in the query; so without one.
    pub agent_known: bool,
    /// A query that ended with this beginning: its time was over, or its room was needed.
    pub ended: Option<Query>,
}

/// How an exchange ended, as far as queries depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// An answer that asks for nothing more.
    Final,
    /// An answer that asks for a tool, or to be continued.
    Continues,
    /// A failure that clients repeat.
    Retryable,
    /// A failure that they do not.
    Failed,
}

impl End {
    /// From what the closing says: HTTP status, whether there was an error, stop reason, and
    /// whether the client itself left, which it does not repeat.
    #[must_use]
    pub fn of(status: Option<u16>, error: bool, stop_reason: Option<&str>, left: bool) -> End {
        match (status, error, stop_reason) {
            _ if left => End::Failed,
            (Some(200), false, Some("tool_use" | "pause_turn")) => End::Continues,
            (Some(200), false, Some(_)) => End::Final,
            // A stream that broke off, an error inside one, no answer at all.
            (None | Some(200), _, _) => End::Retryable,
            (Some(401 | 408 | 409 | 429 | 500..), _, _) => End::Retryable,
            _ => End::Failed,
        }
    }
}

/// An exchange that the client put into a trace of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// The exchange's id.
    pub exchange: String,
    /// The trace, 32 hexadecimal digits.
    pub trace: String,
}

/// A sub-agent's part of a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentPart {
    /// The client's id of it.
    pub id: String,
    /// What kind of sub-agent, as the client's hooks say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The agent that started it; absent for the main one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// First opening, nanoseconds since 1970 (UTC).
    pub from_ns: u64,
    /// Last closing.
    pub to_ns: u64,
    /// How many exchanges.
    pub exchanges: u64,
    /// Its last answer asked for a tool, so it goes on.
    #[serde(default)]
    waits: bool,
}

/// One user prompt until its final answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// The first exchange's id: names the query.
    pub first: String,
    /// The client's session, where it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Who pays for its first exchange.
    pub team: String,
    /// First opening, nanoseconds since 1970 (UTC).
    pub from_ns: u64,
    /// Last entry about it.
    pub to_ns: u64,
    /// Exchanges that belong to it.
    pub exchanges: u64,
    /// How many of them run now.
    pub running: u64,
    /// Its sub-agents, in the order they were first seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentPart>,
    /// The trace that the first exchange named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The exchanges that named a trace: [`TRACED_MAX`] at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traced: Vec<Traced>,
    /// How many more there were.
    #[serde(default)]
    pub traced_more: u64,
    /// Bytes of the main agent's last answer.
    #[serde(default)]
    pub answer_bytes: u64,
    /// How the main agent stands; `None` before an answer of its.
    #[serde(default)]
    last: Option<End>,
    /// The model whose answer asked for a tool: the conversation goes on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    goes_on: Option<String>,
    /// The client's hook announced the prompt: it will say when it is answered, too.
    #[serde(default)]
    prompted: bool,
    /// The client's hook said that it is over; `true` where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stopped: Option<bool>,
}

/// How a query ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a final answer.
    Answered,
    /// With an error.
    Failed,
    /// Nothing more was seen of it.
    Left,
}

impl Ended {
    /// The name used in labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Ended::Answered => "answered",
            Ended::Failed => "failed",
            Ended::Left => "left",
        }
    }
}

impl Query {
    fn new(begin: &Begin<'_>) -> Query {
        Query {
            first: begin.exchange.to_owned(),
            session: begin.session.map(str::to_owned),
            team: begin.team.to_owned(),
            from_ns: begin.at_ns,
            to_ns: begin.at_ns,
            exchanges: 0,
            running: 0,
            agents: Vec::new(),
            trace: begin.trace.map(str::to_owned),
            traced: Vec::new(),
            traced_more: 0,
            answer_bytes: 0,
            last: None,
            goes_on: None,
            prompted: false,
            stopped: None,
        }
    }

    fn begin(&mut self, begin: &Begin<'_>) {
        self.exchanges += 1;
        self.running += 1;
        self.to_ns = self.to_ns.max(begin.at_ns);
        if let Some(trace) = begin.trace {
            let traced = Traced { exchange: begin.exchange.to_owned(), trace: trace.to_owned() };
            match self.traced.len() < TRACED_MAX {
                true => self.traced.push(traced),
                false => self.traced_more += 1,
            }
        }
        let Some(agent) = begin.agent else { return };
        let has_room = self.agents.len() < AGENTS_MAX;
        match self.agents.iter_mut().find(|part| part.id == agent) {
            Some(part) => part.exchanges += 1,
            None if has_room => self.agents.push(AgentPart {
                id: agent.to_owned(),
                kind: None,
                parent: begin.parent_agent.map(str::to_owned),
                from_ns: begin.at_ns,
                to_ns: begin.at_ns,
                exchanges: 1,
                waits: false,
            }),
            None => {}
        }
    }

    fn end(&mut self, begin: &Begin<'_>, end: End, (at_ns, answer_bytes): (u64, u64)) {
        self.running = self.running.saturating_sub(1);
        self.from_ns = self.from_ns.min(begin.at_ns);
        self.to_ns = self.to_ns.max(at_ns);
        let Some(agent) = begin.agent else {
            self.main_ended(begin.model, end, answer_bytes);
            return;
        };
        if let Some(part) = self.agents.iter_mut().find(|part| part.id == agent) {
            part.from_ns = part.from_ns.min(begin.at_ns);
            part.to_ns = part.to_ns.max(at_ns);
            part.waits = end == End::Continues;
        }
    }

    /// Clients make calls beside the conversation (a title, a summary), mostly with another model:
    /// those neither end nor hold up what the conversation's own calls decide.
    fn main_ended(&mut self, model: Option<&str>, end: End, answer_bytes: u64) {
        let beside = match (&self.goes_on, self.last, end) {
            (Some(own), ..) => model != Some(own),
            (None, Some(End::Final), End::Retryable | End::Failed) => true,
            (None, ..) => false,
        };
        if beside && end != End::Continues {
            return;
        }
        (self.last, self.answer_bytes) = (Some(end), answer_bytes);
        match end {
            End::Continues => self.goes_on = model.map(str::to_owned),
            End::Final | End::Failed => self.goes_on = None,
            // The same call again.
            End::Retryable => {}
        }
    }

    /// Whether it failed: as the client says, else the main agent's last exchange.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let last = matches!(self.last, Some(End::Retryable | End::Failed));
        self.stopped.unwrap_or(last)
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn ended(&self) -> Ended {
        match self.last {
            _ if self.has_failed() => Ended::Failed,
            Some(End::Final) => Ended::Answered,
            _ if self.stopped.is_some() => Ended::Answered,
            _ => Ended::Left,
        }
    }

    fn is_over(&self, followed: bool) -> bool {
        let last = match self.last {
            _ if self.stopped.is_some() => true,
            _ if self.prompted => false,
            None | Some(End::Retryable) => false,
            Some(End::Continues) => !followed,
            Some(End::Final | End::Failed) => true,
        };
        last && self.running == 0 && !self.agents.iter().any(|agent| agent.waits)
    }

    /// When it counts as left, if nothing more is seen of it.
    fn deadline_ns(&self) -> u64 {
        let tool = self.goes_on.is_some() || self.agents.iter().any(|agent| agent.waits);
        let wait = if tool { TOOL_WAIT_NS } else { RETRY_WAIT_NS };
        // What runs ends by itself: the proxy has its own bounds.
        if self.running > 0 { u64::MAX } else { self.to_ns.saturating_add(wait) }
    }
}

/// The queries that run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Queries {
    /// By a hash of the session, else of the logical call.
    open: HashMap<u128, Query>,
    /// Prompts that the client's hooks announced and that no exchange has begun yet, by session.
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    prompts: HashMap<u128, u64>,
    /// What kind of sub-agent each is that has made no exchange yet.
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    kinds: HashMap<u128, String>,
}

fn session_key(session: &str) -> u128 {
    xxh3_128_with_seed(session.as_bytes(), SESSION_SEED)
}

fn key(begin: &Begin<'_>) -> u128 {
    match begin.session {
        Some(session) => session_key(session),
        None => xxh3_128_with_seed(begin.call.as_bytes(), CALL_SEED),
    }
}

/// Part the keys of sessions and calls from each other.
const SESSION_SEED: u64 = 1;
const CALL_SEED: u64 = 2;

impl Queries {
    /// An exchange opens.
    pub fn begin(&mut self, begin: &Begin<'_>) -> Place {
        let key = key(begin);
        let over = |query: &Query| query.deadline_ns() <= begin.at_ns;
        let ended = match self.open.get(&key) {
            // By the ledger's own time, so that reading it again ends it at the same place.
            Some(query) if over(query) => self.open.remove(&key),
            None if self.open.len() >= QUERIES_MAX => self.evict(),
            _ => None,
        };
        let query = self.open.entry(key).or_insert_with(|| Query::new(begin));
        if query.exchanges == 0
            && let Some(at_ns) = self.prompts.remove(&key)
            && at_ns.saturating_add(RETRY_WAIT_NS) > begin.at_ns
        {
            (query.prompted, query.from_ns) = (true, query.from_ns.min(at_ns));
        }
        query.begin(begin);
        if let Some(agent) = begin.agent
            && let Some(kind) = self.kinds.remove(&session_key(agent))
            && let Some(part) = query.agents.iter_mut().find(|part| part.id == agent)
        {
            part.kind = Some(kind);
        }
        let agent_known = begin.agent.is_none_or(|id| query.agents.iter().any(|a| a.id == id));
        Place { query: query.first.clone(), trace: query.trace.clone(), agent_known, ended }
    }

    /// An exchange of the query `first` closed at `at_ns` with an answer of so many bytes. Gives
    /// the query if it ends with it. By now `begin` may know an earlier moment than when it opened:
    /// an exchange is opened once its request is read.
    pub fn end(
        &mut self,
        (begin, first): (&Begin<'_>, &str),
        end: End,
        (at_ns, answer_bytes): (u64, u64),
    ) -> Option<Query> {
        let key = key(begin);
        let query = self.open.get_mut(&key).filter(|query| query.first == first)?;
        query.end(begin, end, (at_ns, answer_bytes));
        let over = query.is_over(begin.session.is_some());
        if over { self.open.remove(&key) } else { None }
    }

    /// What a hook says of a query. Gives the one that ends with it.
    pub fn hook(&mut self, said: &Said<'_>, at_ns: u64) -> Option<Query> {
        let session = said.session?;
        if let (Some(agent), Some(kind)) = (said.agent, said.agent_type) {
            self.agent_is(session, agent, kind);
        }
        match said.event {
            "UserPromptSubmit" if !said.denied => self.prompt(session, at_ns),
            "Stop" if said.agent.is_none() => self.stop(session, false, at_ns),
            "StopFailure" if said.agent.is_none() => self.stop(session, true, at_ns),
            "SessionEnd" => self.session_over(session),
            _ => None,
        }
    }

    /// A hook says what kind of sub-agent one is: before its first exchange, mostly.
    fn agent_is(&mut self, session: &str, agent: &str, kind: &str) {
        let query = self.open.get_mut(&session_key(session));
        let parts = query.map_or(&mut [][..], |query| &mut query.agents);
        match parts.iter_mut().find(|part| part.id == agent) {
            Some(part) => {
                part.kind.get_or_insert_with(|| kind.to_owned());
            }
            None => {
                if self.kinds.len() >= QUERIES_MAX {
                    self.kinds.clear();
                }
                self.kinds.insert(session_key(agent), kind.to_owned());
            }
        }
    }

    /// A hook says that the user gave a prompt. Gives the query that was before it, if nothing of
    /// that runs any more.
    pub fn prompt(&mut self, session: &str, at_ns: u64) -> Option<Query> {
        let key = session_key(session);
        let quiet = self.open.get(&key).is_some_and(|query| query.running == 0);
        let before = if quiet { self.open.remove(&key) } else { None };
        if self.prompts.len() >= QUERIES_MAX {
            self.prompts.clear();
        }
        if !self.open.contains_key(&key) {
            self.prompts.insert(key, at_ns);
        }
        before
    }

    /// A hook says that the prompt is answered, or failed. Gives the query if it ends with it.
    pub fn stop(&mut self, session: &str, failed: bool, at_ns: u64) -> Option<Query> {
        let key = session_key(session);
        let query = self.open.get_mut(&key)?;
        query.stopped = Some(failed);
        query.to_ns = query.to_ns.max(at_ns);
        if query.is_over(true) { self.open.remove(&key) } else { None }
    }

    /// A hook says that the session is over.
    pub fn session_over(&mut self, session: &str) -> Option<Query> {
        let key = session_key(session);
        self.prompts.remove(&key);
        let quiet = self.open.get(&key).is_some_and(|query| query.running == 0);
        if quiet { self.open.remove(&key) } else { None }
    }

    /// Exchanges of the query that runs in a session.
    #[must_use]
    pub fn exchanges(&self, session: &str) -> Option<u64> {
        self.open.get(&session_key(session)).map(|query| query.exchanges)
    }

    /// The queries that nothing more was seen of in time: at most `most`, the oldest first.
    pub fn expire(&mut self, now_ns: u64, most: usize) -> Vec<Query> {
        let mut left: Vec<(u64, String, u128)> = self
            .open
            .iter()
            .filter(|(_, query)| query.deadline_ns() <= now_ns)
            .map(|(key, query)| (query.from_ns, query.first.clone(), *key))
            .collect();
        left.sort_unstable();
        left.truncate(most);
        left.into_iter().filter_map(|(_, _, key)| self.open.remove(&key)).collect()
    }

    fn evict(&mut self) -> Option<Query> {
        let oldest = *self.open.iter().min_by_key(|(_, q)| (q.to_ns, &q.first))?.0;
        self.open.remove(&oldest)
    }
}

#[cfg(test)]
mod tests;
