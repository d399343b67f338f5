//! `weighbridge audit`: what the ledger proves, and evidence for somebody else.

mod bundle;
mod directory;
mod heads;
mod verify;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CliError, Surroundings};

const EXAMPLE: &str = "Examples:\n  \
    weighbridge audit verify\n  \
    weighbridge audit verify evidence-2026-11 --witness head.note\n  \
    weighbridge audit export --from 2026-11-01 --to 2026-12-01 --out evidence-2026-11";

/// Verify the ledger or a bundle of evidence, and make such a bundle
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
    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

impl AuditArgs {
    pub(super) fn run(
        &self,
        output: &mut dyn Write,
        surroundings: &Surroundings,
    ) -> Result<(), CliError> {
        match &self.command {
            Command::Verify(args) => verify::run(args, output, surroundings),
        }
    }
}

/// A file that is ours to name cannot be read.
fn unreadable(path: &std::path::Path, error: &io::Error) -> CliError {
    CliError::Failed(format!("cannot read {}: {error}", path.display()))
}
