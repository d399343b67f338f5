//! Tool calls in the ledger: what the traffic says of them, and what rules decided.
//!
//! Fields are in alphabetical order because the serialised bytes are canonical and hashed. Of what
//! a tool was given and gave there are a size and a commitment, never the content.

use serde::{Deserialize, Serialize};

use super::exchange::is_zero;
use crate::agent::tool_use::ToolKind;
use crate::privacy::Identifier;

/// Tool calls in one entry, at most: more become more entries.
pub const TOOLS_PER_ENTRY: usize = 16;

/// A content as it is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Its size as it was sent, in bytes.
    pub bytes: u64,
    /// The commitment to it ([`crate::privacy::commitment`]); absent where it was too long, cut, or
    /// no JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// An answer asked for tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolsAsked {
    /// The sub-agent that asked; absent for the main agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Identifier>,
    /// The exchange whose answer it is.
    pub exchange: String,
    /// The client's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Identifier>,
    /// Who pays.
    pub team: String,
    /// The tools, in the answer's order.
    pub tools: Vec<AskedTool>,
}

/// One tool that an answer asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedTool {
    /// 1 where the answer was cut before the input was whole.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut: u8,
    /// The API's id of the call: `tool_use.id`.
    pub id: Identifier,
    /// What the tool is to be given.
    pub input: Committed,
    /// Where it runs.
    pub kind: ToolKind,
    /// The tool.
    pub name: Identifier,
    /// The MCP server, where the API names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Identifier>,
    /// The skill, where the tool starts one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill: Option<Identifier>,
}

/// Results of tools were sent to the API, or came from it for tools that run there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolsReturned {
    /// The sub-agent that called; absent for the main agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Identifier>,
    /// The exchange whose request (or answer) holds them.
    pub exchange: String,
    /// The client's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Identifier>,
    /// Who pays.
    pub team: String,
    /// The results.
    pub tools: Vec<ReturnedTool>,
}

/// The result of one tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnedTool {
    /// 1 where it says that it failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u8,
    /// The API's id of the call.
    pub id: Identifier,
    /// The tool, as the request says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Identifier>,
    /// What it gave.
    pub output: Committed,
    /// The skill, where the tool starts one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill: Option<Identifier>,
}

/// What came of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// A tool or a prompt was denied to the client, in answer to its hook.
    Denied,
    /// Nothing: the rule observes.
    Observed,
    /// A call was refused by the proxy.
    Refused,
}

impl RuleAction {
    /// The name used in entries, labels and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            RuleAction::Denied => "denied",
            RuleAction::Observed => "observed",
            RuleAction::Refused => "refused",
        }
    }
}

/// A rule decided, or would have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleApplied {
    /// What came of it.
    pub action: RuleAction,
    /// The sub-agent; absent for the main agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Identifier>,
    /// The exchange that was refused, or would have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<String>,
    /// Which layer's rule: `org`, `team search`, …
    pub layer: String,
    /// The version of the rules that held.
    pub policy: String,
    /// The rule: `tools_denied`, …
    pub rule: String,
    /// The client's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Identifier>,
    /// Who pays.
    pub team: String,
    /// The tool that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Identifier>,
    /// The call of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_use: Option<Identifier>,
}
