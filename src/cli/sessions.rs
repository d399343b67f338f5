//! `weighbridge sessions`: the sessions used last, or one of them call by call.

use std::io::Write;
use std::path::PathBuf;

use super::{CliError, exchanges, source};
use crate::index::Filter;
use crate::report::{Sessions, render, session};

const EXAMPLE: &str = "Example: weighbridge sessions --limit 10";
/// How many sessions are shown unless told otherwise.
const SESSIONS: usize = 50;
/// The most exchanges of one session that are shown: its newest.
const TIMELINE_ROWS_MAX: u32 = 10_000;
/// Columns of the table that are text.
const TEXT_COLUMNS: usize = 5;

/// Recent sessions; with an id the exchanges of one.
#[derive(Debug, clap::Args)]
#[command(override_usage = "weighbridge sessions [ID] [OPTIONS]", after_help = EXAMPLE)]
pub struct SessionsArgs {
    /// Show this session call by call
    id: Option<String>,
    /// Only the N used last
    #[arg(long, value_name = "N", default_value_t = SESSIONS)]
    limit: usize,
    /// table or json
    #[arg(long, default_value = "table")]
    format: String,
    /// Data directories to look into [default: that of `serve` and of all runs]
    #[arg(long, value_name = "DIR", num_args = 1..)]
    data_dir: Vec<PathBuf>,
}

impl SessionsArgs {
    /// Writes the sessions to `output`. `terminal` says whether that is one.
    pub fn run(
        &self,
        output: &mut dyn Write,
        terminal: bool,
        default_dirs: Vec<PathBuf>,
    ) -> Result<(), CliError> {
        let json = match self.format.as_str() {
            "table" => false,
            "json" => true,
            other => {
                return Err(CliError::Usage(format!(
                    "--format {other:?} is not a format; use table or json"
                )));
            }
        };
        let directories = source::directories(&self.data_dir, default_dirs)?;
        let filter = Filter { session: self.id.clone(), ..Filter::default() };
        let recent = source::ask(&directories, |indexes| {
            let mut sessions = Sessions::default();
            for index in indexes {
                index.sessions(&filter, &mut sessions)?;
            }
            Ok(sessions.recent(self.limit))
        })?;
        let text = match &self.id {
            Some(id) => {
                let Some(session) = recent.first() else {
                    return Err(CliError::Usage(format!(
                        "{id:?} is not a session in the ledger; `weighbridge sessions` lists them"
                    )));
                };
                timeline(session, &directories, &filter, json, terminal)?
            }
            None if json => serde_json::json!({ "sessions": recent }).to_string() + "\n",
            None => table(&recent, terminal),
        };
        CliError::written(output.write_all(text.as_bytes()))
    }
}

fn table(sessions: &[session::Session], terminal: bool) -> String {
    let rows: Vec<Vec<String>> = sessions.iter().map(session::Session::cells).collect();
    render::table(&session::HEADER.map(str::to_owned), &rows, TEXT_COLUMNS, terminal)
}

/// One session: its sums, then its exchanges in order.
fn timeline(
    session: &session::Session,
    directories: &[PathBuf],
    filter: &Filter,
    json: bool,
    terminal: bool,
) -> Result<String, CliError> {
    if json {
        let lines = exchanges::newest(directories, filter, TIMELINE_ROWS_MAX, |one| one.json())?;
        let sums = serde_json::to_string(session)?;
        let sums = sums.strip_suffix('}').unwrap_or(&sums);
        return Ok(format!("{sums},\"timeline\":[{}]}}\n", lines.join(",")));
    }
    let rows = exchanges::newest(directories, filter, TIMELINE_ROWS_MAX, |one| Ok(one.cells()))?;
    let sums = table(std::slice::from_ref(session), terminal);
    Ok(format!("{sums}\n{}", exchanges::table(&rows, terminal)))
}
