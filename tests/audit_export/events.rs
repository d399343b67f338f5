//! OCSF events against the published schema: those of the demo, and those of a ledger that has
//! every kind of entry.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use weighbridge::ledger::{Durability, Ledger, Mode, Purpose, SEGMENT_BYTES_DEFAULT};
use weighbridge::record::encoding::Origin;
use weighbridge::record::{Entry, Line, Stamp};

use super::parts::demo;
use super::schema::Schema;
use super::*;

const VERSIONS: [&str; 2] = ["1.6.0", "1.9.0"];
/// A tool for each class, two that only differ in the activity, and one without a name.
const TOOLS: [Option<&str>; 8] = [
    Some("Bash"),
    Some("Read"),
    Some("Write"),
    Some("NotebookEdit"),
    Some("WebFetch"),
    Some("WebSearch"),
    Some("mcp__github__search"),
    None,
];

/// An entry out of a body, by way of a line.
fn entry((kind, body): &(&str, Value)) -> Entry {
    let zeros = "0".repeat(64);
    let line = format!(
        "{{\"body\":{body},\"boot\":\"b\",\"i\":0,\"instance\":\"i\",\"kind\":\"{kind}\",\
         \"mono\":1,\"prev\":\"{zeros}\",\"t\":1,\"v\":1}}"
    );
    Line::parse(line.as_bytes()).unwrap().entry().unwrap().unwrap()
}

/// A ledger of these entries, one a second from the first of November on.
pub fn ledger(entries: &[(&str, Value)]) -> Site {
    let site = Site::new();
    let options = weighbridge::ledger::Options {
        dir: site.data.clone(),
        durability: Durability::Process,
        mode: Mode::Closed,
        segment_bytes_max: SEGMENT_BYTES_DEFAULT,
    };
    let stamp = |second: u64| Stamp {
        wall_ns: 1_793_491_200_000_000_000 + second * 1_000_000_000,
        mono_ns: second,
    };
    fs::create_dir_all(&site.data).unwrap();
    fs::write(site.data.join("instance"), "018f0000-0000-7000-8000-000000000001\n").unwrap();
    let instance = "018f0000-0000-7000-8000-000000000001".to_owned();
    let origin = Origin { instance, boot: "b00c".to_owned() };
    let (ledger, _) = Ledger::open(options, origin, move || stamp(0)).unwrap();
    for (second, found) in (1..).zip(entries) {
        ledger.append_now(&entry(found), stamp(second), Purpose::Running).unwrap();
    }
    ledger.shutdown().unwrap();
    sign(&site);
    site
}

/// Calls that end in every way, with every method.
fn calls(entries: &mut Vec<(&'static str, Value)>) {
    let methods = ["POST", "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let ends = [
        ("completed", json!(200)),
        ("completed", json!(529)),
        ("upstream_error", Value::Null),
        ("client_left", json!(200)),
        ("timed_out", Value::Null),
        ("interrupted", Value::Null),
        ("refused", json!(403)),
    ];
    for (at, (method, (outcome, status))) in methods.into_iter().zip(ends).enumerate() {
        let exchange = format!("018f0000-0000-7000-8000-0000000001{at:02}");
        let mut opened = json!({"attempt": 1, "call": exchange, "endpoint": "messages",
            "exchange": exchange, "method": method, "streamed": 1, "team": "search"});
        let mut closed = json!({"duration_us": 1500, "exchange": exchange, "outcome": outcome,
            "response_bytes": 10});
        if at % 2 == 0 {
            opened["session"] = json!("s1");
            opened["model"] = json!("claude-opus-5-5");
            opened["key"] = json!("0a1b2c3d");
            opened["user"] = json!("ana");
            opened["project"] = json!("labels");
            closed["charge"] = json!({"pricing": "2026-11", "usd": "0.25"});
        }
        if !status.is_null() {
            closed["status"] = status;
        }
        entries.push(("opened", opened));
        entries.push(("closed", closed));
    }
}

/// Tools that were asked for, what they gave, and what rules made of some.
fn tools(entries: &mut Vec<(&'static str, Value)>) {
    let exchange = "018f0000-0000-7000-8000-000000000100";
    let mut tools = Vec::new();
    for (at, name) in TOOLS.into_iter().enumerate() {
        let mut tool = json!({"id": format!("toolu_{at}"), "output": {"bytes": 5}});
        if let Some(name) = name {
            tool["name"] = json!(name);
        }
        if at % 3 == 0 {
            tool["failed"] = json!(1);
        }
        tools.push(tool);
    }
    let asked = json!([{"id": "toolu_0", "input": {"bytes": 3}, "kind": "client", "name": "Bash"}]);
    entries.push(("tools_asked", json!({"exchange": exchange, "team": "search", "tools": asked})));
    entries.push((
        "tools_returned",
        json!({"agent": "a1", "exchange": exchange, "session": "s1", "team": "search",
            "tools": tools}),
    ));
    for action in ["denied", "observed", "refused"] {
        let mut rule = json!({"action": action, "layer": "team search", "policy": "abc123",
            "rule": "tools_denied", "team": "search"});
        if action == "denied" {
            rule["tool"] = json!("WebFetch");
            rule["session"] = json!("s1");
        }
        entries.push(("rule_applied", rule));
    }
}

/// Every kind of entry that is a change or an act.
fn changes(entries: &mut Vec<(&'static str, Value)>) {
    let (old, new) = ("a".repeat(64), "b".repeat(64));
    let changed = json!({"after": new, "before": old, "by_uid": 1000});
    let reattributed = json!({"chosen": {"from": 1, "team": "search"}, "id": "r1",
        "payer": {"team": "lab"}, "reason": "TICKET-1"});
    let crossed = json!({"budget": "all", "forecast_usd": "12.00", "limit_usd": "10.00",
        "period": "day", "period_end": 2, "period_start": 1, "scope": "total", "threshold": "80",
        "used_usd": "8.00"});
    let exported = json!({"by_uid": 1000, "end": 9, "first": 0, "id": "e1", "manifest": old,
        "root": new, "size": 9, "team": "search"});
    entries.extend([
        (
            "started",
            json!({"config": old, "payers": new, "pricing": "2026-11",
            "previous": "crash", "program": "0.1.0", "uid": 1000}),
        ),
        ("config_changed", changed.clone()),
        ("payers_changed", changed),
        ("prices_changed", json!({"after": "2026-12 b", "before": "2026-11 a"})),
        ("key_rotated", json!({"after": "wb+2", "before": "wb+1", "reason": "asked"})),
        ("reattributed", reattributed),
        ("budget_crossed", crossed),
        ("budget_rearmed", json!({"budget": "all", "threshold": "burn_14.4"})),
        ("erased", json!({"by_uid": 1000, "found": true, "id": "e2", "team": "lab", "user": "bo"})),
        ("exported", exported),
        ("backed_up", json!({"by_uid": 1000, "entries": 12, "id": "b1"})),
        ("pruned", json!({"first": 0, "retention_months": 3, "root": old})),
        ("rollback", json!({"entries": 1, "signed": 2, "source": "checkpoints"})),
        ("gap", json!({"count": 3, "from": 1, "reason": "ledger_unwritable", "to": 2})),
        ("stopped", json!({"open_exchanges": 0})),
    ]);
}

/// A ledger with every kind of entry that becomes an event.
pub fn everything() -> Site {
    let mut entries = Vec::new();
    calls(&mut entries);
    tools(&mut entries);
    changes(&mut entries);
    ledger(&entries)
}

pub fn events(bundle: &Path) -> Vec<Value> {
    let text = fs::read_to_string(bundle.join("ocsf.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All events of a site, without a problem; how many there are of each class.
fn checked(site: &Site, version: &str) -> (Vec<Value>, BTreeMap<u64, usize>) {
    let schema = Schema::of(version);
    let bundle = export(site, &format!("bundle-{version}"), &["--ocsf", version]);
    let events = events(&bundle);
    let (mut classes, mut problems) = (BTreeMap::new(), BTreeSet::new());
    for event in &events {
        let class = event["class_uid"].as_u64().unwrap();
        *classes.entry(class).or_default() += 1;
        let name = schema.class(class).unwrap_or("no class");
        problems.extend(schema.problems(event).iter().map(|problem| format!("{name}: {problem}")));
    }
    assert_eq!(problems, BTreeSet::new(), "{version}");
    let ids: BTreeSet<_> = events.iter().map(|e| e["metadata"]["uid"].to_string()).collect();
    assert_eq!(ids.len(), events.len(), "an id each");
    let output = verify(site, &bundle, &[]);
    assert!(output.status.success(), "{}", said(&output));
    (events, classes)
}

#[test]
fn events_of_the_demo_are_valid() {
    let site = demo();
    for version in VERSIONS {
        let (events, classes) = checked(&site, version);
        assert!(events.len() > 60 && classes[&6003] > 50 && classes[&3004] > 0, "{classes:?}");
    }
}

#[test]
fn events_of_every_kind_are_valid() {
    let site = everything();
    for version in VERSIONS {
        let (_, classes) = checked(&site, version);
        let expected = [(1001, 3), (1007, 1), (3004, 13), (4002, 2), (6003, 11)];
        assert_eq!(classes, BTreeMap::from(expected));
    }
}

#[test]
fn an_event_has_the_same_id_in_every_export() {
    let site = everything();
    let ids = |bundle: &Path| -> BTreeSet<String> {
        events(bundle).iter().map(|event| event["metadata"]["uid"].to_string()).collect()
    };
    let whole = ids(&export(&site, "whole", &[]));
    let part = ids(&export(&site, "part", &["--session", "s1", "--from", "2026-11-01T00:00:04Z"]));
    assert!(!part.is_empty() && part.len() < whole.len() && part.is_subset(&whole), "{part:?}");
}

/// How an event is broken, in which version, and what must be said.
type Breakage = (&'static str, fn(&mut Value), &'static str);

const BREAKAGES: [Breakage; 17] = [
    ("1.6.0", |e| drop(remove(e, "/", "metadata")), "metadata: is required"),
    ("1.6.0", |e| drop(remove(e, "/api/request", "uid")), "api.request.uid: is required"),
    ("1.9.0", |e| drop(remove(e, "/ai_model", "ai_provider")), "ai_model.ai_provider: is required"),
    ("1.6.0", |e| e["surprise"] = json!(1), "surprise: is unknown"),
    ("1.6.0", |e| e["actor"]["user"]["surprise"] = json!(1), "actor.user.surprise: is unknown"),
    ("1.6.0", |e| e["attestation_list"] = json!([]), "attestation_list: is unknown"),
    ("1.6.0", |e| e["time"] = json!("now"), "time: \"now\" is no timestamp_t"),
    ("1.6.0", |e| e["message"] = Value::Null, "message: null is no string_t"),
    ("1.6.0", |e| e["actor"]["user"]["groups"] = json!({}), "actor.user.groups: is not an array"),
    ("1.6.0", |e| e["src_endpoint"] = json!("here"), "src_endpoint: is not an object"),
    ("1.6.0", |e| e["src_endpoint"]["port"] = json!(70_000), "70000 is no port_t"),
    ("1.6.0", |e| e["severity_id"] = json!(42), "severity_id: 42 is not a known value"),
    ("1.6.0", |e| e["activity_id"] = json!(9), "activity_id: 9 is not a known value"),
    ("1.6.0", |e| e["src_endpoint"] = json!({}), "src_endpoint: at_least_one of"),
    ("1.6.0", |e| e["status"] = json!("Fine"), "status_id: status is \"Fine\""),
    (
        "1.9.0",
        |e| e["metadata"]["profiles"] = json!(["record_integrity", "load_balancer"]),
        "metadata.profiles: the class has no load_balancer",
    ),
    (
        "1.9.0",
        |e| e["metadata"]["profiles"] = json!(["ai_operation"]),
        "attestation_list: needs profile \"record_integrity\"",
    ),
];

fn remove(event: &mut Value, at: &str, name: &str) -> Value {
    let place = event.pointer_mut(if at == "/" { "" } else { at }).unwrap();
    place.as_object_mut().unwrap().remove(name).unwrap()
}

#[test]
fn a_broken_event_is_seen() {
    let site = everything();
    let bundles: BTreeMap<_, _> = VERSIONS
        .map(|version| (version, events(&export(&site, version, &["--ocsf", version]))))
        .into();
    for (version, breaks, expected) in BREAKAGES {
        let schema = Schema::of(version);
        let mut event = bundles[version][0].clone();
        assert_eq!(schema.problems(&event), Vec::<String>::new());
        breaks(&mut event);
        let problems = schema.problems(&event);
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:?}");
    }
    // What a class says of itself.
    for (name, value) in [("category_uid", 3), ("type_uid", 600_302), ("class_uid", 9999)] {
        let mut event = bundles["1.6.0"][0].clone();
        event[name] = json!(value);
        let problems = Schema::of("1.6.0").problems(&event);
        assert!(problems.iter().any(|problem| problem.starts_with(name)), "{problems:?}");
    }
    // An event of one version is not one of the other.
    let problems = Schema::of("1.6.0").problems(&bundles["1.9.0"][0]);
    assert!(problems.iter().any(|problem| problem.starts_with("ai_model: ")), "{problems:?}");
    assert!(problems.iter().any(|problem| problem.starts_with("metadata.version")), "{problems:?}");
}

#[test]
fn changes_are_told_in_words_with_the_uid() {
    let site = everything();
    let bundle = export(&site, "bundle", &["--control", "CC8.1"]);
    let rows = fs::read_to_string(bundle.join("changes.csv")).unwrap();
    for expected in [
        "started,the sidecar 0.1.0 started after a crash,1000,",
        "config_changed,another configuration holds,1000,",
        "payers_changed,other keys and payers hold,1000,",
        "reattributed,\"spend moved to team lab, for TICKET-1\",,",
        "\"the key of kept contents was destroyed: team lab, user bo\",1000,",
        "\"evidence was exported: lines 0 until before 9, a tree of 9; tables for team search\",1000,",
        "backed_up,the data directory was copied: 12 lines,1000,",
        "lines before index 0 were removed, their hashes stay; kept are 3 months",
    ] {
        assert!(rows.contains(expected), "{expected}: {rows}");
    }
    let events = events(&bundle);
    assert_eq!(events.len(), rows.lines().count() - 1);
    for (event, row) in events.iter().zip(rows.lines().skip(1)) {
        assert!(row.contains(event["message"].as_str().unwrap()), "{event}");
        let uid = event["actor"]["user"]["uid"].as_str().unwrap_or_default();
        assert!(row.contains(&format!(",{uid},")), "{event}");
    }
    let page = fs::read_to_string(bundle.join("summary.html")).unwrap();
    assert!(page.contains("Changes (changes.csv): 1 × backed up · 1 × budget crossed"), "{page}");
}

/// Whoever verifies makes tables, events and page anew, also those of an older version of the same
/// form: what they look like may only change together with `FORMAT` in `cli/audit/facts.rs`. Then
/// the list here is written anew; the failure shows it.
#[test]
fn a_bundle_of_this_form_looks_as_it_did() {
    let site = everything();
    sign(&site);
    let bundle = export(&site, "form", &[]);
    let facts: Value =
        serde_json::from_str(&fs::read_to_string(bundle.join("ipe.json")).unwrap()).unwrap();
    let mut found = format!("form {}\n", facts["format"]);
    let mut names: Vec<&str> =
        facts["derived"]["rows"].as_object().unwrap().keys().map(String::as_str).collect();
    names.extend(["reconciliation.json", "summary.html"]);
    for name in names {
        let mut text = fs::read_to_string(bundle.join(name)).unwrap();
        let made = facts["extracted_at"].as_str().unwrap().get(..19).unwrap();
        let by = format!("made {made} by uid {} with", facts["operator_uid"]);
        text = text.replace(&by, "made at some time with");
        for before in ["Weighbridge ", "\"vendor_name\":\"Weighbridge\",\"version\":\""] {
            text = text.replace(&format!("{before}{}", env!("CARGO_PKG_VERSION")), before);
        }
        text = text.replace(facts["agent_shares_uid"].as_str().unwrap(), "");
        found += &format!("{}  {name}\n", hex(text.as_bytes()));
    }
    let known = include_str!("../fixtures/bundle.form");
    assert_eq!(found, known, "raise FORMAT where tables, events or page look another way");
}
