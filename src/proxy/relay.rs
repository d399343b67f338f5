//! The frame loop: from the upstream's body to the client, untouched, with the meter looking on.
//!
//! The relay lets everything through but the end. What the end is depends on the form: the head
//! where there is no body; the frame with `message_stop` or the error event of a stream; the last
//! frame where the length is known; one frame of any other JSON body; the end mark of the rest.
//! It gives the end back as [`Rest`], and the exchange releases it after `closed` is in the
//! ledger (R2). Where the upstream breaks off, the client's connection breaks off too: no ending
//! is ever made up.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::body::{BrokenOff, FRAMES_AHEAD_MAX, Piece, ReplyBody};
use super::headers::{self, EXCHANGE_HEADER};
use super::reply::Reply;
use crate::anthropic::{Form, Meter, ResponseHead};
use crate::clock::Clock;
use crate::record::Outcome;
use crate::record::exchange::Endpoint;
use crate::recorder::Ending;

/// Most bytes held back at the end of a stream while its last event is not whole.
const HELD_BYTES_MAX: usize = 1 << 20;

/// What the relay must know about the request.
pub(super) struct Asked<'a> {
    pub(super) exchange: &'a str,
    pub(super) endpoint: Endpoint,
    pub(super) streamed: bool,
    pub(super) head_only: bool,
    pub(super) idle_timeout: std::time::Duration,
    pub(super) clock: Clock,
}

/// What is still to be given to the client once the closing is in the ledger.
pub(super) enum Rest {
    /// The whole response: nothing went out yet.
    Response(Box<Response<ReplyBody>>, Reply),
    /// The end of a body, then whatever the upstream may still send.
    End { held: Vec<Piece>, client: Client, upstream: Option<Incoming> },
    /// The upstream broke off: so does the client's connection, after the bytes that came.
    BrokenOff { held: Vec<Piece>, client: Client },
    /// Nobody is there any more.
    Nobody,
}

/// The way to a client that takes pieces.
pub(super) struct Client {
    pieces: mpsc::Sender<Result<Piece, BrokenOff>>,
    idle_timeout: std::time::Duration,
}

/// Why a piece did not go out.
enum Unsent {
    Departed,
    NotTaken,
}

impl Client {
    async fn send(&self, piece: Piece) -> Result<(), Unsent> {
        let piece = match self.pieces.try_send(Ok(piece)) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Unsent::Departed),
            Err(mpsc::error::TrySendError::Full(piece)) => piece,
        };
        match tokio::time::timeout(self.idle_timeout, self.pieces.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Unsent::Departed),
            Err(_) => Err(Unsent::NotTaken),
        }
    }
}

/// Relays a response up to its end. Gives what was found out and what is still held.
pub(super) async fn run(
    response: Response<Incoming>,
    reply: Reply,
    asked: &Asked<'_>,
) -> (Box<Ending>, Rest) {
    let (mut head, mut body) = response.into_parts();
    let meter = Meter::new(&ResponseHead {
        endpoint: asked.endpoint,
        status: head.status.as_u16(),
        content_type: text(&head.headers, header::CONTENT_TYPE),
        content_encoding: text(&head.headers, header::CONTENT_ENCODING),
        stream_requested: asked.streamed,
    });
    let mut ending = Ending::without_response(Outcome::Completed);
    ending.status = Some(head.status.as_u16());
    ending.request_id = request_id(&head.headers);
    prepare_head(&mut head, asked.exchange);
    if asked.head_only || is_bodiless(head.status) || body.is_end_stream() {
        ending.metered = meter.finish();
        let response = Response::from_parts(head, ReplyBody::Whole(None));
        return (ending, Rest::Response(Box::new(response), reply));
    }
    let length = body.size_hint().exact();
    let first = ready_frame(&mut body).await;
    if let Some(Ok(frame)) = &first
        && let Some(data) = frame.data_ref()
        && length == Some(data.len() as u64)
    {
        let whole = data.clone();
        return relay_whole(Response::from_parts(head, whole), reply, meter, (ending, asked.clock));
    }
    let (pieces, receiver) = mpsc::channel(FRAMES_AHEAD_MAX);
    let client = Client { pieces, idle_timeout: asked.idle_timeout };
    let response = Response::from_parts(head, ReplyBody::Pieces(receiver, length));
    if reply.send(response).is_err() {
        ending.outcome = Outcome::ClientLeft;
        ending.metered = meter.finish();
        return (ending, Rest::Nobody);
    }
    let stream = Stream {
        hold: Hold::of(meter.form(), length),
        body,
        left: length,
        meter,
        client,
        held: Vec::new(),
        held_bytes: 0,
        clock: asked.clock,
        ending,
    };
    Box::pin(stream.relay(first)).await
}

/// The whole body came with the head: one piece, held as a whole.
fn relay_whole(
    response: Response<Bytes>,
    reply: Reply,
    mut meter: Meter,
    (mut ending, clock): (Box<Ending>, Clock),
) -> (Box<Ending>, Rest) {
    meter.observe(response.body());
    ending.first_token_ns = Some(clock.mono_ns());
    ending.response_bytes = response.body().len() as u64;
    ending.metered = meter.finish();
    let response = response.map(|data| ReplyBody::Whole(Some(data)));
    (ending, Rest::Response(Box::new(response), reply))
}

/// Which part of the body is its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// The frame in which the meter sees the end; without one, the end mark.
    StreamEnd,
    /// The frame that completes the known length.
    LastFrame,
    /// Always the newest frame.
    OneFrame,
    /// The end mark only.
    EndMark,
}

impl Hold {
    fn of(form: Form, length: Option<u64>) -> Hold {
        match (form, length) {
            (Form::Sse | Form::EventStream, _) => Hold::StreamEnd,
            (_, Some(_)) => Hold::LastFrame,
            (Form::Json, None) => Hold::OneFrame,
            (Form::Opaque, None) => Hold::EndMark,
        }
    }
}

/// A body on its way.
struct Stream {
    body: Incoming,
    left: Option<u64>,
    meter: Meter,
    client: Client,
    hold: Hold,
    held: Vec<Piece>,
    held_bytes: usize,
    clock: Clock,
    ending: Box<Ending>,
}

/// What comes next.
enum Event {
    Frame(Option<Result<Frame<Bytes>, hyper::Error>>),
    ClientLeft,
    Silence,
}

impl Stream {
    /// Waits for the upstream, and for the client's departure at the same time, so that a silent
    /// upstream does not hide a client that has left.
    async fn relay(
        mut self,
        first: Option<Result<Frame<Bytes>, hyper::Error>>,
    ) -> (Box<Ending>, Rest) {
        let idle_timeout = self.client.idle_timeout;
        let silence = sleep_until(Instant::now() + idle_timeout);
        // Waiting for the departure is set up once for the stream, not once for each frame.
        let pieces = self.client.pieces.clone();
        let departed = pieces.closed();
        tokio::pin!(silence, departed);
        let mut next = first.map(|frame| Event::Frame(Some(frame)));
        loop {
            let event = match next.take() {
                Some(event) => event,
                None => tokio::select! {
                    biased;
                    frame = self.body.frame() => Event::Frame(frame),
                    () = departed.as_mut() => Event::ClientLeft,
                    () = silence.as_mut() => Event::Silence,
                },
            };
            let frame = match event {
                Event::Frame(Some(Ok(frame))) => frame,
                Event::Frame(Some(Err(_))) => return self.finish(Outcome::UpstreamError, true),
                Event::Frame(None) => return self.finish(Outcome::Completed, false),
                Event::ClientLeft => return self.leave(Outcome::ClientLeft),
                Event::Silence => return self.finish(Outcome::TimedOut, true),
            };
            silence.as_mut().reset(Instant::now() + idle_timeout);
            match self.pass(frame).await {
                Ok(false) => {}
                Ok(true) => return self.finish(Outcome::Completed, false),
                Err(Unsent::Departed) => return self.leave(Outcome::ClientLeft),
                Err(Unsent::NotTaken) => return self.leave(Outcome::TimedOut),
            }
        }
    }

    /// Lets a frame through, or holds it. True when it is the end.
    async fn pass(&mut self, frame: Frame<Bytes>) -> Result<bool, Unsent> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.held.push(Piece::Trailers(Box::new(trailers)));
                }
                return Ok(false);
            }
        };
        let seen = self.meter.observe(&data);
        if seen.first_token {
            self.ending.first_token_ns.get_or_insert_with(|| self.clock.mono_ns());
        }
        let bytes = data.len() as u64;
        self.ending.response_bytes = self.ending.response_bytes.saturating_add(bytes);
        self.left = self.left.map(|left| left.saturating_sub(bytes));
        let end = match self.hold {
            Hold::StreamEnd if seen.end || !self.held.is_empty() => {
                self.held_bytes = self.held_bytes.saturating_add(data.len());
                let settled = self.meter.is_settled() || self.held_bytes > HELD_BYTES_MAX;
                self.held.push(Piece::Data(data));
                return Ok(settled);
            }
            Hold::StreamEnd => false,
            Hold::LastFrame => self.left == Some(0),
            Hold::OneFrame => {
                for piece in std::mem::take(&mut self.held) {
                    self.client.send(piece).await?;
                }
                self.held.push(Piece::Data(data));
                return Ok(false);
            }
            Hold::EndMark => false,
        };
        if end {
            self.held.push(Piece::Data(data));
            return Ok(true);
        }
        self.client.send(Piece::Data(data)).await?;
        Ok(false)
    }

    /// The upstream has said all it will say, or broke off.
    fn finish(mut self, outcome: Outcome, broken: bool) -> (Box<Ending>, Rest) {
        let is_stream = self.hold == Hold::StreamEnd;
        self.ending.metered = self.meter.finish();
        let metered = &self.ending.metered;
        let cut_short = is_stream && (!metered.ended || metered.error_type.is_some());
        let failed_inside = outcome == Outcome::Completed && cut_short;
        self.ending.outcome = if failed_inside { Outcome::UpstreamError } else { outcome };
        let rest = if broken {
            Rest::BrokenOff { held: self.held, client: self.client }
        } else {
            Rest::End { held: self.held, client: self.client, upstream: Some(self.body) }
        };
        (self.ending, rest)
    }

    /// The client is gone; dropping the body cancels the request upstream.
    fn leave(mut self, outcome: Outcome) -> (Box<Ending>, Rest) {
        drop(self.body);
        self.ending.metered = self.meter.finish();
        self.ending.outcome = outcome;
        let rest = match outcome {
            Outcome::TimedOut => Rest::BrokenOff { held: Vec::new(), client: self.client },
            _ => Rest::Nobody,
        };
        (self.ending, rest)
    }
}

impl Rest {
    /// Gives the client the end, after the closing is in the ledger (R2).
    pub(super) async fn release(self) {
        match self {
            Rest::Nobody => {}
            Rest::Response(response, reply) => drop(reply.send(*response)),
            Rest::BrokenOff { held, client } => {
                for piece in held {
                    if client.send(piece).await.is_err() {
                        return;
                    }
                }
                let sending = client.pieces.send(Err(BrokenOff));
                let _ = tokio::time::timeout(client.idle_timeout, sending).await;
            }
            Rest::End { held, client, upstream } => {
                for piece in held {
                    if client.send(piece).await.is_err() {
                        return;
                    }
                }
                if let Some(body) = upstream {
                    pass_remainder(body, client).await;
                }
            }
        }
    }
}

/// What comes after the end, mostly nothing but the end mark itself: passed on as it is.
async fn pass_remainder(mut body: Incoming, client: Client) {
    if body.is_end_stream() {
        return;
    }
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = client.pieces.closed() => return,
            () = tokio::time::sleep(client.idle_timeout) => None,
        };
        let piece = match frame {
            None => return,
            Some(Err(_)) => {
                let _ = client.pieces.send(Err(BrokenOff)).await;
                return;
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Piece::Data(data),
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => Piece::Trailers(Box::new(trailers)),
                    Err(_) => continue,
                },
            },
        };
        if client.send(piece).await.is_err() {
            return;
        }
    }
}

/// A frame that is there already, without waiting for one.
async fn ready_frame(body: &mut Incoming) -> Option<Result<Frame<Bytes>, hyper::Error>> {
    poll_fn(|context| {
        Poll::Ready(match Pin::new(&mut *body).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => None,
        })
    })
    .await
}

fn prepare_head(head: &mut Parts, exchange: &str) {
    head.version = hyper::Version::HTTP_11;
    head.extensions.clear();
    headers::strip_hop_by_hop(&mut head.headers);
    if let Ok(value) = HeaderValue::from_str(exchange) {
        head.headers.insert(EXCHANGE_HEADER, value);
    }
}

fn is_bodiless(status: StatusCode) -> bool {
    status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The API's name for the call; the clouds have names of their own for it.
fn request_id(headers: &HeaderMap) -> Option<Vec<u8>> {
    let names = ["request-id", "x-amzn-requestid"];
    names.iter().find_map(|name| headers.get(*name)).map(|value| value.as_bytes().to_vec())
}
