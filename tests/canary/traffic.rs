//! Calls that carry canaries wherever a call can hold something.

use std::time::Duration;

use serde_json::{Value, json};

use super::Rig;
use super::planted::Planted;
use super::planted::Way::{Stays, Up};
use super::support::client::{MODEL, Raw, Request};
use super::support::eventually;

/// How long something that may never be answered is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The headers of a call, and those of ours that go no further.
fn headed(request: Request, p: &mut Planted, of: &str) -> Request {
    let mut request = request.without("user-agent").without("x-api-key").without("content-type");
    let key = format!("sk-ant-api03-{}", p.word(Up, &format!("{of}: x-api-key")));
    let bearer = format!("Bearer {}", p.word(Up, &format!("{of}: authorization")));
    let kind = format!("application/json; x={}", p.word(Up, &format!("{of}: content-type")));
    for (name, value) in [("x-api-key", key), ("authorization", bearer), ("content-type", kind)] {
        request = request.header(name, &value);
    }
    for name in [
        "user-agent",
        "cookie",
        "referer",
        "from",
        "x-forwarded-for",
        "forwarded",
        "via",
        "accept-language",
        "anthropic-version",
        "anthropic-beta",
        "x-app",
        "x-stainless-retry-count",
        "x-stainless-os",
        "x-claude-code-session-id",
        "x-claude-code-agent-id",
        "x-claude-code-parent-agent-id",
        "traceparent",
        "tracestate",
        "baggage",
        "x-request-id",
        "idempotency-key",
        "x-amz-security-token",
        "x-patient",
    ] {
        request = request.header(name, &p.text(Up, &format!("{of}: header {name}")));
    }
    request = request.header("x-person", &p.person(Up, &format!("{of}: header x-person")));
    let name = format!("x-{}", p.word(Up, &format!("{of}: name of a header")));
    request = request.header(&name, "1");
    for name in ["project", "task", "tag-note", "tag-env", "team", "user", "exchange"] {
        let name = format!("x-weighbridge-{name}");
        request = request.header(&name, &p.text(Stays, &format!("{of}: header {name}")));
    }
    // A name with a character that names of tags do not have.
    let name = format!("x-weighbridge-tag-{}!", p.word(Stays, &format!("{of}: name of a tag")));
    request.header(&name, &p.text(Stays, &format!("{of}: tag of a wrong name")))
}

/// A conversation with everything that one can have.
fn conversation(p: &mut Planted, model: &str, streamed: bool, of: &str) -> Value {
    let text = |what: &str, p: &mut Planted| p.text(Up, &format!("{of}: {what}"));
    let person = |what: &str, p: &mut Planted| p.person(Up, &format!("{of}: {what}"));
    let messages = json!([
        {"role": "user", "content": [
            {"type": "text", "text": person("prompt", p),
                "cache_control": {"type": text("cache_control", p)}},
            {"type": "image", "source": {"type": "base64", "media_type": text("media_type", p),
                "data": p.word(Up, &format!("{of}: picture"))}},
            {"type": "document", "title": person("title", p), "context": text("context", p),
                "source": {"type": "url", "url": format!("http://{}.example", p.word(Up, of))}}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": person("thinking", p),
                "signature": text("signature", p)},
            {"type": "tool_use", "id": text("tool_use.id", p), "name": text("tool_use.name", p),
                "input": {"command": person("tool_use.input", p),
                    (p.word(Up, &format!("{of}: key of an input"))): [text("list", p)]}},
            {"type": "tool_use", "id": "toolu_kept_1", "name": "Bash",
                "input": {"command": text("input of Bash", p)}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_kept_1",
                "content": [{"type": "text", "text": person("tool_result", p)}]},
            {"type": "tool_result", "tool_use_id": text("tool_use_id", p), "is_error": true,
                "content": person("tool_result that failed", p)}]},
        {"role": text("role", p), "content": person("content of an unknown role", p)}]);
    let tools = json!([
        {"name": "Bash", "description": person("description", p), "input_schema": {"type": "object",
            "properties": {(p.word(Up, &format!("{of}: property"))): {"enum": [text("enum", p)]}}}},
        {"name": text("tools.name", p), "input_schema": {"title": text("title of a schema", p)}},
        {"type": text("tools.type", p), "name": "web_search",
            "user_location": person("place", p)}]);
    let server = json!({"type": "url", "name": text("mcp_servers.name", p),
        "url": format!("https://{}.example/sse", p.word(Up, &format!("{of}: mcp_servers.url"))),
        "authorization_token": p.word(Up, &format!("{of}: mcp_servers.authorization_token"))});
    json!({"model": model, "max_tokens": 64, "stream": streamed, "messages": messages,
        "system": [{"type": "text", "text": person("system", p)}], "tools": tools,
        "tool_choice": {"type": "tool", "name": text("tool_choice", p)},
        "metadata": {"user_id": person("metadata.user_id", p)}, "mcp_servers": [server],
        "stop_sequences": [text("stop_sequences", p)], "service_tier": text("service_tier", p),
        "inference_geo": text("inference_geo", p), "speed": text("speed", p),
        "container": text("container", p), "thinking": {"type": text("thinking.type", p)},
        (p.word(Up, &format!("{of}: key"))): {"deep": [text("unknown field", p)]}})
}

/// A call of the Messages API with a query.
fn call(p: &mut Planted, scenario: &str, streamed: bool) -> Request {
    let query = p.word(Up, &format!("{scenario}: query"));
    let model = match streamed {
        true => MODEL.to_owned(),
        false => p.text(Up, &format!("{scenario}: model")),
    };
    let body = conversation(p, &model, streamed, scenario).to_string();
    let target = format!("/v1/messages?beta={query}&{query}");
    let request = Request::new("POST", &target).header("x-fake-scenario", scenario);
    headed(request, p, scenario).body(body.as_bytes())
}

/// Messages in every way they can go, and every error.
pub async fn messages(rig: &mut Rig) {
    for (scenario, streamed) in [
        ("canary_stream", true),
        ("canary_json", false),
        ("canary_error_mid", true),
        ("canary_cut", true),
    ] {
        let request = call(&mut rig.planted, scenario, streamed);
        rig.exchange(&request).await;
    }
    rig.fake.encoding(Some("gzip"));
    let request = call(&mut rig.planted, "canary_json", false);
    rig.exchange(&request).await;
    rig.fake.encoding(None);
    // The client leaves in the middle.
    let request = call(&mut rig.planted, "canary_gate", true);
    let mut raw = Raw::connect(rig.sidecar().address).await;
    raw.send(&request).await;
    raw.read_until(b"content_block_start").await;
    raw.reset();
}

/// Every error that the API can answer with.
pub async fn failures(rig: &mut Rig) {
    for status in ["400", "401", "404", "413", "429", "500", "529", "502", "302"] {
        let request = call(&mut rig.planted, &format!("canary_{status}"), status == "529");
        rig.exchange(&request).await;
    }
    for scenario in ["canary_not_http", "canary_head", "canary_length", "canary_chunk"] {
        let request = call(&mut rig.planted, scenario, false);
        rig.refused(scenario, &request).await;
    }
}

/// Everything that is not a message, or none that can be read.
pub async fn others(rig: &mut Rig) {
    let p = &mut rig.planted;
    let mut all = Vec::new();
    for (method, path, scenario) in [
        ("POST", "/v1/messages/count_tokens", "canary_count"),
        ("POST", "/v1/messages/batches", "canary_batch"),
        ("GET", "/v1/messages/batches/msgbatch_PATH/results", "canary_results"),
        ("GET", "/v1/files/PATH", "canary_file"),
        ("DELETE", "/v1/files/PATH/content", "canary_file"),
        ("GET", "/v1/models/PATH", "canary_404"),
        ("POST", "/PATH/does/not/exist/PATH", "canary_404"),
        ("POST", "/model/PATH/invoke", "canary_cloud"),
        (
            "POST",
            "/v1/projects/PATH/locations/PATH/publishers/anthropic/models/PATH:rawPredict",
            "canary_cloud",
        ),
    ] {
        let of = format!("{method} {path}");
        let mut target = path.to_owned();
        while target.contains("PATH") {
            let value = format!("of%20{}", p.word(Up, &format!("{of}: path")));
            target = target.replacen("PATH", &value, 1);
        }
        let target = format!("{target}?q={}", p.word(Up, &format!("{of}: query")));
        let request = Request::new(method, &target).header("x-fake-scenario", scenario);
        let mut request = headed(request, p, &of);
        if method == "POST" {
            let one = conversation(p, MODEL, false, &of);
            let body = match path.ends_with("batches") {
                true => json!({"requests": [{"params": one,
                    "custom_id": p.word(Up, &format!("{of}: custom_id"))}]}),
                false => one,
            };
            request = request.body(body.to_string().as_bytes());
        }
        all.push(request);
    }
    for (what, before, after) in [
        ("broken body", "{\"model\":\"claude-opus-5-5\",\"messages\":[\"", ""),
        ("body with a key twice", "{\"model\":\"a b\",\"model\":\"", "\"}"),
        ("body that is a list", "[\"", "\"]"),
        ("body that is no JSON", "<xml>", "</xml>"),
        ("body with the wrong types", "{\"model\":[\"", "\"],\"messages\":7,\"stream\":\"x\"}"),
    ] {
        let body = format!("{before}{}{after}", p.person(Up, what).replace('"', ""));
        let target = "/v1/messages";
        let request = Request::new("POST", target).header("x-fake-scenario", "canary_400");
        all.push(headed(request, p, what).body(body.as_bytes()));
    }
    for request in all {
        rig.exchange(&request).await;
    }
    // A method of the caller's own, with a character that names do not have.
    let method = format!("{}!", rig.planted.word(Up, "method"));
    rig.exchange(&Request::new(&method, "/v1/other")).await;
}

/// What the sidecar answers itself.
pub async fn refusals(rig: &mut Rig) {
    let p = &mut rig.planted;
    let unknown = format!("wbk_{}", p.word(Stays, "virtual key that nobody has"));
    let by_key = Request::plain("x").without("x-api-key").header("x-api-key", &unknown);
    let long = p.person(Stays, "body that is too long") + &"x".repeat(70_000);
    let mut all = vec![
        ("unknown key", by_key),
        ("body that is too long", Request::plain(&long)),
        ("PUT", Request::new("PUT", &format!("/v1/messages?{}", p.word(Stays, "PUT: query")))),
    ];
    for model in [MODEL.to_owned(), p.text(Stays, "refused: model")] {
        let body = json!({"model": model, "max_tokens": 1,
            "messages": [{"role": "user", "content": p.person(Stays, "refused: prompt")}],
            "mcp_servers": [{"type": "url", "name": p.text(Stays, "refused: server"),
                "url": format!("https://{}.example", p.word(Stays, "refused: address"))}]});
        all.push(("rule", Request::json("/v1/messages", &body)));
    }
    let returned = json!({"model": MODEL, "max_tokens": 1, "messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_9", "name": "WebFetch",
            "input": {"url": p.person(Stays, "refused: input")}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_9",
            "content": p.person(Stays, "refused: result")}]}]});
    all.push(("tool that is not allowed", Request::json("/v1/messages", &returned)));
    let broken = format!("{{\"model\":\"{}", p.person(Stays, "refused: broken body"));
    all.push(("unread", Request::plain("").body(broken.as_bytes())));
    for (what, request) in all {
        rig.refused(what, &request).await;
    }
    let p = &mut rig.planted;
    let word =
        |what: &str, p: &mut Planted| p.word(Stays, &format!("request that is none: {what}"));
    let host = "Host: 127.0.0.1\r\n";
    let wrong = [
        format!("GET /v1/{} HTTP/1.1\r\n\r\n", word("no host", p)),
        format!("GET /v1/{} HTTP/7.0\r\n{host}\r\n", word("version", p)),
        format!("CONNECT {}.example:443 HTTP/1.1\r\n{host}\r\n", word("CONNECT", p)),
        format!("{} no request\r\n\r\n", word("line", p)),
        format!("GET http://{}.example/v1/models HTTP/1.1\r\n{host}\r\n", word("address", p)),
        format!("GET / HTTP/1.1\r\n{host}{} x: 1\r\n\r\n", word("header", p)),
        format!("POST / HTTP/1.1\r\n{host}Content-Length: {}\r\n\r\n", word("length", p)),
        format!("GET / HTTP/1.1\r\n{host}x: {}\r\n\r\n", word("long", p) + &"x".repeat(70_000)),
        format!(
            "POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n{}\r\n",
            word("chunk", p)
        ),
    ];
    for bytes in wrong {
        let mut raw = Raw::connect(rig.sidecar().address).await;
        raw.send_bytes(bytes.as_bytes()).await;
        let answer = tokio::time::timeout(PATIENCE, raw.try_response()).await;
        if let Ok(Some(answer)) = answer {
            rig.own("answer to what is no request", &answer);
        }
    }
}

/// A call that is open when the sidecar is killed.
pub async fn left_open(rig: &mut Rig) -> Raw {
    let request = call(&mut rig.planted, "canary_gate", true);
    let before = rig.fake.count();
    let mut raw = Raw::connect(rig.sidecar().address).await;
    raw.send(&request).await;
    raw.read_until(b"content_block_start").await;
    eventually("the call is open", || (rig.fake.count() > before).then_some(())).await;
    raw
}
