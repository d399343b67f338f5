//! What entries say of tool calls: each entry as the sightings it holds.

use super::{Committed, HookEvent, ToolsAsked, ToolsReturned};
use crate::agent::calls::{About, Name, Sighting};
use crate::agent::tool_use::{Content, Decider, Done, Returned};
use crate::privacy::Identifier;

/// One sighting of one call.
pub type Seen<'a> = (Name<'a>, About<'a>, Sighting);

fn text(name: Option<&Identifier>) -> Option<&str> {
    name.map(Identifier::as_str)
}

fn content(committed: &Committed) -> Content {
    Content::new(committed.bytes, committed.sha256.as_deref())
}

/// An answer asked for tools. `at_ns`: when the entry was made, as for the others.
#[must_use]
pub fn of_asked(entry: &ToolsAsked, at_ns: u64) -> Vec<Seen<'_>> {
    let seen = entry.tools.iter().map(|tool| {
        let name = Name { session: text(entry.session.as_ref()), id: tool.id.as_str() };
        let about = About {
            team: Some(&entry.team),
            agent: text(entry.agent.as_ref()),
            tool: Some(tool.name.as_str()),
            server: text(tool.server.as_ref()),
            at_ns,
        };
        (name, about, Sighting::Asked(tool.kind, content(&tool.input)))
    });
    seen.collect()
}

/// Results were sent.
#[must_use]
pub fn of_returned(entry: &ToolsReturned, at_ns: u64) -> Vec<Seen<'_>> {
    let seen = entry.tools.iter().map(|tool| {
        let name = Name { session: text(entry.session.as_ref()), id: tool.id.as_str() };
        let about = About {
            team: Some(&entry.team),
            agent: text(entry.agent.as_ref()),
            tool: text(tool.name.as_ref()),
            server: None,
            at_ns,
        };
        let output = content(&tool.output);
        (name, about, Sighting::Returned(Returned { at_ns, failed: tool.failed != 0, output }))
    });
    seen.collect()
}

/// The client's hook spoke of tools.
#[must_use]
pub fn of_hook(event: &HookEvent, at_ns: u64) -> Vec<Seen<'_>> {
    let session = text(event.session.as_ref());
    let agent = text(event.agent.as_ref());
    let batched = event.tools.iter().map(|tool| {
        let name = Name { session, id: tool.id.as_str() };
        let about = About { agent, at_ns, ..About::default() };
        (name, about, Sighting::Batched(content(&tool.output)))
    });
    let mut seen: Vec<Seen<'_>> = batched.collect();
    let Some(id) = text(event.tool_use.as_ref()) else { return seen };
    let about = About {
        team: None,
        agent,
        tool: text(event.tool.as_ref()),
        server: text(event.server.as_ref()),
        at_ns,
    };
    let input = event.input.as_ref().map(content).unwrap_or_default();
    let done = Done {
        at_ns,
        failed: event.event.as_str() == "PostToolUseFailure",
        duration_ms: event.duration_ms,
        input,
    };
    let said = match event.event.as_str() {
        "PreToolUse" if event.denied != 0 => {
            vec![Sighting::Announced(input), Sighting::Denied(Decider::Rule)]
        }
        "PreToolUse" => vec![Sighting::Announced(input)],
        "PostToolUse" | "PostToolUseFailure" => vec![Sighting::Done(done)],
        "PermissionDenied" => vec![Sighting::Denied(Decider::Client)],
        _ => Vec::new(),
    };
    seen.extend(said.into_iter().map(|sighting| (Name { session, id }, about, sighting)));
    seen
}
