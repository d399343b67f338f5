//! What `ipe.json` claims, forged by somebody who seals the manifest anew.

use std::fs;

use serde_json::{Value, json};

use super::events::ledger;
use super::*;

fn facts(bundle: &Path) -> Value {
    serde_json::from_slice(&fs::read(bundle.join("ipe.json")).unwrap()).unwrap()
}

/// Changes `ipe.json` and seals; the answer must name the damage.
fn forged(site: &Site, bundle: &Path, change: impl FnOnce(&mut Value), expected: &str) {
    let mut told = facts(bundle);
    change(&mut told);
    fs::write(bundle.join("ipe.json"), told.to_string()).unwrap();
    seal(bundle);
    let output = verify(site, bundle, &[]);
    assert_eq!(output.status.code(), Some(1), "{expected}: {}", said(&output));
    assert!(said(&output).contains(expected), "{expected}: {}", said(&output));
}

/// The time of a line.
fn time(site: &Site, index: usize) -> String {
    let line: Value = serde_json::from_slice(&site.ledger_lines()[index]).unwrap();
    let ns = i64::try_from(line["t"].as_u64().unwrap()).unwrap();
    jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap().to_string()
}

#[test]
fn a_whole_with_empty_tables_is_damage() {
    let site = parts::demo();
    let lines = site.ledger_lines().len();
    let whole = export(&site, "whole", &[]);
    for (name, from, expected) in [
        ("unsaid", Value::Null, "are left out, unsaid"),
        ("early", json!("2020-01-01"), "line 0 is not where the period that was asked for puts it"),
    ] {
        let empty = export(&site, name, &["--from", "2030-01-01"]);
        assert!(verify(&site, &empty, &[]).status.success(), "an empty period is a period");
        copy(&whole.join("ledger"), &empty.join("ledger"));
        let change = |told: &mut Value| {
            told["parameters"]["from"] = from;
            told["lines"] = json!({"first": 0, "end": lines});
        };
        forged(&site, &empty, change, expected);
    }
    let late = export(&site, "late", &[]);
    let change = |told: &mut Value| told["period"]["end"] = json!(0);
    forged(&site, &late, change, "names lines that its tree and its period do not cover");
    let whole = export(&site, "past", &[]);
    let change = |told: &mut Value| told["parameters"]["to"] = json!("2020-01-01");
    forged(&site, &whole, change, "is not where the period that was asked for puts it");
}

#[test]
fn lines_that_are_called_pruned_need_a_signed_line_that_says_so() {
    let site = parts::demo();
    let from = time(&site, 106);
    let bundle = export(&site, "bundle", &["--from", &from, "--control", "PI1.4"]);
    let first = facts(&bundle)["lines"]["first"].clone();
    let change = |told: &mut Value| {
        told["parameters"]["from"] = Value::Null;
        told["tree"]["pruned"] = first.clone();
        told["period"]["first"] = first.clone();
    };
    forged(&site, &bundle, change, "does not go with what ipe.json says");
    let output = python(&bundle, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    // A line of another kind does not say it.
    fs::write(bundle.join("audit/pruned.jsonl"), [&site.ledger_lines()[0][..], b"\n"].concat())
        .unwrap();
    forged(&site, &bundle, |_| (), "no entry says that they were pruned");
    let output = python(&bundle, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

#[test]
fn openings_that_are_left_out_are_damage() {
    let id = |at: usize| format!("018f0000-0000-7000-8000-00000000000{at}");
    let opened = |at| {
        json!({"attempt": 1, "call": id(at), "endpoint": "messages", "exchange": id(at), "method": "POST", "streamed": 1,
        "team": "search"})
    };
    let closed = |at| {
        json!({"duration_us": 5, "exchange": id(at), "outcome": "completed",
        "response_bytes": 1, "status": 200})
    };
    let entries = [
        ("opened", opened(1)),
        ("heartbeat", json!({"idle_since": 1, "open_exchanges": 1})),
        ("heartbeat", json!({"idle_since": 1, "open_exchanges": 1})),
        ("closed", closed(1)),
    ];
    let site = ledger(&entries);
    let from = time(&site, 2);
    let bundle = export(&site, "bundle", &["--from", &from]);
    assert_eq!(facts(&bundle)["lines"]["first"], 0, "its opening is in it");
    assert!(verify(&site, &bundle, &[]).status.success());
    let lines = site.ledger_lines();
    fs::remove_file(bundle.join("ledger/00000000000000000000.jsonl")).unwrap();
    let kept: Vec<u8> = lines[2..].iter().flat_map(|line| [&line[..], b"\n"].concat()).collect();
    fs::write(bundle.join("ledger/00000000000000000002.jsonl"), kept).unwrap();
    let change = |told: &mut Value| told["lines"]["first"] = json!(2);
    forged(&site, &bundle, change, "line 3 closes an exchange whose opening is left out");
}

#[test]
fn a_gap_that_took_an_opening_comes_with_the_part() {
    let closed = json!({"duration_us": 5, "exchange": "018f0000-0000-7000-8000-000000000001",
        "outcome": "completed", "response_bytes": 1, "status": 200});
    let beat = json!({"idle_since": 1, "open_exchanges": 1});
    let gap = json!({"count": u64::MAX, "from": 1, "reason": "ledger_unwritable", "to": 2});
    let entries = [("gap", gap.clone()), ("heartbeat", beat), ("closed", closed), ("gap", gap)];
    let site = ledger(&entries);
    let from = time(&site, 2);
    let bundle = export(&site, "bundle", &["--from", &from]);
    assert_eq!(facts(&bundle)["lines"]["first"], 0);
    let output = verify(&site, &bundle, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("gaps in the ledger say why"), "{}", said(&output));
    // Sums of what lines say have no overflow.
    let whole = export(&site, "whole", &[]);
    assert_eq!(facts(&whole)["derived"]["missing"], u64::MAX);
    assert!(verify(&site, &whole, &[]).status.success());
}

#[test]
fn limits_in_other_words_and_smuggled_files_are_damage() {
    let site = parts::demo();
    let whole = export(&site, "whole", &[]);
    let again = |name: &str| {
        let to = site.path(name);
        copy(&whole, &to);
        to
    };
    let words = "words its question or its limits in another way";
    let change = |told: &mut Value| told["not_provable"] = json!(["Nothing: it is complete."]);
    forged(&site, &again("limits"), change, words);
    let change = |told: &mut Value| told["query"] = json!("everything");
    forged(&site, &again("query"), change, words);
    let change = |told: &mut Value| told["agent_shares_uid"] = json!("no: proved");
    forged(&site, &again("uid"), change, words);
    let change = |told: &mut Value| told["program"]["version"] = json!("0.1.0 and verified");
    forged(&site, &again("version"), change, "ipe.json is not readable");
    for (name, expected) in [
        ("audit/tiles/tile/9/000.p/1", "the tree has"),
        ("audit/tiles/tile/0/007", "the tree has"),
        ("ledger/99999999999999999999.jsonl", "holds no lines"),
    ] {
        let bundle = again(&name.replace('/', "-"));
        fs::create_dir_all(bundle.join(name).parent().unwrap()).unwrap();
        fs::write(bundle.join(name), "").unwrap();
        forged(&site, &bundle, |_| (), expected);
    }
    let bundle = again("manifest");
    let path = bundle.join("MANIFEST.sha256");
    let text = [&fs::read(&path).unwrap()[..], b"\xff\nall is well\n"].concat();
    fs::write(&path, text).unwrap();
    let output = verify(&site, &bundle, &[]);
    assert!(said(&output).contains("is not a line of a manifest"), "{}", said(&output));
}

/// A witness's word of long ago says nothing of what came since.
#[test]
fn an_old_witness_says_up_to_where() {
    let site = parts::demo();
    let bundle = export(&site, "evidence [2026]", &[]);
    let notes = fs::read_to_string(bundle.join("audit/checkpoints.notes")).unwrap();
    let first: String = notes.split_inclusive("\n\n").take(2).collect();
    let size: u64 = first.lines().nth(1).unwrap().parse().unwrap();
    let old = site.file("old.note", &(first.trim_end().to_owned() + "\n"));
    let old = old.to_str().unwrap();
    let end = site.ledger_lines().len() as u64;
    let limit = format!("lines {size} to {} are covered by no witness", end - 1);
    let data = site.data.to_str().unwrap();
    let twice = ["--witness", old, "--witness", old];
    for output in [
        verify(&site, &bundle, &twice),
        site.run(&[&["audit", "verify", "--data-dir", data][..], &twice].concat()),
    ] {
        assert!(output.status.success(), "{}", said(&output));
        let upto = format!("1 witnesses (up to index {})", size - 1);
        assert!(said(&output).contains(&limit), "{}", said(&output));
        assert!(said(&output).contains(&upto), "{}", said(&output));
    }
    let output = verify(&site, &bundle, &["--witness", old, "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["witnesses"], &told["witnessed_upto"]), (&json!(1), &json!(size)));
    let output = python(&bundle, &[old]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains(&format!("NO WITNESS for lines {size} to")));
}

#[test]
fn a_ledger_of_which_nothing_is_signed_is_not_verified() {
    let site = parts::demo();
    fs::remove_dir_all(site.data.join("audit")).unwrap();
    let bundle = export(&site, "bundle", &[]);
    let data = site.data.to_str().unwrap();
    for output in [verify(&site, &bundle, &[]), site.run(&["audit", "verify", "--data-dir", data])]
    {
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).starts_with("NOT VERIFIED"), "{}", said(&output));
    }
    assert_eq!(python(&bundle, &[]).status.code(), Some(1));
}
