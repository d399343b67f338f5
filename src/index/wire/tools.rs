//! Lines about tool calls, hooks and rules, borrowed like the rest.

use std::borrow::Cow;

use serde::Deserialize;

use crate::record::encoding::Text;

/// A content: its size and the commitment to it.
#[derive(Debug, Deserialize)]
pub(in crate::index) struct Committed<'a> {
    pub(in crate::index) bytes: i64,
    #[serde(borrow)]
    pub(in crate::index) sha256: Option<Text<'a>>,
}

/// An answer asked for tools.
#[derive(Debug, Deserialize)]
pub(in crate::index) struct ToolsAsked<'a> {
    #[serde(borrow)]
    pub(in crate::index) agent: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) exchange: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::index) session: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) team: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::index) tools: Vec<AskedTool<'a>>,
}

/// One of them.
#[derive(Debug, Deserialize)]
pub(in crate::index) struct AskedTool<'a> {
    #[serde(default)]
    pub(in crate::index) cut: u8,
    #[serde(borrow)]
    pub(in crate::index) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::index) input: Committed<'a>,
    #[serde(borrow)]
    pub(in crate::index) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::index) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::index) server: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) skill: Option<Text<'a>>,
}

/// Results of tools were sent.
#[derive(Debug, Deserialize)]
pub(in crate::index) struct ToolsReturned<'a> {
    #[serde(borrow)]
    pub(in crate::index) agent: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) exchange: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::index) session: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) team: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::index) tools: Vec<ReturnedTool<'a>>,
}

/// One of them.
#[derive(Debug, Deserialize)]
pub(in crate::index) struct ReturnedTool<'a> {
    #[serde(default)]
    pub(in crate::index) failed: u8,
    #[serde(borrow)]
    pub(in crate::index) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::index) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) output: Committed<'a>,
    #[serde(borrow)]
    pub(in crate::index) skill: Option<Text<'a>>,
}

/// An event of the client's hooks: the fields that have a column.
#[derive(Debug, Deserialize)]
pub(in crate::index) struct Hook<'a> {
    #[serde(borrow)]
    pub(in crate::index) agent: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) agent_type: Option<Text<'a>>,
    #[serde(default)]
    pub(in crate::index) denied: u8,
    #[serde(borrow)]
    pub(in crate::index) digest: Cow<'a, str>,
    pub(in crate::index) duration_ms: Option<i64>,
    #[serde(borrow)]
    pub(in crate::index) event: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::index) input: Option<Committed<'a>>,
    #[serde(borrow)]
    pub(in crate::index) mode: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) model: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) prompt: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) server: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) session: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) skill: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) tool: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) tool_use: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(in crate::index) tools: Vec<BatchedTool<'a>>,
}

/// One call of a batch of tools.
#[derive(Debug, Deserialize)]
pub(in crate::index) struct BatchedTool<'a> {
    #[serde(borrow)]
    pub(in crate::index) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::index) output: Committed<'a>,
}

/// What came of a rule.
#[derive(Debug, Deserialize)]
pub(in crate::index) struct RuleApplied<'a> {
    #[serde(borrow)]
    pub(in crate::index) action: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::index) agent: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) exchange: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) layer: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::index) policy: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::index) rule: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::index) session: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) team: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::index) tool: Option<Text<'a>>,
    #[serde(borrow)]
    pub(in crate::index) tool_use: Option<Text<'a>>,
}
