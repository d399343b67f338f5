//! Agents: queries, tool calls, hook events, and what rules decided.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};

use super::build::{Build, DURATION_BUCKETS, level, seconds};
use super::labels::{Label, OTHER};
use crate::agent::calls::ToolCall;
use crate::agent::query::Query;
use crate::agent::tool_use::State;
use crate::record::{HookEvent, RuleApplied};

/// The events of Claude Code's hooks; others count as [`OTHER`].
pub const HOOK_EVENTS: [&str; 33] = [
    "ConfigChange",
    "CwdChanged",
    "DirectoryAdded",
    "Elicitation",
    "ElicitationResult",
    "FileChanged",
    "InstructionsLoaded",
    "MessageDisplay",
    "Notification",
    "PermissionDenied",
    "PermissionRequest",
    "PostCompact",
    "PostModelSwitch",
    "PostToolBatch",
    "PostToolUse",
    "PostToolUseFailure",
    "PreCompact",
    "PreModelSwitch",
    "PreToolUse",
    "SessionEnd",
    "SessionStart",
    "Setup",
    "Stop",
    "StopFailure",
    "SubagentStart",
    "SubagentStop",
    "TaskCompleted",
    "TaskCreated",
    "TeammateIdle",
    "UserPromptExpansion",
    "UserPromptSubmit",
    "WorktreeCreate",
    "WorktreeRemove",
];

/// The families about agents.
pub struct Agents {
    calls: IntCounterVec,
    duration: HistogramVec,
    open: IntGauge,
    events: IntCounterVec,
    /// Posts to the hook intake that were not taken, by reason.
    pub rejected: IntCounterVec,
    decisions: IntCounterVec,
    queries: IntCounterVec,
    query_duration: Histogram,
    agents: IntCounterVec,
    tool_names: Label,
    agent_types: Label,
    team_names: std::sync::Arc<Label>,
}

impl Agents {
    pub(super) fn new(
        build: &Build<'_>,
        overflow: &IntCounter,
        team_names: &std::sync::Arc<Label>,
    ) -> Result<Agents, prometheus::Error> {
        Ok(Agents {
            calls: build.counters(
                "claude_tool_calls_total",
                "Tool calls that ended, by how; see docs/metrics.md for the states.",
                &["team", "tool", "state"],
            )?,
            duration: build.histograms_by(
                "claude_tool_duration_seconds",
                "How long tools ran, as the client's hooks say.",
                &["tool"],
                &DURATION_BUCKETS,
            )?,
            open: build.gauge(
                "weighbridge_tool_calls_open",
                "Tool calls that were seen and have not ended.",
            )?,
            events: build.counters(
                "claude_hook_events_total",
                "Events of the client's hooks; replayed ones were there before.",
                &["event", "result"],
            )?,
            rejected: build.counters(
                "weighbridge_hook_posts_rejected_total",
                "Posts to the hook intake that were not taken.",
                &["reason"],
            )?,
            decisions: build.counters(
                "claude_rule_decisions_total",
                "Times a rule denied a tool, refused a call, or would have (observed).",
                &["team", "rule", "action"],
            )?,
            queries: build.counters(
                "claude_queries_total",
                "User prompts that ended, by how: one prompt until its final answer.",
                &["team", "outcome"],
            )?,
            query_duration: build.histogram_of(
                "claude_query_duration_seconds",
                "From a user's prompt to its final answer.",
                &DURATION_BUCKETS,
            )?,
            agents: build.counters(
                "claude_agents_total",
                "Sub-agents that started, as the client's hooks say.",
                &["team", "agent_type"],
            )?,
            tool_names: Label::new(overflow),
            agent_types: Label::new(overflow),
            team_names: std::sync::Arc::clone(team_names),
        })
    }

    /// Counts a tool call that ended. The name of one that the traffic never showed is a claim.
    pub fn call_ended(&self, call: &ToolCall) {
        let state = call.state();
        let tool = call.tool.as_deref().unwrap_or(OTHER);
        let tool = match state {
            State::Unverified => self.tool_names.claimed(tool),
            _ => self.tool_names.bounded(tool),
        };
        let team = self.team(call.team.as_deref());
        self.calls.with_label_values(&[&*team, &*tool, state.name()]).inc();
        if let Some(duration_ns) = call.seen.duration_ns() {
            self.duration.with_label_values(&[&*tool]).observe(seconds(duration_ns));
        }
    }

    /// Counts a query that ended.
    pub fn query_ended(&self, query: &Query) {
        let team = self.team(Some(&query.team));
        self.queries.with_label_values(&[&*team, query.ended().name()]).inc();
        self.query_duration.observe(seconds(query.to_ns.saturating_sub(query.from_ns)));
    }

    /// Counts an event. `team`: who pays for its session, where that is known.
    pub fn event(&self, event: &HookEvent, team: Option<&str>) {
        self.posted(event.event.as_str(), "recorded");
        if event.event.as_str() == "SubagentStart" {
            let kind = event.agent_type.as_ref().map_or(OTHER, |kind| kind.as_str());
            let kind = self.agent_types.claimed(kind);
            self.agents.with_label_values(&[&*self.team(team), &*kind]).inc();
        }
    }

    /// Counts an event that was there before.
    pub fn replayed(&self, event: &str) {
        self.posted(event, "replayed");
    }

    fn posted(&self, event: &str, result: &str) {
        let known = HOOK_EVENTS.binary_search(&event).is_ok();
        self.events.with_label_values(&[if known { event } else { OTHER }, result]).inc();
    }

    /// Counts what a rule did.
    pub fn decided(&self, applied: &RuleApplied) {
        let team = self.team(Some(&applied.team));
        self.decisions.with_label_values(&[&*team, &*applied.rule, applied.action.name()]).inc();
    }

    /// Shows how many tool calls run.
    pub fn show_open(&self, count: u64) {
        self.open.set(level(count));
    }

    fn team(&self, team: Option<&str>) -> String {
        self.team_names.bounded(team.unwrap_or("unattributed"))
    }
}
