//! What the ledger promises, on real files, with faults where a disk would have them.

mod full;
mod pruning;
mod recovery;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
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
        platform: None,
        project: None,
        returned: 0,
        request_bytes: Some(900),
        session: None,
        streamed: 1,
        subscription: 0,
        tags: BTreeMap::new(),
        team: "unattributed".to_owned(),
        traceparent: None,
        user: None,
    }))
}

fn closed(n: u64) -> Entry {
    Entry::Closed(Box::new(Closing {
        batch: None,
        charge: None,
        duration_us: 1_234_567,
        error_class: None,
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
        assert!(health.unsynced_since_ns.is_some(), "and its age goes on");
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
    assert_eq!((ledger.health().synced_upto, ledger.health().unsynced_since_ns), (1, None));
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
        payers: None,
        pricing: String::new(),
        previous: String::new(),
        program: long,
        uid: None,
    };
    let error = put(&ledger, &Entry::Started(started)).unwrap_err();
    assert!(matches!(error, LedgerError::Encoding(_)));
    put(&ledger, &opened(0)).unwrap();
    assert_root(&bench, &ledger);
}

#[test]
fn observe_does_not_wait_for_a_disk_that_broke() {
    let mut bench = Bench::new();
    (bench.mode, bench.durability) = (Mode::Observe, Durability::Power);
    let (ledger, _) = bench.open();
    bench.disk.faults.failing_sync.store(bench.disk.faults.syncs.load(SeqCst) + 1, SeqCst);
    for n in 0..3 {
        let position = block_on(ledger.append(&opened(n), at(n), Purpose::NewCall)).unwrap();
        assert_eq!(position, Position { sequence: None });
    }
    assert_eq!(ledger.health().state, State::Poisoned);
}
