//! Debian's Prometheus scrapes a running sidecar under a scripted load: every expression of the
//! boards, the recording rules and the alerts is asked, and what was counted is what the ledger
//! says.
//!
//! `make tools` installs the servers.
#![cfg(test)]
#![cfg(feature = "real-clients")]
#![expect(clippy::disallowed_methods, reason = "the servers are found by the PATH of this machine")]

mod support;

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::client::{self, Request};
use support::collector::Collector;
use support::load::Load;

const SCRAPE_INTERVAL: &str = "1s";
/// Budgets that the boards show: everything, and each team by itself. The first is crossed.
const BUDGETS: &str = "
[budget.everything]
scope = 'total'
period = 'month'
usd = '0.01'
notify = ['anybody']
[budget.teams]
scope = 'team'
period = 'month'
usd = '500'
";
/// Without it the families about kept contents have no series.
const CAPTURE: &str = "
[capture]
level = 'redacted'
";

struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Scrapes the sidecar and evaluates the project's rules every second.
    async fn start(load: &Load) -> Prometheus {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/prometheus");
        let rules = ["recording", "alerts"].map(|name| {
            let name = format!("{name}.rules.yml");
            let text = std::fs::read_to_string(root.join(&name)).unwrap();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("interval:"));
            load.site.file(&name, &lines.collect::<Vec<_>>().join("\n"))
        });
        let target = load.sidecar.ready["telemetry"].as_str().unwrap();
        let target = target.trim_start_matches("http://");
        let config = format!(
            "global: {{scrape_interval: {SCRAPE_INTERVAL}, evaluation_interval: \
             {SCRAPE_INTERVAL}}}\nrule_files: ['{}', '{}']\nscrape_configs:\n  \
             - job_name: weighbridge\n    static_configs: [{{targets: ['{target}']}}]\n",
            rules[0].display(),
            rules[1].display()
        );
        let config = load.site.file("prometheus.yml", &config);
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = File::create(load.site.path("prometheus.log")).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", load.site.path("tsdb").display()));
        command.arg(format!("--web.listen-address={address}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("prometheus is installed: run `make tools`");
        let started = Prometheus { child, address };
        let since = Instant::now();
        while client::ready(address, "/-/ready").await != Some(200) {
            assert!(since.elapsed() < support::SOON, "prometheus is not ready");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        started
    }

    /// The value of an expression that gives one.
    async fn value(&self, expression: &str) -> Option<f64> {
        let encoded: String = expression
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect();
        let request = Request::new("GET", &format!("/api/v1/query?query={encoded}"));
        let answer: Value = client::call(self.address, &request).await.json();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// Waits until it has scraped at least this value.
    async fn reaches(&self, expression: &str, least: f64) {
        let since = Instant::now();
        loop {
            let value = self.value(expression).await;
            if value.is_some_and(|value| value >= least) {
                return;
            }
            assert!(since.elapsed() < support::SOON, "{expression} is {value:?}, not {least}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_expression_of_boards_and_rules_gives_something() {
    let collector = Collector::start().await;
    let export = format!("[otlp]\nendpoint = '{}'\ndelay = '50ms'\n", collector.url);
    // Any server that answers 200 is a webhook.
    let channel = format!("[notify.anybody]\nurl = '{}/hook'\n", collector.url);
    let mut load = Load::start(&format!("{export}{channel}{BUDGETS}{CAPTURE}")).await;
    let prometheus = Prometheus::start(&load).await;
    // Counters must be seen before and after they move.
    for round in 1..=2 {
        load.round().await;
        let lines = load.site.ledger_lines();
        let is_closed = |line: &&Vec<u8>| line.windows(15).any(|w| w == b"\"kind\":\"closed\"");
        let closed = lines.iter().filter(is_closed).count() as f64;
        prometheus.reaches("sum(weighbridge_exchanges_total)", closed).await;
        // The check asks for the last whole second.
        let tools = "sum(claude_tool_calls_total{state='failed'} offset 2s)";
        prometheus.reaches(tools, f64::from(round)).await;
        // A call's contents are redacted after it.
        let secrets = "sum(claude_redactions_total{label='SECRET'} offset 2s)";
        prometheus.reaches(secrets, f64::from(round)).await;
        let scrapes = format!("count_over_time(up[5m]) >= {}", 3 * round);
        prometheus.reaches(&scrapes, 0.0).await;
    }
    prometheus.reaches("min(weighbridge:cache_hit:ratio1h)", 0.0).await;
    prometheus.reaches("sum(weighbridge_notifications_total)", 1.0).await;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boards/check_queries.py");
    let mut check = Command::new("python3");
    check.arg(program).arg(format!("http://{}", prometheus.address));
    check.args(["--range", "60", "--step", "1"]);
    let output = tokio::task::spawn_blocking(move || check.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    eprintln!("{said}");

    // What Prometheus has is what the report says.
    let report = load.site.report("team");
    let total = &report["total"];
    let usd: f64 = total["usd"].as_str().unwrap().parse().unwrap();
    let teams: Vec<f64> = report["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["usd"].as_str().unwrap().parse::<f64>().unwrap())
        .collect();
    let used = prometheus.value("claude_budget_used_usd{budget='everything'}").await.unwrap();
    assert!((used - usd).abs() < 1e-12, "the budget says {used}, the report {usd}");
    let counted = prometheus.value("sum(claude_cost_usd_total)").await.unwrap();
    assert!((counted - usd).abs() < 1e-9 * teams.len() as f64, "{counted}, {usd}");
    for kind in ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h"] {
        let sum = format!("sum(claude_tokens_total{{type='{kind}'}})");
        let field = format!("{kind}_tokens");
        let reported = total[field.as_str()].as_f64().unwrap();
        assert_eq!(prometheus.value(&sum).await.unwrap(), reported, "{kind}: {total}");
    }
}
