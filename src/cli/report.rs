//! `weighbridge report`: cost and usage by dimension.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use super::{CliError, source};
use crate::clock::Clock;
use crate::index::{Index, IndexError};
use crate::report::period::{Moment, NS_PER_DAY};
use crate::report::{
    Before, Dimension, Focus, Frame, Period, Report, Statement, StatementBuilder, Tally,
};

const EXAMPLE: &str = "Examples:\n  weighbridge report --by team,model --from 2026-11-01\n  \
                       weighbridge report --from 2026-11-01 --format html --out november.html";

/// Cost and usage, grouped.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct ReportArgs {
    /// Dimensions, comma-separated: team, user, project, session, turn, agent, agent_type, tool,
    /// mcp_server, skill, model, day, hour, key, outcome, instance, tag:NAME
    #[arg(long, default_value = "team", value_delimiter = ',', value_name = "DIM")]
    by: Vec<String>,
    /// First UTC day (or RFC 3339 instant) included
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// First UTC day (or RFC 3339 instant) left out
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// table, json, csv, html, markdown or focus (FOCUS 1.2 CSV)
    #[arg(long, default_value = "table")]
    format: String,
    /// Write to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Data directories to add up [default: that of `serve` and of all runs]
    #[arg(long, value_name = "DIR", num_args = 1..)]
    data_dir: Vec<PathBuf>,
}

#[derive(Clone, Copy)]
enum Format {
    Table,
    Json,
    Csv,
    Html,
    Markdown,
    Focus,
}

impl ReportArgs {
    /// The report that a run's summary is made from, and that a run leaves behind.
    pub(super) fn of_run(data_dir: PathBuf, format: &str) -> ReportArgs {
        ReportArgs {
            by: vec!["model".to_owned()],
            from: None,
            to: None,
            format: format.to_owned(),
            out: None,
            data_dir: vec![data_dir],
        }
    }

    /// Writes the report to `output`. `terminal` says whether that is one.
    pub fn run(
        &self,
        output: &mut dyn Write,
        terminal: bool,
        default_dirs: Vec<PathBuf>,
    ) -> Result<(), CliError> {
        let format = self.format()?;
        let by = self.dimensions()?;
        let text = match format {
            Format::Table => self.report(&by, default_dirs)?.table(terminal && self.out.is_none()),
            Format::Json => self.report(&by, default_dirs)?.json()? + "\n",
            Format::Csv => self.report(&by, default_dirs)?.csv(),
            Format::Html => self.statement(&by, default_dirs)?.html(),
            Format::Markdown => self.statement(&by, default_dirs)?.markdown(),
            Format::Focus => {
                self.focus(&by, default_dirs)?.csv().map_err(|e| CliError::Failed(e.to_string()))?
            }
        };
        match &self.out {
            Some(path) => fs::write(path, text).map_err(|error| {
                CliError::Failed(format!("--out {path:?} cannot be written: {error}"))
            }),
            None => CliError::written(output.write_all(text.as_bytes())),
        }
    }

    fn report(&self, by: &[Dimension], default_dirs: Vec<PathBuf>) -> Result<Report, CliError> {
        let period = source::period(self.from.as_deref(), self.to.as_deref())?;
        let directories = source::directories(&self.data_dir, default_dirs)?;
        let report = source::ask(&directories, |indexes| tally(indexes, by, period))?;
        Ok(Report { kept_since: source::kept_since(&directories), ..report })
    }

    fn statement(
        &self,
        by: &[Dimension],
        default_dirs: Vec<PathBuf>,
    ) -> Result<Statement, CliError> {
        let period = source::period(self.from.as_deref(), self.to.as_deref())?;
        let directories = source::directories(&self.data_dir, default_dirs)?;
        let made_at = i64::try_from(Clock::start().stamp().wall_ns).unwrap_or(i64::MAX);
        let mut told =
            source::ask(&directories, |indexes| statement(indexes, by, period, made_at))?;
        told.frame.kept_since = source::kept_since(&directories);
        Ok(told)
    }

    fn focus(&self, by: &[Dimension], default_dirs: Vec<PathBuf>) -> Result<Focus, CliError> {
        if let Some(dimension) = by.iter().find(|dimension| dimension.is_joined()) {
            return Err(CliError::Usage(format!(
                "--by {dimension} has no place in FOCUS, whose rows are made of line items; use \
                 --format table, json, csv, html or markdown"
            )));
        }
        let period = source::period(self.from.as_deref(), self.to.as_deref())?;
        let directories = source::directories(&self.data_dir, default_dirs)?;
        source::ask(&directories, |indexes| {
            let mut focus = Focus::new(by);
            for index in indexes {
                index.charges(period, true, |exchange| focus.add(exchange))?;
            }
            Ok(focus)
        })
    }

    fn dimensions(&self) -> Result<Vec<Dimension>, CliError> {
        let mut dimensions: Vec<Dimension> = Vec::with_capacity(self.by.len());
        for name in &self.by {
            let dimension = name.trim().parse()?;
            if dimensions.contains(&dimension) {
                return Err(CliError::Usage(format!("--by names {dimension} twice; name it once")));
            }
            dimensions.push(dimension);
        }
        // A turn says little without its session, and sums stay the same: it has one.
        if let Some(place) = dimensions.iter().position(|by| *by == Dimension::Turn)
            && !dimensions.contains(&Dimension::Session)
        {
            dimensions.insert(place, Dimension::Session);
        }
        Ok(dimensions)
    }

    fn format(&self) -> Result<Format, CliError> {
        match self.format.as_str() {
            "table" => Ok(Format::Table),
            "json" => Ok(Format::Json),
            "csv" => Ok(Format::Csv),
            "html" => Ok(Format::Html),
            "markdown" => Ok(Format::Markdown),
            "focus" => Ok(Format::Focus),
            other => Err(CliError::Usage(format!(
                "--format {other:?} is not a format; use table, json, csv, html, markdown or focus"
            ))),
        }
    }
}

fn tally(indexes: &[Index], by: &[Dimension], period: Period) -> Result<Report, IndexError> {
    let mut tally = Tally::new(by.to_vec());
    for index in indexes {
        index.tally(period, &mut tally)?;
    }
    Ok(tally.finish(period))
}

/// One scan for the statement; with it the period before, and the breakdown that it does not have
/// anyway.
fn statement(
    indexes: &[Index],
    by: &[Dimension],
    period: Period,
    made_at: i64,
) -> Result<Statement, IndexError> {
    let end = period.to.map_or(made_at, |to| to.0.min(made_at));
    let mut builder = StatementBuilder::default();
    for index in indexes {
        index.charges(period, false, |exchange| builder.add(exchange))?;
        builder.end_instance(end);
    }
    let usual = [Dimension::Team, Dimension::Model, Dimension::Day];
    let breakdown = match by {
        [one] if usual.contains(one) => None,
        _ if builder.span().is_none() => None,
        by => Some(tally(indexes, by, period)?),
    };
    let before = match period.from {
        Some(Moment(from)) if from < end => Some(before(indexes, from, end)?),
        _ => None,
    };
    let damaged = indexes.iter().map(Index::damaged).sum();
    Ok(builder.finish(Frame { period, made_at, before, damaged, kept_since: None, breakdown }))
}

/// The same length of time before `from`.
fn before(indexes: &[Index], from: i64, end: i64) -> Result<Before, IndexError> {
    let start = from.saturating_sub(end.saturating_sub(from));
    let period = Period { from: Some(Moment(start)), to: Some(Moment(from)) };
    let sums = tally(indexes, &[], period)?.total;
    let mut first = None;
    for index in indexes {
        first = [first, index.first_opened()?].into_iter().flatten().min();
    }
    // The first day is a whole one for whoever began on it.
    let began = first.filter(|first| first.div_euclid(NS_PER_DAY) > start.div_euclid(NS_PER_DAY));
    Ok(Before { from: start, to: from, sums, began })
}
