//! What goes through comes out unchanged: the relay, seen from both sides of the real binary.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "tests measure time and run their own tasks")]

mod departure;
mod framing;
#[path = "../support/mod.rs"]
mod support;
mod transport;

use support::api::{Fake, Seen};
use support::client::{Raw, Request, Response};
use support::sidecar::{Options, Sidecar, Site};
use support::wire::{End, Head};

/// A fake API and a sidecar in front of it.
struct Rig {
    site: Site,
    fake: Fake,
    sidecar: Sidecar,
}

impl Rig {
    async fn new(config: &str) -> Rig {
        let (site, fake) = (Site::new(), Fake::start("basic").await);
        let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(config));
        Rig { site, fake, sidecar }
    }

    async fn call(&self, request: &Request) -> Response {
        self.sidecar.call(request).await
    }
}

/// Header fields in a comparable form, without those that belong to one hop or that are named.
fn fields(headers: &[(String, String)], without: &[&str]) -> Vec<(String, String)> {
    let mut fields: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .filter(|(name, _)| name != "connection" && !without.contains(&name.as_str()))
        .collect();
    fields.sort();
    fields
}

/// The API got exactly what the client sent, and the client exactly what the API answered.
#[track_caller]
fn assert_untouched(request: &Request, seen: &Seen, response: &Response) {
    assert_eq!((&seen.method, &seen.target), (&request.method, &request.target));
    assert_eq!(seen.body, request.body, "the request's body");
    let length = ("content-length".to_owned(), request.body.len().to_string());
    let mut sent = request.headers.clone();
    if !request.body.is_empty() || request.method == "POST" {
        sent.push(length);
    }
    assert_eq!(fields(&seen.head.headers, &["host"]), fields(&sent, &["host"]));
    let answered = Head::parse(seen.sent_head.clone().into_bytes());
    assert_eq!(
        fields(&response.head.headers, &["x-weighbridge-exchange"]),
        fields(&answered.headers, &[])
    );
    if request.method != "HEAD" {
        assert_eq!(response.body, seen.sent, "the response's body");
    }
    assert!(!response.exchange().is_empty());
}

/// Scenarios whose answer ends as its framing says, with the status the client gets.
const WHOLE: [(&str, u16); 29] = [
    ("basic", 200),
    ("plain", 200),
    ("burst", 200),
    ("subagent", 200),
    ("e429", 429),
    ("e529", 529),
    ("e400", 400),
    ("e401", 401),
    ("e402", 402),
    ("e403", 403),
    ("e404", 404),
    ("e413", 413),
    ("e500", 500),
    ("e502", 502),
    ("e503", 503),
    ("html", 200),
    ("error_mid", 200),
    ("error_early", 200),
    ("error_api", 200),
    ("cut_clean", 200),
    ("garbage", 200),
    ("unknown_event", 200),
    ("json_for_stream", 200),
    ("websearch", 200),
    ("refusal", 200),
    ("maxtok", 200),
    ("split", 200),
    ("crlf", 200),
    ("redirect", 302),
];

#[tokio::test]
async fn every_answer_comes_through_byte_for_byte() {
    let rig = Rig::new("").await;
    for (scenario, status) in WHOLE {
        for streamed in [true, false] {
            let request = Request::messages(scenario, streamed);
            let response = rig.call(&request).await;
            let seen = rig.fake.last();
            assert_untouched(&request, &seen, &response);
            if streamed {
                assert_eq!(response.status, status, "{scenario}");
            }
            let clean = response.end == End::Clean;
            let may_abort = ["cut_clean", "error_mid", "error_early", "error_api"];
            assert!(clean || may_abort.contains(&scenario), "{scenario}: {:?}", response.end);
        }
    }
}

#[tokio::test]
async fn every_encoding_comes_through_byte_for_byte() {
    let rig = Rig::new("").await;
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        rig.fake.encoding(Some(encoding));
        for streamed in [true, false] {
            let offer = "gzip, deflate, br, zstd";
            let request = Request::messages("basic", streamed).header("Accept-Encoding", offer);
            let response = rig.call(&request).await;
            assert_untouched(&request, &rig.fake.last(), &response);
            assert_eq!(response.header("content-encoding"), Some(encoding));
            let usage = &rig.site.exchange(&response.exchange())["usage"];
            assert_eq!(usage["output_tokens"], 74, "{encoding}, streamed: {streamed}");
        }
    }
}

#[tokio::test]
async fn other_forms_and_unknown_paths_come_through() {
    let rig = Rig::new("").await;
    let vertex = "/v1/projects/p/locations/r/publishers/anthropic/models/claude-opus-5-5";
    let body = Request::messages("basic", true).body;
    for (method, target) in [
        ("POST", "/v1/messages/count_tokens?beta=true".to_owned()),
        ("GET", "/v1/models?limit=1000".to_owned()),
        ("POST", "/model/us.anthropic.claude-opus-5-5/invoke".to_owned()),
        ("POST", "/model/us.anthropic.claude-opus-5-5/invoke-with-response-stream".to_owned()),
        ("POST", format!("{vertex}:rawPredict")),
        ("POST", format!("{vertex}:streamRawPredict")),
        ("GET", "/inference-profiles?type=SYSTEM_DEFINED".to_owned()),
        ("HEAD", "/api/hello".to_owned()),
        ("POST", "/v9/something/new?q=%20a&b=%2Fc&&d".to_owned()),
        ("DELETE", "/v1/messages/batches/msgbatch_1".to_owned()),
        ("PATCH", "/v1/a//b;c=d/%7Euser".to_owned()),
        ("GET", "/bytes/3000000".to_owned()),
    ] {
        let mut request = Request::new(method, &target).header("x-api-key", "sk-ant-test-fake");
        if method == "POST" {
            request = request.header("content-type", "application/json").body(&body);
        }
        let response = rig.call(&request).await;
        assert_untouched(&request, &rig.fake.last(), &response);
    }
}

#[tokio::test]
async fn bodies_of_every_framing_arrive_whole() {
    let rig = Rig::new("").await;
    let mut raw = Raw::connect(rig.sidecar.address).await;
    let head = "POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = Request::plain("chunked").body;
    let (one, two) = body.split_at(10);
    let mut bytes = head.as_bytes().to_vec();
    for piece in [one, two] {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    raw.send_bytes(&bytes).await;
    assert_eq!(raw.response().await.status, 200);
    assert_eq!(rig.fake.last().body, body);
    // The same connection goes on, and 100-continue is honoured.
    let request = Request::plain("expected").header("Expect", "100-continue");
    let all = request.bytes();
    let (head, rest) = all.split_at(all.len() - request.body.len());
    raw.send_bytes(head).await;
    let go_on = raw.head().await.expect("a head");
    assert!(go_on.line.contains(" 100 "), "{}", go_on.line);
    raw.send_bytes(rest).await;
    assert_eq!(raw.response().await.status, 200);
    assert_eq!(rig.fake.last().body, request.body);
}

#[tokio::test]
async fn a_large_body_comes_through_and_a_larger_one_is_refused() {
    let rig = Rig::new("").await;
    let text = "é".repeat(8 * 1024 * 1024);
    let request = Request::plain(&text);
    let response = rig.call(&request).await;
    assert_eq!(response.status, 200);
    assert_untouched(&request, &rig.fake.last(), &response);
    let before = rig.fake.count();
    for request in [
        Request::plain(&"x".repeat(32 * 1024 * 1024 + 1)),
        Request::plain("").header("Content-Length", "40000000").body(b""),
    ] {
        let mut raw = Raw::connect(rig.sidecar.address).await;
        let bytes = request.bytes();
        // Of the second only the head: the length it names is enough.
        let mut head = bytes.clone();
        if request.body.is_empty() {
            let text = String::from_utf8(bytes).unwrap().replace("Content-Length: 0\r\n", "");
            head = text.into_bytes();
        }
        raw.send_bytes(&head).await;
        let response = raw.response().await;
        assert_eq!((response.status, response.error_type()), (413, "request_too_large".into()));
    }
    assert_eq!(rig.fake.count(), before, "nothing was sent on");
}

#[tokio::test]
async fn a_stream_that_is_not_metered_has_no_limit() {
    let rig = Rig::new("").await;
    let mut raw = Raw::connect(rig.sidecar.address).await;
    raw.send(&Request::new("GET", "/unending")).await;
    assert!(raw.head().await.is_some_and(|head| head.line.contains("200")));
    raw.skip(200 * 1024 * 1024).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", rig.sidecar.pid())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 128 * 1024, "{kilobytes} kB resident after 200 MiB");
}

#[tokio::test]
async fn our_own_headers_do_not_go_on() {
    let rig = Rig::new("").await;
    let request = Request::messages("basic", false)
        .header("x-weighbridge-project", "apollo")
        .header("X-Weighbridge-Tag-Ticket", "T-1")
        .header("x-weighbridge-anything", "else");
    let response = rig.call(&request).await;
    let names = rig.fake.last().head.names();
    assert!(!names.iter().any(|name| name.starts_with("x-weighbridge")), "{names:?}");
    for added in ["via", "forwarded", "x-forwarded-for", "x-forwarded-host", "traceparent"] {
        assert!(!names.iter().any(|name| name == added), "{added} was added");
    }
    assert_eq!(response.header("date"), None, "the API sent none");
    let own = response.head.names().into_iter().filter(|name| name.starts_with("x-weighbridge"));
    assert_eq!(own.collect::<Vec<_>>(), ["x-weighbridge-exchange"]);
}

#[tokio::test]
async fn headers_of_one_hop_stay_on_it() {
    let rig = Rig::new("").await;
    let request = Request::messages("basic", false)
        .header("Connection", "keep-alive, X-One-Hop")
        .header("X-One-Hop", "secret")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Authorization", "Basic AAAA")
        .header("TE", "trailers")
        .header("Upgrade", "h2c")
        .header("X-Two-Values", "one")
        .header("X-Two-Values", "two");
    let response = rig.call(&request).await;
    assert_eq!(response.status, 200);
    let seen = rig.fake.last();
    for name in ["x-one-hop", "keep-alive", "proxy-authorization", "te", "upgrade"] {
        assert_eq!(seen.head.get(name), None, "{name}");
    }
    let twice = seen.head.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case("x-two-values"));
    assert_eq!(twice.map(|(_, v)| v.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(seen.head.get("host"), Some(rig.fake.url.trim_start_matches("http://")));
}

#[tokio::test]
async fn one_connection_carries_many_calls() {
    let rig = Rig::new("").await;
    let mut raw = Raw::connect(rig.sidecar.address).await;
    let scenarios = ["burst", "e529", "no_content", "burst", "e400", "burst"];
    for scenario in scenarios.iter().cycle().take(60) {
        raw.send(&Request::messages(scenario, true)).await;
        assert_eq!(raw.response().await.end, End::Clean, "{scenario}");
    }
    assert_eq!(rig.fake.count(), 60);
    // A connection is back in the pool a moment after the client has its answer: a client that asks
    // again within that moment gets a second one, and that is kept too.
    assert!(rig.fake.connections().0 <= 3, "upstream connections are kept");
    // Two at once: answered in order, not mixed.
    let both = [Request::plain("one"), Request::messages("burst", true)];
    raw.send_bytes(&both.map(|request| request.bytes()).concat()).await;
    let (first, second) = (raw.response().await, raw.response().await);
    assert_eq!(first.json()["usage"]["output_tokens"], 1);
    assert!(String::from_utf8_lossy(&second.body).contains("message_stop"));
}
