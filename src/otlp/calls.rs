//! The signals `traces` and `logs`: a span for each exchange, query and sub-agent, a log record for
//! what is no span. They are read out of the same entries, so they share one cursor.

use std::collections::BTreeMap;

use opentelemetry_otlp::{LogExporter, SpanExporter};
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _, SdkLogRecord};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::events::Events;
use super::follower::{Post, Signal};
use super::spans::{Running, Shape};
use super::transport::{Posted, Transport};
use super::wire::{Closed, Envelope, Fact, LineParser};
use crate::agent::query::{End, Place, Queries, Query};
use crate::record::Opening;

/// Items of one post (the OpenTelemetry SDK's default).
const BATCH_ITEMS: usize = 512;
/// Exchanges that opened and did not close, at most; what opens beyond it has no span.
const RUNNING_MAX: usize = 100_000;

/// What entries before the cursor left unfinished.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Unfinished {
    /// By exchange.
    running: BTreeMap<String, Running>,
    queries: Queries,
}

/// Where the two signals go; absent where one is not wanted.
pub(super) struct Destinations {
    pub(super) traces: Option<(SpanExporter, Transport)>,
    pub(super) logs: Option<(LogExporter, Transport)>,
    pub(super) runtime: Handle,
}

/// Both signals.
pub(super) struct Calls {
    to: Destinations,
    shape: Shape,
    events: Events,
    parser: LineParser,
    unfinished: Unfinished,
    spans: Vec<SpanData>,
    records: Vec<SdkLogRecord>,
}

impl Calls {
    pub(super) fn new(to: Destinations, shape: Shape) -> Calls {
        let events = Events::new(shape.scope.clone());
        let (parser, unfinished, spans, records) = Default::default();
        Calls { to, shape, events, parser, unfinished, spans, records }
    }

    fn opened(&mut self, entry: Envelope<Opening>) {
        let Envelope { body: opening, wall_ns: at_ns, .. } = entry;
        if self.unfinished.running.len() >= RUNNING_MAX {
            return;
        }
        let exchange = opening.exchange.clone();
        let place = match opening.endpoint.is_metered() {
            true => self.unfinished.queries.begin(&Running::begin(&opening, at_ns)),
            // Counting tokens, listing models, …: no part of any prompt's answer.
            false => Place { query: exchange.clone(), trace: None, evicted: None },
        };
        self.over(place.evicted);
        let running = Running { at_ns, query: place.query, trace: place.trace, opening };
        self.unfinished.running.insert(exchange, running);
    }

    fn closed(&mut self, entry: &Envelope<Closed<'_>>) {
        let body = &entry.body;
        let Some(running) = self.unfinished.running.remove(&*body.exchange) else { return };
        if self.to.traces.is_some() {
            self.spans.push(self.shape.exchange(&running, entry));
        }
        if let (Some(error), Some(_)) = (body.error(), &self.to.logs) {
            self.records.push(self.events.failure(&running, entry, error));
        }
        if !running.opening.endpoint.is_metered() {
            return;
        }
        let begin = Running::begin(&running.opening, running.began_ns(entry));
        let reason = body.stop_reason.as_ref().map(|reason| &*reason.0);
        let end = End::of(body.status, body.error().is_some(), reason);
        let at = (entry.wall_ns, body.response_bytes);
        let over = self.unfinished.queries.end(&begin, end, at);
        self.over(over);
    }

    fn over(&mut self, query: Option<Query>) {
        if let (Some(query), Some(_)) = (query, &self.to.traces) {
            self.spans.extend(self.shape.query(&query));
        }
    }
}

impl Signal for Calls {
    const NAME: &'static str = "calls";
    type State = Unfinished;

    fn state(&self) -> &Unfinished {
        &self.unfinished
    }

    fn resume(&mut self, state: Unfinished) {
        self.unfinished = state;
    }

    fn take(&mut self, line: &[u8]) {
        match self.parser.parse(line) {
            Some(Fact::Opened(entry)) => self.opened(*entry),
            Some(Fact::Closed(entry)) => self.closed(&entry),
            Some(Fact::Other(kind, entry)) if self.to.logs.is_some() => {
                self.records.push(self.events.entry(kind, &entry));
            }
            Some(Fact::Other(..)) | None => {}
        }
    }

    fn is_full(&self) -> bool {
        self.spans.len() >= BATCH_ITEMS || self.records.len() >= BATCH_ITEMS
    }

    fn is_due(&mut self, now_ns: u64, stopping: bool) -> bool {
        // What runs when the sidecar stops may go on with the next one.
        if !stopping {
            for query in self.unfinished.queries.expire(now_ns) {
                self.over(Some(query));
            }
        }
        true
    }

    fn post(&mut self) -> Vec<Post> {
        let mut posts = Vec::new();
        // An exporter's own error says less than the transport knows.
        if let (Some((exporter, transport)), false) = (&self.to.traces, self.spans.is_empty()) {
            let spans = std::mem::replace(&mut self.spans, Vec::with_capacity(BATCH_ITEMS));
            let items = spans.len();
            let _ = self.to.runtime.block_on(exporter.export(spans));
            posts.push(Post { signal: "traces", items, posted: transport.posted() });
        }
        let stopped = posts.iter().any(|post| post.posted == Posted::Stopped);
        if let (Some((exporter, transport)), false) = (&self.to.logs, self.records.is_empty()) {
            if stopped {
                return posts;
            }
            let scope = &self.shape.scope;
            let items: Vec<_> = self.records.iter().map(|record| (record, scope)).collect();
            let _ = self.to.runtime.block_on(exporter.export(LogBatch::new(&items)));
            posts.push(Post { signal: "logs", items: items.len(), posted: transport.posted() });
            self.records.clear();
        }
        posts
    }
}
