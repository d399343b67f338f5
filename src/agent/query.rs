//! Queries, inferred from the wire: one user prompt until its final answer.
//!
//! A client sends a prompt, runs the tools that the answer asks for, sends their results, and so on
//! until an answer asks for none. All these exchanges carry one session id; sub-agents' exchanges
//! carry an agent id beside it. So a query begins with an exchange in a session that has none
//! running, and ends when the main agent's answer is final and nothing else of the session runs.
//! A client that sends no session id cannot be followed from call to call: there, each logical call
//! (with its repetitions) is a query of its own.
//!
//! Everything here follows from the ledger's entries alone, so reading them again gives the same
//! queries.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// Queries followed at the same time; beyond that the one that was silent longest ends.
pub const QUERIES_MAX: usize = 10_000;
/// How long a client may run a tool before its query counts as left.
pub const TOOL_WAIT_NS: u64 = 30 * 60 * 1_000_000_000;
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
    /// The agent that started this one.
    pub parent_agent: Option<&'a str>,
    /// The trace that the client says it belongs to, 32 hexadecimal digits.
    pub trace: Option<&'a str>,
    /// When, nanoseconds since 1970 (UTC).
    pub at_ns: u64,
}

/// Where an exchange belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The id of its query's first exchange.
    pub query: String,
    /// The query's trace, where its first exchange named one.
    pub trace: Option<String>,
    /// A query that had to end to make room.
    pub evicted: Option<Query>,
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
    /// From what the closing says. `status` is the HTTP status, `error` an error type.
    #[must_use]
    pub fn of(status: Option<u16>, error: bool, stop_reason: Option<&str>) -> End {
        match (status, error, stop_reason) {
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
    /// The agent that started it; absent for the main one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// First opening, nanoseconds since 1970 (UTC).
    pub from_ns: u64,
    /// Last closing.
    pub to_ns: u64,
    /// How many exchanges.
    pub exchanges: u64,
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
    /// The main agent's last ending; `None` before there is one.
    #[serde(default)]
    last: Option<End>,
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
                parent: begin.parent_agent.map(str::to_owned),
                from_ns: begin.at_ns,
                to_ns: begin.at_ns,
                exchanges: 1,
            }),
            None => {}
        }
    }

    fn end(&mut self, begin: &Begin<'_>, end: End, (at_ns, answer_bytes): (u64, u64)) {
        self.running = self.running.saturating_sub(1);
        self.from_ns = self.from_ns.min(begin.at_ns);
        self.to_ns = self.to_ns.max(at_ns);
        let Some(agent) = begin.agent else {
            (self.last, self.answer_bytes) = (Some(end), answer_bytes);
            return;
        };
        if let Some(part) = self.agents.iter_mut().find(|part| part.id == agent) {
            part.from_ns = part.from_ns.min(begin.at_ns);
            part.to_ns = part.to_ns.max(at_ns);
        }
    }

    /// Whether the main agent's last exchange failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(self.last, Some(End::Retryable | End::Failed))
    }

    fn is_over(&self, followed: bool) -> bool {
        let last = match self.last {
            None | Some(End::Retryable) => false,
            Some(End::Continues) => !followed,
            Some(End::Final | End::Failed) => true,
        };
        last && self.running == 0
    }

    /// When it counts as left, if nothing more is seen of it.
    fn deadline_ns(&self) -> u64 {
        let wait = if self.last == Some(End::Continues) { TOOL_WAIT_NS } else { RETRY_WAIT_NS };
        // What runs ends by itself: the proxy has its own bounds.
        if self.running > 0 { u64::MAX } else { self.to_ns.saturating_add(wait) }
    }
}

/// The queries that run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Queries {
    /// By session, else by logical call.
    open: HashMap<String, Query>,
}

fn key(begin: &Begin<'_>) -> String {
    match begin.session {
        Some(session) => format!("s:{session}"),
        None => format!("c:{}", begin.call),
    }
}

impl Queries {
    /// An exchange opens.
    pub fn begin(&mut self, begin: &Begin<'_>) -> Place {
        let key = key(begin);
        let evicted = match self.open.contains_key(&key) {
            false if self.open.len() >= QUERIES_MAX => self.evict(),
            _ => None,
        };
        let query = self.open.entry(key).or_insert_with(|| Query::new(begin));
        query.begin(begin);
        Place { query: query.first.clone(), trace: query.trace.clone(), evicted }
    }

    /// An exchange that began as `begin` closed at `at_ns` with an answer of so many bytes. Gives
    /// the query that ends with it. By now `begin` may know an earlier moment than when it opened:
    /// an exchange is opened once its request is read.
    pub fn end(
        &mut self,
        begin: &Begin<'_>,
        end: End,
        (at_ns, answer_bytes): (u64, u64),
    ) -> Option<Query> {
        let key = key(begin);
        let query = self.open.get_mut(&key)?;
        query.end(begin, end, (at_ns, answer_bytes));
        let over = query.is_over(begin.session.is_some());
        if over { self.open.remove(&key) } else { None }
    }

    /// The queries that nothing more was seen of in time.
    pub fn expire(&mut self, now_ns: u64) -> Vec<Query> {
        let mut left: Vec<Query> = self
            .open
            .extract_if(|_, query| query.deadline_ns() <= now_ns)
            .map(|(_, q)| q)
            .collect();
        left.sort_by(|a, b| (a.from_ns, &a.first).cmp(&(b.from_ns, &b.first)));
        left
    }

    /// How many run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn evict(&mut self) -> Option<Query> {
        let oldest = self.open.iter().min_by_key(|(_, query)| query.to_ns)?.0.clone();
        self.open.remove(&oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn begin<'a>(exchange: &'a str, agent: Option<&'a str>, at_ns: u64) -> Begin<'a> {
        let session = Some("session");
        let (call, team) = (exchange, "search");
        Begin { exchange, session, call, team, agent, parent_agent: None, trace: None, at_ns }
    }

    #[test]
    fn a_query_goes_from_the_prompt_to_the_final_answer() {
        let mut queries = Queries::default();
        let first = begin("a", None, S);
        assert_eq!(queries.begin(&first).query, "a");
        assert_eq!(queries.end(&first, End::Continues, (2 * S, 9)), None);
        // The tool runs a sub-agent, which answers finally: that is not the query's end.
        let sub = begin("b", Some("agent-1"), 3 * S);
        assert_eq!(queries.begin(&sub).query, "a");
        assert_eq!(queries.end(&sub, End::Final, (4 * S, 9)), None);
        let last = begin("c", None, 5 * S);
        assert_eq!(queries.begin(&last).query, "a");
        let query = queries.end(&last, End::Final, (6 * S, 9)).unwrap();
        assert_eq!((query.from_ns, query.to_ns, query.exchanges), (S, 6 * S, 3));
        assert_eq!((query.agents[0].from_ns, query.agents[0].to_ns), (3 * S, 4 * S));
        assert!(queries.is_empty() && !query.has_failed());
        // The next prompt of the session is another query.
        assert_eq!(queries.begin(&begin("d", None, 7 * S)).query, "d");
    }

    #[test]
    fn what_runs_beside_the_final_answer_belongs_to_the_query() {
        let mut queries = Queries::default();
        let (main, side) = (begin("a", None, S), begin("b", None, S));
        queries.begin(&main);
        queries.begin(&side);
        assert_eq!(queries.end(&side, End::Final, (2 * S, 9)), None);
        assert_eq!(queries.end(&main, End::Final, (3 * S, 9)).unwrap().exchanges, 2);
    }

    #[test]
    fn what_is_left_ends_after_its_wait() {
        let mut queries = Queries::default();
        let one = begin("a", None, S);
        queries.begin(&one);
        assert!(queries.expire(u64::MAX - 1).is_empty(), "it runs");
        queries.end(&one, End::Retryable, (2 * S, 9));
        assert!(queries.expire(2 * S + RETRY_WAIT_NS - 1).is_empty());
        let left = queries.expire(2 * S + RETRY_WAIT_NS);
        assert!(left.len() == 1 && left[0].has_failed());
    }

    #[test]
    fn without_a_session_each_call_is_one_and_its_repetitions_belong_to_it() {
        let mut queries = Queries::default();
        let first = Begin { session: None, ..begin("a", None, S) };
        let again = Begin { session: None, call: "a", ..begin("b", None, 2 * S) };
        queries.begin(&first);
        assert_eq!(queries.end(&first, End::Retryable, (S, 9)), None);
        assert_eq!(queries.begin(&again).query, "a");
        assert_eq!(queries.end(&again, End::Continues, (3 * S, 9)).unwrap().exchanges, 2);
    }

    #[test]
    fn the_number_of_queries_has_a_bound() {
        let mut queries = Queries::default();
        let names: Vec<String> = (0..=QUERIES_MAX).map(|n| format!("e{n:05}")).collect();
        let mut evicted = None;
        for (at, name) in names.iter().enumerate() {
            let one = Begin { session: Some(name), ..begin(name, None, at as u64) };
            evicted = queries.begin(&one).evicted;
        }
        assert_eq!((queries.len(), evicted.unwrap().first), (QUERIES_MAX, names[0].clone()));
    }

    #[test]
    fn endings_are_told_apart() {
        assert_eq!(End::of(Some(200), false, Some("end_turn")), End::Final);
        assert_eq!(End::of(Some(200), false, Some("tool_use")), End::Continues);
        assert_eq!(End::of(Some(200), true, None), End::Retryable);
        assert_eq!(End::of(Some(200), false, None), End::Retryable);
        assert_eq!(End::of(Some(529), true, None), End::Retryable);
        assert_eq!(End::of(Some(400), true, None), End::Failed);
        assert_eq!(End::of(None, false, None), End::Retryable);
    }
}
