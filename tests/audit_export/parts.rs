//! Events, tables and parts of a ledger.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::*;

/// What `ocsf/ocsf-schema` requires (read at a5cfc68, 2026-07-22, 1.9.0-dev): `events/base_event`,
/// `events/application/api_activity`, `events/system/{system,process_activity,file_activity}`,
/// `events/network/{network,http_activity}`, `events/iam/entity_management`, and of `objects` those
/// that we fill. One of each group in the last list must be there.
fn check_event(event: &Value, version: &str) {
    let required = |object: &Value, names: &[&str]| {
        for name in names {
            assert!(!object[name].is_null(), "{name} is missing: {event}");
        }
    };
    let one_of = |object: &Value, names: &[&str]| {
        assert!(names.iter().any(|name| !object[name].is_null()), "none of {names:?}: {event}");
    };
    let base = ["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time"];
    required(event, &base);
    required(&event["metadata"], &["product", "version"]);
    assert_eq!(event["metadata"]["version"], version);
    let (class, activity) = (event["class_uid"].as_u64().unwrap(), &event["activity_id"]);
    assert_eq!(event["type_uid"].as_u64(), Some(class * 100 + activity.as_u64().unwrap()));
    let category = class / 1000;
    assert_eq!(event["category_uid"].as_u64(), Some(category));
    if activity == 99 {
        required(event, &["activity_name"]);
    }
    match class {
        6003 => {
            required(event, &["actor", "api", "src_endpoint"]);
            required(&event["api"], &["operation"]);
            required(&event["api"]["request"], &["uid"]);
        }
        1001 => {
            required(event, &["actor", "device", "file"]);
            required(&event["file"], &["name", "type_id"]);
        }
        1007 => {
            required(event, &["actor", "device", "process"]);
            one_of(&event["process"], &["pid", "uid", "cpid"]);
        }
        4002 => {
            one_of(event, &["http_request", "http_response"]);
            one_of(event, &["src_endpoint", "dst_endpoint"]);
        }
        3004 => {
            required(event, &["entity"]);
            one_of(&event["entity"], &["name", "uid"]);
        }
        other => panic!("class {other} is not one of ours: {event}"),
    }
    if !event["device"].is_null() {
        required(&event["device"], &["type_id"]);
        one_of(&event["device"], &["name", "uid", "hostname", "ip"]);
    }
    if !event["actor"].is_null() {
        one_of(&event["actor"]["user"], &["name", "uid", "account"]);
    }
    if !event["api"]["response"].is_null() {
        required(&event["api"]["response"], &["code"]);
    }
    if version == "1.9.0" {
        let attestation = &event["attestation_list"][0];
        required(attestation, &["fingerprint", "chain_uid"]);
        required(&attestation["fingerprint"], &["algorithm_id", "value"]);
        if !attestation["prev_event"].is_null() {
            required(&attestation["prev_event"], &["uid"]);
        }
        assert!(event["ai_model"].is_null() || event["ai_model"]["ai_provider"].is_string());
    } else {
        assert!(event["attestation_list"].is_null() && event["ai_model"].is_null(), "{event}");
    }
}

fn demo() -> Site {
    let site = Site::new();
    site.ok(&["demo"]);
    site
}

#[test]
fn events_have_what_the_schema_requires() {
    let site = demo();
    for version in ["1.9.0", "1.6.0"] {
        let bundle = export(&site, version, &["--ocsf", version]);
        let text = fs::read_to_string(bundle.join("ocsf.jsonl")).unwrap();
        let events: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        events.iter().for_each(|event| check_event(event, version));
        let classes: Vec<_> = events.iter().map(|e| e["class_uid"].as_u64().unwrap()).collect();
        assert!(classes.contains(&6003) && classes.contains(&3004), "{classes:?}");
        let mut ids: Vec<_> = events.iter().map(|e| e["metadata"]["uid"].to_string()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), events.len());
        assert!(verify(&site, &bundle, &[]).status.success());
    }
}

#[test]
fn a_part_of_the_ledger_is_proved_like_the_whole() {
    let site = demo();
    let calls = site.exchanges();
    let middle = calls[calls.len() / 2]["opened_at"].as_str().unwrap().to_owned();
    let later = calls[calls.len() - 5]["opened_at"].as_str().unwrap().to_owned();
    let whole = export(&site, "whole", &[]);
    let part = export(&site, "part", &["--from", &middle, "--to", &later, "--team", "search"]);
    for bundle in [&whole, &part] {
        let output = verify(&site, bundle, &[]);
        assert!(output.status.success(), "{}", said(&output));
        let output = python(bundle, &[]);
        assert!(output.status.success(), "{}", said(&output));
    }
    let facts = |bundle: &Path| -> Value {
        serde_json::from_slice(&fs::read(bundle.join("ipe.json")).unwrap()).unwrap()
    };
    let (whole, facts) = (facts(&whole), facts(&part));
    assert!(facts["lines"]["first"].as_u64().unwrap() > 0, "{facts}");
    assert!(facts["lines"]["first"].as_u64() <= facts["period"]["first"].as_u64());
    assert_eq!(facts["tree"]["root"], whole["tree"]["root"], "the same tree");
    let rows = fs::read_to_string(part.join("exchanges.csv")).unwrap();
    assert!(rows.lines().count() > 1);
    assert!(rows.lines().skip(1).all(|row| row.split(',').nth(5) == Some("search")), "{rows}");
    // The sums agree with each other, and the whole with what reports say.
    let sums = fs::read(part.join("reconciliation.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&sums).unwrap()["agrees"], true);
    let report = site.report("team");
    assert_eq!(whole["derived"]["calls"], report["total"]["exchanges"], "{report}");
    assert_eq!(whole["derived"]["usd"], report["total"]["usd"], "{report}");
    // The sample can be drawn again.
    let seed = facts["sample"]["seed"].as_str().unwrap();
    let ids = rows.lines().skip(1).map(|row| row.split(',').next().unwrap());
    let mut ranks: Vec<(String, &str)> =
        ids.map(|id| (hex(format!("{seed}:{id}").as_bytes()), id)).collect();
    ranks.sort();
    ranks.truncate(25);
    let sample = fs::read_to_string(part.join("sample.csv")).unwrap();
    let drawn: Vec<String> =
        sample.lines().skip(1).map(|row| row.split(',').nth(1).unwrap().to_owned()).collect();
    assert_eq!(drawn, ranks.iter().map(|(_, id)| (*id).to_owned()).collect::<Vec<_>>());
}
