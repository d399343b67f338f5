//! The timeline as JSON, exact.

use serde::ser::{Error as _, Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use super::{Agent, Call, LeftOut, Mark, Timeline, Turn};
use crate::agent::query::Ended;
use crate::agent::tool_use::Gap;
use crate::report::period::instant;

impl Timeline {
    /// One line of JSON, without the newline.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

impl Serialize for Timeline {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let gaps = self.gaps.iter().map(|(gap, tools)| Missing { gap: *gap, tools: *tools });
        let calls = self.turns.iter().flat_map(|turn| &turn.calls);
        let mut calls: Vec<&Call> = calls.collect();
        calls.sort_by_key(|call| (call.opened_at, call.sequence));
        let lines: Vec<&RawValue> = calls.into_iter().map(|call| &*call.line).collect();
        let mut map = serializer.serialize_map(None)?;
        self.session.entries(&mut map)?;
        map.serialize_entry("modes", &self.modes)?;
        map.serialize_entry("history", &self.marks)?;
        map.serialize_entry("gaps", &gaps.collect::<Vec<_>>())?;
        map.serialize_entry("agents", &self.agents)?;
        map.serialize_entry("turns", &self.turns)?;
        map.serialize_entry("unverified", &self.unverified)?;
        map.serialize_entry("left_out", &self.left_out)?;
        map.serialize_entry("timeline", &lines)?;
        map.end()
    }
}

/// A gap, and how many tool calls have it.
struct Missing {
    gap: Gap,
    tools: u64,
}

impl Serialize for Missing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("gap", self.gap.words())?;
        map.serialize_entry("tools", &self.tools)?;
        map.end()
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("at", &instant(self.at))?;
        map.serialize_entry("event", &self.event)?;
        map.serialize_entry("reason", &self.reason)?;
        map.end()
    }
}

impl Serialize for Turn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_turn = self.first.is_some();
        let outcome = is_turn.then(|| self.ended.map_or("running", Ended::name));
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("turn", &self.first)?;
        map.serialize_entry("number", &is_turn.then_some(self.number))?;
        map.serialize_entry("from", &instant(self.from))?;
        map.serialize_entry("to", &instant(self.to))?;
        map.serialize_entry("duration_us", &(self.to.saturating_sub(self.from) / 1000))?;
        map.serialize_entry("outcome", &outcome)?;
        self.figures.entries(&mut map)?;
        map.serialize_entry("calls", &self.calls)?;
        map.serialize_entry("unasked_tools", &self.unasked)?;
        map.end()
    }
}

/// The exchange's own line, with its tools behind it.
impl Serialize for Call {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tools = serde_json::to_string(&self.tools).map_err(S::Error::custom)?;
        let line = self.line.get();
        let line = line.strip_suffix('}').unwrap_or(line);
        let whole = RawValue::from_string(format!("{line},\"tools\":{tools}}}"));
        whole.map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl Serialize for Agent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("agent", &self.id)?;
        map.serialize_entry("agent_type", &self.agent_type)?;
        map.serialize_entry("parent", &self.parent)?;
        map.serialize_entry("from", &instant(self.from))?;
        map.serialize_entry("to", &instant(self.to))?;
        self.figures.entries(&mut map)?;
        map.end()
    }
}

impl Serialize for LeftOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("turns", &self.turns)?;
        map.serialize_entry("calls", &self.calls)?;
        map.serialize_entry("tools", &self.tools)?;
        map.serialize_entry("usd", &self.figures.usd)?;
        map.end()
    }
}
