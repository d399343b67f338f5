//! The fake Claude API: a TCP server that plays scripts and keeps what it saw and said.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::encoding::Encoder;
use super::message::Figures;
use super::script::{self, Action, Framing, Reply, Request, Step};
use super::stream::Stream;
use super::wire::{Buffer, End, Head};

/// How an answer ended, seen from the fake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    NotYet,
    /// As scripted.
    Played,
    /// The other side left first.
    PeerLeft,
}

/// One request and its answer, as bytes.
#[derive(Clone, Debug)]
pub struct Seen {
    pub connection: u64,
    pub head: Head,
    pub method: String,
    /// As sent, with its query.
    pub target: String,
    pub body: Vec<u8>,
    /// The answer's body without its transfer framing: encoded where an encoding was used.
    pub sent: Vec<u8>,
    pub sent_head: String,
    /// What the API would bill by now.
    pub billed: Option<Figures>,
    pub ended: Ended,
    pub at: Instant,
    pub ended_at: Option<Instant>,
    pub http2: bool,
    /// Waits for [`Fake::open_gate`].
    pub at_gate: bool,
}

#[derive(Debug, Default)]
struct Book {
    seen: Vec<Seen>,
    counts: HashMap<String, u32>,
    /// Answers of a test's own, by scenario.
    own: HashMap<String, Action>,
    scenario: String,
    encoding: Option<String>,
    connections: u64,
    open: u64,
}

/// What all connections share.
#[derive(Debug, Clone)]
pub struct Shared {
    book: Arc<Mutex<Book>>,
    gate: Arc<Semaphore>,
}

/// The server. It ends when it is dropped.
#[derive(Debug)]
pub struct Fake {
    pub address: SocketAddr,
    /// `http://…` or `https://localhost:…`.
    pub url: String,
    /// The certificate to trust, PEM.
    pub certificate: Option<String>,
    shared: Shared,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// Plain HTTP/1.1.
    pub async fn start(scenario: &str) -> Fake {
        Fake::listen(scenario, None, "127.0.0.1:0").await
    }

    /// Plain HTTP/1.1 at an address that was free a moment ago.
    pub async fn start_at(address: SocketAddr, scenario: &str) -> Fake {
        Fake::listen(scenario, None, &address.to_string()).await
    }

    /// TLS with a certificate of its own authority; `protocols` as in ALPN.
    pub async fn start_tls(scenario: &str, protocols: &[&str]) -> Fake {
        Fake::listen(scenario, Some(protocols), "127.0.0.1:0").await
    }

    async fn listen(scenario: &str, tls: Option<&[&str]>, at: &str) -> Fake {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let book = Book { scenario: scenario.to_owned(), ..Book::default() };
        let shared = Shared { book: Arc::new(Mutex::new(book)), gate: Arc::new(Semaphore::new(0)) };
        let tls = tls.map(super::h2::acceptor);
        let (acceptor, certificate) = tls.unzip();
        let scheme = if acceptor.is_some() { "https://localhost" } else { "http://127.0.0.1" };
        let url = format!("{scheme}:{}", address.port());
        let task = tokio::spawn(accept(listener, acceptor, shared.clone()));
        Fake { address, url, certificate, shared, task }
    }

    /// The scenario of requests that do not name one.
    pub fn scenario(&self, name: &str) {
        self.shared.book().scenario = name.to_owned();
    }

    /// Encodes what is encodable: `gzip`, `deflate`, `br`, `zstd`.
    pub fn encoding(&self, name: Option<&str>) {
        self.shared.book().encoding = name.map(str::to_owned);
    }

    /// What it does in a scenario that the script does not have.
    pub fn plays(&self, scenario: &str, action: Action) {
        self.shared.book().own.insert(scenario.to_owned(), action);
    }

    /// Lets one waiting [`Step::Gate`] go on.
    pub fn open_gate(&self) {
        self.shared.gate.add_permits(1);
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.book().seen.clone()
    }

    /// How many requests so far.
    pub fn count(&self) -> usize {
        self.shared.book().seen.len()
    }

    /// The newest request.
    pub fn last(&self) -> Seen {
        self.shared.book().seen.last().cloned().expect("the fake has seen no request")
    }

    /// Connections accepted so far, and how many of them are open.
    pub fn connections(&self) -> (u64, u64) {
        let book = self.shared.book();
        (book.connections, book.open)
    }

    /// The sum of what the API would bill.
    pub fn billed(&self) -> Figures {
        let mut sum = Figures::default();
        for seen in &self.shared.book().seen {
            sum.add(seen.billed.unwrap_or_default());
        }
        sum
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: Option<tokio_rustls::TlsAcceptor>,
    shared: Shared,
) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((tcp, _)) = listener.accept().await else { continue };
        tcp.set_nodelay(true).unwrap();
        let (shared, acceptor) = (shared.clone(), acceptor.clone());
        connections.spawn(async move {
            let stream = match acceptor {
                None => Stream::Plain(tcp),
                Some(acceptor) => match acceptor.accept(tcp).await {
                    Ok(tls) => Stream::Tls(Box::new(tls)),
                    Err(_) => return,
                },
            };
            let number = shared.connected();
            if stream.is_h2() {
                super::h2::serve(stream, shared.clone(), number).await;
            } else {
                serve(stream, &shared, number).await;
            }
            shared.book().open -= 1;
        });
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    fn connected(&self) -> u64 {
        let mut book = self.book();
        book.connections += 1;
        book.open += 1;
        book.connections
    }

    /// Writes the request down and looks its answer up; gives its place in the book.
    pub fn receive(&self, mut seen: Seen) -> (usize, Action) {
        let mut book = self.book();
        let scenario = match seen.head.get("x-fake-scenario") {
            Some(name) => name.to_owned(),
            None => book.scenario.clone(),
        };
        let body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        let path = seen.target.split('?').next().unwrap_or_default().to_owned();
        let subagent = seen.head.get("x-claude-code-agent-id").is_some();
        let side = body["tools"].as_array().is_none_or(Vec::is_empty);
        let kind = format!("{scenario} {} {side} {subagent}", path.rsplit('/').next().unwrap());
        let nth = book.counts.entry(kind).or_default();
        *nth += 1;
        let request = Request {
            method: &seen.method,
            path: &path,
            scenario: &scenario,
            nth: *nth,
            subagent,
            body: &body,
        };
        let own = book.own.get(&scenario).cloned();
        let mut action = own.unwrap_or_else(|| script::action(&request));
        if let Action::Reply(reply) = &mut action {
            encode(reply, book.encoding.as_deref());
            seen.sent_head = head_text(reply);
        }
        book.seen.push(seen);
        (book.seen.len() - 1, action)
    }

    pub fn update(&self, place: usize, change: impl FnOnce(&mut Seen)) {
        change(&mut self.book().seen[place]);
    }

    pub fn sent(&self, place: usize, bytes: &[u8]) {
        self.update(place, |seen| seen.sent.extend_from_slice(bytes));
    }

    pub fn end(&self, place: usize, ended: Ended) {
        self.update(place, |seen| {
            seen.ended = ended;
            seen.ended_at = Some(Instant::now());
        });
    }

    /// Waits for [`Fake::open_gate`].
    pub async fn gate(&self) {
        self.gate.acquire().await.unwrap().forget();
    }
}

/// Applies the content encoding to an answer.
fn encode(reply: &mut Reply, encoding: Option<&str>) {
    let Some(name) = encoding.filter(|_| reply.encodable && reply.framing != Framing::None) else {
        return;
    };
    reply.headers.push(("content-encoding".to_owned(), name.to_owned()));
    let mut encoder = Encoder::new(Some(name));
    let mut length = 0;
    for step in &mut reply.steps {
        if let Step::Bytes(bytes) = step {
            *bytes = encoder.piece(bytes);
            length += bytes.len();
        }
    }
    let rest = encoder.finish();
    let is_cut = matches!(reply.steps.last(), Some(Step::Reset | Step::Close | Step::Stall));
    if !is_cut && !rest.is_empty() {
        length += rest.len();
        reply.steps.push(Step::Bytes(rest));
    }
    if let Framing::Length(declared) = &mut reply.framing {
        *declared = length;
    }
}

fn head_text(reply: &Reply) -> String {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match reply.framing {
        Framing::Length(n) => head.push_str(&format!("content-length: {n}\r\n")),
        Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
        Framing::UntilClose => head.push_str("connection: close\r\n"),
        Framing::None => {}
    }
    head.push_str("\r\n");
    head
}

/// One HTTP/1.1 connection, request after request.
async fn serve(mut stream: Stream, shared: &Shared, connection: u64) {
    let mut buffer = Buffer::default();
    loop {
        let Ok(Some(head)) = buffer.head(&mut stream).await else { return };
        if head.get("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue")) {
            let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        let mut body = Vec::new();
        let mut sink = |piece: &[u8]| body.extend_from_slice(piece);
        let chunked = head.get("transfer-encoding").is_some_and(|v| v.contains("chunked"));
        let end = match head.get("content-length").and_then(|v| v.parse().ok()) {
            _ if chunked => buffer.chunked(&mut stream, &mut sink).await,
            Some(length) => buffer.exactly(&mut stream, length, &mut sink).await,
            None => End::Clean,
        };
        if end != End::Clean {
            return;
        }
        let mut words = head.line.split(' ').map(str::to_owned);
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let is_head = method == "HEAD";
        let close = head.get("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
        let seen = Seen {
            connection,
            head,
            method,
            target,
            body,
            sent: Vec::new(),
            sent_head: String::new(),
            billed: None,
            ended: Ended::NotYet,
            at: Instant::now(),
            ended_at: None,
            http2: false,
            at_gate: false,
        };
        let (place, action) = shared.receive(seen);
        let played = match action {
            Action::ResetBefore => Played::Reset,
            Action::HeadNever => gone(&mut stream, &mut buffer).await,
            Action::Raw(bytes) => {
                let _ = stream.write_all(&bytes).await;
                Played::Close
            }
            Action::Reply(reply) => {
                play(&mut stream, &mut buffer, Page { shared, place }, reply, is_head).await
            }
        };
        let left = matches!(played, Played::PeerLeft);
        shared.end(place, if left { Ended::PeerLeft } else { Ended::Played });
        match played {
            Played::Through if !close => {}
            Played::Reset => return stream.reset(),
            _ => {
                let _ = stream.shutdown().await;
                return;
            }
        }
    }
}

enum Played {
    Through,
    Close,
    Reset,
    PeerLeft,
}

/// Waits until the other side leaves; bytes it sends meanwhile are kept.
async fn gone(stream: &mut Stream, buffer: &mut Buffer) -> Played {
    loop {
        match buffer.fill(stream).await {
            Ok(0) | Err(_) => return Played::PeerLeft,
            Ok(_) => {}
        }
    }
}

/// Waits for `something`, or for the other side to leave.
async fn unless_gone(
    stream: &mut Stream,
    buffer: &mut Buffer,
    something: impl Future<Output = ()>,
) -> Result<(), Played> {
    tokio::select! {
        () = something => Ok(()),
        played = gone(stream, buffer) => Err(played),
    }
}

/// A request's place in the book.
#[derive(Clone, Copy)]
struct Page<'a> {
    shared: &'a Shared,
    place: usize,
}

async fn play(
    stream: &mut Stream,
    buffer: &mut Buffer,
    page: Page<'_>,
    reply: Reply,
    is_head: bool,
) -> Played {
    let Page { shared, place } = page;
    let chunked = reply.framing == Framing::Chunked;
    if stream.write_all(head_text(&reply).as_bytes()).await.is_err() {
        return Played::PeerLeft;
    }
    if is_head {
        return Played::Through;
    }
    for step in reply.steps {
        let result = match step {
            Step::Bytes(bytes) => write(stream, page, &bytes, chunked).await,
            Step::Bill(figures) => {
                shared.update(place, |seen| seen.billed = Some(figures));
                Ok(())
            }
            Step::Pause(time) => unless_gone(stream, buffer, tokio::time::sleep(time)).await,
            Step::Gate => {
                shared.update(place, |seen| seen.at_gate = true);
                unless_gone(stream, buffer, shared.gate()).await
            }
            Step::Stall => Err(gone(stream, buffer).await),
            Step::Forever(bytes) => loop {
                if let Err(played) = write(stream, page, &bytes, chunked).await {
                    break Err(played);
                }
                // Only the size matters, not to keep what was sent.
                shared.update(place, |seen| seen.sent.truncate(bytes.len()));
            },
            Step::Reset => Err(Played::Reset),
            Step::Close => Err(Played::Close),
        };
        if let Err(played) = result {
            return played;
        }
    }
    if chunked && stream.write_all(b"0\r\n\r\n").await.is_err() {
        return Played::PeerLeft;
    }
    let _ = stream.flush().await;
    if reply.framing == Framing::UntilClose { Played::Close } else { Played::Through }
}

async fn write(
    stream: &mut Stream,
    page: Page<'_>,
    bytes: &[u8],
    chunked: bool,
) -> Result<(), Played> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut framed = Vec::with_capacity(bytes.len() + 16);
    if chunked {
        framed.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
    }
    framed.extend_from_slice(bytes);
    if chunked {
        framed.extend_from_slice(b"\r\n");
    }
    page.shared.sent(page.place, bytes);
    let written = stream.write_all(&framed).await;
    let written = written.and(stream.flush().await);
    written.map_err(|_| Played::PeerLeft)
}

/// How long a test may wait for the fake's `Ended` after a departure.
pub const DEPARTURE: Duration = Duration::from_secs(1);
