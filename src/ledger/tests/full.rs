//! A disk without space: the reserve, what is refused, and the way back.

use std::process::Command;

use super::*;

/// A file system that is really full, or really read-only.
struct Mount(TempDir);

impl Mount {
    fn small() -> Option<Mount> {
        let mount = Mount(TempDir::new().unwrap());
        mount.run("mount", &["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).then_some(mount)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let output = Command::new(program).args(arguments).arg(self.0.path()).output();
        output.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.run("umount", &["-l"]);
    }
}

#[test]
fn running_calls_get_their_closing_on_a_full_disk() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    for n in 0..200 {
        put(&ledger, &opened(n)).unwrap();
    }
    bench.space(Some(100));
    // New calls go on while the reserve keeps room for the closing of each open one.
    let mut n = 200;
    while put(&ledger, &opened(n)).is_ok() {
        n += 1;
    }
    assert!(n > 300, "only {n} calls");
    let health = ledger.health();
    assert_eq!((health.state, health.refused, health.unrecorded), (State::Reserve, 1, 0));
    assert!(health.reserve_free_bytes >= n * reserve::CLOSING_BYTES_MAX);
    for running in 0..n {
        put(&ledger, &closed(running)).unwrap();
    }
    assert!(matches!(put(&ledger, &opened(n)), Err(LedgerError::Full)), "not before a refused one");
    // What is left takes at least what was promised: here each line is shorter than 1 KiB.
    let mut closings = n;
    while put(&ledger, &closed(0)).is_ok() {
        closings += 1;
    }
    assert!(closings >= 10_000, "only {closings} closings");
    assert_eq!(ledger.health().state, State::Full);
    assert!(matches!(put(&ledger, &stopped()), Err(LedgerError::Full)), "nothing smaller after it");
    assert_root(&bench, &ledger);

    bench.space(None);
    bench.wait_for(|| ledger.health().state == State::Normal);
    let kinds = bench.kinds();
    assert_eq!(kinds[kinds.len() - 3..], ["reserve", "gap", "gap"]);
    let lines = bench.lines();
    let gaps = lines[lines.len() - 2..].iter().map(|line| Line::parse(line).unwrap());
    let counts = gaps.map(|line| match line.entry().unwrap().unwrap() {
        Entry::Gap(gap) => (gap.reason, gap.count, gap.from, gap.to),
        other => panic!("{other:?}"),
    });
    let (from, to) = (at(1).wall_ns, at(1).wall_ns);
    let expected = [("ledger_unwritable", 2, from, to), ("new_calls_refused", 2, from, to)];
    assert!(counts.eq(expected.map(|(reason, n, from, to)| (reason.to_owned(), n, from, to))));
    put(&ledger, &opened(n)).unwrap();
    assert_root(&bench, &ledger);
    assert_eq!(ledger.health().reserve_free_bytes, reserve::RESERVE_BYTES);
    let root = ledger.root();
    drop(ledger);
    let (ledger, recovery) = bench.open();
    assert_eq!((ledger.root(), recovery.truncated_bytes), (root, 0));
}

#[test]
fn strict_keeps_the_reserve_for_running_calls() {
    let mut bench = Bench::new();
    bench.mode = Mode::Strict;
    let (ledger, _) = bench.open();
    block_on(ledger.append(&opened(0), at(1), Purpose::NewCall)).unwrap();
    assert_eq!(ledger.health().synced_upto, 1, "strict is durable against a power cut");
    bench.space(Some(0));
    assert!(matches!(put(&ledger, &opened(1)), Err(LedgerError::Full)));
    block_on(ledger.append(&closed(0), at(1), Purpose::Running)).unwrap();
    assert_eq!(ledger.health().synced_upto, 2);
    assert_root(&bench, &ledger);
}

#[test]
fn observe_goes_on_without_a_record_and_says_so() {
    let mut bench = Bench::new();
    bench.mode = Mode::Observe;
    let (ledger, _) = bench.open();
    bench.space(Some(0));
    let mut recorded = 0;
    while put(&ledger, &closed(0)).unwrap().sequence.is_some() {
        recorded += 1;
    }
    assert_eq!(put(&ledger, &opened(1)).unwrap(), Position { sequence: None });
    assert_eq!((ledger.head(), ledger.health().unrecorded), (recorded, 2));
    bench.space(None);
    bench.wait_for(|| ledger.health().state == State::Normal);
    assert_eq!(bench.kinds()[usize::try_from(recorded).unwrap()..], ["reserve", "gap"]);
    assert_eq!(put(&ledger, &opened(1)).unwrap().sequence, Some(recorded + 2));
    assert_root(&bench, &ledger);
}

#[test]
fn a_crash_on_the_reserve_loses_nothing() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    put(&ledger, &opened(0)).unwrap();
    bench.space(Some(0));
    put(&ledger, &closed(0)).unwrap();
    put(&ledger, &opened(1)).unwrap();
    assert_eq!(ledger.health().state, State::Reserve);
    let root = ledger.root();
    drop(ledger);
    bench.space(None);
    let (ledger, recovery) = bench.open();
    assert_eq!((ledger.root(), recovery.truncated_bytes), (root, 0));
    assert_eq!(recovery.open, [exchange(1)]);
    assert_eq!(ledger.health().state, State::Normal);
    put(&ledger, &closed(1)).unwrap();
    bench.wait_for(|| bench.kinds().last().is_some_and(|kind| kind == "reserve"));
    assert_root(&bench, &ledger);
}

#[test]
fn a_disk_that_is_really_full() {
    let Some(mount) = Mount::small() else {
        println!("skipped: mounting a file system is not permitted here");
        return;
    };
    let bench = Bench::on(mount.0.path());
    let (ledger, _) = bench.open();
    put(&ledger, &opened(0)).unwrap();
    let filler = mount.0.path().join("filler");
    assert!(fs::write(&filler, vec![1; 16 << 20]).is_err());
    let mut n = 1;
    while ledger.health().state == State::Normal {
        put(&ledger, &opened(n)).unwrap();
        n += 1;
    }
    assert_root(&bench, &ledger);
    let root = ledger.root();
    drop(ledger);

    // A restart on the full disk goes on in what is left of the reserve.
    let (ledger, recovery) = bench.open();
    assert_eq!((ledger.root(), recovery.truncated_bytes), (root, 0));
    assert_eq!(recovery.open.len() as u64, n);
    assert_eq!(ledger.health().state, State::Reserve);
    for running in 0..n {
        put(&ledger, &closed(running)).unwrap();
    }
    while put(&ledger, &closed(0)).is_ok() {}
    assert_eq!(ledger.health().state, State::Full);
    assert_root(&bench, &ledger);

    fs::remove_file(&filler).unwrap();
    // The used reserve takes 10 of the 16 MiB: there is no room for another one.
    bench.clock_ns.fetch_add(1_000_000_000, SeqCst);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(ledger.health().state, State::Full);
    assert!(mount.run("mount", &["-o", "remount,size=64m"]));
    bench.wait_for(|| ledger.health().state == State::Normal);
    assert_root(&bench, &ledger);
    put(&ledger, &stopped()).unwrap();
    ledger.shutdown().unwrap();
    drop(ledger);
    assert!(mount.run("mount", &["-o", "remount,ro"]));
    let error = bench.try_open().unwrap_err();
    assert!(error.to_string().contains("ead-only"), "{error}");
}
