//! `weighbridge check`: every value in force, and where it came from.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::serve::StandArgs;
use super::{CliError, Surroundings};
use crate::app;
use crate::config::Config;
use crate::policy::{Rules, Said};
use crate::rules::project_files;

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weighbridge check --config weighbridge.toml\n  \
                        weighbridge check --config weighbridge.toml --team search --task nightly")]
pub struct CheckArgs {
    #[command(flatten)]
    stand: StandArgs,
    /// Show the rules that hold for this team, and which layer set each
    #[arg(long, value_name = "TEAM")]
    team: Option<String>,
    /// … in this project
    #[arg(long, value_name = "PROJECT", requires = "team")]
    project: Option<String>,
    /// … with this task
    #[arg(long, value_name = "TASK", requires = "team")]
    task: Option<String>,
    /// … for an agent that works in this directory, whose files may add rules
    #[arg(long, value_name = "DIR", requires = "team")]
    dir: Option<PathBuf>,
}

impl CheckArgs {
    pub(super) fn run(
        &self,
        output: &mut dyn Write,
        surroundings: &Surroundings,
    ) -> Result<(), CliError> {
        let config = self.stand.config(surroundings, &StandArgs::nothing())?;
        let text = match &self.team {
            Some(team) => self.rules(&config, team)?,
            None => settings(&config)?,
        };
        CliError::written(output.write_all(text.as_bytes()))
    }

    fn rules(&self, config: &Config, team: &str) -> Result<String, CliError> {
        let mut notes = String::new();
        let mut files = Vec::new();
        if let Some(dir) = &self.dir {
            let wrong = |error| CliError::Usage(format!("--dir {}: {error}", dir.display()));
            let (found, ignored) = project_files(&dir.canonicalize().map_err(wrong)?, team);
            for (title, problem) in ignored {
                notes.push_str(&format!("\nignored: {title}: {problem}"));
            }
            if !config.policy.trust_project_files {
                for layer in &found {
                    let why = "org.trust_project_files is not set";
                    notes.push_str(&format!("\nignored: {}: {why}", layer.title));
                }
            }
            files = found;
        }
        let (project, task) = (self.project.as_deref(), self.task.as_deref());
        let rules = config.policy.rules_for(project, team, task, &files);
        let notes = if notes.is_empty() { notes } else { notes + "\n" };
        Ok(format!("{}{notes}", table(&rules)))
    }
}

/// One row for what each layer says of a rule.
fn table(rules: &Rules) -> String {
    let said = rules.effective();
    if said.is_empty() {
        return "no rules hold\n".to_owned();
    }
    let width = |of: fn(&Said) -> &str, least: usize| {
        said.iter().map(|row| of(row).chars().count()).max().unwrap_or(0).clamp(least, 48)
    };
    let (layers, values) = (width(|row| &row.layer, 5), width(|row| &row.value, 5));
    let mut text = format!("{:<22} {:<layers$} {:<values$} effect\n", "rule", "layer", "value");
    for row in &said {
        let (rule, effect) = (row.rule.name(), row.effect.name());
        text.push_str(&format!(
            "{rule:<22} {:<layers$} {:<values$} {effect}\n",
            row.layer, row.value
        ));
    }
    text.push_str(&format!("\nversion of these rules: {}\n", rules.version()));
    text
}

fn settings(config: &Config) -> Result<String, CliError> {
    let width = config.settings.iter().map(|s| s.value.len()).max().unwrap_or(0).clamp(5, 48);
    let keys = config.settings.iter().map(|s| s.key.len()).max().unwrap_or(0).clamp(28, 48);
    let mut text = format!("{:<keys$} {:<width$} from\n", "key", "value");
    for setting in &config.settings {
        let value = if setting.value.is_empty() { "–" } else { &setting.value };
        let from = setting.source.name();
        text.push_str(&format!("{:<keys$} {value:<width$} {from}\n", setting.key));
    }
    let book =
        app::price_book(&config.pricing).map_err(|error| CliError::Usage(format!("{error:#}")))?;
    let models = book.models().count();
    text.push_str(&format!("\npricing table {} with {models} models\n", book.version()));
    Ok(text)
}
