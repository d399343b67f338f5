//! What is written down of each call: outcome, usage, money, who pays.
#![cfg(test)]

mod support;

use serde_json::{Value, json};
use support::api::Fake;
use support::client::{Request, Response};
use support::eventually;
use support::message::{Figures, atto};
use support::sidecar::{Options, Sidecar, Site};

struct Rig {
    site: Site,
    fake: Fake,
    sidecar: Sidecar,
}

impl Rig {
    async fn new() -> Rig {
        Rig::with(Site::new(), "").await
    }

    async fn with(site: Site, config: &str) -> Rig {
        let fake = Fake::start("basic").await;
        let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(config));
        Rig { site, fake, sidecar }
    }

    async fn call(&self, request: &Request) -> (Response, Value) {
        let response = self.sidecar.call(request).await;
        let record = self.site.exchange(&response.exchange());
        (response, record)
    }

    /// The body of the `opened` or `closed` entry of an exchange.
    fn entry(&self, kind: &str, exchange: &str) -> Value {
        let lines = self.site.ledger_lines();
        let mut all = lines.iter().map(|l| serde_json::from_slice::<Value>(l).unwrap());
        let found = all.find(|line| line["kind"] == kind && line["body"]["exchange"] == exchange);
        found.map(|line| line["body"].clone()).unwrap_or_else(|| panic!("no {kind} {exchange}"))
    }
}

/// Scenario, outcome, figures that are recorded.
fn expected() -> Vec<(&'static str, &'static str, Option<Figures>)> {
    let turn = Figures::new(4, 11_000, 1_200, 0, 74);
    let start = turn.at_start();
    let search = Figures { searches: 1, ..Figures::new(2_100, 0, 0, 9_000, 88) };
    vec![
        ("basic", "completed", Some(turn)),
        ("plain", "completed", Some(Figures::new(9, 0, 0, 0, 1))),
        ("subagent", "completed", Some(Figures::new(4, 12_000, 0, 0, 95))),
        ("websearch", "completed", Some(search)),
        ("maxtok", "completed", Some(Figures::new(12, 0, 0, 0, 64))),
        ("split", "completed", Some(turn)),
        ("crlf", "completed", Some(turn)),
        ("unknown_event", "completed", Some(turn)),
        ("garbage", "completed", Some(turn)),
        ("json_for_stream", "completed", Some(turn)),
        ("e429", "completed", None),
        ("e529", "completed", None),
        ("e400", "completed", None),
        ("e401", "completed", None),
        ("e402", "completed", None),
        ("e403", "completed", None),
        ("e500", "completed", None),
        ("e502", "completed", None),
        ("redirect", "completed", None),
        ("error_mid", "upstream_error", Some(start)),
        ("error_early", "upstream_error", Some(start)),
        ("error_api", "upstream_error", Some(start)),
        ("cut", "upstream_error", Some(start)),
        ("cut_early", "upstream_error", Some(start)),
        ("cut_tool", "upstream_error", Some(start)),
        ("cut_clean", "upstream_error", Some(start)),
    ]
}

#[tokio::test]
async fn every_call_is_recorded_as_it_was() {
    let rig = Rig::new().await;
    let mut sum = Figures::default();
    let mut responses = Vec::new();
    for (scenario, ..) in expected() {
        responses.push(rig.sidecar.call(&Request::messages(scenario, true)).await);
    }
    let records = rig.site.exchanges();
    for ((scenario, outcome, figures), response) in expected().into_iter().zip(responses) {
        let found = records.iter().find(|record| record["id"] == response.exchange());
        let record = found.unwrap_or_else(|| panic!("{scenario} is not recorded"));
        assert_eq!(record["outcome"], outcome, "{scenario}: {record}");
        assert_eq!(record["status"], response.status, "{scenario}: {record}");
        assert_eq!(record["model"], "claude-opus-5-5", "{scenario}: {record}");
        assert_eq!(record["streamed"], json!(true), "{scenario}: {record}");
        assert_eq!(record["team"], "unattributed", "{scenario}: {record}");
        let Some(figures) = figures else {
            assert!(record["usage"]["input_tokens"].is_null(), "{scenario}: {record}");
            continue;
        };
        let usage = &record["usage"];
        assert_eq!(usage["input_tokens"], figures.input, "{scenario}: {record}");
        assert_eq!(usage["output_tokens"], figures.output, "{scenario}: {record}");
        let writes = figures.write_5m + figures.write_1h;
        assert_eq!(usage["cache_creation_input_tokens"], writes, "{scenario}: {record}");
        let split = &usage["cache_creation"]["ephemeral_1h_input_tokens"];
        assert_eq!(*split, figures.write_1h, "{scenario}: {record}");
        if outcome == "completed" {
            assert_eq!(atto(&record["usd"]), figures.list_cost(), "{scenario}: {record}");
            sum.add(figures);
        }
    }
    let completed = rig.site.report("outcome");
    let rows = completed["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["outcome"] == "completed").unwrap();
    assert_eq!(atto(&row["usd"]), sum.list_cost(), "{row}");
    assert_eq!(row["output_tokens"], sum.output, "{row}");
}

#[tokio::test]
async fn flags_say_what_a_reader_must_know() {
    let rig = Rig::new().await;
    for (scenario, flag) in [
        ("cut", "partial"),
        ("cut_clean", "partial"),
        ("json_for_stream", "json_for_stream"),
        ("html", "unparseable"),
    ] {
        let (_, record) = rig.call(&Request::messages(scenario, true)).await;
        let flags = record["flags"].as_array().unwrap();
        assert!(flags.iter().any(|f| f == flag), "{scenario}: {record}");
    }
    let unknown = json!({"model": "claude-of-the-future", "max_tokens": 9, "messages": []});
    let (_, record) = rig.call(&Request::json("/v1/messages", &unknown)).await;
    assert!(record["usd"].is_null(), "unknown, not zero: {record}");
    assert_eq!(record["flags"], json!(["unpriced"]));
    assert_eq!(rig.site.report("model")["total"]["unpriced"], 1);
}

#[tokio::test]
async fn every_form_of_the_api_is_metered() {
    let rig = Rig::new().await;
    let turn = Figures::new(4, 11_000, 1_200, 0, 74);
    let vertex = "/v1/projects/p/locations/global/publishers/anthropic/models/claude-opus-5-5";
    let bedrock = "/model/global.anthropic.claude-opus-5-5";
    for target in [
        format!("{bedrock}/invoke"),
        format!("{bedrock}/invoke-with-response-stream"),
        format!("{vertex}:rawPredict"),
        format!("{vertex}:streamRawPredict"),
    ] {
        let body = Request::messages("basic", true).body;
        let request = Request::new("POST", &target).body(&body);
        let (_, record) = rig.call(&request).await;
        assert_eq!(record["usage"]["output_tokens"], 74, "{target}: {record}");
        assert_eq!(atto(&record["usd"]), turn.list_cost(), "{target}: {record}");
    }
    for (method, target) in [("POST", "/v1/messages/count_tokens"), ("GET", "/v1/unknown")] {
        let request = Request { method: method.into(), ..Request::plain("x") };
        let (_, record) = rig.call(&Request { target: target.into(), ..request }).await;
        assert_eq!(record["outcome"], "completed", "{record}");
        assert!(record["usd"].is_null() || atto(&record["usd"]) == 0, "{record}");
    }
    assert_eq!(rig.site.report("day")["total"]["exchanges"], 6);
}

#[tokio::test]
async fn attempts_of_one_call_are_grouped() {
    let rig = Rig::new().await;
    let request = Request::messages("e529", true)
        .header("X-Claude-Code-Session-Id", "a2f16f96-1048-418a-8d39-43cd985a3aa6");
    let mut attempts = Vec::new();
    for _ in 0..3 {
        let (response, record) = rig.call(&request).await;
        assert_eq!(record["session"], "a2f16f96-1048-418a-8d39-43cd985a3aa6");
        let opened = rig.entry("opened", &response.exchange());
        attempts.push((opened["call"].clone(), opened["attempt"].clone()));
    }
    let first = attempts[0].0.clone();
    let expected = [1, 2, 3].map(|n| (first.clone(), json!(n)));
    assert_eq!(attempts, expected);
    // Answered: the same words again are a new call.
    let (response, _) = rig.call(&request).await;
    assert_eq!(rig.entry("opened", &response.exchange())["attempt"], 1);
}

#[tokio::test]
async fn agents_and_sessions_are_told_apart() {
    let rig = Rig::new().await;
    let session = "1c431c50-b6a9-4243-bd9c-142cab34e5ac";
    let main = Request::messages("burst", true).header("x-claude-code-session-id", session);
    let sub = main.clone().header("x-claude-code-agent-id", "a67572b029a97d411");
    assert!(rig.call(&main).await.1["agent"].is_null());
    assert_eq!(rig.call(&sub).await.1["agent"], "a67572b029a97d411");
    let report = rig.site.report("session,agent");
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{report}");
    assert!(rows.iter().all(|row| row["session"] == session), "{report}");
    let sum: i128 = rows.iter().map(|row| atto(&row["usd"])).sum();
    assert_eq!(sum, atto(&report["total"]["usd"]));
}

const UPSTREAM_KEY: &str = "sk-ant-upstream-0123456789";

async fn with_upstream_key() -> Rig {
    let mut site = Site::new();
    site.env("THE_KEY", UPSTREAM_KEY);
    Rig::with(site, "[upstream]\nkey = \"env:THE_KEY\"\n").await
}

#[tokio::test]
async fn a_virtual_key_says_who_pays_and_is_replaced() {
    let rig = with_upstream_key().await;
    let key = rig.site.add_key(&["--team", "cardiology", "--user", "ana", "--project", "ecg"]);
    let bearer = format!("Bearer {key}");
    for (name, value) in [("x-api-key", key.as_str()), ("authorization", &bearer)] {
        let request = Request::messages("burst", true).without("x-api-key").header(name, value);
        let response = loop_until(&rig, &request, 200).await;
        let record = rig.site.exchange(&response.exchange());
        assert_eq!(record["team"], "cardiology", "{record}");
        assert_eq!((&record["user"], &record["project"]), (&json!("ana"), &json!("ecg")));
        let seen = rig.fake.last();
        assert_eq!(seen.head.get("x-api-key"), Some(UPSTREAM_KEY));
        assert_eq!(seen.head.get("authorization"), None);
        let raw = String::from_utf8_lossy(&seen.head.raw).into_owned();
        assert!(!raw.contains("wbk_"), "{raw}");
    }
    let request = Request::messages("burst", true).without("x-api-key").header("x-api-key", &key);
    let fingerprint = key_fingerprint(&rig);
    rig.site.ok(&["keys", "revoke", &fingerprint]);
    let refused = loop_until(&rig, &request, 401).await;
    let before = rig.fake.count();
    assert_eq!(rig.sidecar.call(&request).await.status, 401);
    assert_eq!(rig.fake.count(), before, "nothing is sent on");
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    assert_eq!(refused.error_type(), "authentication_error");
    assert_eq!(rig.site.exchange(&refused.exchange())["outcome"], "refused");
    for path in [rig.site.data.clone(), rig.site.path("said.txt")] {
        assert_no_secret(&path, &[&key, UPSTREAM_KEY]);
    }
}

/// Calls until the status is there: a running sidecar notices changed keys by itself.
async fn loop_until(rig: &Rig, request: &Request, status: u16) -> Response {
    for _ in 0..100 {
        let response = rig.sidecar.call(request).await;
        if response.status == status {
            return response;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the answer never became {status}");
}

/// The one key's name in `report --by key`.
fn key_fingerprint(rig: &Rig) -> String {
    let report = rig.site.report("key");
    let rows = report["rows"].as_array().unwrap();
    let mut names = rows.iter().filter_map(|row| row["key"].as_str()).filter(|k| !k.is_empty());
    let name = names.next().unwrap_or_else(|| panic!("no key in {report}")).to_owned();
    assert_eq!(names.next(), None, "{report}");
    name
}

/// No file at or below the path holds one of these.
fn assert_no_secret(path: &std::path::Path, secrets: &[&str]) {
    let mut found = Vec::new();
    support::sidecar::files(path, &mut found);
    if path.is_file() {
        found.push(path.to_owned());
    }
    for file in found {
        let bytes = std::fs::read(&file).unwrap_or_default();
        for secret in secrets {
            let at = support::wire::find(&bytes, secret.as_bytes());
            assert_eq!(at, None, "a secret is in {}", file.display());
        }
    }
}

#[tokio::test]
async fn an_unknown_virtual_key_is_never_sent_on() {
    let rig = with_upstream_key().await;
    let unknown = format!("wbk_{}", "a".repeat(43));
    for name in ["x-api-key", "authorization"] {
        let value = if name == "x-api-key" { unknown.clone() } else { format!("Bearer {unknown}") };
        let request = Request::messages("basic", true).without("x-api-key").header(name, &value);
        let (response, record) = rig.call(&request).await;
        assert_eq!((response.status, response.error_type()), (401, "authentication_error".into()));
        assert_eq!(response.header("x-should-retry"), Some("false"));
        assert_eq!((&record["outcome"], &record["status"]), (&json!("refused"), &json!(401)));
    }
    assert_eq!(rig.fake.count(), 0);
}

#[tokio::test]
async fn a_known_fingerprint_says_who_pays() {
    let rig = Rig::new().await;
    let request = Request::messages("burst", true);
    let (_, before) = rig.call(&request).await;
    assert_eq!(before["team"], "unattributed");
    rig.site.ok(&["keys", "map", &key_fingerprint(&rig), "--team", "radiology"]);
    let mapped = || rig.site.exchanges().iter().any(|e| e["team"] == "radiology").then_some(());
    for _ in 0..20 {
        rig.call(&request).await;
        if mapped().is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    eventually("the mapping is used", mapped).await;
    assert_eq!(rig.fake.last().head.get("x-api-key"), Some("sk-ant-test-fake"), "passed through");
}

#[tokio::test]
async fn only_the_credential_is_identity() {
    let rig = Rig::new().await;
    let body = json!({"model": "claude-opus-5-5", "max_tokens": 9, "messages": [],
        "metadata": {"user_id": "u-1"}});
    let request = Request::json("/v1/messages", &body)
        .header("x-weighbridge-project", "apollo")
        .header("x-weighbridge-tag-ticket", "T-1")
        .header("x-weighbridge-tag-patient", "Jane Doe, MRN 12345")
        .header("x-team", "cardiology")
        .header("x-weighbridge-team", "cardiology");
    let (response, record) = rig.call(&request).await;
    assert_eq!(record["team"], "unattributed");
    assert!(record["project"].is_null() && record["user"].is_null(), "{record}");
    let opened = rig.entry("opened", &response.exchange()).to_string();
    assert!(opened.contains("apollo") && opened.contains("T-1"), "{opened}");
    assert!(!opened.contains("Jane") && !opened.contains("12345"), "{opened}");
    assert!(opened.contains("hmac:"), "{opened}");
    let report = rig.site.report("tag:ticket").to_string();
    assert!(report.contains("\"T-1\""), "{report}");
    assert_no_secret(&rig.site.data, &["Jane Doe", "sk-ant-test-fake"]);
}

#[tokio::test]
async fn metrics_report_and_the_bill_agree() {
    let rig = Rig::new().await;
    for scenario in ["burst", "plain", "websearch", "e529", "maxtok", "split", "subagent"] {
        rig.sidecar.call(&Request::messages(scenario, true)).await;
        rig.sidecar.call(&Request::messages(scenario, false)).await;
    }
    let (bill, metrics) = (rig.fake.billed(), rig.sidecar.metrics().await);
    let total = &rig.site.report("team")["total"];
    for (label, field, count) in [
        ("input", "input_tokens", bill.input),
        ("output", "output_tokens", bill.output),
        ("cache_read", "cache_read_tokens", bill.read),
        ("cache_write_5m", "cache_write_5m_tokens", bill.write_5m),
        ("cache_write_1h", "cache_write_1h_tokens", bill.write_1h),
    ] {
        let label = format!("type=\"{label}\"");
        assert_eq!(metrics.sum("claude_tokens_total", &[&label]), count as f64, "{label}");
        assert_eq!(total[field], count, "{total}");
    }
    assert_eq!(atto(&total["usd"]), bill.list_cost(), "{total}");
    let scraped = metrics.sum("claude_cost_usd_total", &[]);
    assert!((scraped - bill.list_cost() as f64 / 1e18).abs() < 1e-9, "{scraped}");
    assert_eq!(metrics.sum("claude_requests_total", &[]), 14.0);
    assert_eq!(metrics.sum("claude_requests_total", &["status=\"529\""]), 2.0);
    assert_eq!(total["exchanges"], 14);
}
