//! Budgets as signals, seen from outside: figures that agree everywhere and survive everything, and
//! notifications that come once.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "tests wait outside the process")]

#[path = "../support/mod.rs"]
mod support;

mod delivery;
mod figures;

use std::collections::BTreeMap;

use serde_json::Value;
use support::api::{Fake, Seen};
use support::client::{Request, Response};
use support::message::atto;
use support::sidecar::{Options, Sidecar, Site};

/// A fake API, a data directory with one call in its ledger, and what a call costs.
struct Rig {
    site: Site,
    fake: Fake,
    /// In 10⁻¹⁸ dollars.
    cost: i128,
}

impl Rig {
    async fn new() -> Rig {
        let mut site = Site::new();
        site.env("THE_KEY", "sk-ant-upstream-0123456789");
        let fake = Fake::start("burst").await;
        let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
        assert_eq!(sidecar.call(&call()).await.status, 200);
        sidecar.stop();
        let cost = atto(&site.report("team")["total"]["usd"]);
        assert!(cost > 0);
        Rig { site, fake, cost }
    }

    /// So many calls' worth, as a decimal.
    fn worth(&self, calls: i128) -> String {
        decimal(self.cost * calls)
    }

    fn start(&self, config: &str) -> Sidecar {
        let options = Options::to(&self.fake.url).config("[upstream]\nkey = 'env:THE_KEY'\n");
        Sidecar::start(&self.site, &options.config(config))
    }

    /// What `weighbridge budgets` says, by budget and name.
    fn budgets(&self) -> BTreeMap<(String, String), Value> {
        let config = self.site.path("weighbridge.toml");
        let config = config.to_str().unwrap();
        let text = self.site.ok(&["budgets", "--config", config, "--format", "json"]);
        let all: Value = serde_json::from_str(&text).unwrap();
        let key = |one: &Value| {
            let text = |name: &str| one[name].as_str().unwrap().to_owned();
            (text("budget"), text("name"))
        };
        all["budgets"].as_array().unwrap().iter().map(|one| (key(one), one.clone())).collect()
    }

    /// The bodies of the ledger's entries of a kind.
    fn entries(&self, kind: &str) -> Vec<Value> {
        let lines = self.site.ledger_lines();
        let lines = lines.iter().map(|line| serde_json::from_slice::<Value>(line).unwrap());
        lines.filter(|line| line["kind"] == kind).map(|line| line["body"].clone()).collect()
    }

    fn thresholds(&self) -> Vec<String> {
        let text = |entry: Value| entry["threshold"].as_str().unwrap().to_owned();
        self.entries("budget_crossed").into_iter().map(text).collect()
    }
}

fn decimal(atto: i128) -> String {
    let unit = support::message::ATTO;
    format!("{}.{:018}", atto / unit, atto % unit)
}

fn call() -> Request {
    Request::messages("burst", true)
}

/// The same with another credential.
fn call_with(key: &str) -> Request {
    call().without("x-api-key").header("x-api-key", key)
}

/// Calls until it is answered: a running sidecar notices new keys by itself.
async fn served(sidecar: &Sidecar, request: &Request) -> Response {
    for _ in 0..100 {
        let response = sidecar.call(request).await;
        if response.status == 200 {
            return response;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the key is never taken");
}

async fn calls(sidecar: &Sidecar, count: usize) {
    for _ in 0..count {
        assert_eq!(sidecar.call(&call()).await.status, 200);
    }
}

/// Waits until a family has a sample with these labels and this value.
async fn settles(sidecar: &Sidecar, family: &str, labels: &[&str], value: f64) {
    let start = std::time::Instant::now();
    loop {
        let found = sidecar.metrics().await;
        let sum = found.sum(family, labels);
        let is_there = found.0.keys().any(|name| name.starts_with(family));
        if is_there && sum == value {
            return;
        }
        assert!(start.elapsed() < support::SOON, "{family} {labels:?} is {sum}, not {value}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Notifications that came, without what only keeps an alert up.
fn told(receiver: &Fake) -> Vec<(Seen, Value)> {
    let seen = receiver.seen().into_iter();
    let is_new = |seen: &Seen| seen.head.get("idempotency-key").is_some();
    let body = |seen: Seen| {
        let body = serde_json::from_slice(&seen.body).unwrap();
        (seen, body)
    };
    seen.filter(is_new).map(body).collect()
}
