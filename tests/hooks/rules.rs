//! Rules from outside: what is denied, refused, observed, and that nobody loosens one.

use serde_json::{Value, json};

use super::intake::entries;
use super::support::api::Fake;
use super::support::client::{MODEL, Request, Response};
use super::support::hooks::{post, send};
use super::support::sidecar::{Options, Sidecar, Site};

pub struct Stand {
    pub fake: Fake,
    pub site: Site,
    pub sidecar: Sidecar,
}

impl Stand {
    pub async fn with(config: &str) -> Stand {
        let fake = Fake::start("steady").await;
        let site = Site::new();
        let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(config));
        Stand { fake, site, sidecar }
    }

    pub async fn hook(&self, event: &Value) -> Value {
        let answer = send(&self.sidecar, &post(&self.sidecar, event.to_string().as_bytes())).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// `None` where the tool may run, else the reason.
    pub async fn tool(&self, name: &str, more: Value) -> Option<String> {
        let mut event = json!({"hook_event_name": "PreToolUse", "session_id": "s", "tool_name": name,
            "tool_use_id": format!("toolu_{name}"), "tool_input": {"x": 1}});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.hook(&event).await;
        let said = &answer["hookSpecificOutput"];
        if answer == json!({}) {
            return None;
        }
        assert_eq!(
            (&said["hookEventName"], &said["permissionDecision"]),
            (&"PreToolUse".into(), &"deny".into())
        );
        Some(said["permissionDecisionReason"].as_str().unwrap().to_owned())
    }

    async fn call(&self, body: Value, headers: &[(&str, &str)]) -> Response {
        let mut all = json!({"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}]});
        all.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let mut request =
            Request::json("/v1/messages", &all).header("x-claude-code-session-id", "s");
        for (name, value) in headers {
            request = request.without(name).header(name, value);
        }
        self.sidecar.call(&request).await
    }

    fn decisions(&self) -> Vec<(String, String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let applied = entries(&self.site, "rule_applied");
        applied.iter().map(|a| (text(&a["action"]), text(&a["rule"]), text(&a["layer"]))).collect()
    }
}

fn decided(action: &str, rule: &str, layer: &str) -> (String, String, String) {
    (action.to_owned(), rule.to_owned(), layer.to_owned())
}

#[track_caller]
fn assert_refused(answer: &Response, status: u16, kind: &str, says: &str) {
    assert_eq!((answer.status, answer.error_type().as_str()), (status, kind));
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("Weighbridge: ") && message.contains(says), "{message}");
}

#[tokio::test]
async fn a_denied_tool_is_told_to_the_client_and_written_down() {
    let rules = "[org]\ntools_denied = ['WebFetch']\nmcp_servers_allowed = ['github@managed']\n\
                 permission_modes = ['default', 'plan']\n";
    let stand = Stand::with(rules).await;
    assert_eq!(stand.tool("Bash", json!({"permission_mode": "plan"})).await, None);
    let reason = stand.tool("WebFetch", json!({})).await.unwrap();
    assert!(reason.contains("org, tools_denied"), "{reason}");
    assert_eq!(stand.tool("WebFetch", json!({})).await, Some(reason), "a replay is denied, too");
    let from = |source| json!({"mcp_server": {"name": "github", "source": source}});
    assert_eq!(stand.tool("mcp__github__a", from("managed")).await, None);
    for (tool, more) in [
        ("mcp__github__b", from("project")),
        ("mcp__github__c", json!({})),
        ("Read", json!({"permission_mode": "bypassPermissions"})),
    ] {
        assert!(stand.tool(tool, more).await.is_some(), "{tool}");
    }
    let prompt = json!({"hook_event_name": "UserPromptSubmit", "session_id": "s", "prompt": "x",
        "permission_mode": "acceptAll"});
    let blocked = stand.hook(&prompt).await;
    assert_eq!(blocked["decision"], "block");
    let expected = [
        decided("denied", "tools_denied", "org"),
        decided("denied", "mcp_servers_allowed", "org"),
        decided("denied", "mcp_servers_allowed", "org"),
        decided("denied", "permission_modes", "org"),
        decided("denied", "permission_modes", "org"),
    ];
    assert_eq!(stand.decisions(), expected);
    let hooks = entries(&stand.site, "hook");
    assert_eq!(hooks.iter().filter(|hook| hook["denied"] == 1).count(), 5);
    let metrics = stand.sidecar.metrics().await;
    assert_eq!(metrics.sum("claude_rule_decisions_total", &["action=\"denied\""]), 5.0);
    stand.sidecar.stop();
}

#[tokio::test]
async fn what_is_not_allowed_never_goes_upstream() {
    let rules = "[org]\nmodels_allowed = ['claude-opus-*']\ninference_geo = ['eu']\n\
                 tools_denied = ['web_search']\nmcp_servers_allowed = ['https://crm.example/*']\n";
    let stand = Stand::with(rules).await;
    let geo = |more: Value| {
        let mut body = json!({"inference_geo": "eu"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let server =
        |url: &str| geo(json!({"mcp_servers": [{"type": "url", "name": "crm", "url": url}]}));
    for (body, rule) in [
        (json!({}), "inference_geo"),
        (json!({"inference_geo": "us"}), "inference_geo"),
        (geo(json!({"model": "claude-haiku-5-5"})), "models_allowed"),
        (
            geo(json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]})),
            "tools_denied",
        ),
        (server("https://crm.example.evil.org/mcp"), "mcp_servers_allowed"),
    ] {
        assert_refused(&stand.call(body, &[]).await, 403, "permission_error", rule);
    }
    // What cannot be read is not allowed, where a rule asks for it.
    let twice = format!(r#"{{"model":"{MODEL}","inference_geo":"eu","messages":[],"tools":{{}}}}"#);
    for request in [
        Request::json("/v1/messages", &json!({})).body(twice.as_bytes()),
        Request::json("/v1/messages", &json!({})).header("content-encoding", "gzip"),
    ] {
        let answer = stand.sidecar.call(&request).await;
        assert_refused(&answer, 403, "permission_error", "cannot be read");
    }
    let batch = Request::json("/v1/messages/batches", &json!({"requests": []}));
    assert_refused(&stand.sidecar.call(&batch).await, 403, "permission_error", "cannot be read");
    assert_eq!(stand.fake.seen().len(), 0, "nothing was sent upstream");
    assert_eq!(stand.call(server("https://crm.example/mcp"), &[]).await.status, 200);
    let refused = stand.site.exchanges().into_iter().filter(|e| e["outcome"] == "refused").count();
    assert_eq!((refused, stand.decisions().len()), (8, 8));
    stand.sidecar.stop();
}

/// The request in which a client brings a tool's result.
fn result(id: &str, name: &str, failed: bool) -> Value {
    json!({"messages": [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": name, "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "is_error": failed, "content": "x"}]},
    ]})
}

#[tokio::test]
async fn the_result_of_a_denied_tool_is_not_given_to_the_model() {
    let stand = Stand::with("[org]\ntools_denied = ['WebFetch']\n").await;
    for failed in [false, true] {
        let answer = stand.call(result("toolu_1", "WebFetch", failed), &[]).await;
        assert_refused(&answer, 403, "permission_error", "tools_denied");
    }
    // Denied by us in answer to its hook, it comes back as a failure: the conversation goes on.
    assert!(stand.tool("WebFetch", json!({"tool_use_id": "toolu_2"})).await.is_some());
    let ran = stand.call(result("toolu_2", "WebFetch", false), &[]).await;
    assert_eq!(ran.status, 403, "it ran all the same");
    stand.sidecar.stop();
    let stand = Stand::with("[org]\ntools_denied = ['WebFetch']\n").await;
    assert!(stand.tool("WebFetch", json!({"tool_use_id": "toolu_3"})).await.is_some());
    assert_eq!(stand.call(result("toolu_3", "WebFetch", true), &[]).await.status, 200);
    assert_eq!(stand.call(result("toolu_4", "Read", false), &[]).await.status, 200);
    stand.sidecar.stop();
}

#[tokio::test]
async fn limits_stop_a_session_and_no_other() {
    let rules =
        "[org]\nturns_per_session_max = 2\n[team.search]\nusd_per_session_max = '0.00005'\n";
    let stand = Stand::with(rules).await;
    for _ in 0..2 {
        assert_eq!(stand.call(json!({}), &[]).await.status, 200);
    }
    let third = stand.call(json!({}), &[]).await;
    assert_refused(&third, 429, "rate_limit_error", "turns_per_session_max");
    let prompt = json!({"hook_event_name": "UserPromptSubmit", "session_id": "s", "prompt": "x"});
    assert_eq!(stand.hook(&prompt).await["decision"], "block");
    let other = [("x-claude-code-session-id", "another")];
    assert_eq!(stand.call(json!({}), &other).await.status, 200);
    // The team's own limit holds for its own sessions, by what they cost.
    let key = stand.site.add_key(&["--team", "search"]);
    stand.sidecar.stop();
    let config = format!("[upstream]\nkey = \"env:UPSTREAM\"\n{rules}");
    let mut site = stand.site;
    site.env("UPSTREAM", "sk-ant-test-fake");
    let sidecar = Sidecar::start(&site, &Options::to(&stand.fake.url).config(&config));
    let stand = Stand { fake: stand.fake, site, sidecar };
    let as_team = [("x-api-key", key.as_str()), ("x-claude-code-session-id", "t")];
    assert_eq!(stand.call(json!({}), &as_team).await.status, 200);
    let over = stand.call(json!({}), &as_team).await;
    assert_refused(&over, 429, "rate_limit_error", "team search, usd_per_session_max");
    // A restart does not give the money back.
    stand.sidecar.stop();
    let sidecar = Sidecar::start(&stand.site, &Options::to(&stand.fake.url).config(&config));
    let stand = Stand { sidecar, ..stand };
    let over = stand.call(json!({}), &as_team).await;
    assert_refused(&over, 429, "rate_limit_error", "team search, usd_per_session_max");
    stand.sidecar.stop();
}

#[tokio::test]
async fn an_observing_layer_only_writes_down() {
    let rules = "[org]\nrules = 'observe'\ntools_denied = ['Bash']\nmodels_allowed = ['none']\n";
    let stand = Stand::with(rules).await;
    assert_eq!(stand.tool("Bash", json!({})).await, None);
    assert_eq!(stand.call(json!({}), &[]).await.status, 200);
    let expected =
        [decided("observed", "tools_denied", "org"), decided("observed", "models_allowed", "org")];
    assert_eq!(stand.decisions(), expected);
    stand.sidecar.stop();
}

#[tokio::test]
async fn neither_headers_nor_a_project_file_loosen_a_rule() {
    let rules = "[org]\ntrust_project_files = true\ntools_denied = ['WebFetch']\n\
                 models_allowed = ['claude-haiku-*']\n\
                 [team.free]\nmodels_allowed = ['*']\ntools_allowed = ['*']\n\
                 [task.free]\nmodels_allowed = ['*']\n[project.free]\nmodels_allowed = ['*']\n";
    let stand = Stand::with(rules).await;
    let project = stand.site.path("project");
    std::fs::create_dir_all(project.join("src")).unwrap();
    let file = project.join(".weighbridge.toml");
    let cwd = |session: &str, id: &str| json!({"cwd": project.join("src"), "session_id": session, "tool_use_id": id});
    std::fs::write(
        &file,
        "tools_denied = ['WebSearch']\ntools_allowed = ['*']\nrules = 'observe'\n",
    )
    .unwrap();
    assert!(stand.tool("WebFetch", cwd("s", "1")).await.is_some(), "the organisation's rule holds");
    for name in ["team", "project", "task", "tag-team", "rules", "mode"] {
        let header = format!("x-weighbridge-{name}");
        let answer = stand.call(json!({}), &[(&header, "free")]).await;
        assert_refused(&answer, 403, "permission_error", "org, models_allowed");
    }
    // What the file adds holds for the session, whatever becomes of the file.
    std::fs::write(&file, "tools_denied = ['WebSearch']\n").unwrap();
    assert!(stand.tool("WebSearch", cwd("t", "2")).await.is_some());
    std::fs::write(&file, "tools_denied = []\n").unwrap();
    assert!(stand.tool("WebSearch", cwd("t", "3")).await.is_some(), "the session is bound to it");
    std::fs::remove_file(&file).unwrap();
    assert!(stand.tool("WebSearch", cwd("t", "4")).await.is_some());
    assert!(stand.tool("WebFetch", cwd("u", "5")).await.is_some());
    stand.sidecar.stop();
}

#[tokio::test]
async fn a_loop_of_the_same_tool_call_is_stopped() {
    let stand = Stand::with("[org]\nrepeated_calls_max = 3\nparallel_agents_max = 1\n").await;
    let call = |id: &str, input: u64| json!({"tool_use_id": id, "tool_input": {"command": input}});
    for id in ["a1", "a2", "a3"] {
        assert_eq!(stand.tool("Bash", call(id, 1)).await, None);
    }
    assert!(stand.tool("Bash", call("a4", 1)).await.unwrap().contains("repeated_calls_max"));
    assert_eq!(stand.tool("Bash", call("b1", 2)).await, None, "another input is no repetition");
    for id in ["c1", "c2", "c3", "c4", "c5", "c6"] {
        stand.tool("Bash", call(id, 1)).await;
    }
    let answer = stand.call(json!({}), &[]).await;
    assert_refused(&answer, 429, "rate_limit_error", "repeated_calls_max");
    assert_eq!(stand.tool("Agent", call("d1", 1)).await, None);
    assert!(stand.tool("Agent", call("d2", 2)).await.unwrap().contains("parallel_agents_max"));
    stand.hook(&json!({"hook_event_name": "PostToolUse", "session_id": "s", "tool_name": "Agent", "tool_use_id": "d1"})).await;
    assert_eq!(stand.tool("Agent", call("d3", 3)).await, None);
    stand.sidecar.stop();
}

#[test]
fn the_layer_that_set_a_rule_is_named() {
    let site = Site::new();
    let config = "[org]\ntrust_project_files = true\nusd_per_session_max = '10'\n\
                  tools_denied = ['WebSearch']\n[team.search]\nusd_per_session_max = '5'\n\
                  [task.nightly]\nrules = 'observe'\ncalls_per_turn_max = 40\n";
    let config = site.file("w.toml", config).display().to_string();
    let project = site.path("project");
    std::fs::create_dir_all(project.join("teams/search/src")).unwrap();
    std::fs::write(project.join(".weighbridge.toml"), "tools_denied = ['Bash']\n").unwrap();
    std::fs::write(project.join("teams/search/.weighbridge.toml"), "usd = 1\n").unwrap();
    let dir = project.display().to_string();
    let all = ["--team", "search", "--task", "nightly", "--dir", &dir];
    let told = site.ok(&[&["check", "--config", &config], &all[..]].concat());
    for row in [
        ["tools_denied", "org", "WebSearch", "holds"],
        ["tools_denied", "project file", "Bash", "holds"],
        ["calls_per_turn_max", "task nightly", "40", "observed only"],
        ["usd_per_session_max", "org", "10", "another limit is smaller"],
        ["usd_per_session_max", "team search", "5", "holds"],
    ] {
        let fits = |line: &str| {
            let squeezed = line.split_whitespace().collect::<Vec<_>>().join(" ");
            squeezed == row.join(" ")
        };
        assert!(told.lines().any(fits), "{row:?} in {told}");
    }
    assert!(told.contains("ignored: team file: unknown field `usd`"), "{told}");
    let other = site.ok(&["check", "--config", &config, "--team", "other"]);
    assert!(!other.contains("team search") && !other.contains("project file"), "{other}");
    let version = |text: &str| text.split("rules: ").nth(1).unwrap()[..16].to_owned();
    assert_ne!(version(&told), version(&other));
    assert_eq!(site.ok(&["check", "--team", "search"]), "no rules hold\n");
}
