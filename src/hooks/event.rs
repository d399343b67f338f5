//! An event as a client posts it, and what of it is written down.
//!
//! Events and fields are open lists: whatever a newer client sends is taken, and what is not known
//! here counts by its size. Only names, numbers and commitments leave this file.

use serde_json::{Map, Value};

use crate::anthropic::tools::{canonical_output_value, canonical_value};
use crate::privacy::Identifier;
use crate::privacy::commitment::Side;
use crate::record::{BatchedTool, Committed, HookEvent};
use crate::recorder::Recorder;

/// Calls of one batch that are written down; the rest is counted.
const BATCH_MAX: usize = 16;

/// The fields that say why, in the client's own word; the first that is there.
const REASONS: [&str; 9] = [
    "source",
    "reason",
    "trigger",
    "notification_type",
    "load_reason",
    "expansion_type",
    "event",
    "action",
    "error",
];
/// Events whose reason is a text: what a tool printed, what somebody wrote.
const TEXT_REASONS: [&str; 2] = ["PostToolUseFailure", "PermissionDenied"];
/// The fields that carry text: its size is kept.
const TEXTS: [&str; 7] = [
    "prompt",
    "last_assistant_message",
    "message",
    "delta",
    "compact_summary",
    "custom_instructions",
    "task_description",
];

/// An event that was posted.
pub(super) struct Posted {
    fields: Map<String, Value>,
    bytes: u64,
}

impl Posted {
    /// Reads a body. `None` where it is not one JSON object that names its event, is nested too
    /// deep, or names a key twice.
    pub(super) fn read(body: &[u8]) -> Option<Posted> {
        let text = std::str::from_utf8(body).ok()?;
        let parsed = crate::anthropic::json::parse(text).ok().filter(|p| !p.has_duplicate)?;
        let Value::Object(fields) = parsed.value else { return None };
        let named = fields.get("hook_event_name").and_then(Value::as_str);
        named.filter(|name| !name.is_empty())?;
        Some(Posted { fields, bytes: body.len() as u64 })
    }

    /// A field's text, where it is one and not empty.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The event's name.
    pub(super) fn event(&self) -> &str {
        self.text("hook_event_name").unwrap_or_default()
    }

    /// The name of the tool's MCP server, and where its configuration comes from.
    pub(super) fn mcp_server(&self) -> (Option<&str>, Option<&str>) {
        let server = self.fields.get("mcp_server");
        let part = |key: &str| server?.get(key).and_then(Value::as_str);
        (part("name").or_else(|| self.text("mcp_server_name")), part("source"))
    }

    /// What of it is written down. `digest`: the keyed hash of its bytes.
    pub(super) fn record(&self, recorder: &Recorder, digest: Identifier) -> HookEvent {
        let name = |text: &str| recorder.identifier(text.as_bytes());
        let field = |field: &str| self.text(field).map(name);
        let word = |fields: &[&str]| fields.iter().find_map(|field| self.text(field)).map(name);
        let session = field("session_id");
        let flag = |field: &str| u8::from(self.fields.get(field) == Some(&Value::Bool(true)));
        let (tools, tools_more) = self.batch(recorder, session.as_ref());
        let texts = TEXTS.iter().filter_map(|field| self.text(field));
        let text_bytes: u64 = texts.map(|text| text.len() as u64).sum();
        let tool = field("tool_name");
        let is_skill = tool.as_ref().is_some_and(|tool| tool.as_str() == "Skill");
        let input = self.fields.get("tool_input");
        let skill = || {
            let names = ["skill", "command"].into_iter();
            let skill = names.filter_map(|key| input?.get(key)?.as_str()).next()?;
            Some(recorder.skill(skill))
        };
        let tool_use = field("tool_use_id");
        let commit = |side| self.committed(recorder, session.as_ref(), tool_use.as_ref(), side);
        HookEvent {
            agent: field("agent_id"),
            agent_type: field("agent_type"),
            bytes: self.bytes,
            cwd: self.text("cwd").map(|cwd| recorder.hashed(cwd.as_bytes())),
            denied: 0,
            digest,
            duration_ms: self.fields.get("duration_ms").and_then(Value::as_u64),
            event: name(self.event()),
            input: commit(Side::Input),
            interrupted: flag("is_interrupt"),
            mode: field("permission_mode"),
            model: word(&["to_model", "model"]),
            output: commit(Side::Output),
            prompt: field("prompt_id"),
            reason: self.reason(recorder),
            server: self.mcp_server().0.map(name),
            skill: if is_skill { skill() } else { None },
            text_bytes: (text_bytes > 0).then_some(text_bytes),
            tool,
            tool_use,
            session,
            tools,
            tools_more,
        }
    }

    /// Where it is one word.
    fn reason(&self, recorder: &Recorder) -> Option<Identifier> {
        if TEXT_REASONS.contains(&self.event()) {
            return None;
        }
        let found = REASONS.iter().find_map(|field| self.text(field))?;
        let is_word = found.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        (is_word && found.len() <= 64).then(|| recorder.identifier(found.as_bytes()))
    }

    /// Tool and input of a call that is announced, hashed.
    pub(super) fn repeat(&self, recorder: &Recorder) -> Option<u128> {
        let tool = self.text("tool_name").filter(|_| self.event() == "PreToolUse")?;
        let input = self.fields.get("tool_input").and_then(canonical_value);
        Some(recorder.repeat_hash(tool, input.as_deref()))
    }

    fn committed(
        &self,
        recorder: &Recorder,
        session: Option<&Identifier>,
        tool_use: Option<&Identifier>,
        side: Side,
    ) -> Option<Committed> {
        let field = match side {
            Side::Input => "tool_input",
            Side::Output => "tool_response",
        };
        let value = self.fields.get(field)?;
        Some(commit(recorder, (session, tool_use?), side, value))
    }

    fn batch(&self, recorder: &Recorder, session: Option<&Identifier>) -> (Vec<BatchedTool>, u64) {
        let calls = self.fields.get("tool_calls").and_then(Value::as_array);
        let calls = calls.map_or(&[][..], Vec::as_slice);
        let tools = calls.iter().take(BATCH_MAX).filter_map(|call| {
            let id = recorder.identifier(call.get("tool_use_id")?.as_str()?.as_bytes());
            let output = call.get("tool_response").unwrap_or(&Value::Null);
            let output = commit(recorder, (session, &id), Side::Output, output);
            Some(BatchedTool { id, output })
        });
        (tools.collect(), calls.len().saturating_sub(BATCH_MAX) as u64)
    }
}

fn commit(
    recorder: &Recorder,
    (session, tool_use): (Option<&Identifier>, &Identifier),
    side: Side,
    value: &Value,
) -> Committed {
    let whole = canonical_value(value).unwrap_or_default();
    let bytes = whole.len() as u64;
    let content = match side {
        Side::Input => Some(whole),
        Side::Output => canonical_output_value(value),
    };
    recorder.committed(session, tool_use, (side, bytes), content.as_deref())
}
