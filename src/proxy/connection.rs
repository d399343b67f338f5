//! One client's connection: its requests one after the other, and what it may not wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::{Gate, exchange};

/// How long a connection may wait for the next request's head, at least, and at most twice that:
/// idle keep-alive connections and clients that send their headers a byte at a time alike.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves a connection until it ends, `stop` lets it finish what runs, or the drain is over.
pub(super) async fn serve<S>(gate: Arc<Gate>, stream: S, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let (calls, seen) = (Arc::clone(&gate), Arc::clone(&activity));
    let service = service_fn(move |request: Request<Incoming>| {
        exchange::run(Arc::clone(&calls), request, Line::new(&seen))
    });
    let mut builder = http1::Builder::new();
    // The library's own timeout sets a timer up for every request; one for the connection will do.
    builder.timer(TokioTimer::new()).header_read_timeout(None).auto_date_header(false);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let mut watch = Watch { gate: &gate, activity: &activity, requests: 0 };
    let stopped = stop.cancelled();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            biased;
            _ = serving.as_mut() => return,
            () = stopped.as_mut() => break,
            () = tokio::time::sleep(watch.interval()) => {}
        }
        if watch.gives_up() {
            return;
        }
    }
    serving.as_mut().graceful_shutdown();
    loop {
        tokio::select! {
            biased;
            _ = serving.as_mut() => return,
            () = gate.force.cancelled() => return,
            () = tokio::time::sleep(watch.interval()) => {}
        }
        if watch.gives_up() {
            return;
        }
    }
}

/// Looks at a connection from time to time.
struct Watch<'a> {
    gate: &'a Gate,
    activity: &'a Activity,
    /// Requests at the last look.
    requests: u64,
}

impl Watch<'_> {
    fn interval(&self) -> Duration {
        HEAD_TIMEOUT.min(self.gate.upstream.idle_timeout)
    }

    /// Whether nothing has been asked since the last look, or the client takes nothing of what it
    /// asked for. Dropping the connection ends what runs on it.
    fn gives_up(&mut self) -> bool {
        let activity = self.activity;
        let requests = activity.requests.load(Ordering::Relaxed);
        let is_idle = requests == self.requests && activity.running.load(Ordering::Relaxed) == 0;
        self.requests = requests;
        let given_ns = activity.given_ns.load(Ordering::Relaxed);
        let untaken = self.gate.recorder.clock().mono_ns().saturating_sub(given_ns);
        let idle_timeout = self.gate.upstream.idle_timeout;
        let stalled = given_ns > 0 && Duration::from_nanos(untaken) >= idle_timeout;
        activity.stalled.store(stalled, Ordering::Relaxed);
        is_idle || stalled
    }
}

/// What a connection has done: tells a busy one from one that only sits there.
#[derive(Default)]
struct Activity {
    requests: AtomicU64,
    running: AtomicU64,
    /// When the connection was given the frame it is still writing; 0 where it waits for one.
    given_ns: AtomicU64,
    stalled: AtomicBool,
}

/// The connection a call runs on.
pub(super) struct Line(Arc<Activity>);

impl Line {
    fn new(activity: &Arc<Activity>) -> Line {
        activity.requests.fetch_add(1, Ordering::Relaxed);
        activity.running.fetch_add(1, Ordering::Relaxed);
        Line(Arc::clone(activity))
    }

    /// The connection asks for a frame: it has room.
    pub(super) fn asks(&self) {
        self.0.given_ns.store(0, Ordering::Relaxed);
    }

    /// The connection gets a frame at `now_ns` (monotonic).
    pub(super) fn gives(&self, now_ns: u64) {
        self.0.given_ns.store(now_ns, Ordering::Relaxed);
    }

    /// Whether the client was given up because it took nothing.
    pub(super) fn has_stalled(&self) -> bool {
        self.0.stalled.load(Ordering::Relaxed)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.asks();
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
