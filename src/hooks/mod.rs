//! The intake of the client's hooks: `POST /hooks` on the admin listener.
//!
//! An event is answered when it is in the ledger, and not before: a client that waits for the
//! answer has its event on record. What is not taken is refused with a reason, counted, and leaves
//! nothing behind. The same event sent again counts once. Hooks are claims: whoever can read the
//! token can post, so what they say is held against the traffic ([`crate::agent::tool_use`]).

mod event;
mod replays;
pub mod settings;
mod verdict;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use event::Posted;
use replays::{Replay, Replays};

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
    replays: Mutex<Replays>,
}

impl Intake {
    /// An intake for whoever has the token.
    #[must_use]
    pub fn new(recorder: &Arc<Recorder>, rules: Arc<LiveRules>, token: String) -> Intake {
        Intake { recorder: Arc::clone(recorder), rules, token, replays: Mutex::default() }
    }

    /// Answers a post.
    pub async fn answer(&self, request: Request<Incoming>) -> Answer {
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

    async fn take(&self, request: Request<Incoming>) -> Result<Answer, Rejection> {
        if request.method() != Method::POST {
            return Err(Rejection::Method);
        }
        self.check(request.headers())?;
        let body = Limited::new(request.into_body(), EVENT_BYTES_MAX).collect();
        let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Rejection::TooLarge),
            Ok(Err(_)) | Err(_) => return Err(Rejection::Incomplete),
        };
        let posted = Posted::read(&body).ok_or(Rejection::Malformed)?;
        let digest = self.recorder.hashed(&body);
        let key = Identifier::hash_bits(digest.as_str()).unwrap_or_default();
        let slot = self.replays().slot(key);
        let mut again = true;
        let (first, posted) = (&mut again, &posted);
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
