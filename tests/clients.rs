//! The real clients through the real binary against the fake API: what they print, what is
//! recorded, and that the client's own bill and ours agree to the last digit.
//!
//! `make tools` installs them into `.tools`. They run with an empty environment and home, a fake
//! key, and a base URL on loopback.
#![cfg(test)]
#![cfg(feature = "real-clients")]
#![expect(clippy::disallowed_methods, reason = "the clients need the PATH of this machine")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::api::Fake;
use support::collector::{Collector, attribute};
use support::message::{ATTO, Figures, atto};
use support::sidecar::{Metrics, Options, Sidecar, Site};

const RUN_MAX: Duration = Duration::from_secs(100);
const PROMPT: [&str; 2] = ["-p", "Please run echo hello"];
const JSON: [&str; 3] = ["--output-format", "json", "--dangerously-skip-permissions"];

fn tools() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools");
    let done = ["npm.installed", "python.installed"].iter().all(|name| tools.join(name).exists());
    assert!(done, "the clients are not installed: run `make tools`");
    tools
}

/// The native program of Claude Code for this machine.
fn claude_code() -> PathBuf {
    let scope = tools().join("node_modules/@anthropic-ai");
    let folders = std::fs::read_dir(scope).unwrap().flatten().map(|entry| entry.path());
    let programs = folders
        .filter(|f| f.file_name().unwrap().to_string_lossy().starts_with("claude-code-"))
        .map(|folder| folder.join("claude"));
    programs.into_iter().find(|program| program.is_file()).expect("Claude Code is installed")
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Client {
    ClaudeCode,
    AgentTypeScript,
    AgentPython,
    PlainTypeScript,
    PlainPython,
}

impl Client {
    fn command(self) -> (PathBuf, Vec<String>) {
        let script = |name: &str| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
            vec![folder.join(name).display().to_string()]
        };
        let python = tools().join("venv/bin/python");
        match self {
            Client::ClaudeCode => {
                let arguments = PROMPT.into_iter().chain(JSON).map(str::to_owned);
                (claude_code(), arguments.collect())
            }
            Client::AgentTypeScript => ("node".into(), script("agent.mjs")),
            Client::PlainTypeScript => ("node".into(), script("plain.mjs")),
            Client::AgentPython => (python, script("agent.py")),
            Client::PlainPython => (python, script("plain.py")),
        }
    }
}

/// Runs a client to its end with nothing of this environment but the `PATH`.
async fn run(client: Client, base_url: &str, more: &[(&str, &str)]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let work = home.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let (program, arguments) = client.command();
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .env("LANG", "C.UTF-8")
        .env("TOOLS", tools())
        .env("IS_SANDBOX", "1")
        .env("ANTHROPIC_BASE_URL", base_url)
        .env("ANTHROPIC_API_KEY", "sk-ant-test-fake")
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("DISABLE_AUTOUPDATER", "1")
        .envs(more.iter().copied())
        .current_dir(&work)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(RUN_MAX, command.output()).await;
    output.unwrap_or_else(|_| panic!("{client:?} does not end")).unwrap()
}

/// What the client printed, as JSON; it must have ended well.
#[track_caller]
fn printed(client: Client, output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{client:?}: {} {errors} {text}", output.status);
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{client:?}: {error}: {text}"))
}

/// The part of what was printed that is the same in every run.
fn lasting(printed: &Value) -> Value {
    let mut kept = printed.clone();
    if let Some(fields) = kept.as_object_mut() {
        fields.retain(|name, _| {
            let fixed = ["said", "subtype", "is_error", "num_turns", "result", "usage"];
            fixed.contains(&name.as_str()) || name == "total_cost_usd"
        });
    }
    kept
}

struct Run {
    site: Site,
    fake: Fake,
    _sidecar: Sidecar,
    printed: Value,
    records: Vec<Value>,
    metrics: Metrics,
}

/// Runs a client against the fake alone and through the sidecar; both must print the same.
async fn both_ways(client: Client, scenario: &str, more: &[(&str, &str)]) -> Run {
    let alone = Fake::start(scenario).await;
    let direct = printed(client, &run(client, &alone.url, more).await);
    let (site, fake) = (Site::new(), Fake::start(scenario).await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let through = printed(client, &run(client, &sidecar.url(), more).await);
    let (mut one, mut two) = (lasting(&through), lasting(&direct));
    if scenario.starts_with("cut") {
        // Whether the client still reads what came just before a reset is a race inside it: its own
        // sum differs from run to run, with and without a sidecar. What it answers does not.
        for printed in [&mut one, &mut two] {
            *printed = printed["result"].take();
        }
    }
    assert_eq!(one, two, "{client:?} prints the same");
    assert_eq!(fake.count(), alone.count(), "{client:?} makes the same calls");
    assert_eq!(fake.billed(), alone.billed());
    for (one, two) in fake.seen().iter().zip(alone.seen()) {
        let kept = |names: Vec<String>| {
            let mut names = names;
            // Which connection is kept is each hop's own business.
            names.retain(|name| name != "connection");
            names.sort();
            names
        };
        assert_eq!(kept(one.head.names()), kept(two.head.names()), "{client:?}: header names");
    }
    let (records, metrics) = (site.exchanges(), sidecar.metrics().await);
    Run { site, fake, _sidecar: sidecar, printed: through, records, metrics }
}

impl Run {
    /// Ledger, report, metrics and the API agree on tokens and money; gives the money.
    fn assert_figures(&self) -> i128 {
        let bill = self.fake.billed();
        let recorded: i128 = self
            .records
            .iter()
            .filter(|record| !record["usd"].is_null())
            .map(|record| atto(&record["usd"]))
            .sum();
        let total = &self.site.report("session")["total"];
        assert_eq!(atto(&total["usd"]), recorded, "{total}");
        for (label, field, count) in [
            ("input", "input_tokens", bill.input),
            ("output", "output_tokens", bill.output),
            ("cache_read", "cache_read_tokens", bill.read),
            ("cache_write_5m", "cache_write_5m_tokens", bill.write_5m),
            ("cache_write_1h", "cache_write_1h_tokens", bill.write_1h),
        ] {
            let label = format!("type=\"{label}\"");
            assert_eq!(self.metrics.sum("claude_tokens_total", &[&label]), count as f64);
            assert_eq!(total[field], count, "{total}");
        }
        assert_eq!(self.metrics.sum("claude_requests_total", &[]), self.fake.count() as f64);
        recorded
    }

    /// What the client itself says it cost is what we say.
    fn assert_client_agrees(&self, usd: i128) {
        let own = self.printed["total_cost_usd"].as_f64().expect("the client's own sum");
        let ours = usd as f64 / ATTO as f64;
        assert!((own - ours).abs() < 1e-12, "the client says {own}, we say {ours}");
    }

    fn sessions(&self) -> Vec<&str> {
        let mut all: Vec<_> = self.records.iter().filter_map(|r| r["session"].as_str()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The conversation of `basic`: 0.066096 + 0.003934 dollars.
fn conversation() -> Figures {
    let mut figures = Figures::new(4, 11_000, 1_200, 0, 74);
    figures.add(Figures::new(6, 210, 0, 12_200, 21));
    figures
}

async fn assert_agent(client: Client) {
    let run = both_ways(client, "basic", &[]).await;
    assert_eq!(run.fake.billed(), conversation(), "{client:?}");
    assert_eq!(run.records.len(), 2, "{client:?}: {:?}", run.records);
    assert!(run.records.iter().all(|record| record["outcome"] == "completed"));
    let usd = run.assert_figures();
    assert_eq!(usd, conversation().list_cost());
    run.assert_client_agrees(usd);
    assert_eq!(run.sessions(), [run.printed["session_id"].as_str().unwrap()]);
    let result = run.printed["result"].as_str().unwrap();
    assert_eq!(result, "Done: the command printed hello. – ✓ naïve café");
}

#[tokio::test]
async fn claude_code_itself() {
    assert_agent(Client::ClaudeCode).await;
}

#[tokio::test]
async fn agent_sdk_for_typescript() {
    assert_agent(Client::AgentTypeScript).await;
}

#[tokio::test]
async fn agent_sdk_for_python() {
    assert_agent(Client::AgentPython).await;
}

#[tokio::test]
async fn plain_sdks() {
    for client in [Client::PlainTypeScript, Client::PlainPython] {
        let run = both_ways(client, "basic", &[]).await;
        assert_eq!(run.records.len(), 3, "{client:?}");
        assert_eq!(run.assert_figures(), run.fake.billed().list_cost());
        assert!(run.sessions().is_empty(), "plain clients have no session");
    }
}

#[tokio::test]
async fn a_subagent_is_told_from_its_parent() {
    let run = both_ways(Client::ClaudeCode, "subagent", &[]).await;
    let usd = run.assert_figures();
    assert_eq!(usd, run.fake.billed().list_cost());
    run.assert_client_agrees(usd);
    assert_eq!(run.sessions().len(), 1);
    let mut agents: Vec<_> = run.records.iter().map(|r| r["agent"].as_str()).collect();
    agents.sort_unstable();
    agents.dedup();
    assert_eq!(agents.len(), 2, "the main agent and one more: {agents:?}");
    assert!(agents[0].is_none());
    assert_eq!(run.records.len(), 4, "two calls each");
}

#[tokio::test]
async fn retries_are_attempts_of_one_call() {
    let run = both_ways(Client::ClaudeCode, "e529", &[]).await;
    let statuses: Vec<_> = run.records.iter().map(|record| record["status"].clone()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 529).count(), 2, "{statuses:?}");
    assert_eq!(run.assert_figures(), conversation().list_cost());
    let opened: Vec<Value> = run
        .site
        .ledger_lines()
        .iter()
        .map(|line| serde_json::from_slice::<Value>(line).unwrap())
        .filter(|line| line["kind"] == "opened")
        .map(|line| line["body"].clone())
        .collect();
    let attempts: Vec<_> = opened.iter().map(|body| body["attempt"].as_u64().unwrap()).collect();
    assert_eq!(attempts, [1, 2, 3, 1]);
    assert!(opened[..3].iter().all(|body| body["call"] == opened[0]["call"]));
    assert_ne!(opened[3]["call"], opened[0]["call"]);
}

#[tokio::test]
async fn trouble_on_the_wire_is_survived_and_recorded() {
    for (scenario, outcome) in [("error_mid", "upstream_error"), ("cut_early", "upstream_error")] {
        let run = both_ways(Client::ClaudeCode, scenario, &[]).await;
        let failed = run.records.iter().filter(|record| record["outcome"] == outcome);
        assert_eq!(failed.count(), 1, "{scenario}: {:?}", run.records);
        let result = run.printed["result"].as_str().unwrap();
        assert!(result.contains("printed hello"), "{scenario}: {result}");
    }
}

#[tokio::test]
async fn vertex_and_bedrock_modes_are_metered() {
    let vertex = |url: &str| {
        vec![
            ("CLAUDE_CODE_USE_VERTEX", "1".to_owned()),
            ("CLOUD_ML_REGION", "global".to_owned()),
            ("ANTHROPIC_VERTEX_PROJECT_ID", "demo-proj".to_owned()),
            ("CLAUDE_CODE_SKIP_VERTEX_AUTH", "1".to_owned()),
            ("ANTHROPIC_VERTEX_BASE_URL", format!("{url}/v1")),
        ]
    };
    let bedrock = |url: &str| {
        vec![
            ("CLAUDE_CODE_USE_BEDROCK", "1".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("CLAUDE_CODE_SKIP_BEDROCK_AUTH", "1".to_owned()),
            ("ANTHROPIC_BEDROCK_BASE_URL", url.to_owned()),
        ]
    };
    for mode in ["vertex", "bedrock"] {
        let (site, fake) = (Site::new(), Fake::start("basic").await);
        let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
        let url = sidecar.url();
        let set = if mode == "vertex" { vertex(&url) } else { bedrock(&url) };
        let more: Vec<_> = set.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let printed = printed(Client::ClaudeCode, &run(Client::ClaudeCode, &url, &more).await);
        assert!(printed["result"].as_str().unwrap().contains("printed hello"), "{mode}");
        let total = &site.report("team")["total"];
        let bill = fake.billed();
        assert_eq!(total["output_tokens"], bill.output, "{mode}: {total}");
        assert_eq!(total["cache_read_tokens"], bill.read, "{mode}: {total}");
        assert!(atto(&total["usd"]) >= bill.list_cost(), "{mode}: list price or a region's");
    }
}

#[tokio::test]
async fn the_spans_of_a_run_join_the_clients_own() {
    let collector = Collector::start().await;
    let (site, fake) = (Site::new(), Fake::start("subagent").await);
    let export = format!("[otlp]\nendpoint = '{}'\ndelay = '50ms'\n", collector.url);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(&export));
    let tracing = [
        ("CLAUDE_CODE_ENABLE_TELEMETRY", "1"),
        ("CLAUDE_CODE_ENHANCED_TELEMETRY_BETA", "1"),
        ("CLAUDE_CODE_PROPAGATE_TRACEPARENT", "1"),
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_TRACES_EXPORT_INTERVAL", "200"),
    ];
    printed(Client::ClaudeCode, &run(Client::ClaudeCode, &sidecar.url(), &tracing).await);
    let of = |spans: &[opentelemetry_proto::tonic::trace::v1::Span], name: &str| {
        spans.iter().filter(|span| span.name.starts_with(name)).cloned().collect::<Vec<_>>()
    };
    let spans = support::eventually("the query ends", || {
        Some(collector.spans()).filter(|spans| !of(spans, "claude_query").is_empty())
    })
    .await;
    collector.assert_strict();
    let (chats, queries) = (of(&spans, "chat "), of(&spans, "claude_query"));
    assert_eq!((chats.len(), queries.len()), (fake.count(), 1), "{spans:#?}");
    assert_eq!(of(&spans, "invoke_agent").len(), 1);
    let book = collector.book();
    for chat in &chats {
        let parent = book.foreign.iter().find(|span| span.span_id == chat.parent_span_id);
        let parent = parent.unwrap_or_else(|| panic!("no parent of {chat:#?}"));
        assert_eq!(parent.trace_id, chat.trace_id);
        assert!(parent.name.contains("llm_request"), "{}", parent.name);
        let linked = |link: &opentelemetry_proto::tonic::trace::v1::span::Link| {
            link.span_id == chat.span_id && link.trace_id == chat.trace_id
        };
        assert!(queries[0].links.iter().any(linked), "the query links to each call");
        assert_eq!(queries[0].trace_id, chat.trace_id);
    }
    let usd: f64 = chats
        .iter()
        .map(|chat| attribute(&chat.attributes, "claude.cost.usd").parse::<f64>().unwrap())
        .sum();
    assert!((usd - fake.billed().list_cost() as f64 / ATTO as f64).abs() < 1e-12);
}
