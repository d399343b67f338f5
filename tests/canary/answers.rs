//! What the fake API answers: canaries wherever an answer can hold text.

use std::time::Duration;

use serde_json::{Value, json};

use super::planted::Planted;
use super::planted::Way::{self, Down, Stays};
use super::support::api::Fake;
use super::support::client::MODEL;
use super::support::message::{error, sse};
use super::support::script::{Action, Reply, Step};

/// Small enough to cut every value, too small for no packet.
const PIECE: usize = 7;

/// Teaches the fake all scenarios of this test.
pub fn teach(fake: &Fake, p: &mut Planted) {
    let whole = stream(p, Down, "stream");
    let pieces = |bytes: &[u8]| {
        let pieces = bytes.chunks(PIECE).map(|piece| Step::Bytes(piece.to_vec()));
        pieces.collect::<Vec<_>>()
    };
    let event_stream = |steps| Reply::stream("text/event-stream", steps);
    let headed = headers(event_stream(pieces(&whole.concat())), p, "stream");
    fake.plays("canary_stream", Action::Reply(headed));
    let parted = stream(p, Stays, "stream that waits");
    let (first, rest) = parted.split_at(7);
    let steps = vec![Step::Bytes(first.concat()), Step::Gate, Step::Bytes(rest.concat())];
    fake.plays("canary_gate", Action::Reply(event_stream(steps)));
    let cut = stream(p, Stays, "stream that breaks off");
    let (first, rest) = cut.split_at(9);
    // What was sent may not be thrown away with the connection.
    let pause = Step::Pause(Duration::from_millis(50));
    let half = &rest[0][..rest[0].len() - 20];
    let steps = vec![Step::Bytes(first.concat()), Step::Bytes(half.to_vec()), pause, Step::Reset];
    fake.plays("canary_cut", Action::Reply(event_stream(steps)));
    let mut steps = pieces(&stream(p, Stays, "stream with an error")[..4].concat());
    let said = error(&p.text(Down, "type of an error event"), &p.person(Down, "error event"));
    steps.push(Step::Bytes(sse("error", &said)));
    fake.plays("canary_error_mid", Action::Reply(event_stream(steps)));
    let reply = Reply::json(200, message(p, "message").to_string());
    fake.plays("canary_json", Action::Reply(headers(reply, p, "message")));
    failures(fake, p);
    others(fake, p);
}

/// Headers that an answer may have, and some that it should not.
fn headers(reply: Reply, p: &mut Planted, of: &str) -> Reply {
    let mut reply = reply;
    reply.headers.retain(|(name, _)| name != "request-id");
    for name in [
        "request-id",
        "retry-after",
        "anthropic-organization-id",
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-tokens-reset",
        "x-should-retry",
        "set-cookie",
        "server",
        "via",
        "etag",
        "www-authenticate",
        "x-amzn-errortype",
        "x-weighbridge-exchange-note",
    ] {
        reply = reply.with(name, &p.text(Down, &format!("{of}: header {name} of the answer")));
    }
    reply.with(&format!("x-{}", p.word(Down, &format!("{of}: name of a header"))), "1")
}

/// Usage that can be priced, with a field that is not known.
fn usage(p: &mut Planted, way: Way, of: &str) -> Value {
    json!({"input_tokens": 12, "output_tokens": 34,
        "service_tier": p.text(way, &format!("{of}: service_tier")),
        "inference_geo": p.text(way, &format!("{of}: inference_geo")),
        (p.word(way, &format!("{of}: key in usage"))): p.text(way, &format!("{of}: in usage"))})
}

fn message(p: &mut Planted, of: &str) -> Value {
    let text = |what: &str, p: &mut Planted| p.text(Down, &format!("{of}: {what}"));
    json!({"id": text("id", p), "type": "message", "role": "assistant", "model": text("model", p),
        "content": [
            {"type": "thinking", "thinking": p.person(Down, &format!("{of}: thinking")),
                "signature": text("signature", p)},
            {"type": "text", "text": p.person(Down, &format!("{of}: text")),
                "citations": [{"cited_text": text("citation", p)}]},
            {"type": "tool_use", "id": text("tool_use.id", p), "name": text("tool_use.name", p),
                "input": {"command": p.person(Down, &format!("{of}: tool_use.input")),
                    (p.word(Down, &format!("{of}: key of an input"))): 1}},
            {"type": "tool_use", "id": "toolu_01", "name": "Bash",
                "input": {"command": text("input of Bash", p)}},
            {"type": "server_tool_use", "id": text("server_tool_use.id", p), "name": "web_search",
                "input": {"query": text("query", p)}},
            {"type": (text("type of a block", p)), "data": text("data of a block", p)},
        ],
        "stop_reason": text("stop_reason", p), "stop_sequence": text("stop_sequence", p),
        "stop_details": {"why": text("stop_details", p)}, "container": {"id": text("container", p)},
        "usage": usage(p, Down, of),
        (p.word(Down, &format!("{of}: key"))): text("unknown field", p)})
}

/// The events of a stream. The ninth holds the first half of a tool's input.
fn stream(p: &mut Planted, way: Way, of: &str) -> Vec<Vec<u8>> {
    let text = |what: &str, p: &mut Planted| p.text(way, &format!("{of}: {what}"));
    let start = json!({"type": "message_start", "message": {"id": text("id", p), "type": "message",
        "role": "assistant", "model": MODEL, "content": [], "stop_reason": null,
        "usage": usage(p, way, of)}});
    let delta = |index: u32, delta: Value| {
        let data = json!({"type": "content_block_delta", "index": index, "delta": delta});
        sse("content_block_delta", &data.to_string())
    };
    let block = |index: u32, block: Value| {
        let data = json!({"type": "content_block_start", "index": index, "content_block": block});
        sse("content_block_start", &data.to_string())
    };
    let (one, two) = (text("input, first half", p), text("input, second half", p));
    let unknown = text("name of an event", p);
    let end = json!({"type": "message_delta", "delta": {"stop_reason": text("stop_reason", p),
        "stop_sequence": text("stop_sequence", p)}, "usage": {"output_tokens": 34}});
    let input = |json: String| json!({"type": "input_json_delta", "partial_json": json});
    vec![
        sse("message_start", &start.to_string()),
        block(0, json!({"type": "thinking", "thinking": text("thinking at once", p)})),
        delta(
            0,
            json!({"type": "thinking_delta",
                "thinking": p.person(way, &format!("{of}: thinking"))}),
        ),
        delta(0, json!({"type": "signature_delta", "signature": text("signature", p)})),
        sse(&unknown, &json!({"type": unknown, "hello": text("unknown event", p)}).to_string()),
        format!(": {}\n\nid: {}\n\n", text("comment", p), text("id of an event", p)).into_bytes(),
        format!("data: {{broken {}\n\n", text("broken event", p)).into_bytes(),
        block(1, json!({"type": "tool_use", "id": text("tool_use.id", p), "name": "Bash"})),
        delta(1, input(format!("{{\"command\":\"{one}"))),
        delta(1, input(format!("{two} {}\"}}", text("input, its end", p)))),
        delta(2, json!({"type": "text_delta", "text": p.person(way, &format!("{of}: text"))})),
        delta(3, json!({"type": "citations_delta", "citation": {"url": text("citation", p)}})),
        sse("message_delta", &end.to_string()),
        sse(
            "message_stop",
            &json!({"type": "message_stop", "x": text("at the end", p)}).to_string(),
        ),
    ]
}

fn failures(fake: &Fake, p: &mut Planted) {
    for status in [400, 401, 404, 413, 429, 500, 529] {
        let of = format!("answer {status}");
        let kind = match status {
            529 => "overloaded_error".to_owned(),
            400 => "invalid_request_error".to_owned(),
            _ => p.text(Down, &format!("{of}: type")),
        };
        let said = p.person(Down, &format!("{of}: message"));
        let body = json!({"type": "error", "error": {"type": kind, "message": said,
            "details": p.text(Down, &format!("{of}: details"))},
            "request_id": p.text(Down, &format!("{of}: request_id"))});
        let reply = headers(Reply::json(status, body.to_string()), p, &of);
        fake.plays(&format!("canary_{status}"), Action::Reply(reply));
    }
    let page = format!("<html>{}</html>", p.person(Down, "page of a gateway"));
    let page = headers(Reply::new(502, "text/html", page), p, "page of a gateway");
    fake.plays("canary_502", Action::Reply(page));
    let target = format!("http://{}.example/?q", p.word(Down, "location"));
    let moved = Reply::new(302, "text/plain", "moved").with("location", &target);
    fake.plays("canary_302", Action::Reply(moved));
    let raw = |text: String| Action::Raw(text.into_bytes());
    fake.plays("canary_not_http", raw(format!("220 {} ready\r\n", p.text(Stays, "no HTTP"))));
    let line = p.text(Stays, "name of a header that is none");
    fake.plays("canary_head", raw(format!("HTTP/1.1 200 OK\r\n{line}: x\r\n\r\n")));
    let length = p.text(Stays, "length that is none");
    fake.plays(
        "canary_length",
        raw(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")),
    );
    let size = p.text(Stays, "size of a chunk that is none");
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    fake.plays("canary_chunk", raw(format!("{chunked}{size}\r\n")));
}

fn others(fake: &Fake, p: &mut Planted) {
    let file = json!({"id": p.word(Down, "file: id"), "filename": p.person(Down, "file: name")});
    fake.plays(
        "canary_file",
        Action::Reply(headers(Reply::json(200, file.to_string()), p, "file")),
    );
    let count = json!({"input_tokens": 5, "note": p.person(Down, "count_tokens")});
    fake.plays("canary_count", Action::Reply(Reply::json(200, count.to_string())));
    let made = json!({"id": p.text(Down, "batch: id"), "type": "message_batch",
        "processing_status": p.text(Down, "batch: status"),
        "results_url": p.text(Down, "batch: results_url")});
    fake.plays("canary_batch", Action::Reply(Reply::json(200, made.to_string())));
    let mut lines = String::new();
    for kind in ["succeeded", "errored"] {
        let of = format!("result that {kind}");
        let result = json!({"custom_id": p.word(Down, &format!("{of}: custom_id")),
            "result": {"type": kind, "message": message(p, &of),
                "error": {"type": "error", "error": {"type": p.text(Down, &format!("{of}: error")),
                    "message": p.person(Down, &format!("{of}: message"))}}}});
        lines += &format!("{result}\n");
    }
    lines += &format!("no result {}\n", p.text(Down, "line that is no result"));
    let lines = Reply::new(200, "application/x-jsonl", lines);
    fake.plays("canary_results", Action::Reply(lines));
    let cloud = json!({"message": p.person(Down, "answer of a cloud")});
    let cloud = headers(Reply::json(400, cloud.to_string()), p, "answer of a cloud");
    fake.plays("canary_cloud", Action::Reply(cloud));
}
