//! Past spend moves to another team by an entry; nothing that was written is changed.
#![cfg(test)]

mod support;

use serde_json::Value;
use support::api::Fake;
use support::client::Request;
use support::message::atto;
use support::sidecar::{Options, Sidecar, Site};

fn teams(report: &Value) -> Vec<(String, u64, i128)> {
    let row = |row: &Value| {
        let team = row["team"].as_str().unwrap().to_owned();
        (team, row["exchanges"].as_u64().unwrap(), atto(&row["usd"]))
    };
    let mut rows: Vec<_> = report["rows"].as_array().unwrap().iter().map(row).collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn spend_moves_visibly_and_no_line_changes() {
    let site = Site::new();
    let fake = Fake::start("basic").await;
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let mut ids = Vec::new();
    for _ in 0..3 {
        let response = sidecar.call(&Request::messages("basic", true)).await;
        ids.push(response.exchange());
    }
    let before = site.report("team");
    let total = atto(&before["total"]["usd"]);
    let lines = site.ledger_lines();
    assert_eq!(teams(&before), [("unattributed".to_owned(), 3, total)]);

    // One, by id, while the sidecar runs.
    let said = site.ok(&["reattribute", &ids[1], "--team", "research", "--reason", "FIN-214"]);
    assert!(said.contains("is recorded"), "{said}");
    let one = total / 3;
    let moved = site.report("team");
    assert_eq!(
        teams(&moved),
        [("research".to_owned(), 1, one), ("unattributed".to_owned(), 2, total - one)]
    );
    assert_eq!(atto(&moved["total"]["usd"]), total);
    assert_eq!((&moved["moved_exchanges"], atto(&moved["moved_usd"])), (&1.into(), one));
    let table = site.ok(&["report", "--by", "team"]);
    assert!(table.contains("note: 1 exchange moved to another team by corrections"), "{table}");
    let page = site.ok(&["exchanges", &ids[1]]);
    assert!(page.contains("from unattributed, by entry"), "{page}");

    // The ledger only grew; a call that is made later is not moved.
    assert!(site.ledger_lines().starts_with(&lines));
    sidecar.stop();

    // All of a team, while none runs: the next one to start records it.
    let all = ["reattribute", "--of", "unattributed", "--team", "search", "--reason", "FIN-215"];
    assert!(site.ok(&all).contains("waits"));
    assert_eq!(teams(&site.report("team")), teams(&moved), "not before it is recorded");
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let taken = || {
        let report = site.report("team");
        (report["moved_exchanges"] == 3).then_some(report)
    };
    let after = support::eventually("the correction is taken in", taken).await;
    assert_eq!(
        teams(&after),
        [("research".to_owned(), 1, one), ("search".to_owned(), 2, total - one)]
    );
    sidecar.call(&Request::messages("basic", true)).await;
    let later = site.report("team");
    assert_eq!(teams(&later).last().unwrap(), &("unattributed".to_owned(), 1, one));
    sidecar.stop();

    // The index follows from the ledger.
    std::fs::remove_file(site.data.join("index.sqlite")).unwrap();
    assert_eq!(teams(&site.report("team")), teams(&later));
    assert_eq!(atto(&later["total"]["usd"]), total + one);
    let told = site.ok(&["audit", "verify"]);
    for said in ["every call's row in index.sqlite", "who pays in the index: corrections moved"] {
        assert!(told.contains(said), "{told}");
    }
}

#[tokio::test]
async fn what_is_no_correction_changes_nothing() {
    let site = Site::new();
    let fake = Fake::start("basic").await;
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    sidecar.call(&Request::messages("basic", true)).await;
    let data = site.data.to_str().unwrap();
    for (arguments, named) in [
        (&["--team", "a", "--reason", "x"][..], "names no exchange"),
        (&["id", "--team", "a b", "--reason", "x"], "the new team"),
        (&["id", "--team", "a", "--reason", "because I say so"], "--reason"),
        (&["--from", "2026-11-02", "--to", "2026-11-01", "--team", "a", "--reason", "x"], "--to"),
    ] {
        let mut all = vec!["reattribute", "--data-dir", data];
        all.extend(arguments);
        let output = site.run(&all);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
    let folder = site.data.join("inbox");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("half.json"), "{\"chosen\":").unwrap();
    let rejected = || folder.join("half.rejected").exists().then_some(());
    support::eventually("the file is put aside", rejected).await;
    assert_eq!(site.report("team")["moved_exchanges"], 0);
    sidecar.stop();
}
