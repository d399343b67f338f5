//! The fake API does what its scenarios say. The other tests rest on that.
#![cfg(test)]

mod support;

use serde_json::Value;
use support::api::{Ended, Fake};
use support::client::{Raw, Request, Response, call};
use support::message::Figures;
use support::wire::End;
use support::{encoding, eventstream, eventually};

async fn one(scenario: &str, streamed: bool) -> (Fake, Response) {
    let fake = Fake::start("basic").await;
    let response = call(fake.address, &Request::messages(scenario, streamed)).await;
    (fake, response)
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

#[tokio::test]
async fn plays_a_conversation_and_keeps_every_byte() {
    let (fake, response) = one("basic", true).await;
    let seen = fake.last();
    assert_eq!((response.status, &response.end), (200, &End::Clean));
    assert_eq!(seen.sent, response.body);
    assert_eq!(seen.body, Request::messages("basic", true).body);
    assert!(seen.head.headers.iter().any(|(n, v)| n == "X-Api-Key" && v == "sk-ant-test-fake"));
    let text = text(&response);
    assert!(text.starts_with("event: message_start\ndata: {\"type\":\"message_start\""), "{text}");
    assert!(text.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"), "{text}");
    let mut count = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        serde_json::from_str::<Value>(line).expect("every event is JSON");
        count += 1;
    }
    assert!(count > 15);
    assert_eq!(fake.billed(), Figures::new(4, 11_000, 1_200, 0, 74));
    let (_, whole) = one("basic", false).await;
    assert_eq!(whole.json()["usage"]["cache_creation"]["ephemeral_1h_input_tokens"], 1_200);
    assert_eq!(whole.json()["stop_reason"], "tool_use");
}

#[tokio::test]
async fn fails_first_and_then_behaves() {
    let fake = Fake::start("e529").await;
    let request = Request::messages("e529", true);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(call(fake.address, &request).await.status);
    }
    assert_eq!(statuses, [529, 529, 200]);
    for (scenario, status) in [
        ("e429", 429),
        ("e500", 500),
        ("e502", 502),
        ("e400", 400),
        ("e401", 401),
        ("e402", 402),
        ("e403", 403),
        ("redirect", 302),
        ("no_content", 204),
        ("json_for_stream", 200),
    ] {
        assert_eq!(one(scenario, true).await.1.status, status, "{scenario}");
    }
}

#[tokio::test]
async fn cuts_where_it_should() {
    for (scenario, contains, end) in [
        ("cut_fin", "content_block_start", End::Truncated),
        ("cut_clean", "content_block_start", End::Clean),
        ("error_mid", "overloaded_error", End::Clean),
        ("error_early", "overloaded_error", End::Clean),
        ("error_api", "api_error", End::Clean),
    ] {
        let (_, response) = one(scenario, true).await;
        assert_eq!(response.end, end, "{scenario}");
        let text = text(&response);
        assert!(text.contains(contains) && !text.contains("message_stop"), "{scenario}: {text}");
    }
    for scenario in ["cut", "cut_early", "cut_tool", "cut_half"] {
        let (_, response) = one(scenario, true).await;
        assert!(matches!(response.end, End::Aborted(_)), "{scenario}: {:?}", response.end);
    }
    let fake = Fake::start("reset_before").await;
    let mut raw = Raw::connect(fake.address).await;
    raw.send(&Request::messages("reset_before", true)).await;
    assert!(raw.try_response().await.is_none());
}

#[tokio::test]
async fn tears_and_decorates() {
    assert!(text(&one("garbage", true).await.1).contains("data: {not json"));
    assert!(text(&one("unknown_event", true).await.1).contains("x_future_event"));
    assert!(text(&one("crlf", true).await.1).contains("\r\n\r\n"));
    let (fake, torn) = one("split", true).await;
    let (_, whole) = one("burst", true).await;
    assert_eq!((torn.body.len(), torn.end), (whole.body.len(), End::Clean));
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn encodes() {
    for name in ["gzip", "deflate", "br", "zstd"] {
        for streamed in [true, false] {
            let fake = Fake::start("basic").await;
            fake.encoding(Some(name));
            let response = call(fake.address, &Request::messages("basic", streamed)).await;
            assert_eq!(response.header("content-encoding"), Some(name));
            assert_eq!(response.body, fake.last().sent);
            let decoded = encoding::decode(name, &response.body);
            assert!(String::from_utf8(decoded).unwrap().contains("toolu_01FAKE"), "{name}");
        }
    }
}

#[tokio::test]
async fn frames_for_bedrock_and_events_for_vertex() {
    let fake = Fake::start("basic").await;
    let body = Request::messages("basic", true).body;
    let target = "/model/us.anthropic.claude-opus-5-5/invoke-with-response-stream";
    let bedrock = call(fake.address, &Request::new("POST", target).body(&body)).await;
    let mut rest = bedrock.body.as_slice();
    let mut frames = 0;
    while !rest.is_empty() {
        let (payload, tail) = eventstream::split(rest).expect("both CRCs hold");
        assert!(payload.starts_with(b"{\"bytes\":\"eyJ0eXBlIjoi"), "base64 of {{\"type\":\"");
        (rest, frames) = (tail, frames + 1);
    }
    assert!(frames > 10);
    let target = "/v1/projects/p/locations/r/publishers/anthropic/models/claude-opus-5-5";
    let request = |verb| Request::new("POST", &format!("{target}:{verb}")).body(&body);
    let vertex = call(fake.address, &request("streamRawPredict")).await;
    assert!(text(&vertex).contains("\"model\":\"claude-opus-5-5\""));
    assert_eq!(call(fake.address, &request("rawPredict")).await.json()["type"], "message");
}

#[tokio::test]
async fn notices_a_departure_and_keeps_a_gate() {
    let fake = Fake::start("gate").await;
    let mut raw = Raw::connect(fake.address).await;
    raw.send(&Request::messages("gate", true)).await;
    raw.read_until(b"event: ping").await;
    assert_eq!(fake.last().ended, Ended::NotYet);
    fake.open_gate();
    assert_eq!(raw.response().await.end, End::Clean);
    raw.send(&Request::messages("stall", true)).await;
    raw.read_until(b"event: ping").await;
    drop(raw);
    let left = || (fake.last().ended == Ended::PeerLeft).then_some(());
    eventually("the fake notices that the client left", left).await;
}
