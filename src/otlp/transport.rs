//! Posts what the exporters of `opentelemetry-otlp` encode, until the collector has it.
//!
//! Their own HTTP clients lose everything silently where no reactor runs on their thread, and give
//! up after some tries. This one runs each post on the program's runtime, with the upstream's proxy
//! and authorities, and repeats the same bytes for as long as it takes: a collector that is down
//! costs lag. What it refuses for good, and what it leaves out, is counted.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, StatusCode, header};
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
    /// Nothing was posted yet.
    Nothing,
    /// Taken, but for so many items.
    Taken { rejected: u64 },
    /// Refused for good, with this status: repeating would not help.
    Refused(u16),
    /// The sidecar stops; the collector does not have it.
    Stopped,
}

/// The way to one endpoint of a collector.
#[derive(Clone)]
pub(super) struct Transport(Arc<Inner>);

struct Inner {
    client: Client<Full<Bytes>>,
    runtime: Handle,
    timeout: Duration,
    signal: &'static str,
    metrics: Arc<Metrics>,
    /// Once it is set, a post is tried once more and then given up.
    stop: CancellationToken,
    posted: Mutex<Posted>,
    closed: AtomicBool,
}

/// The address may hold a password, so it is not shown.
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
    pub(super) runtime: Handle,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: CancellationToken,
}

impl Transport {
    pub(super) fn new(
        signal: &'static str,
        endpoint: &str,
        posting: &Posting,
    ) -> Result<Transport, OutboundError> {
        let Posting { route, timeout, runtime, metrics, stop } = posting.clone();
        let client = Client::new(&parse("otlp.endpoint", endpoint)?, &route)?;
        Ok(Transport(Arc::new(Inner {
            client,
            runtime,
            timeout,
            signal,
            metrics,
            stop,
            posted: Mutex::new(Posted::Nothing),
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
    async fn once(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = self.client.request(request.map(Full::new)).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    async fn attempt(&self, request: Request<Bytes>) -> Verdict {
        let sending = tokio::time::timeout(self.timeout, self.once(request));
        let last_wait = async {
            self.stop.cancelled().await;
            tokio::time::sleep(LAST_WAIT).await;
        };
        let sent = tokio::select! {
            sent = sending => sent,
            () = last_wait => return Verdict::Again(None, "the sidecar stops".to_owned()),
        };
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Verdict::Again(None, error.to_string()),
            Err(_) => return Verdict::Again(None, "no answer within otlp.timeout".to_owned()),
        };
        let status = response.status();
        if status.is_success() {
            return Verdict::Taken(response);
        }
        if is_final(status) {
            return Verdict::Refused(response);
        }
        let after = response.headers().get(header::RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
        Verdict::Again(after.map(Duration::from_secs), format!("status {}", status.as_u16()))
    }

    async fn until_taken(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let mut wait = RETRY_FIRST;
        let mut failing = false;
        loop {
            let last = self.stop.is_cancelled();
            match self.attempt(Request::from_parts(head.clone(), body.clone())).await {
                Verdict::Taken(response) => {
                    self.count("ok");
                    if failing {
                        tracing::info!(signal = self.signal, "the collector takes it again");
                    }
                    self.keep(Posted::Taken { rejected: rejected(&response) });
                    return Ok(response);
                }
                Verdict::Refused(response) => {
                    self.count("failed");
                    self.keep(Posted::Refused(response.status().as_u16()));
                    return Ok(response);
                }
                Verdict::Again(after, why) => {
                    self.count("failed");
                    if !failing {
                        let signal = self.signal;
                        tracing::warn!(signal, why, "the collector does not take it; it waits");
                    }
                    failing = true;
                    if last {
                        self.keep(Posted::Stopped);
                        return Err("the sidecar stops".into());
                    }
                    let pause = after.unwrap_or(wait).min(RETRY_LONGEST);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.stop.cancelled() => {}
                    }
                    wait = wait.saturating_mul(2).min(RETRY_LONGEST);
                }
            }
        }
    }

    fn keep(&self, posted: Posted) {
        *self.posted.lock().unwrap_or_else(PoisonError::into_inner) = posted;
    }

    fn count(&self, result: &str) {
        self.metrics.followers.otlp_requests.with_label_values(&[self.signal, result]).inc();
    }
}

/// Items that the collector left out, though it took the post. The answers of the three signals
/// have one shape: how many were rejected stands first.
fn rejected(response: &Response<Bytes>) -> u64 {
    let decoded = ExportTraceServiceResponse::decode(response.body().clone()).ok();
    let partial = decoded.and_then(|answer| answer.partial_success);
    partial.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0))
}

#[async_trait]
impl HttpClient for Transport {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if self.0.closed.load(Ordering::Relaxed) {
            return Err("closed".into());
        }
        let inner = Arc::clone(&self.0);
        // On the runtime, whatever thread asks: there is the reactor.
        self.0.runtime.spawn(async move { inner.until_taken(request).await }).await?
    }
}
