//! Parts of a ledger.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::*;

pub fn demo() -> Site {
    let site = Site::new();
    site.ok(&["demo"]);
    site
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
    // A part that is passed off as the whole is damage.
    let passed = site.path("passed");
    copy(&part, &passed);
    let text = fs::read_to_string(passed.join("ipe.json")).unwrap();
    let to = format!("\"to\": \"{later}\"");
    assert!(text.contains(&to), "{text}");
    fs::write(passed.join("ipe.json"), text.replace(&to, "\"to\": null")).unwrap();
    seal(&passed);
    let output = verify(&site, &passed, &[]);
    assert!(said(&output).contains("are left out, unsaid"), "{}", said(&output));
    assert_eq!(output.status.code(), Some(1));
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
