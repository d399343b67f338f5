//! The operator's HTTP: health and metrics, on the telemetry listener for any address and on the
//! admin listener for loopback.
//!
//! | path | telemetry | admin |
//! |---|---|---|
//! | `/livez`, `/readyz`, `/metrics` | open | open, `Host` and `Origin` checked |
//! | `POST /hooks` | 404 | with the hook token, `Host` and `Origin` checked |
//! | anything else | 404 | 404 |

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::hooks::{Intake, Rejection};
use crate::ledger::State;
use crate::logging;
use crate::metrics::Lag;
use crate::recorder::Recorder;

/// Operators, scrapers and clients' hooks connected at the same time: a client keeps one or two
/// connections open.
const CONNECTIONS_MAX: usize = 1_024;
/// How long a connection may wait for its next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after a failed accept, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Without progress for this long the process counts as stuck.
const PROGRESS_NS_MAX: u64 = 10_000_000_000;

/// Where clients' hooks post.
const HOOKS: &str = "/hooks";

/// What the health answers are made of.
pub struct Operator {
    /// The ledger's health and the metrics.
    pub recorder: Arc<Recorder>,
    /// Monotonic moment of the last sign of progress, nanoseconds; `app` ticks it.
    pub progress_ns: AtomicU64,
    /// Entries the index has taken in.
    pub indexed: AtomicU64,
    /// How far the index is behind.
    pub index_lag: Arc<Lag>,
    /// How far the export got, and how far it is behind; absent where nothing is exported.
    pub export: Option<(Arc<AtomicU64>, Arc<Lag>)>,
    /// Where clients' hooks post.
    pub hooks: Arc<Intake>,
    /// Set once calls are accepted, cleared when the drain begins.
    pub accepting: AtomicBool,
}

/// Which listener a request came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Loopback, `Host` and `Origin` checked.
    Admin,
    /// Any address, health and metrics only.
    Telemetry,
}

/// Answers operators until `stop`.
pub async fn serve(
    operator: Arc<Operator>,
    kind: Listener,
    listener: TcpListener,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
        let (operator, stop) = (Arc::clone(&operator), stop.clone());
        tasks.spawn(async move {
            let service = service_fn(move |request| {
                let operator = Arc::clone(&operator);
                async move { Ok::<_, Infallible>(answer(&operator, kind, request).await) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            let serving = builder.serve_connection(TokioIo::new(stream), service);
            tokio::pin!(serving);
            tokio::select! {
                _ = serving.as_mut() => {}
                () = stop.cancelled() => {
                    serving.as_mut().graceful_shutdown();
                    let _ = serving.await;
                }
            }
            drop(place);
        });
    }
}

async fn answer(
    operator: &Operator,
    kind: Listener,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let is_hook = kind == Listener::Admin && request.uri().path() == HOOKS;
    if kind == Listener::Admin && !is_local(request.headers()) {
        if is_hook {
            return operator.hooks.reject(Rejection::Origin);
        }
        return text(StatusCode::FORBIDDEN, "this address answers to its loopback name only\n");
    }
    if is_hook {
        return operator.hooks.answer(request).await;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
    }
    match request.uri().path() {
        "/livez" => verdict(operator.is_making_progress(), "no progress for 10 s"),
        "/readyz" => match operator.readiness() {
            Ok(()) => verdict(true, ""),
            Err(reason) => verdict(false, reason),
        },
        "/metrics" => match operator.metrics() {
            Ok(body) => {
                let mut response = Response::new(Full::new(Bytes::from(body)));
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response
            }
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        },
        _ => text(StatusCode::NOT_FOUND, "see /metrics, /livez and /readyz\n"),
    }
}

/// A browser that was lured here sends the name of the page's host (DNS rebinding) or its origin.
fn is_local(headers: &HeaderMap) -> bool {
    if headers.contains_key(header::ORIGIN) {
        return false;
    }
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let ip = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    name == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

fn verdict(good: bool, reason: &str) -> Response<Full<Bytes>> {
    if good {
        text(StatusCode::OK, "ok\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, &format!("{reason}\n"))
    }
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_owned())));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

impl Operator {
    /// What a process shows that does not accept calls yet.
    #[must_use]
    pub fn new(
        recorder: &Arc<Recorder>,
        exported: Option<Arc<AtomicU64>>,
        hooks: Intake,
    ) -> Operator {
        let metrics = recorder.metrics();
        let (mode, durability) = recorder.ledger().terms();
        metrics.health.ledger_is(mode, durability);
        Operator {
            recorder: Arc::clone(recorder),
            progress_ns: AtomicU64::new(recorder.clock().mono_ns()),
            indexed: AtomicU64::new(0),
            index_lag: metrics.followers.named("index"),
            export: exported.map(|position| (position, metrics.followers.named("otlp"))),
            hooks: Arc::new(hooks),
            accepting: AtomicBool::new(false),
        }
    }

    /// The runtime turns and the ledger's background work goes on: a process that is merely there
    /// does not count as alive.
    fn is_making_progress(&self) -> bool {
        let now = self.recorder.clock().mono_ns();
        now.saturating_sub(self.progress_ns.load(Ordering::Relaxed)) < PROGRESS_NS_MAX
    }

    /// Calls are accepted and can be recorded.
    fn readiness(&self) -> Result<(), &'static str> {
        if !self.accepting.load(Ordering::Relaxed) {
            return Err("starting or draining");
        }
        let health = self.recorder.ledger().health();
        match health.state {
            _ if health.takes_new_calls => Ok(()),
            State::Poisoned => Err("the ledger cannot be written; see the log"),
            _ => Err("the disk is full: running calls end, new ones are refused"),
        }
    }

    fn metrics(&self) -> Result<String, prometheus::Error> {
        self.look();
        let metrics = self.recorder.metrics();
        let prices = self.recorder.prices();
        let checked = prices.checked().to_zoned(jiff::tz::TimeZone::UTC);
        let checked_s = checked.map_or(0, |day| day.timestamp().as_second());
        metrics.health.show_prices(prices.version(), checked_s);
        for (level, total) in logging::suppressed() {
            metrics.health.show_suppressed(level, total);
        }
        metrics.expose(self.recorder.clock().mono_ns())
    }

    /// Shows how the ledger and its follower are. Once a second too, because how long a follower
    /// is behind is told from that.
    pub fn look(&self) {
        let health = self.recorder.ledger().health();
        let now = self.recorder.clock().mono_ns();
        let indexed = self.indexed.load(Ordering::Relaxed);
        let calls_open = self.recorder.live().calls_open();
        self.recorder.metrics().agents.show_open(calls_open);
        self.recorder.metrics().health.show_ledger(&health, indexed, now);
        self.index_lag.is(indexed, health.entries, now);
        if let Some((position, lag)) = &self.export {
            lag.is(position.load(Ordering::Relaxed), health.entries, now);
        }
    }
}
