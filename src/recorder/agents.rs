//! Tool calls, hook events and decisions of rules: ledger first, then what runs ([`Live`]) and
//! metrics.

use super::{Open, Recorder, Written};
use crate::agent::calls::ToolCall;
use crate::agent::session::Payer;
use crate::agent::tool_use::Decider;
use crate::anthropic::tools::Content;
use crate::anthropic::{Metered, ToolAsked, ToolReturned};
use crate::ledger::{LedgerError, Purpose};
use crate::live::{Ended, Live};
use crate::logging;
use crate::privacy::Identifier;
use crate::privacy::commitment::Side;
use crate::record::tool::TOOLS_PER_ENTRY;
use crate::record::{
    AskedTool, ChargeRecord, Committed, Entry, HookEvent, Opening, ReturnedTool, RuleApplied,
    ToolsAsked, ToolsReturned,
};
use xxhash_rust::xxh3::Xxh3Builder;

impl Recorder {
    /// What runs now.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// The keyed hash of a text that is not kept in any case.
    #[must_use]
    pub fn hashed(&self, text: &[u8]) -> Identifier {
        Identifier::hashed(text, &self.identifiers)
    }

    /// A skill's name, out of a tool's input: a path in its place is not kept.
    #[must_use]
    pub fn skill(&self, name: &str) -> Identifier {
        match name.contains('/') {
            true => self.hashed(name.as_bytes()),
            false => self.identifier(name.as_bytes()),
        }
    }

    /// Size and commitment of one side of a tool call; no commitment without its content.
    #[must_use]
    pub fn committed(
        &self,
        session: Option<&Identifier>,
        tool_use: &Identifier,
        (side, bytes): (Side, u64),
        content: Option<&[u8]>,
    ) -> Committed {
        let session = session.map_or("", Identifier::as_str);
        let commit = |content| self.commitments.commit(session, tool_use.as_str(), side, content);
        Committed { bytes, sha256: content.map(commit) }
    }

    /// Tool and input, hashed under a seed of this process: tells the same call again, and is never
    /// written down.
    #[must_use]
    pub fn repeat_hash(&self, tool: &str, input: Option<&[u8]>) -> u128 {
        let mut hash = Xxh3Builder::new().with_seed(self.repeat_seed).build();
        for part in [tool.as_bytes(), b"\0", input.unwrap_or_default()] {
            hash.update(part);
        }
        hash.digest128()
    }

    /// Records the results of tools that are new with a request.
    pub(super) fn tools_returned(&self, opening: &Opening, returned: Vec<ToolReturned>) {
        let session = opening.session.as_ref();
        let mut tools = Vec::with_capacity(returned.len());
        for tool in returned {
            let id = self.identifier(tool.id.as_bytes());
            // A request that is sent again holds what was there before.
            if self.live.has_returned(session.map(Identifier::as_str), id.as_str()) {
                continue;
            }
            tools.push(ReturnedTool {
                failed: u8::from(tool.failed),
                name: tool.name.map(|name| self.identifier(name.as_bytes())),
                output: self.content(session, &id, Side::Output, &tool.output),
                skill: tool.skill.map(|skill| self.skill(&skill)),
                id,
            });
        }
        for tools in tools.chunks(TOOLS_PER_ENTRY) {
            let entry = Entry::ToolsReturned(Box::new(ToolsReturned {
                agent: opening.agent.clone(),
                exchange: opening.exchange.clone(),
                session: session.cloned(),
                team: opening.team.clone(),
                tools: tools.to_vec(),
            }));
            let Some(at_ns) = self.append_seen(&entry) else { continue };
            if let Entry::ToolsReturned(entry) = &entry {
                let settled = self.live.returned(entry, at_ns);
                self.ended(&Ended { calls: settled, ..Ended::default() });
            }
        }
    }

    /// Records the tools that an answer asked for, and the results of those that ran at the API.
    /// `charge`: what the answer cost.
    pub(super) fn tools_seen(
        &self,
        open: &Open,
        metered: &mut Metered,
        charge: Option<&ChargeRecord>,
    ) {
        let (asked, returned) =
            (std::mem::take(&mut metered.asked), std::mem::take(&mut metered.returned));
        if !open.recorded || asked.is_empty() && returned.is_empty() {
            return;
        }
        let opening = &open.opening;
        let hash = |tool: &ToolAsked| self.repeat_hash(&tool.name, tool.input.canonical.as_deref());
        let repeats: Vec<u128> = asked.iter().map(hash).collect();
        let tools: Vec<AskedTool> =
            asked.into_iter().map(|tool| self.asked_tool(opening, tool)).collect();
        for (tools, repeats) in tools.chunks(TOOLS_PER_ENTRY).zip(repeats.chunks(TOOLS_PER_ENTRY)) {
            let entry = Entry::ToolsAsked(Box::new(ToolsAsked {
                agent: opening.agent.clone(),
                exchange: opening.exchange.clone(),
                session: opening.session.clone(),
                team: opening.team.clone(),
                tools: tools.to_vec(),
            }));
            let Some(at_ns) = self.append_seen(&entry) else { continue };
            if let Entry::ToolsAsked(entry) = &entry {
                let (settled, first) = self.live.asked(entry, repeats, at_ns);
                Self::log_asked(entry, &first, charge);
                self.ended(&Ended { calls: settled, ..Ended::default() });
            }
        }
        self.tools_returned(opening, returned);
    }

    fn asked_tool(&self, opening: &Opening, tool: ToolAsked) -> AskedTool {
        let id = self.identifier(tool.id.as_bytes());
        let name = |text: String| self.identifier(text.as_bytes());
        AskedTool {
            cut: u8::from(!tool.complete),
            input: self.content(opening.session.as_ref(), &id, Side::Input, &tool.input),
            kind: tool.kind,
            name: name(tool.name),
            server: tool.server.map(name),
            skill: tool.skill.map(|skill| self.skill(&skill)),
            id,
        }
    }

    fn content(
        &self,
        session: Option<&Identifier>,
        id: &Identifier,
        side: Side,
        content: &Content,
    ) -> Committed {
        self.committed(session, id, (side, content.bytes), content.canonical.as_deref())
    }

    /// Appends without waiting: what was seen holds no call up. `None` where it is not in the
    /// ledger.
    fn append_seen(&self, entry: &Entry) -> Option<u64> {
        match self.append_now(entry, Purpose::Running) {
            Ok((position, stamp)) => position.sequence.map(|_| stamp.wall_ns),
            Err(error) => {
                self.lost(entry, &error);
                None
            }
        }
    }

    /// Records an event of the client's hooks. `repeat`: [`Recorder::repeat_hash`] of a tool call.
    ///
    /// # Errors
    ///
    /// The ledger did not take the entry: the client must not be told that it did.
    pub async fn hook(
        &self,
        event: HookEvent,
        repeat: Option<u128>,
    ) -> Result<Written, LedgerError> {
        let entry = Entry::Hook(Box::new(event));
        let written = self.append(&entry, Purpose::Running).await?;
        let Entry::Hook(event) = entry else { return Ok(written) };
        let session = event.session.as_ref().map(Identifier::as_str);
        let payer = self.live.standing(session, None).payer;
        self.metrics.agents.event(&event, payer.as_ref().map(|payer| payer.team.as_str()));
        if let Some(session) = session {
            self.metrics.session(session, event.event.as_str(), written.stamp.mono_ns);
        }
        let (ended, is_first) = self.live.hook(&event, repeat, written.stamp.wall_ns);
        if is_first && event.event.as_str() == "PreToolUse" {
            Self::log_announced(&event, payer.as_ref());
        }
        self.ended(&ended);
        Ok(written)
    }

    /// Records that a rule decided, or would have.
    ///
    /// # Errors
    ///
    /// The ledger did not take the entry.
    pub async fn rule_applied(&self, applied: RuleApplied) -> Result<Written, LedgerError> {
        let entry = Entry::RuleApplied(Box::new(applied));
        let written = self.append(&entry, Purpose::Running).await?;
        if let Entry::RuleApplied(applied) = &entry {
            self.metrics.agents.decided(applied);
        }
        Ok(written)
    }

    /// Ends queries and tool calls that nothing more was seen of. Once a second.
    pub fn expire(&self) {
        let ended = self.live.expire(self.clock.stamp().wall_ns);
        self.ended(&ended);
    }

    /// Counts what ended, and says what came of tools.
    pub(super) fn ended(&self, ended: &Ended) {
        for query in &ended.queries {
            self.metrics.agents.query_ended(query);
        }
        for call in &ended.calls {
            self.metrics.agents.call_ended(call);
            self.log_result(call);
        }
    }

    /// A tool that the traffic has not shown yet: a client may begin before the answer is whole.
    fn log_announced(event: &HookEvent, payer: Option<&Payer>) {
        let id = event.tool_use.as_ref().map_or("", Identifier::as_str);
        let session = event.session.as_ref().map(Identifier::as_str);
        let input = event.input.as_ref();
        tracing::info!(
            target: logging::TOOLS,
            tool_name = event.tool.as_ref().map(Identifier::as_str),
            tool_use_id = id,
            session,
            team = payer.map(|payer| payer.team.as_str()),
            agent = event.agent.as_ref().map(Identifier::as_str),
            input_bytes = input.map(|input| input.bytes),
            input_sha256 = input.and_then(|input| input.sha256.as_deref()),
            "tool_execution"
        );
    }

    fn log_result(&self, call: &ToolCall) {
        let (state, session) = (call.state(), call.session.as_deref());
        let spent = self.live.standing(session, None).spent;
        tracing::info!(
            target: logging::TOOLS,
            tool_name = call.tool.as_deref(),
            tool_use_id = call.id,
            success = state == crate::agent::tool_use::State::Complete,
            state = state.name(),
            session,
            agent = call.agent.as_deref(),
            team = call.team.as_deref(),
            output_bytes = call.seen.returned.map(|returned| returned.output.bytes),
            duration_ms = call.seen.duration_ns().map(|ns| ns / 1_000_000),
            denied_by = call.seen.denied_by().map(Decider::name),
            session_usd = session.map(|_| spent.to_string()),
            "tool_result"
        );
    }

    /// What the client has announced already has its line.
    fn log_asked(entry: &ToolsAsked, first: &[bool], charge: Option<&ChargeRecord>) {
        let usd = charge.and_then(|charge| charge.usd).map(|usd| usd.to_string());
        let session = entry.session.as_ref().map(Identifier::as_str);
        for (tool, _) in entry.tools.iter().zip(first).filter(|(_, is_first)| **is_first) {
            tracing::info!(
                target: logging::TOOLS,
                tool_name = tool.name.as_str(),
                tool_use_id = tool.id.as_str(),
                session,
                team = entry.team.as_str(),
                agent = entry.agent.as_ref().map(Identifier::as_str),
                exchange = entry.exchange.as_str(),
                exchange_usd = usd.as_deref(),
                input_bytes = tool.input.bytes,
                input_sha256 = tool.input.sha256.as_deref(),
                "tool_execution"
            );
        }
    }
}
