//! What a data directory holds, checked against the definition of RFC 6962.

use std::fs;
use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;
use weighbridge::audit::checkpoint::Checkpoint;
use weighbridge::audit::note::{Note, Verdict, VerifierKey};

use crate::support::sidecar::{Site, files};

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    digest(&SHA256, &parts.concat()).as_ref().try_into().unwrap()
}

/// RFC 6962 §2.1, as it stands there.
fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(1 << (leaves.len() - 1).ilog2());
            sha256(&[&[1], &root(left), &root(right)])
        }
    }
}

pub fn lines(site: &Site) -> u64 {
    site.ledger_lines().len() as u64
}

/// The kinds of all entries, in order.
pub fn kinds(site: &Site) -> Vec<String> {
    bodies(site).into_iter().map(|(kind, _)| kind).collect()
}

/// Kind and body of all entries, in order.
pub fn bodies(site: &Site) -> Vec<(String, Value)> {
    let entry = |line: &Vec<u8>| -> (String, Value) {
        let value: Value = serde_json::from_slice(line).unwrap();
        (value["kind"].as_str().unwrap().to_owned(), value["body"].clone())
    };
    site.ledger_lines().iter().map(entry).collect()
}

/// The files of notes, oldest first.
pub fn note_files(site: &Site) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&site.data.join("audit/checkpoints"), &mut found);
    found.sort();
    found
}

/// Every whole note, in order.
pub fn notes(site: &Site) -> Vec<Note> {
    let mut notes = Vec::new();
    for path in note_files(site) {
        let text = fs::read_to_string(path).unwrap();
        let parts: Vec<&str> = text.split("\n\n").collect();
        for pair in parts.chunks_exact(2) {
            notes.push(Note::parse(&format!("{}\n\n{}\n", pair[0], pair[1])).unwrap());
        }
    }
    notes
}

/// The newest checkpoint; of no entries where there is none.
pub fn newest(site: &Site) -> Checkpoint {
    let note = notes(site).pop();
    let empty = Checkpoint { origin: String::new(), size: 0, root: Default::default() };
    note.map_or(empty, |note| Checkpoint::parse(&note.text).unwrap())
}

pub fn vkey(site: &Site, number: u32) -> VerifierKey {
    let path = site.data.join(format!("audit/keys/{number:04}.vkey"));
    VerifierKey::parse(fs::read_to_string(path).unwrap().lines().next().unwrap()).unwrap()
}

/// Every note is signed, longer than the one before, and the root of the lines it covers.
pub fn check(site: &Site) {
    let mut keys = Vec::new();
    files(&site.data.join("audit/keys"), &mut keys);
    keys.retain(|path| path.extension().is_some_and(|e| e == "vkey"));
    let keys: Vec<VerifierKey> = (1..=keys.len()).map(|n| vkey(site, n as u32)).collect();
    let leaves: Vec<_> = site.ledger_lines().iter().map(|line| sha256(&[&[0], line])).collect();
    let notes = notes(site);
    assert!(!notes.is_empty());
    let mut size = 0;
    for note in notes {
        let signed = |key: &VerifierKey| note.verdict(key) == Verdict::Signed(None);
        assert!(keys.iter().any(signed), "{note}");
        let checkpoint = Checkpoint::parse(&note.text).unwrap();
        assert!(checkpoint.size > size, "{} after {size}", checkpoint.size);
        size = checkpoint.size;
        let covered = &leaves[..usize::try_from(size).unwrap()];
        assert_eq!(checkpoint.root.as_bytes(), &root(covered), "of {size}");
    }
}
