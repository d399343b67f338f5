//! Everything that the program leaves behind, shows or sends to somebody other than client and API.

use std::process::Output;

use super::Rig;
use super::forms::Search;
use super::planted::Planted;
use super::planted::Way::Stays;
use super::support::client::Response;
use super::support::hooks::admin;
use super::support::sidecar::{Site, files};
use super::support::{client, client::Request};

/// Dimensions of reports.
const DIMENSIONS: [&str; 18] = [
    "team",
    "user",
    "project",
    "session",
    "turn",
    "agent",
    "agent_type",
    "tool",
    "mcp_server",
    "skill",
    "model",
    "day",
    "hour",
    "key",
    "outcome",
    "instance",
    "tag:note",
    "tag:project",
];

/// Named bytes.
#[derive(Debug, Default)]
pub struct Sinks(pub Vec<(String, Vec<u8>)>);

impl Sinks {
    pub fn add(&mut self, name: &str, bytes: &[u8]) {
        if bytes.iter().any(|byte| *byte != 0) {
            self.0.push((name.to_owned(), bytes.to_vec()));
        }
    }

    pub fn output(&mut self, name: &str, output: &Output) {
        self.add(&format!("standard output of {name}"), &output.stdout);
        self.add(&format!("standard error of {name}"), &output.stderr);
    }

    /// An answer of the sidecar's own: head and body.
    pub fn answer(&mut self, name: &str, answer: &Response) {
        self.add(name, &[&answer.head.raw[..], &answer.body].concat());
    }

    /// All files of a site: the data directory, the log, the ready file, the home.
    pub fn files(&mut self, site: &Site) {
        let mut found = Vec::new();
        files(site.data.parent().unwrap(), &mut found);
        for path in found {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            self.add(&format!("name of the file {name}"), path.to_string_lossy().as_bytes());
            // A file may go away meanwhile.
            self.add(&format!("file {name}"), &std::fs::read(&path).unwrap_or_default());
        }
    }

    /// How many of them have a name that begins so.
    pub fn count(&self, start: &str) -> usize {
        self.0.iter().filter(|(name, _)| name.starts_with(start)).count()
    }

    /// Every find, with the sink it is in.
    pub fn find(&self, search: &Search) -> Vec<String> {
        let mut all = Vec::new();
        for (name, bytes) in &self.0 {
            all.extend(search.find(bytes).into_iter().map(|found| format!("{name}: {found}")));
        }
        all.sort();
        all.dedup();
        all
    }
}

/// An environment that is full of secrets; gives it to every command of the site.
pub fn environment(site: &mut Site, p: &mut Planted) {
    for name in [
        "SECRET_TOKEN",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_CUSTOM_HEADERS",
        "AWS_SECRET_ACCESS_KEY",
        "GITHUB_TOKEN",
        "DATABASE_URL",
        "WEIGHBRIDGE_NOTE",
        "WEIGHBRIDGE_HOOK_TOKEN",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "USER",
        "HOSTNAME",
        "LANG",
        "TERM",
        "PWD",
        "SHELL",
    ] {
        let value = p.text(Stays, &format!("variable {name}"));
        site.env(name, &value.replace(' ', "="));
    }
    site.env(&p.word(Stays, "name of a variable").to_uppercase(), "1");
    site.env("PATIENT", &p.person(Stays, "variable PATIENT"));
    let key = format!("sk-ant-api03-{}", p.word(Stays, "variable ANTHROPIC_API_KEY"));
    site.env("ANTHROPIC_API_KEY", &key);
    let password = p.word(Stays, "password of the proxy");
    site.env("HTTPS_PROXY", &format!("http://user:{password}@127.0.0.1:9"));
    site.env("NO_PROXY", "127.0.0.1,localhost");
    let key = format!("sk-ant-api03-{}", p.word(super::planted::Way::Up, "upstream.key"));
    site.env("UPSTREAM_KEY", &key);
    site.env("COLLECTOR_HEADERS", &format!("authorization={}", p.word(Stays, "otlp.headers")));
    site.env("NOTIFY_TOKEN", &p.word(Stays, "notify.token"));
}

/// What the operator's listeners show.
pub async fn pages(rig: &mut Rig) {
    for path in ["/metrics", "/livez", "/readyz"] {
        let shown = rig.sidecar().telemetry(path).await;
        rig.sinks.answer(&format!("{path} of the telemetry listener"), &shown);
        let shown = client::call(admin(rig.sidecar()), &Request::new("GET", path)).await;
        rig.sinks.answer(&format!("{path} of the admin listener"), &shown);
    }
}

/// What every command shows.
pub fn commands(rig: &mut Rig) {
    let data = rig.site.data.to_str().unwrap().to_owned();
    let config = rig.site.path("weighbridge.toml").to_str().unwrap().to_owned();
    let mut all: Vec<Vec<String>> = Vec::new();
    let mut add = |words: &[&str]| all.push(words.iter().map(|&word| word.to_owned()).collect());
    for dimension in DIMENSIONS {
        for format in ["json", "table", "csv", "html", "markdown"] {
            add(&["report", "--by", dimension, "--format", format]);
        }
    }
    add(&["report", "--format", "focus"]);
    add(&["exchanges", "--limit", "1000"]);
    add(&["exchanges", "--format", "jsonl"]);
    add(&["sessions", "--limit", "1000"]);
    add(&["sessions", "--limit", "1000", "--format", "json"]);
    add(&["budgets", "--config", &config]);
    add(&["budgets", "--config", &config, "--format", "json"]);
    for exchange in rig.site.exchanges() {
        add(&["exchanges", exchange["id"].as_str().unwrap()]);
    }
    let sessions = rig.site.ok(&["sessions", "--limit", "1000", "--format", "json"]);
    let sessions: serde_json::Value = serde_json::from_str(&sessions).unwrap();
    for session in sessions["sessions"].as_array().unwrap() {
        for format in ["table", "json"] {
            add(&["sessions", session["session"].as_str().unwrap(), "--format", format]);
        }
    }
    add(&["keys", "list"]);
    add(&["log"]);
    for words in &all {
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.extend(["--data-dir", &data]);
        run(rig, &words);
    }
    run(rig, &["check", "--config", &config]);
    run(rig, &["check", "--config", &config, "--team", "t"]);
    run(rig, &["hooks", "settings"]);
    run(rig, &["pricing", "check"]);
}

fn run(rig: &mut Rig, words: &[&str]) {
    let output = rig.site.run(words);
    let name = format!("{} {}", words[0], words[1..].join(" "));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {} {said}", output.status);
    rig.sinks.output(&name, &output);
}

/// The help of every command and of those below it; gives how many there are.
pub fn help(rig: &mut Rig) -> usize {
    let mut open = vec![Vec::<String>::new()];
    let mut shown = 0;
    while let Some(path) = open.pop() {
        let words: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let output = rig.site.run(&words);
        assert!(output.status.success(), "{words:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        rig.sinks.output(&words.join(" "), &output);
        let below = text.lines().skip_while(|line| *line != "Commands:").skip(1);
        for line in below.take_while(|line| !line.is_empty()) {
            let name = line.split_whitespace().next().unwrap();
            if line.starts_with("  ") && !line.starts_with("   ") && name != "help" {
                open.push([&path[..], &[name.to_owned()]].concat());
            }
        }
        shown += 1;
    }
    shown
}
