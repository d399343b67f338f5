//! `weighbridge content`: what was kept of a call, and erasing it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::Value;
use uuid::Uuid;

use super::{CliError, Surroundings};
use crate::app;
use crate::capture::{Store, StoreError, Subject};
use crate::clock::Clock;
use crate::inbox;
use crate::privacy::Identifier;
use crate::privacy::identifier::HashKey;
use crate::record::act::{Act, Erased};

const EXAMPLE: &str = "Examples:\n  \
    weighbridge content show 019abcde-1234-7000-8000-000000000001\n  \
    weighbridge content erase --team oncology --user ana\n  \
    weighbridge content erase --session 1b671a64-40d5-491e-99b0-da01ff1f3341\n  \
    weighbridge content erase --exchange 019abcde-1234-7000-8000-000000000001";

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
    /// The exchange's id, as `weighbridge exchanges` shows it, or its first 8 characters or more
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
    #[arg(long, value_name = "U", requires = "team", conflicts_with_all = ["session", "exchange"])]
    user: Option<String>,
    /// The user's team
    #[arg(long, value_name = "T", requires = "user")]
    team: Option<String>,
    /// The session whose contents are erased: where no user is known, contents belong to sessions.
    /// As the client wrote it, or as `weighbridge sessions` shows it
    #[arg(long, value_name = "S", conflicts_with = "exchange")]
    session: Option<String>,
    /// The call whose contents are erased: where no session is known either, they belong to it
    #[arg(long, value_name = "ID")]
    exchange: Option<String>,
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
    Ok(Store::open(&dir, key)?)
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
    let kept = store.read(&args.exchange, &mut passed_over)?;
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

/// A line that is too long to be ours is named, and what is behind it is read.
fn passed_over(path: &Path, line: u64) {
    let place = path.display();
    let _ = writeln!(
        io::stderr(),
        "weighbridge: {place}: line {line} is too long to be one of ours and was passed over"
    );
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> CliError {
        match error {
            StoreError::NoId(_) | StoreError::Ambiguous(_) => CliError::Usage(error.to_string()),
            _ => CliError::Failed(error.to_string()),
        }
    }
}

fn print(piece: &Value, output: &mut dyn Write) -> io::Result<()> {
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
    let dir = args.data_dir.as_ref();
    let store = store(dir, surroundings)?;
    let subject = match (&args.team, &args.user, &args.session, &args.exchange) {
        // A user's name is ours, from `weighbridge keys`, and kept as it is.
        (Some(team), Some(user), ..) => Subject::User(team.clone(), user.clone()),
        (_, _, Some(session), _) => {
            let dir = dir.cloned().unwrap_or_else(|| surroundings.data_dir());
            Subject::Session(session_name(session, &dir)?)
        }
        (.., Some(exchange)) => Subject::Exchange(whole_id(exchange, &store)?),
        _ => {
            let why = "say whose contents: --team T --user U, --session S, or --exchange ID";
            return Err(CliError::Usage(why.to_owned()));
        }
    };
    let now_ms = Clock::start().stamp().wall_ns / 1_000_000;
    let found = store.erase(&subject, now_ms)?;
    let dir = dir.cloned().unwrap_or_else(|| surroundings.data_dir());
    leave_word(&dir, &subject, found)?;
    if found {
        let told = "Erased: what was kept under this key can never be read again. The sidecar \
                    writes the erasure into the ledger within a second, or when it starts.";
        return CliError::written(writeln!(output, "{told}"));
    }
    if let Subject::Exchange(id) = &subject
        && store.read(id, &mut passed_over)?.is_some()
    {
        let why = "its contents belong to its user or its session, and are erased with all of \
                   theirs: --team T --user U, or --session S";
        return Err(CliError::Failed(format!("{id}: {why}")));
    }
    let why = "nothing is kept of this subject: it was erased before, or is written otherwise. \
               What waited to be kept of it until now is dropped";
    Err(CliError::Failed(why.to_owned()))
}

/// Leaves word of the erasure for the ledger.
fn leave_word(dir: &Path, subject: &Subject, found: bool) -> Result<(), CliError> {
    let id = Uuid::now_v7().to_string();
    let nobody =
        Erased { by_uid: None, exchange: None, found, id, session: None, team: None, user: None };
    let erased = match subject {
        Subject::User(team, user) => {
            Erased { team: Some(team.clone()), user: Some(user.clone()), ..nobody }
        }
        Subject::Session(session) => {
            Erased { session: Identifier::plain(session.as_bytes()), ..nobody }
        }
        Subject::Exchange(exchange) => Erased { exchange: Some(exchange.clone()), ..nobody },
    };
    inbox::leave(dir, &Act::Erased(Box::new(erased))).map(drop).map_err(|error| {
        CliError::Failed(format!(
            "the contents are erased, but word of it cannot be left in {}: {error}; make room or \
             allow writing there and run the command again",
            dir.display()
        ))
    })
}

/// A session as it is recorded: what does not look like an identifier is kept as a keyed hash. The
/// hash is taken too.
fn session_name(session: &str, dir: &Path) -> Result<String, CliError> {
    if Identifier::hash_bits(session).is_some() {
        return Ok(session.to_owned());
    }
    let key = app::existing_identifier_key(dir);
    let key = key.map_err(|error| CliError::Failed(format!("{error:#}")))?;
    let name = Identifier::from_outside(session.as_bytes(), &HashKey::new(&key));
    Ok(name.as_str().to_owned())
}

/// The id of an exchange of which something is kept, or of one whose contents may still wait.
fn whole_id(exchange: &str, store: &Store) -> Result<String, CliError> {
    if let Some(id) = store.whole_id(exchange, &mut passed_over)? {
        return Ok(id);
    }
    let id = Uuid::try_parse(exchange.trim());
    let why = "nothing was kept of an exchange that begins so; write its whole id";
    Ok(id.map_err(|_| CliError::Failed(format!("{exchange}: {why}")))?.to_string())
}
