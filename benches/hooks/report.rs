//! From rows to the section of the page.

use std::{collections::BTreeSet, fmt::Write as _};

use crate::{forward::Forwards, measure::quantile};

pub(crate) const BARE: &str = "bare";
pub(crate) const OURS: &str = "weighbridge";
/// The bare server once more: what a figure is worth shows in how far it is from itself.
pub(crate) const CONTROL: &str = "control";

/// What a release has to show.
const ADDED_P99_MAX_MS: f64 = 2.0;
const FORWARD_MAX_MS: f64 = 20.0;

const SECTION: &str = include_str!("performance.md");

/// What one round showed of one target.
pub(crate) struct Row {
    pub(crate) target: &'static str,
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) errors: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) cpu_us: f64,
    pub(crate) peak_mb: f64,
    pub(crate) end_mb: f64,
    pub(crate) load1: Option<f64>,
    /// Places in the ledger that the answers name.
    pub(crate) sequences: Vec<u64>,
}

impl Row {
    /// For the terminal while the run goes on.
    pub(crate) fn summary(&self, round: u32) -> String {
        format!(
            "round {} {:12} sent {} answered {} errors {}  p50 {:.3} ms  p99 {:.3}  max {:.1}  \
             CPU {:.0} µs each  peak {:.1} MB  end {:.1} MB",
            round + 1,
            self.target,
            self.sent,
            self.answered,
            self.errors,
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
            self.cpu_us,
            self.peak_mb,
            self.end_mb
        )
    }
}

/// What the whole run showed.
#[derive(Default)]
pub(crate) struct Results {
    /// In the order of the run: every round has one row of each target.
    pub(crate) rows: Vec<Row>,
    pub(crate) start_mb: f64,
    pub(crate) rest_mb: f64,
    pub(crate) forwards: Forwards,
    /// Places of hook events in the ledger's files.
    pub(crate) kept: BTreeSet<u64>,
}

impl Results {
    fn of(&self, target: &str) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.target == target)
    }

    fn sum(&self, target: &str, part: fn(&Row) -> u64) -> u64 {
        self.of(target).map(part).sum()
    }

    /// How much more of it than the bare server's each round showed.
    fn added(&self, target: &str, part: fn(&Row) -> f64) -> Vec<f64> {
        self.of(target).zip(self.of(BARE)).map(|(row, bare)| part(row) - part(bare)).collect()
    }
}

/// What is not as the answers said. Nothing, where all is well.
pub(crate) fn losses(results: &Results) -> Vec<String> {
    let (sent, errors) = (results.sum(OURS, |r| r.sent), results.sum(OURS, |r| r.errors));
    let named = results.of(OURS).flat_map(|row| row.sequences.iter().copied());
    let named: BTreeSet<u64> = named.collect();
    let forwards = results.forwards.ours_us.len() as u64;
    let mut wrong = Vec::new();
    let mut expect = |what: &str, is: u64, due: u64| {
        if is != due {
            wrong.push(format!("{what}: {is}, not {due}"));
        }
    };
    expect("events answered", results.sum(OURS, |r| r.answered), sent);
    expect("answers with an error", errors, 0);
    expect("places in the ledger named by answers", named.len() as u64, sent);
    expect("of these, in the ledger", named.intersection(&results.kept).count() as u64, sent);
    expect("hook events in the ledger", results.kept.len() as u64, sent + forwards);
    expect("forwarders that complained", results.forwards.failed, 0);
    wrong
}

/// The section: the text with its figures.
pub(crate) fn section(
    conditions: &[(&str, String)],
    results: &mut Results,
    seconds: u32,
) -> String {
    let facts = conditions.iter().filter(|(what, _)| *what != "nginx");
    let facts: String = facts.fold(
        String::from("| condition | value |\n|---|---|\n"),
        |mut table, (what, value)| {
            let _ = writeln!(table, "| {what} | {value} |");
            table
        },
    );
    let goals = goals(results);
    SECTION
        .replace("{conditions}", &facts)
        .replace("{goals}", &goals)
        .replace("{figures}", &figures(results))
        .replace("{seconds}", &seconds.to_string())
}

fn goals(results: &mut Results) -> String {
    let heads = "| goal | measured | must | mark | control |\n|---|--:|--:|---|--:|\n";
    let mut text = String::from(heads);
    let mut goal = |what: &str, measured: String, must: &str, met: Option<bool>, control| {
        let mark = met.map_or("–", |met| if met { "met" } else { "**falls short**" });
        let _ = writeln!(text, "| {what} | {measured} | {must} | {mark} | {control} |");
    };
    let none = || "–".to_owned();
    let control = |part| spread(results.added(CONTROL, part), " ms");
    let (p50, p99) = (|row: &Row| row.p50_ms, |row: &Row| row.p99_ms);
    let mut added = results.added(OURS, p99);
    let met = quantile(&mut added, 0.5).unwrap_or(f64::NAN) <= ADDED_P99_MAX_MS;
    let must = format!("≤ {ADDED_P99_MAX_MS} ms");
    goal("Answer p99 added", spread(added, " ms"), &must, Some(met), control(p99));
    goal("Answer p50 added", spread(results.added(OURS, p50), " ms"), "–", None, control(p50));
    let sent = results.sum(OURS, |r| r.sent) + results.forwards.ours_us.len() as u64;
    let told = format!("{sent} / {}", results.kept.len());
    let met = losses(results).is_empty();
    goal("Events sent / in the ledger", told, "equal", Some(met), none());
    let errors = results.sum(OURS, |r| r.errors);
    goal("Answers with an error", errors.to_string(), "0", Some(errors == 0), none());
    let ends: Vec<String> = results.of(OURS).map(|row| format!("{:.1}", row.end_mb)).collect();
    let peak = results.of(OURS).map(|row| row.peak_mb).fold(0.0, f64::max);
    for (when, told) in [
        ("before the load", format!("{:.1}", results.start_mb)),
        ("at the end of each round", ends.join(", ")),
        ("at its highest", format!("{peak:.1}")),
        ("15 s after the load", format!("{:.1}", results.rest_mb)),
    ] {
        goal(&format!("Memory {when}, MB"), told, "–", None, none());
    }
    let forwards = &mut results.forwards;
    let [ours, nothing] = [&mut forwards.ours_us, &mut forwards.nothing_us]
        .map(|took| [0.5, 0.99].map(|q| quantile(took, q).unwrap_or(f64::NAN) / 1e3));
    let told = |[p50, p99]: [f64; 2]| format!("{p50:.1} / {p99:.1} ms");
    let (must, met) = (format!("< {FORWARD_MAX_MS} ms"), ours[1] < FORWARD_MAX_MS);
    goal("`weighbridge hook`, start to exit, p50 / p99", told(ours), &must, Some(met), none());
    goal("`/bin/true`, start to exit, p50 / p99", told(nothing), "–", None, none());
    text
}

fn figures(results: &Results) -> String {
    let mut text = String::from(
        "| target | p50 ms | p99 ms | max ms | CPU µs each | answered | errors |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
    );
    for target in [BARE, OURS, CONTROL] {
        let column = |part: fn(&Row) -> f64| spread(results.of(target).map(part).collect(), "");
        let _ = writeln!(
            text,
            "| {target} | {} | {} | {} | {} | {} | {} |",
            column(|row| row.p50_ms),
            column(|row| row.p99_ms),
            column(|row| row.max_ms),
            column(|row| row.cpu_us),
            results.sum(target, |row| row.answered),
            results.sum(target, |row| row.errors)
        );
    }
    text
}

/// The median of the rounds, with the smallest and the largest.
fn spread(mut values: Vec<f64>, unit: &str) -> String {
    let number = |value: f64| match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    let mut at = |q| quantile(&mut values, q).map_or("–".into(), number);
    let (low, middle, high) = (at(0.0), at(0.5), at(1.0));
    format!("{middle}{unit} ({low}–{high})")
}
