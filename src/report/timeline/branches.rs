//! A turn as a tree: calls, below them tools, below a tool the sub-agent that it started.

use std::collections::HashSet;

use super::tree::Node;
use super::{Agent, Call, Turn};
use crate::agent::query::Ended;
use crate::report::period::readable;
use crate::report::session::Figures;
use crate::report::text::{NOTHING, lasted, printable, size, thousands};
use crate::report::tool::Judged;

/// Widths of the figures: time, tokens, amount.
const TIME: usize = 11;
const TOKENS: usize = 11;
const USD: usize = 14;
/// Decimals of amounts.
const DECIMALS: u32 = 6;
/// The longest name of a tool that others are lined up with.
const NAME_COLUMNS_MAX: usize = 24;

/// The figures of a line.
pub(super) fn columns(time: &str, figures: &Figures) -> String {
    columns_of(time, &thousands(figures.tokens), &figures.amount(DECIMALS))
}

/// Texts in the columns of figures.
pub(super) fn columns_of(time: &str, tokens: &str, usd: &str) -> String {
    format!("{time:>TIME$}{tokens:>TOKENS$}{usd:>USD$}")
}

/// So many calls, in words.
pub(super) fn calls_words(count: u64) -> String {
    if count == 1 { "1 call".to_owned() } else { format!("{} calls", thousands(count)) }
}

impl Agent {
    /// What it is called. Its id stands in a column of its own where there is one.
    pub(super) fn name(&self, ids: bool) -> String {
        let kind = self.agent_type.as_deref().map(printable);
        match (self.id.as_deref(), kind) {
            (None, None) => "main agent".to_owned(),
            (None, Some(kind)) => format!("main agent ({kind})"),
            (Some(_), Some(kind)) if ids => kind.into_owned(),
            (Some(_), None) if ids => "sub-agent".to_owned(),
            (Some(id), Some(kind)) => format!("{kind} {}", printable(id)),
            (Some(id), None) => format!("sub-agent {}", printable(id)),
        }
    }

    /// How long it was at work.
    pub(super) fn time(&self) -> String {
        lasted(micros(self.from, self.to))
    }
}

fn micros(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from) / 1000).unwrap_or(0)
}

/// A turn. `ids`: ids have a column.
pub(super) fn turn(turn: &Turn, agents: &[Agent], ids: bool) -> Node {
    let left = match &turn.first {
        Some(_) => {
            let outcome = turn.ended.map_or("running", Ended::name);
            format!("turn {}  {}  {outcome}", turn.number, readable(turn.from))
        }
        None => "beside the turns".to_owned(),
    };
    let mut branches = Branches { turn, agents, ids, shown: HashSet::new() };
    let mut children = branches.calls(None);
    // Agents that no tool call is known to have started.
    for call in &turn.calls {
        children.extend(call.agent.as_deref().and_then(|id| branches.agent(id)));
    }
    let listed = turn.calls.len() as u64;
    let missing = turn.figures.exchanges.saturating_sub(listed);
    if missing > 0 {
        let left = format!("{} before these are not listed", calls_words(missing));
        children.insert(0, Node { left, ..Node::default() });
    }
    let named = name_columns(&turn.unasked);
    children.extend(turn.unasked.iter().map(|tool| branches.tool(tool, named)));
    let time = turn.first.as_ref().map(|_| lasted(micros(turn.from, turn.to)));
    let right = columns(&time.unwrap_or_default(), &turn.figures);
    Node { left, right, id: String::new(), children }
}

/// The tools of one call are lined up.
fn name_columns(tools: &[Judged]) -> usize {
    let names = tools.iter().map(|tool| tool_name(tool).chars().count());
    names.filter(|columns| *columns <= NAME_COLUMNS_MAX).max().unwrap_or(0)
}

fn tool_name(tool: &Judged) -> String {
    let name = printable(tool.call.tool.as_deref().unwrap_or("unnamed tool"));
    match &tool.call.skill {
        Some(skill) => format!("{name} {}", printable(skill)),
        None => name.into_owned(),
    }
}

struct Branches<'t> {
    turn: &'t Turn,
    agents: &'t [Agent],
    ids: bool,
    /// Each agent is shown once, whatever the headers of its calls say.
    shown: HashSet<&'t str>,
}

impl<'t> Branches<'t> {
    /// The calls of an agent.
    fn calls(&mut self, agent: Option<&str>) -> Vec<Node> {
        let turn = self.turn;
        let own = turn.calls.iter().filter(|call| call.agent.as_deref() == agent);
        own.map(|call| self.call(call)).collect()
    }

    fn call(&mut self, call: &'t Call) -> Node {
        let opened = readable(call.opened_at);
        let time = opened.get(11..).unwrap_or(&opened);
        let model = printable(call.model.as_deref().unwrap_or(NOTHING));
        let problem = call.problem.as_deref().map(|problem| format!("  {}", printable(problem)));
        let lasted = call.duration_us.map_or_else(|| NOTHING.to_owned(), lasted);
        let named = name_columns(&call.tools);
        let right = match call.is_open {
            true => columns_of(NOTHING, NOTHING, NOTHING),
            false => columns(&lasted, &call.figures),
        };
        Node {
            left: format!("{time}  {model}{}", problem.unwrap_or_default()),
            right,
            id: printable(&call.id).into_owned(),
            children: call.tools.iter().map(|tool| self.tool(tool, named)).collect(),
        }
    }

    fn tool(&mut self, tool: &'t Judged, named: usize) -> Node {
        let seen = &tool.call.seen;
        let input = seen.asked.or(seen.announced).map(|(_, input)| size(input.bytes));
        let output = seen.returned.map(|sent| size(sent.output.bytes));
        let sizes = match (input, output) {
            (None, None) => String::new(),
            (input, output) => {
                let known = |size: Option<String>| size.unwrap_or_else(|| NOTHING.to_owned());
                format!("{} → {}", known(input), known(output))
            }
        };
        let took = seen.duration_ns().map(|ns| lasted(ns / 1000)).unwrap_or_default();
        let rest = TOKENS + USD;
        let started = tool.starts.as_deref().and_then(|agent| self.agent(agent));
        Node {
            left: format!("{:<named$}  {}", tool_name(tool), tool.words()),
            right: format!("{took:>TIME$}{sizes:>rest$}"),
            id: printable(&tool.call.id).into_owned(),
            children: started.into_iter().collect(),
        }
    }

    /// A sub-agent with its calls in this turn; `None` where it is shown already.
    fn agent(&mut self, id: &str) -> Option<Node> {
        let turn = self.turn;
        let id = turn.calls.iter().find_map(|call| call.agent.as_deref().filter(|a| *a == id))?;
        if !self.shown.insert(id) {
            return None;
        }
        let own = || turn.calls.iter().filter(|call| call.agent.as_deref() == Some(id));
        let mut figures = Figures::default();
        own().for_each(|call| figures.merge(&call.figures));
        let known = self.agents.iter().find(|agent| agent.id.as_deref() == Some(id));
        let unknown = Agent { id: Some(id.to_owned()), ..Agent::default() };
        let agent = known.unwrap_or(&unknown);
        Some(Node {
            left: agent.name(self.ids),
            right: columns(&agent.time(), &figures),
            id: printable(id).into_owned(),
            children: self.calls(Some(id)),
        })
    }
}
