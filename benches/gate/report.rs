//! From rows to a page: medians over rounds, ratios taken inside a round, and the goals.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::json;

use crate::{case, load::Figures, measure::quantile, target::Kind};

/// The page on a terminal.
pub(crate) const ON_STDOUT: &str = "\n{conditions}\n{goals}\n{short}\n{figures}";
/// The page in the documentation.
pub(crate) const FOR_DOCS: &str = include_str!("performance.md");

/// What one case in one round showed of one target.
pub(crate) struct Row {
    pub(crate) round: u32,
    pub(crate) case: &'static str,
    pub(crate) target: &'static str,
    pub(crate) figures: Figures,
}

impl Row {
    /// For the file of all rows.
    pub(crate) fn json(&self) -> serde_json::Value {
        json!({"round": self.round, "case": self.case, "target": self.target,
            "figures": self.figures})
    }

    /// For the terminal while the run goes on.
    pub(crate) fn summary(&self) -> String {
        let mut line = format!("round {} {:8} {:12}", self.round + 1, self.case, self.target);
        for key in ["per_s", "cpu_us", "first_p50_us", "last_p50_us", "peak_mb", "rest_mb"] {
            if let Some(value) = self.figures.get(key) {
                let _ = write!(line, "  {key} {}", number(*value));
            }
        }
        for key in ["errors", "lost"] {
            if let Some(value) = self.figures.get(key).filter(|value| **value != 0.0) {
                let _ = write!(line, "  {key} {value}");
            }
        }
        line
    }
}

/// How a goal's value comes from the figures of the rounds.
#[derive(Clone, Copy)]
enum Basis {
    /// Median of the per-round ratio to the pass-through.
    Ratio,
    /// Median of the per-round difference to the pass-through.
    Added,
    /// Median of the per-round ratio of Weighbridge with the export on to without.
    Export,
    /// Median over rounds.
    Median,
    /// The largest of all rounds: one is too many.
    Largest,
    /// The smallest of all rounds: what is left when the neighbours were quiet.
    Smallest,
}

struct Goal {
    what: &'static str,
    case: &'static str,
    figure: &'static str,
    basis: Basis,
    unit: &'static str,
    /// Whether more is better.
    more: bool,
    must: f64,
    aim: f64,
}

const fn goal(
    what: &'static str,
    [case, figure]: [&'static str; 2],
    basis: Basis,
    unit: &'static str,
    [must, aim]: [f64; 2],
) -> Goal {
    Goal { what, case, figure, basis, unit, more: must < aim, must, aim }
}

/// What Weighbridge has to show, everything on, durability "process". Where must and aim are the
/// same there is nothing to gain beyond it.
const GOALS: [Goal; 18] = [
    goal("2 KB, throughput", ["sat2k", "per_s"], Basis::Ratio, "×", [0.75, 0.9]),
    goal("2 KB, CPU per call", ["sat2k", "cpu_us"], Basis::Ratio, "×", [2.0, 1.5]),
    goal(
        "2 KB, CPU per call with telemetry exported, against without",
        ["sat2k", "cpu_us"],
        Basis::Export,
        "×",
        [1.25, 1.12],
    ),
    goal("100 KB, CPU per call", ["sat100k", "cpu_us"], Basis::Ratio, "×", [2.0, 1.4]),
    goal(
        "1 MB mostly seen before, CPU per call",
        ["sat1m", "cpu_us"],
        Basis::Ratio,
        "×",
        [2.5, 1.5],
    ),
    goal("Paced stream, CPU per stream", ["sse", "cpu_us"], Basis::Ratio, "×", [1.1, 1.05]),
    goal("First byte added, p50", ["open2k", "first_p50_us"], Basis::Added, "µs", [300.0, 300.0]),
    goal("Last byte added, p50", ["open2k", "last_p50_us"], Basis::Added, "µs", [300.0, 300.0]),
    goal(
        "First byte of a stream added, p50",
        ["sse", "first_p50_us"],
        Basis::Added,
        "µs",
        [300.0, 300.0],
    ),
    goal(
        "No 40 ms step: last byte p99, best round",
        ["open2k", "last_p99_us"],
        Basis::Smallest,
        "µs",
        [38_000.0, 38_000.0],
    ),
    goal(
        "No 40 ms step: event p99, best round",
        ["sse", "event_p99_us"],
        Basis::Smallest,
        "µs",
        [38_000.0, 38_000.0],
    ),
    goal("Events lost or out of order, paced", ["sse", "lost"], Basis::Largest, "", [0.0, 0.0]),
    goal(
        "Events lost or out of order, unpaced",
        ["ssesat", "lost"],
        Basis::Largest,
        "",
        [0.0, 0.0],
    ),
    goal("Memory, idle", ["mem1m", "idle_mb"], Basis::Median, "MB", [15.0, 15.0]),
    goal("Memory, 1,000 open streams", ["hold", "peak_mb"], Basis::Largest, "MB", [60.0, 60.0]),
    goal("Streams of the 1,000 that failed", ["hold", "errors"], Basis::Largest, "", [0.0, 0.0]),
    goal("Memory, 8 × 1 MB in flight", ["mem1m", "peak_mb"], Basis::Largest, "MB", [96.0, 96.0]),
    goal(
        "Memory within 60 s after that, against idle",
        ["mem1m", "rest_x_idle"],
        Basis::Largest,
        "×",
        [2.0, 2.0],
    ),
];

impl Goal {
    /// The value a target reached, if it was measured.
    fn value(&self, rows: &[Row], target: &str) -> Option<f64> {
        let base = Kind::Passthrough.name();
        match self.basis {
            Basis::Ratio => {
                median(against(rows, [self.case, self.figure], target, base, |a, b| a / b))
            }
            Basis::Export => {
                let own = Kind::Weighbridge.name();
                let exporting = Some(Kind::Exporting.name()).filter(|_| target == own)?;
                let figure = [self.case, self.figure];
                median(against(rows, figure, exporting, own, |a, b| a / b))
            }
            Basis::Added => {
                median(against(rows, [self.case, self.figure], target, base, |a, b| a - b))
            }
            Basis::Median => median(series(rows, [self.case, self.figure], target)),
            Basis::Largest => quantile(&mut series(rows, [self.case, self.figure], target), 1.0),
            Basis::Smallest => quantile(&mut series(rows, [self.case, self.figure], target), 0.0),
        }
    }

    fn met(&self, value: f64, limit: f64) -> bool {
        if self.more { value >= limit } else { value <= limit }
    }

    fn mark(&self, value: Option<f64>) -> &'static str {
        match value {
            None => "not run",
            Some(value) if self.met(value, self.aim) => "aim met",
            Some(value) if self.met(value, self.must) => "must met",
            Some(_) => "**falls short**",
        }
    }

    fn limit(&self, limit: f64) -> String {
        let sign = if self.more { "≥" } else { "≤" };
        with_unit(format!("{sign} {limit}"), self.unit)
    }
}

/// Fills a template: `{conditions}`, `{goals}`, `{short}`, `{figures}`.
pub(crate) fn page(
    template: &str,
    conditions: &[(&str, String)],
    rows: &[Row],
    missing: &BTreeMap<&str, String>,
) -> String {
    let mut facts = String::from("| condition | value |\n|---|---|\n");
    for (what, value) in conditions {
        let _ = writeln!(facts, "| {what} | {value} |");
    }
    for (target, why) in missing {
        let _ = writeln!(facts, "| Not run: {target} | {why} |");
    }
    template
        .replace("{conditions}", &facts)
        .replace("{goals}", &goals(rows))
        .replace("{short}", &shortfalls(rows))
        .replace("{figures}", &figures(rows))
}

fn goals(rows: &[Row]) -> String {
    let mut text = String::from(
        "| goal | Weighbridge | must | aim | mark | nginx | control |\n\
         |---|--:|--:|--:|---|--:|--:|\n",
    );
    for goal in &GOALS {
        let of = |kind: Kind| goal.value(rows, kind.name());
        let shown = |value: Option<f64>| {
            value.map_or("–".into(), |value| with_unit(number(value), goal.unit))
        };
        let ours = of(Kind::Weighbridge);
        let (must, aim) = (goal.limit(goal.must), goal.limit(goal.aim));
        let (mark, nginx) = (goal.mark(ours), shown(of(Kind::Nginx)));
        let control = shown(of(Kind::Control));
        let _ = writeln!(
            text,
            "| {} | {} | {must} | {aim} | {mark} | {nginx} | {control} |",
            goal.what,
            shown(ours)
        );
    }
    text
}

fn shortfalls(rows: &[Row]) -> String {
    let (mut text, mut measured) = (String::new(), 0);
    for goal in &GOALS {
        let Some(value) = goal.value(rows, Kind::Weighbridge.name()) else { continue };
        measured += 1;
        if !goal.met(value, goal.must) {
            let must = goal.limit(goal.must);
            let reached = with_unit(number(value), goal.unit);
            let _ = writeln!(text, "- {}: must be {must}, is {reached}.", goal.what);
        }
    }
    let all = GOALS.len();
    let lead = match (measured, text.is_empty()) {
        (0, _) => "Weighbridge was not part of this run: no goal was checked.".to_owned(),
        (_, true) => format!("Every must that was checked is met ({measured} of {all} checked)."),
        (_, false) => format!("Falls short of a must ({measured} of {all} checked):\n"),
    };
    format!("{lead}\n{text}")
}

/// The columns, as (key, heading); a case shows those it has.
const COLUMNS: [(&str, &str); 16] = [
    ("per_s", "per s"),
    ("cpu_us", "CPU µs each"),
    ("quiet_s", "work left s"),
    ("first_p50_us", "first byte p50 µs"),
    ("first_p99_us", "p99"),
    ("last_p50_us", "last byte p50 µs"),
    ("last_p99_us", "p99"),
    ("event_p50_us", "event p50 µs"),
    ("event_p99_us", "p99"),
    ("idle_mb", "idle MB"),
    ("peak_mb", "peak MB"),
    ("rest_mb", "at rest MB"),
    ("rest_s", "after s"),
    ("cpu_percent", "CPU %"),
    ("lost", "lost"),
    ("errors", "errors"),
];

fn figures(rows: &[Row]) -> String {
    let mut text = String::new();
    for case in case::all(false) {
        let of_case: Vec<&Row> = rows.iter().filter(|row| row.case == case.name).collect();
        if of_case.is_empty() {
            continue;
        }
        let columns: Vec<_> = COLUMNS
            .iter()
            .filter(|(key, _)| of_case.iter().any(|row| row.figures.contains_key(key)))
            .collect();
        let _ = writeln!(text, "### `{}`\n\n{}.\n", case.name, capital(case.about));
        let headings: Vec<_> = columns.iter().map(|(_, heading)| *heading).collect();
        let _ = writeln!(text, "| target | {} | rate × | CPU × |", headings.join(" | "));
        let _ = writeln!(text, "|---|{}", "--:|".repeat(columns.len() + 2));
        for kind in Kind::UNDER_TEST {
            if !of_case.iter().any(|row| row.target == kind.name()) {
                continue;
            }
            let mut cells: Vec<String> = columns
                .iter()
                .map(|(key, _)| column(rows, [case.name, key], kind.name()))
                .collect();
            for key in ["per_s", "cpu_us"] {
                cells.push(ratio(rows, [case.name, key], kind));
            }
            let _ = writeln!(text, "| {} | {} |", kind.name(), cells.join(" | "));
        }
        text.push('\n');
    }
    text
}

/// A median over rounds; of losses and errors the largest.
fn column(rows: &[Row], figure: [&str; 2], target: &str) -> String {
    let mut values = series(rows, figure, target);
    let q = if matches!(figure[1], "lost" | "errors") { 1.0 } else { 0.5 };
    quantile(&mut values, q).map_or("–".into(), number)
}

/// The median ratio to the pass-through, with the smallest and the largest of the rounds.
fn ratio(rows: &[Row], figure: [&str; 2], kind: Kind) -> String {
    let base = Kind::Passthrough.name();
    let mut values = against(rows, figure, kind.name(), base, |a, b| a / b);
    if kind == Kind::Passthrough || values.is_empty() {
        return if values.is_empty() { "–".into() } else { "1".into() };
    }
    let at = |values: &mut Vec<f64>, q| quantile(values, q).map_or("–".into(), number);
    let middle = median(values.clone()).map_or("–".into(), number);
    if values.len() == 1 {
        return middle;
    }
    format!("{middle} ({}–{})", at(&mut values, 0.0), at(&mut values, 1.0))
}

fn series(rows: &[Row], [case, figure]: [&str; 2], target: &str) -> Vec<f64> {
    rows.iter()
        .filter(|row| row.case == case && row.target == target)
        .filter_map(|row| row.figures.get(figure).copied())
        .collect()
}

/// `join(target, base)` of every round in which both were measured.
fn against(
    rows: &[Row],
    [case, figure]: [&str; 2],
    target: &str,
    base: &str,
    join: fn(f64, f64) -> f64,
) -> Vec<f64> {
    let of = |round, target: &str| {
        let row = rows
            .iter()
            .find(|row| row.round == round && row.case == case && row.target == target)?;
        row.figures.get(figure).copied()
    };
    let rounds = rows.iter().map(|row| row.round + 1).max().unwrap_or(0);
    (0..rounds).filter_map(|round| Some(join(of(round, target)?, of(round, base)?))).collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { (values[middle - 1] + upper) / 2.0 })
}

/// Three figures are all that a run on one machine can carry.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn with_unit(value: String, unit: &str) -> String {
    if unit.is_empty() { value } else { format!("{value} {unit}") }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
