//! What is asked of rules: a tool call, a prompt, a call to the model.

use super::pattern::{Pattern, Server};
use super::rules::{Rule, RuleSet, Rules, Verdict};
use crate::accounting::Money;

/// A tool call that a client is about to make, or has made.
#[derive(Clone, Copy, Debug, Default)]
pub struct ToolUse<'a> {
    /// The tool.
    pub name: &'a str,
    /// Its MCP server, where it has one.
    pub server: Option<Server<'a>>,
    /// The client's permission mode.
    pub mode: Option<&'a str>,
    /// How often the same call came in a row before.
    pub repeats: u64,
    /// It starts a sub-agent.
    pub starts_agent: bool,
    /// Sub-agents that run.
    pub agents_running: u64,
}

/// A user's prompt.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prompt<'a> {
    /// The client's permission mode.
    pub mode: Option<&'a str>,
    /// Prompts of the session before.
    pub turns: u64,
}

/// A call to the model.
#[derive(Clone, Debug, Default)]
pub struct Call<'a> {
    /// The model that is asked.
    pub model: Option<&'a str>,
    /// Where inference is to run.
    pub inference_geo: Option<&'a str>,
    /// Where the call goes.
    pub upstream: &'a str,
    /// MCP servers that the API is to call.
    pub servers: Vec<Server<'a>>,
    /// Tools that run at the API.
    pub server_tools: Vec<&'a str>,
    /// Prompts of the session before, where this call begins another.
    pub turns: Option<u64>,
    /// Calls for this prompt before.
    pub calls_in_turn: u64,
    /// What the session cost before.
    pub spent: Money,
    /// How often the agent's last tool call came in a row.
    pub repeated: u64,
    /// Part of what it holds could not be read.
    pub unread: bool,
}

/// The tool that starts a sub-agent, under its name and under the one before it.
const AGENT_TOOLS: [&str; 2] = ["Agent", "Task"];

/// Whether a tool starts a sub-agent.
#[must_use]
pub fn starts_agent(tool: &str) -> bool {
    AGENT_TOOLS.contains(&tool)
}

/// The MCP server in a tool's name: `mcp__server__tool`.
#[must_use]
pub fn server_of(tool: &str) -> Option<&str> {
    let (server, _) = tool.strip_prefix("mcp__")?.split_once("__")?;
    (!server.is_empty()).then_some(server)
}

fn tool_name(rules: &RuleSet, name: &str) -> Option<(Rule, String)> {
    let own = [name];
    // One tool: whoever writes one name means both.
    let names = if starts_agent(name) { &AGENT_TOOLS[..] } else { &own[..] };
    let fits = |list: &[Pattern]| list.iter().any(|one| names.iter().any(|n| one.matches(n)));
    let denied = fits(&rules.tools_denied);
    let allowed = rules.tools_allowed.as_deref().is_none_or(fits);
    let what = "This tool is not allowed here. Use another one, or ask whoever runs Weighbridge";
    match (denied, allowed) {
        (true, _) => Some((Rule::ToolsDenied, what.to_owned())),
        (_, false) => Some((Rule::ToolsAllowed, what.to_owned())),
        _ => None,
    }
}

fn server(rules: &RuleSet, server: &Server<'_>) -> Option<(Rule, String)> {
    let denied = rules.mcp_servers_denied.iter().any(|pattern| pattern.matches(server));
    let allowed = rules.mcp_servers_allowed.as_ref();
    let allowed = allowed.is_none_or(|list| list.iter().any(|pattern| pattern.matches(server)));
    let what = "This MCP server is not approved here. Ask whoever runs Weighbridge to add it";
    match (denied, allowed) {
        (true, _) => Some((Rule::McpServersDenied, what.to_owned())),
        (_, false) => Some((Rule::McpServersAllowed, what.to_owned())),
        _ => None,
    }
}

fn mode(rules: &RuleSet, mode: Option<&str>) -> Option<(Rule, String)> {
    let (modes, mode) = (rules.permission_modes.as_ref()?, mode?);
    let is_there = modes.contains(&mode);
    let what = || {
        let modes = if modes.is_empty() { "none".to_owned() } else { modes.join(", ") };
        format!("This permission mode is not allowed here; allowed: {modes}. Start again in one")
    };
    (!is_there).then(|| (Rule::PermissionModes, what()))
}

/// A limit that is reached.
fn reached(limit: Option<u64>, count: u64, rule: Rule, what: &str) -> Option<(Rule, String)> {
    let limit = limit.filter(|limit| count >= *limit)?;
    Some((rule, format!("{what} ({limit} at most)")))
}

impl Rules {
    /// Whether a tool may be used.
    #[must_use]
    pub fn tool(&self, tool: &ToolUse<'_>) -> Verdict {
        self.judge(|rules| {
            tool_name(rules, tool.name)
                .or_else(|| tool.server.as_ref().and_then(|one| server(rules, one)))
                .or_else(|| mode(rules, tool.mode))
                .or_else(|| {
                    let (limit, what) =
                        (rules.repeated_calls_max, "The same tool call came too often in a row");
                    reached(limit, tool.repeats, Rule::RepeatedCalls, what)
                })
                .or_else(|| {
                    let limit = rules.parallel_agents_max.filter(|_| tool.starts_agent);
                    let what = "Too many sub-agents run. Wait until one is done";
                    reached(limit, tool.agents_running, Rule::ParallelAgents, what)
                })
        })
    }

    /// Whether a prompt may be given.
    #[must_use]
    pub fn prompt(&self, prompt: &Prompt<'_>) -> Verdict {
        self.judge(|rules| {
            let what = "This session has had its prompts. Start another one";
            mode(rules, prompt.mode).or_else(|| {
                reached(rules.turns_per_session_max, prompt.turns, Rule::TurnsPerSession, what)
            })
        })
    }

    /// Whether anything may go to an API.
    #[must_use]
    pub fn upstream(&self, upstream: &str) -> Verdict {
        self.judge(|rules| place(rules, upstream))
    }

    /// Whether the model may be called.
    #[must_use]
    pub fn call(&self, call: &Call<'_>) -> Verdict {
        self.judge(|rules| {
            unread(rules, call)
                .or_else(|| where_and_what(rules, call))
                .or_else(|| call.servers.iter().find_map(|one| server(rules, one)))
                .or_else(|| call.server_tools.iter().find_map(|name| tool_name(rules, name)))
                .or_else(|| limits(rules, call))
        })
    }
}

/// What cannot be read cannot be allowed, where a rule asks for it.
fn unread(rules: &RuleSet, call: &Call<'_>) -> Option<(Rule, String)> {
    let asks = [
        (!rules.tools_denied.is_empty(), Rule::ToolsDenied),
        (rules.tools_allowed.is_some(), Rule::ToolsAllowed),
        (!rules.mcp_servers_denied.is_empty(), Rule::McpServersDenied),
        (rules.mcp_servers_allowed.is_some(), Rule::McpServersAllowed),
    ];
    let (_, rule) = asks.into_iter().find(|(asks, _)| *asks && call.unread)?;
    let what = "Part of this request cannot be read, so nobody can say that it is allowed. Send \
                it uncompressed, each key once, and shorter";
    Some((rule, what.to_owned()))
}

fn where_and_what(rules: &RuleSet, call: &Call<'_>) -> Option<(Rule, String)> {
    let allowed = |list: &Option<Vec<Pattern>>, name: Option<&str>| {
        list.as_ref().is_none_or(|list| name.is_some_and(|n| list.iter().any(|p| p.matches(n))))
    };
    if !allowed(&rules.models_allowed, call.model) {
        let what = "This model is not allowed here. Choose another one";
        return Some((Rule::ModelsAllowed, what.to_owned()));
    }
    if let Some(places) = &rules.inference_geo
        && !call.inference_geo.is_some_and(|geo| places.iter().any(|place| place == geo))
    {
        let places = places.join(", ");
        let what = format!("Calls must say where inference runs: set inference_geo to {places}");
        return Some((Rule::InferenceGeo, what));
    }
    place(rules, call.upstream)
}

fn place(rules: &RuleSet, upstream: &str) -> Option<(Rule, String)> {
    let upstreams = rules.upstreams_allowed.as_ref();
    let goes_there = upstreams.is_none_or(|list| list.iter().any(|url| url.matches(upstream)));
    let what = "Calls of this team may not go to this API. Use another Weighbridge";
    (!goes_there).then(|| (Rule::UpstreamsAllowed, what.to_owned()))
}

fn limits(rules: &RuleSet, call: &Call<'_>) -> Option<(Rule, String)> {
    if let Some(limit) = rules.usd_per_session_max
        && call.spent >= limit
    {
        let what =
            format!("This session has cost its ${limit}. Start another one, or ask for more");
        return Some((Rule::UsdPerSession, what));
    }
    let turns = call.turns.unwrap_or(0);
    let limit = rules.turns_per_session_max.filter(|_| call.turns.is_some());
    let what = "This session has had its prompts. Start another one";
    reached(limit, turns, Rule::TurnsPerSession, what)
        .or_else(|| {
            let what = "This prompt has had its calls. Ask for less at once";
            reached(rules.calls_per_turn_max, call.calls_in_turn, Rule::CallsPerTurn, what)
        })
        .or_else(|| {
            // The hook denies the call itself; who goes on all the same is stopped here.
            let limit = rules.repeated_calls_max.map(|limit| limit.saturating_mul(2).max(1));
            let what = "The same tool call came again and again; the loop is stopped";
            reached(limit, call.repeated, Rule::RepeatedCalls, what)
        })
}

#[cfg(test)]
mod tests;
