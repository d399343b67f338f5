//! `weighbridge keys`: virtual keys and known fingerprints. Works on a running sidecar.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{CliError, Surroundings};
use crate::accounting::attribution::{CostCentre, CredentialHash, VIRTUAL_KEY_PREFIX};
use crate::app::random_hex;
use crate::clock::Clock;
use crate::keys::{self, KeyFile, KeysError, MappedFingerprint, StoredKey};
use crate::report::render::table;

/// Arguments of `keys`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weighbridge keys add --team cardiology --user ada\n  \
                        weighbridge keys map 1f8a0c2d3e4b5a69 --team radiology")]
pub struct KeysArgs {
    #[command(subcommand)]
    action: Action,
    /// Data directory [default: $XDG_STATE_HOME/weighbridge, else ~/.local/state/weighbridge]
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a virtual key; it is shown once
    #[command(after_help = "Example:\n  weighbridge keys add --team cardiology --user ada")]
    Add(CentreArgs),
    /// Say who pays for a credential that passes through
    #[command(after_help = "Example:\n  weighbridge keys map 1f8a0c2d3e4b5a69 --team radiology")]
    Map {
        /// As `report --by key` shows it
        fingerprint: String,
        #[command(flatten)]
        centre: CentreArgs,
    },
    /// All keys, without the secrets: they are not stored
    #[command(after_help = "Example:\n  weighbridge keys list --format json")]
    List {
        /// table or json
        #[arg(long, default_value = "table")]
        format: String,
    },
    /// Replace a virtual key by a new one for the same team; the old one ends at once
    #[command(after_help = "Example:\n  weighbridge keys rotate 1f8a0c2d3e4b5a69")]
    Rotate {
        /// The key's fingerprint
        fingerprint: String,
    },
    /// End a virtual key or a mapping
    #[command(after_help = "Example:\n  weighbridge keys revoke 1f8a0c2d3e4b5a69")]
    Revoke {
        /// The key's fingerprint
        fingerprint: String,
    },
}

/// Who pays.
#[derive(Debug, Args)]
struct CentreArgs {
    /// The team
    #[arg(long)]
    team: String,
    /// The user
    #[arg(long)]
    user: Option<String>,
    /// The project
    #[arg(long)]
    project: Option<String>,
}

impl CentreArgs {
    fn centre(&self) -> Result<CostCentre, CliError> {
        let named = [("team", Some(&self.team)), ("user", self.user.as_ref())];
        for (flag, value) in named.into_iter().chain([("project", self.project.as_ref())]) {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._:/@-".contains(c);
            if value.is_some_and(|v| v.is_empty() || v.len() > 128 || !v.chars().all(plain)) {
                return Err(CliError::Usage(format!(
                    "--{flag} {:?}: write 1 to 128 letters, digits or . _ : / @ -",
                    value.map_or("", String::as_str)
                )));
            }
        }
        let (team, user, project) = (self.team.clone(), self.user.clone(), self.project.clone());
        Ok(CostCentre { team, user, project })
    }
}

impl From<KeysError> for CliError {
    fn from(error: KeysError) -> CliError {
        CliError::Failed(error.to_string())
    }
}

impl KeysArgs {
    pub(super) fn run(
        &self,
        output: &mut dyn Write,
        surroundings: &Surroundings,
    ) -> Result<(), CliError> {
        let dir = self.data_dir.clone().unwrap_or_else(|| surroundings.data_dir());
        let now = now();
        let text = match &self.action {
            Action::Add(centre) => add(&dir, centre.centre()?, now)?,
            Action::Map { fingerprint, centre } => map(&dir, fingerprint, centre.centre()?, now)?,
            Action::List { format } => {
                list(&keys::read(&keys::path_in(&dir))?, format, surroundings.terminal)?
            }
            Action::Rotate { fingerprint } => rotate(&dir, fingerprint, now)?,
            Action::Revoke { fingerprint } => revoke(&dir, fingerprint, now)?,
        };
        CliError::written(output.write_all(text.as_bytes()))
    }
}

pub(super) fn now() -> String {
    let wall = i128::from(Clock::start().stamp().wall_ns);
    let moment = jiff::Timestamp::from_nanosecond(wall).unwrap_or_default();
    format!("{moment:.0}")
}

/// A new key, 256 random bits, and what is stored of it.
pub(super) fn new_key(centre: CostCentre, now: String) -> (String, StoredKey) {
    let secret = format!("{VIRTUAL_KEY_PREFIX}{}", random_hex(32));
    let hash = CredentialHash::of(secret.as_bytes());
    let (fingerprint, hash) = (hash.fingerprint(), hash.to_hex());
    (secret, StoredKey { fingerprint, hash, centre, created: now, revoked: None })
}

fn shown_once(secret: &str, fingerprint: &str, centre: &CostCentre) -> String {
    let team = &centre.team;
    format!(
        "{secret}\n\nKey {fingerprint} for team {team}. It is shown this once and not stored: \
         give it to the client as its API key, for example\n  export ANTHROPIC_API_KEY={secret}\n"
    )
}

fn add(dir: &Path, centre: CostCentre, now: String) -> Result<String, CliError> {
    let (secret, stored) = new_key(centre, now);
    let text = shown_once(&secret, &stored.fingerprint, &stored.centre);
    keys::edit(dir, |file| file.keys.push(stored))?;
    Ok(text)
}

fn map(dir: &Path, fingerprint: &str, centre: CostCentre, now: String) -> Result<String, CliError> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if fingerprint.len() != 16 || !fingerprint.bytes().all(hex) {
        return Err(CliError::Usage(format!(
            "{fingerprint:?} is not a fingerprint: give the 16 digits that `report --by key` \
             shows, never the key itself"
        )));
    }
    let text = format!("{fingerprint} is paid by team {}\n", centre.team);
    let mapped = MappedFingerprint { fingerprint: fingerprint.to_owned(), centre, created: now };
    keys::edit(dir, |file| {
        file.fingerprints.retain(|known| known.fingerprint != mapped.fingerprint);
        file.fingerprints.push(mapped);
    })?;
    Ok(text)
}

fn rotate(dir: &Path, fingerprint: &str, now: String) -> Result<String, CliError> {
    keys::edit(dir, |file| {
        let old = live_key(file, fingerprint)?;
        old.revoked = Some(now.clone());
        let (secret, stored) = new_key(old.centre.clone(), now);
        let text = shown_once(&secret, &stored.fingerprint, &stored.centre);
        file.keys.push(stored);
        Ok(text)
    })?
}

fn revoke(dir: &Path, fingerprint: &str, now: String) -> Result<String, CliError> {
    keys::edit(dir, |file| {
        let before = file.fingerprints.len();
        file.fingerprints.retain(|mapped| mapped.fingerprint != fingerprint);
        if file.fingerprints.len() < before {
            return Ok(format!("{fingerprint} is mapped no more\n"));
        }
        live_key(file, fingerprint)?.revoked = Some(now);
        Ok(format!("{fingerprint} is revoked; a running sidecar refuses it within a second\n"))
    })?
}

fn live_key<'a>(file: &'a mut KeyFile, fingerprint: &str) -> Result<&'a mut StoredKey, CliError> {
    let unknown =
        || CliError::Usage(format!("no valid key {fingerprint:?}: see `weighbridge keys list`"));
    let is_it = |key: &&mut StoredKey| key.fingerprint == fingerprint && key.revoked.is_none();
    file.keys.iter_mut().find(is_it).ok_or_else(unknown)
}

fn list(file: &KeyFile, format: &str, terminal: bool) -> Result<String, CliError> {
    if format == "json" {
        let keys: Vec<_> = file
            .keys
            .iter()
            .map(|k| (&k.fingerprint, "virtual", &k.centre, &k.created, k.revoked.as_ref()))
            .chain(
                file.fingerprints
                    .iter()
                    .map(|m| (&m.fingerprint, "mapped", &m.centre, &m.created, None)),
            )
            .map(|(fingerprint, kind, centre, created, revoked)| {
                serde_json::json!({"fingerprint": fingerprint, "kind": kind, "team": centre.team,
                    "user": centre.user, "project": centre.project, "created": created,
                    "revoked": revoked})
            })
            .collect();
        return Ok(serde_json::Value::Array(keys).to_string() + "\n");
    }
    if format != "table" {
        return Err(CliError::Usage(format!("--format {format:?}: write table or json")));
    }
    if file.keys.is_empty() && file.fingerprints.is_empty() {
        return Ok("No keys yet: `weighbridge keys add --team TEAM` makes one.\n".to_owned());
    }
    let header = ["key", "kind", "team", "user", "project", "created", "revoked"];
    let cell = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    let row = |fingerprint: &String, kind: &str, centre: &CostCentre, rest: [String; 2]| {
        let (user, project) = (cell(&centre.user), cell(&centre.project));
        let first = [fingerprint.clone(), kind.to_owned(), centre.team.clone(), user, project];
        first.into_iter().chain(rest).collect::<Vec<String>>()
    };
    let keys = file.keys.iter().map(|key| {
        let rest = [key.created.clone(), cell(&key.revoked)];
        row(&key.fingerprint, "virtual", &key.centre, rest)
    });
    let mapped = file.fingerprints.iter().map(|mapped| {
        row(&mapped.fingerprint, "mapped", &mapped.centre, [mapped.created.clone(), cell(&None)])
    });
    let rows: Vec<Vec<String>> = keys.chain(mapped).collect();
    Ok(table(&header.map(str::to_owned), &rows, header.len(), terminal) + "\n")
}
