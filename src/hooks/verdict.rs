//! What rules say of an event, and how the client is told.

use std::path::Path;

use bytes::Bytes;
use serde_json::json;

use super::event::Posted;
use crate::accounting::attribution::CostCentre;
use crate::agent::session::Payer;
use crate::live::{Asked, Standing};
use crate::policy::{
    Denial, Prompt, Rules, Server, ToolUse, Verdict, permission_mode, server_of, starts_agent,
};
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
    if let (Some(session), Some(cwd)) = (session, posted.text("cwd")) {
        let team = standing.payers.first().map(|payer| payer.team.as_str());
        rules.pin(session, Path::new(cwd), team);
    }
    let unknown = Payer { team: CostCentre::unattributed().team, ..Payer::default() };
    let nobody = standing.payers.is_empty().then_some(&unknown);
    let mut ruling = Ruling::default();
    // A session id is anybody's to name, so the rules of all who paid for it hold.
    for payer in standing.payers.iter().chain(nobody) {
        let rules = rules.of(payer, session);
        let verdict = of_event(&rules, posted, &standing);
        let decides = ruling.verdict.denied.is_none() && verdict.denied.is_some();
        if decides || ruling.policy.is_empty() && verdict != Verdict::default() {
            ruling.team.clone_from(&payer.team);
            ruling.policy = rules.version();
        }
        ruling.verdict.merge(verdict);
    }
    ruling
}

fn of_event(rules: &Rules, posted: &Posted, standing: &Standing) -> Verdict {
    let mode = posted.text("permission_mode");
    let mode = mode.map(|mode| permission_mode(mode).unwrap_or(mode));
    match posted.event() {
        "PreToolUse" => {
            let name = posted.text("tool_name").unwrap_or_default();
            rules.tool(&ToolUse {
                name,
                server: server(name, posted.mcp_server()),
                mode,
                repeats: standing.repeats,
                starts_agent: starts_agent(name),
                agents_running: standing.agents_running,
            })
        }
        "UserPromptSubmit" => rules.prompt(&Prompt { mode, turns: standing.turns }),
        _ => Verdict::default(),
    }
}

/// A tool's server: the one in its name, and where its configuration comes from only where the
/// event tells it of that one.
fn server<'a>(
    tool: &'a str,
    (told, source): (Option<&'a str>, Option<&'a str>),
) -> Option<Server<'a>> {
    let in_name = server_of(tool);
    let same = |told: &str| in_name.is_none_or(|name| in_tool_names(told) == name);
    let name = told.filter(|told| same(told));
    let source = source.filter(|_| name.is_some());
    let name = name.or(in_name).or(told)?;
    Some(Server { name: Some(name), source, url: None })
}

/// A server's name as Claude Code writes it into the names of its tools.
fn in_tool_names(server: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    server.chars().map(|c| if plain(c) { c } else { '_' }).collect()
}

/// The answer to an event that asks for leave and cannot be read.
pub(super) fn unread(event: &str) -> Option<Bytes> {
    let asks = matches!(event, "PreToolUse" | "UserPromptSubmit");
    let reason = "This cannot be read, so no rule can allow it: it is longer than 1 MiB, nested too \
                  deep, or no JSON. Do it in smaller steps.";
    asks.then(|| denied(event, reason))
}

fn denied(event: &str, reason: &str) -> Bytes {
    let reason = format!("Weighbridge: {reason}");
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

impl Ruling {
    /// Whether the client is told not to go on.
    pub(super) const fn denies(&self) -> bool {
        self.verdict.denied.is_some()
    }

    /// The answer that the client reads.
    pub(super) fn answer(&self, event: &str) -> Bytes {
        match &self.verdict.denied {
            Some(denial) => denied(event, &denial.reason),
            None => Bytes::from_static(super::GO_ON),
        }
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
