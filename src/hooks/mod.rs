//! The intake of the client's hooks: `POST /hooks` on the admin listener.
//!
//! An event is answered when it is in the ledger, and not before: a client that waits for the
//! answer has its event on record. What is not taken is refused with a reason, counted, and leaves
//! nothing behind; where rules hold and it is one that asks for leave, the answer is no. The same
//! event sent again counts once. Hooks are claims: whoever can read the
//! token can post, so what they say is held against the traffic ([`crate::agent::tool_use`]).

mod event;
mod replays;
pub mod settings;
mod verdict;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio_util::task::TaskTracker;

use event::Posted;
use replays::{Replay, Replays, Slot};

use crate::privacy::Identifier;
use crate::recorder::Recorder;
use crate::rules::LiveRules;

/// The longest event that is taken.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// How long an event may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Where the event stands in the ledger.
const SEQUENCE: HeaderName = HeaderName::from_static("x-weighbridge-sequence");
/// The event was there before.
const REPLAYED: HeaderName = HeaderName::from_static("x-weighbridge-replay");
/// What a client reads as: go on.
const GO_ON: &[u8] = b"{}";

type Answer = Response<Full<Bytes>>;

/// Why a post is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Not with `POST`.
    Method,
    /// Without the hook token.
    Token,
    /// From a page in a browser, or to another name than this machine's.
    Origin,
    /// Not JSON by its type.
    ContentType,
    /// Longer than [`EVENT_BYTES_MAX`].
    TooLarge,
    /// It did not arrive whole.
    Incomplete,
    /// Not one JSON object that names its event.
    Malformed,
    /// The ledger does not take it.
    Unrecorded,
}

impl Rejection {
    /// The name counted in `weighbridge_hook_posts_rejected_total`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Rejection::Method => "method",
            Rejection::Token => "token",
            Rejection::Origin => "origin",
            Rejection::ContentType => "content_type",
            Rejection::TooLarge => "too_large",
            Rejection::Incomplete => "incomplete",
            Rejection::Malformed => "malformed",
            Rejection::Unrecorded => "unrecorded",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Rejection::Method => StatusCode::METHOD_NOT_ALLOWED,
            Rejection::Token => StatusCode::UNAUTHORIZED,
            Rejection::Origin => StatusCode::FORBIDDEN,
            Rejection::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Rejection::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Rejection::Incomplete => StatusCode::REQUEST_TIMEOUT,
            Rejection::Malformed => StatusCode::BAD_REQUEST,
            Rejection::Unrecorded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What is wrong and what to do; never anything of the post.
    const fn words(self) -> &'static str {
        match self {
            Rejection::Method => "post the event\n",
            Rejection::Token => {
                "the hook token is missing or wrong; `weighbridge hooks install` sets it\n"
            }
            Rejection::Origin => "this address answers to its loopback name only\n",
            Rejection::ContentType => "send application/json\n",
            Rejection::TooLarge => "an event has at most 1 MiB\n",
            Rejection::Incomplete => "the event did not arrive whole\n",
            Rejection::Malformed => {
                "the event is not one JSON object with hook_event_name, is nested too deep, or \
                 names a key twice\n"
            }
            Rejection::Unrecorded => "the ledger cannot be written; the event is not on record\n",
        }
    }
}

/// Takes events.
pub struct Intake {
    recorder: Arc<Recorder>,
    rules: Arc<LiveRules>,
    token: String,
    tasks: TaskTracker,
    replays: Mutex<Replays>,
}

impl Intake {
    /// An intake for whoever has the token. What it records goes on as one of `tasks`, though the
    /// client leaves.
    #[must_use]
    pub fn new(
        recorder: &Arc<Recorder>,
        rules: Arc<LiveRules>,
        token: String,
        tasks: TaskTracker,
    ) -> Intake {
        let (recorder, replays) = (Arc::clone(recorder), Mutex::default());
        Intake { recorder, rules, token, tasks, replays }
    }

    /// Answers a post.
    pub async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Answer {
        match self.take(request).await {
            Ok(answer) => answer,
            Err(rejection) => self.reject(rejection),
        }
    }

    /// Counts and answers a post that is not taken.
    pub fn reject(&self, rejection: Rejection) -> Answer {
        let rejected = &self.recorder.metrics().agents.rejected;
        rejected.with_label_values(&[rejection.name()]).inc();
        let mut answer = Response::new(Full::new(Bytes::from_static(rejection.words().as_bytes())));
        *answer.status_mut() = rejection.status();
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        answer
    }

    async fn take(self: &Arc<Self>, request: Request<Incoming>) -> Result<Answer, Rejection> {
        if request.method() != Method::POST {
            return Err(Rejection::Method);
        }
        self.check(request.headers())?;
        let mut body = BytesMut::new();
        let read = tokio::time::timeout(BODY_TIMEOUT, collect(request.into_body(), &mut body));
        let read = read.await.unwrap_or(Err(Rejection::Incomplete));
        let posted = read.and_then(|()| Posted::read(&body).ok_or(Rejection::Malformed));
        let posted = match posted {
            Ok(posted) => posted,
            Err(rejection) => return self.unread(rejection, &body),
        };
        let digest = self.recorder.hashed(&body);
        let key = Identifier::hash_bits(digest.as_str()).unwrap_or_default();
        let (slot, intake) = (self.replays().slot(key), Arc::clone(self));
        // A client that leaves takes nothing back: what has begun is recorded whole.
        let task = self.tasks.spawn(async move { intake.settle(&slot, &posted, digest).await });
        task.await.unwrap_or(Err(Rejection::Unrecorded))
    }

    async fn settle(
        &self,
        slot: &Slot,
        posted: &Posted,
        digest: Identifier,
    ) -> Result<Answer, Rejection> {
        let mut again = true;
        let first = &mut again;
        let recorded = slot.get_or_try_init(|| async move {
            *first = false;
            self.record(posted, digest).await.ok_or(Rejection::Unrecorded)
        });
        let replay = recorded.await?;
        let answer = answered(replay, again);
        if again {
            self.recorder.metrics().agents.replayed(posted.event());
        }
        Ok(answer)
    }

    /// What asks for leave and cannot be read gets none where rules hold: a client goes on after
    /// any refusal, and what is in an event is the model's to choose.
    fn unread(&self, rejection: Rejection, body: &[u8]) -> Result<Answer, Rejection> {
        let denial = event_in(body).filter(|_| !self.rules.is_idle()).and_then(verdict::unread);
        let Some(denial) = denial else { return Err(rejection) };
        let rejected = &self.recorder.metrics().agents.rejected;
        rejected.with_label_values(&[rejection.name()]).inc();
        let reason = rejection.name();
        tracing::warn!(reason, "a hook's event was denied: it cannot be read");
        Ok(answered(&Replay { sequence: None, body: denial }, false))
    }

    /// Token and type.
    fn check(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let bearer = text(header::AUTHORIZATION).and_then(|value| value.split_once(' '));
        let token = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let token = token.map(|(_, token)| token.trim()).unwrap_or_default();
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(
            token.as_bytes(),
            self.token.as_bytes(),
        );
        same.map_err(|_| Rejection::Token)?;
        let kind = text(header::CONTENT_TYPE).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        let is_json = essence.eq_ignore_ascii_case("application/json");
        is_json.then_some(()).ok_or(Rejection::ContentType)
    }

    /// Records the event; `None` where the ledger does not take it.
    async fn record(&self, posted: &Posted, digest: Identifier) -> Option<Replay> {
        let recorder = &self.recorder;
        let mut event = posted.record(recorder, digest);
        let repeat = posted.repeat(recorder);
        let ruling = verdict::ask(&self.rules, recorder, posted, (&event, repeat));
        event.denied = u8::from(ruling.denies());
        let applied = ruling.applied(&event);
        let mut written = recorder.hook(event, repeat).await;
        for applied in applied {
            if written.is_ok()
                && let Err(error) = recorder.rule_applied(applied).await
            {
                written = Err(error);
            }
        }
        match written {
            Ok(written) => {
                Some(Replay { sequence: written.sequence, body: ruling.answer(posted.event()) })
            }
            Err(error) => {
                tracing::error!(%error, "a hook's event was refused: it cannot be recorded");
                None
            }
        }
    }

    fn replays(&self) -> std::sync::MutexGuard<'_, Replays> {
        self.replays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a body as far as it goes.
async fn collect(mut from: Incoming, body: &mut BytesMut) -> Result<(), Rejection> {
    while let Some(frame) = from.frame().await {
        let frame = frame.map_err(|_| Rejection::Incomplete)?;
        let Some(data) = frame.data_ref() else { continue };
        let room = EVENT_BYTES_MAX - body.len();
        body.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Err(Rejection::TooLarge);
        }
    }
    Ok(())
}

/// The event's name in a body that is not read whole. Inside of a text the quotes around the key
/// would have backslashes, so nothing that an event carries can stand for it.
fn event_in(body: &[u8]) -> Option<&str> {
    const KEY: &[u8] = b"\"hook_event_name\"";
    let at = memchr::memmem::find(body, KEY)? + KEY.len();
    let value = body[at..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let value = value.strip_prefix(b"\"")?;
    let end = memchr::memchr(b'"', value)?;
    std::str::from_utf8(&value[..end]).ok()
}

fn answered(replay: &Replay, again: bool) -> Answer {
    let mut answer = Response::new(Full::new(replay.body.clone()));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(sequence) = replay.sequence {
        headers.insert(SEQUENCE, HeaderValue::from(sequence));
    }
    if again {
        headers.insert(REPLAYED, HeaderValue::from_static("1"));
    }
    answer
}
