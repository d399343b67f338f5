//! `weighbridge price`: one usage, or JSON Lines of them, into dollars.

mod question;

use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::{Number, Value};

use super::{CliError, Surroundings};
use crate::accounting::charge::Charge;
use crate::accounting::price_book::PriceBook;
use crate::accounting::{Flag, Money, explain};
use crate::clock::Clock;

pub(super) use question::day;
use question::{Fallback, Question};

const EXAMPLE: &str = "Example:\n  \
    echo '{\"input_tokens\": 1200, \"output_tokens\": 300}' |\n    \
    weighbridge price --model claude-opus-5-5 --explain\n  \
    weighbridge price --batch < questions.jsonl";
/// The longest single input; a usage object has a few hundred bytes.
const INPUT_BYTES_MAX: u64 = 16 << 20;

/// What some programs write before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Price a usage object, a whole message or a question (docs/pricing.md), from standard input.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct PriceArgs {
    /// The model; a message or question may name it itself
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// UTC day, or RFC 3339 moment, whose prices hold [default: today]
    #[arg(long, value_name = "DATE")]
    at: Option<String>,
    /// The team, for negotiated prices
    #[arg(long, value_name = "T")]
    team: Option<String>,
    /// Show each line: quantity × rate × modifiers = amount, with the source of the rate
    #[arg(long, conflicts_with = "batch")]
    explain: bool,
    /// One question a line, one answer a line, as JSON
    #[arg(long)]
    batch: bool,
    /// Read this file in place of standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// text or json
    #[arg(long, default_value = "text", conflicts_with = "batch")]
    format: String,
    /// Configuration file, for its [pricing]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// One answer, as JSON.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Value::is_null")]
    id: Value,
    usd: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usd_max: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    list_usd: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_savings_usd: Option<Money>,
    flags: Vec<Flag>,
    lines: Vec<AnswerLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    pricing_version: &'a str,
}

#[derive(Debug, Serialize)]
struct AnswerLine<'a> {
    model: &'a str,
    kind: &'static str,
    quantity: Number,
    usd: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    list_usd: Option<Money>,
}

impl PriceArgs {
    pub(super) fn run(
        &self,
        output: &mut dyn Write,
        surroundings: &Surroundings,
    ) -> Result<(), CliError> {
        if !["text", "json"].contains(&self.format.as_str()) {
            return Err(CliError::Usage(format!("--format {:?}: write text or json", self.format)));
        }
        let book = surroundings.price_book(self.config.as_ref())?;
        let day = self.at.as_deref().map(question::day).transpose();
        let fallback = Fallback {
            model: self.model.clone(),
            day: day.map_err(|error| CliError::Usage(format!("--at {error}")))?,
            today: Clock::start().today(),
            team: self.team.clone(),
        };
        let input: Box<dyn BufRead> = match &self.file {
            None => Box::new(io::stdin().lock()),
            Some(path) => {
                let file = std::fs::File::open(path);
                let error = |error| CliError::Usage(format!("--file {}: {error}", path.display()));
                Box::new(io::BufReader::new(file.map_err(error)?))
            }
        };
        if self.batch {
            return batch(input, output, &book, &fallback);
        }
        self.one(input, output, &book, &fallback)
    }

    fn one(
        &self,
        input: impl Read,
        output: &mut dyn Write,
        book: &PriceBook,
        fallback: &Fallback,
    ) -> Result<(), CliError> {
        let mut text = String::new();
        let read = input.take(INPUT_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|error| CliError::Usage(format!("the input cannot be read: {error}")))?;
        let text = text.trim_start_matches('\u{feff}');
        let (value, flag) = question::parsed(text).map_err(CliError::Usage)?;
        let mut question = Question::of_usage(&value, fallback).map_err(|error| {
            let hint = if fallback.model.is_none() { " (or --model)" } else { "" };
            CliError::Usage(format!("{error}{hint}"))
        })?;
        if question.model.is_empty() {
            return Err(CliError::Usage("name the model with --model".to_owned()));
        }
        question.flags.extend(flag);
        let (charge, flags) = priced(book, &question);
        let shown = if self.explain {
            explain::text(book, &question.call(), &charge, &flags)
        } else if self.format == "json" {
            let answer = answer(book, Value::Null, &question, charge, flags);
            format!("{}\n", serde_json::to_string(&answer)?)
        } else {
            explain::summary(&charge, &flags)
        };
        CliError::written(output.write_all(shown.as_bytes()))
    }
}

/// Every line gets an answer; a line that is no question gets one with an `error`.
fn batch(
    input: impl BufRead,
    output: &mut dyn Write,
    book: &PriceBook,
    fallback: &Fallback,
) -> Result<(), CliError> {
    let mut output = io::BufWriter::new(output);
    let (mut number, mut lines, mut wrong) = (0_u64, 0_u64, 0_u64);
    for line in input.split(b'\n') {
        let line =
            line.map_err(|error| CliError::Failed(format!("the input cannot be read: {error}")))?;
        number = number.saturating_add(1);
        let mark = line.strip_prefix(BYTE_ORDER_MARK).filter(|_| number == 1);
        let line = mark.unwrap_or(&line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        lines = lines.saturating_add(1);
        let mut id = Value::Null;
        let question = std::str::from_utf8(line)
            .map_err(|_| "this is not UTF-8".to_owned())
            .and_then(question::parsed)
            .and_then(|(value, flag)| {
                id = value.get("id").cloned().unwrap_or_default();
                let mut question = Question::read(&value, fallback)?;
                question.flags.extend(flag);
                Ok(question)
            });
        let text = match &question {
            Ok(question) => {
                let (charge, flags) = priced(book, question);
                serde_json::to_string(&answer(book, id, question, charge, flags))?
            }
            Err(error) => {
                wrong = wrong.saturating_add(1);
                let id = if id.is_null() { question::id_of(line) } else { id };
                serde_json::to_string(&Answer {
                    id,
                    usd: None,
                    usd_max: None,
                    list_usd: None,
                    cache_savings_usd: None,
                    flags: vec![Flag::Unpriced],
                    lines: Vec::new(),
                    error: Some(format!("line {number}: {error}")),
                    pricing_version: book.version(),
                })?
            }
        };
        CliError::written(writeln!(output, "{text}"))?;
    }
    CliError::written(output.flush())?;
    if wrong == 0 {
        return Ok(());
    }
    let what = format!("{wrong} of {lines} lines are no questions");
    Err(CliError::Usage(format!("{what}; their answers say why in `error`")))
}

/// The charge, and what was found while reading and while pricing.
fn priced<'a>(book: &'a PriceBook, question: &Question) -> (Charge<'a>, Vec<Flag>) {
    let mut charge = book.charge(&question.call()).unwrap_or_else(|_| Charge {
        flags: vec![Flag::UsageAnomaly, Flag::Unpriced],
        ..Charge::default()
    });
    let mut flags = std::mem::take(&mut charge.flags);
    flags.extend(&question.flags);
    flags.sort_unstable();
    flags.dedup();
    (charge, flags)
}

fn answer<'a>(
    book: &'a PriceBook,
    id: Value,
    question: &'a Question,
    charge: Charge<'a>,
    flags: Vec<Flag>,
) -> Answer<'a> {
    let own = charge.model.unwrap_or(&question.model);
    let lines = charge.lines.into_iter().map(|line| AnswerLine {
        model: line.model.unwrap_or(own),
        kind: line.kind.name(),
        quantity: line.exact_quantity().parse().unwrap_or_else(|_| line.quantity.into()),
        usd: line.amount,
        list_usd: Some(line.list).filter(|list| *list != line.amount),
    });
    Answer {
        id,
        usd: charge.total,
        usd_max: charge.max,
        list_usd: charge.list.filter(|_| charge.list != charge.total),
        cache_savings_usd: charge.cache_savings,
        flags,
        lines: lines.collect(),
        error: None,
        pricing_version: book.version(),
    }
}
