//! The generator's HTTP client: kept connections, one exchange at a time on each, and what was
//! seen of each answer.

use std::{
    net::SocketAddr,
    sync::Mutex,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::net::TcpStream;

use crate::{
    request::{Conversation, Turn},
    upstream::wall_ns,
};

/// A client of one target.
pub(crate) struct Client {
    address: SocketAddr,
    idle: Mutex<Vec<SendRequest<Turn>>>,
}

/// What was seen of one whole answer; durations count from the moment the request was due.
pub(crate) struct Seen {
    pub(crate) first_byte: Duration,
    pub(crate) last_byte: Duration,
    /// Nanoseconds each text delta was under way.
    pub(crate) event_delays_ns: Vec<u64>,
    /// Events too few or too many, or out of order.
    pub(crate) lost: u64,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, idle: Mutex::new(Vec::new()) }
    }

    /// Sends the next turn and reads the answer to its end.
    pub(crate) async fn exchange(
        &self,
        conversation: &Conversation,
        due: Instant,
    ) -> Result<Seen, String> {
        let mut connection = self.borrow().await?;
        let request = Request::post("/v1/messages")
            .header("host", self.address.to_string())
            .header("content-type", "application/json")
            .header("anthropic-version", "2023-06-01")
            .header("x-api-key", "bench-only")
            .body(conversation.next_turn())
            .map_err(|error| error.to_string())?;
        let response = connection.send_request(request).await.map_err(|error| error.to_string())?;
        if response.status() != 200 {
            return Err(format!("status {}", response.status()));
        }
        let mut body = response.into_body();
        let mut first_byte = None;
        let mut events = Events::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| error.to_string())?;
            let Some(data) = frame.data_ref() else { continue };
            first_byte.get_or_insert_with(|| due.elapsed());
            if conversation.events > 0 {
                events.read(data);
            }
        }
        let last_byte = due.elapsed();
        self.idle.lock().unwrap().push(connection);
        let lost = conversation.events.abs_diff(events.seen) + events.disordered;
        Ok(Seen {
            first_byte: first_byte.ok_or("empty answer")?,
            last_byte,
            event_delays_ns: events.delays_ns,
            lost,
        })
    }

    async fn borrow(&self) -> Result<SendRequest<Turn>, String> {
        loop {
            let kept = self.idle.lock().unwrap().pop();
            let Some(mut connection) = kept else { break };
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        let text = |error: &dyn std::error::Error| format!("connect: {error}");
        let stream = TcpStream::connect(self.address).await.map_err(|e| text(&e))?;
        stream.set_nodelay(true).map_err(|e| text(&e))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|e| text(&e))?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Takes a stream of events apart as it comes, without regard to how it was cut into frames.
#[derive(Default)]
struct Events {
    unread: Vec<u8>,
    seen: u64,
    disordered: u64,
    newest_ns: u64,
    delays_ns: Vec<u64>,
}

impl Events {
    fn read(&mut self, data: &Bytes) {
        let now = wall_ns();
        self.unread.extend_from_slice(data);
        let mut start = 0;
        while let Some(length) = memmem::find(&self.unread[start..], b"\n\n") {
            let stamp = stamp(&self.unread[start..start + length]);
            start += length + 2;
            self.seen += 1;
            let Some(sent) = stamp else { continue };
            self.disordered += u64::from(sent < self.newest_ns);
            self.newest_ns = sent;
            self.delays_ns.push(now.saturating_sub(sent));
        }
        self.unread.drain(..start);
    }
}

/// When the upstream handed the event over, if the event says so.
fn stamp(event: &[u8]) -> Option<u64> {
    let at = memmem::find(event, b"\"at=")? + 4;
    let digits = event[at..].split(|byte| *byte == b';').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
