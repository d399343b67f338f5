//! `weighbridge audit`: what was signed of the ledger, what it proves, and evidence of it.

mod bundle;
mod changes;
mod checkpoint;
mod claims;
mod controls;
mod directory;
mod export;
mod facts;
mod folder;
mod gaps;
mod heads;
mod ocsf;
mod page;
mod pruned;
mod sink;
mod tables;
mod verify;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CliError, Surroundings};
use crate::audit::note::{KeyKind, VerifierKey};

const EXAMPLE: &str = "Examples:\n  \
    weighbridge audit verify\n  \
    weighbridge audit verify evidence-2026-11 --witness head.note\n  \
    weighbridge audit checkpoint\n  \
    weighbridge audit export --from 2026-11-01 --to 2026-12-01 --out evidence-2026-11";

/// The ledger's signed checkpoints and keys; verify it, or a bundle of evidence; make one
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check every line, root, signature and total; say what is proved and what is not
    Verify(VerifyArgs),
    /// Write a bundle of evidence: lines, proofs, tables, OCSF events and a page for people
    Export(ExportArgs),
    /// The newest checkpoint, and who has witnessed it
    Checkpoint(checkpoint::DirArgs),
    /// Sign with a new key from now on; the old one signs it and is destroyed
    RotateKey(checkpoint::DirArgs),
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// The first moment: a UTC day like 2026-11-20 or an instant; from the beginning without it
    #[arg(long, value_name = "MOMENT")]
    from: Option<String>,
    /// The first moment left out; to the newest checkpoint without it
    #[arg(long, value_name = "MOMENT")]
    to: Option<String>,
    /// A folder that does not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only this team's rows in tables and OCSF events
    #[arg(long, value_name = "T")]
    team: Option<String>,
    /// Only this session's rows in tables and OCSF events
    #[arg(long, value_name = "S")]
    session: Option<String>,
    /// Only tables and OCSF events that support these criteria: CC6.1, CC8.1, …
    #[arg(long, value_name = "C", value_delimiter = ',')]
    control: Vec<String>,
    /// Version of the OCSF schema: 1.9.0 or 1.6.0
    #[arg(long, value_name = "VERSION", default_value = "1.9.0")]
    ocsf: String,
    /// The data directory
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// A bundle made by `weighbridge audit export`; without it, a data directory is verified
    #[arg(value_name = "BUNDLE", conflicts_with = "data_dir")]
    bundle: Option<PathBuf>,
    /// The data directory
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A checkpoint that somebody else holds, as a signed note
    #[arg(long, value_name = "FILE")]
    witness: Vec<PathBuf>,
    /// The verifier key of a witness, name+id+base64: its cosignatures are checked too
    #[arg(long, value_name = "KEY", value_parser = cosigner)]
    witness_key: Vec<VerifierKey>,
    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// A witness's key, as it publishes it.
fn cosigner(text: &str) -> Result<VerifierKey, String> {
    let key = VerifierKey::parse(text).ok().filter(|key| key.kind() == KeyKind::Cosignature);
    key.ok_or_else(|| "write name+id+base64, of type 0x04 (cosignature/v1)".to_owned())
}

impl AuditArgs {
    pub(super) fn run(
        &self,
        output: &mut dyn Write,
        surroundings: &Surroundings,
    ) -> Result<(), CliError> {
        match &self.command {
            Command::Verify(args) => verify::run(args, output, surroundings),
            Command::Export(args) => export::run(args, output, surroundings),
            Command::Checkpoint(args) => checkpoint::newest(args, output, surroundings),
            Command::RotateKey(args) => checkpoint::rotate(args, output, surroundings),
        }
    }
}

/// Verifies a data directory and says it; gives the number of lines.
pub(super) fn verified(dir: &std::path::Path, output: &mut dyn Write) -> Result<u64, CliError> {
    verify::told(dir, output)
}

/// A file that is ours to name cannot be read.
fn unreadable(path: &std::path::Path, error: &io::Error) -> CliError {
    CliError::Failed(format!("cannot read {}: {error}", path.display()))
}
