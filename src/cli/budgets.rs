//! `weighbridge budgets`: how every budget stands, from the ledger, whether a sidecar runs or not.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::{CliError, Surroundings, source};
use crate::accounting::budget::{Book, Budget};
use crate::clock::Clock;
use crate::config::Layer;
use crate::report::{budget_json, budget_table};

const EXAMPLE: &str = "Example: weighbridge budgets --config weighbridge.toml";

/// How every budget stands: used, forecast, time left.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct BudgetsArgs {
    /// The configuration that holds the budgets
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// table or json
    #[arg(long, default_value = "table")]
    format: String,
    /// Data directories to look into [default: the configuration's]
    #[arg(long, value_name = "DIR", num_args = 1..)]
    data_dir: Vec<PathBuf>,
}

impl BudgetsArgs {
    /// Writes the budgets to `output`.
    pub(super) fn run(
        &self,
        output: &mut dyn Write,
        surroundings: &Surroundings,
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
        // Budgets need no data directory, and there may be no home to have one in.
        let nowhere = self.data_dir.first().map(|dir| dir.display().to_string());
        let flags = Layer::flags(None, [None, None, None], nowhere);
        let config = surroundings.config(self.config.as_ref(), flags)?;
        let budgets: Vec<Arc<Budget>> =
            config.budgets.iter().map(|one| Arc::clone(&one.budget)).collect();
        if budgets.is_empty() {
            return Err(CliError::Usage(
                "no budget is configured; add a [budget.NAME] table and name the file with --config"
                    .to_owned(),
            ));
        }
        let directories = source::directories(&self.data_dir, vec![config.ledger.dir.clone()])?;
        let wall_ns = Clock::start().stamp().wall_ns;
        let now = i64::try_from(wall_ns).unwrap_or(i64::MAX);
        let mut book = source::ask(&directories, |indexes| {
            let mut book = Book::new(&budgets, now);
            for index in indexes {
                index.spent(Book::horizon(&budgets, now), u64::MAX, |spent| book.add(spent))?;
            }
            Ok(book)
        })?;
        book.settle(now);
        let text = if json {
            format!("{}\n", budget_json(&book, now))
        } else {
            budget_table(&book, now, surroundings.terminal)
        };
        CliError::written(output.write_all(text.as_bytes()))
    }
}
