//! What rules say of an event, and how the client is told.

use std::path::Path;

use bytes::Bytes;
use serde_json::json;

use super::event::Posted;
use crate::accounting::attribution::CostCentre;
use crate::agent::session::Payer;
use crate::live::{AGENT_TOOLS, Asked};
use crate::policy::{Denial, Prompt, Server, ToolUse, Verdict, permission_mode, server_of};
use crate::record::{HookEvent, RuleAction, RuleApplied};
use crate::recorder::Recorder;
use crate::rules::LiveRules;

/// What comes of the rules for one event.
#[derive(Default)]
pub(super) struct Ruling {
    verdict: Verdict,
    policy: String,
    team: String,
}

/// Asks the rules about an event: before a tool runs, and before a prompt is taken.
pub(super) fn ask(
    rules: &LiveRules,
    recorder: &Recorder,
    posted: &Posted,
    (event, repeat): (&HookEvent, Option<u128>),
) -> Ruling {
    if rules.is_idle() {
        return Ruling::default();
    }
    let session = event.session.as_ref().map(crate::privacy::Identifier::as_str);
    let id = event.tool_use.as_ref().map_or("", crate::privacy::Identifier::as_str);
    let agent = event.agent.as_ref().map(crate::privacy::Identifier::as_str);
    let asked = repeat.map(|repeat| Asked { agent, id, repeat });
    let standing = recorder.live().standing(session, asked);
    let unknown = || Payer { team: CostCentre::unattributed().team, ..Payer::default() };
    let payer = standing.payer.clone().unwrap_or_else(unknown);
    if let (Some(session), Some(cwd)) = (session, posted.text("cwd")) {
        rules.pin(session, Path::new(cwd), &payer.team);
    }
    let of_caller = rules.of(&payer, session);
    let mode = posted.text("permission_mode");
    let mode = mode.map(|mode| permission_mode(mode).unwrap_or(mode));
    let verdict = match posted.event() {
        "PreToolUse" => {
            let name = posted.text("tool_name").unwrap_or_default();
            let (told, source) = posted.mcp_server();
            let server = told.or_else(|| server_of(name));
            of_caller.tool(&ToolUse {
                name,
                server: server.map(|name| Server { name: Some(name), source, url: None }),
                mode,
                repeats: standing.repeats,
                starts_agent: AGENT_TOOLS.contains(&name),
                agents_running: standing.agents_running,
            })
        }
        "UserPromptSubmit" => of_caller.prompt(&Prompt { mode, turns: standing.turns }),
        _ => Verdict::default(),
    };
    let policy = if verdict == Verdict::default() { String::new() } else { of_caller.version() };
    Ruling { verdict, policy, team: payer.team }
}

impl Ruling {
    /// Whether the client is told not to go on.
    pub(super) const fn denies(&self) -> bool {
        self.verdict.denied.is_some()
    }

    /// The answer that the client reads.
    pub(super) fn answer(&self, event: &str) -> Bytes {
        let Some(denial) = &self.verdict.denied else { return Bytes::from_static(super::GO_ON) };
        let reason = format!("Weighbridge: {}", denial.reason);
        let said = match event {
            "PreToolUse" => json!({"hookSpecificOutput": {
                "hookEventName": "PreToolUse",
                "permissionDecision": "deny",
                "permissionDecisionReason": reason,
            }}),
            _ => json!({"decision": "block", "reason": reason}),
        };
        Bytes::from(said.to_string())
    }

    /// Everything to be written down.
    pub(super) fn applied(&self, event: &HookEvent) -> Vec<RuleApplied> {
        let of = |(action, denial): (RuleAction, &Denial)| RuleApplied {
            action,
            agent: event.agent.clone(),
            exchange: None,
            layer: denial.layer.clone(),
            policy: self.policy.clone(),
            rule: denial.rule.name().to_owned(),
            session: event.session.clone(),
            team: self.team.clone(),
            tool: event.tool.clone(),
            tool_use: event.tool_use.clone(),
        };
        let observed = self.verdict.observed.iter().map(|denial| (RuleAction::Observed, denial));
        let denied = self.verdict.denied.iter().map(|denial| (RuleAction::Denied, denial));
        observed.chain(denied).map(of).collect()
    }
}
