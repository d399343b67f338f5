//! Posts what the exporters of `opentelemetry-otlp` encode, until the collector has it.
//!
//! Their own HTTP clients lose everything silently where no reactor runs on their thread, and give
//! up after some tries. This one runs each post on the program's runtime, with the upstream's proxy
//! and authorities, and repeats the same bytes for as long as it takes: a collector that is down
//! costs lag. Metrics are posted once: their sums go with the next post. What is refused for good,
//! and what is left out, is counted.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::outbound::{Client, OutboundError, Route, parse};

/// What a collector may answer at most.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The first wait before a post is repeated; it doubles each time.
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// The longest wait, also where the collector asks for a longer one.
const RETRY_LONGEST: Duration = Duration::from_secs(30);
/// How long a post may still take once the sidecar stops.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// What came of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Posted {
    /// Nothing was posted.
    Nothing,
    /// Taken, but for so many items.
    Taken { rejected: u64 },
    /// Refused for good, with this status: repeating would not help.
    Refused(u16),
    /// Not taken for the moment, and not repeated.
    Failed,
    /// The sidecar stops; the collector does not have it.
    Stopped,
}

/// The way to one endpoint of a collector.
#[derive(Clone)]
pub(super) struct Transport(Arc<Inner>);

struct Inner {
    client: Client<Full<Bytes>>,
    endpoint: Uri,
    posting: Posting,
    signal: &'static str,
    /// Whether a post is repeated until it is taken.
    patient: bool,
    posted: Mutex<Posted>,
    /// Whether posts are not taken at present; said once.
    failing: AtomicBool,
    closed: AtomicBool,
}

/// The address may hold a secret, so it is not shown.
impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

/// How posts are made, whatever the signal.
#[derive(Clone)]
pub(super) struct Posting {
    pub(super) route: Route,
    pub(super) timeout: Duration,
    /// Sent with each post, in place of what an exporter puts there.
    pub(super) headers: HeaderMap,
    /// Whether spans are compressed; the exporters of the other signals ask the environment.
    pub(super) gzip: bool,
    pub(super) runtime: Handle,
    pub(super) metrics: Arc<Metrics>,
    /// Once it is set, a post is tried once more and then given up.
    pub(super) stop: CancellationToken,
}

impl Transport {
    pub(super) fn new(
        signal: &'static str,
        endpoint: &str,
        posting: &Posting,
    ) -> Result<Transport, OutboundError> {
        let endpoint = parse("otlp.endpoint", endpoint)?;
        Ok(Transport(Arc::new(Inner {
            client: Client::new(&endpoint, &posting.route)?,
            endpoint,
            posting: posting.clone(),
            signal,
            patient: signal != "metrics",
            posted: Mutex::new(Posted::Nothing),
            failing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })))
    }

    /// Forgets what came of the last post.
    pub(super) fn begin(&self) {
        self.0.keep(Posted::Nothing);
    }

    /// Posts nothing any more.
    pub(super) fn close(&self) {
        self.0.closed.store(true, Ordering::Relaxed);
    }

    /// What came of the last post.
    pub(super) fn posted(&self) -> Posted {
        *self.0.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts an encoded request.
    pub(super) async fn post(&self, body: Vec<u8>) -> Posted {
        let mut request = Request::post(self.0.endpoint.clone());
        if let Some(headers) = request.headers_mut() {
            let kind = HeaderValue::from_static("application/x-protobuf");
            headers.insert(header::CONTENT_TYPE, kind);
        }
        let body = match self.0.posting.gzip {
            true => {
                request = request.header(header::CONTENT_ENCODING, "gzip");
                gzip(&body)
            }
            false => Ok(body),
        };
        self.begin();
        match body.map_err(|_| ()).and_then(|b| request.body(Bytes::from(b)).map_err(|_| ())) {
            Ok(request) => drop(self.0.until_taken(request).await),
            Err(()) => self.0.keep(Posted::Failed),
        }
        self.posted()
    }
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// An answer, as far as it decides what comes next.
enum Verdict {
    Taken(Response<Bytes>),
    Refused(Response<Bytes>),
    /// To be repeated, after this wait if the collector names one. The text says why.
    Again(Option<Duration>, String),
}

/// Statuses that mean the same post would be refused again (OTLP specification, failures): the data
/// is not understood, too large, or the collector does not take this signal at all.
fn is_final(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 404 | 405 | 413 | 415 | 422 | 501)
}

impl Inner {
    async fn once(&self, mut request: Request<Bytes>) -> Verdict {
        for (name, value) in &self.posting.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let (head, body) = match self.client.request(request.map(Full::new)).await {
            Ok(response) => response.into_parts(),
            Err(error) => return Verdict::Again(None, error.to_string()),
        };
        // The status decides; a body that is too long or breaks off changes nothing.
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let (status, after) = (head.status, head.headers.get(header::RETRY_AFTER));
        let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
        let after = after.map(Duration::from_secs);
        let response = Response::from_parts(head, body);
        if status.is_success() {
            Verdict::Taken(response)
        } else if is_final(status) {
            Verdict::Refused(response)
        } else {
            Verdict::Again(after, format!("status {}", status.as_u16()))
        }
    }

    async fn attempt(&self, request: Request<Bytes>) -> Verdict {
        let last_wait = async {
            self.posting.stop.cancelled().await;
            tokio::time::sleep(LAST_WAIT).await;
        };
        tokio::select! {
            sent = tokio::time::timeout(self.posting.timeout, self.once(request)) => sent
                .unwrap_or_else(|_| Verdict::Again(None, "no answer in otlp.timeout".to_owned())),
            () = last_wait => Verdict::Again(None, "the sidecar stops".to_owned()),
        }
    }

    async fn until_taken(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let (signal, mut wait) = (self.signal, RETRY_FIRST);
        loop {
            let last = self.posting.stop.is_cancelled();
            let again = Request::from_parts(head.clone(), body.clone());
            let (after, why) = match self.attempt(again).await {
                Verdict::Taken(response) => {
                    self.count("ok");
                    if self.failing.swap(false, Ordering::Relaxed) {
                        tracing::info!(signal, "the collector takes it again");
                    }
                    self.keep(Posted::Taken { rejected: self.rejected(&response) });
                    return Ok(response);
                }
                Verdict::Refused(response) => {
                    self.count("failed");
                    self.keep(Posted::Refused(response.status().as_u16()));
                    return Ok(response);
                }
                Verdict::Again(after, why) => (after, why),
            };
            self.count("failed");
            if !self.failing.swap(true, Ordering::Relaxed) {
                tracing::warn!(signal, why, "the collector does not take it; it waits");
            }
            if last || !self.patient {
                self.keep(if last { Posted::Stopped } else { Posted::Failed });
                return Err("not taken".into());
            }
            let pause = after.unwrap_or(wait).clamp(RETRY_FIRST, RETRY_LONGEST);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.posting.stop.cancelled() => {}
            }
            wait = wait.saturating_mul(2).min(RETRY_LONGEST);
        }
    }

    fn keep(&self, posted: Posted) {
        *self.posted.lock().unwrap_or_else(PoisonError::into_inner) = posted;
    }

    fn count(&self, result: &str) {
        let labels = [self.signal, result];
        self.posting.metrics.followers.otlp_requests.with_label_values(&labels).inc();
    }

    /// Items that the collector left out, though it took the post. The answers of the three
    /// signals have one shape: how many were rejected stands first.
    fn rejected(&self, response: &Response<Bytes>) -> u64 {
        let Ok(answer) = ExportTraceServiceResponse::decode(response.body().clone()) else {
            let signal = self.signal;
            tracing::warn!(signal, "the answer to a post is not OTLP: is it a collector's?");
            return 0;
        };
        let partial = answer.partial_success;
        partial.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0))
    }
}

#[async_trait]
impl HttpClient for Transport {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if self.0.closed.load(Ordering::Relaxed) {
            return Err("closed".into());
        }
        let inner = Arc::clone(&self.0);
        // On the runtime, whatever thread asks: there is the reactor.
        self.0.posting.runtime.spawn(async move { inner.until_taken(request).await }).await?
    }
}
