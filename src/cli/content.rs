//! `weighbridge content`: what was kept of a call, and erasing it.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{CliError, Surroundings};
use crate::app;
use crate::capture::{Store, Subject};
use crate::clock::Clock;

const EXAMPLE: &str = "Examples:\n  \
    weighbridge content show 019abcde-1234-7000-8000-000000000001\n  \
    weighbridge content erase --team oncology --user ana\n  \
    weighbridge content erase --session 1b671a64-40d5-491e-99b0-da01ff1f3341";

/// What was kept of calls, redacted, where a team asks for it ([capture] in docs/configuration.md)
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct ContentArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The redacted content of one call
    Show(ShowArgs),
    /// Destroy a subject's key: what was kept under it can never be read again
    Erase(EraseArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The exchange's id, as `weighbridge exchanges` shows it
    exchange: String,
    /// text or json
    #[arg(long, default_value = "text")]
    format: String,
    /// The data directory
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct EraseArgs {
    /// The user whose contents are erased; needs --team
    #[arg(long, value_name = "U", requires = "team", conflicts_with = "session")]
    user: Option<String>,
    /// The user's team
    #[arg(long, value_name = "T", requires = "user")]
    team: Option<String>,
    /// The session whose contents are erased: where no user is known, contents belong to sessions
    #[arg(long, value_name = "S")]
    session: Option<String>,
    /// The data directory
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl ContentArgs {
    pub(super) fn run(
        &self,
        output: &mut dyn Write,
        surroundings: &Surroundings,
    ) -> Result<(), CliError> {
        match &self.command {
            Command::Show(args) => show(args, output, surroundings),
            Command::Erase(args) => erase(args, output, surroundings),
        }
    }
}

fn store(dir: Option<&PathBuf>, surroundings: &Surroundings) -> Result<Store, CliError> {
    let dir = dir.cloned().unwrap_or_else(|| surroundings.data_dir());
    if !dir.join("content").is_dir() {
        let why = "no contents were kept there; name the data directory with --data-dir, and see \
                   [capture] in docs/configuration.md";
        return Err(CliError::Usage(format!("{}: {why}", dir.display())));
    }
    let key =
        app::existing_content_key(&dir).map_err(|error| CliError::Failed(format!("{error:#}")))?;
    Store::open(&dir, key).map_err(|error| CliError::Failed(error.to_string()))
}

fn show(
    args: &ShowArgs,
    output: &mut dyn Write,
    surroundings: &Surroundings,
) -> Result<(), CliError> {
    if !["text", "json"].contains(&args.format.as_str()) {
        return Err(CliError::Usage(format!("--format {:?}: write text or json", args.format)));
    }
    let store = store(args.data_dir.as_ref(), surroundings)?;
    let kept = store.read(&args.exchange).map_err(|e| CliError::Failed(e.to_string()))?;
    let Some(kept) = kept else {
        let why = "nothing was kept of this exchange";
        return Err(CliError::Failed(format!("{}: {why}", args.exchange)));
    };
    if args.format == "json" {
        return CliError::written(writeln!(output, "{}", serde_json::to_string_pretty(&kept)?));
    }
    for piece in kept["pieces"].as_array().into_iter().flatten() {
        CliError::written(print(piece, output))?;
    }
    Ok(())
}

fn print(piece: &Value, output: &mut dyn Write) -> std::io::Result<()> {
    let of = |name: &str| piece[name].as_str().unwrap_or("");
    write!(output, "{} · {}", of("author"), of("kind"))?;
    if !of("tool").is_empty() {
        write!(output, " · {}", of("tool"))?;
    }
    writeln!(output, " · {} bytes", piece["bytes"])?;
    match (piece["text"].as_str(), piece["dropped"].as_str()) {
        (Some(text), _) => writeln!(output, "{text}\n"),
        (None, Some(reason)) => writeln!(output, "(not kept: {})\n", reason.replace('_', " ")),
        (None, None) => writeln!(output, "({} {})\n", of("media"), of("hash")),
    }
}

fn erase(
    args: &EraseArgs,
    output: &mut dyn Write,
    surroundings: &Surroundings,
) -> Result<(), CliError> {
    let subject = match (&args.team, &args.user, &args.session) {
        (Some(team), Some(user), _) => Subject::User(team.clone(), user.clone()),
        (_, _, Some(session)) => Subject::Session(session.clone()),
        _ => {
            let why = "say whose contents: --team T --user U, or --session S";
            return Err(CliError::Usage(why.to_owned()));
        }
    };
    let store = store(args.data_dir.as_ref(), surroundings)?;
    let now_ms = Clock::start().stamp().wall_ns / 1_000_000;
    let erased =
        store.erase(&subject, now_ms).map_err(|error| CliError::Failed(error.to_string()))?;
    if !erased {
        let why = "nothing is kept of this subject: it was erased before, or is written otherwise";
        return Err(CliError::Failed(why.to_owned()));
    }
    let told = "Erased: what was kept under this key can never be read again.";
    CliError::written(writeln!(output, "{told}"))
}
