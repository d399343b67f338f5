//! One session as a timeline: its turns, in each turn the calls, under each call the tools that its
//! answer asked for, under a tool the sub-agent that it started.
//!
//! The builder is fed with exchanges first, then with what hooks and rules say, then with tool
//! calls: by then it is known which turns are over. What is listed has bounds; what is added up has
//! none: sums over turns and over agents are those over exchanges.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde_json::value::RawValue;

use super::exchange::Exchange;
use super::session::{Figures, Session, SessionFacts};
use super::tool::{Judged, ToolCall};
use crate::agent::calls::TOOL_WAIT_NS;
use crate::agent::query::{Ended, Query};
use crate::agent::tool_use::Gap;

mod branches;
mod family;
mod json;
mod text;
mod tree;

/// The most exchanges of one session that are listed: its newest.
pub const TIMELINE_ROWS_MAX: usize = 10_000;
/// The most turns that are told apart; older ones become one sum.
const TURNS_MAX: usize = 10_000;
/// The most tool calls that are listed.
const TOOLS_MAX: usize = 20_000;
/// Starts and compactions of one session that are listed.
const MARKS_MAX: usize = 100;
/// The most sub-agents that are told apart; what more there are share one sum.
const AGENTS_MAX: usize = 10_000;
/// The name of that sum.
const OTHER_AGENTS: &str = "others";

/// One call of a session.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// The exchange's id.
    pub id: String,
    /// When it was opened, nanoseconds since 1970 (UTC).
    pub opened_at: i64,
    /// Its place in the ledger.
    pub sequence: u64,
    /// How long it took, in microseconds.
    pub duration_us: Option<u64>,
    /// The model that answered, else the one asked for.
    pub model: Option<String>,
    /// The sub-agent; `None` for the main agent.
    pub agent: Option<String>,
    /// It has not closed yet.
    pub is_open: bool,
    /// What went wrong, or that it is still open.
    pub problem: Option<String>,
    /// Its tokens and amount.
    pub figures: Figures,
    /// The tools that its answer asked for.
    pub tools: Vec<Judged>,
    /// The exchange as a line of JSON.
    line: Box<RawValue>,
    /// The number of its turn.
    turn: u64,
}

/// One prompt until its final answer.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// Its number in the session; 0 for what is in no turn.
    pub number: u64,
    /// The id of its first exchange; `None` for what is in no turn.
    pub first: Option<String>,
    /// When it began: the prompt where a hook told of it, else the first call.
    pub from: i64,
    /// The last that was seen of it.
    pub to: i64,
    /// How it ended; `None` while it goes on.
    pub ended: Option<Ended>,
    /// What its exchanges add up to, those that are not listed too.
    pub figures: Figures,
    /// Its calls, in order.
    pub calls: Vec<Call>,
    /// Tools whose results it sent and that no answer seen here asked for.
    pub unasked: Vec<Judged>,
}

/// An agent's part in the session.
#[derive(Clone, Debug, Default)]
pub struct Agent {
    /// The client's id of it; `None` for the main agent.
    pub id: Option<String>,
    /// What kind it is, as hooks say.
    pub agent_type: Option<String>,
    /// The agent that started it.
    pub parent: Option<String>,
    /// When it started, nanoseconds since 1970 (UTC).
    pub from: i64,
    /// When its last call ended.
    pub to: i64,
    /// What its exchanges add up to.
    pub figures: Figures,
}

/// Something that happened to the session as a whole, as hooks say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When, nanoseconds since 1970 (UTC).
    pub at: i64,
    /// The event: `SessionStart`, `PostCompact`, `SessionEnd`.
    pub event: String,
    /// Why, in the client's word: `resume`, `auto`, …
    pub reason: Option<String>,
}

/// What there is and is not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Turns, and what they add up to.
    pub turns: u64,
    /// What those turns add up to.
    pub figures: Figures,
    /// Calls, those of these turns too.
    pub calls: u64,
    /// Tool calls.
    pub tools: u64,
}

/// A finished timeline.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// Its sums.
    pub session: Session,
    /// Permission modes, in the order they were first seen.
    pub modes: Vec<String>,
    /// Its starts, compactions and ends, in order.
    pub marks: Vec<Mark>,
    /// The turns in order; what is in no turn comes last.
    pub turns: Vec<Turn>,
    /// The agents in the order they were first seen.
    pub agents: Vec<Agent>,
    /// Gaps of tool calls, each with how many have it.
    pub gaps: BTreeMap<Gap, u64>,
    /// Tool calls that only hooks speak of.
    pub unverified: Vec<Judged>,
    /// What is not listed.
    pub left_out: LeftOut,
}

/// A timeline while it is put together.
#[derive(Debug, Default)]
pub struct TimelineBuilder {
    turns: BTreeMap<u64, Turn>,
    numbers: HashMap<Option<String>, u64>,
    last_number: u64,
    calls: VecDeque<Call>,
    agents: Vec<Agent>,
    agent_places: HashMap<Option<String>, usize>,
    tools: HashMap<String, Vec<Judged>>,
    unasked: Vec<Judged>,
    listed: usize,
    /// The rules that denied or refused, by tool call or exchange.
    rules: HashMap<String, String>,
    /// Nothing more comes of a tool call that was last seen before this.
    quiet_ns: u64,
    /// An exchange that cannot be written as JSON.
    failed: Option<serde_json::Error>,
    timeline: Timeline,
}

impl TimelineBuilder {
    /// A timeline as of `now_ns`.
    #[must_use]
    pub fn new(session: Session, now_ns: u64) -> TimelineBuilder {
        let quiet_ns = now_ns.saturating_sub(TOOL_WAIT_NS);
        let timeline = Timeline { session, ..Timeline::default() };
        TimelineBuilder { quiet_ns, timeline, ..TimelineBuilder::default() }
    }

    /// Counts an exchange. Those of one instance come in the order of the ledger.
    pub fn exchange(&mut self, exchange: &Exchange<'_>, turn: Option<&str>) {
        let facts = SessionFacts::of(exchange);
        let number = self.number(turn.map(str::to_owned), exchange.opened_at);
        let ended = exchange.closed_at.unwrap_or(exchange.opened_at);
        if let Some(turn) = self.turns.get_mut(&number) {
            turn.figures.add(&facts);
            turn.from = turn.from.min(exchange.opened_at);
            turn.to = turn.to.max(ended);
        }
        let agent = self.agent(exchange.agent, exchange.opened_at);
        agent.figures.add(&facts);
        agent.from = agent.from.min(exchange.opened_at);
        agent.to = agent.to.max(ended);
        if agent.parent.is_none() {
            agent.parent = exchange.parent_agent.map(str::to_owned);
        }
        let mut figures = Figures::default();
        figures.add(&facts);
        let line = match exchange.json().and_then(RawValue::from_string) {
            Ok(line) => line,
            Err(error) => {
                self.failed = Some(error);
                return;
            }
        };
        self.calls.push_back(Call {
            id: exchange.id.to_owned(),
            opened_at: exchange.opened_at,
            sequence: exchange.sequence,
            duration_us: exchange.duration_us,
            model: exchange.model.map(str::to_owned),
            agent: exchange.agent.map(str::to_owned),
            is_open: exchange.closed_sequence.is_none(),
            problem: problem(exchange),
            figures,
            tools: Vec::new(),
            line,
            turn: number,
        });
        if self.calls.len() > TIMELINE_ROWS_MAX {
            self.calls.pop_front();
            self.timeline.left_out.calls += 1;
        }
    }

    /// The number of a turn, which is made where it is new.
    fn number(&mut self, first: Option<String>, at: i64) -> u64 {
        if let Some(number) = self.numbers.get(&first) {
            return *number;
        }
        if self.turns.len() >= TURNS_MAX
            && let Some((_, oldest)) = self.turns.pop_first()
        {
            self.numbers.remove(&oldest.first);
            self.timeline.left_out.turns += 1;
            self.timeline.left_out.figures.merge(&oldest.figures);
        }
        self.last_number += 1;
        let turn = Turn { first: first.clone(), from: at, to: at, ..Turn::default() };
        self.turns.insert(self.last_number, turn);
        self.numbers.insert(first, self.last_number);
        self.last_number
    }

    fn agent(&mut self, id: Option<&str>, at: i64) -> &mut Agent {
        let full = self.agents.len() >= AGENTS_MAX;
        let known = |id: Option<&str>| self.agent_places.get(&id.map(str::to_owned)).copied();
        let id = match known(id) {
            None if full => Some(OTHER_AGENTS),
            _ => id,
        };
        let place = known(id).unwrap_or(self.agents.len());
        if place == self.agents.len() {
            let id = id.map(str::to_owned);
            self.agent_places.insert(id.clone(), place);
            self.agents.push(Agent { id, from: at, to: at, ..Agent::default() });
        }
        &mut self.agents[place]
    }

    /// A turn ended.
    pub fn over(&mut self, query: &Query) {
        self.quiet_ns = self.quiet_ns.max(query.to_ns);
        let first = Some(query.first.clone());
        if let Some(turn) = self.numbers.get(&first).and_then(|number| self.turns.get_mut(number)) {
            turn.from = turn.from.min(moment(query.from_ns));
            turn.to = turn.to.max(moment(query.to_ns));
            turn.ended = Some(query.ended());
        }
    }

    /// The session is over, as a hook says.
    pub fn session_over(&mut self, at_ns: u64) {
        self.quiet_ns = self.quiet_ns.max(at_ns);
    }

    /// A permission mode that held, in the order they were first seen.
    pub fn mode(&mut self, mode: &str) {
        if !self.timeline.modes.iter().any(|known| known == mode) {
            self.timeline.modes.push(mode.to_owned());
        }
    }

    /// It started, was compacted, or ended.
    pub fn mark(&mut self, mark: Mark) {
        if self.timeline.marks.len() < MARKS_MAX {
            self.timeline.marks.push(mark);
        }
    }

    /// What hooks say of an agent. One without an exchange is no part of the sums.
    pub fn agent_told(&mut self, id: Option<&str>, kind: Option<&str>, started_at: Option<i64>) {
        let place = self.agent_places.get(&id.map(str::to_owned)).copied();
        if let Some(agent) = place.and_then(|place| self.agents.get_mut(place)) {
            agent.agent_type = agent.agent_type.take().or_else(|| kind.map(str::to_owned));
            agent.from = agent.from.min(started_at.unwrap_or(agent.from));
        }
    }

    /// A rule denied a tool call, or refused an exchange.
    pub fn rule(&mut self, id: &str, rule: &str, layer: &str) {
        if self.rules.len() < TOOLS_MAX {
            self.rules.insert(id.to_owned(), format!("{rule} ({layer})"));
        }
    }

    /// Counts a tool call.
    pub fn tool(&mut self, mut call: ToolCall) {
        call.rule = self.rules.get(&call.id).cloned();
        let over = call.last_ns() <= self.quiet_ns;
        let judged = Judged::new(call, over);
        self.timeline.session.tools.add(judged.state);
        let told_only = judged.call.is_told_only();
        // What only hooks speak of has its own list: its gaps are that nothing else does.
        for gap in judged.gaps.iter().filter(|_| !told_only) {
            *self.timeline.gaps.entry(*gap).or_default() += 1;
        }
        if self.listed >= TOOLS_MAX {
            self.timeline.left_out.tools += 1;
            return;
        }
        self.listed += 1;
        match &judged.call.asked_exchange {
            Some(exchange) => self.tools.entry(exchange.clone()).or_default().push(judged),
            None if told_only => self.timeline.unverified.push(judged),
            None => self.unasked.push(judged),
        }
    }

    /// The timeline.
    pub fn finish(mut self) -> Result<Timeline, serde_json::Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let by_place = |tools: &mut Vec<Judged>| tools.sort_by_key(|tool| tool.call.sequence);
        let mut places: HashMap<String, u64> = HashMap::new();
        let mut calls: Vec<Call> = self.calls.into();
        calls.sort_by_key(|call| (call.opened_at, call.sequence));
        for mut call in calls {
            let Some(turn) = self.turns.get_mut(&call.turn) else {
                self.timeline.left_out.calls += 1;
                continue;
            };
            call.tools = self.tools.remove(&call.id).unwrap_or_default();
            if let (Some(problem), Some(rule)) = (&mut call.problem, self.rules.get(&call.id)) {
                problem.push_str(": ");
                problem.push_str(rule);
            }
            by_place(&mut call.tools);
            places.insert(call.id.clone(), call.turn);
            turn.calls.push(call);
        }
        // What is left was asked for by calls that are not listed.
        let left: usize = self.tools.values().map(Vec::len).sum();
        self.timeline.left_out.tools += left as u64;
        by_place(&mut self.unasked);
        for judged in self.unasked {
            let exchange = judged.call.returned_exchange.as_ref();
            let turn = exchange.and_then(|id| places.get(id));
            match turn.and_then(|number| self.turns.get_mut(number)) {
                Some(turn) => turn.unasked.push(judged),
                None => self.timeline.left_out.tools += 1,
            }
        }
        by_place(&mut self.timeline.unverified);
        let mut turns: Vec<Turn> = self.turns.into_values().collect();
        turns.sort_by_key(|turn| (turn.first.is_none(), turn.from));
        let earlier = self.timeline.left_out.turns;
        let agents = family::by_id(&self.agents);
        for (turn, number) in turns.iter_mut().zip(earlier + 1..) {
            turn.number = if turn.first.is_none() { 0 } else { number };
            family::link(turn, &agents);
        }
        Ok(Timeline { turns, agents: self.agents, ..self.timeline })
    }
}

fn moment(at_ns: u64) -> i64 {
    i64::try_from(at_ns).unwrap_or(i64::MAX)
}

/// What went wrong with an exchange, in a word or two.
fn problem(exchange: &Exchange<'_>) -> Option<String> {
    let Some(outcome) = exchange.outcome else { return Some("open".to_owned()) };
    let named = exchange.error_class.or(exchange.error_type);
    let status = exchange.status.filter(|status| *status >= 400);
    if outcome == "completed" && named.is_none() && status.is_none() {
        return None;
    }
    let outcome = (outcome != "completed").then_some(outcome);
    let status = status.map(|status| status.to_string());
    let words = [outcome, status.as_deref(), named];
    Some(words.into_iter().flatten().collect::<Vec<_>>().join(" "))
}
