//! The tool calls that run, and where each of them belongs.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::spans::Running;
use crate::agent::calls::{ToolCall, ToolCalls};
use crate::record::sighting::{self, Seen};
use crate::record::{HookEvent, ToolsAsked, ToolsReturned};

/// Calls whose place is remembered: as many as can run.
const PLACES_MAX: usize = crate::agent::calls::CALLS_MAX;

/// Where a tool call belongs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ToolPlace {
    /// The first exchange of its query.
    pub(super) query: String,
    /// The query's trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<String>,
    /// Whether its sub-agent has a span.
    pub(super) agent_known: bool,
}

/// A tool call that settled.
pub(super) struct PlacedTool {
    pub(super) call: ToolCall,
    pub(super) place: ToolPlace,
}

impl PlacedTool {
    pub(super) fn name(&self) -> &str {
        self.call.tool.as_deref().unwrap_or("unknown")
    }
}

/// The calls that run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Tools {
    calls: ToolCalls,
    /// By session and id.
    places: HashMap<u128, ToolPlace>,
}

impl Tools {
    /// An answer asked for tools. `running`: the exchange whose answer it is.
    pub(super) fn asked(
        &mut self,
        entry: &ToolsAsked,
        at_ns: u64,
        running: Option<&Running>,
    ) -> Vec<PlacedTool> {
        self.take(sighting::of_asked(entry, at_ns), running)
    }

    /// Results were sent. `running`: the exchange whose request holds them.
    pub(super) fn returned(
        &mut self,
        entry: &ToolsReturned,
        at_ns: u64,
        running: Option<&Running>,
    ) -> Vec<PlacedTool> {
        self.take(sighting::of_returned(entry, at_ns), running)
    }

    /// A hook spoke.
    pub(super) fn hook(&mut self, event: &HookEvent, at_ns: u64) -> Vec<PlacedTool> {
        let mut settled = self.take(sighting::of_hook(event, at_ns), None);
        if let ("SessionEnd", Some(session)) = (event.event.as_str(), &event.session) {
            let over = self.calls.session_over(session.as_str());
            settled.extend(self.placed(over));
        }
        settled
    }

    /// What nothing more was seen of in time.
    pub(super) fn expire(&mut self, now_ns: u64, most: usize) -> Vec<PlacedTool> {
        let over = self.calls.expire(now_ns, most);
        self.placed(over)
    }

    fn take(&mut self, seen: Vec<Seen<'_>>, running: Option<&Running>) -> Vec<PlacedTool> {
        let mut settled = Vec::new();
        for (name, about, sighting) in seen {
            let is_new = !self.calls.is_settled(name) && self.places.len() < PLACES_MAX;
            if let Some(running) = running.filter(|_| is_new) {
                self.places.entry(name.key()).or_insert_with(|| ToolPlace {
                    query: running.query.clone(),
                    trace: running.trace.clone(),
                    agent_known: running.agent_known,
                });
            }
            settled.extend(self.calls.take(name, &about, sighting));
        }
        self.placed(settled)
    }

    /// What the traffic never showed belongs nowhere and has no span.
    fn placed(&mut self, calls: Vec<ToolCall>) -> Vec<PlacedTool> {
        let places = &mut self.places;
        let placed = calls.into_iter().filter_map(|call| {
            let place = places.remove(&call.name().key())?;
            Some(PlacedTool { call, place })
        });
        placed.collect()
    }
}
