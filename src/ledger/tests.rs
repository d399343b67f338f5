//! What the ledger promises, on real files, with faults where a disk would have them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tempfile::TempDir;

use super::*;
use crate::privacy::Identifier;
use crate::record::Line;
use crate::record::entry::{Started, Stopped};
use crate::record::exchange::{Closing, Endpoint, Opening, Outcome};

const NOON_NS: u64 = 20_000 * 86_400_000_000_000 + 43_200_000_000_000;

fn at(ns: u64) -> Stamp {
    Stamp { wall_ns: NOON_NS + ns, mono_ns: ns }
}

fn exchange(n: u64) -> String {
    format!("0199a0b2-7c11-7d3e-8f00-{n:012}")
}

fn opened(n: u64) -> Entry {
    Entry::Opened(Box::new(Opening {
        agent: None,
        attempt: 1,
        call: exchange(n),
        endpoint: Endpoint::Messages,
        exchange: exchange(n),
        key: None,
        max_tokens: Some(1024),
        method: Identifier::known("POST"),
        model: Some(Identifier::known("claude-opus-5-5")),
        parent_agent: None,
        project: None,
        request_bytes: Some(900),
        session: None,
        streamed: 1,
        tags: BTreeMap::new(),
        team: "unattributed".to_owned(),
        traceparent: None,
        user: None,
    }))
}

fn closed(n: u64) -> Entry {
    Entry::Closed(Box::new(Closing {
        charge: None,
        duration_us: 1_234_567,
        error_type: None,
        exchange: exchange(n),
        flags: Vec::new(),
        first_token_us: Some(400_000),
        model: Some(Identifier::known("claude-opus-5-5")),
        outcome: Outcome::Completed,
        request_id: None,
        response_bytes: 4096,
        status: Some(200),
        stop_reason: Some(Identifier::known("end_turn")),
        usage: None,
    }))
}

fn stopped() -> Entry {
    Entry::Stopped(Stopped { open_exchanges: 0 })
}

/// A data directory, a clock that the test moves, and a disk with faults.
struct Bench {
    dir: PathBuf,
    clock_ns: Arc<AtomicU64>,
    disk: Disk,
    mode: Mode,
    durability: Durability,
    segment_bytes_max: u64,
    _keep: Option<TempDir>,
}

impl Bench {
    fn new() -> Bench {
        let keep = TempDir::new().unwrap();
        Bench { _keep: Some(keep), ..Bench::on(Path::new("")) }.in_its_directory()
    }

    fn on(dir: &Path) -> Bench {
        Bench {
            dir: dir.to_owned(),
            clock_ns: Arc::default(),
            disk: Disk::default(),
            mode: Mode::Closed,
            durability: Durability::Process,
            segment_bytes_max: SEGMENT_BYTES_DEFAULT,
            _keep: None,
        }
    }

    fn in_its_directory(mut self) -> Bench {
        self.dir = self._keep.as_ref().unwrap().path().to_owned();
        self
    }

    fn try_open(&self) -> Result<(Ledger, Recovery), LedgerError> {
        let options = Options {
            dir: self.dir.clone(),
            durability: self.durability,
            mode: self.mode,
            segment_bytes_max: self.segment_bytes_max,
        };
        let origin = Origin { instance: "i".repeat(36), boot: "b".repeat(36) };
        let clock_ns = Arc::clone(&self.clock_ns);
        let now = move || at(clock_ns.load(SeqCst));
        let (writer, recovery) = Writer::open(options, origin, now, self.disk.clone())?;
        Ok((Ledger { writer: Arc::new(writer) }, recovery))
    }

    fn open(&self) -> (Ledger, Recovery) {
        self.try_open().unwrap()
    }

    fn space(&self, bytes: Option<usize>) {
        *self.disk.faults.space.lock().unwrap() = bytes;
    }

    /// Lets the thread try once to leave the reserve.
    fn wait_for(&self, what: impl Fn() -> bool) {
        for _ in 0..200 {
            self.clock_ns.fetch_add(1_000_000_000, SeqCst);
            if what() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("it did not happen within ten seconds");
    }

    fn segments(&self) -> Vec<PathBuf> {
        let firsts = segment::list(&self.dir).unwrap();
        firsts.into_iter().map(|first| segment::path(&self.dir, first)).collect()
    }

    /// All lines, without their newlines.
    fn lines(&self) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for path in self.segments() {
            let bytes = fs::read(&path).unwrap();
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            let text = bytes[..end].strip_suffix(b"\n");
            lines.extend(
                text.into_iter().flat_map(|t| t.split(|b| *b == b'\n')).map(<[u8]>::to_vec),
            );
        }
        lines
    }

    /// Recomputes chain and tree from the files alone, without any code of the ledger.
    fn verify(&self) -> (u64, [u8; 32]) {
        let (mut leaves, mut previous) = (Vec::new(), [0; 32]);
        for (index, line) in self.lines().iter().enumerate() {
            let value: serde_json::Value = serde_json::from_slice(line).unwrap();
            assert_eq!(value["i"].as_u64(), Some(index as u64), "indices are contiguous");
            assert_eq!(value["prev"].as_str(), Some(hex(&previous).as_str()), "line {index}");
            previous = sha(&[&[0], line.as_slice()].concat());
            leaves.push(previous);
        }
        (leaves.len() as u64, reference_root(&leaves))
    }

    fn kinds(&self) -> Vec<String> {
        self.lines().iter().map(|line| Line::parse(line).unwrap().kind.to_owned()).collect()
    }
}

fn sha(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 6962 §2.1, as it stands.
fn reference_root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves.len() {
        0 => sha(b""),
        1 => leaves[0],
        n => {
            let (left, right) = leaves.split_at(1 << (n - 1).ilog2());
            sha(&[&[1][..], &reference_root(left), &reference_root(right)].concat())
        }
    }
}

fn put(ledger: &Ledger, entry: &Entry) -> Result<Position, LedgerError> {
    let purpose = match entry {
        Entry::Opened(_) => Purpose::NewCall,
        _ => Purpose::Running,
    };
    ledger.append_now(entry, at(1), purpose)
}

fn assert_root(bench: &Bench, ledger: &Ledger) {
    let (size, root) = ledger.root();
    assert_eq!((size, *root.as_bytes()), bench.verify());
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn goes_on_where_it_ended() {
    let bench = Bench::new();
    let (ledger, recovery) = bench.open();
    assert_eq!((recovery.previous, recovery.entries), (Previous::First, 0));
    assert_eq!(put(&ledger, &opened(0)).unwrap().sequence, Some(0));
    put(&ledger, &opened(1)).unwrap();
    put(&ledger, &closed(0)).unwrap();
    assert_eq!((ledger.head(), *ledger.doorbell().borrow()), (3, 3));
    assert_root(&bench, &ledger);
    drop(ledger);

    let (ledger, recovery) = bench.open();
    assert_eq!((recovery.previous, recovery.entries), (Previous::Crash, 3));
    assert_eq!(recovery.open, [exchange(1)]);
    assert_eq!((recovery.truncated_bytes, recovery.damaged), (0, Vec::new()));
    put(&ledger, &closed(1)).unwrap();
    put(&ledger, &stopped()).unwrap();
    assert_root(&bench, &ledger);
    ledger.shutdown().unwrap();
    assert!(matches!(put(&ledger, &closed(1)), Err(LedgerError::ShutDown)));
    assert_eq!(ledger.synced_root(), Some(ledger.root()));
    drop(ledger);

    let (_, recovery) = bench.open();
    assert_eq!((recovery.previous, recovery.entries), (Previous::Clean, 5));
    assert_eq!(recovery.open, Vec::<String>::new());
}

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
        let end = recovery::read(&bench.dir).unwrap();
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
            let end = recovery::read(&bench.dir).unwrap();
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
    let end = recovery::read(&bench.dir).unwrap();
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

    let read = || {
        let end = recovery::read(&bench.dir).unwrap();
        assert_eq!((end.start.tree.size(), end.start.tree.root()), root);
        assert_eq!(end.start.open.keys().collect::<Vec<_>>(), [&exchange(3)]);
        assert_eq!(end.damaged, Vec::<u64>::new());
    };
    read();
    // Only the last segment is read while its `.start` is there.
    let first = fs::read(&segments[0]).unwrap();
    fs::remove_file(&segments[0]).unwrap();
    read();
    fs::write(&segments[0], &first).unwrap();
    for path in segments.iter().rev() {
        let start = path.with_extension("start");
        if start.exists() {
            fs::write(&start, "{\"first\":").unwrap();
            read();
            fs::remove_file(&start).unwrap();
            read();
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
    let end = recovery::read(&bench.dir).unwrap();
    assert_eq!((end.start.tree.size(), end.damaged.len()), (20, 1));
}

#[test]
fn begins_a_segment_each_day_and_never_for_a_clock_that_steps_back() {
    const HOUR_NS: u64 = 3_600_000_000_000;
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    for hour in [0, 11, 13, 11, 13, 36, 12, 37] {
        ledger.append_now(&opened(hour), at(hour * HOUR_NS), Purpose::NewCall).unwrap();
    }
    assert_eq!(bench.segments().len(), 3);
    assert_root(&bench, &ledger);
}

#[test]
fn one_process_per_directory() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    put(&ledger, &opened(0)).unwrap();
    let error = bench.try_open().unwrap_err();
    assert!(matches!(error, LedgerError::Locked(_)));
    assert!(error.to_string().contains(bench.dir.to_str().unwrap()));
    put(&ledger, &closed(0)).unwrap();
    assert_root(&bench, &ledger);
}

#[test]
fn refuses_a_directory_that_is_not_there_or_goes_away() {
    let mut bench = Bench::new();
    let parent = bench.dir.clone();
    bench.dir = parent.join("missing");
    let error = bench.try_open().unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    assert!(!bench.dir.exists(), "nothing is made in its stead");
    fs::write(&bench.dir, "a file").unwrap();
    assert!(matches!(bench.try_open(), Err(LedgerError::Io { .. })));

    bench.dir = parent.join("data");
    fs::create_dir(&bench.dir).unwrap();
    let (ledger, _) = bench.open();
    put(&ledger, &opened(0)).unwrap();
    fs::remove_dir_all(&bench.dir).unwrap();
    bench.wait_for(|| ledger.health().state == State::Poisoned);
    let error = put(&ledger, &opened(1)).unwrap_err();
    assert!(error.to_string().contains("no longer in its place"), "{error}");
    assert_eq!(ledger.synced_root(), None);
    assert!(!bench.dir.exists());
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
fn a_failed_sync_is_final() {
    for failing in 1..6 {
        let mut bench = Bench::new();
        bench.durability = Durability::Power;
        let (ledger, _) = bench.open();
        let done = bench.disk.faults.syncs.load(SeqCst);
        bench.disk.faults.failing_sync.store(done + failing, SeqCst);
        let mut acknowledged = Vec::new();
        for n in 0..10 {
            match block_on(ledger.append(&opened(n), at(n), Purpose::NewCall)) {
                Ok(position) => acknowledged.extend(position.sequence),
                Err(error) => assert!(matches!(error, LedgerError::Poisoned(_)), "{error}"),
            }
        }
        assert!(acknowledged.len() < failing as usize);
        let health = ledger.health();
        assert_eq!((health.state, ledger.synced_root()), (State::Poisoned, None));
        assert!(health.synced_upto < failing, "what failed never counts as synced");
        assert!(ledger.shutdown().is_err());
        drop(ledger);
        let (_, recovery) = bench.open();
        assert!(recovery.entries >= acknowledged.len() as u64);
    }
}

#[test]
fn a_broken_write_is_final() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    put(&ledger, &opened(0)).unwrap();
    bench.disk.faults.broken_writes.store(1, SeqCst);
    assert!(matches!(put(&ledger, &opened(1)), Err(LedgerError::Poisoned(_))));
    bench.disk.faults.broken_writes.store(0, SeqCst);
    assert!(matches!(put(&ledger, &closed(0)), Err(LedgerError::Poisoned(_))));
    assert_root(&bench, &ledger);
    assert_eq!(ledger.head(), 1);
}

#[test]
fn power_waits_for_the_sync_and_shares_it() {
    let mut bench = Bench::new();
    bench.durability = Durability::Power;
    let (ledger, _) = bench.open();
    *bench.disk.faults.sync_takes.lock().unwrap() = Duration::from_millis(20);
    let before = bench.disk.faults.syncs.load(SeqCst);
    std::thread::scope(|scope| {
        for thread in 0..32 {
            let ledger = ledger.clone();
            scope.spawn(move || {
                for n in 0..5 {
                    let entry = opened(thread * 5 + n);
                    let append = ledger.append(&entry, at(n), Purpose::NewCall);
                    let position = block_on(append).unwrap();
                    assert!(ledger.health().synced_upto > position.sequence.unwrap());
                }
            });
        }
    });
    let syncs = bench.disk.faults.syncs.load(SeqCst) - before;
    assert!((5..80).contains(&syncs), "{syncs} syncs for 160 entries");
    assert_root(&bench, &ledger);
}

#[test]
fn process_syncs_in_the_background() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    put(&ledger, &opened(0)).unwrap();
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(ledger.health().synced_upto, 1);
    assert_eq!(ledger.synced_root(), Some(ledger.root()));
}

#[test]
fn sixteen_threads_get_contiguous_indices() {
    let mut bench = Bench::new();
    bench.segment_bytes_max = 256 * 1024;
    let (ledger, _) = bench.open();
    let mut sequences = std::thread::scope(|scope| {
        let threads = (0..16_u64).map(|thread| {
            let ledger = ledger.clone();
            scope.spawn(move || {
                let append = |n: u64| put(&ledger, &opened(thread * 1000 + n)).unwrap().sequence;
                (0..1000).filter_map(append).collect::<Vec<_>>()
            })
        });
        let threads = threads.collect::<Vec<_>>();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    sequences.sort_unstable();
    assert!(sequences.iter().copied().eq(0..16_000));
    assert_eq!(ledger.head(), 16_000);
    assert_root(&bench, &ledger);
    let root = ledger.root();
    drop(ledger);
    let (ledger, recovery) = bench.open();
    assert_eq!((ledger.root(), recovery.open.len()), (root, 16_000));
}

#[test]
fn an_entry_that_is_too_long_leaves_nothing_behind() {
    let bench = Bench::new();
    let (ledger, _) = bench.open();
    let long = "x".repeat(20_000);
    let started = Started {
        config: long.clone(),
        pricing: String::new(),
        previous: String::new(),
        program: long,
    };
    let error = put(&ledger, &Entry::Started(started)).unwrap_err();
    assert!(matches!(error, LedgerError::Encoding(_)));
    put(&ledger, &opened(0)).unwrap();
    assert_root(&bench, &ledger);
}

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
