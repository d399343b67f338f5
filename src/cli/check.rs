//! `weighbridge check`: every value in force, and where it came from.

use std::io::Write;

use clap::Args;

use super::serve::StandArgs;
use super::{CliError, Surroundings};
use crate::app;

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weighbridge check --config weighbridge.toml")]
pub struct CheckArgs {
    #[command(flatten)]
    stand: StandArgs,
}

impl CheckArgs {
    pub(super) fn run(
        &self,
        output: &mut dyn Write,
        surroundings: &Surroundings,
    ) -> Result<(), CliError> {
        let config = self.stand.config(surroundings, &StandArgs::nothing())?;
        let width = config.settings.iter().map(|s| s.value.len()).max().unwrap_or(0).clamp(5, 48);
        let keys = config.settings.iter().map(|s| s.key.len()).max().unwrap_or(0).clamp(28, 48);
        let mut text = format!("{:<keys$} {:<width$} from\n", "key", "value");
        for setting in &config.settings {
            let value = if setting.value.is_empty() { "–" } else { &setting.value };
            let from = setting.source.name();
            text.push_str(&format!("{:<keys$} {value:<width$} {from}\n", setting.key));
        }
        let book = app::price_book(&config.pricing)
            .map_err(|error| CliError::Usage(format!("{error:#}")))?;
        let models = book.models().count();
        text.push_str(&format!("\npricing table {} with {models} models\n", book.version()));
        CliError::written(output.write_all(text.as_bytes()))
    }
}
