//! A collector that is down, refuses or leaves out; a sidecar that is killed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::support::api::Fake;
use super::support::client::Request;
use super::support::collector::{Collector, attribute};
use super::support::eventually;
use super::support::sidecar::{Options, Sidecar, Site};
use super::{Rig, call, config};

/// The exchanges that have a span.
fn exchanges(collector: &Collector) -> BTreeSet<String> {
    let spans = collector.spans();
    let ids = spans.iter().map(|span| attribute(&span.attributes, "weighbridge.exchange"));
    ids.filter(|id| !id.is_empty()).collect()
}

#[tokio::test]
async fn an_outage_costs_lag_and_a_kill_loses_no_span() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    // A port where nobody listens, until somebody does.
    let address = Collector::start().await.address.to_string();
    let options = Options::to(&fake.url).config(&config(&format!("http://{address}"), ""));
    let mut called = BTreeSet::new();
    for round in 0..3 {
        let sidecar = Sidecar::start(&site, &options);
        for n in 0..20 {
            let session = format!("session-{round}-{n}");
            let request =
                Request::messages("plain", true).header("X-Claude-Code-Session-Id", &session);
            called.insert(sidecar.call(&request).await.exchange());
        }
        if round == 2 {
            // The collector comes while the sidecar runs.
            let collector = Collector::on(&address).await;
            eventually("everything comes", || (exchanges(&collector) == called).then_some(()))
                .await;
            let spans = collector.spans();
            assert_eq!(spans.len(), 120, "60 calls, 60 queries");
            collector.assert_strict();
            // What was acknowledged before is sent again at most, and then the same.
            sidecar.kill();
            let again = Sidecar::start(&site, &options);
            called.insert(again.call(&Request::messages("plain", true)).await.exchange());
            eventually("the rest comes", || (exchanges(&collector) == called).then_some(())).await;
            assert_eq!(collector.spans().len(), 122);
            collector.assert_strict();
            again.stop();
        } else {
            sidecar.kill();
        }
    }
}

#[tokio::test(flavor = "multi_thread")] // the collector answers while the test waits for the end
async fn metrics_count_once_over_restarts() {
    let collector = Collector::start().await;
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let options = Options::to(&fake.url).config(&config(&collector.url, ""));
    let metric = "gen_ai.client.inference.usage.output_tokens";
    let mut sums = 0.0;
    for round in 1..=3 {
        let sidecar = Sidecar::start(&site, &options);
        for _ in 0..round {
            sidecar.call(&call("plain", None)).await;
        }
        // A clean stop posts what is left.
        sidecar.stop();
        sums += collector.book().sum(metric, &[]);
        collector.book().points.clear();
    }
    let report = site.report("team");
    assert_eq!(sums, report["total"]["output_tokens"].as_f64().unwrap());
    collector.assert_strict();
}

/// The file of the export's cursor.
fn otlp(site: &Site) -> std::path::PathBuf {
    site.data.join("otlp.json")
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_once_over_kills() {
    let collector = Collector::start().await;
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let options = Options::to(&fake.url).config(&config(&collector.url, ""));
    let metric = "gen_ai.client.inference.usage.output_tokens";
    let (mut sums, mut calls) = (0.0, 0);
    for round in 1..=4 {
        let sidecar = Sidecar::start(&site, &options);
        for _ in 0..round {
            sidecar.call(&call("plain", None)).await;
            calls += 1;
        }
        // Taken, and known to be: the file is written with each post that was taken.
        let saved = || {
            let text = std::fs::read_to_string(otlp(&site)).unwrap_or_default();
            let saved: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            let head = site.ledger_lines().len() as u64;
            (saved["counted"]["next"].as_u64() == Some(head)).then_some(())
        };
        eventually("metrics were taken", saved).await;
        sidecar.kill();
        sums += collector.book().sum(metric, &[]);
        collector.book().points.clear();
    }
    assert_eq!(sums, f64::from(calls), "one output token each");
    collector.assert_strict();
}

#[tokio::test]
async fn a_ledger_that_is_shorter_than_the_cursor_is_told_and_exported() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let collector = Collector::start().await;
    let options = Options::to(&fake.url).config(&config(&collector.url, ""));
    let first = Sidecar::start(&site, &options);
    first.call(&call("plain", None)).await;
    eventually("the spans come", || (collector.spans().len() == 2).then_some(())).await;
    first.kill();
    let text = std::fs::read_to_string(otlp(&site)).unwrap();
    let mut saved: serde_json::Value = serde_json::from_str(&text).unwrap();
    saved["next"] = serde_json::json!(1_000_000);
    std::fs::write(otlp(&site), saved.to_string()).unwrap();
    let second = Sidecar::start(&site, &options);
    second.call(&call("plain", None)).await;
    eventually("the spans come", || (collector.spans().len() == 4).then_some(())).await;
    assert!(second.said().contains("shorter than what was exported"), "{}", second.said());
    assert!(site.data.join("otlp.json.rejected").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_no_collector() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    // It takes connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let options = Options::to(&fake.url).config(&config(&format!("http://{address}"), ""));
    let sidecar = Sidecar::start(&site, &options);
    let called = sidecar.call(&call("plain", None)).await.exchange();
    // Ends within the bound of `Sidecar::stop`, and says what waits.
    let said = sidecar.stop_and_say();
    assert!(said.contains("the collector gets the rest after the next start"), "{said}");
    drop(silent);
    let collector = Collector::on(&address.to_string()).await;
    let _again = Sidecar::start(&site, &options);
    eventually("the rest comes", || exchanges(&collector).contains(&called).then_some(())).await;
    collector.assert_strict();
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_an_answer() {
    let rig = Rig::new("signals = ['traces']").await;
    rig.collector.book().padding = 200_000;
    rig.sidecar.call(&call("plain", None)).await;
    rig.spans(2).await;
    rig.collector.book().padding = 0;
    rig.sidecar.call(&call("plain", None)).await;
    rig.spans(4).await;
    assert_eq!(rig.collector.book().spans.len(), 4, "nothing was sent twice");
}

#[tokio::test]
async fn a_signal_that_is_refused_holds_up_no_other() {
    let rig = Rig::new("").await;
    rig.collector.answers("/v1/metrics", 404);
    rig.collector.answers("/v1/logs", 404);
    rig.sidecar.call(&call("e529", None)).await;
    rig.sidecar.call(&call("plain", None)).await;
    rig.spans(3).await;
    let said = rig.sidecar.said();
    assert!(said.contains("refuses a post for good"), "{said}");
}

#[tokio::test]
async fn an_overloaded_collector_is_asked_again() {
    let rig = Rig::new("").await;
    rig.collector.answers("/v1/traces", 503);
    rig.sidecar.call(&call("plain", None)).await;
    eventually("it is asked", || (rig.collector.book().posts > 2).then_some(())).await;
    assert!(rig.collector.spans().is_empty());
    rig.collector.answers("/v1/traces", 200);
    rig.spans(2).await;
    rig.collector.assert_strict();
}

#[tokio::test]
async fn what_a_collector_leaves_out_is_counted() {
    let rig = Rig::new("signals = ['traces']").await;
    rig.collector.book().leave_out = 1;
    rig.sidecar.call(&call("plain", None)).await;
    rig.spans(1).await;
    let items = |result: &'static str| async {
        let labels = ["signal=\"traces\"", result];
        rig.sidecar.metrics().await.sum("weighbridge_otlp_items_total", &labels)
    };
    for _ in 0..100 {
        if items("result=\"rejected\"").await == 1.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(items("result=\"rejected\"").await, 1.0);
    assert_eq!(items("result=\"accepted\"").await, 1.0);
}
