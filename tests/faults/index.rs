//! The index: locked, deleted, of another SQLite. Calls and budgets do not depend on it.

use std::fs;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;

use crate::chain::{entries, sound};
use crate::support::SOON;
use crate::support::api::Fake;
use crate::support::client::Request;
use crate::support::sidecar::{BINARY, Options, Sidecar, Site};

const BUDGET: &str = "[budget.all]\nusd = '1'\nperiod = 'day'\n";

async fn calls(sidecar: &Sidecar, count: usize) {
    for _ in 0..count {
        assert_eq!(sidecar.call(&Request::messages("burst", true)).await.status, 200);
    }
}

/// What `weighbridge budgets` says was used, and what the running sidecar shows.
async fn used(site: &Site, sidecar: &Sidecar) -> (String, f64) {
    let config = site.path("weighbridge.toml");
    let text = site.ok(&["budgets", "--config", config.to_str().unwrap(), "--format", "json"]);
    let all: Value = serde_json::from_str(&text).unwrap();
    let said = all["budgets"][0]["used_usd"].as_str().unwrap().to_owned();
    let start = std::time::Instant::now();
    loop {
        let metrics = sidecar.metrics().await;
        let shown = metrics.sum("claude_budget_used_usd", &[]);
        if shown > 0.0 {
            return (said, shown);
        }
        assert!(start.elapsed() < SOON, "the budget is never shown");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a14_a_locked_index_stops_no_call_and_loses_nothing() {
    let (site, fake) = (Site::new(), Fake::start("burst").await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    calls(&sidecar, 3).await;
    assert_eq!(site.exchanges().len(), 3);
    let other = Connection::open(site.data.join("index.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; DELETE FROM exchanges").unwrap();
    // Somebody waits for the index, so that it is written to now.
    fs::write(site.data.join("index.wanted"), "").unwrap();
    calls(&sidecar, 40).await;
    assert_eq!(entries(&site, "closed").len(), 43, "each is in the ledger before it is answered");
    // A question waits for whoever holds the lock, and has its answer then.
    let (data, home) = (site.data.clone(), site.path("home"));
    let asking = std::thread::spawn(move || {
        let mut command = std::process::Command::new(BINARY);
        command.args(["report", "--format", "json", "--data-dir"]).arg(data);
        command.env_clear().env("HOME", home).output().unwrap()
    });
    calls(&sidecar, 1).await;
    other.execute_batch("ROLLBACK").unwrap();
    let output = asking.join().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["total"]["exchanges"].as_u64() >= Some(43), "{report}");
    assert_eq!(site.exchanges().len(), 44);
    sidecar.stop();
    sound(&site);
}

/// `index::tests::an_older_sqlite_is_refused` shows what a start with another one says.
#[test]
fn a15_the_bundled_sqlite_is_new_enough_and_no_other_is_linked() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
    let program = fs::read(BINARY).unwrap();
    let has = |text: &[u8]| memchr::memmem::find(&program, text).is_some();
    assert!(has(rusqlite::version().as_bytes()), "it is in the program");
    assert!(!has(b"libsqlite3.so"), "no library of the system is asked for");
}

#[tokio::test]
async fn a16_an_index_deleted_while_running_is_built_anew_and_no_budget_moves() {
    let (site, fake) = (Site::new(), Fake::start("burst").await);
    let options = Options::to(&fake.url).config(BUDGET);
    let sidecar = Sidecar::start(&site, &options);
    for scenario in ["burst", "websearch", "e529"] {
        sidecar.call(&Request::messages(scenario, true)).await;
    }
    let before = (site.report("model,outcome"), site.exchanges());
    let spent = used(&site, &sidecar).await;
    for suffix in ["", "-wal", "-shm"] {
        let removed = fs::remove_file(site.data.join(format!("index.sqlite{suffix}")));
        assert!(suffix == "-shm" || suffix == "-wal" || removed.is_ok());
    }
    assert_eq!((site.report("model,outcome"), site.exchanges()), before);
    assert!(site.data.join("index.sqlite").exists(), "it is there again");
    assert_eq!(used(&site, &sidecar).await, spent);
    // What comes after it is in the new one.
    let response = sidecar.call(&Request::messages("burst", true)).await;
    assert_eq!(site.exchange(&response.exchange())["outcome"], "completed");
    let spent = used(&site, &sidecar).await;
    sidecar.stop();
    // And a start that finds none: the sums come from the lines.
    fs::remove_file(site.data.join("index.sqlite")).unwrap();
    let sidecar = Sidecar::start(&site, &options);
    assert_eq!(used(&site, &sidecar).await, spent);
    sidecar.stop();
    sound(&site);
}
