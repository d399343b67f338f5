//! What a collector gets: the real binary, scripted calls and a receiver that takes nothing but
//! valid OTLP.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "tests measure time and run their own tasks")]

mod load;
mod outage;
#[path = "../support/mod.rs"]
mod support;
mod tree;

use opentelemetry_proto::tonic::trace::v1::Span;
use support::api::Fake;
use support::client::Request;
use support::collector::{Collector, attribute};
use support::eventually;
use support::sidecar::{Options, Sidecar, Site};

const SESSION: &str = "3f1c1d2e-0000-4000-8000-00000000a11c";

struct Rig {
    site: Site,
    fake: Fake,
    collector: Collector,
    sidecar: Sidecar,
}

/// `[otlp]` with short waits.
fn config(endpoint: &str, more: &str) -> String {
    format!("[otlp]\nendpoint = '{endpoint}'\ndelay = '50ms'\nmetrics_interval = '200ms'\n{more}")
}

impl Rig {
    async fn new(more: &str) -> Rig {
        let collector = Collector::start().await;
        let config = config(&collector.url, more);
        let (site, fake) = (Site::new(), Fake::start("basic").await);
        let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(&config));
        Rig { site, fake, collector, sidecar }
    }

    /// The spans, once there are as many as that.
    async fn spans(&self, count: usize) -> Vec<Span> {
        eventually("the spans come", || {
            Some(self.collector.spans()).filter(|spans| spans.len() >= count)
        })
        .await
    }
}

/// A call of a session, as Claude Code makes it.
fn call(scenario: &str, agent: Option<&str>) -> Request {
    let call = Request::messages(scenario, true).header("X-Claude-Code-Session-Id", SESSION);
    match agent {
        Some(agent) => call.header("x-claude-code-agent-id", agent),
        None => call,
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[tokio::test]
async fn figures_are_those_of_the_report() {
    let rig = Rig::new("semconv = 'both'").await;
    for scenario in ["basic", "plain", "websearch", "e529", "error_mid"] {
        rig.sidecar.call(&call(scenario, None)).await;
    }
    let count = |book: &support::collector::Book, metric: &str| -> u64 {
        book.counts.iter().filter(|((name, _), _)| name == metric).map(|(_, count)| count).sum()
    };
    eventually("all calls are counted", || {
        let count = count(&rig.collector.book(), "gen_ai.client.inference.duration");
        (count == 5).then_some(())
    })
    .await;
    rig.collector.assert_strict();
    let report = rig.site.report("team");
    let total = &report["total"];
    let figure = |name: &str| total[name].as_f64().unwrap();
    let cached = ["cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"];
    let input = figure("input_tokens") + cached.map(&figure).iter().sum::<f64>();
    let book = rig.collector.book();
    let latest = "gen_ai.client.inference.usage";
    assert_eq!(book.sum(&format!("{latest}.input_tokens"), &[]), input);
    assert_eq!(book.sum(&format!("{latest}.output_tokens"), &[]), figure("output_tokens"));
    let read = book.sum(&format!("{latest}.cache_read.input_tokens"), &[]);
    assert_eq!(read, figure("cache_read_tokens"));
    let old = "gen_ai.client.token.usage";
    assert_eq!(book.sum(old, &["gen_ai.token.type=input"]), input);
    assert_eq!(count(&book, "gen_ai.client.operation.duration"), 5);
    let usd = total["usd"].as_str().unwrap().parse::<f64>().unwrap();
    assert!((book.sum("claude.cost.usd", &["claude.team=unattributed"]) - usd).abs() < 1e-12);
}

#[tokio::test]
async fn what_is_no_span_is_a_log_record() {
    let rig = Rig::new("").await;
    let failed = rig.sidecar.call(&call("e529", None)).await;
    let (records, spans) = eventually("the records come", || {
        let records = rig.collector.book().records.clone();
        Some((records, rig.collector.spans())).filter(|(records, spans)| {
            records.iter().any(|r| r.event_name.contains("exception")) && !spans.is_empty()
        })
    })
    .await;
    rig.collector.assert_strict();
    let event = |name: &str| {
        let found = records.iter().find(|record| record.event_name == name);
        found.unwrap_or_else(|| panic!("no {name} in {records:#?}"))
    };
    assert!(event("weighbridge.started").body.is_some());
    let exception = event("gen_ai.client.operation.exception");
    assert_eq!(attribute(&exception.attributes, "error.type"), "overloaded_error");
    let exchange = attribute(&exception.attributes, "weighbridge.exchange");
    assert_eq!(exchange, failed.exchange());
    let span = spans.iter().find(|span| span.span_id == exception.span_id).unwrap();
    assert_eq!(attribute(&span.attributes, "weighbridge.exchange"), exchange);
    assert_eq!(span.trace_id, exception.trace_id);
}

#[tokio::test]
async fn the_standard_variables_turn_it_on() {
    let collector = Collector::start().await;
    let (mut site, fake) = (Site::new(), Fake::start("basic").await);
    site.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url);
    site.env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc");
    site.env("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "authorization=Bearer%20logs");
    site.env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");
    site.env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=ci");
    site.env("OTEL_SERVICE_NAME", "scales");
    site.env("OTEL_BSP_SCHEDULE_DELAY", "50");
    site.env("OTEL_METRICS_EXPORTER", "none");
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    sidecar.call(&call("plain", None)).await;
    eventually("spans and records come", || {
        let records = collector.book().records.len();
        (collector.spans().len() == 2 && records > 0).then_some(())
    })
    .await;
    collector.assert_strict();
    let book = collector.book();
    let of = |path: &str, name: &str| book.headers_of[path][name].clone();
    assert_eq!(of("/v1/traces", "authorization"), "Bearer abc");
    assert_eq!(of("/v1/logs", "authorization"), "Bearer logs");
    assert_eq!(of("/v1/traces", "content-encoding"), "gzip");
    assert_eq!(attribute(&book.resource, "service.name"), "scales");
    assert_eq!(attribute(&book.resource, "deployment.environment"), "ci");
    assert!(book.points.is_empty());
}

#[tokio::test]
async fn headers_of_the_file_are_the_ones_that_are_sent() {
    let collector = Collector::start().await;
    let (mut site, fake) = (Site::new(), Fake::start("basic").await);
    site.env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer other,x-other=other");
    site.env("COLLECTOR_HEADERS", "authorization=Bearer own, x-tenant=a%20b");
    let own = config(&collector.url, "headers = 'env:COLLECTOR_HEADERS'");
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(&own));
    sidecar.call(&call("e529", None)).await;
    eventually("a record comes", || {
        let book = collector.book();
        (!book.records.is_empty() && !book.spans.is_empty() && !book.points.is_empty())
            .then_some(())
    })
    .await;
    let book = collector.book();
    assert_eq!(book.headers["authorization"], "Bearer own");
    assert_eq!(book.headers["x-tenant"], "a b");
    site.env("COLLECTOR_HEADERS", "no header");
    drop(book);
    drop(sidecar);
    let refused = Sidecar::try_start(&site, &Options::to(&fake.url).config(&own));
    let (_, said) = refused.expect_err("what is no header is refused at the start");
    assert!(said.contains("otlp.headers: pair 1") && !said.contains("no header"), "{said}");
}

#[tokio::test]
async fn no_content_and_no_secret_is_exported() {
    let rig = Rig::new("").await;
    let body = br#"{"model":"claude-opus-5-5","max_tokens":10,"stream":true,"messages":[{"role":
        "user","content":"the canary sings"}],"metadata":{"user_id":"a canary name"}}"#;
    let request = call("basic", None)
        .body(body)
        .header("x-weighbridge-tag-note", "a canary tag")
        .header("authorization", "Bearer canary-token")
        .header("x-other", "canary-header");
    rig.sidecar.call(&request).await;
    rig.sidecar.call(&Request::new("GET", "/v1/canary?canary=1")).await;
    rig.spans(3).await;
    eventually("metrics come", || (!rig.collector.book().points.is_empty()).then_some(())).await;
    let book = rig.collector.book();
    let bytes = String::from_utf8_lossy(&book.bytes).to_lowercase();
    assert!(bytes.contains("claude-opus-5-5") && !bytes.contains("canary"));
    assert!(!bytes.contains("sk-ant-test-fake"));
}
