//! A tool call as the index knows it, and what follows from it.

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::period::instant;
use crate::agent::tool_use::{Gap, Sightings, State};
use crate::policy::server_of;

/// A tool call. `None` is unknown or absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// The API's id: `tool_use.id`.
    pub id: String,
    /// The place of its first sighting in the ledger.
    pub sequence: u64,
    /// The sub-agent that called; `None` for the main agent.
    pub agent: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// The MCP server, where the API or a hook names it.
    pub server: Option<String>,
    /// The skill that it starts.
    pub skill: Option<String>,
    /// The permission mode, as a hook says.
    pub mode: Option<String>,
    /// The exchange whose answer asked for it.
    pub asked_exchange: Option<String>,
    /// The first exchange whose request carried its result.
    pub returned_exchange: Option<String>,
    /// The answer was cut before the input was whole.
    pub cut: bool,
    /// What was seen of it.
    pub seen: Sightings,
    /// The rule that denied it, with its layer.
    pub rule: Option<String>,
}

impl ToolCall {
    /// The MCP server, from its name where nothing else tells.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref().or_else(|| self.tool.as_deref().and_then(server_of))
    }

    /// Whether hooks speak of it and the traffic does not.
    #[must_use]
    pub fn is_told_only(&self) -> bool {
        self.seen.asked.is_none() && self.seen.returned.is_none()
    }

    /// The last moment that something was seen of it, nanoseconds since 1970 (UTC).
    #[must_use]
    pub fn last_ns(&self) -> u64 {
        self.seen.span_ns().map_or(0, |(_, last)| last)
    }
}

/// A tool call with what follows from it at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The call.
    pub call: ToolCall,
    /// How it ended; `None` while it runs.
    pub state: Option<State>,
    /// What is missing or does not fit.
    pub gaps: Vec<Gap>,
    /// The sub-agent that it started.
    pub starts: Option<String>,
}

impl Judged {
    /// `over`: nothing more will be seen of it.
    #[must_use]
    pub fn new(call: ToolCall, over: bool) -> Judged {
        let (state, gaps) = (call.seen.state(over), call.seen.gaps(over));
        Judged { call, state, gaps, starts: None }
    }

    /// State, who denied it and gaps, for people.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = self.state.map_or("running", State::words).to_owned();
        if self.state == Some(State::Denied) {
            if let Some(by) = self.call.seen.denied_by() {
                words.push_str(" by ");
                words.push_str(by.name());
            }
            if let Some(rule) = &self.call.rule {
                words.push(' ');
                words.push_str(rule);
            }
        }
        let gaps: Vec<&str> = self.gaps.iter().copied().map(Gap::words).collect();
        if !gaps.is_empty() {
            words.push_str(": ");
            words.push_str(&gaps.join(", "));
        }
        words
    }
}

impl Serialize for Judged {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (call, seen) = (&self.call, &self.call.seen);
        let moment = |at: Option<u64>| at.map(|at| instant(i64::try_from(at).unwrap_or(i64::MAX)));
        let input = seen.asked.or(seen.announced).map(|(_, input)| input);
        let gaps: Vec<&str> = self.gaps.iter().copied().map(Gap::words).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &call.id)?;
        map.serialize_entry("tool", &call.tool)?;
        map.serialize_entry("mcp_server", &call.server())?;
        map.serialize_entry("skill", &call.skill)?;
        map.serialize_entry("agent", &call.agent)?;
        map.serialize_entry("kind", seen.kind.name())?;
        map.serialize_entry("mode", &call.mode)?;
        map.serialize_entry("state", self.state.map_or("running", State::name))?;
        map.serialize_entry("gaps", &gaps)?;
        map.serialize_entry("denied_by", &seen.denied_by().map(|by| by.name()))?;
        map.serialize_entry("rule", &call.rule)?;
        map.serialize_entry("asked_at", &moment(seen.asked.map(|(at, _)| at)))?;
        map.serialize_entry("announced_at", &moment(seen.announced.map(|(at, _)| at)))?;
        map.serialize_entry("done_at", &moment(seen.done.map(|done| done.at_ns)))?;
        map.serialize_entry("returned_at", &moment(seen.returned.map(|sent| sent.at_ns)))?;
        map.serialize_entry("asked_exchange", &call.asked_exchange)?;
        map.serialize_entry("returned_exchange", &call.returned_exchange)?;
        map.serialize_entry("duration_us", &seen.duration_ns().map(|ns| ns / 1000))?;
        map.serialize_entry("input_bytes", &input.map(|input| input.bytes))?;
        map.serialize_entry("output_bytes", &seen.returned.map(|sent| sent.output.bytes))?;
        map.serialize_entry("cut", &call.cut)?;
        map.serialize_entry("starts_agent", &self.starts)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tool_use::{Content, Decider, Returned};

    #[test]
    fn words_say_who_denied_and_what_is_missing() {
        let asked = Some((1, Content::default()));
        let call = |seen| ToolCall { rule: Some("tools_denied (org)".to_owned()), seen, ..call() };
        let denied = Sightings { asked, denied: Some(Decider::Rule), ..Sightings::default() };
        assert_eq!(Judged::new(call(denied.clone()), false).words(), "running");
        let judged = Judged::new(call(Sightings { announced: asked, ..denied }), true);
        assert_eq!(judged.words(), "denied by rule tools_denied (org): no PostToolUse");
        let returned = Some(Returned::default());
        let judged =
            Judged::new(call(Sightings { asked, returned, ..Sightings::default() }), false);
        assert_eq!(judged.words(), "hook missing: no PreToolUse, no PostToolUse");
    }

    fn call() -> ToolCall {
        ToolCall::default()
    }
}
