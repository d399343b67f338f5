//! `redact --self-test`: how much of a corpus the rules find.
//!
//! Only letters and digits count. A span is found when all of them are in findings; a document
//! leaks when one of its spans is not. Spans labelled `OPTIONAL` count neither way.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use comfy_table::{CellAlignment, Table, presets};
use serde::Deserialize;

use super::super::CliError;
use super::findings;
use crate::privacy::Redactor;
use crate::privacy::finding::Finding;

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    kind: String,
    text: String,
    #[serde(default)]
    spans: Vec<Gold>,
}

#[derive(Deserialize)]
struct Gold {
    start: usize,
    end: usize,
    label: String,
}

/// Counts of one label or one kind of document.
#[derive(Default)]
struct Tally {
    spans: u64,
    found: u64,
    documents: u64,
    leaking: u64,
    told: u64,
    right: u64,
    others: u64,
    masked: u64,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.spans += other.spans;
        self.found += other.found;
        self.documents += other.documents;
        self.leaking += other.leaking;
        self.told += other.told;
        self.right += other.right;
        self.others += other.others;
        self.masked += other.masked;
    }
}

/// Scores the corpora and prints two tables.
pub fn run(files: &[PathBuf], redactor: &Redactor, output: &mut dyn Write) -> Result<(), CliError> {
    let mut labels: BTreeMap<String, Tally> = BTreeMap::new();
    let mut kinds: BTreeMap<String, Tally> = BTreeMap::new();
    let mut all = Tally::default();
    for file in files {
        let text = fs::read_to_string(file)
            .map_err(|error| CliError::Usage(format!("--self-test {}: {error}", file.display())))?;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let document: Document = serde_json::from_str(line).map_err(|error| {
                let place = format!("--self-test {} line {}", file.display(), number + 1);
                CliError::Usage(format!("{place}: {error}"))
            })?;
            let tally = score(&document, &findings(redactor, &document.text), &mut labels);
            kinds.entry(document.kind).or_default().add(&tally);
            all.add(&tally);
        }
    }
    if all.documents == 0 {
        return Err(CliError::Usage("--self-test: the corpora hold no document".to_owned()));
    }
    CliError::written(print(&labels, &kinds, &all, output))
}

/// Scores one document; spans are added to their labels.
fn score(document: &Document, findings: &[Finding], labels: &mut BTreeMap<String, Tally>) -> Tally {
    let mut places = Places::new(&document.text);
    for finding in findings {
        places.mark(finding);
    }
    let mut tally = Tally { documents: 1, ..Tally::default() };
    for gold in &document.spans {
        let required = gold.label != "OPTIONAL";
        places.want(gold, required);
        if !required {
            continue;
        }
        let found = places.covers(gold.start, gold.end);
        let label = labels.entry(gold.label.clone()).or_default();
        label.spans += 1;
        label.found += u64::from(found);
        tally.spans += 1;
        tally.found += u64::from(found);
    }
    tally.leaking = u64::from(tally.found < tally.spans);
    for finding in findings {
        let (counted, right) = places.right(finding);
        let label = labels.entry(finding.label.as_str().to_owned()).or_default();
        label.told += u64::from(counted);
        label.right += u64::from(right);
        tally.told += u64::from(counted);
        tally.right += u64::from(right);
    }
    (tally.others, tally.masked) = places.others();
    tally
}

/// What is known of each code point of a document.
struct Places {
    counts: Vec<bool>,
    masked: Vec<bool>,
    required: Vec<bool>,
    optional: Vec<bool>,
    /// The code point of each byte that begins one.
    points: BTreeMap<usize, usize>,
}

impl Places {
    fn new(text: &str) -> Places {
        let counts: Vec<bool> = text.chars().map(char::is_alphanumeric).collect();
        let none = vec![false; counts.len()];
        let bytes = text.char_indices().map(|(byte, _)| byte).chain([text.len()]);
        let points = bytes.enumerate().map(|(point, byte)| (byte, point)).collect();
        Places { masked: none.clone(), required: none.clone(), optional: none, counts, points }
    }

    fn points(&self, finding: &Finding) -> std::ops::Range<usize> {
        let point = |byte| self.points.get(&byte).copied().unwrap_or(0);
        point(finding.start)..point(finding.end)
    }

    fn mark(&mut self, finding: &Finding) {
        let points = self.points(finding);
        self.masked[points].fill(true);
    }

    fn want(&mut self, gold: &Gold, required: bool) {
        let end = gold.end.min(self.counts.len());
        let places = if required { &mut self.required } else { &mut self.optional };
        places[gold.start.min(end)..end].fill(true);
    }

    fn covers(&self, start: usize, end: usize) -> bool {
        (start..end.min(self.counts.len())).all(|at| self.masked[at] || !self.counts[at])
    }

    /// Whether a finding counts, and whether half of it is what was to be found.
    fn right(&self, finding: &Finding) -> (bool, bool) {
        let points: Vec<usize> = self.points(finding).filter(|at| self.counts[*at]).collect();
        let required = points.iter().filter(|at| self.required[**at]).count();
        let optional =
            points.iter().filter(|at| self.optional[**at] && !self.required[**at]).count();
        let counted = !points.is_empty() && (required > 0 || optional * 2 < points.len());
        (counted, counted && (required + optional) * 2 >= points.len())
    }

    /// Signs that are nothing to be found, and how many of them are masked.
    fn others(&self) -> (u64, u64) {
        let others = (0..self.counts.len())
            .filter(|at| self.counts[*at] && !self.required[*at] && !self.optional[*at]);
        others.fold((0, 0), |(all, masked), at| (all + 1, masked + u64::from(self.masked[at])))
    }
}

fn share(part: u64, whole: u64) -> String {
    // Shown, never stored: three places are what the eye takes in.
    if whole == 0 { "–".to_owned() } else { format!("{:.3}", part as f64 / whole as f64) }
}

fn print(
    labels: &BTreeMap<String, Tally>,
    kinds: &BTreeMap<String, Tally>,
    all: &Tally,
    output: &mut dyn Write,
) -> std::io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["label", "spans", "recall", "findings", "precision"]);
    let row = |name: &str, tally: &Tally| {
        [
            name.to_owned(),
            tally.spans.to_string(),
            share(tally.found, tally.spans),
            tally.told.to_string(),
            share(tally.right, tally.told),
        ]
    };
    for (label, tally) in labels {
        table.add_row(row(label, tally));
    }
    table.add_row(row("all", all));
    align(&mut table);
    writeln!(output, "{table}\n")?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["kind", "documents", "recall", "leaking", "masked of the rest"]);
    let row = |name: &str, tally: &Tally| {
        [
            name.to_owned(),
            tally.documents.to_string(),
            share(tally.found, tally.spans),
            share(tally.leaking, tally.documents),
            share(tally.masked, tally.others),
        ]
    };
    for (kind, tally) in kinds {
        table.add_row(row(kind, tally));
    }
    table.add_row(row("all", all));
    align(&mut table);
    writeln!(output, "{table}")
}

fn align(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
