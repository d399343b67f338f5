//! Real Claude Code with hooks: every tool call is accounted for, every cent has its turn and
//! agent.
#![cfg(test)]
#![cfg(feature = "real-clients")]
#![expect(clippy::disallowed_methods, reason = "the client needs the PATH of this machine")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use support::api::Fake;
use support::message::atto;
use support::sidecar::{Options, Sidecar, Site};

const RUN_MAX: Duration = Duration::from_secs(100);

/// The native program of Claude Code for this machine.
fn claude_code() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools");
    assert!(tools.join("npm.installed").exists(), "run `make tools`");
    let folders = std::fs::read_dir(tools.join("node_modules/@anthropic-ai")).unwrap().flatten();
    let programs = folders
        .map(|entry| entry.path())
        .filter(|f| f.file_name().unwrap().to_string_lossy().starts_with("claude-code-"))
        .map(|folder| folder.join("claude"));
    programs.into_iter().find(|program| program.is_file()).expect("Claude Code is installed")
}

/// Runs Claude Code to its end with nothing of this environment but the `PATH`.
async fn run(home: &Path, base_url: &str, more: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = tokio::process::Command::new(claude_code());
    command
        .args(["-p", "Please run echo hello", "--output-format", "json"])
        .arg("--dangerously-skip-permissions")
        .args(more);
    to_its_end(command, home, base_url, environment).await
}

async fn to_its_end(
    mut command: tokio::process::Command,
    home: &Path,
    base_url: &str,
    environment: &[(&str, &str)],
) -> Output {
    let work = home.join("work");
    std::fs::create_dir_all(&work).unwrap();
    command
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("LANG", "C.UTF-8")
        .env("IS_SANDBOX", "1")
        .env("ANTHROPIC_BASE_URL", base_url)
        .env("ANTHROPIC_API_KEY", "sk-ant-test-fake")
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("DISABLE_AUTOUPDATER", "1")
        .envs(environment.iter().copied())
        .current_dir(&work)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(RUN_MAX, command.output()).await;
    output.expect("the client ends").unwrap()
}

/// What a user does: `weighbridge hooks install`.
fn install(home: &Path, site: &Site, sidecar: &Sidecar) {
    let admin = sidecar.ready["admin"].as_str().unwrap();
    let mut command = site.command(&["hooks", "install", "--admin", admin]);
    command.arg("--data-dir").arg(&site.data).env("HOME", home);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The bodies of all entries of a kind.
fn entries(site: &Site, kind: &str) -> Vec<Value> {
    let lines = site.ledger_lines().into_iter();
    let values = lines.map(|line| serde_json::from_slice::<Value>(&line).unwrap());
    values.filter(|line| line["kind"] == kind).map(|line| line["body"].clone()).collect()
}

/// How many tool calls ended in each state, by tool.
async fn states(sidecar: &Sidecar) -> Vec<(String, String, f64)> {
    let label = |name: &str, label: &str| {
        let rest = name.split(&format!("{label}=\"")).nth(1).unwrap_or_default();
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    let metrics = sidecar.metrics().await;
    let calls = metrics.0.iter().filter(|(name, _)| name.starts_with("claude_tool_calls_total"));
    calls.map(|(name, n)| (label(name, "tool"), label(name, "state"), *n)).collect()
}

fn state(tool: &str, state: &str, count: f64) -> (String, String, f64) {
    (tool.to_owned(), state.to_owned(), count)
}

#[tokio::test]
async fn every_tool_call_is_accounted_for() {
    let fake = Fake::start("agents").await;
    let site = Site::new();
    let rules = "[org]\ntools_denied = ['WebFetch']\n";
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(rules));
    let home = tempfile::tempdir().unwrap();
    install(home.path(), &site, &sidecar);
    let output = run(home.path(), &sidecar.url(), &[], &[]).await;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}");
    let printed: Value = serde_json::from_str(printed.trim()).unwrap();
    assert!(printed["result"].as_str().unwrap().contains("All done"), "{printed}");
    let expected = [
        state("Agent", "complete", 1.0),
        state("Bash", "complete", 2.0),
        state("WebFetch", "denied", 1.0),
    ];
    assert_eq!(states(&sidecar).await, expected);
    // What the model was told of the denial is what the rule says.
    let told = fake.seen().into_iter().map(|seen| String::from_utf8_lossy(&seen.body).into_owned());
    assert!(told.into_iter().any(|body| body.contains("Weighbridge: This tool is not allowed")));
    let metrics = sidecar.metrics().await;
    let one =
        |family: &str, labels: &[&str]| assert_eq!(metrics.sum(family, labels), 1.0, "{family}");
    one("claude_queries_total", &["outcome=\"answered\""]);
    one("claude_agents_total", &["agent_type=\"general-purpose\""]);
    one("claude_rule_decisions_total", &["rule=\"tools_denied\"", "action=\"denied\""]);
    assert_eq!(metrics.sum("weighbridge_tool_calls_open", &[]), 0.0);
    assert_eq!(metrics.sum("claude_active_sessions", &[]), 0.0, "the session said that it is over");
    assert_lines(&sidecar);
    sidecar.stop();
    assert_eq!(entries(&site, "rule_applied").len(), 1);
    for event in ["SessionStart", "SessionEnd", "UserPromptSubmit", "Stop", "SubagentStop"] {
        let found = entries(&site, "hook").into_iter().filter(|hook| hook["event"] == event);
        assert_eq!(found.count(), 1, "{event}");
    }
    assert_sums(&site, Some(100));
}

/// Each cent has its turn and its agent; the session says how much is accounted for.
fn assert_sums(site: &Site, completeness: Option<u64>) {
    let sum = |rows: &[Value]| -> i128 { rows.iter().map(|row| atto(&row["usd"])).sum() };
    let exchanges = site.exchanges();
    let total = sum(&exchanges);
    assert!(total > 0);
    for (by, count) in [("turn", 1), ("agent", 2)] {
        let report = site.report(by);
        let rows = report["rows"].as_array().unwrap();
        assert_eq!((sum(rows), rows.len()), (total, count), "{report}");
    }
    let session = exchanges[0]["session"].as_str().unwrap();
    let shown = site.ok(&["sessions", session, "--format", "json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["completeness"].as_u64(), completeness, "{shown}");
    assert_eq!(sum(shown["turns"].as_array().unwrap()), total, "{shown}");
}

/// One line for each call and one for each result, without content.
fn assert_lines(sidecar: &Sidecar) {
    let said = sidecar.said();
    let lines: Vec<Value> =
        said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for message in ["tool_execution", "tool_result"] {
        let mut ids: Vec<_> = lines
            .iter()
            .filter(|line| line["message"] == message)
            .map(|line| {
                for field in ["tool_name", "tool_use_id", "session", "team", "timestamp"] {
                    assert!(line[field].is_string(), "{field}: {line}");
                }
                line["tool_use_id"].as_str().unwrap().to_owned()
            })
            .collect();
        ids.sort_unstable();
        let once = ids.len();
        ids.dedup();
        assert_eq!((ids.len(), once), (4, 4), "{message}");
    }
    assert!(!said.contains("echo hello"), "no input is logged");
}

#[tokio::test]
async fn without_hooks_the_same_calls_have_a_gap() {
    let fake = Fake::start("agents").await;
    let site = Site::new();
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let home = tempfile::tempdir().unwrap();
    let output = run(home.path(), &sidecar.url(), &[], &[]).await;
    assert!(output.status.success());
    let expected = [
        state("Agent", "hook_missing", 1.0),
        state("Bash", "hook_missing", 2.0),
        state("WebFetch", "hook_missing", 1.0),
    ];
    assert_eq!(states(&sidecar).await, expected);
    sidecar.stop();
    assert_sums(&site, Some(0));
}

/// What `--enforce` promises: no event, no tool.
#[tokio::test]
async fn hooks_that_are_enforced_hold_the_agent_while_no_sidecar_hears() {
    let fake = Fake::start("agents").await;
    let site = Site::new();
    let printed =
        site.run(&["hooks", "settings", "--managed", "--enforce", "--admin", "http://127.0.0.1:9"]);
    let settings: Value = serde_json::from_slice(&printed.stdout).unwrap();
    // Only the machine's own settings can say that no other hooks run.
    let mut hooks = settings["hooks"].clone();
    let settings = site.file("enforced.json", &json!({"hooks": hooks}).to_string());
    let home = tempfile::tempdir().unwrap();
    let settings = ["--settings", settings.to_str().unwrap()];
    let output = run(home.path(), &fake.url, &settings, &[]).await;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!printed.contains("All done"), "{printed}");
    assert_eq!(fake.count(), 0, "the prompt was not sent: {printed}");
    // Where prompts go through, no tool does.
    hooks.as_object_mut().unwrap().retain(|event, _| event == "PreToolUse");
    let settings = site.file("tools.json", &json!({"hooks": hooks}).to_string());
    let settings = ["--settings", settings.to_str().unwrap()];
    run(home.path(), &fake.url, &settings, &[]).await;
    let sent = fake.seen().into_iter().map(|seen| seen.body).filter(|body| !body.is_empty());
    let bodies: Vec<Value> = sent.map(|body| serde_json::from_slice(&body).unwrap()).collect();
    let messages = bodies.iter().flat_map(|body| body["messages"].as_array().unwrap());
    let blocks = messages.flat_map(|message| message["content"].as_array().into_iter().flatten());
    let results: Vec<_> = blocks.filter(|block| block["type"] == "tool_result").collect();
    assert!(!results.is_empty(), "{bodies:?}");
    assert!(results.iter().all(|result| result["is_error"] == true), "{results:?}");
}

#[tokio::test]
async fn a_sidecar_that_is_gone_does_not_stop_the_agent() {
    let fake = Fake::start("agents").await;
    let site = Site::new();
    // Hooks go to a sidecar that has stopped, calls to one that has not heard of them.
    let gone = Sidecar::start(&site, &Options::to(&fake.url));
    let home = tempfile::tempdir().unwrap();
    install(home.path(), &site, &gone);
    gone.stop();
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let output = run(home.path(), &sidecar.url(), &[], &[]).await;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && printed.contains("All done"), "{printed}");
    let all: f64 =
        states(&sidecar).await.iter().filter(|(_, s, _)| s == "hook_missing").map(|s| s.2).sum();
    assert_eq!(all, 4.0, "the gap is visible");
    sidecar.stop();
}

#[tokio::test]
async fn a_denied_tool_without_hooks_does_not_reach_the_model() {
    let fake = Fake::start("agents").await;
    let site = Site::new();
    let rules = "[org]\ntools_denied = ['WebFetch']\n";
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(rules));
    let home = tempfile::tempdir().unwrap();
    let output = run(home.path(), &sidecar.url(), &[], &[]).await;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && printed.contains("tools_denied"), "{printed}");
    let refused = site.exchanges().into_iter().filter(|e| e["outcome"] == "refused").count();
    assert_eq!(refused, 1, "the client does not try again");
    sidecar.stop();
}

#[tokio::test]
async fn a_limit_stops_the_client_at_once_and_says_so() {
    let fake = Fake::start("agents").await;
    let site = Site::new();
    let rules = "[org]\ncalls_per_turn_max = 1\n";
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(rules));
    let home = tempfile::tempdir().unwrap();
    let output = run(home.path(), &sidecar.url(), &[], &[]).await;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && printed.contains("calls_per_turn_max"), "{printed}");
    let outcomes: Vec<_> = site.exchanges().into_iter().map(|e| e["outcome"].clone()).collect();
    assert_eq!(outcomes, ["completed", "refused"], "no retries");
    sidecar.stop();
}

/// An example of `deploy/examples`, unchanged, with the real SDK.
async fn example(name: &str, home: &Path, base_url: &str, hooks: (&str, &str)) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = root.join(".tools");
    std::fs::create_dir_all(home).unwrap();
    let script = home.join(name);
    std::fs::copy(root.join("deploy/examples").join(name), &script).unwrap();
    let program = if name.ends_with(".py") {
        tools.join("venv/bin/python")
    } else {
        let packages = home.join("node_modules");
        if !packages.exists() {
            std::os::unix::fs::symlink(tools.join("node_modules"), packages).unwrap();
        }
        PathBuf::from("node")
    };
    let mut command = tokio::process::Command::new(program);
    command.arg(script).arg("Please run echo hello");
    let (url, token) = hooks;
    let hooks = [("WEIGHBRIDGE_HOOK_URL", url), ("WEIGHBRIDGE_HOOK_TOKEN", token)];
    to_its_end(command, home, base_url, &hooks).await
}

/// What the example has to print where all goes well.
#[track_caller]
fn assert_ended_well(output: &Output) {
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}{errors}");
    assert_eq!(printed.trim(), "All done.", "{errors}");
}

/// How the program's events get to the sidecar.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Callbacks,
    Settings,
    Both,
}

/// Whatever the way: all is accounted for, counted once, and the model is told of the denial.
async fn assert_example(name: &str, way: Way) {
    let fake = Fake::start("agents").await;
    let site = Site::new();
    let rules = "[org]\ntools_denied = ['WebFetch']\n";
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(rules));
    let home = tempfile::tempdir().unwrap();
    if way != Way::Callbacks {
        install(home.path(), &site, &sidecar);
    }
    let url = format!("{}/hooks", sidecar.ready["admin"].as_str().unwrap());
    let url = if way == Way::Settings { "" } else { &url };
    let token = sidecar.ready["hook_token"].as_str().unwrap();
    assert_ended_well(&example(name, home.path(), &sidecar.url(), (url, token)).await);
    let expected = [
        state("Agent", "complete", 1.0),
        state("Bash", "complete", 2.0),
        state("WebFetch", "denied", 1.0),
    ];
    assert_eq!(states(&sidecar).await, expected, "{way:?}");
    let told = fake.seen().into_iter().map(|seen| String::from_utf8_lossy(&seen.body).into_owned());
    assert!(told.into_iter().any(|body| body.contains("Weighbridge: This tool is not allowed")));
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.sum("claude_agents_total", &[]), 1.0, "{way:?}");
    assert_eq!(metrics.sum("claude_rule_decisions_total", &["action=\"denied\""]), 1.0, "{way:?}");
    sidecar.stop();
    let hooks = entries(&site, "hook");
    for (event, count) in [
        ("UserPromptSubmit", 1),
        ("PreToolUse", 4),
        ("PostToolUse", 3),
        ("SubagentStart", 1),
        ("SubagentStop", 1),
        ("Stop", 1),
    ] {
        let found = hooks.iter().filter(|hook| hook["event"] == event);
        assert_eq!(found.count(), count, "{way:?}: {event}");
    }
    assert_sums(&site, Some(100));
}

/// Where its events do not arrive, the program ends as well as ever, and the gap is visible.
async fn assert_example_without_hooks(name: &str, hook_url: &str) {
    let fake = Fake::start("agents").await;
    let site = Site::new();
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let home = tempfile::tempdir().unwrap();
    assert_ended_well(&example(name, home.path(), &sidecar.url(), (hook_url, "any")).await);
    let expected = [
        state("Agent", "hook_missing", 1.0),
        state("Bash", "hook_missing", 2.0),
        state("WebFetch", "hook_missing", 1.0),
    ];
    assert_eq!(states(&sidecar).await, expected, "{hook_url}");
    sidecar.stop();
    assert_sums(&site, Some(0));
}

/// Something that is no sidecar: it answers every other post with no JSON, and the rest never.
async fn stranger() -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut kept = Vec::new();
        for nth in 0.. {
            let Ok((mut stream, _)) = listener.accept().await else { break };
            let mut start = [0; 1024];
            let _ = stream.read(&mut start).await;
            if nth % 2 == 0 {
                let said =
                    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
                let _ = stream.write_all(said).await;
            } else {
                kept.push(stream);
            }
        }
    });
    url
}

/// A port of this machine where nobody listens.
fn closed() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/hooks", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_program_of_the_python_sdk_tells_what_its_tools_do() {
    for way in [Way::Callbacks, Way::Settings, Way::Both] {
        assert_example("agent_sdk.py", way).await;
    }
}

#[tokio::test]
async fn a_program_of_the_typescript_sdk_tells_what_its_tools_do() {
    for way in [Way::Callbacks, Way::Settings, Way::Both] {
        assert_example("agent_sdk.mjs", way).await;
    }
}

#[tokio::test]
async fn a_program_of_the_python_sdk_goes_on_without_a_sidecar_for_hooks() {
    for url in [closed(), stranger().await] {
        assert_example_without_hooks("agent_sdk.py", &url).await;
    }
}

#[tokio::test]
async fn a_program_of_the_typescript_sdk_goes_on_without_a_sidecar_for_hooks() {
    for url in [closed(), stranger().await] {
        assert_example_without_hooks("agent_sdk.mjs", &url).await;
    }
}

/// For some models Claude Code puts a count behind a tool's output: not what the tool gave.
#[tokio::test]
async fn a_count_behind_an_output_does_not_rewrite_it() {
    let fake = Fake::start("steady").await;
    let site = Site::new();
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let home = tempfile::tempdir().unwrap();
    install(home.path(), &site, &sidecar);
    run(home.path(), &sidecar.url(), &["--model", "claude-haiku-4-5"], &[]).await;
    let sent = fake.seen().into_iter().map(|seen| String::from_utf8_lossy(&seen.body).into_owned());
    assert!(sent.into_iter().any(|body| body.contains(" tokens left</total_tokens>")));
    assert_eq!(states(&sidecar).await, [state("Bash", "complete", 1.0)]);
    sidecar.stop();
}
