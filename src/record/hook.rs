//! An event of the client's hooks in the ledger: a claim of the client's, beside the traffic, which
//! is an observation.
//!
//! What free text an event has (prompts, inputs, outputs, paths, messages) becomes a size, a
//! commitment or a keyed hash.

use serde::{Deserialize, Serialize};

use super::exchange::is_zero;
use super::tool::Committed;
use crate::agent::query::Said;
use crate::privacy::Identifier;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookEvent {
    /// The sub-agent; absent for the main agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Identifier>,
    /// What kind of sub-agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_type: Option<Identifier>,
    /// The size of the event.
    pub bytes: u64,
    /// A keyed hash of the working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<Identifier>,
    /// 1 where we denied what the event announced.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub denied: u8,
    /// A keyed hash of all its bytes: the same event sent again counts once.
    pub digest: Identifier,
    /// How long the client says that the tool took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The event's name, as the client gives it.
    pub event: Identifier,
    /// What the tool was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Committed>,
    /// 1 where the user interrupted the tool.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub interrupted: u8,
    /// The permission mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Identifier>,
    /// The model that the event names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Identifier>,
    /// What the tool gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Committed>,
    /// The client's id of the user's prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Identifier>,
    /// Why, in the client's word: `source`, `reason`, `trigger`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Identifier>,
    /// The MCP server of the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Identifier>,
    /// The client's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Identifier>,
    /// The skill, where the tool starts one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill: Option<Identifier>,
    /// Bytes of the text that it carries: a prompt, a message, a summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_bytes: Option<u64>,
    /// The tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Identifier>,
    /// The API's id of the tool call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_use: Option<Identifier>,
    /// The calls of a batch, with what goes back to the model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<BatchedTool>,
    /// How many more there were.
    #[serde(default, skip_serializing_if = "super::exchange::is_none")]
    pub tools_more: u64,
}

impl HookEvent {
    /// What it says of queries.
    #[must_use]
    pub fn said(&self) -> Said<'_> {
        Said {
            event: self.event.as_str(),
            session: self.session.as_ref().map(Identifier::as_str),
            agent: self.agent.as_ref().map(Identifier::as_str),
            agent_type: self.agent_type.as_ref().map(Identifier::as_str),
            denied: self.denied != 0,
        }
    }
}

/// One call of a batch (`PostToolBatch`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchedTool {
    /// The API's id of the tool call.
    pub id: Identifier,
    /// What goes back to the model, as the client says.
    pub output: Committed,
}
