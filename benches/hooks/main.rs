//! The intake of hooks beside a bare HTTP server, on one machine, in one run, in alternating
//! rounds; and what `weighbridge hook` takes from its start to its exit.
//!
//! ```sh
//! cargo bench --bench hooks                     # 3 rounds of 60 s on each target
//! cargo bench --bench hooks -- --quick          # one short round, for trying out
//! cargo bench --bench hooks -- --write-docs     # also the section in docs/performance.md
//! ```
//!
//! An answer says that the event is in the ledger, so every answer is held against the ledger's
//! files in the end. A lost event ends the run with code 1; a time never does.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench measures time, reads its environment, prints, and ends at the first surprise"
)]

mod bare;
mod event;
mod forward;
mod kept;
mod load;
#[path = "../gate/measure.rs"]
mod measure;
#[path = "../gate/pace.rs"]
mod pace;
#[path = "../gate/process.rs"]
mod process;
mod report;

use std::{fs, process::ExitCode, time::Duration};

use clap::Parser;
use event::Templates;
use load::{Plan, Target};
use process::Process;
use report::Results;

/// The generator has this CPU.
const CPU_LOAD: &str = "0";
/// The programs under test have this CPU.
const CPU_TARGET: &str = "1";
const OUT_DIR: &str = "target/bench";
/// Where the figures are shown.
const PAGE: &str = "docs/performance.md";
/// Memory is looked at once more after so long without work.
const REST: Duration = Duration::from_secs(15);

/// Puts 1,000 hook events a second on Weighbridge and on a bare HTTP server.
#[derive(Parser)]
#[command(name = "hooks")]
struct Options {
    /// Rounds; every round visits every target.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds of load on each in a round.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Runs of `weighbridge hook`.
    #[arg(long, default_value_t = 200)]
    forwards: u32,
    /// One short round, for trying out.
    #[arg(long)]
    quick: bool,
    /// Write the section in docs/performance.md from this run.
    #[arg(long)]
    write_docs: bool,
    /// The date to put there (default: now).
    #[arg(long)]
    date: Option<String>,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("bare") => bare::run(),
        // `cargo test --benches` and `cargo nextest` start this program too, without `--bench`.
        _ if !words.iter().any(|word| word == "--bench") => {}
        _ => return orchestrate(&Options::parse()),
    }
    ExitCode::SUCCESS
}

fn orchestrate(options: &Options) -> ExitCode {
    process::prepare_machine();
    fs::create_dir_all(OUT_DIR).unwrap();
    let (rounds, seconds) = if options.quick { (1, 5) } else { (options.rounds, options.seconds) };
    let bare = process::role(CPU_TARGET, &["bare"]).unwrap();
    let control = process::role(CPU_TARGET, &["bare"]).unwrap();
    // Nothing answers there, and nothing asks: only hooks are posted.
    let (mut weighbridge, facts) = process::weighbridge("http://127.0.0.1:9", &[]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut results = Results { start_mb: rss_mb(&weighbridge), ..Results::default() };
    let token = facts["hook_token"].as_str().unwrap();
    let admin = process::address(&facts, "admin").unwrap();
    let targets = [
        Target { name: report::BARE, address: bare.address, pid: bare.pid(), token },
        Target { name: report::OURS, address: admin, pid: weighbridge.pid(), token },
        Target { name: report::CONTROL, address: control.address, pid: control.pid(), token },
    ];
    let templates = Templates::read();
    for round in 0..rounds {
        let mut order: Vec<&Target<'_>> = targets.iter().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for target in order {
            let plan = Plan { round, seconds, templates: &templates };
            let row = runtime.block_on(load::run(target, &plan));
            eprintln!("{}", row.summary(round));
            results.rows.push(row);
        }
    }
    std::thread::sleep(REST);
    results.rest_mb = rss_mb(&weighbridge);
    let forwards = if options.quick { 20 } else { options.forwards };
    results.forwards = forward::run(&facts, &templates, forwards);
    results.kept = kept::read(&weighbridge.end().join("data"));
    drop((bare, control));
    finish(options, &mut results, (rounds, seconds))
}

/// Shows the figures, and says whether every event is where its answer says.
fn finish(options: &Options, results: &mut Results, (rounds, seconds): (u32, u32)) -> ExitCode {
    let loads = results.rows.iter().filter_map(|row| row.load1).collect();
    let conditions = measure::conditions(options.date.as_deref(), rounds, options.quick, loads);
    let section = report::section(&conditions, results, seconds);
    println!("{section}");
    if options.write_docs {
        let page = fs::read_to_string(PAGE).unwrap();
        let above = page.find("\n## Hooks\n").map_or(page.as_str(), |at| &page[..at]);
        fs::write(PAGE, format!("{}\n\n{section}", above.trim_end())).unwrap();
        eprintln!("wrote {PAGE}");
    }
    let wrong = report::losses(results);
    for what in &wrong {
        eprintln!("{what}");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn rss_mb(process: &Process) -> f64 {
    measure::rss_mb(process.pid()).unwrap()
}
