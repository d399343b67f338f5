//! Entries become spans. Pure: the same entries give the same spans with the same ids, so one that
//! is sent again is the same one.
//!
//! ```text
//! claude_query                       one prompt until its final answer
//! ├── chat {model}                   each exchange, every attempt
//! └── invoke_agent                   a sub-agent's part
//!     └── chat {model}
//! ```
//!
//! Where the client sends `traceparent`, `chat` is the child of the client's own span and
//! `claude_query` is in the same trace, linked to each.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

use super::names;
use super::usage::Tokens;
use super::wire::{Charge, Closed, Envelope};
use crate::accounting::Money;
use crate::agent::query::{AgentPart, Begin, Query};
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
            parent_agent: opening.parent_agent.as_ref().map(Identifier::as_str),
            trace: parent_of(opening).map(|(trace, _)| trace),
            at_ns,
        }
    }
}

impl Running {
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
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) scope: InstrumentationScope,
    pub(super) semconv: Semconv,
    /// Host and port of the API behind us.
    pub(super) server: (String, u16),
}

/// An exchange, as telemetry names it.
#[derive(Clone, Debug, PartialEq, Eq)]
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

fn context(trace: TraceId, span: SpanId) -> SpanContext {
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE)
}

/// Trace and span of an exchange.
pub(super) fn context_of(running: &Running) -> SpanContext {
    let named = parent_of(&running.opening).map(|(trace, _)| trace).or(running.trace.as_deref());
    let trace = trace_id(named, &running.query);
    context(trace, span_id(EXCHANGE_SEED, &running.opening.exchange))
}

pub(super) fn moment(wall_ns: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(wall_ns)
}

fn text(value: &str) -> Value {
    Value::String(StringValue::from(value.to_owned()))
}

fn count(value: u64) -> Value {
    Value::I64(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Attributes; what is absent is left out, never zero.
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, name: &'static str, value: Value) {
        self.0.push(KeyValue::new(name, value));
    }

    fn text(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(name, text(value));
        }
    }

    fn count(&mut self, name: &'static str, value: Option<u64>) {
        if let Some(value) = value {
            self.add(name, count(value));
        }
    }

    fn money(&mut self, name: &'static str, usd: Option<Money>) {
        if let Some(usd) = usd {
            self.add(name, Value::String(usd.to_string().into()));
        }
    }
}

impl Shape {
    /// The span of an exchange that closed.
    pub(super) fn exchange(&self, running: &Running, closed: &Envelope<Closed<'_>>) -> SpanData {
        let (opening, body) = (&running.opening, &closed.body);
        let requested = opening.model.as_ref().map(Identifier::as_str);
        let called = Called::new(opening.endpoint, requested, body);
        let name = called.name(opening);
        let parent = match (parent_of(opening), &opening.agent) {
            (Some((_, span)), _) => SpanId::from_hex(span).unwrap_or(SpanId::INVALID),
            (None, _) if !opening.endpoint.is_metered() => SpanId::INVALID,
            (None, Some(agent)) => agent_span_id(&running.query, agent.as_str()),
            (None, None) => span_id(QUERY_SEED, &running.query),
        };
        let from_ns = running.began_ns(closed);
        let span = Timed { from_ns, to_ns: closed.wall_ns.max(from_ns), kind: SpanKind::Client };
        let remote = parent_of(opening).is_some();
        let mut data = self.span(context_of(running), (parent, remote), name.into(), &span);
        data.attributes = self.attributes(running, closed, &called);
        data.status = status(body.error().is_some());
        data
    }

    fn attributes(
        &self,
        running: &Running,
        closed: &Envelope<Closed<'_>>,
        called: &Called<'_>,
    ) -> Vec<KeyValue> {
        let (opening, body) = (&running.opening, &closed.body);
        let mut list = Attributes(Vec::with_capacity(32));
        list.text(names::OPERATION, called.operation);
        list.add(names::PROVIDER, Value::String(called.provider.into()));
        list.text(names::REQUEST_MODEL, called.requested);
        list.text(names::RESPONSE_MODEL, called.served);
        if opening.streamed != 0 {
            list.add(names::REQUEST_STREAM, Value::Bool(true));
        }
        list.count(names::MAX_TOKENS, opening.max_tokens);
        list.text(names::CONVERSATION, opening.session.as_ref().map(Identifier::as_str));
        list.text(names::AGENT_ID, opening.agent.as_ref().map(Identifier::as_str));
        list.text(names::PARENT_AGENT, opening.parent_agent.as_ref().map(Identifier::as_str));
        if let Some(reason) = &body.stop_reason {
            let reasons = vec![StringValue::from(reason.0.clone().into_owned())];
            list.add(names::FINISH_REASONS, Value::Array(Array::String(reasons)));
        }
        if let (Some(first), true) = (body.first_token_us, opening.streamed != 0) {
            let seconds = Duration::from_micros(first).as_secs_f64();
            list.add(names::FIRST_CHUNK, Value::F64(seconds));
        }
        list.text(names::ERROR, body.error());
        list.count(names::STATUS, body.status.map(u64::from));
        if called.operation.is_none() {
            list.text(names::METHOD, Some(opening.method.as_str()));
        }
        list.text(names::SERVER, Some(&self.server.0));
        list.count(names::SERVER_PORT, Some(self.server.1.into()));
        if let (Some(usage), Some("chat")) = (&body.usage, called.operation) {
            self.tokens(&mut list, Tokens::of(usage));
        }
        if let Some(charge) = &body.charge {
            self.cost(&mut list, charge);
        }
        ours(&mut list, running, closed);
        list.0
    }

    fn tokens(&self, list: &mut Attributes, tokens: Tokens) {
        list.count(names::INPUT, tokens.input);
        list.count(names::OUTPUT, tokens.output);
        list.count(names::CACHE_READ, tokens.cache_read);
        if self.semconv.is_latest() {
            list.count(names::CACHE_WRITE, tokens.cache_write);
        }
        if self.semconv.is_v1_41() {
            list.count(names::CACHE_CREATION, tokens.cache_write);
        }
        list.count(names::CACHE_WRITE_1H, tokens.cache_write_1h);
    }

    /// The amounts stand on the exchange's span alone, so that a sum over spans counts them once.
    fn cost(&self, list: &mut Attributes, charge: &Charge<'_>) {
        list.text(names::PRICING, Some(&*charge.pricing));
        list.money(names::USD_ESTIMATED, charge.estimated_usd);
        let Some(usd) = charge.usd else { return };
        if charge.notional != 0 {
            list.money(names::USD_NOTIONAL, Some(usd));
            return;
        }
        let exact = usd.to_string();
        if self.semconv.is_latest() {
            list.add(names::COST, Value::F64(exact.parse().unwrap_or(f64::MAX)));
            list.add(names::COST_CURRENCY, Value::String("USD".into()));
            list.add(names::COST_SOURCE, Value::String("local".into()));
        }
        list.add(names::USD, Value::String(exact.into()));
        list.add(names::USD_NANO, Value::I64(usd.split_nano().0));
        list.money(names::USD_SAVED, charge.cache_savings_usd);
    }

    fn span(
        &self,
        own: SpanContext,
        (parent_span_id, parent_span_is_remote): (SpanId, bool),
        name: std::borrow::Cow<'static, str>,
        span: &Timed,
    ) -> SpanData {
        SpanData {
            span_context: own,
            parent_span_id,
            parent_span_is_remote,
            span_kind: span.kind.clone(),
            name,
            start_time: moment(span.from_ns),
            end_time: moment(span.to_ns),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }

    /// The spans of a query that is over: its own, and one for each sub-agent.
    pub(super) fn query(&self, query: &Query) -> Vec<SpanData> {
        let trace = trace_id(query.trace.as_deref(), &query.first);
        let own = span_id(QUERY_SEED, &query.first);
        let times = Timed { from_ns: query.from_ns, to_ns: query.to_ns, kind: SpanKind::Internal };
        let root = (SpanId::INVALID, false);
        let mut data = self.span(context(trace, own), root, "claude_query".into(), &times);
        let mut list = Attributes(Vec::with_capacity(8));
        list.text(names::CONVERSATION, query.session.as_deref());
        list.text(names::TEAM, Some(&query.team));
        list.count(names::QUERY_EXCHANGES, Some(query.exchanges));
        list.count(names::RESPONSE_LENGTH, Some(query.answer_bytes));
        data.attributes = list.0;
        data.status = status(query.has_failed());
        for traced in &query.traced {
            let span = span_id(EXCHANGE_SEED, &traced.exchange);
            let linked = context(trace_id(Some(&traced.trace), &query.first), span);
            data.links.links.push(Link::new(linked, Vec::new(), 0));
        }
        data.links.dropped_count = u32::try_from(query.traced_more).unwrap_or(u32::MAX);
        let agents = query.agents.iter().map(|agent| self.agent(query, agent, trace));
        std::iter::once(data).chain(agents).collect()
    }

    fn agent(&self, query: &Query, part: &AgentPart, trace: TraceId) -> SpanData {
        // Only a parent that has a span itself can be one.
        let known = |id: &&String| query.agents.iter().any(|other| other.id == **id);
        let parent = match part.parent.as_ref().filter(known).filter(|id| **id != part.id) {
            Some(id) => agent_span_id(&query.first, id),
            None => span_id(QUERY_SEED, &query.first),
        };
        let own = context(trace, agent_span_id(&query.first, &part.id));
        let times = Timed { from_ns: part.from_ns, to_ns: part.to_ns, kind: SpanKind::Internal };
        let mut data = self.span(own, (parent, false), "invoke_agent".into(), &times);
        let mut list = Attributes(Vec::with_capacity(6));
        list.add(names::OPERATION, Value::String("invoke_agent".into()));
        list.text(names::AGENT_ID, Some(&part.id));
        list.text(names::CONVERSATION, query.session.as_deref());
        list.text(names::TEAM, Some(&query.team));
        list.count(names::QUERY_EXCHANGES, Some(part.exchanges));
        data.attributes = list.0;
        data
    }
}

struct Timed {
    from_ns: u64,
    to_ns: u64,
    kind: SpanKind,
}

fn status(failed: bool) -> Status {
    if failed { Status::error("") } else { Status::Unset }
}

/// Who pays, and where it stands in the ledger.
fn ours(list: &mut Attributes, running: &Running, closed: &Envelope<Closed<'_>>) {
    let (opening, body) = (&running.opening, &closed.body);
    list.text(names::TEAM, Some(&opening.team));
    list.text(names::PROJECT, opening.project.as_deref());
    list.text(names::USER, opening.user.as_deref());
    list.text(names::OUTCOME, Some(&*body.outcome));
    if !body.flags.is_empty() {
        let flags = body.flags.iter().map(|flag| StringValue::from(flag.0.clone().into_owned()));
        list.add(names::FLAGS, Value::Array(Array::String(flags.collect())));
    }
    if opening.attempt > 1 {
        list.count(names::ATTEMPT, Some(opening.attempt.into()));
    }
    list.text(names::REQUEST_ID, body.request_id.as_ref().map(|id| &*id.0));
    list.text(names::EXCHANGE, Some(&opening.exchange));
    list.count(names::SEQUENCE, Some(closed.index));
}
