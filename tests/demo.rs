//! `weighbridge demo`, as a newcomer runs it: the real program, nothing set up.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// How many calls the demo's script makes, every attempt counted.
const CALLS: u64 = 61;

fn weighbridge(arguments: &[&str], temporary: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weighbridge"))
        .args(arguments)
        .env_clear()
        .env("TMPDIR", temporary)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The amount that stands behind `$` in the line that begins with `start`.
fn amount<'a>(shown: &'a str, start: &str) -> &'a str {
    let line = shown.lines().find(|line| line.trim_start().starts_with(start)).unwrap();
    line.split_once('$').unwrap().1.split_whitespace().next().unwrap()
}

#[test]
fn the_ledger_says_what_the_simulated_api_charged() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("kept");
    let dir = dir.to_str().unwrap();
    let demo = weighbridge(&["demo", "--data-dir", dir], place.path());
    let shown = text(&demo.stdout);
    assert!(demo.status.success(), "{shown}\n{}", text(&demo.stderr));
    assert_eq!(text(&demo.stderr), "", "logs and progress stay out of the way");
    assert!(!shown.contains('\u{1b}') && !shown.contains('\r'), "{shown}");

    let charged = amount(shown, "The simulated API charged");
    assert!(charged.starts_with(|digit: char| digit.is_ascii_digit()) && charged != "0", "{shown}");
    assert_eq!(amount(shown, "The ledger says"), charged);
    assert!(shown.contains("equal to the last digit"), "{shown}");
    for section in
        ["retried ", "cut off ", "long prompt ", "unpriced ", "rate limit ", "wrong key "]
    {
        assert!(shown.contains(&format!("  {section}")), "no {section:?} in {shown}");
    }
    assert!(shown.contains("529, 529, 200: one call in 3 attempts"), "{shown}");

    // What was kept says the same, to whoever asks it later.
    let report = ["report", "--by", "team", "--format", "json", "--data-dir", dir];
    let report = weighbridge(&report, place.path());
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["total"]["usd"], charged);
    assert_eq!(report["total"]["exchanges"], CALLS);
    assert_eq!(report["total"]["unpriced"], 1);
    let rows = report["rows"].as_array().unwrap();
    let mut teams: Vec<&str> = rows.iter().filter_map(|row| row["team"].as_str()).collect();
    teams.sort_unstable();
    assert_eq!(teams, ["platform", "research", "search", "support", "unattributed"]);
    assert!(!Path::new(dir).join("demo.key").exists(), "the simulated key is not left behind");

    // An exchange that the story names is one that can be looked up.
    let id = shown.lines().skip_while(|line| !line.contains("cut off  ")).nth(1).unwrap().trim();
    let page = weighbridge(&["exchanges", id, "--data-dir", dir], place.path());
    let page = text(&page.stdout);
    assert!(page.contains("partial") && page.contains("estimated"), "{page}");

    // A second demo would not be alone in this ledger.
    let again = weighbridge(&["demo", "--data-dir", dir], place.path());
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("is not empty"), "{}", text(&again.stderr));
}

#[test]
fn nothing_is_left_of_a_temporary_directory() {
    let place = tempfile::tempdir().unwrap();
    let demo = weighbridge(&["demo"], place.path());
    assert!(demo.status.success(), "{}", text(&demo.stderr));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    let shown = text(&demo.stdout);
    let (last, report) = (shown.find("The simulated API charged").unwrap(), shown.rfind("total "));
    assert!(report.unwrap() < last, "the report comes before the equality and nothing between");
    assert!(shown.lines().count() < 100 && shown.lines().all(|line| line.chars().count() <= 100));
}
