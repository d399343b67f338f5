//! What is in the ledger's files in the end.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
};

use serde_json::Value;

/// The places of all hook events in the ledger.
pub(crate) fn read(data: &Path) -> BTreeSet<u64> {
    let mut kept = BTreeSet::new();
    for segment in fs::read_dir(data.join("segments")).unwrap().flatten() {
        if segment.path().extension().is_none_or(|kind| kind != "jsonl") {
            continue;
        }
        for line in BufReader::new(fs::File::open(segment.path()).unwrap()).lines() {
            let entry: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if entry["kind"] == "hook" {
                kept.insert(entry["i"].as_u64().unwrap());
            }
        }
    }
    kept
}
