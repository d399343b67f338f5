//! Ambiguous and oversized requests: upstream gets nothing, or one clean request.

use std::time::Duration;

use super::Rig;
use super::support::client::{Raw, Request};
use super::support::wire::find;

/// Sends bytes and gives the status of the answer, `None` where the connection just ends.
async fn status(rig: &Rig, bytes: &[u8]) -> Option<u16> {
    let mut raw = Raw::connect(rig.sidecar.address).await;
    raw.send_bytes(bytes).await;
    let answer = tokio::time::timeout(Duration::from_secs(20), raw.try_response());
    answer.await.expect("an answer or an end").map(|response| response.status)
}

/// Requests that two parsers could read in two ways.
fn ambiguous() -> Vec<(&'static str, Vec<u8>)> {
    let post = |headers: &str, body: &str| {
        let head = format!("POST /v1/messages HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        [head.as_bytes(), body.as_bytes()].concat()
    };
    let chunked = "Transfer-Encoding: chunked\r\n";
    let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    vec![
        ("both", post(&format!("Content-Length: 5\r\n{chunked}"), smuggled)),
        ("both, other order", post(&format!("{chunked}Content-Length: 5\r\n"), smuggled)),
        ("two lengths", post("Content-Length: 2\r\nContent-Length: 3\r\n", "{}x")),
        ("two lengths in one", post("Content-Length: 2, 3\r\n", "{}x")),
        ("signed length", post("Content-Length: +2\r\n", "{}")),
        ("negative length", post("Content-Length: -2\r\n", "{}")),
        ("hexadecimal length", post("Content-Length: 0x2\r\n", "{}")),
        ("length overflow", post("Content-Length: 99999999999999999999999\r\n", "{}")),
        ("folded header", post("X-A: b\r\n c\r\nContent-Length: 2\r\n", "{}")),
        ("blank before the colon", post("Content-Length : 2\r\n", "{}")),
        ("chunked twice", post("Transfer-Encoding: chunked, chunked\r\n", smuggled)),
        ("chunked not last", post("Transfer-Encoding: chunked, gzip\r\n", smuggled)),
        ("unknown coding", post("Transfer-Encoding: xchunked\r\n", smuggled)),
        ("chunk size overflow", post(chunked, "fffffffffffffffff\r\n{}\r\n0\r\n\r\n")),
        ("chunk size signed", post(chunked, "+2\r\n{}\r\n0\r\n\r\n")),
        ("chunk without its end", post(chunked, "2\r\n{}XX0\r\n\r\n")),
        ("chunk extension", {
            let long = "x".repeat(1 << 20);
            post(chunked, &format!("2;{long}\r\n{{}}\r\n0\r\n\r\n"))
        }),
        ("NUL in a value", post("X-A: b\0c\r\nContent-Length: 2\r\n", "{}")),
        ("CR in a value", post("X-A: b\rc\r\nContent-Length: 2\r\n", "{}")),
        ("a name with a blank", post("X A: b\r\nContent-Length: 2\r\n", "{}")),
        ("a bare LF", b"POST /v1/messages HTTP/1.1\nHost: x\nContent-Length: 2\n\n{}".to_vec()),
        ("two hosts", post("Host: y\r\nContent-Length: 2\r\n", "{}")),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("HTTP/3.0", b"GET / HTTP/3.0\r\nHost: x\r\n\r\n".to_vec()),
        ("a tunnel", b"CONNECT example.test:443 HTTP/1.1\r\nHost: example.test\r\n\r\n".to_vec()),
    ]
}

#[tokio::test]
async fn ambiguous_framing_never_reaches_the_api() {
    for (name, bytes) in ambiguous() {
        let rig = Rig::new("").await;
        let is_cut_short = name == "no HTTP";
        if is_cut_short {
            // Not a whole head: the sidecar may rightly wait for more.
            let mut raw = Raw::connect(rig.sidecar.address).await;
            raw.send_bytes(&bytes).await;
        } else if let Some(status) = status(&rig, &bytes).await {
            let seen = rig.fake.seen();
            assert!((400..600).contains(&status) || seen.len() == 1, "{name}: {status}, {seen:?}");
        }
        let seen = rig.fake.seen();
        assert!(seen.len() <= 1, "{name}: {seen:?}");
        for seen in seen {
            let lengths = seen.head.headers.iter().filter(|(n, _)| {
                let framing = ["content-length", "transfer-encoding"];
                framing.contains(&n.to_ascii_lowercase().as_str())
            });
            assert!(lengths.count() <= 1, "{name}: {:?}", seen.head);
            assert_ne!(seen.target, "/smuggled", "{name}");
            assert!(find(&seen.body, b"smuggled").is_none(), "{name}: {:?}", seen.body);
            assert!(find(&seen.head.raw, b"\n ").is_none(), "{name}: a folded header went on");
            assert!(find(&seen.head.raw, b"\0").is_none(), "{name}: NUL went on");
        }
        // Whatever it was, the next client is served.
        assert_eq!(rig.call(&Request::plain("next")).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn a_host_is_needed_and_heads_have_a_bound() {
    let rig = Rig::new("").await;
    let no_host = Request::plain("x").without("host");
    assert_eq!(rig.call(&no_host).await.status, 400);
    for (name, bytes) in [
        ("one long value", format!("X-A: {}\r\n", "a".repeat(80 * 1024))),
        ("many", (0..900).map(|i| format!("X-{i}: {}\r\n", "a".repeat(90))).collect()),
        ("a thousand short ones", (0..2000).map(|i| format!("X-{i}: a\r\n")).collect()),
    ] {
        let head = format!("GET /v1/models HTTP/1.1\r\nHost: x\r\n{bytes}\r\n");
        assert_eq!(status(&rig, head.as_bytes()).await, Some(431), "{name}");
    }
    assert_eq!(rig.fake.count(), 0, "nothing was sent on");
    let long = Request::plain("x").header("X-Long", &"a".repeat(40 * 1024));
    assert_eq!(rig.call(&long).await.status, 200, "40 KiB are no offence");
}

#[tokio::test]
async fn a_target_with_a_host_in_it_goes_to_the_api_and_nowhere_else() {
    let rig = Rig::new("").await;
    let request =
        Request { target: "http://evil.test/v1/models".into(), ..Request::new("GET", "") };
    let response = rig.call(&request).await;
    if let Some(seen) = rig.fake.seen().first() {
        assert_eq!(seen.target, "/v1/models");
        assert_eq!(seen.head.get("host"), Some(rig.fake.url.trim_start_matches("http://")));
    } else {
        assert!((400..500).contains(&response.status));
    }
}

#[tokio::test]
async fn slow_heads_do_not_hold_others_up() {
    let rig = Rig::new("").await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut raw = Raw::connect(rig.sidecar.address).await;
        raw.send_bytes(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-Slow").await;
        slow.push(raw);
    }
    assert_eq!(rig.call(&Request::plain("quick")).await.status, 200);
    // Bodies that never end do not either.
    for _ in 0..50 {
        let mut raw = Raw::connect(rig.sidecar.address).await;
        let head = "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
        raw.send_bytes(head.as_bytes()).await;
        slow.push(raw);
    }
    assert_eq!(rig.call(&Request::plain("quick")).await.status, 200);
    assert_eq!(rig.fake.count(), 2, "half a request is not sent on");
}
