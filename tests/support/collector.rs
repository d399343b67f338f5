//! A collector that takes OTLP over HTTP as the specification says and nothing else: what breaks a
//! rule is kept as a violation. It can be told to fail.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What it got.
#[derive(Debug, Default)]
pub struct Book {
    /// Every span, again where it was sent again.
    pub spans: Vec<Span>,
    /// Spans of other programs: a client's own.
    pub foreign: Vec<Span>,
    pub records: Vec<LogRecord>,
    /// The last value of each series: metric, sorted attributes, value (a histogram's sum).
    pub points: BTreeMap<(String, String), f64>,
    /// How many values each histogram series holds.
    pub counts: BTreeMap<(String, String), u64>,
    pub resource: Vec<KeyValue>,
    /// Headers of the last post.
    pub headers: BTreeMap<String, String>,
    /// The same by path.
    pub headers_of: BTreeMap<String, BTreeMap<String, String>>,
    pub posts: u64,
    /// Every byte of every post.
    pub bytes: Vec<u8>,
    pub violations: Vec<String>,
    /// Answers by path: a status other than 200.
    pub answers: BTreeMap<String, u16>,
    /// Spans to leave out of the next post of traces.
    pub leave_out: i64,
    /// Bytes that no collector would add to its answers.
    pub padding: usize,
}

/// The collector. It ends when it is dropped.
#[derive(Debug)]
pub struct Collector {
    pub address: SocketAddr,
    pub url: String,
    book: Arc<Mutex<Book>>,
    connections: CancellationToken,
    task: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    pub async fn start() -> Collector {
        Collector::on("127.0.0.1:0").await
    }

    /// On this address: one that comes back.
    pub async fn on(address: &str) -> Collector {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let book = Arc::new(Mutex::new(Book::default()));
        let kept = Arc::clone(&book);
        let connections = CancellationToken::new();
        let ended = connections.clone();
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (book, ended) = (Arc::clone(&kept), ended.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| take(Arc::clone(&book), request));
                    let builder = hyper::server::conn::http1::Builder::new();
                    let serving = builder.serve_connection(TokioIo::new(stream), service);
                    let _ = ended.run_until_cancelled(serving).await;
                });
            }
        });
        Collector { address, url: format!("http://{address}"), book, connections, task }
    }

    /// Goes away, connections and all.
    pub async fn stop(&self) {
        self.task.abort();
        self.connections.cancel();
        // The port is free once the listener is gone.
        while TcpListener::bind(self.address).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    /// What it answers on a path from now on.
    pub fn answers(&self, path: &str, status: u16) {
        self.book().answers.insert(path.to_owned(), status);
    }

    /// The spans, each id once: one sent again must be the same.
    pub fn spans(&self) -> Vec<Span> {
        let mut book = self.book();
        let mut known = BTreeMap::<Vec<u8>, Span>::new();
        let mut violations = Vec::new();
        for span in &book.spans {
            let before = known.insert(span.span_id.clone(), span.clone());
            if before.is_some_and(|before| before != *span) {
                violations.push(format!("span {} came twice and differs", span.name));
            }
        }
        book.violations.extend(violations);
        known.into_values().collect()
    }

    #[track_caller]
    pub fn assert_strict(&self) {
        let book = self.book();
        assert!(book.violations.is_empty(), "{:#?}", book.violations);
    }
}

async fn take(
    book: Arc<Mutex<Book>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Ok(Response::builder().status(400).body(Full::default()).unwrap());
    };
    let body = body.to_bytes();
    let path = head.uri.path().to_owned();
    let mut book = book.lock().unwrap();
    book.posts += 1;
    let headers = head.headers.iter();
    book.headers = headers
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()))
        .collect();
    let headers = book.headers.clone();
    book.headers_of.insert(path.clone(), headers);
    let kind = head.headers.get("content-type").and_then(|v| v.to_str().ok());
    if head.method != Method::POST || kind != Some("application/x-protobuf") {
        book.violations.push(format!("{} {path} with {kind:?}", head.method));
    }
    if let Some(status) = book.answers.get(&path).filter(|status| **status != 200) {
        return Ok(Response::builder().status(*status).body(Full::default()).unwrap());
    }
    let body = match head.headers.get("content-encoding").map(|v| v.as_bytes()) {
        None => body,
        Some(b"gzip") => {
            let mut plain = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&body[..]);
            std::io::Read::read_to_end(&mut decoder, &mut plain).unwrap();
            Bytes::from(plain)
        }
        Some(other) => panic!("{other:?}"),
    };
    book.bytes.extend_from_slice(&body);
    let left_out = std::mem::take(&mut book.leave_out);
    match path.as_str() {
        "/v1/traces" => book.traces(&body, left_out),
        "/v1/logs" => book.logs(&body),
        "/v1/metrics" => book.metrics(&body),
        _ => book.violations.push(format!("no such path: {path}")),
    }
    let partial = (left_out > 0).then(|| ExportTracePartialSuccess {
        rejected_spans: left_out,
        error_message: String::new(),
    });
    let mut answer = ExportTraceServiceResponse { partial_success: partial }.encode_to_vec();
    answer.resize(answer.len() + book.padding, 0);
    let response = Response::builder().header("content-type", "application/x-protobuf");
    Ok(response.body(Full::new(Bytes::from(answer))).unwrap())
}

/// Decodes, and finds fields that the protocol does not have.
fn decode<M: Message + Default>(body: &[u8], violations: &mut Vec<String>) -> M {
    let message = M::decode(body).unwrap_or_else(|error| {
        violations.push(format!("does not decode: {error}"));
        M::default()
    });
    // Another program may encode the same in another way.
    let ours = memchr::memmem::find(body, b"weighbridge").is_some();
    if ours && message.encode_to_vec() != body {
        violations.push("holds fields that the protocol does not have".to_owned());
    }
    message
}

fn check_attributes(what: &str, list: &[KeyValue], violations: &mut Vec<String>) {
    let mut names: Vec<&str> = list.iter().map(|pair| pair.key.as_str()).collect();
    names.sort_unstable();
    let empty = list.iter().any(|pair| pair.key.is_empty() || pair.value.is_none());
    if empty || names.windows(2).any(|pair| pair[0] == pair[1]) {
        violations.push(format!("{what}: attributes {names:?}"));
    }
}

impl Book {
    fn resource(&mut self, attributes: Vec<KeyValue>) {
        for name in ["service.name", "service.instance.id", "service.version"] {
            if !attributes.iter().any(|pair| pair.key == name) {
                self.violations.push(format!("the resource has no {name}"));
            }
        }
        self.resource = attributes;
    }

    fn traces(&mut self, body: &[u8], left_out: i64) {
        let message: ExportTraceServiceRequest = decode(body, &mut self.violations);
        let mut spans = Vec::new();
        for group in message.resource_spans {
            let attributes = group.resource.unwrap_or_default().attributes;
            for scope in group.scope_spans {
                let name = scope.scope.map(|scope| scope.name).unwrap_or_default();
                if name == "weighbridge" {
                    self.resource(attributes.clone());
                    spans.extend(scope.spans);
                } else {
                    self.foreign.extend(scope.spans);
                }
            }
        }
        for span in &spans {
            let zero = |id: &[u8]| id.iter().all(|byte| *byte == 0);
            let ids = span.trace_id.len() == 16 && span.span_id.len() == 8;
            let parent = span.parent_span_id.is_empty() || span.parent_span_id.len() == 8;
            let times = span.start_time_unix_nano > 1_700_000_000_000_000_000
                && span.end_time_unix_nano >= span.start_time_unix_nano;
            let named = !span.name.is_empty() && span.kind != 0;
            if !ids || !parent || !times || !named || zero(&span.trace_id) || zero(&span.span_id) {
                self.violations.push(format!("not a span: {span:?}"));
            }
            check_attributes(&span.name, &span.attributes, &mut self.violations);
        }
        spans.truncate(spans.len() - usize::try_from(left_out).unwrap());
        self.spans.extend(spans);
    }

    fn logs(&mut self, body: &[u8]) {
        let message: ExportLogsServiceRequest = decode(body, &mut self.violations);
        for group in message.resource_logs {
            self.resource(group.resource.unwrap_or_default().attributes);
            for record in group.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
                check_attributes(&record.event_name, &record.attributes, &mut self.violations);
                if record.time_unix_nano == 0 || record.severity_number == 0 {
                    self.violations.push(format!("not a log record: {record:?}"));
                }
                self.records.push(record);
            }
        }
    }

    fn metrics(&mut self, body: &[u8]) {
        let message: ExportMetricsServiceRequest = decode(body, &mut self.violations);
        for group in message.resource_metrics {
            self.resource(group.resource.unwrap_or_default().attributes);
            for metric in group.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                match metric.data {
                    Some(Data::Sum(sum)) => {
                        if !sum.is_monotonic || sum.aggregation_temporality != 2 {
                            self.violations.push(format!("{} is no cumulative sum", metric.name));
                        }
                        for point in sum.data_points {
                            let value = match point.value {
                                Some(number_data_point::Value::AsDouble(value)) => value,
                                Some(number_data_point::Value::AsInt(value)) => value as f64,
                                None => f64::NAN,
                            };
                            self.points
                                .insert((metric.name.clone(), labels(&point.attributes)), value);
                        }
                    }
                    Some(Data::Histogram(histogram)) => {
                        for point in histogram.data_points {
                            let key = (metric.name.clone(), labels(&point.attributes));
                            self.points.insert(key.clone(), point.sum.unwrap_or(f64::NAN));
                            self.counts.insert(key, point.count);
                        }
                    }
                    other => self.violations.push(format!("{}: {other:?}", metric.name)),
                }
            }
        }
    }

    /// The sum of a metric's series whose labels contain all of `having`.
    pub fn sum(&self, metric: &str, having: &[&str]) -> f64 {
        let of = |(name, labels): &(String, String)| {
            name == metric && having.iter().all(|text| labels.contains(text))
        };
        self.points.iter().filter(|(key, _)| of(key)).map(|(_, value)| value).sum()
    }
}

fn labels(list: &[KeyValue]) -> String {
    let mut labels: Vec<String> =
        list.iter().map(|pair| format!("{}={}", pair.key, show(pair.value.as_ref()))).collect();
    labels.sort();
    labels.join(",")
}

/// A value as text.
pub fn show(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(Value::ArrayValue(list)) => {
            list.values.iter().map(|one| show(Some(one))).collect::<Vec<_>>().join(" ")
        }
        other => format!("{other:?}"),
    }
}

/// An attribute of a span, as text; empty where there is none.
pub fn attribute(list: &[KeyValue], name: &str) -> String {
    let found = list.iter().find(|pair| pair.key == name);
    found.map(|pair| show(pair.value.as_ref())).unwrap_or_default()
}
