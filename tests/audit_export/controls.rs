//! Bundles for some criteria only.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::events::{events, everything};
use super::*;

/// What every bundle has.
const STANDING: [&str; 5] =
    ["MANIFEST.sha256", "README.txt", "ipe.json", "summary.html", "verify.py"];

/// The files at the top of a bundle that not every bundle has.
fn tables(bundle: &Path) -> BTreeSet<String> {
    let listed = fs::read_dir(bundle).unwrap().map(|entry| entry.unwrap());
    let files = listed.filter(|entry| entry.file_type().unwrap().is_file());
    let names = files.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| !STANDING.contains(&name.as_str())).collect()
}

fn facts(bundle: &Path) -> Value {
    serde_json::from_slice(&fs::read(bundle.join("ipe.json")).unwrap()).unwrap()
}

#[test]
fn only_what_supports_the_criteria_is_written() {
    let site = everything();
    let calls = ["exchanges.csv", "reconciliation.json", "sample.csv"];
    for (at, (asked, named, files, classes)) in [
        ("CC8.1", "CC8.1", &["changes.csv", "ocsf.jsonl"][..], &[3004][..]),
        ("CC6.6", "CC6.6", &["access.csv", "ocsf.jsonl"], &[6003]),
        ("CC7.4", "CC7.4", &["gaps.csv"], &[]),
        ("PI1.5", "PI1.5", &[], &[]),
        ("c1.1", "C1.1", &["contents.csv", "ocsf.jsonl", "tools.csv"], &[1001, 1007, 4002, 6003]),
        (
            "cc8.1,PI1.2,CC8.1",
            "CC8.1 PI1.2",
            &[&calls[..], &["changes.csv", "ocsf.jsonl"]].concat(),
            &[3004, 6003],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let bundle = export(&site, &format!("b{at}"), &["--control", asked]);
        let files: BTreeSet<String> = files.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(tables(&bundle), files, "{asked}");
        if files.contains("ocsf.jsonl") {
            let found = events(&bundle);
            let found: BTreeSet<_> =
                found.iter().map(|e| e["class_uid"].as_u64().unwrap()).collect();
            assert_eq!(found, classes.iter().copied().collect(), "{asked}");
        }
        let facts = facts(&bundle);
        let listed: Vec<_> = facts["parameters"]["controls"].as_array().unwrap().iter().collect();
        assert_eq!(listed, named.split(' ').collect::<Vec<_>>(), "{facts}");
        assert!(facts["query"].as_str().unwrap().contains(&format!("criteria: {named}")));
        let page = fs::read_to_string(bundle.join("summary.html")).unwrap();
        let said_so = format!("Asked for: {}.", named.replace(' ', ", "));
        assert!(page.contains(&said_so), "{page}");
        assert!(page.contains("CC6.6") == (asked == "CC6.6"), "other criteria are not listed");
        let output = verify(&site, &bundle, &[]);
        assert!(output.status.success(), "{}", said(&output));
        assert!(
            said(&output).contains(&format!("the tables are for {named}")),
            "{}",
            said(&output)
        );
        assert!(python(&bundle, &[]).status.success());
        // The lines are those of the whole.
        assert_eq!(facts["lines"]["end"], facts["tree"]["size"]);
    }
}

#[test]
fn calls_that_were_refused_support_access_and_no_other_do() {
    let site = everything();
    let bundle = export(&site, "access", &["--control", "CC6.6"]);
    let events = events(&bundle);
    assert_eq!(events.len(), 3, "one refused call, two decisions of rules");
    assert!(events.iter().all(|event| event["status_id"] == 2), "{events:?}");
}

#[test]
fn an_unknown_criterion_is_a_mistake_that_names_the_known_ones() {
    let site = everything();
    let out = site.path("none");
    let arguments = ["audit", "export", "--control", "CC6.1,CC6.4", "--out"];
    let places = [out.to_str().unwrap(), "--data-dir", site.data.to_str().unwrap()];
    let output = site.run(&[&arguments[..], &places].concat());
    assert_eq!(output.status.code(), Some(2));
    let told = said(&output);
    assert!(told.contains("CC6.4") && told.contains("CC6.1 CC6.2 CC6.3 CC6.6"), "{told}");
    assert!(!out.exists());
}

#[test]
fn a_table_that_was_not_asked_for_is_no_file_of_the_bundle() {
    let site = everything();
    let whole = export(&site, "whole", &[]);
    let bundle = export(&site, "changes", &["--control", "CC8.1"]);
    fs::copy(whole.join("access.csv"), bundle.join("access.csv")).unwrap();
    seal(&bundle);
    let output = verify(&site, &bundle, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("access.csv is no file of this bundle"), "{}", said(&output));

    // Nor does a whole bundle become one of a part by words alone.
    let text = fs::read_to_string(whole.join("ipe.json")).unwrap();
    let asked = text.replacen("\"ocsf\":", "\"controls\": [\"CC8.1\"],\n    \"ocsf\":", 1);
    assert_ne!(asked, text);
    fs::write(whole.join("ipe.json"), asked.replace("CC8.1", "CC9.9")).unwrap();
    seal(&whole);
    assert!(said(&verify(&site, &whole, &[])).contains("ipe.json is not readable"));
    fs::write(whole.join("ipe.json"), asked).unwrap();
    seal(&whole);
    assert!(said(&verify(&site, &whole, &[])).contains("gaps.csv is no file of this bundle"));
}

#[test]
fn tables_of_another_form_are_not_verified_and_those_of_another_version_are() {
    let site = everything();
    let bundle = export(&site, "old", &[]);
    let path = bundle.join("ipe.json");
    let text = fs::read_to_string(&path).unwrap();
    let now = facts(&bundle)["format"].as_u64().unwrap();
    let older = text.replacen(&format!("\"format\": {now}"), "\"format\": 1", 1);
    assert_ne!(older, text);
    fs::write(&path, &older).unwrap();
    seal(&bundle);
    let output = verify(&site, &bundle, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).starts_with("NOT VERIFIED"), "{}", said(&output));
    assert!(said(&output).contains("made them in form 1"), "{}", said(&output));
    let output = verify(&site, &bundle, &["--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["verified"], &told["damages"]["count"]), (&json!(false), &json!(0)));
    fs::write(&path, older.replacen("\"format\": 1", "\"format\": 99", 1)).unwrap();
    seal(&bundle);
    let output = verify(&site, &bundle, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));

    // Another version of the same form: its tables are compared, its verify.py may be another.
    let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    fs::write(&path, text.replacen(&version, "\"version\": \"0.0.9\"", 1)).unwrap();
    for name in ["summary.html", "ocsf.jsonl"] {
        let text = fs::read_to_string(bundle.join(name)).unwrap();
        let product = "\"vendor_name\":\"Weighbridge\",\"version\":\"";
        let text = ["Weighbridge ", product].into_iter().fold(text, |text, before| {
            let now = format!("{before}{}", env!("CARGO_PKG_VERSION"));
            text.replace(&now, &format!("{before}0.0.9"))
        });
        fs::write(bundle.join(name), text).unwrap();
    }
    fs::write(bundle.join("verify.py"), "# of that version\n").unwrap();
    seal(&bundle);
    let output = verify(&site, &bundle, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("those of version 0.0.9"), "{}", said(&output));
    let table = fs::read_to_string(bundle.join("exchanges.csv")).unwrap();
    fs::write(bundle.join("exchanges.csv"), table.replacen("0.", "9.", 1)).unwrap();
    seal(&bundle);
    let output = verify(&site, &bundle, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("exchanges.csv is not what the lines give"));
}
