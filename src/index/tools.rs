//! Tool calls, hooks and rules on their way into the index.
//!
//! Invariant: the first sighting of each side of a tool call stays. So a line that stands twice in
//! the ledger, a result that is sent again and an index that is built again give the same rows.
//! Whose call it is and what its tool is called, the traffic knows better than a hook, and the
//! answer that asks better than the request that brings the result.

use rusqlite::{Connection, params};

use super::IndexError;
use super::wire::{Committed, Envelope, Hook, RuleApplied, ToolsAsked, ToolsReturned};
use crate::agent::tool_use::{Content, Decider};
use crate::privacy::Identifier;
use crate::record::encoding::Text;

/// Who names a tool, in rising order of trust.
const BY_HOOK: i64 = 0;
const BY_REQUEST: i64 = 1;
const BY_ANSWER: i64 = 2;

/// Places of one entry: more than it holds tools.
const PLACES: i64 = 64;

const SIGHTING: &str = "
INSERT INTO tool_calls (session, id, sequence, told, team, agent, tool, server, skill, kind, mode,
    denied, asked_at, asked_exchange, asked_cut, asked_bytes, asked_mark, announced_at,
    announced_bytes, announced_mark, done_at, done_failed, done_ms, done_bytes, done_mark,
    batched_bytes, batched_mark, returned_at, returned_exchange, returned_failed, returned_bytes,
    returned_mark)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
    ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32)
ON CONFLICT (session, id) DO UPDATE SET
    told = max(told, excluded.told),
    team = iif(excluded.told > told, excluded.team, team),
    agent = iif(excluded.told > told, excluded.agent, agent),
    tool = iif(excluded.told > told, coalesce(excluded.tool, tool), coalesce(tool, excluded.tool)),
    server = iif(excluded.told > told, coalesce(excluded.server, server),
        coalesce(server, excluded.server)),
    skill = iif(excluded.told > told, coalesce(excluded.skill, skill),
        coalesce(skill, excluded.skill)),
    kind = coalesce(kind, excluded.kind),
    mode = coalesce(mode, excluded.mode),
    denied = coalesce(denied, excluded.denied),
    asked_at = coalesce(asked_at, excluded.asked_at),
    asked_exchange = iif(asked_at IS NULL, excluded.asked_exchange, asked_exchange),
    asked_cut = iif(asked_at IS NULL, excluded.asked_cut, asked_cut),
    asked_bytes = iif(asked_at IS NULL, excluded.asked_bytes, asked_bytes),
    asked_mark = iif(asked_at IS NULL, excluded.asked_mark, asked_mark),
    announced_at = coalesce(announced_at, excluded.announced_at),
    announced_bytes = iif(announced_at IS NULL, excluded.announced_bytes, announced_bytes),
    announced_mark = iif(announced_at IS NULL, excluded.announced_mark, announced_mark),
    done_at = coalesce(done_at, excluded.done_at),
    done_failed = iif(done_at IS NULL, excluded.done_failed, done_failed),
    done_ms = iif(done_at IS NULL, excluded.done_ms, done_ms),
    done_bytes = iif(done_at IS NULL, excluded.done_bytes, done_bytes),
    done_mark = iif(done_at IS NULL, excluded.done_mark, done_mark),
    batched_bytes = coalesce(batched_bytes, excluded.batched_bytes),
    batched_mark = iif(batched_bytes IS NULL, excluded.batched_mark, batched_mark),
    returned_at = coalesce(returned_at, excluded.returned_at),
    returned_exchange = iif(returned_at IS NULL, excluded.returned_exchange, returned_exchange),
    returned_failed = iif(returned_at IS NULL, excluded.returned_failed, returned_failed),
    returned_bytes = iif(returned_at IS NULL, excluded.returned_bytes, returned_bytes),
    returned_mark = iif(returned_at IS NULL, excluded.returned_mark, returned_mark)";

/// What one line says of one tool call. Absent is what it does not speak of.
#[derive(Debug, Default)]
struct Sighting<'a> {
    session: &'a str,
    id: &'a str,
    sequence: i64,
    told: i64,
    team: Option<&'a str>,
    agent: Option<&'a str>,
    tool: Option<&'a str>,
    server: Option<&'a str>,
    skill: Option<&'a str>,
    kind: Option<&'a str>,
    mode: Option<&'a str>,
    denied: Option<&'static str>,
    /// Moment, exchange, whether the answer was cut, input.
    asked: Option<(i64, &'a str, u8, &'a Committed<'a>)>,
    /// Moment, input.
    announced: Option<(i64, Option<&'a Committed<'a>>)>,
    /// Moment, whether it failed, milliseconds, input.
    done: Option<(i64, bool, Option<i64>, Option<&'a Committed<'a>>)>,
    batched: Option<&'a Committed<'a>>,
    /// Moment, exchange, whether it failed, output.
    returned: Option<(i64, &'a str, u8, &'a Committed<'a>)>,
}

impl Sighting<'_> {
    fn insert(&self, connection: &Connection) -> Result<(), IndexError> {
        let announced = self.announced.and_then(|(_, input)| input);
        let done = self.done.and_then(|(.., input)| input);
        connection.prepare_cached(SIGHTING)?.execute(params![
            self.session,
            self.id,
            self.sequence,
            self.told,
            self.team,
            self.agent,
            self.tool,
            self.server,
            self.skill,
            self.kind,
            self.mode,
            self.denied,
            self.asked.map(|(at, ..)| at),
            self.asked.map(|(_, exchange, ..)| exchange),
            self.asked.map(|(_, _, cut, _)| cut),
            self.asked.map(|(.., input)| input.bytes),
            self.asked.and_then(|(.., input)| input.mark()),
            self.announced.map(|(at, _)| at),
            announced.map(|input| input.bytes),
            announced.and_then(Committed::mark),
            self.done.map(|(at, ..)| at),
            self.done.map(|(_, failed, ..)| failed),
            self.done.and_then(|(_, _, ms, _)| ms),
            done.map(|input| input.bytes),
            done.and_then(Committed::mark),
            self.batched.map(|output| output.bytes),
            self.batched.and_then(Committed::mark),
            self.returned.map(|(at, ..)| at),
            self.returned.map(|(_, exchange, ..)| exchange),
            self.returned.map(|(_, _, failed, _)| failed),
            self.returned.map(|(.., output)| output.bytes),
            self.returned.and_then(|(.., output)| output.mark()),
        ])?;
        Ok(())
    }
}

impl Committed<'_> {
    fn mark(&self) -> Option<[u8; 16]> {
        let commitment = self.sha256.as_ref().map(|text| &*text.0);
        Content::new(0, commitment).mark.map(u128::to_be_bytes)
    }
}

fn text<'a>(value: &'a Option<Text<'_>>) -> Option<&'a str> {
    value.as_ref().map(|text| &*text.0)
}

/// An answer asked for tools.
pub(super) fn asked(
    connection: &Connection,
    line: &Envelope<'_, ToolsAsked<'_>>,
) -> Result<(), IndexError> {
    let body = &line.body;
    for tool in &body.tools {
        let sighting = Sighting {
            session: text(&body.session).unwrap_or_default(),
            id: &tool.id,
            sequence: line.index,
            told: BY_ANSWER,
            team: Some(&body.team),
            agent: text(&body.agent),
            tool: Some(&tool.name),
            server: text(&tool.server),
            skill: text(&tool.skill),
            kind: Some(&tool.kind),
            asked: Some((line.wall_ns, &body.exchange, tool.cut, &tool.input)),
            ..Sighting::default()
        };
        sighting.insert(connection)?;
    }
    Ok(())
}

/// Results of tools were sent.
pub(super) fn returned(
    connection: &Connection,
    line: &Envelope<'_, ToolsReturned<'_>>,
) -> Result<(), IndexError> {
    let body = &line.body;
    let carried = "INSERT OR IGNORE INTO carried (exchange, id, place) VALUES (?1, ?2, ?3)";
    for (tool, place) in body.tools.iter().zip(line.index.saturating_mul(PLACES)..) {
        let sighting = Sighting {
            session: text(&body.session).unwrap_or_default(),
            id: &tool.id,
            sequence: line.index,
            told: BY_REQUEST,
            team: Some(&body.team),
            agent: text(&body.agent),
            tool: text(&tool.name),
            skill: text(&tool.skill),
            returned: Some((line.wall_ns, &body.exchange, tool.failed, &tool.output)),
            ..Sighting::default()
        };
        sighting.insert(connection)?;
        let row = (&*body.exchange, &*tool.id, place);
        connection.prepare_cached(carried)?.execute(row)?;
    }
    Ok(())
}

/// An event of the client's hooks. One that is there already says nothing new.
pub(super) fn hook(
    connection: &Connection,
    line: &Envelope<'_, Hook<'_>>,
) -> Result<(), IndexError> {
    let hook = &line.body;
    let sql =
        "INSERT OR IGNORE INTO hooks (sequence, at, event, session, agent, agent_type, prompt,
                   tool_use, mode, reason, model, denied, duration, digest)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let bits = Identifier::hash_bits(&hook.digest).map(u128::to_be_bytes);
    let digest: &[u8] = bits.as_ref().map_or(hook.digest.as_bytes(), |bits| bits);
    let inserted = connection.prepare_cached(sql)?.execute(params![
        line.index,
        line.wall_ns,
        hook.event,
        text(&hook.session),
        text(&hook.agent),
        text(&hook.agent_type),
        text(&hook.prompt),
        text(&hook.tool_use),
        text(&hook.mode),
        text(&hook.reason),
        text(&hook.model),
        (hook.denied == 1).then_some(1),
        hook.duration_ms,
        digest,
    ])?;
    if inserted == 0 {
        return Ok(());
    }
    agent(connection, line)?;
    sighting_of_hook(connection, line)
}

/// What it says of a tool call, or of several.
fn sighting_of_hook(
    connection: &Connection,
    line: &Envelope<'_, Hook<'_>>,
) -> Result<(), IndexError> {
    let hook = &line.body;
    let common = |id| Sighting {
        session: text(&hook.session).unwrap_or_default(),
        id,
        sequence: line.index,
        told: BY_HOOK,
        agent: text(&hook.agent),
        mode: text(&hook.mode),
        ..Sighting::default()
    };
    for tool in &hook.tools {
        Sighting { batched: Some(&tool.output), ..common(&tool.id) }.insert(connection)?;
    }
    let Some(id) = text(&hook.tool_use) else { return Ok(()) };
    let (at, input) = (line.wall_ns, hook.input.as_ref());
    let mut sighting = Sighting {
        tool: text(&hook.tool),
        server: text(&hook.server),
        skill: text(&hook.skill),
        ..common(id)
    };
    match &*hook.event {
        "PreToolUse" => {
            sighting.announced = Some((at, input));
            sighting.denied = (hook.denied == 1).then_some(Decider::Rule.name());
        }
        "PostToolUse" => sighting.done = Some((at, false, hook.duration_ms, input)),
        "PostToolUseFailure" => sighting.done = Some((at, true, hook.duration_ms, input)),
        "PermissionDenied" => sighting.denied = Some(Decider::Client.name()),
        _ => return Ok(()),
    }
    sighting.insert(connection)
}

/// What it says of an agent: what kind it is, and when it started.
fn agent(connection: &Connection, line: &Envelope<'_, Hook<'_>>) -> Result<(), IndexError> {
    let hook = &line.body;
    let Some(session) = text(&hook.session) else { return Ok(()) };
    let started_at = (hook.event == "SubagentStart").then_some(line.wall_ns);
    if hook.agent_type.is_none() && started_at.is_none() {
        return Ok(());
    }
    let sql = "INSERT INTO agents (session, agent, agent_type, started_at) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (session, agent) DO UPDATE SET
                   agent_type = coalesce(agent_type, excluded.agent_type),
                   started_at = coalesce(started_at, excluded.started_at)
               WHERE agent_type IS NULL OR started_at IS NULL";
    let id = text(&hook.agent).unwrap_or_default();
    let row = (session, id, text(&hook.agent_type), started_at);
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// A rule decided, or would have.
pub(super) fn rule(
    connection: &Connection,
    line: &Envelope<'_, RuleApplied<'_>>,
) -> Result<(), IndexError> {
    let rule = &line.body;
    let sql =
        "INSERT OR IGNORE INTO rules (sequence, at, action, rule, layer, policy, team, session,
                   agent, exchange, tool, tool_use)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    connection.prepare_cached(sql)?.execute(params![
        line.index,
        line.wall_ns,
        rule.action,
        rule.rule,
        rule.layer,
        rule.policy,
        rule.team,
        text(&rule.session),
        text(&rule.agent),
        text(&rule.exchange),
        text(&rule.tool),
        text(&rule.tool_use),
    ])?;
    Ok(())
}
