//! What `weighbridge run` hands to its command, so that its hooks reach the sidecar of the run.

use std::path::{Path, PathBuf};

use super::program;
use crate::app;
use crate::hooks::settings::{Hooks, RUN_TOKEN_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE, with_hooks};

/// The settings that Claude Code gets for this run.
const FILE: &str = "claude-settings.json";

/// Arguments and variables more than the command has by itself.
#[derive(Default)]
pub(in super::super) struct Handed {
    /// To stand before its own.
    pub(in super::super) arguments: Vec<String>,
    pub(in super::super) variables: Vec<(&'static str, String)>,
    /// What to tell the user.
    pub(in super::super) said: Option<String>,
    file: Option<PathBuf>,
}

impl Handed {
    /// For this command, whose sidecar takes events at `url` with `token`.
    ///
    /// Claude Code merges one `--settings` with the user's files, so a second of the user's would
    /// replace it. Its token has a variable of its own: `WEIGHBRIDGE_HOOK_TOKEN` belongs to the
    /// hooks that are installed, which go on to their own sidecar.
    pub(in super::super) fn to(
        command: &[String],
        (url, token): (String, &str),
        dir: &Path,
    ) -> Handed {
        let name = command.first().map(|program| Path::new(program).file_name());
        if name.flatten().is_none_or(|name| name != "claude") {
            let variables = vec![(URL_VARIABLE, url), (TOKEN_VARIABLE, token.to_owned())];
            return Handed { variables, ..Handed::default() };
        }
        let own = |word: &String| word == "--settings" || word.starts_with("--settings=");
        if command.iter().any(own) {
            let said = "the command brings --settings of its own, so this run has no hooks";
            return Handed { said: Some(said.to_owned()), ..Handed::default() };
        }
        let path = dir.join(FILE);
        match write(&path, url) {
            Ok(()) => Handed {
                arguments: vec!["--settings".to_owned(), path.display().to_string()],
                variables: vec![(RUN_TOKEN_VARIABLE, token.to_owned())],
                said: None,
                file: Some(path),
            },
            Err(why) => {
                Handed { said: Some(format!("this run has no hooks: {why}")), ..Handed::default() }
            }
        }
    }

    /// The command has ended.
    pub(in super::super) fn take_back(self) {
        if let Some(file) = self.file {
            let _ = std::fs::remove_file(file);
        }
    }
}

fn write(path: &Path, url: String) -> Result<(), String> {
    let program = program().map_err(|error| error.to_string())?;
    let hooks = Hooks { url, program, variable: RUN_TOKEN_VARIABLE, enforce: false };
    let text = with_hooks("", &hooks).map_err(|error| error.to_string())?;
    app::write_private(path, text.as_bytes()).map_err(|error| format!("{error:#}"))
}
