//! `weighbridge reattribute`: moves past spend to another team, visibly.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::handover::taken;
use super::{CliError, Surroundings, source};
use crate::accounting::attribution::CostCentre;
use crate::inbox;
use crate::privacy::Identifier;
use crate::record::act::Act;
use crate::record::correction::{Chosen, Reattributed};
use uuid::Uuid;

const EXAMPLE: &str = "Nothing is changed in the ledger: an entry is added that says who pays now, \
and reports say how much was moved.\n\nExample:\n  \
weighbridge reattribute --of unattributed --from 2026-11-01 --to 2026-12-01 \\\n    \
--team research --reason FIN-214\n  \
weighbridge reattribute 0192f0c1-7a10-7c1e-9d00-00005b73c604 --team research --reason FIN-215";

/// Move past spend to another team.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct ReattributeArgs {
    /// Exchanges by id; without one, all that meet the conditions below
    #[arg(value_name = "ID")]
    exchanges: Vec<String>,
    /// First UTC day (or RFC 3339 instant) included
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// First UTC day (or RFC 3339 instant) left out
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// Paid for by this team so far
    #[arg(long, value_name = "TEAM")]
    of: Option<String>,
    /// Made with the credential of this fingerprint (`report --by key`)
    #[arg(long, value_name = "FINGERPRINT")]
    key: Option<String>,
    /// Of this session
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// The team that pays
    #[arg(long)]
    team: String,
    /// The user that pays
    #[arg(long)]
    user: Option<String>,
    /// The project that pays
    #[arg(long)]
    project: Option<String>,
    /// Why: the name of a ticket or decision
    #[arg(long, value_name = "NAME")]
    reason: String,
    /// Data directory [default: $XDG_STATE_HOME/weighbridge, else ~/.local/state/weighbridge]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl ReattributeArgs {
    pub(super) fn run(
        &self,
        output: &mut dyn Write,
        surroundings: &Surroundings,
    ) -> Result<(), CliError> {
        let dir = self.data_dir.clone().unwrap_or_else(|| surroundings.data_dir());
        source::directories(std::slice::from_ref(&dir), Vec::new())?;
        let correction = self.correction()?;
        let act = Act::Reattributed(Box::new(correction.clone()));
        let path = inbox::leave(&dir, &act).map_err(|error| {
            CliError::Failed(format!("the correction cannot be left in {dir:?}: {error}"))
        })?;
        let (id, team) = (&correction.id, &self.team);
        let text = if taken(&path) && !path.with_extension("rejected").exists() {
            format!("correction {id} is recorded: what it chooses is paid for by {team}\n")
        } else if path.with_extension("rejected").exists() {
            return Err(CliError::Failed(format!("the sidecar did not take correction {id}")));
        } else {
            format!(
                "correction {id} waits: no sidecar runs on {}; the next one to start records it\n",
                dir.display()
            )
        };
        CliError::written(output.write_all(text.as_bytes()))
    }

    fn correction(&self) -> Result<Reattributed, CliError> {
        let period = source::period(self.from.as_deref(), self.to.as_deref())?;
        let reason = Identifier::plain(self.reason.as_bytes()).ok_or_else(|| {
            CliError::Usage(format!(
                "--reason {:?}: write the name of a ticket or decision, 1 to 128 letters, digits or \
                 . _ : / -",
                self.reason
            ))
        })?;
        let correction = Reattributed {
            chosen: Chosen {
                exchanges: self.exchanges.clone(),
                from: period.from.map(|moment| moment.0),
                key: self.key.clone(),
                session: self.session.clone(),
                team: self.of.clone(),
                to: period.to.map(|moment| moment.0),
            },
            id: Uuid::now_v7().to_string(),
            payer: CostCentre {
                team: self.team.clone(),
                user: self.user.clone(),
                project: self.project.clone(),
            },
            reason,
        };
        correction.check().map_err(|error| CliError::Usage(format!("the correction: {error}")))?;
        Ok(correction)
    }
}
