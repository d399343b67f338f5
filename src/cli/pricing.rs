//! `weighbridge pricing`: the pricing table itself.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::civil::Date;

use super::price::day;
use super::{CliError, Surroundings};
use crate::accounting::price_book::{PriceBook, PricingFile, listing};
use crate::clock::Clock;
use crate::report::render::table;

/// Arguments of `pricing`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weighbridge pricing check prices.toml\n  \
                        weighbridge pricing list --at 2026-11-20\n  \
                        weighbridge pricing diff old.toml new.toml")]
pub struct PricingArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check tables and override files; without any, the prices in force
    #[command(after_help = "Example:\n  weighbridge pricing check prices.toml overrides.toml")]
    Check {
        /// At most one whole table and any number of files with overrides
        files: Vec<PathBuf>,
        /// Configuration file, for its [pricing]
        #[arg(long, value_name = "FILE", conflicts_with = "files")]
        config: Option<PathBuf>,
    },
    /// Every rate that holds on a day
    #[command(after_help = "Example:\n  weighbridge pricing list --model claude-haiku-5-5 --all")]
    List {
        /// UTC day, or RFC 3339 moment [default: today]
        #[arg(long, value_name = "DATE", conflicts_with = "all")]
        at: Option<String>,
        /// Only this model's
        #[arg(long, value_name = "M")]
        model: Option<String>,
        /// Every period, those that are announced or withdrawn too
        #[arg(long)]
        all: bool,
        /// Configuration file, for its [pricing]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// What changed from one table to another; `embedded` names the built-in one
    #[command(after_help = "Example:\n  weighbridge pricing diff embedded prices.toml")]
    Diff {
        /// The older table
        old: String,
        /// The newer table
        new: String,
    },
}

impl PricingArgs {
    pub(super) fn run(
        &self,
        output: &mut dyn Write,
        surroundings: &Surroundings,
    ) -> Result<(), CliError> {
        let text = match &self.action {
            Action::Check { files, config } => check(files, config.as_ref(), surroundings)?,
            Action::List { at, model, all, config } => {
                let book = surroundings.price_book(config.as_ref())?;
                let day = match at {
                    _ if *all => None,
                    Some(text) => Some(moment_or_day(text)?),
                    None => Some(Clock::start().today()),
                };
                list(&book, day, model.as_deref(), surroundings)?
            }
            Action::Diff { old, new } => {
                let (old, new) = (named(old)?, named(new)?);
                let lines = listing::difference(&old, &new);
                let head = format!("{} to {}\n", old.version(), new.version());
                let body = if lines.is_empty() {
                    "no price, name or rule differs\n".to_owned()
                } else {
                    lines.into_iter().map(|line| format!("{line}\n")).collect()
                };
                format!("{head}{body}")
            }
        };
        CliError::written(output.write_all(text.as_bytes()))
    }
}

fn moment_or_day(text: &str) -> Result<Date, CliError> {
    let (day, _) = day(text).map_err(|error| CliError::Usage(format!("--at {error}")))?;
    Ok(day)
}

fn list(
    book: &PriceBook,
    day: Option<Date>,
    model: Option<&str>,
    surroundings: &Surroundings,
) -> Result<String, CliError> {
    let rows = listing::rows(book, day, model);
    if rows.is_empty() {
        let what = model.unwrap_or("any model");
        let error = format!("no price of {what} on that day; see `pricing list --all`");
        return Err(CliError::Failed(error));
    }
    let shown = |header: &[&str], rows: &[Vec<String>], texts: usize| {
        let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
        table(&header, rows, texts, surroundings.terminal)
    };
    let prices = shown(&listing::HEADER, &rows, listing::TEXT_COLUMNS);
    let mut text = format!("US dollars per million tokens, pricing {}\n\n{prices}", book.version());
    let agreed = listing::overrides(book, day, model);
    if !agreed.is_empty() {
        let header = listing::OVERRIDES_HEADER;
        text.push_str("\nNegotiated prices\n\n");
        text.push_str(&shown(&header, &agreed, header.len()));
    }
    Ok(text)
}

fn check(
    files: &[PathBuf],
    config: Option<&PathBuf>,
    surroundings: &Surroundings,
) -> Result<String, CliError> {
    let book = if files.is_empty() {
        surroundings.price_book(config)?
    } else {
        let files = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        PriceBook::load(&files, &[]).map_err(|error| CliError::Failed(error.to_string()))?
    };
    let (summary, today) = (listing::summary(&book), Clock::start().today());
    if let Some(checked) = book.checked_after(today) {
        let error = format!("checked = {checked} is after today, {today}; write the day it was");
        return Err(CliError::Failed(error));
    }
    if let Some(days) = book.days_too_old(today) {
        return Ok(format!("{summary}\n{}\n", too_old(days)));
    }
    Ok(format!("{summary}\n"))
}

/// What to say of a table that nobody has looked after.
pub(super) fn too_old(days: i32) -> String {
    format!("these prices were last compared with their sources {days} days ago; look for news")
}

fn read(path: &PathBuf) -> Result<PricingFile, CliError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::Usage(format!("{name}: {error}")))?;
    Ok(PricingFile { name, text })
}

fn named(name: &str) -> Result<PriceBook, CliError> {
    let files = if name == "embedded" { vec![] } else { vec![read(&PathBuf::from(name))?] };
    PriceBook::load(&files, &[]).map_err(|error| CliError::Usage(error.to_string()))
}
