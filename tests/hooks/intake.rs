//! Posts as clients, pages in browsers and attackers send them.

use std::path::Path;

use serde_json::{Value, json};

use super::support::api::Fake;
use super::support::client::{self, Request};
use super::support::hooks::{post, send};
use super::support::sidecar::{Options, Sidecar, Site};

/// The bodies of all entries of a kind.
pub fn entries(site: &Site, kind: &str) -> Vec<Value> {
    let lines = site.ledger_lines().into_iter();
    let values = lines.map(|line| serde_json::from_slice::<Value>(&line).unwrap());
    values.filter(|line| line["kind"] == kind).map(|line| line["body"].clone()).collect()
}

/// Every body that was captured from Claude Code, and one for each event that was not.
fn every_event() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hooks");
    let mut found = Vec::new();
    let paths = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let mut names: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "json")).collect();
    names.sort();
    for path in names {
        let value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        if path.file_stem().unwrap() == "_fields_2.1.330" {
            for fields in value.as_object().unwrap().values() {
                let Some(name) = fields["hook_event_name"].as_str() else { continue };
                let name = name.trim_matches('\'');
                found.push((
                    name.to_owned(),
                    json!({
                        "session_id": "fields", "cwd": "/srv/project", "hook_event_name": name,
                        "a_future_field": {"deep": [1, 2]},
                    }),
                ));
            }
        } else {
            found.push((value["hook_event_name"].as_str().unwrap().to_owned(), value));
        }
    }
    found.push(("AFutureEvent".to_owned(), json!({"hook_event_name": "AFutureEvent"})));
    found
}

#[tokio::test]
async fn every_event_is_answered_when_it_is_in_the_ledger() {
    let fake = Fake::start("steady").await;
    let site = Site::new();
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let mut kinds = std::collections::BTreeSet::new();
    for (name, event) in every_event() {
        let answer = send(&sidecar, &post(&sidecar, event.to_string().as_bytes())).await;
        assert_eq!((answer.status, answer.json()), (200, json!({})), "{name}");
        let sequence: usize = answer.header("x-weighbridge-sequence").unwrap().parse().unwrap();
        let line: Value = serde_json::from_slice(&site.ledger_lines()[sequence]).unwrap();
        assert_eq!((&line["kind"], &line["body"]["event"]), (&"hook".into(), &name.clone().into()));
        kinds.insert(name);
    }
    assert_eq!(kinds.len(), 34, "the 33 events of Claude Code 2.1.330 and one more: {kinds:?}");
    let metrics = sidecar.metrics().await;
    let all = metrics.sum("claude_hook_events_total", &["result=\"recorded\""]);
    assert_eq!(all as usize, every_event().len());
    let other = metrics.sum("claude_hook_events_total", &["event=\"other\""]);
    assert_eq!(other, 1.0, "an unknown name is no label");
    sidecar.stop();
}

#[tokio::test]
async fn nothing_of_what_was_said_is_written_down() {
    let fake = Fake::start("steady").await;
    let site = Site::new();
    let sidecar =
        Sidecar::start(&site, &Options::to(&fake.url).config("[log]\nlevel = \"trace\"\n"));
    let canary = |name: &str| format!("canary {name}");
    let mut event =
        json!({"session_id": "s", "hook_event_name": "PostToolUse", "tool_use_id": "toolu_1"});
    for field in [
        "cwd",
        "transcript_path",
        "prompt",
        "message",
        "delta",
        "error",
        "last_assistant_message",
        "compact_summary",
        "title",
        "file_path",
        "command_args",
        "url",
        "task_subject",
        "reason",
        "a_future_field",
        "tool_name",
        "agent_type",
        "permission_mode",
    ] {
        event[field] = canary(field).into();
    }
    event["tool_input"] = json!({"command": canary("input"), "canary key": 1});
    event["tool_response"] = json!({"stdout": canary("output"), "list": [canary("list")]});
    event["tool_calls"] = json!([{"tool_use_id": canary("id"), "tool_response": canary("batch")}]);
    event["mcp_server"] = json!({"name": canary("server"), "source": canary("source")});
    let answer = send(&sidecar, &post(&sidecar, event.to_string().as_bytes())).await;
    assert_eq!(answer.status, 200);
    let broken = send(&sidecar, &post(&sidecar, b"{\"hook_event_name\": \"canary broken")).await;
    assert_eq!(broken.status, 400);
    assert!(!String::from_utf8_lossy(&broken.body).contains("canary"));
    assert!(!sidecar.said().contains("canary"), "{}", sidecar.said());
    let mut files = Vec::new();
    super::support::sidecar::files(&site.data, &mut files);
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("canary"), "{}", file.display());
    }
    let hook = &entries(&site, "hook")[0];
    assert_eq!(hook["input"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(hook["tools"][0]["output"]["bytes"], canary("batch").len() + 2);
    sidecar.stop();
}

#[tokio::test]
async fn what_is_not_an_event_is_refused_and_leaves_nothing() {
    let fake = Fake::start("steady").await;
    let site = Site::new();
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let event = br#"{"hook_event_name":"Stop","session_id":"s"}"#;
    let good = || post(&sidecar, event);
    let deep =
        format!("{{\"hook_event_name\":\"Stop\",\"x\":{}{}}}", "[".repeat(9000), "]".repeat(9000));
    let long = format!("{{\"hook_event_name\":\"Stop\",\"x\":\"{}\"}}", "x".repeat(1024 * 1024));
    let cases = [
        ("token", 401, good().without("Authorization")),
        ("token", 401, good().without("Authorization").header("Authorization", "Bearer wrong")),
        ("token", 401, good().without("Authorization").header("Authorization", "Bearer ")),
        ("origin", 403, good().header("Origin", "http://evil.example")),
        ("origin", 403, good().header("Origin", "null")),
        ("origin", 403, good().without("Host").header("Host", "evil.example")),
        ("content_type", 415, good().without("Content-Type").header("Content-Type", "text/plain")),
        ("content_type", 415, good().without("Content-Type")),
        ("method", 405, Request { method: "PUT".to_owned(), ..good() }),
        ("too_large", 413, good().body(long.as_bytes())),
        ("malformed", 400, good().body(deep.as_bytes())),
        ("malformed", 400, good().body(b"{\"hook_event_name\":\"Stop\",\"x\":\"\xff\"}")),
        ("malformed", 400, good().body(b"{\"hook_event_name\":\"Stop\"} {}")),
        ("malformed", 400, good().body(b"{\"hook_event_name\":\"Stop\",\"a\":{\"b\":1,\"b\":2}}")),
        ("malformed", 400, good().body(b"[1]")),
        ("malformed", 400, good().body(b"{\"session_id\":\"s\"}")),
        ("malformed", 400, good().body(b"")),
    ];
    let mut expected = std::collections::BTreeMap::<&str, f64>::new();
    for (reason, status, request) in cases {
        let answer = send(&sidecar, &request).await;
        assert_eq!(answer.status, status, "{reason}: {}", String::from_utf8_lossy(&answer.body));
        *expected.entry(reason).or_default() += 1.0;
    }
    assert_eq!(entries(&site, "hook"), [] as [Value; 0]);
    let metrics = sidecar.metrics().await;
    for (reason, count) in expected {
        let label = format!("reason=\"{reason}\"");
        let counted = metrics.sum("weighbridge_hook_posts_rejected_total", &[&label]);
        assert_eq!(counted, count, "{reason}");
    }
    // The telemetry listener takes none at all.
    let telemetry = sidecar.ready["telemetry"].as_str().unwrap().trim_start_matches("http://");
    let elsewhere = client::call(telemetry.parse().unwrap(), &good()).await;
    assert_eq!(elsewhere.status, 405);
    sidecar.stop();
}

#[tokio::test]
async fn the_same_event_again_counts_once() {
    let fake = Fake::start("steady").await;
    let site = Site::new();
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let event = json!({"hook_event_name": "PreToolUse", "session_id": "s", "tool_name": "Bash",
        "tool_use_id": "toolu_1", "tool_input": {"command": "ls"}});
    let request = post(&sidecar, event.to_string().as_bytes());
    let first = send(&sidecar, &request).await;
    let sequence = first.header("x-weighbridge-sequence").unwrap().to_owned();
    assert_eq!(first.header("x-weighbridge-replay"), None);
    for _ in 0..20 {
        let again = send(&sidecar, &request).await;
        assert_eq!((again.status, again.header("x-weighbridge-replay")), (200, Some("1")));
        assert_eq!(again.header("x-weighbridge-sequence"), Some(sequence.as_str()));
    }
    assert_eq!(entries(&site, "hook").len(), 1);
    let metrics = sidecar.metrics().await;
    let count = |result| metrics.sum("claude_hook_events_total", &[result]);
    assert_eq!((count("result=\"recorded\""), count("result=\"replayed\"")), (1.0, 20.0));
    assert_eq!(metrics.sum("weighbridge_tool_calls_open", &[]), 1.0);
    assert_eq!(metrics.sum("claude_active_sessions", &[]), 1.0);
    sidecar.stop();
}
