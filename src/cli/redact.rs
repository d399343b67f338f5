//! `weighbridge redact`: the redactor on standard input.

mod score;

use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{CliError, Surroundings};
use crate::privacy::Redactor;
use crate::privacy::finding::Finding;
use crate::privacy::known::Known;
use crate::privacy::redactor::{TEXT_BYTES_MAX, replaced};
use crate::privacy::rules::Mode;

const EXAMPLE: &str = "Examples:\n  \
    echo 'Pt John Smith, MRN 0921098' | weighbridge redact\n  \
    weighbridge redact --explain < note.txt\n  \
    weighbridge redact --jsonl < documents.jsonl\n  \
    weighbridge redact --self-test corpus.jsonl";

/// The longest input, in bytes.
const INPUT_BYTES_MAX: u64 = 1 << 30;

/// Redact standard input by rules; what rules do not find is listed in docs/privacy.md
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct RedactArgs {
    /// How strictly [default: standard]
    #[arg(long, value_enum, default_value = "standard", hide_default_value = true)]
    mode: ModeArg,
    /// Show each finding and the rule that found it, in place of the text
    #[arg(long, conflicts_with_all = ["jsonl", "self_test"])]
    explain: bool,
    /// One document a line, {"id","text"}; one answer a line, {"id","text","spans"}
    #[arg(long, conflicts_with = "self_test")]
    jsonl: bool,
    /// Score the rules on corpora: JSON Lines of {"id","kind","text","spans"}
    #[arg(long, value_name = "FILE", num_args = 1..)]
    self_test: Vec<PathBuf>,
    /// Configuration file, for its [redaction]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeArg {
    /// What the rules find
    Standard,
    /// Also every capitalised word that is on no list, and every word with four digits
    Strict,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Mode {
        match mode {
            ModeArg::Standard => Mode::Standard,
            ModeArg::Strict => Mode::Strict,
        }
    }
}

#[derive(Deserialize)]
struct Question {
    #[serde(default)]
    id: serde_json::Value,
    text: String,
}

#[derive(Serialize)]
struct Answer<'a> {
    id: serde_json::Value,
    text: &'a str,
    spans: Vec<Span>,
}

/// Offsets in Unicode code points of the input.
#[derive(Serialize)]
struct Span {
    start: usize,
    end: usize,
    label: &'static str,
}

impl RedactArgs {
    pub(super) fn run(
        &self,
        output: &mut dyn Write,
        surroundings: &Surroundings,
    ) -> Result<(), CliError> {
        let redactor = surroundings.redactor(self.config.as_ref(), self.mode.into())?;
        if !self.self_test.is_empty() {
            return score::run(&self.self_test, &redactor, output);
        }
        if self.jsonl {
            return jsonl(&redactor, output);
        }
        let mut bytes = Vec::new();
        let read = io::stdin().lock().take(INPUT_BYTES_MAX).read_to_end(&mut bytes);
        read.map_err(|error| CliError::Failed(format!("cannot read standard input: {error}")))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            CliError::Usage(format!("standard input is not UTF-8 at byte {at}: convert it first"))
        })?;
        let findings = findings(&redactor, &text);
        if self.explain {
            return CliError::written(explain(&text, &findings, output));
        }
        let left = redactor.settled(replaced(&text, &findings), &mut Known::default());
        CliError::written(write!(output, "{left}"))
    }
}

/// What is found in a text of any length: longer ones are read in pieces that end with a line.
fn findings(redactor: &Redactor, text: &str) -> Vec<Finding> {
    let mut known = Known::default();
    let mut found = Vec::new();
    let mut from = 0;
    while from < text.len() {
        let rest = &text[from..];
        let mut length = rest.len().min(TEXT_BYTES_MAX);
        while !rest.is_char_boundary(length) {
            length -= 1;
        }
        if length < rest.len() {
            length = rest[..length].rfind('\n').map_or(length, |line| line + 1);
        }
        let piece = redactor.findings(&rest[..length], &mut known);
        found.extend(piece.into_iter().map(|finding| Finding {
            start: finding.start + from,
            end: finding.end + from,
            ..finding
        }));
        from += length;
    }
    found
}

fn explain(text: &str, findings: &[Finding], output: &mut dyn Write) -> io::Result<()> {
    let (mut line, mut counted) = (1, 0);
    for finding in findings {
        line += text.get(counted..finding.start).unwrap_or("").matches('\n').count();
        counted = finding.start;
        let found = text.get(finding.start..finding.end).unwrap_or("").replace('\n', " ");
        writeln!(
            output,
            "line {line:<5} {:<15} {:<22} {found}",
            finding.label.as_str(),
            finding.rule
        )?;
    }
    match findings.len() {
        0 => writeln!(output, "Nothing was found."),
        1 => writeln!(output, "1 finding."),
        count => writeln!(output, "{count} findings."),
    }
}

fn jsonl(redactor: &Redactor, output: &mut dyn Write) -> Result<(), CliError> {
    let mut input = BufReader::new(io::stdin().lock()).take(INPUT_BYTES_MAX);
    let mut line = String::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        number += 1;
        let read = input.read_line(&mut line);
        let read = read.map_err(|error| CliError::Usage(format!("line {number}: {error}")))?;
        if read == 0 {
            return CliError::written(output.flush());
        }
        if line.trim().is_empty() {
            continue;
        }
        let question: Question = serde_json::from_str(&line).map_err(|error| {
            let what = format!("line {number}: {error}; write {{\"id\": …, \"text\": \"…\"}}");
            CliError::Usage(what)
        })?;
        let findings = findings(redactor, &question.text);
        let text = replaced(&question.text, &findings);
        let text = redactor.settled(text, &mut Known::default());
        let spans = spans(&question.text, &findings);
        let answer = Answer { id: question.id, text: text.as_str(), spans };
        let written = serde_json::to_string(&answer)?;
        if let Err(error) = writeln!(output, "{written}") {
            return CliError::written(Err(error));
        }
    }
}

/// The findings in code points.
fn spans(text: &str, findings: &[Finding]) -> Vec<Span> {
    let (mut byte, mut point) = (0, 0);
    let mut points = |to: usize| {
        point += text.get(byte..to).unwrap_or("").chars().count();
        byte = to;
        point
    };
    findings
        .iter()
        .map(|finding| Span {
            start: points(finding.start),
            end: points(finding.end),
            label: finding.label.as_str(),
        })
        .collect()
}
