//! A client whose every byte is under control, and that keeps every byte it gets.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::stream::Stream;
use super::wire::{Buffer, End, Head};

/// A request to be sent as it is written here.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// The model that the requests of these tests name.
pub const MODEL: &str = "claude-opus-5-5";

impl Request {
    pub fn new(method: &str, target: &str) -> Request {
        let headers = [("Host", "127.0.0.1"), ("User-Agent", "black-box/1.0")];
        Request {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec(),
            body: Vec::new(),
        }
    }

    /// A call as a client with tools sends it. Odd spacing and escapes stand in the body on
    /// purpose: a body that is parsed and written again comes out different.
    pub fn messages(scenario: &str, streamed: bool) -> Request {
        let body = format!(
            "{{ \"model\":\"{MODEL}\",\"max_tokens\": 1024,\n\"stream\":{streamed},\
             \"messages\":[{{\"role\":\"user\",\"content\":\"caf\\u00e9 \u{2713} \\/ hello\"}}],\
             \"tools\":[{{\"name\":\"Bash\",\"input_schema\":{{\"type\":\"object\"}}}}],\
             \"a_future_field\":1.50 }}"
        );
        Request::new("POST", "/v1/messages?beta=true")
            .header("x-fake-scenario", scenario)
            .header("X-Api-Key", "sk-ant-test-fake")
            .header("anthropic-version", "2023-06-01")
            .header("anthropic-beta", "a-future-beta-2027-01-01,another")
            .header("Content-Type", "application/json")
            .body(body.as_bytes())
    }

    /// A call with this JSON body.
    pub fn json(target: &str, body: &Value) -> Request {
        Request::new("POST", target)
            .header("x-api-key", "sk-ant-test-fake")
            .header("content-type", "application/json")
            .body(body.to_string().as_bytes())
    }

    /// A plain call without tools, as the plain SDKs send it.
    pub fn plain(text: &str) -> Request {
        let messages = json!([{"role": "user", "content": text}]);
        let body = json!({"model": MODEL, "max_tokens": 64, "messages": messages});
        Request::json("/v1/messages", &body)
    }

    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Request {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    pub fn body(mut self, bytes: &[u8]) -> Request {
        self.body = bytes.to_vec();
        self
    }

    /// The bytes on the wire, framed with `Content-Length` where there is a body.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() || self.method == "POST" {
            out.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.body);
        out
    }
}

/// An answer with every byte of its body and when the pieces came.
#[derive(Clone, Debug)]
pub struct Response {
    pub head: Head,
    pub status: u16,
    pub body: Vec<u8>,
    /// When each piece came and how much of the body was there then.
    pub pieces: Vec<(Instant, usize)>,
    pub end: End,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }

    /// The id under which the call is recorded.
    pub fn exchange(&self) -> String {
        let id = self.header("x-weighbridge-exchange");
        id.unwrap_or_else(|| panic!("no x-weighbridge-exchange in {:?}", self.head)).to_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e} in {}", String::from_utf8_lossy(&self.body)))
    }

    /// `error.type` of an API error.
    pub fn error_type(&self) -> String {
        let body = self.json();
        assert_eq!(body["type"], "error", "{body}");
        assert!(body["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{body}");
        body["error"]["type"].as_str().unwrap_or_default().to_owned()
    }
}

/// A connection.
#[derive(Debug)]
pub struct Raw {
    stream: Stream,
    buffer: Buffer,
    is_head: bool,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Raw {
        Raw::try_connect(address).await.expect("it listens")
    }

    /// `None` where nobody listens, as after a kill.
    pub async fn try_connect(address: SocketAddr) -> Option<Raw> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Raw { stream: Stream::Plain(stream), buffer: Buffer::default(), is_head: false })
    }

    pub async fn send(&mut self, request: &Request) {
        self.is_head = request.method == "HEAD";
        // The other side may answer and close before it has read everything.
        let _ = self.stream.write_all(&request.bytes()).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Reads the next head; `None` where the connection ends first.
    pub async fn head(&mut self) -> Option<Head> {
        self.buffer.head(&mut self.stream).await.ok().flatten()
    }

    /// Reads one answer to its end, whatever that is; `None` where not even a head came.
    pub async fn try_response(&mut self) -> Option<Response> {
        let head = self.head().await?;
        Some(self.rest(head).await)
    }

    pub async fn response(&mut self) -> Response {
        let reading = tokio::time::timeout(super::SOON, self.try_response());
        reading.await.expect("an answer comes").expect("a head comes")
    }

    /// Reads the body that belongs to `head`.
    pub async fn rest(&mut self, head: Head) -> Response {
        let status = head.line.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let (mut body, mut pieces) = (Vec::new(), Vec::new());
        let mut sink = |piece: &[u8]| {
            body.extend_from_slice(piece);
            pieces.push((Instant::now(), body.len()));
        };
        let (stream, buffer) = (&mut self.stream, &mut self.buffer);
        let chunked = head.get("transfer-encoding").is_some_and(|v| v.contains("chunked"));
        let length = head.get("content-length").map(|v| v.parse().expect("a length"));
        let end = match length {
            _ if self.is_head || matches!(status, 100..=199 | 204 | 304) => End::Clean,
            _ if chunked => buffer.chunked(stream, &mut sink).await,
            Some(length) => buffer.exactly(stream, length, &mut sink).await,
            None => buffer.rest(stream, &mut sink).await,
        };
        Response { head, status, body, pieces, end }
    }

    /// Reads body bytes (with their framing) until `what` has come.
    pub async fn read_until(&mut self, what: &[u8]) {
        let reading = async {
            while super::wire::find(&self.buffer.bytes, what).is_none() {
                let n = self.buffer.fill(&mut self.stream).await.expect("the stream goes on");
                assert!(n > 0, "ended before {:?}", String::from_utf8_lossy(what));
            }
        };
        tokio::time::timeout(super::SOON, reading).await.unwrap_or_else(|_| {
            panic!("{:?} did not come", String::from_utf8_lossy(what));
        });
    }

    /// Waits until at least `count` bytes of the body (with its framing) are there.
    pub async fn read_at_least(&mut self, count: usize) {
        let reading = async {
            while self.buffer.bytes.len() < count {
                let n = self.buffer.fill(&mut self.stream).await.expect("the stream goes on");
                assert!(n > 0, "ended after {} of {count} bytes", self.buffer.bytes.len());
            }
        };
        let read = tokio::time::timeout(super::SOON, reading).await;
        assert!(read.is_ok(), "{} of {count} bytes came", self.buffer.bytes.len());
    }

    /// Reads `count` bytes of whatever comes and throws them away.
    pub async fn skip(&mut self, mut count: usize) {
        while count > 0 {
            let n = self.buffer.fill(&mut self.stream).await.expect("the stream goes on");
            assert!(n > 0, "the stream ended");
            count = count.saturating_sub(n);
            self.buffer.bytes.clear();
        }
    }

    /// Whether the other side has closed, without waiting for long.
    pub async fn is_closed(&mut self) -> bool {
        let fill = self.buffer.fill(&mut self.stream);
        matches!(tokio::time::timeout(super::SOON, fill).await, Ok(Ok(0) | Err(_)))
    }

    /// Leaves with RST.
    pub fn reset(self) {
        self.stream.reset();
    }
}

/// One request on a connection of its own.
pub async fn call(address: SocketAddr, request: &Request) -> Response {
    let mut raw = Raw::connect(address).await;
    raw.send(request).await;
    raw.response().await
}

/// The status that a server answers with; `None` where nobody listens yet.
pub async fn ready(address: SocketAddr, path: &str) -> Option<u16> {
    TcpStream::connect(address).await.ok()?;
    Some(call(address, &Request::new("GET", path)).await.status)
}
