//! `weighbridge report`: cost and usage by dimension.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use super::{CliError, source};
use crate::report::{Dimension, Report, Tally};

const EXAMPLE: &str = "Example: weighbridge report --by team,model --from 2026-11-01";

/// Cost and usage, grouped.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct ReportArgs {
    /// Dimensions, comma-separated: team, user, project, session, agent, model, day, hour, key,
    /// outcome, instance, tag:NAME
    #[arg(long, required = true, value_delimiter = ',', value_name = "DIM")]
    by: Vec<String>,
    /// First UTC day (or RFC 3339 instant) included
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// First UTC day (or RFC 3339 instant) left out
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// table, json or csv
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
}

impl ReportArgs {
    /// The report that a run's summary is made from.
    pub(super) fn by_model(data_dir: PathBuf) -> ReportArgs {
        ReportArgs {
            by: vec!["model".to_owned()],
            from: None,
            to: None,
            format: "json".to_owned(),
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
        let report = self.report(&by, default_dirs)?;
        let text = match format {
            Format::Table => report.table(terminal && self.out.is_none()),
            Format::Json => report.json()? + "\n",
            Format::Csv => report.csv(),
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
        source::ask(&directories, |indexes| {
            let mut tally = Tally::new(by.to_vec());
            for index in indexes {
                index.tally(period, &mut tally)?;
            }
            Ok(tally.finish(period))
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
        Ok(dimensions)
    }

    fn format(&self) -> Result<Format, CliError> {
        match self.format.as_str() {
            "table" => Ok(Format::Table),
            "json" => Ok(Format::Json),
            "csv" => Ok(Format::Csv),
            later @ ("html" | "markdown" | "focus") => Err(CliError::Usage(format!(
                "--format {later} is not delivered yet; use table, json or csv"
            ))),
            other => Err(CliError::Usage(format!(
                "--format {other:?} is not a format; use table, json or csv"
            ))),
        }
    }
}
