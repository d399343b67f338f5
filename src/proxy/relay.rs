//! The response's body: from the upstream to the client, untouched, with the meter looking on.
//!
//! The relay lets everything through but the end. What the end is depends on the form: the head
//! where there is no body; the frame with `message_stop` or the error event of a stream; the last
//! frame where the length is known; one frame of any other JSON body; the end mark of the rest.
//! It is held until `closed` is in the ledger (R2). Where the upstream breaks off, the client's
//! connection breaks off too: no ending is ever made up.
//!
//! The body is asked for frames by the client's connection, so nothing is read ahead: a slow
//! client slows the upstream down.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Method, Response, StatusCode};
use tokio::time::{Instant, Sleep, sleep};

use super::body::{BrokenOff, ReplyBody};
use super::exchange::{Closing, Exchange};
use super::headers::{self, EXCHANGE_HEADER};
use super::observer::{Observer, observer};
use super::seldom::Seldom;
use crate::anthropic::Form;
use crate::record::Outcome;
use crate::recorder::Ending;

/// Most bytes held back at the end of a stream while its last event is not whole.
const HELD_BYTES_MAX: usize = 1 << 20;

type Arrival = Option<Result<Frame<Bytes>, hyper::Error>>;

/// The head for the client, with a body that relays the rest. What has its end in the head, or
/// came whole with it, is recorded before this returns.
pub(super) async fn start(
    response: Response<Incoming>,
    mut exchange: Exchange,
) -> Response<ReplyBody> {
    let (mut head, mut body) = response.into_parts();
    exchange.limits_seen(&head.headers);
    let mut observer = observer(&head, &exchange).await;
    let mut ending = Ending::without_response(Outcome::Completed);
    ending.status = Some(head.status.as_u16());
    ending.request_id = request_id(&head.headers);
    prepare_head(&mut head, &exchange.call.id);
    let head_only = exchange.call.method == Method::HEAD || is_bodiless(head.status);
    if head_only || body.is_end_stream() {
        observer.finish(&mut ending, true);
        exchange.close(ending).await;
        return Response::from_parts(head, ReplyBody::Whole(None));
    }
    let length = body.size_hint().exact();
    let first = ready_frame(&mut body).await;
    if let Some(Some(Ok(frame))) = &first
        && let Some(data) = frame.data_ref()
        && length == Some(data.len() as u64)
    {
        let whole = data.clone();
        observer.observe(&whole);
        ending.first_token_ns = Some(exchange.gate.recorder.clock().mono_ns());
        ending.response_bytes = whole.len() as u64;
        observer.finish(&mut ending, true);
        exchange.close(ending).await;
        return Response::from_parts(head, ReplyBody::Whole(Some(whole)));
    }
    let idle_timeout = exchange.gate.upstream.idle_timeout;
    let relay = Relay {
        hold: Hold::of(observer.form(), length),
        left: length,
        owed: length,
        first,
        body,
        held: VecDeque::new(),
        held_bytes: 0,
        step: Step::Passing(Box::new(Facts { observer, ending })),
        last_ns: exchange.gate.recorder.clock().mono_ns(),
        silence: Seldom::new(Box::pin(sleep(idle_timeout))),
        idle_timeout,
        exchange,
    };
    Response::from_parts(head, ReplyBody::Relay(Box::new(relay)))
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
pub(super) struct Relay {
    exchange: Exchange,
    body: Incoming,
    /// A frame that came with the head, or the upstream's end.
    first: Option<Arrival>,
    step: Step,
    hold: Hold,
    held: VecDeque<Frame<Bytes>>,
    held_bytes: usize,
    /// Bytes that the upstream still has to send, where the length is known.
    left: Option<u64>,
    /// Bytes that the client still has to get.
    owed: Option<u64>,
    /// The monotonic moment of the last frame.
    last_ns: u64,
    /// Fires no earlier than the end of the longest silence allowed; set again only when it does.
    silence: Seldom<Pin<Box<Sleep>>>,
    idle_timeout: Duration,
}

/// Where a body is on its way.
enum Step {
    /// Frames pass.
    Passing(Box<Facts>),
    /// The end is being recorded; what is held waits for it.
    Closing(Closing, Rest),
    /// Recorded: the held frames go out.
    Releasing(Rest),
    /// Nothing more to say.
    Done,
}

/// What is known so far.
struct Facts {
    observer: Observer,
    ending: Box<Ending>,
}

/// What follows the held frames.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Whatever the upstream may still send, mostly nothing but the end mark.
    Remainder,
    /// An abort: the upstream's own, or silence.
    BreakOff,
}

/// What becomes of a frame.
enum Passage {
    Through(Frame<Bytes>),
    Held,
    End,
}

impl Relay {
    /// The next frame for the client.
    pub(super) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        self.exchange.line.asks();
        loop {
            match &mut self.step {
                Step::Passing(_) => {
                    let arrival = ready!(self.poll_arrival(context));
                    if let Some(frame) = self.arrived(arrival) {
                        return Poll::Ready(Some(Ok(self.give(frame))));
                    }
                }
                Step::Closing(closing, rest) => {
                    let rest = *rest;
                    ready!(Pin::new(closing).poll(context));
                    self.step = Step::Releasing(rest);
                }
                Step::Releasing(rest) => {
                    let rest = *rest;
                    if let Some(frame) = self.held.pop_front() {
                        return Poll::Ready(Some(Ok(self.give(frame))));
                    }
                    if rest == Rest::Remainder && !self.body.is_end_stream() {
                        match ready!(self.poll_arrival(context)) {
                            Arrived::Frame(frame) => {
                                return Poll::Ready(Some(Ok(self.give(frame))));
                            }
                            Arrived::End => {}
                            Arrived::BrokenOff | Arrived::Silence => return self.break_off(),
                        }
                    }
                    if rest == Rest::BreakOff {
                        return self.break_off();
                    }
                    self.step = Step::Done;
                }
                Step::Done => return Poll::Ready(None),
            }
        }
    }

    /// Bytes that the client still has to get, where the length is known.
    pub(super) fn owed(&self) -> Option<u64> {
        self.owed
    }

    fn give(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.owed = self.owed.map(|owed| owed.saturating_sub(bytes));
        self.exchange.line.gives(self.last_ns);
        frame
    }

    fn break_off(&mut self) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        self.step = Step::Done;
        Poll::Ready(Some(Err(BrokenOff)))
    }
}

/// What came from the upstream.
enum Arrived {
    Frame(Frame<Bytes>),
    End,
    BrokenOff,
    Silence,
}

impl Relay {
    fn poll_arrival(&mut self, context: &mut Context<'_>) -> Poll<Arrived> {
        let arrival = match self.first.take() {
            Some(arrival) => Poll::Ready(arrival),
            None => Pin::new(&mut self.body).poll_frame(context),
        };
        match arrival {
            Poll::Ready(arrival) => {
                self.last_ns = self.exchange.gate.recorder.clock().mono_ns();
                Poll::Ready(match arrival {
                    Some(Ok(frame)) => Arrived::Frame(frame),
                    Some(Err(_)) => Arrived::BrokenOff,
                    None => Arrived::End,
                })
            }
            Poll::Pending => self.poll_silence(context),
        }
    }

    /// The timer is not set again with every frame; when it fires, the silence so far is measured.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<Arrived> {
        loop {
            ready!(Pin::new(&mut self.silence).poll(context));
            let now = self.exchange.gate.recorder.clock().mono_ns();
            let silent = Duration::from_nanos(now.saturating_sub(self.last_ns));
            let Some(rest) = self.idle_timeout.checked_sub(silent).filter(|rest| !rest.is_zero())
            else {
                return Poll::Ready(Arrived::Silence);
            };
            self.silence.change().as_mut().reset(Instant::now() + rest);
        }
    }

    /// Takes what came; gives a frame that may go out.
    fn arrived(&mut self, arrived: Arrived) -> Option<Frame<Bytes>> {
        match arrived {
            Arrived::Frame(frame) => match self.pass(frame) {
                Passage::Through(frame) => return Some(frame),
                Passage::Held => {}
                Passage::End => self.finish(Outcome::Completed, Rest::Remainder),
            },
            Arrived::End => self.finish(Outcome::Completed, Rest::Remainder),
            Arrived::BrokenOff => self.finish(Outcome::UpstreamError, Rest::BreakOff),
            Arrived::Silence => self.finish(Outcome::TimedOut, Rest::BreakOff),
        }
        None
    }

    /// Lets a frame through, or holds it.
    fn pass(&mut self, frame: Frame<Bytes>) -> Passage {
        let (Step::Passing(facts), Some(data)) = (&mut self.step, frame.data_ref()) else {
            self.held.push_back(frame);
            return Passage::Held;
        };
        let seen = facts.observer.observe(data);
        let (length, bytes) = (data.len(), data.len() as u64);
        if seen.first_token {
            facts.ending.first_token_ns.get_or_insert(self.last_ns);
        }
        facts.ending.response_bytes = facts.ending.response_bytes.saturating_add(bytes);
        self.left = self.left.map(|left| left.saturating_sub(bytes));
        match self.hold {
            Hold::StreamEnd if seen.end || !self.held.is_empty() => {
                self.held_bytes = self.held_bytes.saturating_add(length);
                self.held.push_back(frame);
                let settled = facts.observer.is_settled() || self.held_bytes > HELD_BYTES_MAX;
                if settled { Passage::End } else { Passage::Held }
            }
            Hold::LastFrame if self.left == Some(0) => {
                self.held.push_back(frame);
                Passage::End
            }
            Hold::OneFrame => {
                self.held.push_back(frame);
                match self.held.len() {
                    0 | 1 => Passage::Held,
                    _ => self.held.pop_front().map_or(Passage::Held, Passage::Through),
                }
            }
            Hold::StreamEnd | Hold::LastFrame | Hold::EndMark => Passage::Through(frame),
        }
    }

    /// The upstream has said all it will say, or broke off: that is recorded.
    fn finish(&mut self, outcome: Outcome, rest: Rest) {
        let Step::Passing(facts) = std::mem::replace(&mut self.step, Step::Done) else { return };
        let Facts { observer, mut ending } = *facts;
        observer.finish(&mut ending, outcome == Outcome::Completed);
        let metered = &ending.metered;
        let cut_short =
            self.hold == Hold::StreamEnd && (!metered.ended || metered.error_type.is_some());
        let failed_inside = outcome == Outcome::Completed && cut_short;
        ending.outcome = if failed_inside { Outcome::UpstreamError } else { outcome };
        self.step = Step::Closing(self.exchange.close(ending), rest);
    }
}

impl Drop for Relay {
    /// The client left, or the drain is over. Dropping the body cancels the call upstream.
    fn drop(&mut self) {
        if let Step::Passing(facts) = std::mem::replace(&mut self.step, Step::Done) {
            let Facts { observer, mut ending } = *facts;
            observer.finish(&mut ending, false);
            self.exchange.drop_with(ending);
        }
    }
}

/// A frame that is there already, without waiting for one.
async fn ready_frame(body: &mut Incoming) -> Option<Arrival> {
    poll_fn(|context| {
        Poll::Ready(match Pin::new(&mut *body).poll_frame(context) {
            Poll::Ready(frame) => Some(frame),
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

/// The API's name for the call; the clouds have names of their own for it.
fn request_id(headers: &HeaderMap) -> Option<Vec<u8>> {
    let names = ["request-id", "x-amzn-requestid"];
    names.iter().find_map(|name| headers.get(*name)).map(|value| value.as_bytes().to_vec())
}
