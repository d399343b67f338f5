//! Reads ledgers from their files alone, not with the program's own code.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use crate::support::sidecar::Site;

/// Reads a ledger from the start, or from where it stopped the last time.
#[derive(Default)]
pub struct Chain {
    pub lines: usize,
    previous: String,
    pub opened: HashSet<String>,
    pub closed: HashSet<String>,
}

fn leaf_hash(line: &[u8]) -> String {
    let leaf = [&[0_u8], line].concat();
    digest(&SHA256, &leaf).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Chain {
    /// All of a ledger, in which every opening has its closing.
    pub fn whole(site: &Site) -> Chain {
        let mut chain = Chain::default();
        chain.follow(site);
        let open: Vec<_> = chain.opened.difference(&chain.closed).collect();
        assert!(open.is_empty(), "never closed: {open:?}");
        chain
    }

    /// Every new line has the next index and the hash of the line before.
    pub fn follow(&mut self, site: &Site) {
        let lines = site.ledger_lines();
        assert!(lines.len() >= self.lines, "{} lines, there were {}", lines.len(), self.lines);
        if self.lines == 0 {
            self.previous = "0".repeat(64);
        }
        for (index, bytes) in lines.iter().enumerate().skip(self.lines) {
            let line: Value = serde_json::from_slice(bytes).expect("every line is whole");
            assert_eq!(line["i"], index, "indices have no gap");
            assert_eq!(line["prev"], self.previous.as_str(), "line {index} follows the one before");
            self.previous = leaf_hash(bytes);
            let exchange = line["body"]["exchange"].as_str().unwrap_or_default().to_owned();
            match line["kind"].as_str() {
                Some("opened") => assert!(self.opened.insert(exchange), "opened twice"),
                Some("closed") => {
                    assert!(self.opened.contains(&exchange), "closed before it was opened");
                    assert!(self.closed.insert(exchange), "closed twice");
                }
                _ => {}
            }
        }
        self.lines = lines.len();
    }
}

/// The lines whose kind is this one.
pub fn entries(site: &Site, kind: &str) -> Vec<Value> {
    let lines = site.ledger_lines();
    let lines = lines.iter().filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    lines.filter(|line| line["kind"] == kind).collect()
}

/// The newest segment without the zeros of a reserve.
pub fn tail(site: &Site) -> (PathBuf, Vec<u8>) {
    let path = site.segments().pop().expect("a segment");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(end);
    (path, bytes)
}

/// What `audit verify` says of a data directory: its exit status and its answer.
pub fn verify(site: &Site, more: &[&str]) -> (i32, Value) {
    let data = site.data.to_str().unwrap().to_owned();
    let all = [&["audit", "verify", "--json", "--data-dir", &data], more].concat();
    let output = site.run(&all);
    let told = serde_json::from_slice(&output.stdout);
    let told = told.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), told)
}

/// Nothing is damaged, as the program and as this file see it.
pub fn sound(site: &Site) -> Chain {
    let (code, told) = verify(site, &[]);
    assert_eq!((code, &told["verified"]), (0, &true.into()), "{told:#}");
    Chain::whole(site)
}
