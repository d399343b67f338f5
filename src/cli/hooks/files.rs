//! The settings files of Claude Code: where they are, and how one is changed whole or not at all.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::super::{CliError, Surroundings};
use crate::app::random_hex;
use crate::hooks::settings::SettingsError;

/// The longest settings file that is read.
const SETTINGS_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Where administrators of this system put settings that nobody else can change.
const MANAGED_DIR: &str = if cfg!(target_os = "macos") {
    "/Library/Application Support/ClaudeCode"
} else {
    "/etc/claude-code"
};
/// Where the token is: nobody else may read it.
const PRIVATE_MODE: u32 = 0o600;
/// A new file without it.
const PUBLIC_MODE: u32 = 0o644;

/// Where Claude Code reads settings.
pub(super) struct Places {
    /// The user's own.
    pub(super) user: PathBuf,
    /// Of the project in this folder.
    pub(super) project: PathBuf,
    /// The user's own for this project.
    pub(super) local: PathBuf,
    /// The folder of managed settings.
    managed: PathBuf,
}

impl Places {
    pub(super) fn of(surroundings: &Surroundings) -> Result<Places, CliError> {
        let home = surroundings.get("HOME").map(|home| Path::new(home).join(".claude"));
        let user = surroundings.get("CLAUDE_CONFIG_DIR").map(PathBuf::from).or(home);
        let nowhere =
            || CliError::Usage("HOME is not set: set it, or CLAUDE_CONFIG_DIR".to_owned());
        let folder = std::env::current_dir()
            .map_err(|error| CliError::Failed(format!("the current folder: {error}")))?;
        let project = folder.join(".claude");
        Ok(Places {
            user: user.ok_or_else(nowhere)?.join("settings.json"),
            local: project.join("settings.local.json"),
            project: project.join("settings.json"),
            managed: PathBuf::from(MANAGED_DIR),
        })
    }

    /// Our own file among the managed settings.
    pub(super) fn managed_own(&self) -> PathBuf {
        self.managed.join("managed-settings.d/weighbridge.json")
    }

    /// All files of managed settings, in the order in which they are merged.
    pub(super) fn managed(&self) -> Vec<PathBuf> {
        let dropped = fs::read_dir(self.managed.join("managed-settings.d"));
        let mut files: Vec<PathBuf> =
            dropped.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        files.insert(0, self.managed.join("managed-settings.json"));
        files
    }
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Changed(PathBuf),
    AsItWas(PathBuf),
}

impl Settled {
    /// One line about it.
    pub(super) fn line(&self, what: &str) -> String {
        match self {
            Settled::Changed(path) => format!("{}: {what}\n", path.display()),
            Settled::AsItWas(path) => format!("{}: {what}, as before\n", path.display()),
        }
    }
}

/// A file's text; `None` where there is no file.
pub(super) fn read(path: &Path) -> io::Result<Option<String>> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = String::new();
    file.take(SETTINGS_BYTES_MAX.saturating_add(1)).read_to_string(&mut text)?;
    if text.len() as u64 > SETTINGS_BYTES_MAX {
        return Err(io::Error::other("it is longer than 16 MiB"));
    }
    Ok(Some(text))
}

/// Whether a file's text is an object with nothing in it.
pub(super) fn is_empty(path: &Path) -> bool {
    let text = read(path).ok().flatten().unwrap_or_default();
    text.chars().filter(|c| !c.is_whitespace()).eq("{}".chars())
}

/// Changes a settings file; `private`: a secret goes into it.
pub(super) fn change(
    path: &Path,
    private: bool,
    edit: impl FnOnce(&str) -> Result<String, SettingsError>,
) -> Result<Settled, CliError> {
    let failed = |error: io::Error| CliError::Failed(format!("{}: {error}", path.display()));
    // What is a link stays one: the file that it leads to is changed.
    let real = match fs::symlink_metadata(path) {
        Ok(_) => fs::canonicalize(path).map_err(failed)?,
        Err(_) => path.to_owned(),
    };
    let before = read(&real).map_err(failed)?;
    let old = before.clone().unwrap_or_default();
    let new = edit(&old).map_err(|error| CliError::Usage(format!("{} {error}", path.display())))?;
    // A new file ends like any other text file.
    let new = if before.is_none() { format!("{}\n", new.trim_end()) } else { new };
    let known = fs::metadata(&real).ok();
    let mode = match &known {
        _ if private => PRIVATE_MODE,
        Some(known) => known.mode() & 0o7777,
        None => PUBLIC_MODE,
    };
    let is_open = known.as_ref().is_some_and(|known| known.mode() & 0o7777 != mode);
    if before.as_ref() == Some(&new) && !is_open {
        return Ok(Settled::AsItWas(real));
    }
    let folder = real.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let temporary = folder.join(format!(".weighbridge-{}.new", random_hex(8)));
    let written = write(&temporary, &new, mode, known.as_ref()).and_then(|()| {
        // Claude Code writes this file, too.
        if read(&real)? != before {
            return Err(io::Error::other(
                "it has just been changed by somebody else; run it again",
            ));
        }
        fs::rename(&temporary, &real)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(failed)?;
    Ok(Settled::Changed(real))
}

fn write(path: &Path, text: &str, mode: u32, like: Option<&fs::Metadata>) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(PRIVATE_MODE).open(path)?;
    file.write_all(text.as_bytes())?;
    let own = file.metadata()?;
    if let Some(like) = like.filter(|like| (like.uid(), like.gid()) != (own.uid(), own.gid())) {
        fchown(&file, Some(like.uid()), Some(like.gid()))?;
    }
    // Once the owner is right, and whatever the umask says.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}
