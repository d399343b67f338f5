//! Tool calls as the Messages API carries them.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::json;

/// The longest output that is committed to.
pub const OUTPUT_BYTES_MAX: usize = 8 << 20;
/// Inputs of one answer that are kept until it is read, together: streams stay open for minutes.
pub const INPUTS_BYTES_MAX: usize = 1 << 20;
/// Tools that one answer asks for, at most.
pub const ASKED_MAX: usize = 256;
/// The tool that starts a skill.
const SKILL_TOOL: &str = "Skill";

/// Content of a tool call on its way to a commitment: never written down, never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// Its size on the wire.
    pub bytes: u64,
    /// What is committed to; absent where it is too long or no JSON.
    pub canonical: Option<Vec<u8>>,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// A tool that an answer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolAsked {
    /// Its id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Where it runs.
    pub kind: ToolKind,
    /// The MCP server.
    pub server: Option<String>,
    /// The skill that it starts.
    pub skill: Option<String>,
    /// Its input.
    pub input: Content,
    /// Its block was seen to its end.
    pub complete: bool,
}

pub use crate::agent::tool_use::ToolKind;

/// A result of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolReturned {
    /// The call's id.
    pub id: String,
    /// The tool.
    pub name: Option<String>,
    /// The skill that it starts.
    pub skill: Option<String>,
    /// It says that it failed.
    pub failed: bool,
    /// Its output.
    pub output: Content,
}

/// An MCP server that the API is to call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct McpServer {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: Option<String>,
}

/// What a request offers to the model that rules look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// MCP servers that the API is to call.
    pub mcp_servers: Vec<McpServer>,
    /// Tools that run at the API.
    pub server_tools: Vec<String>,
    /// Where inference may run.
    pub inference_geo: Option<String>,
    /// Something of it, or of the results beside it, could not be read: nobody can say that
    /// nothing is in it.
    pub unread: bool,
}

/// The skill that a tool starts, from its input.
pub(super) fn skill_of(tool: &str, input: &str) -> Option<String> {
    if tool != SKILL_TOOL {
        return None;
    }
    let input: Value = serde_json::from_str(input).ok()?;
    let name = ["skill", "command"].into_iter().find_map(|key| input.get(key)?.as_str());
    name.map(str::to_owned)
}

/// A content block of either side, as far as it is about tools. Each field may hold anything.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) server_name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) tool_use_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) is_error: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
}

impl Block<'_> {
    /// A result, where it is one; `failed` beside what the block says itself.
    pub(super) fn returned(&self, failed: bool) -> Option<ToolReturned> {
        let raw = self.content.map_or("", RawValue::get);
        let canonical = match raw {
            "" => Some(Vec::new()),
            raw if raw.len() > OUTPUT_BYTES_MAX => None,
            raw => canonical_output(raw).map(without_reminder),
        };
        Some(ToolReturned {
            id: text(self.tool_use_id)?,
            name: None,
            skill: None,
            failed: failed || self.is_error.is_some_and(|error| error.get() == "true"),
            output: Content { bytes: raw.len() as u64, canonical },
        })
    }
}

/// An output without the count of tokens left that Claude Code (2.1.330) puts behind the last one
/// of a request for some models: it is no part of what the tool gave.
fn without_reminder(mut output: Vec<u8>) -> Vec<u8> {
    const BEFORE: &[u8] = b"\n\n<system-reminder>\n<total_tokens>";
    const BEHIND: &[u8] = b" tokens left</total_tokens>\n</system-reminder>";
    let Some(rest) = output.strip_suffix(BEHIND) else { return output };
    let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (rest, _) = rest.split_at(rest.len() - digits);
    if let Some(own) = rest.strip_suffix(BEFORE) {
        output.truncate(own.len());
    }
    output
}

/// A value's text, where it is one.
pub(super) fn text(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

/// JSON with sorted keys and without blanks; `None` where a key stands twice or it is no JSON.
#[must_use]
pub fn canonical(raw: &str) -> Option<Vec<u8>> {
    let parsed = json::parse(raw).ok().filter(|parsed| !parsed.has_duplicate)?;
    canonical_value(&parsed.value)
}

/// The same for a value that is parsed. Its maps are sorted.
#[must_use]
pub fn canonical_value(value: &Value) -> Option<Vec<u8>> {
    serde_json::to_vec(value).ok()
}

/// An output: a text is itself, a list of texts is theirs, anything else its canonical JSON.
#[must_use]
pub fn canonical_output(raw: &str) -> Option<Vec<u8>> {
    // Nearly all outputs are texts, and some are megabytes.
    if raw.starts_with('"')
        && let Ok(text) = serde_json::from_str::<String>(raw)
    {
        return Some(text.into_bytes());
    }
    let parsed = json::parse(raw).ok().filter(|parsed| !parsed.has_duplicate)?;
    canonical_output_value(&parsed.value)
}

/// The same for a value that is parsed.
#[must_use]
pub fn canonical_output_value(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => return Some(text.clone().into_bytes()),
        Value::Array(blocks) => {
            let text = |block: &Value| {
                let is_text = block.get("type").and_then(Value::as_str) == Some("text");
                block.get("text").and_then(Value::as_str).filter(|_| is_text).map(str::to_owned)
            };
            if let Some(texts) = blocks.iter().map(text).collect::<Option<Vec<_>>>() {
                return Some(texts.join("\n").into_bytes());
            }
        }
        _ => {}
    }
    canonical_value(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_count_of_tokens_left_is_no_part_of_an_output() {
        let behind = |text: &str| {
            format!("hello\n\n<system-reminder>\n{text}\n</system-reminder>").into_bytes()
        };
        let count = behind("<total_tokens>14987722 tokens left</total_tokens>");
        assert_eq!(without_reminder(count), b"hello");
        for other in [
            b"hello".to_vec(),
            behind("<total_tokens>many tokens left</total_tokens>"),
            behind("Do it. <total_tokens>1 tokens left</total_tokens>"),
        ] {
            assert_eq!(without_reminder(other.clone()), other);
        }
    }
}
