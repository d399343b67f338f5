//! A client as teams have them: real HTTP to the sidecar, streams read to their end, retries.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::api::{RETRY_COUNT, SCENE, Scene};

/// No call takes this long: its longest stream has some forty events.
const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// How often a client tries again.
const RETRIES_MAX: u32 = 2;
/// Pause before it does.
const BACKOFF: Duration = Duration::from_millis(150);
const OVERLOADED: u16 = 529;

/// One call to be made.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) key: String,
    pub(super) model: &'static str,
    pub(super) stream: bool,
    pub(super) max_tokens: u64,
    pub(super) system: Value,
    pub(super) messages: Vec<Value>,
    pub(super) scene: Scene,
    /// Whether the answer may ask for a tool: its description is part of the prompt.
    pub(super) has_tools: bool,
    /// Session and agent, as Claude Code sends them.
    pub(super) headers: Vec<(&'static str, String)>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) status: u16,
    /// The answer's content; empty for an error.
    pub(super) content: Vec<Value>,
    /// The body came to its end.
    pub(super) whole: bool,
}

/// How far the traffic is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Calls that are over, each attempt by itself.
    pub(super) done: u32,
    /// Calls that are under way.
    pub(super) open: u32,
}

/// The way to the sidecar, shared by all teams.
pub(super) struct Road {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
    progress: Mutex<Progress>,
}

impl Road {
    /// A way to the sidecar at `base`.
    pub(super) fn new(base: &str) -> Road {
        Road {
            client: Client::builder(TokioExecutor::new()).build_http(),
            url: format!("{base}/v1/messages"),
            progress: Mutex::default(),
        }
    }

    /// How far it is now.
    pub(super) fn progress(&self) -> Progress {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Makes a call and, while the API is overloaded, makes it again.
    pub(super) async fn say(&self, call: &Call) -> Result<Heard> {
        let mut retry = 0;
        loop {
            let heard = self.once(call, retry).await?;
            if heard.status != OVERLOADED || retry == RETRIES_MAX {
                return Ok(heard);
            }
            retry += 1;
            tokio::time::sleep(BACKOFF).await;
        }
    }

    /// Makes a call that must be answered.
    pub(super) async fn ask(&self, call: &Call) -> Result<Vec<Value>> {
        let heard = self.say(call).await?;
        if heard.status != 200 || !heard.whole {
            return Err(anyhow!("a simulated call was answered with status {}", heard.status));
        }
        Ok(heard.content)
    }

    async fn once(&self, call: &Call, retry: u32) -> Result<Heard> {
        self.step(|progress| progress.open += 1);
        let heard = tokio::time::timeout(CALL_DEADLINE, self.exchange(call, retry)).await;
        self.step(|progress| {
            progress.open -= 1;
            progress.done += 1;
        });
        heard.map_err(|_| anyhow!("a simulated call took longer than {CALL_DEADLINE:?}"))?
    }

    async fn exchange(&self, call: &Call, retry: u32) -> Result<Heard> {
        let response = self.client.request(self.request(call, retry)?).await;
        let response = response.context("the sidecar did not answer a simulated call")?;
        let status = response.status();
        let (body, whole) = read(response).await;
        let content = match (status, call.stream) {
            (StatusCode::OK, true) => content_of_stream(&body),
            (StatusCode::OK, false) => content_of_json(&body)?,
            _ => Vec::new(),
        };
        Ok(Heard { status: status.as_u16(), content, whole })
    }

    fn request(&self, call: &Call, retry: u32) -> Result<Request<Full<Bytes>>> {
        let mut body = json!({"model": call.model, "max_tokens": call.max_tokens,
            "system": call.system, "messages": call.messages, "stream": call.stream});
        if call.has_tools {
            body["tools"] = json!([{"name": "Bash", "description": "Runs a command",
                "input_schema": {"type": "object"}}]);
        }
        let mut request = Request::post(&self.url)
            .header("content-type", "application/json")
            .header("anthropic-version", "2023-06-01")
            .header("x-api-key", &call.key)
            .header(RETRY_COUNT, retry.to_string())
            .header(SCENE, call.scene.name());
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        Ok(request.body(Full::new(Bytes::from(body.to_string())))?)
    }
}

/// Reads a body, and whether it came to its end.
async fn read(response: Response<Incoming>) -> (BytesMut, bool) {
    let mut body = response.into_body();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame.map(data_of) {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(_) => return (bytes, false),
        }
    }
    (bytes, true)
}

fn data_of(frame: hyper::body::Frame<Bytes>) -> Bytes {
    frame.into_data().unwrap_or_default()
}

fn content_of_json(body: &[u8]) -> Result<Vec<Value>> {
    let message: Value = serde_json::from_slice(body).context("an answer is not JSON")?;
    Ok(message["content"].as_array().cloned().unwrap_or_default())
}

/// Puts a stream's blocks together again.
fn content_of_stream(body: &[u8]) -> Vec<Value> {
    let body = String::from_utf8_lossy(body);
    let mut blocks: Vec<Value> = Vec::new();
    let mut input = String::new();
    for data in body.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let Ok(event) = serde_json::from_str::<Value>(data) else { continue };
        match event["type"].as_str() {
            Some("content_block_start") => blocks.push(event["content_block"].clone()),
            Some("content_block_delta") => {
                let Some(block) = blocks.last_mut() else { continue };
                let delta = &event["delta"];
                if let (Some(text), Some(more)) = (block["text"].as_str(), delta["text"].as_str()) {
                    block["text"] = json!(format!("{text}{more}"));
                }
                input.push_str(delta["partial_json"].as_str().unwrap_or_default());
            }
            _ => {}
        }
    }
    if let Some(tool) = blocks.last_mut().filter(|block| block["type"] == "tool_use") {
        tool["input"] = serde_json::from_str(&input).unwrap_or_default();
    }
    blocks
}
