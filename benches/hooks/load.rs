//! Events that are due whatever the target does, each session's on a connection of its own.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};

use crate::{
    event::{Session, Templates},
    measure::{self, Reading},
    pace,
    report::Row,
};

const SESSIONS: usize = 200;
const EVENTS_PER_S: u32 = 1000;
/// Events that wait for the generator or for a connection.
const WAITING_MAX: usize = 4096;
/// The longest wait for answers that are still under way when the load ends.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// The pause between two looks at memory.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What the load is put on.
pub(crate) struct Target<'a> {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    pub(crate) token: &'a str,
}

/// The load: the same for both targets of a round.
pub(crate) struct Plan<'a> {
    pub(crate) round: u32,
    pub(crate) seconds: u32,
    pub(crate) templates: &'a Templates,
}

#[derive(Default)]
struct Gathered {
    took_us: Vec<f64>,
    sequences: Vec<u64>,
    errors: u64,
    first_error: Option<String>,
}

/// One round on one target.
pub(crate) async fn run(target: &Target<'_>, plan: &Plan<'_>) -> Row {
    let gathered = Arc::new(Mutex::new(Gathered::default()));
    let (mut connections, mut senders) = (JoinSet::new(), Vec::new());
    for _ in 0..SESSIONS {
        let sender = connect(target.address).await.unwrap();
        let (events, due) = mpsc::channel(WAITING_MAX);
        senders.push(events);
        let authorization = format!("Bearer {}", target.token);
        let connection = Connection { sender, host: target.address.to_string(), authorization };
        connections.spawn(connection.post_all(due, Arc::clone(&gathered)));
    }
    let before = Reading::of(target.pid);
    let (watch, over) = watch_memory(target.pid);
    let sent = dispatch(plan, &senders).await;
    drop(senders);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN_MAX, all).await;
    over.store(true, Ordering::Relaxed);
    let cpu_s = Reading::of(target.pid).cpu_s_since(&before);
    let mut gathered = std::mem::take(&mut *gathered.lock().unwrap());
    if let Some(why) = gathered.first_error {
        eprintln!("  {} failed, the first with: {why}", gathered.errors);
    }
    let took = &mut gathered.took_us;
    let at = |took: &mut Vec<f64>, q| measure::quantile(took, q).unwrap_or(f64::NAN) / 1e3;
    Row {
        target: target.name,
        sent,
        answered: took.len() as u64,
        p50_ms: at(took, 0.5),
        p99_ms: at(took, 0.99),
        max_ms: at(took, 1.0),
        cpu_us: cpu_s * 1e6 / sent as f64,
        peak_mb: watch.join().unwrap(),
        end_mb: measure::rss_mb(target.pid).unwrap_or(f64::NAN),
        load1: measure::load_average(),
        sequences: gathered.sequences,
        errors: gathered.errors,
    }
}

/// Hands out each event at its moment; gives how many there were. What is due is not evenly spaced:
/// the gaps are those of events that know nothing of one another.
async fn dispatch(plan: &Plan<'_>, senders: &[mpsc::Sender<(Instant, Bytes)>]) -> u64 {
    let count = u64::from(EVENTS_PER_S) * u64::from(plan.seconds);
    let (arrivals, mut due) = mpsc::channel(WAITING_MAX);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(plan.round);
    let mut moment = Duration::ZERO;
    let moments = (0..count).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let unit = ((state >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        moment += Duration::from_secs_f64(-unit.ln() / f64::from(EVENTS_PER_S));
        moment
    });
    let timekeeper = std::thread::spawn(move || pace::keep_time(moments, &arrivals));
    let mut sessions: Vec<_> = (0..SESSIONS).map(|n| Session::new(plan.round, n)).collect();
    let mut sent = 0;
    while let Some(due) = due.recv().await {
        let turn = sent as usize % SESSIONS;
        let event = sessions[turn].next_event(plan.templates);
        senders[turn].send((due, event)).await.unwrap();
        sent += 1;
    }
    timekeeper.join().unwrap();
    sent
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, String> {
    let text = |error: &dyn std::error::Error| format!("connect: {error}");
    let stream = TcpStream::connect(address).await.map_err(|e| text(&e))?;
    stream.set_nodelay(true).map_err(|e| text(&e))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|e| text(&e))?;
    tokio::spawn(connection);
    Ok(sender)
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    authorization: String,
}

impl Connection {
    /// One after the other, as a session does: what waits for the answer before pays for it.
    async fn post_all(
        mut self,
        mut events: mpsc::Receiver<(Instant, Bytes)>,
        gathered: Arc<Mutex<Gathered>>,
    ) {
        while let Some((due, event)) = events.recv().await {
            let outcome = self.post(event).await;
            let took_us = due.elapsed().as_secs_f64() * 1e6;
            let mut gathered = gathered.lock().unwrap();
            match outcome {
                Ok(sequence) => {
                    gathered.took_us.push(took_us);
                    gathered.sequences.extend(sequence);
                }
                Err(why) => {
                    gathered.errors += 1;
                    gathered.first_error.get_or_insert(why);
                }
            }
        }
    }

    /// Gives the event's place in the ledger, where the answer names one.
    async fn post(&mut self, event: Bytes) -> Result<Option<u64>, String> {
        self.sender.ready().await.map_err(|error| error.to_string())?;
        let request = Request::post("/hooks")
            .header("host", &self.host)
            .header("accept", "application/json, text/plain, */*")
            .header("content-type", "application/json")
            .header("authorization", &self.authorization)
            .header("user-agent", "axios/1.15.2")
            .body(Full::new(event))
            .map_err(|error| error.to_string())?;
        let answer = self.sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        if head.status != 200 || body != "{}" || head.headers.contains_key("x-weighbridge-replay") {
            return Err(format!("{}: {}", head.status, String::from_utf8_lossy(&body)));
        }
        let sequence = head.headers.get("x-weighbridge-sequence");
        Ok(sequence.and_then(|number| number.to_str().ok()?.parse().ok()))
    }
}

/// Looks at memory until it is told to end; gives the most that was seen.
fn watch_memory(pid: u32) -> (std::thread::JoinHandle<f64>, Arc<AtomicBool>) {
    let over = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&over);
    let watch = std::thread::spawn(move || {
        let mut peak_mb = 0.0_f64;
        while !until.load(Ordering::Relaxed) {
            peak_mb = peak_mb.max(measure::rss_mb(pid).unwrap_or(0.0));
            std::thread::sleep(LOOK_EVERY);
        }
        peak_mb
    });
    (watch, over)
}
