//! The side-by-side run: Weighbridge beside a bare pass-through on the same stack and beside nginx,
//! on one machine, in one run, with interleaved rounds (A B C, then C B A, so that slow drifts of
//! the machine cancel). Only ratios taken inside a round are compared with a goal: absolute figures
//! are the machine's as much as the program's.
//!
//! ```sh
//! cargo bench --bench gate                       # everything, 5 rounds
//! cargo bench --bench gate -- --quick            # one short round, for trying out
//! cargo bench --bench gate -- --only sat2k,sse --rounds 9
//! cargo bench --bench gate -- --write-docs       # also writes docs/performance.md
//! ```
//!
//! One program, three roles: `upstream` (a made-up Messages API, CPU 0), `passthrough` (the limit
//! of our stack, CPU 1) and, without a role, the orchestrator, which starts the others and is
//! itself the load generator (CPU 0). Each program under test has CPU 1 for itself while measured.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench measures time, reads its environment, prints, and ends at the first surprise"
)]

mod case;
mod client;
mod load;
mod measure;
mod pace;
mod passthrough;
mod process;
mod report;
mod request;
mod target;
mod upstream;

use std::{collections::BTreeMap, fs, io::Write as _, path::PathBuf};

use clap::Parser;
use report::Row;
use target::{Kind, Running};

/// The generator and the made-up upstream share this CPU.
const CPU_LOAD: &str = "0";
/// The programs under test have this CPU.
const CPU_TARGET: &str = "1";
const OUT_DIR: &str = "target/bench";

/// Runs Weighbridge beside a bare pass-through and nginx.
#[derive(Parser)]
#[command(name = "gate")]
struct Options {
    /// Rounds; every round visits every target.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Only these cases (comma-separated).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// One round of short windows, for trying out.
    #[arg(long)]
    quick: bool,
    /// Write docs/performance.md from this run.
    #[arg(long)]
    write_docs: bool,
    /// The date to put on the page (default: now).
    #[arg(long)]
    date: Option<String>,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("upstream") => upstream::run(),
        Some("passthrough") => passthrough::run(words[1].parse().unwrap()),
        // `cargo test --benches` and `cargo nextest` start this program too, without `--bench`.
        _ if !words.iter().any(|word| word == "--bench") => {}
        _ => orchestrate(&Options::parse()),
    }
}

fn orchestrate(options: &Options) {
    process::prepare_machine();
    let cases: Vec<_> = case::all(options.quick)
        .into_iter()
        .filter(|c| options.only.is_empty() || options.only.iter().any(|name| name == c.name))
        .collect();
    assert!(!cases.is_empty(), "no such case; there are: {}", case::names());
    fs::create_dir_all(OUT_DIR).unwrap();
    let upstream = target::start(Kind::Upstream, None).unwrap();
    let (mut kinds, mut missing) = (Vec::new(), BTreeMap::new());
    let mut running = Vec::new();
    for kind in Kind::UNDER_TEST {
        match target::start(kind, Some(upstream.address)) {
            Ok(started) => {
                kinds.push(kind);
                running.push(started);
            }
            Err(why) => {
                eprintln!("{}: not run: {why}", kind.name());
                missing.insert(kind.name(), why);
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rounds = if options.quick { 1 } else { options.rounds };
    let rows = runtime.block_on(run_rounds(&cases, rounds, &running, upstream.address));
    drop(running);
    let loads = rows.iter().filter_map(|row| row.figures.get("load1").copied()).collect();
    let conditions = measure::conditions(options.date.as_deref(), rounds, options.quick, loads);
    println!("{}", report::page(report::ON_STDOUT, &conditions, &rows, &missing));
    if options.write_docs {
        fs::create_dir_all("docs").unwrap();
        let page = report::page(report::FOR_DOCS, &conditions, &rows, &missing);
        // The sections below are other benches': they stay as they are.
        let before = fs::read_to_string("docs/performance.md").unwrap_or_default();
        let others = before.find("\n## Hooks\n").map_or("", |at| &before[at..]);
        fs::write("docs/performance.md", page + others).unwrap();
        eprintln!("wrote docs/performance.md");
    }
}

/// Every round visits every case, and every case every target; a case that looks at memory gets a
/// freshly started program, and is visited in the first round only.
async fn run_rounds(
    cases: &[case::Case],
    rounds: u32,
    running: &[Running],
    upstream: std::net::SocketAddr,
) -> Vec<Row> {
    let mut out = fs::File::create(PathBuf::from(OUT_DIR).join("gate.jsonl")).unwrap();
    let mut rows = Vec::new();
    for round in 0..rounds {
        for case in cases.iter().filter(|case| round == 0 || !case.fresh_start) {
            let mut order: Vec<&Running> = running.iter().collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for target in order.into_iter().filter(|target| target.kind.visits(case.name)) {
                let figures = if case.fresh_start {
                    let fresh = target::start(target.kind, Some(upstream)).unwrap();
                    case.run(&fresh).await
                } else {
                    case.run(target).await
                };
                let row = Row { round, case: case.name, target: target.kind.name(), figures };
                eprintln!("{}", row.summary());
                writeln!(out, "{}", row.json()).unwrap();
                rows.push(row);
            }
        }
    }
    rows
}
