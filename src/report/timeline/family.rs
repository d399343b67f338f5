//! Which tool call started which sub-agent. Nothing says so in so many words: an agent runs while
//! the tool call that started it does, and was started by the agent that called the tool. Where
//! more than one call fits, agents that only one fits are taken first; what stays open is left so.

use std::collections::HashMap;

use super::{Agent, Turn};
use crate::agent::tool_use::{State, ToolKind};
use crate::report::tool::Judged;

/// The tools that start sub-agents, by their names now and before.
const STARTERS: [&str; 2] = ["Agent", "Task"];
/// Sub-agents or such tools of one turn that are put together; where there are more, none are.
const FAMILY_MAX: usize = 256;

/// Agents by their id.
pub(super) fn by_id(agents: &[Agent]) -> HashMap<&str, &Agent> {
    agents.iter().filter_map(|agent| Some((agent.id.as_deref()?, agent))).collect()
}

/// A tool call that may have started an agent.
struct Starter {
    /// Its places: the call, the tool in it.
    at: (usize, usize),
    caller: Option<String>,
    from: i64,
    to: i64,
}

impl Starter {
    fn new(at: (usize, usize), judged: &Judged) -> Option<Starter> {
        let (call, seen) = (&judged.call, &judged.call.seen);
        let starts = call.tool.as_deref().is_some_and(|tool| STARTERS.contains(&tool));
        let ran = !matches!(judged.state, Some(State::Denied | State::NotExecuted));
        if !starts || !ran || seen.kind != ToolKind::Client {
            return None;
        }
        let begun = [seen.asked, seen.announced].into_iter().flatten().map(|(at, _)| at).min()?;
        let ended = seen.done.map(|done| done.at_ns);
        let ended = ended.or_else(|| seen.returned.map(|sent| sent.at_ns));
        let moment = |at_ns| i64::try_from(at_ns).unwrap_or(i64::MAX);
        let caller = call.agent.clone();
        Some(Starter { at, caller, from: moment(begun), to: ended.map_or(i64::MAX, moment) })
    }

    /// Whether it ran when the agent did; one in the background ends before its agent.
    fn fits(&self, agent: &Agent, in_background: bool) -> bool {
        let whole = agent.to <= self.to || in_background;
        self.caller == agent.parent && self.from <= agent.from && whole
    }
}

/// Says in each tool call of a turn which agent it started.
pub(super) fn link(turn: &mut Turn, agents: &HashMap<&str, &Agent>) {
    let mut open: Vec<&Agent> = Vec::new();
    let mut starters = Vec::new();
    for (place, call) in turn.calls.iter().enumerate() {
        let agent = call.agent.as_deref().and_then(|id| agents.get(id).copied());
        if let Some(agent) = agent.filter(|agent| !open.iter().any(|known| known.id == agent.id)) {
            open.push(agent);
        }
        let tools = call.tools.iter().enumerate();
        starters.extend(tools.filter_map(|(tool, judged)| Starter::new((place, tool), judged)));
        if open.len() > FAMILY_MAX || starters.len() > FAMILY_MAX {
            return;
        }
    }
    let mut linked = pair(&mut open, &mut starters, false);
    open.retain(|agent| !starters.iter().any(|starter| starter.fits(agent, false)));
    linked.extend(pair(&mut open, &mut starters, true));
    for ((call, tool), agent) in linked {
        let judged = turn.calls.get_mut(call).and_then(|call| call.tools.get_mut(tool));
        if let Some(judged) = judged {
            judged.starts = Some(agent);
        }
    }
}

/// Takes the agents that exactly one tool call fits, until there is none.
fn pair(
    agents: &mut Vec<&Agent>,
    starters: &mut Vec<Starter>,
    in_background: bool,
) -> Vec<((usize, usize), String)> {
    let mut linked = Vec::new();
    loop {
        let sure = agents.iter().enumerate().find_map(|(place, agent)| {
            let fits = |starter: &&Starter| starter.fits(agent, in_background);
            let mut fitting = starters.iter().filter(fits);
            let one = fitting.next().filter(|_| fitting.next().is_none())?;
            Some((place, one.at, agent.id.clone()?))
        });
        let Some((place, at, id)) = sure else { return linked };
        agents.remove(place);
        starters.retain(|starter| starter.at != at);
        linked.push((at, id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tool_use::{Content, Done, Sightings};
    use crate::report::timeline::Call;
    use crate::report::tool::ToolCall;

    fn starter(id: &str, caller: Option<&str>, from: u64, to: u64) -> Judged {
        let seen = Sightings {
            asked: Some((from, Content::default())),
            done: Some(Done { at_ns: to, ..Done::default() }),
            ..Sightings::default()
        };
        let call = ToolCall {
            id: id.to_owned(),
            agent: caller.map(str::to_owned),
            tool: Some("Agent".to_owned()),
            seen,
            ..ToolCall::default()
        };
        Judged::new(call, true)
    }

    fn agent(id: &str, parent: Option<&str>, from: i64, to: i64) -> Agent {
        let own = |text: &str| Some(text.to_owned());
        Agent { id: own(id), parent: parent.and_then(own), from, to, ..Agent::default() }
    }

    fn links(tools: Vec<Judged>, agents: &[Agent]) -> Vec<(String, Option<String>)> {
        let calls = agents.iter().map(|agent| Call { agent: agent.id.clone(), ..Call::default() });
        let main = Call { tools, ..Call::default() };
        let mut turn =
            Turn { calls: std::iter::once(main).chain(calls).collect(), ..Turn::default() };
        link(&mut turn, &by_id(agents));
        let tools = turn.calls.swap_remove(0).tools.into_iter();
        tools.map(|tool| (tool.call.id, tool.starts)).collect()
    }

    #[test]
    fn agents_belong_to_the_call_that_runs_with_them() {
        let tools = vec![starter("one", None, 1, 30), starter("two", None, 2, 20)];
        // `a` can only be of the first, so `b`, which both fit, is of the second.
        let agents = [agent("b", None, 3, 19), agent("a", None, 3, 25)];
        let own = |a: &str, b: &str| (a.to_owned(), Some(b.to_owned()));
        assert_eq!(links(tools, &agents), [own("one", "a"), own("two", "b")]);
        // One in the background, one of a sub-agent.
        let tools = vec![starter("one", None, 1, 2), starter("two", Some("a"), 4, 20)];
        let agents = [agent("a", None, 3, 30), agent("b", Some("a"), 5, 19)];
        assert_eq!(links(tools, &agents), [own("one", "a"), own("two", "b")]);
    }

    #[test]
    fn what_is_not_sure_stays_open() {
        let tools = vec![starter("one", None, 1, 30), starter("two", None, 2, 30)];
        let agents = [agent("a", None, 3, 19), agent("b", None, 3, 19)];
        assert!(links(tools, &agents).iter().all(|(_, starts)| starts.is_none()));
    }
}
