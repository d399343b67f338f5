//! Lines are removed and their hashes kept: every root can still be made anew.

use super::*;

const DAY_NS: u64 = 86_400_000_000_000;

/// Ten days of ten entries: a segment each.
fn ten_days(bench: &Bench) -> Ledger {
    let (ledger, _) = bench.open();
    for day in 0..10 {
        for n in 0..10 {
            put_at(&ledger, &opened(day * 10 + n), at(day * DAY_NS + n));
        }
    }
    ledger
}

fn put_at(ledger: &Ledger, entry: &Entry, stamp: Stamp) {
    ledger.append_now(entry, stamp, Purpose::Running).unwrap();
}

#[test]
fn every_root_is_the_same_without_the_lines() {
    let bench = Bench::new();
    let ledger = ten_days(&bench);
    let dir = bench.dir.as_path();
    let roots: Vec<_> = (0..=100).map(|size| tree_at(dir, size).unwrap().unwrap()).collect();

    // Three days and a bit are old enough, and no more than 47 lines may go.
    let before = NOON_NS + 4 * DAY_NS;
    assert_eq!(prunable(dir, before, 9).unwrap(), None);
    assert_eq!(prunable(dir, before, 25).unwrap().unwrap().first, 20);
    assert_eq!(prunable(dir, before, u64::MAX).unwrap().unwrap().first, 40);
    let old = prunable(dir, before, 47).unwrap().unwrap();
    assert_eq!((old.first, old.root), (40, roots[40].root()));
    keep_leaves(dir, &old).unwrap();
    assert_eq!(pruned_upto(dir).unwrap(), 0, "the lines are still there");
    remove_lines(dir, &old).unwrap();
    assert_eq!(pruned_upto(dir).unwrap(), 40);
    assert_eq!(kept_since(dir).unwrap(), Some(NOON_NS + 4 * DAY_NS));
    for (size, before) in (0..).zip(&roots) {
        assert_eq!(tree_at(dir, size).unwrap().unwrap().root(), before.root(), "{size}");
    }

    // Twice is as good as once, and it goes on where it ended.
    let more = prunable(dir, before + DAY_NS, u64::MAX).unwrap().unwrap();
    keep_leaves(dir, &more).unwrap();
    remove_lines(dir, &more).unwrap();
    assert_eq!(pruned_upto(dir).unwrap(), 50);
    drop(ledger);
    let (ledger, recovery) = bench.open();
    assert_eq!((recovery.entries, recovery.damaged), (100, Vec::new()));
    put_at(&ledger, &opened(100), at(10 * DAY_NS));
    let all = tree_at(dir, 101).unwrap().unwrap();
    assert_eq!((101, all.root()), ledger.root());
}

#[test]
fn what_is_left_of_a_crash_is_lines() {
    let bench = Bench::new();
    let ledger = ten_days(&bench);
    let dir = bench.dir.as_path();
    let old = prunable(dir, NOON_NS + 3 * DAY_NS, u64::MAX).unwrap().unwrap();
    keep_leaves(dir, &old).unwrap();
    // Only the first of three segments is gone.
    fs::remove_file(segment::path(dir, 0)).unwrap();
    assert_eq!(pruned_upto(dir).unwrap(), 10);
    assert_eq!(tree_at(dir, 15).unwrap().unwrap().size(), 15);
    let again = prunable(dir, NOON_NS + 3 * DAY_NS, u64::MAX).unwrap().unwrap();
    assert_eq!(again.first, 30);
    keep_leaves(dir, &again).unwrap();
    remove_lines(dir, &again).unwrap();
    assert_eq!(tree_at(dir, 100).unwrap().unwrap().root(), ledger.root().1);

    // Without the hashes the lines are missing, and nobody calls that pruned.
    fs::remove_file(segment::path(dir, 10).with_extension("leaves")).unwrap();
    assert_eq!(pruned_upto(dir).unwrap(), 0);
    assert_eq!(tree_at(dir, 15).unwrap(), None);
}

#[test]
fn lines_that_are_lost_are_not_pruned() {
    let bench = Bench::new();
    let _ledger = ten_days(&bench);
    let dir = bench.dir.as_path();
    let old = prunable(dir, NOON_NS + 2 * DAY_NS, u64::MAX).unwrap().unwrap();
    let first = segment::path(dir, 0);
    let lines = fs::read(&first).unwrap();
    let cut = memchr::memrchr(b'\n', &lines[..lines.len() - 1]).unwrap() + 1;
    fs::remove_file(&first).unwrap();
    fs::write(&first, &lines[..cut]).unwrap();
    assert!(keep_leaves(dir, &old).is_err());
    assert!(!first.with_extension("leaves").exists());
}
