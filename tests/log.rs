//! What the sidecar says on standard error: lines that machines and people can read, no content,
//! no secrets, not too many; and how much, changed while it runs.
#![cfg(test)]

mod support;

use serde_json::Value;
use support::api::Fake;
use support::client::{Raw, Request};
use support::eventually;
use support::sidecar::{Options, Sidecar, Site};

/// The lines so far, each one JSON object.
fn lines(sidecar: &Sidecar) -> Vec<Value> {
    let said = sidecar.said();
    said.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn with<'l>(lines: &'l [Value], message: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["message"] == message).collect()
}

const CLOSED: &str = "an exchange closed";
const CHANGED: &str = "the log level changes";

/// What must be in no line, wherever it was in the request.
const CANARIES: [&str; 7] = [
    "canary-header",
    "canary-credential",
    "canary-body",
    "canary-path",
    "canary-query",
    "canary-answer",
    "upstream-canary",
];

fn with_canaries(target: &str, scenario: &str) -> Request {
    let body = serde_json::json!({"model": "claude-opus-5-5", "max_tokens": 9, "stream": true,
        "messages": [{"role": "user", "content": "canary-body"}],
        "system": "canary-body", "tools": [{"name": "canary-body"}]});
    Request::json(target, &body)
        .without("x-api-key")
        .header("x-api-key", "sk-ant-canary-credential")
        .header("cookie", "session=canary-header")
        .header("x-anything", "canary-header")
        .header("x-fake-scenario", scenario)
}

#[tokio::test]
async fn no_secret_is_logged_at_the_most_talkative_setting() {
    for http2 in [false, true] {
        let protocols: &[&str] = if http2 { &["h2"] } else { &["http/1.1"] };
        let fake = Fake::start_tls("steady", protocols).await;
        let mut site = Site::new();
        let ca = site.file("ca.pem", fake.certificate.as_ref().unwrap());
        site.env("RUST_LOG", "trace,hyper=trace,hyper_util=trace,h2=trace,rustls=trace,[]=trace");
        site.env("CANARY_KEY", "sk-ant-upstream-canary");
        let key = site.add_key(&["--team", "search"]);
        let upstream = "[upstream]\nkey = \"env:CANARY_KEY\"\n";
        let config = format!("{upstream}ca_file = \"{}\"\n", ca.display());
        let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(&config));
        let target = "/v1/messages?beta=canary-query";
        for scenario in ["steady", "e400", "e529", "cut", "error_mid"] {
            sidecar.call(&with_canaries(target, scenario)).await;
        }
        let virtual_key =
            with_canaries(target, "steady").without("x-api-key").header("x-api-key", &key);
        assert_eq!(sidecar.call(&virtual_key).await.status, 200);
        for target in ["/canary-path/x?y=canary-query", "/echo?canary-query"] {
            sidecar.call(&with_canaries(target, "steady")).await;
        }
        let mut raw = Raw::connect(sidecar.address).await;
        raw.send_bytes(b"GET /canary-path HTTP/9.9 canary-header\r\n\r\n").await;
        let _ = raw.is_closed().await;
        drop(fake);
        // Nobody is there any more: what is said of that holds no address with a secret either.
        sidecar.call(&with_canaries("/canary-path?canary-query", "steady")).await;
        let said = sidecar.said();
        for canary in CANARIES.iter().copied().chain([key.as_str(), "wbk_"]) {
            assert!(!said.contains(canary), "{canary} is in the log:\n{said}");
        }
        let lines = lines(&sidecar);
        assert!(with(&lines, CLOSED).len() >= 8, "debug lines of our own are there: {said}");
        let foreign = |line: &&Value| {
            let ours = line["target"].as_str().unwrap().starts_with("weighbridge");
            !ours && !matches!(line["level"].as_str(), Some("warn" | "error"))
        };
        let foreign: Vec<&Value> = lines.iter().filter(foreign).collect();
        assert!(foreign.is_empty(), "{foreign:?}");
    }
}

#[tokio::test]
async fn lines_have_stable_names_and_one_place_does_not_flood() {
    let fake = Fake::start("plain").await;
    let site = Site::new();
    let options = Options::to(&fake.url).config("[log]\nlevel = \"debug\"\n");
    let sidecar = Sidecar::start(&site, &options);
    for _ in 0..50 {
        assert_eq!(sidecar.call(&Request::plain("hello")).await.status, 200);
    }
    let told = || {
        let lines = lines(&sidecar);
        lines.iter().find(|line| line["left_out"] == 30).cloned()
    };
    let told = eventually("the lines that were left out are told", told).await;
    assert_eq!(told["level"], "debug", "{told}");
    let lines = lines(&sidecar);
    let closed = with(&lines, CLOSED);
    assert_eq!(closed.len(), 20, "in ten seconds");
    let line = closed[0];
    for name in ["timestamp", "level", "message", "target", "instance", "boot", "exchange"] {
        assert!(line[name].is_string(), "{name} in {line}");
    }
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    assert_eq!((&line["status"], &line["outcome"]), (&200.into(), &"completed".into()));
    let metrics = sidecar.metrics().await;
    let left_out = metrics.sum("weighbridge_log_suppressed_total", &["level=\"debug\""]);
    assert_eq!(left_out, 30.0);
}

#[tokio::test]
async fn the_level_is_changed_while_it_runs_and_goes_back() {
    let fake = Fake::start("plain").await;
    let site = Site::new();
    let data = site.data.to_str().unwrap().to_owned();
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    eventually("it says what is in force", || {
        let output = site.run(&["log", "--data-dir", &data]);
        output.status.success().then_some(())
    })
    .await;
    assert_eq!(site.ok(&["log"]), "info (from log.level)\n");
    sidecar.call(&Request::plain("a")).await;
    assert!(with(&lines(&sidecar), CLOSED).is_empty(), "not at info");

    assert_eq!(site.ok(&["log", "debug"]), "debug (from command)\n");
    sidecar.call(&Request::plain("b")).await;
    assert_eq!(with(&lines(&sidecar), CLOSED).len(), 1);
    assert_eq!(site.ok(&["log", "default"]), "info (from log.level)\n");

    let said = site.ok(&["log", "debug", "--for", "3s"]);
    assert!(said.starts_with("debug (from command, until 20") && said.ends_with("Z)\n"), "{said}");
    let back = || (site.ok(&["log"]) == "info (from log.level)\n").then_some(());
    eventually("it goes back", back).await;
    sidecar.call(&Request::plain("c")).await;
    let lines = lines(&sidecar);
    assert_eq!(with(&lines, CLOSED).len(), 1);
    let changes: Vec<(&Value, &Value)> =
        with(&lines, CHANGED).iter().map(|line| (&line["from"], &line["to"])).collect();
    let (info, debug) = (&Value::from("info"), &Value::from("debug"));
    assert_eq!(changes, [(info, debug), (debug, info), (info, debug), (debug, info)]);

    for wrong in [&["log", "loud"][..], &["log", "debug", "--for", "soon"], &["log", "--for", "1s"]]
    {
        let output = site.run(&[wrong, &["--data-dir", &data]].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
    sidecar.stop();
    for nobody in [&["log"][..], &["log", "debug"]] {
        let output = site.run(&[nobody, &["--data-dir", &data]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("no sidecar runs on"), "{said}");
    }
    assert!(!site.data.join("log.wanted").exists(), "nobody finds it later");
}

#[tokio::test]
async fn people_get_text_and_a_variable_sets_the_level() {
    let fake = Fake::start("plain").await;
    let mut site = Site::new();
    site.env("WEIGHBRIDGE_LOG_FORMAT", "text");
    site.env("WEIGHBRIDGE_LOG_LEVEL", "warn");
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    assert_eq!(sidecar.said(), "", "nothing to warn of");
    site.ok(&["log", "info"]);
    let said = sidecar.said();
    let line = said.trim_end();
    assert!(line.ends_with("Z warn  the log level changes  from=warn  to=info"), "{said}");
    assert!(!said.contains('\u{1b}'), "no colours where there is no terminal: {said}");
}
