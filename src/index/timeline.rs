//! One session with all that belongs to it, and the tool calls of several.

use std::collections::HashMap;

use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::queries::{columns, count, integer, text};
use super::replay::{NEEDED, Sessions as Which, Step};
use super::{Index, IndexError};
use crate::agent::calls::TOOL_WAIT_NS;
use crate::agent::tool_use::{Content, Decider, Done, Returned, Sightings, ToolKind};
use crate::report::TimelineBuilder;
use crate::report::exchange::{Exchange, Related, RuleSaid};
use crate::report::session::{Session, Sessions};
use crate::report::timeline::Mark;
use crate::report::tool::{Judged, ToolCall};

/// What is read of a tool call.
const TOOL: &str = "id, sequence, agent, tool, server, skill, mode, asked_exchange,
    returned_exchange, asked_cut, kind, denied, asked_at, asked_bytes, asked_mark, announced_at,
    announced_bytes, announced_mark, done_at, done_failed, done_ms, done_bytes, done_mark,
    batched_bytes, batched_mark, returned_at, returned_failed, returned_bytes, returned_mark";
/// Columns of an exchange that no timeline shows.
const UNSEEN: [&str; 3] = ["lines", "batch", "moved_from"];

impl Index {
    /// Gives the exchanges of a session and the ends of its turns to `builder`.
    pub fn session_exchanges(
        &self,
        session: &str,
        now_ns: u64,
        builder: &mut TimelineBuilder,
    ) -> Result<(), IndexError> {
        let ids = serde_json::json!([session]).to_string();
        let selected = (&*columns(|name| !UNSEEN.contains(&name)), Vec::new());
        self.replay(&Which::Only(&ids), selected, now_ns, &mut |step| {
            match step {
                Step::Over(query) => builder.over(&query),
                Step::Exchange { exchange, turn, .. } => builder.exchange(exchange, turn),
            }
            Ok(())
        })
    }

    /// Gives what hooks and rules say of a session to `builder`, then its tool calls. After the
    /// exchanges of all indexes.
    pub fn session_tools(
        &self,
        session: &str,
        builder: &mut TimelineBuilder,
    ) -> Result<(), IndexError> {
        let sql = "SELECT mode FROM hooks WHERE session = ? AND mode IS NOT NULL
                   GROUP BY mode ORDER BY min(sequence)";
        self.each(sql, [session], |row| builder.mode(text(row, 0).unwrap_or_default()))?;
        let sql = "SELECT at, event, reason FROM hooks WHERE session = ?
                   AND event IN ('SessionStart', 'PostCompact', 'SessionEnd') ORDER BY sequence";
        self.each(sql, [session], |row| {
            if let (Some(at), Some(event)) = (integer(row, 0), text(row, 1)) {
                let reason = text(row, 2).map(str::to_owned);
                builder.mark(Mark { at, event: event.to_owned(), reason });
            }
        })?;
        if let Some(at) =
            self.sessions_over(&serde_json::json!([session]).to_string())?.get(session)
        {
            builder.session_over(*at);
        }
        let sql = "SELECT agent, agent_type, started_at FROM agents WHERE session = ?";
        self.each(sql, [session], |row| {
            let id = text(row, 0).filter(|id| !id.is_empty());
            builder.agent_told(id, text(row, 1), integer(row, 2));
        })?;
        let sql = "SELECT coalesce(tool_use, exchange), rule, layer FROM rules
                   WHERE session = ? AND action IN ('denied', 'refused') ORDER BY sequence";
        self.each(sql, [session], |row| {
            let [id, rule, layer] = [0, 1, 2].map(|place| text(row, place).unwrap_or_default());
            builder.rule(id, rule, layer);
        })?;
        let sql = format!("SELECT {TOOL} FROM tool_calls WHERE session = ?");
        self.each(&sql, [session], |row| builder.tool(tool_call(row)))
    }

    /// Counts the tool calls of some sessions in their sums.
    pub fn tool_figures(&self, sessions: &mut [Session], now_ns: u64) -> Result<(), IndexError> {
        let ids: Vec<&str> = sessions.iter().map(|session| session.id.as_str()).collect();
        let quiet = self.quiet(&ids, now_ns)?;
        let sql = format!("SELECT {TOOL} FROM tool_calls WHERE session = ?");
        for session in sessions {
            let quiet_ns = quiet.of(&session.id);
            self.each(&sql, [&*session.id], |row| {
                let call = tool_call(row);
                session.tools.add(call.seen.state(call.last_ns() <= quiet_ns));
            })?;
        }
        Ok(())
    }

    /// What other entries say about an exchange.
    pub fn related(&self, exchange: &Exchange<'_>, now_ns: u64) -> Result<Related, IndexError> {
        let session = exchange.session.unwrap_or_default();
        let quiet_ns = self.quiet(&[session], now_ns)?.of(session);
        let rule = "SELECT rule || ' (' || layer || ')' FROM rules
                    WHERE session = ?1 AND tool_use = ?2 AND action = 'denied' ORDER BY sequence";
        let judged = |condition: &str, id: &str| {
            let sql = format!(
                "SELECT {TOOL} FROM tool_calls WHERE session = ?1 AND {condition} ORDER BY sequence"
            );
            let mut calls = Vec::new();
            self.each(&sql, [session, id], |row| calls.push(tool_call(row)))?;
            let judge = |mut call: ToolCall| {
                self.each(rule, [session, &call.id], |row| {
                    call.rule = call.rule.take().or_else(|| text(row, 0).map(str::to_owned));
                })?;
                let over = call.last_ns() <= quiet_ns;
                Ok(Judged::new(call, over))
            };
            calls.into_iter().map(judge).collect::<Result<Vec<_>, IndexError>>()
        };
        let carried = "id IN (SELECT id FROM carried WHERE exchange = ?2)";
        let mut related = Related {
            attempts: self.attempts(exchange.call)?,
            asked: judged("asked_exchange = ?2", exchange.id)?,
            carried: judged(carried, exchange.id)?,
            rules: Vec::new(),
        };
        if related.carried.is_empty() {
            related.carried = judged(carried, exchange.call)?;
        }
        let sql =
            "SELECT action, rule, layer, policy FROM rules WHERE exchange = ? ORDER BY sequence";
        self.each(sql, [exchange.id], |row| {
            let own = |place| text(row, place).unwrap_or_default().to_owned();
            let said = RuleSaid { action: own(0), rule: own(1), layer: own(2), policy: own(3) };
            related.rules.push(said);
        })?;
        Ok(related)
    }

    /// Adds the sessions that hooks speak of, or the one, where no exchange is known of them.
    pub fn told(&self, session: Option<&str>, sessions: &mut Sessions) -> Result<(), IndexError> {
        let sql = "SELECT session, min(at), max(at) FROM hooks
                   WHERE session IS NOT NULL AND (?1 IS NULL OR session = ?1) GROUP BY session";
        self.each(sql, [session], |row| {
            if let (Some(id), Some(first), Some(last)) =
                (text(row, 0), integer(row, 1), integer(row, 2))
            {
                sessions.told(id, first, last);
            }
        })
    }

    /// Up to when nothing more comes of tool calls: a turn or the session ended, or too much time
    /// went by.
    fn quiet(&self, sessions: &[&str], now_ns: u64) -> Result<Quiet, IndexError> {
        let ids = serde_json::json!(sessions).to_string();
        let mut ended = self.sessions_over(&ids)?;
        let needed = columns(|name| NEEDED.contains(&name));
        self.replay(&Which::Only(&ids), (&needed, Vec::new()), now_ns, &mut |step| {
            if let Step::Over(query) = step
                && let Some(session) = query.session
            {
                let at = ended.entry(session).or_default();
                *at = query.to_ns.max(*at);
            }
            Ok(())
        })?;
        Ok(Quiet { ended, longest_ns: now_ns.saturating_sub(TOOL_WAIT_NS) })
    }

    /// When sessions ended, as their hooks say.
    fn sessions_over(&self, ids: &str) -> Result<HashMap<String, u64>, IndexError> {
        let sql = "SELECT session, max(at) FROM hooks WHERE event = 'SessionEnd'
                   AND session IN (SELECT value FROM json_each(?)) GROUP BY session";
        let mut over = HashMap::new();
        self.each(sql, [ids], |row| {
            over.extend(text(row, 0).map(str::to_owned).zip(count(row, 1)));
        })?;
        Ok(over)
    }

    fn each(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        mut visit: impl FnMut(&Row<'_>),
    ) -> Result<(), IndexError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(parameters)?;
        while let Some(row) = rows.next()? {
            visit(row);
        }
        Ok(())
    }
}

/// Up to when nothing more comes of tool calls.
struct Quiet {
    /// By session.
    ended: HashMap<String, u64>,
    longest_ns: u64,
}

impl Quiet {
    fn of(&self, session: &str) -> u64 {
        self.ended.get(session).copied().unwrap_or(0).max(self.longest_ns)
    }
}

/// Reads a row of [`TOOL`].
fn tool_call(row: &Row<'_>) -> ToolCall {
    let own = |place| text(row, place).map(str::to_owned);
    let flag = |place| integer(row, place) == Some(1);
    let done = count(row, 18).map(|at_ns| Done {
        at_ns,
        failed: flag(19),
        duration_ms: count(row, 20),
        input: content(row, 21),
    });
    let returned =
        count(row, 25).map(|at_ns| Returned { at_ns, failed: flag(26), output: content(row, 27) });
    let denied = text(row, 11);
    let deciders = [Decider::Rule, Decider::Client];
    ToolCall {
        id: own(0).unwrap_or_default(),
        sequence: count(row, 1).unwrap_or(0),
        agent: own(2),
        tool: own(3),
        server: own(4),
        skill: own(5),
        mode: own(6),
        asked_exchange: own(7),
        returned_exchange: own(8),
        cut: flag(9),
        seen: Sightings {
            kind: text(row, 10).map(ToolKind::named).unwrap_or_default(),
            asked: count(row, 12).map(|at| (at, content(row, 13))),
            announced: count(row, 15).map(|at| (at, content(row, 16))),
            done,
            batched: integer(row, 23).map(|_| content(row, 23)),
            returned,
            denied: deciders.into_iter().find(|by| denied == Some(by.name())),
        },
        rule: None,
    }
}

/// Size and mark in two columns from `place` on.
fn content(row: &Row<'_>, place: usize) -> Content {
    let mark = match row.get_ref(place + 1) {
        Ok(ValueRef::Blob(bytes)) => <[u8; 16]>::try_from(bytes).ok().map(u128::from_be_bytes),
        _ => None,
    };
    Content { bytes: count(row, place).unwrap_or(0), mark }
}
