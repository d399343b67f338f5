//! `weighbridge exchanges`: every call, or everything about one.

use std::io::{self, Write};
use std::path::PathBuf;

use super::{CliError, source};
use crate::clock::Clock;
use crate::index::{Filter, Index, IndexError, Selection};
use crate::report::{exchange, render};

const EXAMPLE: &str = "Example: weighbridge exchanges --team search --format jsonl";
/// How many lines the table shows unless told otherwise.
const TABLE_ROWS: u32 = 50;
/// Columns of the table that are text.
const TEXT_COLUMNS: usize = 5;

/// Every call, one line each; with an id everything known of one.
#[derive(Debug, clap::Args)]
#[command(override_usage = "weighbridge exchanges [ID] [OPTIONS]", after_help = EXAMPLE)]
pub struct ExchangesArgs {
    /// Show everything known of this exchange
    id: Option<String>,
    /// First UTC day (or RFC 3339 instant) included
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// First UTC day (or RFC 3339 instant) left out
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// Only this team's
    #[arg(long)]
    team: Option<String>,
    /// Only this session's
    #[arg(long)]
    session: Option<String>,
    /// Only this model's
    #[arg(long)]
    model: Option<String>,
    /// Only those that ended so: completed, upstream_error, client_left, timed_out, interrupted,
    /// refused
    #[arg(long)]
    outcome: Option<String>,
    /// Only the newest N [default: 50 for the table, all for jsonl]
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// table or jsonl
    #[arg(long, default_value = "table")]
    format: String,
    /// Data directories to look into [default: that of `serve` and of all runs]
    #[arg(long, value_name = "DIR", num_args = 1..)]
    data_dir: Vec<PathBuf>,
}

/// Why a stream of lines ended early.
enum Stopped {
    Index(IndexError),
    Json(serde_json::Error),
    Output(io::Error),
}

impl From<IndexError> for Stopped {
    fn from(error: IndexError) -> Stopped {
        Stopped::Index(error)
    }
}

impl ExchangesArgs {
    /// Writes the exchanges to `output`. `terminal` says whether that is one.
    pub fn run(
        &self,
        output: &mut dyn Write,
        terminal: bool,
        default_dirs: Vec<PathBuf>,
    ) -> Result<(), CliError> {
        let lines = match self.format.as_str() {
            "table" => false,
            "jsonl" => true,
            other => {
                return Err(CliError::Usage(format!(
                    "--format {other:?} is not a format; use table or jsonl"
                )));
            }
        };
        let filter = self.filter()?;
        let directories = source::directories(&self.data_dir, default_dirs)?;
        if let Some(id) = &self.id {
            return detail(id, lines, &directories, output);
        }
        if !lines {
            let rows = newest(&directories, &filter, self.limit.unwrap_or(TABLE_ROWS), |one| {
                Ok(one.cells())
            })?;
            return CliError::written(output.write_all(table(&rows, terminal).as_bytes()));
        }
        match self.limit {
            Some(limit) => {
                let rows = newest(&directories, &filter, limit, |one| one.json())?;
                CliError::written(rows.iter().try_for_each(|line| writeln!(output, "{line}")))
            }
            None => stream(&directories, filter, output),
        }
    }

    fn filter(&self) -> Result<Filter, CliError> {
        let [team, session, model, outcome] =
            [&self.team, &self.session, &self.model, &self.outcome].map(Clone::clone);
        let period = source::period(self.from.as_deref(), self.to.as_deref())?;
        Ok(Filter { period, team, session, model, outcome })
    }
}

/// The table of exchanges.
pub(super) fn table(rows: &[Vec<String>], terminal: bool) -> String {
    render::table(&exchange::HEADER.map(str::to_owned), rows, TEXT_COLUMNS, terminal)
}

/// The newest exchanges of all directories together, the newest last.
pub(super) fn newest<T>(
    directories: &[PathBuf],
    filter: &Filter,
    limit: u32,
    show: impl Fn(&exchange::Exchange<'_>) -> Result<T, serde_json::Error>,
) -> Result<Vec<T>, CliError> {
    let selection = Selection::Newest(filter.clone(), limit);
    let shown = source::ask(directories, |indexes| {
        let mut shown = Vec::new();
        for index in indexes {
            index.exchanges(&selection, |one| {
                shown.push((one.opened_at, one.sequence, show(one)));
                Ok::<(), IndexError>(())
            })?;
        }
        Ok(shown)
    });
    let mut shown = shown?;
    shown.sort_by_key(|(opened_at, sequence, _)| (*opened_at, *sequence));
    let surplus = shown.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(shown.into_iter().skip(surplus).map(|(.., one)| one).collect::<Result<_, _>>()?)
}

/// Every exchange as a line, one directory after the other, none held in memory.
fn stream(directories: &[PathBuf], filter: Filter, output: &mut dyn Write) -> Result<(), CliError> {
    let indexes = source::open(directories)?;
    let selection = Selection::All(filter);
    let mut output = io::BufWriter::new(output);
    let mut all = |index: &Index| {
        index.exchanges(&selection, |one| {
            let line = one.json().map_err(Stopped::Json)?;
            writeln!(output, "{line}").map_err(Stopped::Output)
        })
    };
    match indexes.iter().try_for_each(&mut all) {
        Ok(()) => CliError::written(output.flush()),
        Err(Stopped::Output(error)) => CliError::written(Err(error)),
        Err(Stopped::Json(error)) => Err(error.into()),
        Err(Stopped::Index(error)) if error.is_damage() => {
            source::discard(indexes)?;
            Err(CliError::Failed(
                "the index was damaged and is deleted; run the command again to build a new one"
                    .to_owned(),
            ))
        }
        Err(Stopped::Index(error)) => Err(error.into()),
    }
}

/// Everything known of one exchange.
fn detail(
    id: &str,
    lines: bool,
    directories: &[PathBuf],
    output: &mut dyn Write,
) -> Result<(), CliError> {
    let selection = Selection::One(id.to_owned());
    let now_ns = Clock::start().stamp().wall_ns;
    let found = source::ask(directories, |indexes| {
        let mut found = Vec::new();
        for index in indexes {
            index.exchanges(&selection, |one| {
                let related = index.related(one, now_ns)?;
                found.push(if lines {
                    one.json_detail(&related).map(|line| line + "\n")
                } else {
                    Ok(one.page(&related))
                });
                Ok::<(), IndexError>(())
            })?;
        }
        Ok(found)
    })?;
    if found.is_empty() {
        return Err(CliError::Usage(format!(
            "{id:?} is not an exchange in the ledger; `weighbridge exchanges` lists them"
        )));
    }
    for page in found {
        CliError::written(output.write_all(page?.as_bytes()))?;
    }
    Ok(())
}
