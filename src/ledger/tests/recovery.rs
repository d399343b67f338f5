//! Every way the files can be found at start-up.

use super::*;
use crate::ledger::recovery::read;

#[test]
fn drops_a_torn_tail_wherever_it_is_cut() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    for n in 0..6 {
        put(&ledger, &opened(n)).unwrap();
    }
    drop(ledger);
    let path = bench.segments().remove(0);
    let whole = fs::read(&path).unwrap();
    let mut ends = vec![0];
    ends.extend(whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1));
    for cut in ends[3]..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let kept = ends.iter().filter(|end| **end > 0 && **end <= cut).count();
        let end = read(&bench.dir).unwrap();
        assert_eq!(end.start.tree.size(), kept as u64, "cut at {cut}");
        assert_eq!(end.last.unwrap().torn, (cut - ends[kept]) as u64, "cut at {cut}");
        assert_eq!(end.damaged, Vec::<u64>::new());
        // Opening costs syncs: every seventh cut goes all the way.
        if cut % 7 == 0 {
            let (ledger, recovery) = bench.open();
            assert_eq!(recovery.truncated_bytes, (cut - ends[kept]) as u64);
            assert_eq!(put(&ledger, &closed(0)).unwrap().sequence, Some(kept as u64));
            assert_root(&bench, &ledger);
        }
    }
}

#[test]
fn names_a_line_with_any_bit_flipped_and_goes_on() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    for n in 0..7 {
        put(&ledger, &opened(n)).unwrap();
    }
    let root = ledger.root();
    drop(ledger);
    let path = bench.segments().remove(0);
    let whole = fs::read(&path).unwrap();
    let length = whole.len() / 7;
    for damaged in [0, 3, 5] {
        for bit in 0..length * 8 {
            let mut bytes = whole.clone();
            bytes[damaged * length + bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            let end = read(&bench.dir).unwrap();
            let place = format!("bit {bit} of line {damaged}");
            assert_eq!(end.damaged, [damaged as u64], "{place}");
            assert_eq!((end.start.tree.size(), end.start.tree.root()), root, "{place}");
            assert_eq!(end.last.unwrap().torn, 0, "{place}");
        }
    }
    let before = fs::read(&path).unwrap();
    let (ledger, recovery) = bench.open();
    assert_eq!(recovery.damaged, [5]);
    assert_eq!(put(&ledger, &opened(7)).unwrap().sequence, Some(7));
    assert!(fs::read(&path).unwrap().starts_with(&before), "nothing is repaired");
}

#[test]
fn goes_on_behind_a_lost_stretch_and_refuses_edited_lines() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    for n in 0..8 {
        put(&ledger, &opened(n)).unwrap();
    }
    drop(ledger);
    let path = bench.segments().remove(0);
    let whole = fs::read(&path).unwrap();
    let length = whole.len() / 8;
    let mut bytes = whole.clone();
    bytes[2 * length + 10..5 * length - 10].fill(0);
    fs::write(&path, &bytes).unwrap();
    let end = read(&bench.dir).unwrap();
    assert_eq!((end.start.tree.size(), end.damaged), (8, vec![2, 3, 4]));

    let removed = [&whole[..2 * length], &whole[3 * length..]].concat();
    let swapped = [&whole[..length], &whole[2 * length..3 * length], &whole[length..2 * length]];
    let swapped = [&swapped.concat(), &whole[3 * length..]].concat();
    let garbage = [whole.as_slice(), &vec![b'x'; 2 << 20]].concat();
    for edited in [removed, swapped, garbage] {
        fs::write(&path, &edited).unwrap();
        assert!(matches!(bench.try_open(), Err(LedgerError::Unreadable { .. })));
        assert_eq!(fs::read(&path).unwrap(), edited, "nothing is dropped");
    }
}

#[test]
fn rotates_by_size_and_restarts_from_any_start() {
    let mut bench = Bench::new();
    bench.segment_bytes_max = 4096;
    let (ledger, _) = bench.open();
    for n in 0..40 {
        put(&ledger, &opened(n)).unwrap();
        if n != 3 {
            put(&ledger, &closed(n)).unwrap();
        }
    }
    assert_root(&bench, &ledger);
    let root = ledger.root();
    drop(ledger);
    let segments = bench.segments();
    assert!(segments.len() > 5);
    let sealed = |path: &PathBuf| fs::metadata(path).unwrap().permissions().readonly();
    assert!(segments[..segments.len() - 1].iter().all(sealed));
    assert!(!sealed(&segments[segments.len() - 1]));
    assert!(segments.iter().all(|path| fs::metadata(path).unwrap().len() <= 4096));

    let check = || {
        let end = read(&bench.dir).unwrap();
        assert_eq!((end.start.tree.size(), end.start.tree.root()), root);
        assert_eq!(end.start.open.keys().collect::<Vec<_>>(), [&exchange(3)]);
        assert_eq!(end.damaged, Vec::<u64>::new());
    };
    check();
    // Only the last segment is read while its `.start` is there.
    let first = fs::read(&segments[0]).unwrap();
    fs::remove_file(&segments[0]).unwrap();
    check();
    fs::write(&segments[0], &first).unwrap();
    for path in segments.iter().rev() {
        let start = path.with_extension("start");
        if start.exists() {
            fs::write(&start, "{\"first\":").unwrap();
            check();
            fs::remove_file(&start).unwrap();
            check();
        }
    }
    fs::remove_file(&segments[0]).unwrap();
    assert!(matches!(bench.try_open(), Err(LedgerError::Unreadable { .. })));
}

#[test]
fn finds_the_end_of_an_earlier_segment_missing() {
    let mut bench = Bench::new();
    bench.segment_bytes_max = 4096;
    let (ledger, _) = bench.open();
    for n in 0..20 {
        put(&ledger, &opened(n)).unwrap();
    }
    drop(ledger);
    let segments = bench.segments();
    let path = &segments[segments.len() - 2];
    let bytes = fs::read(path).unwrap();
    let last = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(path, &bytes[..last + 9]).unwrap();
    let end = read(&bench.dir).unwrap();
    assert_eq!((end.start.tree.size(), end.damaged.len()), (20, 1));
}
