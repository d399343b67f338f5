//! What rules say of a call, before it goes upstream.
//!
//! Hooks are claims and can be left out; this is where rules are enforced in any case. A tool that
//! is not allowed may have run all the same where the client has no hooks: its result is not given
//! to the model.

use super::Gate;
use crate::anthropic::{Refusal, RequestFacts, ToolReturned};
use crate::live::{Standing, payer_of};
use crate::policy::{Call, Denial, Rule, Rules, Server, ToolUse, Verdict, server_of};
use crate::privacy::Identifier;
use crate::record::exchange::Endpoint;
use crate::record::{Opening, RuleAction, RuleApplied};

/// What comes of the rules for one call.
pub(super) struct Ruling {
    verdict: Verdict,
    rules: std::sync::Arc<Rules>,
}

impl Ruling {
    /// The answer in the API's place, and what it says; `None` where the call may go on.
    pub(super) fn refusal(&self) -> Option<(Refusal, String)> {
        let denial = self.verdict.denied.as_ref()?;
        let kind = if denial.rule.is_limit() { Refusal::LimitReached } else { Refusal::NotAllowed };
        Some((kind, format!("Weighbridge: {}", denial.reason)))
    }
}

/// Asks the rules about a call. `None` where there are none.
pub(super) fn ask(
    gate: &Gate,
    opening: &Opening,
    facts: Option<&RequestFacts>,
    returned: &[ToolReturned],
) -> Option<Ruling> {
    if gate.rules.is_idle() {
        return None;
    }
    let session = opening.session.as_ref().map(Identifier::as_str);
    let rules = gate.rules.of(&payer_of(opening), session);
    let live = gate.recorder.live();
    let mut verdict = match opening.endpoint {
        // Nothing of these is read, so what must be checked in them cannot be.
        _ if spends_unread(opening) => {
            let spent = live.standing(session, None).spent;
            let upstream = gate.rules.upstream();
            rules.call(&Call { upstream, spent, unread: true, ..Call::default() })
        }
        endpoint if endpoint.is_metered() || endpoint == Endpoint::CountTokens => {
            let standing = live.standing(session, None);
            let agent = opening.agent.as_ref().map(Identifier::as_str);
            let repeated = live.repeated(session, agent);
            let call = call(gate, (opening, facts), &standing, repeated);
            let mut verdict = rules.call(&call);
            for tool in returned {
                verdict.merge(of_result(gate, session, &rules, tool));
            }
            verdict
        }
        _ => rules.upstream(gate.rules.upstream()),
    };
    if (opening.endpoint.is_metered() || spends_unread(opening))
        && verdict.denied.is_none()
        && let Some(limit) = gate.rules.run_usd_max()
        && live.spent() >= limit
    {
        let reason = format!("This run has cost its ${limit} (run --budget).");
        verdict.denied = Some(Denial { rule: Rule::RunBudget, layer: "run".to_owned(), reason });
    }
    (verdict != Verdict::default()).then_some(Ruling { verdict, rules })
}

/// A new batch, or a form of asking a model that is not metered.
fn spends_unread(opening: &Opening) -> bool {
    match opening.endpoint {
        Endpoint::Completions => true,
        Endpoint::Batches => opening.method.as_str().eq_ignore_ascii_case("POST"),
        _ => false,
    }
}

fn call<'a>(
    gate: &'a Gate,
    (opening, facts): (&'a Opening, Option<&'a RequestFacts>),
    standing: &Standing,
    repeated: u64,
) -> Call<'a> {
    let offered = facts.map(|facts| &facts.offered);
    let servers = offered.map_or(&[][..], |offered| &offered.mcp_servers);
    let tools = offered.map_or(&[][..], |offered| &offered.server_tools);
    let is_metered = opening.endpoint.is_metered();
    let new_turn = is_metered && !standing.in_turn && opening.returned == 0;
    Call {
        model: opening.model.as_ref().map(Identifier::as_str),
        inference_geo: offered.and_then(|offered| offered.inference_geo.as_deref()),
        upstream: gate.rules.upstream(),
        servers: servers
            .iter()
            .map(|server| Server {
                name: Some(&server.name),
                source: None,
                url: Some(server.url.as_deref().unwrap_or_default()),
            })
            .collect(),
        server_tools: tools.iter().map(String::as_str).collect(),
        turns: new_turn.then_some(standing.turns),
        calls_in_turn: if is_metered && !new_turn { standing.calls } else { 0 },
        spent: standing.spent,
        repeated: if is_metered { repeated } else { 0 },
        unread: facts.is_none_or(|facts| facts.malformed || facts.offered.unread),
    }
}

/// A result goes on where its tool is allowed, or where we denied it and it says that it failed.
fn of_result(gate: &Gate, session: Option<&str>, rules: &Rules, tool: &ToolReturned) -> Verdict {
    let live = gate.recorder.live();
    let id = gate.recorder.identifier(tool.id.as_bytes());
    let known = live.call(session, id.as_str());
    if tool.failed && known.denied {
        return Verdict::default();
    }
    // What the model asked for, rather than what the request says it did.
    let Some(name) = known.tool.or_else(|| tool.name.clone()) else {
        return Verdict::default();
    };
    // Only the client's hook tells where a server's configuration comes from.
    let server = server_of(&name).filter(|_| !known.announced);
    let server = server.map(|name| Server { name: Some(name), source: None, url: None });
    rules.tool(&ToolUse { name: &name, server, ..ToolUse::default() })
}

/// Writes down what the rules said of a call that is in the ledger.
pub(super) async fn record(gate: &Gate, ruling: &Ruling, opening: &Opening) {
    let all = ruling.verdict.observed.iter().map(|denial| (RuleAction::Observed, denial));
    let denied = ruling.verdict.denied.iter().map(|denial| (RuleAction::Refused, denial));
    for (action, denial) in all.chain(denied) {
        let applied = RuleApplied {
            action,
            agent: opening.agent.clone(),
            exchange: Some(opening.exchange.clone()),
            layer: denial.layer.clone(),
            policy: ruling.rules.version(),
            rule: denial.rule.name().to_owned(),
            session: opening.session.clone(),
            team: opening.team.clone(),
            tool: None,
            tool_use: None,
        };
        if let Err(error) = gate.recorder.rule_applied(applied).await {
            tracing::error!(%error, "what a rule decided was not recorded");
        }
    }
}
