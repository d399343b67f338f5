//! `weighbridge sessions`: the sessions used last, or one of them as a timeline.

use std::io::Write;
use std::path::PathBuf;

use super::{CliError, source};
use crate::clock::Clock;
use crate::index::Filter;
use crate::report::period::Period;
use crate::report::session::{self, Session, Sessions, Total};
use crate::report::{Timeline, TimelineBuilder, render};

const EXAMPLE: &str = "Examples:\n  weighbridge sessions --limit 10\n  \
                       weighbridge sessions --from 2026-11-01 --to 2026-12-01";
/// How many sessions are shown unless told otherwise.
const SESSIONS: usize = 50;
/// Columns where there is no terminal to ask.
const COLUMNS: usize = 120;
/// Columns of the table that are text.
const TEXT_COLUMNS: usize = 4;

/// Recent sessions; with an id the exchanges of one.
#[derive(Debug, clap::Args)]
#[command(override_usage = "weighbridge sessions [ID] [OPTIONS]", after_help = EXAMPLE)]
pub struct SessionsArgs {
    /// Show this session as a timeline: turns, calls, tools, sub-agents
    id: Option<String>,
    /// Only those last used from this UTC day (or RFC 3339 instant) on
    #[arg(long, value_name = "DATE", conflicts_with = "id")]
    from: Option<String>,
    /// First UTC day (or RFC 3339 instant) left out
    #[arg(long, value_name = "DATE", conflicts_with = "id")]
    to: Option<String>,
    /// Only the N used last [default: 50, and all of a period]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
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
        let now_ns = Clock::start().stamp().wall_ns;
        let text = match &self.id {
            Some(id) => {
                let Some(timeline) = timeline(id, &directories, now_ns)? else {
                    return Err(CliError::Usage(format!(
                        "{id:?} is not a session in the ledger; `weighbridge sessions` lists them"
                    )));
                };
                if json { timeline.json()? + "\n" } else { timeline.text(columns(terminal)) }
            }
            None => {
                let recent = self.recent(&directories, now_ns)?;
                match json {
                    true => {
                        let total = Total::of(&recent);
                        serde_json::json!({"sessions": recent, "total": total}).to_string() + "\n"
                    }
                    false => table(&recent, terminal),
                }
            }
        };
        CliError::written(output.write_all(text.as_bytes()))
    }

    /// The sessions used last.
    fn recent(&self, directories: &[PathBuf], now_ns: u64) -> Result<Vec<Session>, CliError> {
        let period = source::period(self.from.as_deref(), self.to.as_deref())?;
        let all = if period == Period::default() { SESSIONS } else { usize::MAX };
        source::ask(directories, |indexes| {
            let mut sessions = Sessions::default();
            for index in indexes {
                index.sessions(&Filter::default(), &mut sessions)?;
            }
            for index in indexes {
                index.told(None, &mut sessions)?;
            }
            let mut recent = sessions.recent(&period, self.limit.unwrap_or(all));
            for index in indexes {
                index.tool_figures(&mut recent, now_ns)?;
            }
            Ok(recent)
        })
    }
}

fn table(sessions: &[Session], terminal: bool) -> String {
    if sessions.is_empty() {
        let none = "no session: calls of clients that name one, and hooks, begin one\n";
        return none.to_owned();
    }
    let mut rows: Vec<Vec<String>> = sessions.iter().map(Session::cells).collect();
    if rows.len() > 1 {
        rows.push(Total::of(sessions).cells());
    }
    render::table(&session::HEADER.map(str::to_owned), &rows, TEXT_COLUMNS, terminal)
}

/// One session, whole; `None` where neither an exchange nor a hook names it.
pub(super) fn timeline(
    id: &str,
    directories: &[PathBuf],
    now_ns: u64,
) -> Result<Option<Timeline>, CliError> {
    let filter = Filter { session: Some(id.to_owned()), ..Filter::default() };
    let builder = source::ask(directories, |indexes| {
        let mut sessions = Sessions::default();
        for index in indexes {
            index.sessions(&filter, &mut sessions)?;
        }
        for index in indexes {
            index.told(Some(id), &mut sessions)?;
        }
        let Some(session) = sessions.recent(&Period::default(), 1).pop() else { return Ok(None) };
        let mut builder = TimelineBuilder::new(session, now_ns);
        for index in indexes {
            index.session_exchanges(id, now_ns, &mut builder)?;
        }
        for index in indexes {
            index.session_tools(id, &mut builder)?;
        }
        Ok(Some(builder))
    })?;
    Ok(builder.map(TimelineBuilder::finish).transpose()?)
}

/// How wide the terminal is.
fn columns(terminal: bool) -> usize {
    let size = terminal.then(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok()).flatten();
    size.map_or(COLUMNS, |size| usize::from(size.ws_col)).max(1)
}
