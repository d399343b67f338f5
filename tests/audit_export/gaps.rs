//! What is missing, as rows of `gaps.csv` and on the page.

use std::fs;

use serde_json::{Value, json};

use super::events::ledger;
use super::*;

fn rows(bundle: &Path, kind: &str) -> Vec<String> {
    let table = fs::read_to_string(bundle.join("gaps.csv")).unwrap();
    let is_wanted = |line: &&str| line.split(',').nth(2) == Some(kind);
    table.lines().filter(is_wanted).map(str::to_owned).collect()
}

/// Five calls of tools: a hook announced one, a batch named one, one runs at the API, two had none.
fn tools(session: &str) -> Vec<(&'static str, Value)> {
    let exchange = "018f0000-0000-7000-8000-000000000100";
    let id = |at: usize| format!("toolu_{session}_{at}");
    let asked: Vec<Value> = (0..5)
        .map(|at| {
            let kind = if at == 3 { "server" } else { "client" };
            json!({"id": id(at), "input": {"bytes": 3}, "kind": kind, "name": "Bash"})
        })
        .collect();
    let returned: Vec<Value> =
        (0..5).map(|at| json!({"id": id(at), "output": {"bytes": 5}})).collect();
    let asked = json!({"exchange": exchange, "session": session, "team": "search", "tools": asked});
    let returned =
        json!({"exchange": exchange, "session": session, "team": "search", "tools": returned});
    let hook = json!({"bytes": 9, "digest": "d1", "event": "PreToolUse", "session": session,
        "tool": "Bash", "tool_use": id(0)});
    let batch = json!({"bytes": 9, "digest": "d2", "event": "PostToolBatch", "session": session,
        "tools": [{"id": id(1), "output": {"bytes": 5}}]});
    vec![("tools_asked", asked), ("hook", hook), ("hook", batch), ("tools_returned", returned)]
}

#[test]
fn results_of_tools_that_no_hook_named_are_gaps_by_session() {
    let site = ledger(&[tools("s1"), tools("s2")].concat());
    let bundle = export(&site, "bundle", &[]);
    let found = rows(&bundle, "hook_missing");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("the traffic alone did: s1\",2,"), "{found:?}");
    assert!(found[1].contains("the traffic alone did: s2\",2,"), "{found:?}");
    let page = fs::read_to_string(bundle.join("summary.html")).unwrap();
    assert!(page.contains("No hook named 4 of 8 results of clients' tools"), "{page}");
    assert!(verify(&site, &bundle, &[]).status.success());
    let bundle = export(&site, "one", &["--session", "s2"]);
    assert_eq!(rows(&bundle, "hook_missing").len(), 1);
    assert!(verify(&site, &bundle, &[]).status.success());

    // Who takes the row out takes it out of the lines.
    let table = fs::read_to_string(bundle.join("gaps.csv")).unwrap();
    let without: Vec<&str> = table.lines().filter(|line| !line.contains("hook_missing")).collect();
    fs::write(bundle.join("gaps.csv"), without.join("\n") + "\n").unwrap();
    seal(&bundle);
    assert!(said(&verify(&site, &bundle, &[])).contains("gaps.csv is not what the lines give"));
}

#[test]
fn a_follower_that_is_behind_is_a_gap() {
    let site = parts::demo();
    site.ok(&["report"]);
    let lines = site.ledger_lines().len() as u64;
    let bundle = export(&site, "level", &[]);
    assert_eq!(rows(&bundle, "follower_behind"), [""; 0]);
    let index = rusqlite::Connection::open(site.data.join("index.sqlite")).unwrap();
    let changed =
        index.execute("UPDATE meta SET value = '3' WHERE key = 'indexed_upto'", []).unwrap();
    assert_eq!(changed, 1);
    drop(index);
    let bundle = export(&site, "behind", &[]);
    let found = rows(&bundle, "follower_behind");
    let expected = format!("the index covers 3 of {lines} lines,{},,", lines - 3);
    assert!(found.len() == 1 && found[0].ends_with(&expected), "{found:?}");
    let page = fs::read_to_string(bundle.join("summary.html")).unwrap();
    assert!(page.contains("Behind at the export: the index covered 3 of"), "{page}");
    assert!(verify(&site, &bundle, &[]).status.success());
}

/// What no sync covered is gone with the process; its time is between the last line and the start.
#[tokio::test]
async fn an_unclean_end_has_its_period() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let options = Options::to(&fake.url);
    let sidecar = Sidecar::start(&site, &options);
    assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    sidecar.kill();
    let last: Value = serde_json::from_slice(site.ledger_lines().last().unwrap()).unwrap();
    Sidecar::start(&site, &options).stop();
    let bundle = export(&site, "bundle", &[]);
    let found = rows(&bundle, "started");
    let ns = i128::from(last["t"].as_u64().unwrap());
    let from = jiff::Timestamp::from_nanosecond(ns).unwrap().to_string();
    assert_eq!(found.len(), 1, "{found:?}");
    let cells: Vec<&str> = found[0].split(',').collect();
    let [at, from_cell, to] = [cells[1], cells[cells.len() - 2], cells[cells.len() - 1]];
    assert_eq!((from_cell, to), (from.as_str(), at), "{found:?}");
    assert!(verify(&site, &bundle, &[]).status.success());
}
