//! How fast texts are redacted, and what a start costs.
//!
//! 2 MB of the corpus in `tests/fixtures/phi`, all kinds of documents mixed, one document after the
//! other, on one core. The goal is 25 MB/s in standard mode, and 100 ms until the first text: the whole of
//! `weighbridge redact` with nothing to read is timed against it.

use std::hint::black_box;
use std::process::Stdio;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use weighbridge::privacy::Redactor;
use weighbridge::privacy::known::Known;
use weighbridge::privacy::rules::{Mode, Rules};

const BYTES: usize = 2_000_000;

#[derive(Deserialize)]
struct Document {
    text: String,
}

fn texts() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/phi/corpus.jsonl");
    let lines = std::fs::read_to_string(path).unwrap_or_default();
    let parse = |line: &str| serde_json::from_str::<Document>(line).ok();
    let documents: Vec<String> = lines.lines().filter_map(parse).map(|one| one.text).collect();
    assert!(!documents.is_empty(), "{path} holds no document");
    let mut bytes = 0;
    let some = documents.iter().cycle().take_while(|text| {
        bytes += text.len();
        bytes <= BYTES
    });
    some.cloned().collect()
}

fn redact(c: &mut Criterion) {
    // What a start costs, all lists and forms: made anew each time by a process of its own, which
    // reads one short text that needs them.
    let path = std::env::temp_dir().join(format!("weighbridge-start-{}.txt", std::process::id()));
    if std::fs::write(&path, "Mr. Smith, 3 March 1962, sk-ant-x, https://a.example/b\n").is_err() {
        return;
    }
    c.bench_function("start", |bencher| {
        let program = env!("CARGO_BIN_EXE_weighbridge");
        bencher.iter(|| {
            let text = std::fs::File::open(&path).map_or_else(|_| Stdio::null(), Stdio::from);
            black_box(std::process::Command::new(program).arg("redact").stdin(text).output())
        });
    });
    let _ = std::fs::remove_file(&path);
    Redactor::load();
    let texts = texts();
    let bytes: usize = texts.iter().map(String::len).sum();
    let mut group = c.benchmark_group("redact");
    group.throughput(Throughput::Bytes(bytes as u64)).sample_size(20);
    group.measurement_time(Duration::from_secs(8));
    for (name, mode) in [("standard", Mode::Standard), ("strict", Mode::Strict)] {
        let redactor = Redactor::new(Rules::new(mode));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for text in &texts {
                    black_box(redactor.redact(text, &mut Known::default()));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, redact);
criterion_main!(benches);
