//! What the fake API does with a request, scenario by scenario.
//!
//! A scenario is a name; it comes from the server's default or from the request's `x-fake-scenario`
//! header. Scenarios that fail do so on the first request of their kind and then behave, unless
//! they say otherwise, so that real clients can recover.

use std::time::Duration;

use serde_json::Value;

use super::eventstream;
use super::message::{self, Figures};

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
    /// No body: 204, 304.
    None,
}

/// One thing to do while answering.
#[derive(Clone, Debug)]
pub enum Step {
    Bytes(Vec<u8>),
    /// From here on this is what the API would bill.
    Bill(Figures),
    Pause(Duration),
    /// Waits until the test opens the gate.
    Gate,
    /// The same bytes again and again until the other side leaves.
    Forever(Vec<u8>),
    /// RST.
    Reset,
    /// FIN before the framing's end.
    Close,
    /// Says nothing more.
    Stall,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub framing: Framing,
    pub steps: Vec<Step>,
    /// Whether the content may be encoded on demand.
    pub encodable: bool,
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Action {
    Reply(Reply),
    /// RST before the first byte.
    ResetBefore,
    /// Says nothing at all.
    HeadNever,
    /// These bytes instead of HTTP, then FIN.
    Raw(Vec<u8>),
}

/// What the script looks at.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub scenario: &'a str,
    /// 1 for the first request of this scenario and kind, then 2, …
    pub nth: u32,
    pub subagent: bool,
    pub body: &'a Value,
}

const EVENT_PAUSE: Duration = Duration::from_millis(2);
/// Between the events of `slow`.
pub const SLOW_PAUSE: Duration = Duration::from_millis(10);

impl Reply {
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Reply {
        let body = body.into();
        Reply {
            status,
            headers: vec![
                ("content-type".to_owned(), content_type.to_owned()),
                ("request-id".to_owned(), "req_01FAKE".to_owned()),
            ],
            framing: Framing::Length(body.len()),
            steps: vec![Step::Bytes(body)],
            encodable: true,
        }
    }

    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        Reply::new(status, "application/json", body)
    }

    pub fn with(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The rate-limit headers of every answer of the Messages API.
    fn limits(self) -> Reply {
        self.with("anthropic-ratelimit-requests-limit", "4000")
            .with("anthropic-ratelimit-requests-remaining", "3999")
            .with("anthropic-ratelimit-requests-reset", "2026-11-25T00:01:00Z")
            .with("anthropic-ratelimit-input-tokens-limit", "2000000")
            .with("anthropic-ratelimit-input-tokens-remaining", "1988000")
            .with("anthropic-ratelimit-output-tokens-limit", "400000")
            .with("anthropic-ratelimit-output-tokens-remaining", "399000")
            .with("Anthropic-Organization-Id", "00000000-0000-4000-8000-000000000000")
    }

    pub fn stream(content_type: &str, steps: Vec<Step>) -> Reply {
        let mut reply = Reply::new(200, content_type, Vec::new()).with("cache-control", "no-cache");
        reply.framing = Framing::Chunked;
        reply.steps = steps;
        reply
    }
}

/// The API's error answers, by scenario.
fn failure(scenario: &str, nth: u32) -> Option<Reply> {
    let error = |status, kind, text| Reply::json(status, message::error(kind, text)).limits();
    let reply = match (scenario, nth) {
        ("e429", 1) => error(429, "rate_limit_error", "Too many requests per minute.")
            .with("retry-after", "1")
            .with("x-should-retry", "true"),
        ("e429_forever", _) => {
            error(429, "rate_limit_error", "Rate limited").with("x-should-retry", "false")
        }
        ("e529", 1 | 2) | ("e529_forever", _) => error(529, "overloaded_error", "Overloaded"),
        ("e500", 1) | ("e500_forever", _) => error(500, "api_error", "Internal server error"),
        ("e503", 1) => error(503, "api_error", "upstream connect error").with("retry-after", "1"),
        ("e502", 1) => Reply::new(502, "text/html", "<html><body>502 Bad Gateway</body></html>"),
        ("context_length", _) => {
            let text = "prompt is too long: 215000 tokens > 200000 maximum";
            error(400, "invalid_request_error", text)
        }
        ("credit", _) => {
            let text = "Your credit balance is too low to access the Anthropic API. Please go to \
                        Plans & Billing to upgrade or purchase credits.";
            error(400, "invalid_request_error", text)
        }
        ("e401", _) => error(401, "authentication_error", "invalid x-api-key"),
        ("e400", _) => error(400, "invalid_request_error", "messages: at least one is required"),
        ("e402", _) => error(402, "billing_error", "Team budget exhausted"),
        ("e403", _) => error(403, "permission_error", "Blocked by policy"),
        ("e404", _) => error(404, "not_found_error", "model: claude-nope"),
        ("e413", _) => error(413, "request_too_large", "Request exceeds the maximum size"),
        ("html", _) => Reply::new(200, "text/html", "<html>Please log in</html>"),
        _ => return None,
    };
    Some(reply)
}

/// The script: what the fake does with a request.
pub fn action(request: &Request<'_>) -> Action {
    match request.scenario {
        "head_never" => return Action::HeadNever,
        "reset_before" if request.nth == 1 => return Action::ResetBefore,
        "not_http" => return Action::Raw(b"220 smtp.example.test ready\r\n".to_vec()),
        "redirect" => {
            let target = "http://169.254.169.254/latest/meta-data/";
            return Action::Reply(Reply::new(302, "text/plain", "moved").with("location", target));
        }
        "no_content" => {
            let mut reply = Reply::new(204, "text/plain", Vec::new());
            (reply.framing, reply.headers) = (Framing::None, Vec::new());
            return Action::Reply(reply.with("request-id", "req_01FAKE"));
        }
        _ => {}
    }
    if let Some(model) = cloud_model(request.path) {
        return cloud(request, &model);
    }
    if let Some(reply) = super::batch::answer(request) {
        return Action::Reply(reply);
    }
    let reply = match (request.method, request.path) {
        ("POST", "/v1/messages") => messages(request),
        ("POST", "/v1/messages/count_tokens") => Reply::json(200, "{\"input_tokens\":1234}"),
        (_, "/v1/models") => Reply::json(200, MODELS),
        (_, "/inference-profiles") => Reply::json(200, "{\"inferenceProfileSummaries\":[]}"),
        (_, "/api/hello" | "/") => Reply::json(200, "{\"message\":\"hello\"}"),
        (_, "/unending") => {
            let piece = vec![b'x'; 64 * 1024];
            Reply::stream("application/octet-stream", vec![Step::Forever(piece)])
        }
        (_, path) if path.starts_with("/bytes/") => {
            let count = path.trim_start_matches("/bytes/").parse().unwrap_or(0);
            let body: Vec<u8> = (0..count).map(|i: usize| (i % 251) as u8).collect();
            Reply::new(200, "application/octet-stream", body)
        }
        (_, "/api/v2/alerts") => Reply::json(200, ""),
        (_, "/echo") => Reply::new(200, "application/json", request.body.to_string()),
        (_, path) => Reply::json(404, message::error("not_found_error", path)),
    };
    Action::Reply(reply)
}

const MODELS: &str = concat!(
    r#"{"data":[{"type":"model","id":"claude-opus-5-5","display_name":"Claude Opus 5.5","#,
    r#""created_at":"2026-09-22T00:00:00Z"}],"has_more":false,"first_id":"claude-opus-5-5","#,
    r#""last_id":"claude-opus-5-5"}"#
);

fn messages(request: &Request<'_>) -> Reply {
    if let Some(reply) = failure(request.scenario, request.nth) {
        return reply;
    }
    let answer = message::answer(request.scenario, request.subagent, request.body, request.nth);
    if request.body["stream"] != true || request.scenario == "json_for_stream" {
        let mut reply = Reply::json(200, answer.json()).limits();
        reply.steps.insert(0, Step::Bill(answer.figures));
        return reply;
    }
    let plain = message::Answer { id: format!("msg_01FAKE{:06}", request.nth), ..answer };
    Reply::stream("text/event-stream; charset=utf-8", stream(request, &plain)).limits()
}

/// The steps of a stream with the scenario's twist. Twists happen on the first request only, or
/// with `_always` behind the scenario's name on every one.
fn stream(request: &Request<'_>, answer: &message::Answer) -> Vec<Step> {
    let twist = match request.scenario.strip_suffix("_always") {
        Some(twist) => twist,
        None if request.nth == 1 => request.scenario,
        None => "",
    };
    let mut steps = Vec::new();
    for (k, (name, data)) in answer.events().into_iter().enumerate() {
        let end = match (twist, k) {
            ("error_mid", 6) | ("error_early", 2) => Some(error_event("overloaded_error")),
            ("error_api", 6) => Some(error_event("api_error")),
            ("cut", 8) | ("cut_early", 2) => Some(vec![Step::Reset]),
            ("cut_clean", 8) => Some(Vec::new()),
            ("cut_fin", 8) => Some(vec![Step::Close]),
            ("cut_half", 8) => Some(vec![Step::Bytes(b"event: content_blo".to_vec()), Step::Reset]),
            ("stall", 8) => Some(vec![Step::Stall]),
            _ => None,
        };
        if let Some(end) = end {
            steps.extend(end);
            return steps;
        }
        match name {
            "message_start" => steps.push(Step::Bill(answer.figures.at_start())),
            "message_delta" => steps.push(Step::Bill(answer.figures)),
            _ => {}
        }
        match (twist, k) {
            ("garbage", 3) => {
                steps
                    .push(Step::Bytes(b"event: content_block_delta\ndata: {not json\n\n".to_vec()));
            }
            ("unknown_event", 3) => {
                let data = "{\"type\":\"x_future_event\",\"hello\":1}";
                steps.push(Step::Bytes(message::sse("x_future_event", data)));
                steps.push(Step::Bytes(b": a comment\n\n".to_vec()));
            }
            ("gate", 4) => steps.push(Step::Gate),
            _ if request.scenario == "gate_all" && k == 4 => steps.push(Step::Gate),
            _ => {}
        }
        let event = message::sse(name, &data);
        match request.scenario {
            "split" => steps.extend(event.chunks(7).map(|piece| Step::Bytes(piece.to_vec()))),
            "crlf" => steps
                .push(Step::Bytes(format!("event: {name}\r\ndata: {data}\r\n\r\n").into_bytes())),
            "slow" => steps.extend([Step::Bytes(event), Step::Pause(SLOW_PAUSE)]),
            "burst" => steps.push(Step::Bytes(event)),
            _ => steps.extend([Step::Bytes(event), Step::Pause(EVENT_PAUSE)]),
        }
        if twist == "cut_tool" && data.contains("input_json_delta") && data.contains("command") {
            steps.push(Step::Reset);
            return steps;
        }
    }
    steps
}

fn error_event(kind: &str) -> Vec<Step> {
    vec![Step::Bytes(message::sse("error", &message::error(kind, "Overloaded")))]
}

/// The model in a Bedrock or Vertex path, and the verb behind it.
fn cloud_model(path: &str) -> Option<(String, String)> {
    let path = path.replace("%3A", ":");
    let last = path.rsplit_once('/')?;
    if let Some((model, verb @ ("rawPredict" | "streamRawPredict"))) = last.1.rsplit_once(':') {
        return Some((model.to_owned(), verb.to_owned()));
    }
    let (_, model) = last.0.rsplit_once("/model/")?;
    matches!(last.1, "invoke" | "invoke-with-response-stream" | "converse" | "converse-stream")
        .then(|| (model.to_owned(), last.1.to_owned()))
}

fn cloud(request: &Request<'_>, (model, verb): &(String, String)) -> Action {
    if verb.starts_with("converse") {
        return Action::Reply(super::converse::answer(verb == "converse-stream"));
    }
    let mut body = request.body.clone();
    body["model"] = Value::from(model.as_str());
    body["stream"] = Value::from(verb == "streamRawPredict");
    if verb != "invoke-with-response-stream" {
        return Action::Reply(messages(&Request { body: &body, ..*request }));
    }
    let answer = message::answer(request.scenario, request.subagent, &body, request.nth);
    let mut steps = Vec::new();
    for (name, data) in answer.events() {
        let data = match name {
            "ping" => continue, // Bedrock sends none
            "message_stop" => format!(
                "{{\"type\":\"message_stop\",\"amazon-bedrock-invocationMetrics\":{{\
                 \"inputTokenCount\":{},\"outputTokenCount\":{},\"invocationLatency\":1200,\
                 \"firstByteLatency\":400}}}}",
                answer.figures.input, answer.figures.output
            ),
            _ => data,
        };
        match name {
            "message_start" => steps.push(Step::Bill(answer.figures.at_start())),
            "message_delta" => steps.push(Step::Bill(answer.figures)),
            _ => {}
        }
        steps.extend([Step::Bytes(eventstream::frame(&data)), Step::Pause(EVENT_PAUSE)]);
    }
    let mut reply = Reply::stream("application/vnd.amazon.eventstream", steps);
    reply.encodable = false;
    Action::Reply(reply.with("x-amzn-bedrock-content-type", "application/json"))
}
