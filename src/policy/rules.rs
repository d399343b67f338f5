//! Layers of rules, and what comes of them.

use aws_lc_rs::digest;

use super::effective::Said;
use super::pattern::{Pattern, ServerPattern, Url};
use crate::accounting::Money;

/// Whether a layer's rules deny, or only say what they would have denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They deny.
    #[default]
    Enforce,
    /// They say so.
    Observe,
}

impl Mode {
    /// The name used in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Observe => "observe",
        }
    }
}

/// The rules of one layer. An absent one says nothing; an empty list allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSet {
    /// Tools that may be used.
    pub tools_allowed: Option<Vec<Pattern>>,
    /// Tools that may not.
    pub tools_denied: Vec<Pattern>,
    /// MCP servers that may be used.
    pub mcp_servers_allowed: Option<Vec<ServerPattern>>,
    /// MCP servers that may not.
    pub mcp_servers_denied: Vec<ServerPattern>,
    /// The client's permission modes that may be used.
    pub permission_modes: Option<Vec<&'static str>>,
    /// Models that may be asked.
    pub models_allowed: Option<Vec<Pattern>>,
    /// Where inference may run: `inference_geo` must be one of these.
    pub inference_geo: Option<Vec<String>>,
    /// Where calls may go.
    pub upstreams_allowed: Option<Vec<Url>>,
    /// User prompts in one session.
    pub turns_per_session_max: Option<u64>,
    /// Calls to the model for one user prompt.
    pub calls_per_turn_max: Option<u64>,
    /// What one session may cost.
    pub usd_per_session_max: Option<Money>,
    /// Sub-agents at the same time.
    pub parallel_agents_max: Option<u64>,
    /// The same tool call in a row.
    pub repeated_calls_max: Option<u64>,
}

/// The rules there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// `tools_allowed`
    ToolsAllowed,
    /// `tools_denied`
    ToolsDenied,
    /// `mcp_servers_allowed`
    McpServersAllowed,
    /// `mcp_servers_denied`
    McpServersDenied,
    /// `permission_modes`
    PermissionModes,
    /// `models_allowed`
    ModelsAllowed,
    /// `inference_geo`
    InferenceGeo,
    /// `upstreams_allowed`
    UpstreamsAllowed,
    /// `turns_per_session_max`
    TurnsPerSession,
    /// `calls_per_turn_max`
    CallsPerTurn,
    /// `usd_per_session_max`
    UsdPerSession,
    /// `parallel_agents_max`
    ParallelAgents,
    /// `repeated_calls_max`
    RepeatedCalls,
    /// `run --budget`
    RunBudget,
}

impl Rule {
    /// Those that a layer can set, in the order of the documentation.
    pub const LAYERED: [Rule; 13] = [
        Rule::ToolsAllowed,
        Rule::ToolsDenied,
        Rule::McpServersAllowed,
        Rule::McpServersDenied,
        Rule::PermissionModes,
        Rule::ModelsAllowed,
        Rule::InferenceGeo,
        Rule::UpstreamsAllowed,
        Rule::TurnsPerSession,
        Rule::CallsPerTurn,
        Rule::UsdPerSession,
        Rule::ParallelAgents,
        Rule::RepeatedCalls,
    ];

    /// Its key in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Rule::ToolsAllowed => "tools_allowed",
            Rule::ToolsDenied => "tools_denied",
            Rule::McpServersAllowed => "mcp_servers_allowed",
            Rule::McpServersDenied => "mcp_servers_denied",
            Rule::PermissionModes => "permission_modes",
            Rule::ModelsAllowed => "models_allowed",
            Rule::InferenceGeo => "inference_geo",
            Rule::UpstreamsAllowed => "upstreams_allowed",
            Rule::TurnsPerSession => "turns_per_session_max",
            Rule::CallsPerTurn => "calls_per_turn_max",
            Rule::UsdPerSession => "usd_per_session_max",
            Rule::ParallelAgents => "parallel_agents_max",
            Rule::RepeatedCalls => "repeated_calls_max",
            Rule::RunBudget => "run_budget",
        }
    }

    /// Whether it is a limit that was reached, and not something that is never allowed.
    #[must_use]
    pub const fn is_limit(self) -> bool {
        matches!(
            self,
            Rule::TurnsPerSession
                | Rule::CallsPerTurn
                | Rule::UsdPerSession
                | Rule::ParallelAgents
                | Rule::RepeatedCalls
                | Rule::RunBudget
        )
    }
}

/// A layer denies something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Which rule.
    pub rule: Rule,
    /// Which layer: `org`, `team search`, …
    pub layer: String,
    /// For the agent and its user: what is denied and what to do. Nothing of what was asked.
    pub reason: String,
}

/// What all layers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The first enforcing layer that denies.
    pub denied: Option<Denial>,
    /// Observing layers that would have.
    pub observed: Vec<Denial>,
}

impl Verdict {
    /// Adds what other rules say of the same.
    pub fn merge(&mut self, more: Verdict) {
        let new = more.observed.into_iter().filter(|denial| !self.observed.contains(denial));
        let new: Vec<Denial> = new.collect();
        self.observed.extend(new);
        if self.denied.is_none() {
            self.denied = more.denied;
        }
    }
}

/// One layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// `org`, `project x`, `team y`, `task z`, or the file it is from.
    pub title: String,
    /// Whether it denies.
    pub mode: Mode,
    /// Its rules.
    pub rules: RuleSet,
}

/// The layers that hold for one caller, the organisation's first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The layers.
    pub layers: Vec<Layer>,
}

impl Rules {
    /// Whether no layer says anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layers.iter().all(|layer| layer.rules == RuleSet::default())
    }

    /// The version that is recorded with every decision: a hash of all that holds, as
    /// `weighbridge check --team` tells it.
    #[must_use]
    pub fn version(&self) -> String {
        let lines = self.effective().into_iter().map(|said| {
            // Quoted, so that no name passes for something else.
            let Said { rule, layer, value, effect } = said;
            format!("{} {layer:?} {value:?} {}\n", rule.name(), effect.name())
        });
        let hash = digest::digest(&digest::SHA256, lines.collect::<String>().as_bytes());
        hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Asks each layer.
    pub(super) fn judge(&self, ask: impl Fn(&RuleSet) -> Option<(Rule, String)>) -> Verdict {
        let mut verdict = Verdict::default();
        for layer in &self.layers {
            let Some((rule, what)) = ask(&layer.rules) else { continue };
            let reason = format!("{what} ({}, {}).", layer.title, rule.name());
            let denial = Denial { rule, layer: layer.title.clone(), reason };
            match layer.mode {
                Mode::Observe => verdict.observed.push(denial),
                Mode::Enforce => {
                    verdict.denied.get_or_insert(denial);
                }
            }
        }
        verdict
    }
}

/// The client's permission modes (Claude Code 2.1.330), and the older names for two of them.
#[must_use]
pub fn permission_mode(name: &str) -> Option<&'static str> {
    const MODES: [&str; 6] =
        ["default", "acceptEdits", "plan", "bypassPermissions", "dontAsk", "auto"];
    match name {
        "ask" => Some("default"),
        "acceptAll" => Some("bypassPermissions"),
        name => MODES.into_iter().find(|mode| *mode == name),
    }
}
