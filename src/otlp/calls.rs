//! The signals `traces` and `logs`: a span for each exchange, query and sub-agent, a log record for
//! what is no span.

use std::collections::HashMap;

use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::LogExporter;
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _, SdkLogRecord};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use xxhash_rust::xxh3::xxh3_128;

use super::events::Events;
use super::follower::Post;
use super::protobuf::{Attributes, Scope, Spans};
use super::spans::{Running, Shape};
use super::tools::Tools;
use super::transport::{Posted, Transport};
use super::wire::{Closed, Envelope, Fact, ToolFact};
use crate::agent::query::{End, Place, Queries, Query};
use crate::record::Opening;

/// Items of one post (the OpenTelemetry SDK's default).
const BATCH_ITEMS: usize = 512;
/// Exchanges that opened and did not close, at most; what opens beyond it has no span.
const RUNNING_MAX: usize = 100_000;

/// What entries before the cursor left unfinished.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Unfinished {
    /// By a hash of the exchange's id.
    running: HashMap<u128, Running>,
    queries: Queries,
    #[serde(default)]
    tools: Tools,
}

/// Where spans go, and what all of them have in common.
pub(super) struct Traces {
    pub(super) transport: Transport,
    pub(super) resource: Attributes,
    pub(super) scope: Scope,
}

/// Where log records go.
pub(super) struct Logs {
    pub(super) exporter: LogExporter,
    pub(super) transport: Transport,
    pub(super) scope: InstrumentationScope,
}

/// Where the two signals go; absent where one is not wanted.
pub(super) struct Destinations {
    pub(super) traces: Option<Traces>,
    pub(super) logs: Option<Logs>,
    pub(super) runtime: Handle,
}

/// Both signals.
pub(super) struct Calls {
    to: Destinations,
    shape: Shape,
    events: Events,
    unfinished: Unfinished,
    spans: Spans,
    records: Vec<SdkLogRecord>,
}

fn key(exchange: &str) -> u128 {
    xxh3_128(exchange.as_bytes())
}

impl Calls {
    pub(super) fn new(to: Destinations, shape: Shape, scope: InstrumentationScope) -> Calls {
        let events = Events::new(scope);
        let (unfinished, spans, records) = Default::default();
        Calls { to, shape, events, unfinished, spans, records }
    }

    /// Begins with what the cursor's file holds.
    pub(super) fn resume(&mut self, state: Unfinished) {
        self.unfinished = state;
    }

    /// What the entries that were posted left unfinished; `None` while something waits to be
    /// posted: what is unfinished is then ahead of it.
    pub(super) fn state(&self) -> Option<&Unfinished> {
        (self.spans.len() == 0 && self.records.is_empty()).then_some(&self.unfinished)
    }

    /// Takes an entry in.
    pub(super) fn take(&mut self, fact: Fact<'_>) {
        match fact {
            Fact::Opened(entry) => self.opened(*entry),
            Fact::Closed(entry) => self.closed(&entry),
            Fact::Tools(fact, entry) => {
                self.tools(&fact, entry.wall_ns);
                if self.to.logs.is_some() {
                    self.records.push(self.events.entry(fact.kind(), &entry));
                }
            }
            Fact::Other(kind, entry) if self.to.logs.is_some() => {
                self.records.push(self.events.entry(kind, &entry));
            }
            Fact::Other(..) => {}
        }
    }

    fn opened(&mut self, entry: Envelope<Opening>) {
        let Envelope { body: opening, wall_ns: at_ns, .. } = entry;
        if self.unfinished.running.len() >= RUNNING_MAX {
            return;
        }
        let place = match opening.endpoint.is_metered() {
            true => self.unfinished.queries.begin(&Running::begin(&opening, at_ns)),
            // Counting tokens, listing models, …: no part of any prompt's answer.
            false => Place {
                query: opening.exchange.clone(),
                trace: None,
                agent_known: false,
                ended: None,
            },
        };
        self.over(place.ended.as_ref());
        let Place { query, trace, agent_known, .. } = place;
        let key = key(&opening.exchange);
        let running = Running { opening, at_ns, query, trace, agent_known };
        self.unfinished.running.insert(key, running);
    }

    fn closed(&mut self, entry: &Envelope<Closed<'_>>) {
        let body = &entry.body;
        let Some(running) = self.unfinished.running.remove(&key(&body.exchange)) else { return };
        if self.to.traces.is_some() {
            self.shape.exchange(&mut self.spans, &running, entry);
        }
        if let (Some(error), Some(_)) = (body.error(), &self.to.logs) {
            self.records.push(self.events.failure(&running, entry, error));
        }
        if !running.opening.endpoint.is_metered() {
            return;
        }
        let begin = Running::begin(&running.opening, running.began_ns(entry));
        let reason = body.stop_reason.as_ref().map(|reason| &*reason.0);
        let left = body.outcome == "client_left";
        let end = End::of(body.status, body.error().is_some(), reason, left);
        let at = (entry.wall_ns, body.response_bytes);
        let over = self.unfinished.queries.end((&begin, &running.query), end, at);
        self.over(over.as_ref());
    }

    /// Tool calls that settled are spans; hooks say when queries begin and end.
    fn tools(&mut self, fact: &ToolFact, at_ns: u64) {
        let Unfinished { running, queries, tools } = &mut self.unfinished;
        let of = |exchange: &str| running.get(&key(exchange));
        let settled = match fact {
            ToolFact::Asked(entry) => tools.asked(entry, at_ns, of(&entry.exchange)),
            ToolFact::Returned(entry) => tools.returned(entry, at_ns, of(&entry.exchange)),
            ToolFact::Hook(event) => tools.hook(event, at_ns),
        };
        let over = match fact {
            ToolFact::Hook(event) => queries.hook(&event.said(), at_ns),
            _ => None,
        };
        if self.to.traces.is_some() {
            for tool in &settled {
                self.shape.tool(&mut self.spans, tool);
            }
        }
        self.over(over.as_ref());
    }

    fn over(&mut self, query: Option<&Query>) {
        if let (Some(query), Some(_)) = (query, &self.to.traces) {
            self.shape.query(&mut self.spans, query);
        }
    }

    /// Ends what nothing more was seen of; says whether there was something.
    pub(super) fn expire(&mut self, now_ns: u64, stopping: bool) -> bool {
        // What runs when the sidecar stops may go on with the next one.
        if stopping {
            return false;
        }
        // What there is beyond one post comes with the next look.
        let over = self.unfinished.queries.expire(now_ns, BATCH_ITEMS);
        over.iter().for_each(|query| self.over(Some(query)));
        let settled = self.unfinished.tools.expire(now_ns, BATCH_ITEMS);
        if self.to.traces.is_some() {
            for tool in &settled {
                self.shape.tool(&mut self.spans, tool);
            }
        }
        !over.is_empty() || !settled.is_empty()
    }

    /// Whether what was gathered is enough for a post.
    pub(super) fn is_full(&self) -> bool {
        self.spans.len() >= BATCH_ITEMS || self.records.len() >= BATCH_ITEMS
    }

    /// Posts what was gathered. Blocks until the collector has it, or the sidecar stops.
    pub(super) fn post(&mut self) -> Vec<Post> {
        let mut posts = Vec::new();
        if let (Some(traces), true) = (&self.to.traces, self.spans.len() > 0) {
            let items = self.spans.len();
            let request = self.spans.take_request(&traces.resource, &traces.scope);
            let posted = self.to.runtime.block_on(traces.transport.post(request));
            posts.push(Post { signal: "traces", items, posted });
            if posted == Posted::Stopped {
                return posts;
            }
        }
        if let (Some(logs), false) = (&self.to.logs, self.records.is_empty()) {
            let items: Vec<_> = self.records.iter().map(|record| (record, &logs.scope)).collect();
            logs.transport.begin();
            // The exporter's own error says less than the transport knows.
            let _ = self.to.runtime.block_on(logs.exporter.export(LogBatch::new(&items)));
            let posted = logs.transport.posted();
            posts.push(Post { signal: "logs", items: items.len(), posted });
            self.records.clear();
        }
        posts
    }
}
