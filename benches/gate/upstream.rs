//! The made-up Messages API: a JSON message, or the usual stream of events when the body asks for
//! one. What it does is asked for in the body (`metadata.user_id` = `gap=5000;events=200;delay=0`,
//! microseconds), because a proxy may drop headers it does not know. Each text delta carries the
//! wall clock at which it was handed over (`at=<ns>;`): the reader on the same machine then knows
//! how long each event was under way, whatever the gaps between events were.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming},
    header::CONTENT_TYPE,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use memchr::memmem;
use tokio::{
    net::TcpListener,
    time::{Sleep, sleep},
};

/// The knobs stand after `messages`, in the last part of the body; the rest need not be kept.
const TAIL_BYTES: usize = 2048;
/// A stream has these around its text deltas, so it has at least one more event than that.
const EVENTS_AROUND: u64 = 6;

const MESSAGE: &str = concat!(
    r#"{"id":"msg_gate","type":"message","role":"assistant","#,
    r#""model":"claude-sonnet-4-5-20250929","content":[{"type":"text","text":"The load stands "#,
    r#"still and the scale has settled. Next: close the barrier, weigh once more with the driver "#,
    r#"out of the cab, and put both weights on the ticket."},{"type":"tool_use","#,
    r#""id":"toolu_gate","name":"read_file","input":{"path":"src/gate/ticket.rs"}}],"#,
    r#""stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":2095,"#,
    r#""cache_creation_input_tokens":0,"cache_read_input_tokens":18432,"cache_creation":"#,
    r#"{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":503,"#,
    r#""service_tier":"standard"}}"#
);
const MESSAGE_START: &str = concat!(
    "event: message_start\ndata: ",
    r#"{"type":"message_start","message":{"id":"msg_gate","type":"message","role":"assistant","#,
    r#""model":"claude-sonnet-4-5-20250929","content":[],"stop_reason":null,"#,
    r#""stop_sequence":null,"usage":{"input_tokens":2095,"cache_creation_input_tokens":0,"#,
    r#""cache_read_input_tokens":18432,"output_tokens":1,"service_tier":"standard"}}}"#,
    "\n\n"
);
const BLOCK_START: &str = concat!(
    "event: content_block_start\ndata: ",
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    "\n\n"
);
const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
const BLOCK_STOP: &str =
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n";
const MESSAGE_DELTA: &str = concat!(
    "event: message_delta\ndata: ",
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"#,
    r#""usage":{"input_tokens":2095,"cache_creation_input_tokens":0,"#,
    r#""cache_read_input_tokens":18432,"output_tokens":503}}"#,
    "\n\n"
);
const MESSAGE_STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// Nanoseconds since 1970 on the clock that both ends of the run share.
pub(crate) fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// The role: listens on a free port, prints the address, serves until it is ended.
pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            stream.set_nodelay(true).unwrap();
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service_fn(answer)),
            );
        }
    });
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

async fn answer(request: Request<Incoming>) -> Result<Answer, hyper::Error> {
    let mut body = request.into_body();
    let mut tail: Vec<u8> = Vec::with_capacity(TAIL_BYTES);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let fresh = &data[data.len().saturating_sub(TAIL_BYTES)..];
        let excess = (tail.len() + fresh.len()).saturating_sub(TAIL_BYTES);
        tail.drain(..excess);
        tail.extend_from_slice(fresh);
    }
    let delay_us = knob(&tail, b"delay=");
    if delay_us > 0 {
        sleep(Duration::from_micros(delay_us)).await;
    }
    let response = Response::builder().header("request-id", "req_gate");
    let streams = memmem::find(&tail, b"\"stream\":true").is_some();
    Ok(if streams {
        let events = knob(&tail, b"events=").max(EVENTS_AROUND + 1);
        let gap = Duration::from_micros(knob(&tail, b"gap="));
        response
            .header(CONTENT_TYPE, "text/event-stream; charset=utf-8")
            .header("cache-control", "no-cache")
            .body(Events { next: 0, events, gap, pause: None }.boxed())
    } else {
        response
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from_static(MESSAGE.as_bytes())).boxed())
    }
    .unwrap())
}

fn knob(text: &[u8], key: &[u8]) -> u64 {
    let Some(at) = memmem::find(text, key) else { return 0 };
    let digits = text[at + key.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// A stream in the making: one frame per event, a pause before each but the first.
struct Events {
    next: u64,
    events: u64,
    gap: Duration,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Events {
    fn event(&self) -> Bytes {
        let fixed = match (self.next, self.events - self.next) {
            (0, _) => MESSAGE_START,
            (1, _) => BLOCK_START,
            (2, _) => PING,
            (_, 3) => BLOCK_STOP,
            (_, 2) => MESSAGE_DELTA,
            (_, 1) => MESSAGE_STOP,
            _ => return Bytes::from(delta()),
        };
        Bytes::from_static(fixed.as_bytes())
    }
}

fn delta() -> String {
    format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
         \"delta\":{{\"type\":\"text_delta\",\"text\":\"at={}; the scale has \"}}}}\n\n",
        wall_ns()
    )
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pause) = self.pause.as_mut() {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        if self.next == self.events {
            return Poll::Ready(None);
        }
        let event = self.event();
        self.next += 1;
        if !self.gap.is_zero() && self.next < self.events {
            self.pause = Some(Box::pin(sleep(self.gap)));
        }
        Poll::Ready(Some(Ok(Frame::data(event))))
    }
}
