//! What an append costs, and what the ones at the edge wait.
//!
//! `cargo bench --bench append` measures one entry; `cargo bench --bench append -- paced` appends
//! 10,000 entries a second for ten seconds, prints the quantiles and fails above 0.1 ms at p99.
//! "evidence" is what hashing, a heartbeat and a checkpoint add to a thousand entries: at most 3 µs
//! each, so 3 ms.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group};
use weighbridge::audit::checkpoint::Checkpoint;
use weighbridge::audit::merkle::{Frontier, leaf_hash};
use weighbridge::audit::note::{KeyKind, SigningKey};
use weighbridge::ledger::{Durability, Ledger, Mode, Options, Purpose, SEGMENT_BYTES_DEFAULT};
use weighbridge::privacy::Identifier;
use weighbridge::record::encoding::{Draft, Origin};
use weighbridge::record::entry::Heartbeat;
use weighbridge::record::exchange::{Endpoint, Opening};
use weighbridge::record::{Entry, Stamp};

const ENTRIES_PER_SECOND: u64 = 10_000;
const SECONDS: u64 = 10;
const P99_MAX: Duration = Duration::from_micros(100);

fn ledger(dir: &Path) -> Result<Ledger, Box<dyn std::error::Error>> {
    let options = Options {
        dir: dir.to_owned(),
        durability: Durability::Process,
        mode: Mode::Closed,
        segment_bytes_max: SEGMENT_BYTES_DEFAULT,
    };
    let origin = Origin { instance: "i".repeat(36), boot: "b".repeat(36) };
    let begun = Instant::now();
    let now = move || stamp(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
    Ok(Ledger::open(options, origin, now)?.0)
}

fn stamp(mono_ns: u64) -> Stamp {
    Stamp { wall_ns: 1_790_000_000_000_000_000 + mono_ns, mono_ns }
}

fn opened(n: u64) -> Entry {
    let exchange = format!("0199a0b2-7c11-7d3e-8f00-{:012}", n % 10_000);
    Entry::Opened(Box::new(Opening {
        agent: Some(Identifier::known("general-purpose")),
        attempt: 1,
        call: exchange.clone(),
        endpoint: Endpoint::Messages,
        exchange,
        key: Some("sha256:0123456789abcdef0123456789abcdef".to_owned()),
        max_tokens: Some(32_000),
        method: Identifier::known("POST"),
        model: Some(Identifier::known("claude-opus-5-5")),
        parent_agent: None,
        platform: None,
        project: Some("gateway".to_owned()),
        returned: 0,
        request_bytes: Some(48_123),
        session: Some(Identifier::known("a2f16f96-1048-418a-8d39-43cd985a3aa6")),
        streamed: 1,
        subscription: 0,
        tags: BTreeMap::new(),
        team: "platform".to_owned(),
        traceparent: None,
        user: None,
    }))
}

fn append(criterion: &mut Criterion) {
    let Ok(dir) = tempfile::tempdir() else { return };
    let Ok(ledger) = ledger(dir.path()) else { return };
    let mut n = 0;
    criterion.bench_function("append one entry", |bencher| {
        bencher.iter(|| {
            n += 1;
            ledger.append_now(&opened(n), stamp(n), Purpose::NewCall)
        });
    });
}

/// What evidence adds to a thousand entries, the disk left out: each line's leaf in the tree, one
/// heartbeat and one signed checkpoint. On a busy ledger a checkpoint covers far more.
fn evidence(criterion: &mut Criterion) {
    let origin = Origin { instance: "i".repeat(36), boot: "b".repeat(36) };
    let line = |entry: &Entry, n: u64| {
        let draft = Draft::new(entry, &origin, stamp(n))?;
        draft.line(n, &leaf_hash(b""))
    };
    let key = SigningKey::from_seed("weighbridge/wb-0123456789ab", KeyKind::Note, &[7; 32]);
    let (Ok(key), Ok(lines)) = (key, (0..1000).map(|n| line(&opened(n), n)).collect()) else {
        return;
    };
    let lines: Vec<Vec<u8>> = lines;
    let heartbeat = Entry::Heartbeat(Heartbeat { idle_since: 0, open_exchanges: 0 });
    let mut group = criterion.benchmark_group("evidence");
    group.throughput(Throughput::Elements(1000));
    group.bench_function("a thousand entries", |bencher| {
        let mut tree = Frontier::default();
        bencher.iter(|| {
            lines.iter().for_each(|line| tree.push(leaf_hash(line)));
            let beat = line(&heartbeat, tree.size()).unwrap_or_default();
            tree.push(leaf_hash(&beat));
            Checkpoint::of(key.verifier().name(), &tree).sign(&key).to_string()
        });
    });
    group.finish();
}

/// Appends at the pace, after a control that appends nothing: what a busy machine costs the
/// generator itself shows in both.
fn paced() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let ledger = ledger(dir.path())?;
    run("control", |_| Ok(()))?;
    let p99 = run("append", |n| {
        ledger.append_now(&opened(n), stamp(n), Purpose::NewCall)?;
        Ok(())
    })?;
    let health = ledger.health();
    println!("entries {}, synced {}, {:?}", health.entries, health.synced_upto, health.state);
    ledger.shutdown()?;
    drop(ledger);
    recover(dir.path())?;
    if p99 > P99_MAX {
        return Err(format!("p99 is {p99:?}, more than {P99_MAX:?}").into());
    }
    Ok(())
}

/// Calls `act` at a fixed pace and returns its p99. A wait counts from the moment the call was due,
/// so a stall shows in every call it held up.
fn run<F>(what: &str, mut act: F) -> Result<Duration, Box<dyn std::error::Error>>
where
    F: FnMut(u64) -> Result<(), Box<dyn std::error::Error>>,
{
    let pace = Duration::from_nanos(1_000_000_000 / ENTRIES_PER_SECOND);
    let (mut calls, mut waits) = (Vec::new(), Vec::new());
    let mut due = Instant::now();
    for n in 0..ENTRIES_PER_SECOND * SECONDS {
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        let begun = Instant::now();
        act(n)?;
        calls.push(begun.elapsed());
        waits.push(due.elapsed());
        due += pace;
    }
    let p99 = print(&format!("{what}, call    "), &mut calls);
    print(&format!("{what}, from due"), &mut waits);
    Ok(p99)
}

/// Opens the directory with all segments to read: nothing tells what stood before the last one.
fn recover(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut bytes = 0;
    for file in std::fs::read_dir(dir.join("segments"))? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "start") {
            std::fs::remove_file(path)?;
        } else {
            bytes += path.metadata()?.len();
        }
    }
    let begun = Instant::now();
    let ledger = ledger(dir)?;
    let (entries, took) = (ledger.head(), begun.elapsed());
    println!("recovery of {entries} entries, {} MiB: {took:?}", bytes >> 20);
    Ok(())
}

fn print(what: &str, durations: &mut [Duration]) -> Duration {
    durations.sort_unstable();
    let at = |permille: usize| durations.get(durations.len() * permille / 1000).copied();
    let quantile = |permille| at(permille).unwrap_or_default();
    let (p50, p99, p999) = (quantile(500), quantile(990), quantile(999));
    let max = durations.last().copied().unwrap_or_default();
    println!("{what}: p50 {p50:?}  p99 {p99:?}  p99.9 {p999:?}  max {max:?}");
    p99
}

criterion_group!(benches, append, evidence);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().any(|argument| argument == "paced") {
        return paced();
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
    Ok(())
}
