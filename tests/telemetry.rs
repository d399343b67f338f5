//! What `/metrics` shows: accepted by Prometheus' own linter, and the same figures as report and
//! ledger, to the last digit.
//!
//! `promtool` comes with Debian's package `prometheus`; `make tools` installs it.
#![cfg(test)]
#![cfg(feature = "real-clients")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::load::Load;
use support::message::atto;
use support::sidecar::Metrics;

fn promtool() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).map(|folder| folder.join("promtool"));
    places.into_iter().find(|place| place.is_file()).expect(
        "promtool is not on the PATH: run `make tools`, or install Debian's package prometheus",
    )
}

#[tokio::test]
async fn prometheus_finds_nothing_to_complain_about() {
    let mut load = Load::start("").await;
    load.round().await;
    let text = load.scrape().await;
    let mut child = Command::new(promtool())
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{}: {said}\n{text}", output.status);
    let families = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
    assert!(families > 40, "the load moves most families: {families}\n{text}");
}

/// Sums by the labels of a family, `a="b",c="d"`, sorted as they are exposed.
type Sums = BTreeMap<String, i128>;

/// What the ledger says each family should be, counted a second time from its lines.
#[derive(Debug, Default)]
struct Expected(BTreeMap<&'static str, Sums>);

impl Expected {
    fn add(&mut self, family: &'static str, labels: &[(&str, &str)], amount: i128) {
        let mut labels = labels.to_vec();
        labels.sort_unstable();
        let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
        *self.0.entry(family).or_default().entry(labels.join(",")).or_default() += amount;
    }

    fn of(lines: &[Vec<u8>]) -> Expected {
        let mut expected = Expected::default();
        let mut openings = HashMap::new();
        for line in lines {
            let line: Value = serde_json::from_slice(line).unwrap();
            let body = &line["body"];
            match line["kind"].as_str().unwrap() {
                "opened" => drop(openings.insert(word(&body["exchange"]), body.clone())),
                "closed" => expected.closed(&openings[&word(&body["exchange"])], body),
                "batch_result" => {
                    expected.answered(body, &word(&body["team"]), &word(&body["model"]));
                }
                _ => {}
            }
        }
        expected
    }

    fn closed(&mut self, opening: &Value, closing: &Value) {
        let (endpoint, outcome) = (word(&opening["endpoint"]), word(&closing["outcome"]));
        let labels = [("endpoint", &*endpoint), ("outcome", &*outcome)];
        self.add("weighbridge_exchanges_total", &labels, 1);
        for (result, count) in closing["batch"].as_object().into_iter().flatten() {
            let labels = [("team", &*word(&opening["team"])), ("result", result)];
            self.add("claude_batch_results_total", &labels, count.as_u64().unwrap().into());
        }
        if !matches!(&*endpoint, "messages" | "bedrock" | "vertex") {
            return;
        }
        let (team, asked) = (word(&opening["team"]), word(&opening["model"]));
        let model = closing["model"].as_str().unwrap_or(&asked);
        let status = closing["status"].as_u64().map_or("none".to_owned(), |s| s.to_string());
        let error = closing["error_class"].as_str().or(closing["error_type"].as_str());
        let pair = [("model", model), ("team", &*team)];
        let more = [("status", &*status), ("error_type", error.unwrap_or_default())];
        self.add("claude_requests_total", &[pair, more].concat(), 1);
        if opening["attempt"].as_u64() > Some(1) {
            self.add("claude_retries_total", &pair, 1);
        }
        self.answered(closing, &team, model);
    }

    fn answered(&mut self, body: &Value, team: &str, model: &str) {
        let pair = [("model", model), ("team", team)];
        if let Some(reason) = body["stop_reason"].as_str() {
            let labels = [("model", model), ("stop_reason", reason)];
            self.add("claude_stop_reasons_total", &labels, 1);
        }
        let usage = &body["usage"];
        let split = &usage["cache_creation"];
        for (kind, count) in [
            ("input", &usage["input_tokens"]),
            ("output", &usage["output_tokens"]),
            ("cache_read", &usage["cache_read_input_tokens"]),
            ("cache_write_5m", &split["ephemeral_5m_input_tokens"]),
            ("cache_write_1h", &split["ephemeral_1h_input_tokens"]),
        ] {
            if let Some(count) = count.as_u64() {
                let labels = [&pair[..], &[("type", kind)]].concat();
                self.add("claude_tokens_total", &labels, count.into());
            }
        }
        let flag = |name: &str| body["flags"].as_array().is_some_and(|f| f.contains(&name.into()));
        let charge = &body["charge"];
        let notional = charge["notional"] == 1;
        match charge["usd"].is_string() {
            true if notional => {
                self.add("claude_notional_cost_usd_total", &pair, atto(&charge["usd"]));
            }
            true => self.add("claude_cost_usd_total", &pair, atto(&charge["usd"])),
            false if flag("unpriced") => self.add("claude_unpriced_requests_total", &pair, 1),
            false => {}
        }
        if charge["estimated_usd"].is_string() && !notional {
            let usd = atto(&charge["estimated_usd"]);
            self.add("claude_estimated_cost_usd_total", &pair, usd);
            self.add("claude_estimated_requests_total", &pair, 1);
        }
        if let Some(saved) = charge["cache_savings_usd"].as_str().filter(|_| !notional) {
            match saved.strip_prefix('-') {
                Some(lost) => {
                    self.add("claude_cache_losses_usd_total", &pair, atto(&lost.into()));
                }
                None => self.add("claude_cache_savings_usd_total", &pair, atto(&saved.into())),
            }
        }
    }

    /// The sum over all labels that contain each of `parts`.
    fn sum(&self, family: &str, parts: &[String]) -> i128 {
        let sums = self.0.get(family).into_iter().flatten();
        sums.filter(|(labels, _)| parts.iter().all(|part| labels.contains(part)))
            .map(|(_, sum)| sum)
            .sum()
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

/// Atto-dollars as the nearest float, by way of the decimal.
fn dollars(atto: i128) -> f64 {
    let unit = 1_000_000_000_000_000_000;
    format!("{}.{:018}", atto / unit, atto % unit).parse().unwrap()
}

#[tokio::test]
async fn metrics_report_and_ledger_have_the_same_figures() {
    let mut load = Load::start("").await;
    for _ in 0..2 {
        load.round().await;
    }
    let metrics = load.sidecar.metrics().await;
    let expected = Expected::of(&load.site.ledger_lines());
    let families = [
        "claude_batch_results_total",
        "claude_cache_losses_usd_total",
        "claude_cache_savings_usd_total",
        "claude_cost_usd_total",
        "claude_estimated_cost_usd_total",
        "claude_estimated_requests_total",
        "claude_notional_cost_usd_total",
        "claude_requests_total",
        "claude_retries_total",
        "claude_stop_reasons_total",
        "claude_tokens_total",
        "claude_unpriced_requests_total",
        "weighbridge_exchanges_total",
    ];
    assert!(expected.0.keys().copied().eq(families), "the load moves {:?}", expected.0.keys());
    for (family, sums) in &expected.0 {
        let exposed: BTreeMap<&str, f64> = samples(&metrics, family);
        for (labels, value) in &exposed {
            let sum = sums.get(*labels).copied().unwrap_or(0);
            let sum = if family.contains("_usd_") { dollars(sum) } else { sum as f64 };
            assert_eq!(*value, sum, "{family}{{{labels}}}");
        }
        let missing: Vec<_> = sums.keys().filter(|l| !exposed.contains_key(l.as_str())).collect();
        assert!(missing.is_empty(), "{family}: {missing:?}");
    }
    the_report_agrees(&load, &expected);
    every_error_has_a_name(&expected);
}

fn samples<'m>(metrics: &'m Metrics, family: &str) -> BTreeMap<&'m str, f64> {
    let of = |name: &'m str| name.strip_prefix(family)?.strip_prefix('{')?.strip_suffix('}');
    metrics.0.iter().filter_map(|(name, value)| Some((of(name)?, *value))).collect()
}

/// Row by row, as a user sees it.
fn the_report_agrees(load: &Load, expected: &Expected) {
    let report = load.site.report("team,model");
    let rows = report["rows"].as_array().unwrap();
    let mut cost = 0;
    for row in rows {
        let label = |name: &str| row[name].as_str().map(|value| format!("{name}=\"{value}\""));
        let Some(pair) = label("model").zip(label("team")) else { continue };
        let pair = [pair.0, pair.1];
        let sum = |family: &str| expected.sum(family, &pair);
        for (family, field) in [
            ("claude_cost_usd_total", "usd"),
            ("claude_estimated_cost_usd_total", "estimated_usd"),
            ("claude_notional_cost_usd_total", "notional_usd"),
        ] {
            assert_eq!(sum(family), atto(&row[field]), "{family}: {row}");
        }
        cost += sum("claude_cost_usd_total");
        let unpriced = i128::from(row["unpriced"].as_u64().unwrap());
        assert_eq!(sum("claude_unpriced_requests_total"), unpriced, "{row}");
        // The metric has what the API reported, the report what is billed: the same in this load.
        for kind in ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h"] {
            let parts = [pair[0].clone(), pair[1].clone(), format!("type=\"{kind}\"")];
            let billed = row[format!("{kind}_tokens")].as_u64().unwrap();
            assert_eq!(expected.sum("claude_tokens_total", &parts), i128::from(billed), "{row}");
        }
    }
    assert_eq!(cost, atto(&report["total"]["usd"]), "no row is without a model");
    let exchanges = i128::from(report["total"]["exchanges"].as_u64().unwrap());
    let priced = expected.sum("claude_batch_results_total", &["result=\"priced\"".to_owned()]);
    assert_eq!(expected.sum("weighbridge_exchanges_total", &[]) + priced, exchanges);
}

fn every_error_has_a_name(expected: &Expected) {
    for (status, name) in [
        ("400", "context_length_exceeded"),
        ("400", "credit_balance_too_low"),
        ("400", "invalid_request_error"),
        ("401", "authentication_error"),
        ("402", "billing_error"),
        ("403", "permission_error"),
        ("404", "not_found_error"),
        ("413", "request_too_large"),
        ("429", "rate_limit_error"),
        ("500", "api_error"),
        ("529", "overloaded_error"),
        ("200", "overloaded_error"),
    ] {
        let parts = [format!("status=\"{status}\""), format!("error_type=\"{name}\"")];
        assert!(expected.sum("claude_requests_total", &parts) > 0, "{status} {name}");
    }
    for reason in ["end_turn", "tool_use", "max_tokens", "refusal"] {
        let part = format!("stop_reason=\"{reason}\"");
        assert!(expected.sum("claude_stop_reasons_total", &[part]) > 0, "{reason}");
    }
    assert_eq!(expected.sum("claude_retries_total", &[]), 4, "two repetitions a round");
}

#[tokio::test]
async fn errors_are_named_and_limits_are_shown() {
    let mut load = Load::start("").await;
    load.round().await;
    let detail = |exchange: &Value| -> Value {
        let id = exchange["id"].as_str().unwrap();
        serde_json::from_str(&load.site.ok(&["exchanges", id, "--format", "jsonl"])).unwrap()
    };
    let bad = load.site.exchanges().into_iter().filter(|e| e["status"] == 400);
    let mut classes: Vec<Value> = bad
        .map(|exchange| {
            let detail = detail(&exchange);
            assert_eq!(detail["error_type"], "invalid_request_error", "the API's own word stays");
            detail["error_class"].clone()
        })
        .collect();
    classes.sort_by_key(Value::to_string);
    let named = ["context_length_exceeded", "credit_balance_too_low"];
    assert_eq!(classes, [Value::from(named[0]), named[1].into(), Value::Null]);
    for line in load.site.ledger_lines() {
        let line = String::from_utf8(line).unwrap();
        for text in ["too long", "215000", "credit balance", "Plans"] {
            assert!(!line.contains(text), "the API's text is not kept: {line}");
        }
    }
    let metrics = load.sidecar.metrics().await;
    for (kind, limit, left) in [
        ("requests", 4_000.0, 3_999.0),
        ("input_tokens", 2_000_000.0, 1_988_000.0),
        ("output_tokens", 400_000.0, 399_000.0),
    ] {
        let labels = [format!("kind=\"{kind}\""), "team=\"search\"".to_owned()];
        let labels = [labels[0].as_str(), labels[1].as_str()];
        assert_eq!(metrics.sum("claude_ratelimit_limit", &labels), limit, "{kind}");
        assert_eq!(metrics.sum("claude_ratelimit_remaining", &labels), left, "{kind}");
    }
    assert_eq!(metrics.sum("claude_ratelimit_limit", &["kind=\"tokens\""]), 0.0);
    let speeds = metrics.sum("claude_output_tokens_per_second_count", &[]);
    assert!(speeds >= 10.0, "each slow stream tells its speed: {speeds}");
    let mode = ["mode=\"closed\"", "durability=\"process\""];
    assert_eq!(metrics.sum("weighbridge_ledger_mode", &mode), 1.0);
    assert_eq!(metrics.sum("weighbridge_ledger_reserve_bytes", &[]), 10_485_760.0);
    assert!(metrics.sum("weighbridge_data_free_bytes", &[]) > 0.0);
    assert!(metrics.sum("weighbridge_ledger_unsynced_seconds", &[]) < 5.0);
    assert!(metrics.sum("weighbridge_pricing_checked_timestamp_seconds", &[]) > 1.7e9);
    assert_eq!(metrics.sum("weighbridge_pricing_info", &[]), 1.0);
}
