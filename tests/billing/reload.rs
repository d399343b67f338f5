//! Prices that change while the sidecar runs.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use super::Rig;
use super::support::client::{Raw, Request};
use super::support::eventually;
use super::support::message::{Figures, atto};
use super::support::sidecar::Site;

const TURN: Figures = Figures::new(4, 11_000, 1_200, 0, 74);

fn contract(discount: &str) -> String {
    format!("[[override]]\nfrom = 2026-01-01\ndiscount = \"{discount}\"\nsource = \"contract\"\n")
}

async fn with_contract(discount: &str) -> Rig {
    let site = Site::new();
    let file = site.file("contract.toml", &contract(discount));
    let config = format!("[pricing]\nfiles = [{:?}]\n", file.display().to_string());
    Rig::with(site, &config).await
}

/// What a call costs now.
async fn price(rig: &Rig) -> i128 {
    let (_, record) = rig.call(&Request::messages("burst", true)).await;
    atto(&record["usd"])
}

/// The `prices_changed` entries.
fn changes(rig: &Rig) -> Vec<Value> {
    let lines = rig.site.ledger_lines();
    let lines = lines.iter().map(|line| serde_json::from_slice::<Value>(line).unwrap());
    lines.filter(|line| line["kind"] == "prices_changed").map(|l| l["body"].clone()).collect()
}

#[tokio::test]
async fn a_changed_file_holds_for_new_calls_and_not_for_running_ones() {
    let rig = with_contract("0.1").await;
    let list = TURN.list_cost();
    assert_eq!(price(&rig).await, list / 10 * 9);
    let mut running = Raw::connect(rig.sidecar.address).await;
    running.send(&Request::messages("gate", true)).await;
    let head = running.head().await.unwrap();

    rig.site.file("contract.toml", &contract("0.5"));
    eventually("the change is recorded", || (changes(&rig).len() == 1).then_some(())).await;
    assert_eq!(price(&rig).await, list / 2);
    rig.fake.open_gate();
    let exchange = running.rest(head).await.exchange();
    let began_before = rig.site.exchange(&exchange);
    assert_eq!(atto(&began_before["usd"]), list / 10 * 9, "{began_before}");

    let change = &changes(&rig)[0];
    let versions = rig.site.report("team")["pricing_versions"].clone();
    for name in ["before", "after"] {
        assert!(versions.as_array().unwrap().contains(&change[name]), "{change} {versions}");
    }
    assert_ne!(change["before"], change["after"]);
}

#[tokio::test]
async fn a_file_that_is_wrong_leaves_the_prices_in_force() {
    let rig = with_contract("0.1").await;
    let list = TURN.list_cost();
    rig.site.file("contract.toml", "[[override]]\nfrom = 2026-01-01\ndiscount = \"lots\"\n");
    let complaints = || rig.sidecar.said().matches("the prices were not read").count();
    eventually("it is said", || (complaints() > 0).then_some(())).await;
    assert!(rig.sidecar.said().contains("contract.toml"), "the file is named");
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    assert_eq!(complaints(), 1, "said once");
    assert_eq!((price(&rig).await, changes(&rig).len()), (list / 10 * 9, 0));
    fs::remove_file(rig.site.path("contract.toml")).unwrap();
    eventually("it is missed", || (complaints() == 2).then_some(())).await;
    rig.site.file("contract.toml", &contract("0.5"));
    eventually("the right one is taken", || (changes(&rig).len() == 1).then_some(())).await;
    assert_eq!(price(&rig).await, list / 2);
}

#[tokio::test]
async fn a_hang_up_reads_again_and_ends_nothing() {
    let rig = with_contract("0.1").await;
    rig.sidecar.signal(Signal::HUP);
    let read = || rig.sidecar.said().contains("they are the same").then_some(());
    eventually("the prices are read again", read).await;
    assert_eq!(price(&rig).await, TURN.list_cost() / 10 * 9);
    assert_eq!(changes(&rig).len(), 0, "no change is recorded where there is none");
    rig.sidecar.stop();
}
