//! Entries become spans. Pure: the same entries give the same spans with the same ids, so one that
//! is sent again is the same one.
//!
//! ```text
//! claude_query                       one prompt until its final answer
//! ├── chat {model}                   each exchange, every attempt
//! ├── execute_tool {tool}            each tool call
//! └── invoke_agent                   a sub-agent's part
//!     ├── chat {model}
//!     └── execute_tool {tool}
//! ```
//!
//! Where the client sends `traceparent`, `chat` is the child of the client's own span and
//! `claude_query` is in the same trace, linked to each.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanId, TraceId};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

use super::names;
use super::protobuf::{Attributes, Facts, Kind, Place, Spans};
use super::tools::PlacedTool;
use super::usage::Tokens;
use super::wire::{Charge, Closed, Envelope};
use crate::accounting::Money;
use crate::agent::query::{AgentPart, Begin, Query};
use crate::agent::tool_use::{Decider, State, ToolKind};
use crate::config::Semconv;
use crate::privacy::Identifier;
use crate::record::Opening;
use crate::record::exchange::Endpoint;

/// Parts the spans of exchanges, queries and agents from each other.
const EXCHANGE_SEED: u64 = 1;
const QUERY_SEED: u64 = 2;
const AGENT_SEED: u64 = 3;

/// An exchange that opened and has not closed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Running {
    pub(super) opening: Opening,
    /// When it opened, nanoseconds since 1970 (UTC).
    pub(super) at_ns: u64,
    /// The first exchange of its query.
    pub(super) query: String,
    /// The query's trace, where its first exchange named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<String>,
    /// Whether its sub-agent has a span.
    #[serde(default)]
    pub(super) agent_known: bool,
}

impl Running {
    /// What queries depend on.
    pub(super) fn begin(opening: &Opening, at_ns: u64) -> Begin<'_> {
        Begin {
            exchange: &opening.exchange,
            session: opening.session.as_ref().map(Identifier::as_str),
            call: &opening.call,
            team: &opening.team,
            agent: opening.agent.as_ref().map(Identifier::as_str),
            model: opening.model.as_ref().map(Identifier::as_str),
            parent_agent: opening.parent_agent.as_ref().map(Identifier::as_str),
            trace: parent_of(opening).map(|(trace, _)| trace),
            at_ns,
        }
    }

    /// When it began: a little before it opened, when the first byte of its request came.
    pub(super) fn began_ns(&self, closed: &Envelope<Closed<'_>>) -> u64 {
        let lasted_ns = closed.body.duration_us.saturating_mul(1000);
        // A crash leaves no duration.
        self.at_ns.min(match lasted_ns {
            0 => u64::MAX,
            lasted => closed.wall_ns.saturating_sub(lasted),
        })
    }
}

/// Trace and parent of a valid W3C `traceparent`.
fn parent_of(opening: &Opening) -> Option<(&str, &str)> {
    let mut parts = opening.traceparent.as_ref()?.as_str().split('-');
    let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let some = |text: &str| text.bytes().any(|b| b != b'0');
    let valid = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(span, 16);
    (valid && some(trace) && some(span)).then_some((trace, span))
}

/// What all spans have in common.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) semconv: Semconv,
    /// Host and port of the API behind us.
    pub(super) server: (String, u16),
    /// Used again for each span.
    list: Attributes,
}

/// An exchange, as telemetry names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Called<'a> {
    /// `chat`, `count_tokens`; absent for what is no operation of a model.
    pub(super) operation: Option<&'static str>,
    pub(super) provider: &'static str,
    pub(super) requested: Option<&'a str>,
    pub(super) served: Option<&'a str>,
}

impl<'a> Called<'a> {
    pub(super) fn new(
        endpoint: Endpoint,
        requested: Option<&'a str>,
        closed: &'a Closed<'_>,
    ) -> Called<'a> {
        Called {
            operation: match endpoint {
                Endpoint::CountTokens => Some("count_tokens"),
                metered if metered.is_metered() => Some("chat"),
                _ => None,
            },
            provider: match endpoint {
                Endpoint::Bedrock => "aws.bedrock",
                Endpoint::Vertex => "gcp.vertex_ai",
                _ => "anthropic",
            },
            requested,
            served: closed.model.as_ref().map(|model| &*model.0),
        }
    }

    fn name(&self, opening: &Opening) -> String {
        match (self.operation, self.requested.or(self.served)) {
            (Some(operation), Some(model)) => format!("{operation} {model}"),
            (Some(operation), None) => operation.to_owned(),
            (None, _) => format!("{} {}", opening.method.as_str(), opening.endpoint.name()),
        }
    }
}

/// Parts the spans of tool calls from the others.
const TOOL_SEED: u64 = 4;

fn span_id(seed: u64, name: &str) -> SpanId {
    SpanId::from_bytes(xxh3_64_with_seed(name.as_bytes(), seed).max(1).to_be_bytes())
}

fn trace_id(named: Option<&str>, query: &str) -> TraceId {
    let named = named.and_then(|hex| TraceId::from_hex(hex).ok());
    named.unwrap_or_else(|| TraceId::from_bytes(xxh3_128(query.as_bytes()).max(1).to_be_bytes()))
}

fn agent_span_id(query: &str, agent: &str) -> SpanId {
    span_id(AGENT_SEED, &format!("{query}/{agent}"))
}

/// Trace and span of an exchange.
pub(super) fn context_of(running: &Running) -> (TraceId, SpanId) {
    let named = parent_of(&running.opening).map(|(trace, _)| trace).or(running.trace.as_deref());
    let trace = trace_id(named, &running.query);
    (trace, span_id(EXCHANGE_SEED, &running.opening.exchange))
}

pub(super) fn moment(wall_ns: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(wall_ns)
}

impl Shape {
    pub(super) fn new(semconv: Semconv, server: (String, u16)) -> Shape {
        Shape { semconv, server, list: Attributes::of_span() }
    }

    /// The span of an exchange that closed.
    pub(super) fn exchange(
        &mut self,
        spans: &mut Spans,
        running: &Running,
        closed: &Envelope<Closed<'_>>,
    ) {
        let (opening, body) = (&running.opening, &closed.body);
        let requested = opening.model.as_ref().map(Identifier::as_str);
        let called = Called::new(opening.endpoint, requested, body);
        let (remote, (trace, own)) = (parent_of(opening), context_of(running));
        let parent = match (remote, &opening.agent) {
            (Some((_, span)), _) => SpanId::from_hex(span).unwrap_or(SpanId::INVALID),
            (None, _) if !opening.endpoint.is_metered() => SpanId::INVALID,
            (None, Some(agent)) if running.agent_known => {
                agent_span_id(&running.query, agent.as_str())
            }
            (None, _) => span_id(QUERY_SEED, &running.query),
        };
        let from_ns = running.began_ns(closed);
        // Closed by a later start, nobody knows when it ended: not when that start was.
        let to_ns = if body.duration_us == 0 { from_ns } else { closed.wall_ns.max(from_ns) };
        let facts = Facts {
            name: &called.name(opening),
            kind: Kind::Client,
            from_ns,
            to_ns,
            links: &[],
            links_more: 0,
            failed: body.error().is_some(),
        };
        self.attributes(running, closed, called);
        let place = Place { trace, own, parent, remote: remote.is_some() };
        spans.add(place, &facts, &self.list);
    }

    fn attributes(&mut self, running: &Running, closed: &Envelope<Closed<'_>>, called: Called<'_>) {
        let (opening, body) = (&running.opening, &closed.body);
        let list = &mut self.list;
        list.clear();
        list.some_text(names::OPERATION, called.operation);
        list.text(names::PROVIDER, called.provider);
        list.some_text(names::REQUEST_MODEL, called.requested);
        list.some_text(names::RESPONSE_MODEL, called.served);
        if opening.streamed != 0 {
            list.truth(names::REQUEST_STREAM, true);
        }
        list.some_count(names::MAX_TOKENS, opening.max_tokens);
        list.some_text(names::CONVERSATION, opening.session.as_ref().map(Identifier::as_str));
        list.some_text(names::AGENT_ID, opening.agent.as_ref().map(Identifier::as_str));
        let parent = opening.parent_agent.as_ref();
        list.some_text(names::PARENT_AGENT, parent.map(Identifier::as_str));
        if let Some(reason) = &body.stop_reason {
            list.texts(names::FINISH_REASONS, std::iter::once(&*reason.0));
        }
        if let (Some(first), true) = (body.first_token_us, opening.streamed != 0) {
            list.double(names::FIRST_CHUNK, Duration::from_micros(first).as_secs_f64());
        }
        list.some_text(names::ERROR, body.error());
        list.some_count(names::STATUS, body.status.map(u64::from));
        if called.operation.is_none() {
            list.text(names::METHOD, opening.method.as_str());
        }
        list.text(names::SERVER, &self.server.0);
        list.count(names::SERVER_PORT, self.server.1.into());
        if let (Some(usage), Some("chat")) = (&body.usage, called.operation) {
            tokens(list, self.semconv, Tokens::of(usage));
        }
        if let Some(charge) = &body.charge {
            cost(list, self.semconv, charge);
        }
        ours(list, running, closed);
    }

    /// The spans of a query that is over: its own, and one for each sub-agent.
    pub(super) fn query(&mut self, spans: &mut Spans, query: &Query) {
        let trace = trace_id(query.trace.as_deref(), &query.first);
        let own = span_id(QUERY_SEED, &query.first);
        let list = &mut self.list;
        list.clear();
        list.some_text(names::CONVERSATION, query.session.as_deref());
        list.text(names::TEAM, &query.team);
        list.count(names::QUERY_EXCHANGES, query.exchanges);
        list.count(names::RESPONSE_LENGTH, query.answer_bytes);
        let links: Vec<(TraceId, SpanId)> = query
            .traced
            .iter()
            .map(|traced| {
                let span = span_id(EXCHANGE_SEED, &traced.exchange);
                (trace_id(Some(&traced.trace), &query.first), span)
            })
            .collect();
        let facts = Facts {
            name: "claude_query",
            kind: Kind::Internal,
            from_ns: query.from_ns,
            to_ns: query.to_ns,
            links: &links,
            links_more: query.traced_more,
            failed: query.has_failed(),
        };
        spans.add(Place { trace, own, parent: SpanId::INVALID, remote: false }, &facts, list);
        for agent in &query.agents {
            self.agent(spans, (query, trace), agent);
        }
    }

    /// The span of a tool call that settled: under its query, or the sub-agent that made it. By the
    /// client's hooks where they speak, else from the answer that asked to the request that brought
    /// the result.
    pub(super) fn tool(&mut self, spans: &mut Spans, tool: &PlacedTool) {
        let (call, state) = (&tool.call, tool.call.state());
        let Some((first_ns, last_ns)) = call.seen.span_ns() else { return };
        let (from_ns, to_ns) = match (call.seen.announced, call.seen.done) {
            (Some((from, _)), Some(done)) => (from, done.at_ns.max(from)),
            _ => (first_ns, last_ns),
        };
        let list = &mut self.list;
        list.clear();
        list.text(names::OPERATION, "execute_tool");
        list.text(names::TOOL_NAME, tool.name());
        list.text(names::TOOL_CALL, &call.id);
        let kind = if call.seen.kind == ToolKind::Client { "function" } else { "extension" };
        list.text(names::TOOL_TYPE, kind);
        list.some_text(names::CONVERSATION, call.session.as_deref());
        list.some_text(names::AGENT_ID, call.agent.as_deref());
        list.some_text(names::TEAM, call.team.as_deref());
        list.some_text(names::TOOL_SERVER, call.server.as_deref());
        list.text(names::TOOL_STATE, state.name());
        list.some_text(names::TOOL_DENIED_BY, call.seen.denied_by().map(Decider::name));
        let gaps = call.seen.gaps(true);
        if !gaps.is_empty() {
            list.texts(names::TOOL_GAPS, gaps.iter().map(|gap| gap.words()));
        }
        list.some_count(names::TOOL_INPUT_BYTES, call.seen.asked.map(|(_, input)| input.bytes));
        let output = call.seen.returned.map(|returned| returned.output.bytes);
        list.some_count(names::TOOL_OUTPUT_BYTES, output);
        let failed = matches!(state, State::Failed | State::Denied);
        list.some_text(names::ERROR, failed.then_some(state.name()));
        let facts = Facts {
            name: &format!("execute_tool {}", tool.name()),
            kind: Kind::Internal,
            from_ns,
            to_ns,
            links: &[],
            links_more: 0,
            failed,
        };
        let parent = match &call.agent {
            Some(agent) if tool.place.agent_known => agent_span_id(&tool.place.query, agent),
            _ => span_id(QUERY_SEED, &tool.place.query),
        };
        let own = span_id(TOOL_SEED, &format!("{}/{}", tool.place.query, call.id));
        let trace = trace_id(tool.place.trace.as_deref(), &tool.place.query);
        spans.add(Place { trace, own, parent, remote: false }, &facts, list);
    }

    fn agent(&mut self, spans: &mut Spans, (query, trace): (&Query, TraceId), part: &AgentPart) {
        // Only a parent that was seen before can be one: it has a span, and there is no circle.
        let before = query.agents.iter().take_while(|other| other.id != part.id);
        let known = |id: &&String| before.clone().any(|other| other.id == **id);
        let parent = match part.parent.as_ref().filter(known) {
            Some(id) => agent_span_id(&query.first, id),
            None => span_id(QUERY_SEED, &query.first),
        };
        let name = match &part.kind {
            Some(kind) => format!("invoke_agent {kind}"),
            None => "invoke_agent".to_owned(),
        };
        let list = &mut self.list;
        list.clear();
        list.text(names::OPERATION, "invoke_agent");
        list.text(names::AGENT_ID, &part.id);
        list.some_text(names::AGENT_NAME, part.kind.as_deref());
        list.some_text(names::CONVERSATION, query.session.as_deref());
        list.text(names::TEAM, &query.team);
        list.count(names::QUERY_EXCHANGES, part.exchanges);
        let facts = Facts {
            name: &name,
            kind: Kind::Internal,
            from_ns: part.from_ns,
            to_ns: part.to_ns,
            links: &[],
            links_more: 0,
            failed: false,
        };
        let own = agent_span_id(&query.first, &part.id);
        spans.add(Place { trace, own, parent, remote: false }, &facts, list);
    }
}

fn tokens(list: &mut Attributes, semconv: Semconv, tokens: Tokens) {
    list.some_count(names::INPUT, tokens.input);
    list.some_count(names::OUTPUT, tokens.output);
    list.some_count(names::CACHE_READ, tokens.cache_read);
    if semconv.is_latest() {
        list.some_count(names::CACHE_WRITE, tokens.cache_write);
    }
    if semconv.is_v1_41() {
        list.some_count(names::CACHE_CREATION, tokens.cache_write);
    }
    list.some_count(names::CACHE_WRITE_1H, tokens.cache_write_1h);
}

fn money(list: &mut Attributes, name: &str, usd: Option<Money>) {
    if let Some(usd) = usd {
        list.text(name, &usd.to_string());
    }
}

/// The amounts stand on the exchange's span alone, so that a sum over spans counts them once.
fn cost(list: &mut Attributes, semconv: Semconv, charge: &Charge<'_>) {
    list.text(names::PRICING, &charge.pricing);
    money(list, names::USD_ESTIMATED, charge.estimated_usd);
    let Some(usd) = charge.usd else { return };
    if charge.notional != 0 {
        money(list, names::USD_NOTIONAL, Some(usd));
        return;
    }
    let exact = usd.to_string();
    if semconv.is_latest() {
        list.double(names::COST, exact.parse().unwrap_or(f64::MAX));
        list.text(names::COST_CURRENCY, "USD");
        list.text(names::COST_SOURCE, "local");
    }
    list.text(names::USD, &exact);
    list.number(names::USD_NANO, usd.split_nano().0);
    money(list, names::USD_SAVED, charge.cache_savings_usd);
}

/// Who pays, and where it stands in the ledger.
fn ours(list: &mut Attributes, running: &Running, closed: &Envelope<Closed<'_>>) {
    let (opening, body) = (&running.opening, &closed.body);
    list.text(names::TEAM, &opening.team);
    list.some_text(names::PROJECT, opening.project.as_deref());
    list.some_text(names::USER, opening.user.as_deref());
    list.text(names::OUTCOME, &body.outcome);
    if !body.flags.is_empty() {
        list.texts(names::FLAGS, body.flags.iter().map(|flag| &*flag.0));
    }
    if opening.attempt > 1 {
        list.count(names::ATTEMPT, opening.attempt.into());
    }
    list.some_text(names::REQUEST_ID, body.request_id.as_ref().map(|id| &*id.0));
    list.text(names::EXCHANGE, &opening.exchange);
    list.count(names::SEQUENCE, closed.index);
}
