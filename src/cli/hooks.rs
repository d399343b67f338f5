//! `weighbridge hooks`: the hooks of Claude Code put in, taken out and tried.

mod check;
mod files;
pub(super) mod handed;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::hook::URL_DEFAULT;
use super::{CliError, Surroundings, failed};
use crate::app;
use crate::hooks::settings::{
    Hooks, SettingsError, TOKEN_VARIABLE, with_hooks, with_rules, with_token, without,
};
use crate::keys;
use files::{Places, Settled, change};

/// Arguments of `hooks`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weighbridge hooks install\n  weighbridge hooks check")]
pub struct HooksArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the settings, without the token
    #[command(after_help = "Example:\n  weighbridge hooks settings --managed --enforce")]
    Settings {
        /// The form of managed settings: no hooks but these, and these to this address only
        #[arg(long)]
        managed: bool,
        /// Block tools and prompts while events cannot be delivered
        #[arg(long, requires = "managed")]
        enforce: bool,
        #[command(flatten)]
        address: Address,
    },
    /// Merge the hooks into a settings file of Claude Code, and the token into the user's own
    #[command(after_help = "Example:\n  weighbridge hooks install --project")]
    Install {
        #[command(flatten)]
        scope: ScopeArgs,
        /// Block tools and prompts while events cannot be delivered
        #[arg(long, requires = "managed")]
        enforce: bool,
        #[command(flatten)]
        address: Address,
        /// Data directory of the sidecar, for its token
        /// [default: $XDG_STATE_HOME/weighbridge, else ~/.local/state/weighbridge]
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Take them out again, and nothing else
    #[command(after_help = "Example:\n  weighbridge hooks uninstall")]
    Uninstall {
        #[command(flatten)]
        scope: ScopeArgs,
    },
    /// Say what the settings say, and send a real event the way they say
    #[command(after_help = "Example:\n  weighbridge hooks check")]
    Check {
        #[command(flatten)]
        address: Address,
    },
}

/// Which settings file.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct ScopeArgs {
    /// The user's own settings (the default)
    #[arg(long)]
    user: bool,
    /// The settings of the project in this folder
    #[arg(long)]
    project: bool,
    /// A file of its own among the machine's managed settings; needs root
    #[arg(long)]
    managed: bool,
}

/// Where the sidecar is.
#[derive(Debug, Args)]
struct Address {
    /// The sidecar's admin address [default: http://127.0.0.1:8485]
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
}

impl Address {
    /// Where events go.
    fn url(&self) -> Result<String, CliError> {
        let Some(admin) = &self.admin else { return Ok(URL_DEFAULT.to_owned()) };
        let base = admin.trim_end_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:/[]".contains(c);
        let host = base.strip_prefix("http://").or_else(|| base.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || !host.chars().all(plain)) {
            let how = "write it as `serve` shows it, like http://127.0.0.1:8485";
            return Err(CliError::Usage(format!("--admin {admin:?}: {how}")));
        }
        Ok(format!("{base}/hooks"))
    }

    fn hooks(&self, enforce: bool) -> Result<Hooks, CliError> {
        Ok(Hooks { url: self.url()?, program: program()?, variable: TOKEN_VARIABLE, enforce })
    }
}

/// This program's path.
fn program() -> Result<String, CliError> {
    let path = std::env::current_exe()
        .map_err(|error| CliError::Failed(format!("this program's path is unknown: {error}")))?;
    path.into_os_string().into_string().map_err(|path| {
        let path = path.display();
        CliError::Failed(format!("{path} is not UTF-8 and cannot stand in a settings file"))
    })
}

impl HooksArgs {
    pub(super) fn run(
        &self,
        output: &mut dyn Write,
        surroundings: &Surroundings,
    ) -> Result<(), CliError> {
        match &self.action {
            Action::Settings { managed, enforce, address } => {
                let text = document("", &address.hooks(*enforce)?, *managed)?;
                let _ = writeln!(io::stderr(), "{}", without_token(&surroundings.data_dir()));
                CliError::written(writeln!(output, "{}", text.trim_end()))
            }
            Action::Install { scope, enforce, address, data_dir } => {
                let dir = data_dir.clone().unwrap_or_else(|| surroundings.data_dir());
                let hooks = address.hooks(*enforce)?;
                let said = install(scope, &hooks, &dir, surroundings)?;
                CliError::written(output.write_all(said.as_bytes()))
            }
            Action::Uninstall { scope } => {
                let said = uninstall(scope, &Places::of(surroundings)?)?;
                CliError::written(output.write_all(said.as_bytes()))
            }
            Action::Check { address } => {
                let asked = address.admin.is_some().then(|| address.url()).transpose()?;
                check::run(output, surroundings, asked.as_deref())
            }
        }
    }
}

/// A settings file with our hooks in it.
fn document(text: &str, hooks: &Hooks, managed: bool) -> Result<String, CliError> {
    let usage = |error: SettingsError| CliError::Usage(format!("the settings file {error}"));
    let text = with_hooks(text, hooks).map_err(usage)?;
    if managed { with_rules(&text, &hooks.url).map_err(usage) } else { Ok(text) }
}

/// How the token gets to where a file must not hold it.
fn without_token(dir: &Path) -> String {
    let file = dir.join("hook.token");
    format!(
        "The token is not in these settings: what {} holds goes into the environment of Claude Code \
         as {TOKEN_VARIABLE}, or into the \"env\" block of each user's own settings \
         (`weighbridge hooks install` does that).",
        file.display()
    )
}

fn install(
    scope: &ScopeArgs,
    hooks: &Hooks,
    dir: &Path,
    surroundings: &Surroundings,
) -> Result<String, CliError> {
    let places = Places::of(surroundings)?;
    let mut said = format!("Hooks go to {}\n", hooks.url);
    if scope.managed {
        let done = change(&places.managed_own(), false, |text| {
            let text = with_hooks(text, hooks)?;
            with_rules(&text, &hooks.url)
        })?;
        said += &done.line("32 events; no other hooks run, and none to another address");
        said += &format!("{}\n", without_token(dir));
        return Ok(said);
    }
    keys::make_private_dir(dir).map_err(|error| {
        CliError::Failed(format!("the data directory {}: {error}", dir.display()))
    })?;
    let token = app::hook_token(dir).map_err(|error| failed(&error))?;
    if scope.project {
        said += &change(&places.project, false, |text| with_hooks(text, hooks))?.line("32 events");
        said += &change(&places.user, true, |text| with_token(text, &token))?.line("the token");
    } else {
        let done = change(&places.user, true, |text| with_token(&with_hooks(text, hooks)?, &token));
        said += &done?.line("32 events and the token");
    }
    said += "Try it: weighbridge hooks check\n";
    Ok(said)
}

fn uninstall(scope: &ScopeArgs, places: &Places) -> Result<String, CliError> {
    let path = match scope {
        ScopeArgs { managed: true, .. } => places.managed_own(),
        ScopeArgs { project: true, .. } => places.project.clone(),
        _ => places.user.clone(),
    };
    if !path.exists() {
        return Ok(format!("{} is not there: nothing to take out\n", path.display()));
    }
    let done = change(&path, false, |text| without(text, scope.managed))?;
    let mut said = done.line("without our hooks");
    if scope.managed && done == Settled::Changed(path.clone()) && files::is_empty(&path) {
        std::fs::remove_file(&path)
            .map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))?;
        said = format!("{} is gone\n", path.display());
    }
    if scope.project {
        said += &format!(
            "The token stays in {}, where other projects may need it: `weighbridge hooks uninstall` \
             takes it out\n",
            places.user.display()
        );
    }
    Ok(said)
}
