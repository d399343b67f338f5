//! Ways around rules that were tried, each of which went through once.

use std::time::Duration;

use serde_json::{Value, json};

use super::intake::entries;
use super::rules::Stand;
use super::support::client::{MODEL, Raw, Request, Response};
use super::support::hooks::{admin, post, send};
use super::support::sidecar::{Options, Sidecar, Site};
use super::support::{api::Fake, eventually};

const BASH: &str = "toolu_01FAKE00000000000000000001";

/// A caller of one team in one session.
struct Caller<'s> {
    sidecar: &'s Sidecar,
    key: String,
    session: &'s str,
}

impl Caller<'_> {
    async fn post(&self, method: &str, path: &str, body: &[u8]) -> Response {
        let request = Request::new(method, path)
            .header("content-type", "application/json")
            .header("x-claude-code-session-id", self.session)
            .without("x-api-key")
            .header("x-api-key", &self.key)
            .body(body);
        self.sidecar.call(&request).await
    }

    async fn messages(&self, messages: Value) -> u16 {
        let body = json!({"model": MODEL, "max_tokens": 64, "messages": messages,
            "tools": [{"name": "Bash", "input_schema": {"type": "object"}}]});
        self.post("POST", "/v1/messages", body.to_string().as_bytes()).await.status
    }

    /// A prompt, whose answer asks for `Bash`.
    async fn prompt(&self) -> u16 {
        self.messages(json!([{"role": "user", "content": "hi"}])).await
    }

    async fn result(&self) -> u16 {
        self.messages(json!([
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": BASH, "name": "Bash", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": BASH, "content": "x"}]},
        ]))
        .await
    }
}

/// A sidecar with a key of the upstream's, and a key for each team.
async fn teams(config: &str, names: &[&str]) -> (Fake, Site, Sidecar, Vec<String>) {
    let fake = Fake::start("steady").await;
    let mut site = Site::new();
    site.env("EVASION_KEY", "sk-ant-api03-upstream");
    let keys = names.iter().map(|team| site.add_key(&["--team", team])).collect();
    let config = format!("[upstream]\nkey = 'env:EVASION_KEY'\n{config}");
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(&config));
    (fake, site, sidecar, keys)
}

fn announced(tool: &str, more: &str) -> String {
    format!(
        r#"{{"session_id":"s","hook_event_name":"PreToolUse","tool_name":"{tool}","tool_use_id":"t","tool_input":{{"x":{more}}}}}"#
    )
}

#[tokio::test]
async fn a_tool_whose_input_cannot_be_read_does_not_run() {
    let stand = Stand::with("[org]\ntools_denied = ['Bash']\n").await;
    let long = format!("\"{}\"", "x".repeat(1_100_000));
    let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
    for more in [r#""\ud800""#, &long, &deep, "{\"a\":1,\"a\":2}", "tru"] {
        let event = announced("Bash", more);
        let answer = send(&stand.sidecar, &post(&stand.sidecar, event.as_bytes())).await;
        assert_eq!(answer.status, 200, "{more:.20}");
        let said = &answer.json()["hookSpecificOutput"];
        assert_eq!(said["permissionDecision"], "deny", "{more:.20}");
    }
    // What only tells is refused as ever, and so is what only looks like asking.
    for event in [
        announced("Bash", "tru").replace("PreToolUse", "PostToolUse"),
        r#"{"a":"\"hook_event_name\":\"PreToolUse\"","hook_event_name":"Stop","b":tru}"#.to_owned(),
    ] {
        let answer = send(&stand.sidecar, &post(&stand.sidecar, event.as_bytes())).await;
        assert_eq!(answer.status, 400);
    }
    assert_eq!(entries(&stand.site, "hook").len(), 1, "half a surrogate pair is JSON");
}

#[tokio::test]
async fn another_credential_takes_no_rule_away_from_a_session() {
    let rules = "[team.search]\ntools_denied = ['Bash']\n";
    let (_fake, _site, sidecar, keys) = teams(rules, &["search", "other"]).await;
    let caller = |key: &str| Caller { sidecar: &sidecar, key: key.to_owned(), session: "s" };
    let (search, other) = (caller(&keys[0]), caller(&keys[1]));
    assert_eq!((search.prompt().await, search.result().await), (200, 403));
    // The other team has no such rule, and its call is its own.
    assert_eq!((other.result().await, search.result().await), (200, 403));
    let denies = async || {
        let event = announced("Bash", "1");
        let answer = send(&sidecar, &post(&sidecar, event.as_bytes())).await.json();
        answer["hookSpecificOutput"]["permissionDecision"] == "deny"
    };
    assert!(denies().await, "who pays for a session stays among those whose rules hold");
}

#[tokio::test]
async fn nothing_that_spends_goes_past_a_limit() {
    let rules = "[team.poor]\nusd_per_session_max = '0.0001'\n\
                 [team.models]\nmodels_allowed = ['claude-haiku-*']\n";
    let (fake, _site, sidecar, keys) = teams(rules, &["poor", "models"]).await;
    let poor = Caller { sidecar: &sidecar, key: keys[0].clone(), session: "p" };
    assert_eq!(poor.prompt().await, 200);
    let sent = fake.count();
    let batch = json!({"requests": []}).to_string();
    let asks = json!({"model": MODEL, "prompt": "x"}).to_string();
    for (method, path, body) in [
        ("POST", "/v1/messages/batches", &batch),
        ("post", "/v1/messages/batches", &batch),
        ("POST", "/v1/chat/completions", &asks),
        ("POST", "/v1/complete", &asks),
    ] {
        let answer = poor.post(method, path, body.as_bytes()).await;
        assert_eq!(answer.status, 429, "{method} {path}");
        let models = Caller { sidecar: &sidecar, key: keys[1].clone(), session: "m" };
        let answer = models.post(method, path, body.as_bytes()).await;
        assert_eq!(answer.status, 403, "{method} {path}");
    }
    assert_eq!(fake.count(), sent, "nothing of it went upstream");
}

#[tokio::test]
async fn a_key_in_escapes_is_the_same_key() {
    let rules = "[org]\nmcp_servers_allowed = ['crm@managed']\ninference_geo = ['eu']\n";
    let stand = Stand::with(rules).await;
    let escaped =
        |key: &str| -> String { key.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect() };
    let geo = escaped("inference_geo");
    let servers = escaped("mcp_servers");
    for more in [
        format!(
            r#""inference_geo":"eu","{servers}":[{{"type":"url","name":"x","url":"https://e"}}]"#
        ),
        format!(r#""inference_geo":"eu","{geo}":"us""#),
    ] {
        let body = format!(r#"{{"model":"{MODEL}","max_tokens":5,"messages":[],{more}}}"#);
        let request = Request::json("/v1/messages", &json!({})).body(body.as_bytes());
        assert_eq!(stand.sidecar.call(&request).await.status, 403, "{more:.40}");
    }
}

#[tokio::test]
async fn a_loop_that_was_stopped_does_not_begin_anew() {
    let rules = "[team.loop]\ncalls_per_turn_max = 2\n";
    let (_fake, _site, sidecar, keys) = teams(rules, &["loop"]).await;
    let looping = Caller { sidecar: &sidecar, key: keys[0].clone(), session: "l" };
    let mut statuses = vec![looping.prompt().await];
    for _ in 0..5 {
        statuses.push(looping.result().await);
        // A claim that the turn is over.
        let stop = json!({"session_id": "l", "hook_event_name": "Stop", "n": statuses.len()});
        send(&sidecar, &post(&sidecar, stop.to_string().as_bytes())).await;
    }
    assert_eq!(statuses, [200, 200, 429, 429, 429, 429]);
    assert_eq!(looping.prompt().await, 200, "another prompt has its own calls");
}

#[tokio::test]
async fn the_rules_of_a_teams_file_hold_once_the_team_is_known() {
    let rules = "[org]\ntrust_project_files = true\n";
    let (_fake, site, sidecar, keys) = teams(rules, &["search"]).await;
    let project = site.path("project");
    std::fs::create_dir_all(project.join("teams/search")).unwrap();
    std::fs::write(project.join(".weighbridge.toml"), "tools_denied = ['Glob']\n").unwrap();
    std::fs::write(project.join("teams/search/.weighbridge.toml"), "tools_denied = ['Grep']\n")
        .unwrap();
    let hook = async |name: &str, tool: &str| {
        let event = json!({"session_id": "s", "hook_event_name": name, "tool_name": tool,
            "tool_use_id": tool, "tool_input": {}, "cwd": project});
        let body = event.to_string();
        let answer = send(&sidecar, &post(&sidecar, body.as_bytes())).await.json();
        answer["hookSpecificOutput"]["permissionDecision"] == "deny"
    };
    hook("SessionStart", "x").await;
    assert!(hook("PreToolUse", "Glob").await);
    let search = Caller { sidecar: &sidecar, key: keys[0].clone(), session: "s" };
    assert_eq!(search.prompt().await, 200);
    // What an agent does to a file that was read changes nothing.
    std::fs::write(project.join(".weighbridge.toml"), "").unwrap();
    assert!(hook("PreToolUse", "Grep").await);
    std::fs::write(project.join("teams/search/.weighbridge.toml"), "").unwrap();
    for tool in ["Glob", "Grep"] {
        assert!(hook("PostToolUse", tool).await || hook("PreToolUse", tool).await, "{tool}");
    }
}

#[tokio::test]
async fn claims_do_not_make_another_tool_of_it() {
    let rules = "[team.search]\ntools_denied = ['Bash', 'Agent']\n\
                 mcp_servers_allowed = ['git hub@managed']\n";
    let (_fake, _site, sidecar, keys) = teams(rules, &["search"]).await;
    let search = Caller { sidecar: &sidecar, key: keys[0].clone(), session: "s" };
    let hook = async |event: Value| {
        let answer = send(&sidecar, &post(&sidecar, event.to_string().as_bytes())).await;
        answer.json()["hookSpecificOutput"]["permissionDecision"] == "deny"
    };
    let tool = |tool: &str, id: &str, more: Value| {
        let mut event = json!({"session_id": "s", "hook_event_name": "PreToolUse",
            "tool_name": tool, "tool_use_id": id, "tool_input": {}});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    // Announced under another name before the answer is whole; then the session is over.
    assert!(!hook(tool("Read", BASH, json!({}))).await);
    assert_eq!((search.prompt().await, search.result().await), (200, 403));
    hook(json!({"session_id": "s", "hook_event_name": "SessionEnd"})).await;
    assert_eq!(search.result().await, 403);
    // A server says that it is another one; an older name of a tool.
    let from = |name: &str| json!({"mcp_server": {"name": name, "source": "managed"}});
    assert!(hook(tool("mcp__other__run", "a", from("git hub"))).await);
    assert!(!hook(tool("mcp__git_hub__run", "b", from("git hub"))).await);
    assert!(hook(tool("Task", "c", json!({}))).await);
}

#[tokio::test]
async fn a_client_that_leaves_takes_nothing_back() {
    let fake = Fake::start("steady").await;
    let site = Site::new();
    let config = "[ledger]\ndurability = 'power'\n[org]\ntools_denied = ['Bash']\n";
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(config));
    let events: Vec<_> = (0..30).map(|n| announced("Bash", &n.to_string())).collect();
    for event in &events {
        let mut raw = Raw::connect(admin(&sidecar)).await;
        raw.send(&post(&sidecar, event.as_bytes())).await;
        tokio::time::sleep(Duration::from_micros(300)).await;
        raw.reset();
    }
    for event in &events {
        let answer = send(&sidecar, &post(&sidecar, event.as_bytes())).await;
        assert_eq!(answer.json()["hookSpecificOutput"]["permissionDecision"], "deny");
    }
    let whole = || {
        let all = ["hook", "rule_applied"].map(|kind| entries(&site, kind).len());
        (all == [30, 30]).then_some(())
    };
    eventually("each event once, with what was decided", whole).await;
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.sum("claude_rule_decisions_total", &[]), 30.0);
    assert_eq!(metrics.sum("claude_hook_events_total", &["result=\"recorded\""]), 30.0);
}

#[tokio::test]
async fn what_only_looks_like_a_word_is_not_kept() {
    let stand = Stand::with("").await;
    for event in [
        json!({"session_id": "s", "hook_event_name": "PostToolUseFailure", "tool_name": "Bash",
            "tool_use_id": "t", "error": "hunter2-OUTPUT"}),
        json!({"session_id": "s", "hook_event_name": "PermissionDenied", "tool_name": "Bash",
            "tool_use_id": "t", "reason": "hunter2-REASON"}),
        json!({"session_id": "s", "hook_event_name": "PreToolUse", "tool_name": "Skill",
            "tool_use_id": "u", "tool_input": {"skill": "/home/hunter2/SKILL.md"}}),
        json!({"session_id": "s", "hook_event_name": "PreToolUse", "tool_use_id": "v",
            "tool_name": "sk-ant-hunter2", "agent_type": "wbk_hunter2", "model": "sk-ant-hunter2"}),
    ] {
        stand.hook(&event).await;
    }
    let lines = stand.site.ledger_lines();
    let kept = lines.iter().map(|line| String::from_utf8_lossy(line)).collect::<String>();
    let metrics = stand.sidecar.telemetry("/metrics").await;
    for text in [kept, stand.sidecar.said(), String::from_utf8(metrics.body).unwrap()] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
