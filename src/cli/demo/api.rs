//! The simulated Claude API: HTTP on loopback, its own count, its own bill.
//!
//! It knows one key, the organisation's: a virtual key that got through would be turned away, and
//! the demo would fail. What happens by chance in reality is asked for by a header here.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use xxhash_rust::xxh3::xxh3_64;

use super::answer::{self, Answer, Stream};
use super::bill::Bill;
use super::prompt::{self, PromptCache};

/// What is to happen to a call: see [`Scene`].
pub(super) const SCENE: &str = "x-demo-scene";
/// Says how often the client has tried already, as the official SDKs do.
pub(super) const RETRY_COUNT: &str = "x-stainless-retry-count";
/// How often an overloaded API refuses before it has room again.
const OVERLOADED_TIMES: u32 = 2;
/// Connections at the same time.
const CONNECTIONS_MAX: usize = 64;
/// Pause after a failed accept, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// How long a model that does not stream thinks.
const THINKING: Duration = Duration::from_millis(60);
/// The shortest answer, in tokens.
const OUTPUT_MIN: u64 = 12;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// It is answered.
    Plain,
    /// It is answered, and the answer asks for a tool.
    ToolUse,
    /// 529 until it is repeated often enough.
    Overloaded,
    /// 429.
    RateLimited,
    /// The stream breaks off in the middle.
    Cut,
}

impl Scene {
    const ALL: [Scene; 5] =
        [Scene::Plain, Scene::ToolUse, Scene::Overloaded, Scene::RateLimited, Scene::Cut];

    /// As the header says it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Scene::Plain => "plain",
            Scene::ToolUse => "tool_use",
            Scene::Overloaded => "overloaded",
            Scene::RateLimited => "rate_limited",
            Scene::Cut => "cut",
        }
    }

    fn of(headers: &HeaderMap) -> Scene {
        let named = |scene: &Scene| headers.get(SCENE).is_some_and(|value| value == scene.name());
        Scene::ALL.into_iter().find(named).unwrap_or(Scene::Plain)
    }
}

type Reply = Response<Either<Full<Bytes>, Stream>>;

/// The simulated API.
pub(super) struct Api {
    key: String,
    bill: Mutex<Bill>,
    cache: Mutex<PromptCache>,
    requests: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Api {
    /// An API that lets in whoever has `key`.
    pub(super) fn new(key: String) -> Api {
        Api { key, bill: Mutex::default(), cache: Mutex::default(), requests: AtomicU64::default() }
    }

    /// What it has charged so far.
    pub(super) fn bill(&self) -> MutexGuard<'_, Bill> {
        locked(&self.bill)
    }

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let request_id = format!("req_demo{number:06}");
        let (head, body) = request.into_parts();
        let mut reply = match body.collect().await {
            Ok(body) => self.decide(&head.headers, &body.to_bytes(), &request_id).await,
            Err(_) => refuse(StatusCode::BAD_REQUEST, "invalid_request_error", &request_id),
        };
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            reply.headers_mut().insert(HeaderName::from_static("request-id"), value);
        }
        reply
    }

    async fn decide(&self, headers: &HeaderMap, body: &[u8], request_id: &str) -> Reply {
        if headers.get("x-api-key").is_none_or(|key| *key != *self.key) {
            return refuse(StatusCode::UNAUTHORIZED, "authentication_error", request_id);
        }
        let Ok(request) = serde_json::from_slice::<Value>(body) else {
            return refuse(StatusCode::BAD_REQUEST, "invalid_request_error", request_id);
        };
        let scene = Scene::of(headers);
        let tried = headers.get(RETRY_COUNT).and_then(|count| count.to_str().ok()?.parse().ok());
        match scene {
            Scene::Overloaded if tried.unwrap_or(0) < OVERLOADED_TIMES => {
                let status = StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                return refuse(status, "overloaded_error", request_id);
            }
            Scene::RateLimited => {
                return refuse(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", request_id);
            }
            _ => {}
        }
        let answer = self.compose(&request, scene, xxh3_64(body), request_id);
        self.charge(&answer, scene, request_id);
        if request["stream"] == true {
            let stream = answer.stream();
            let stream = if scene == Scene::Cut { stream.cut() } else { stream };
            return reply(
                StatusCode::OK,
                "text/event-stream; charset=utf-8",
                Either::Right(stream),
            );
        }
        tokio::time::sleep(THINKING).await;
        reply(StatusCode::OK, "application/json", Either::Left(Full::new(answer.json())))
    }

    /// An answer that depends on the request alone, so that every demo costs the same.
    fn compose(&self, request: &Value, scene: Scene, seed: u64, request_id: &str) -> Answer {
        let mut tokens = locked(&self.cache).weigh(request);
        let most = request["max_tokens"].as_u64().unwrap_or(OUTPUT_MIN).max(OUTPUT_MIN + 1);
        let wanted = OUTPUT_MIN + seed % (most - OUTPUT_MIN);
        let text = answer::text(usize::try_from(wanted * 4).unwrap_or_default());
        let tool = (scene == Scene::ToolUse).then(|| {
            json!({"type": "tool_use", "id": format!("toolu_{seed:016x}"),
                "name": request["tools"][0]["name"], "input": {"step": seed % 100}})
        });
        tokens.output =
            prompt::count(&text) + tool.as_ref().map_or(0, |tool| prompt::count(&tool.to_string()));
        let model = request["model"].as_str().unwrap_or_default().to_owned();
        Answer { id: format!("msg_{request_id}"), model, text, tool, tokens }
    }

    /// Charges what the client was told: a stream that broke off had reported one token of output.
    fn charge(&self, answer: &Answer, scene: Scene, request_id: &str) {
        let mut tokens = answer.tokens;
        if scene == Scene::Cut {
            tokens.output = 1;
        }
        self.bill().charge(request_id, &answer.model, &tokens);
    }
}

fn refuse(status: StatusCode, kind: &str, request_id: &str) -> Reply {
    let error = json!({"type": "error", "error": {"type": kind, "message": "simulated"},
        "request_id": request_id});
    let body = Either::Left(Full::new(Bytes::from(error.to_string())));
    reply(status, "application/json", body)
}

fn reply(status: StatusCode, kind: &'static str, body: Either<Full<Bytes>, Stream>) -> Reply {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Answers until `stop`.
pub(super) async fn serve(
    api: Arc<Api>,
    listener: TcpListener,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
        let (api, stop) = (Arc::clone(&api), stop.clone());
        tasks.spawn(async move {
            let service = service_fn(move |request| {
                let api = Arc::clone(&api);
                async move { Ok::<_, Infallible>(api.answer(request).await) }
            });
            let mut builder = http1::Builder::new();
            let serving =
                builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = serving => {}
                () = stop.cancelled() => {}
            }
            drop(place);
        });
    }
}
