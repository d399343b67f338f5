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

use super::seldom::Seldom;
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
    let watch = Watch { gate: &gate, activity: &activity };
    let mut stopped = Seldom::new(Box::pin(watch.until(&stop)));
    tokio::select! {
        biased;
        _ = serving.as_mut() => return,
        gave_up = &mut stopped => if gave_up { return },
    }
    serving.as_mut().graceful_shutdown();
    let mut forced = Seldom::new(Box::pin(watch.until(&gate.force)));
    tokio::select! {
        biased;
        _ = serving.as_mut() => {}
        _ = &mut forced => {}
    }
}

/// Looks at a connection from time to time.
struct Watch<'a> {
    gate: &'a Gate,
    activity: &'a Activity,
}

impl Watch<'_> {
    /// Waits for `signal`. `true` where the connection is given up before: dropping it ends what
    /// runs on it.
    async fn until(&self, signal: &CancellationToken) -> bool {
        let mut requests = self.activity.requests.load(Ordering::Relaxed);
        loop {
            tokio::select! {
                () = signal.cancelled() => return false,
                () = tokio::time::sleep(HEAD_TIMEOUT.min(self.gate.upstream.idle_timeout)) => {}
            }
            let before =
                std::mem::replace(&mut requests, self.activity.requests.load(Ordering::Relaxed));
            let idle = self.activity.running.load(Ordering::Relaxed) == 0;
            if (idle && before == requests) || self.is_stalled() {
                return true;
            }
        }
    }

    /// Whether the client takes nothing of what it asked for.
    fn is_stalled(&self) -> bool {
        let given_ns = self.activity.given_ns.load(Ordering::Relaxed);
        let untaken = self.gate.recorder.clock().mono_ns().saturating_sub(given_ns);
        let idle_timeout = self.gate.upstream.idle_timeout;
        let stalled = given_ns > 0 && Duration::from_nanos(untaken) >= idle_timeout;
        self.activity.stalled.store(stalled, Ordering::Relaxed);
        stalled
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
