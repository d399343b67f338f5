//! Real Claude Code with hooks: every tool call is accounted for, every cent has its turn and agent.
#![cfg(test)]
#![cfg(feature = "real-clients")]
#![expect(clippy::disallowed_methods, reason = "the client needs the PATH of this machine")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use support::api::Fake;
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
    let work = home.join("work");
    std::fs::create_dir_all(&work).unwrap();
    let mut command = tokio::process::Command::new(claude_code());
    command
        .args(["-p", "Please run echo hello", "--output-format", "json"])
        .arg("--dangerously-skip-permissions")
        .args(more)
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
    output.expect("Claude Code ends").unwrap()
}

fn install(home: &Path, sidecar: &Sidecar) {
    let url = format!("{}/hooks", sidecar.ready["admin"].as_str().unwrap());
    let hook = json!([{"matcher": "", "hooks": [{"type": "http", "url": url, "timeout": 5,
        "headers": {"Authorization": "Bearer $WEIGHBRIDGE_HOOK_TOKEN"},
        "allowedEnvVars": ["WEIGHBRIDGE_HOOK_TOKEN"]}]}]);
    let names = [
        "PreToolUse",
        "PostToolUse",
        "PostToolUseFailure",
        "PostToolBatch",
        "UserPromptSubmit",
        "Stop",
        "StopFailure",
        "SubagentStart",
        "SubagentStop",
        "SessionEnd",
        "PermissionDenied",
        "PermissionRequest",
        "Notification",
    ];
    let hooks: serde_json::Map<String, Value> =
        names.into_iter().map(|name| (name.to_owned(), hook.clone())).collect();
    let settings =
        json!({"hooks": hooks, "env": {"WEIGHBRIDGE_HOOK_TOKEN": sidecar.ready["hook_token"]}});
    std::fs::create_dir_all(home.join(".claude")).unwrap();
    std::fs::write(home.join(".claude/settings.json"), settings.to_string()).unwrap();
}

#[tokio::test]
async fn every_tool_call_is_accounted_for() {
    let fake = Fake::start("agents").await;
    let site = Site::new();
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let home = tempfile::tempdir().unwrap();
    install(home.path(), &sidecar);
    let output = run(home.path(), &sidecar.url(), &[], &[]).await;
    println!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    for line in site.ledger_lines() {
        let v: Value = serde_json::from_slice(&line).unwrap();
        if ["hook", "tools_asked", "tools_returned"].contains(&v["kind"].as_str().unwrap()) {
            println!("{} {}", v["kind"], v["body"]);
        }
    }
    let metrics = sidecar.metrics().await;
    for (name, value) in &metrics.0 {
        if name.contains("tool")
            || name.contains("quer")
            || name.contains("claude_agents")
            || name.contains("hook")
        {
            println!("{name} {value}");
        }
    }
    println!("{}", sidecar.said());
    panic!();
}
