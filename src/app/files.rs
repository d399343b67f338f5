//! Small files of our own in the data directory: made once, readable by their owner only.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use uuid::Uuid;

use crate::audit::merkle::Hash;

/// The instance's id: made at its first start and bound to its data directory.
pub(super) fn instance_id(dir: &Path) -> Result<String> {
    keep(dir, "instance", || format!("wb-{}", random_hex(6)))
}

/// A token made at the first start, stable across restarts, readable by its owner only.
pub(super) fn token_file(dir: &Path, name: &str) -> Result<String> {
    keep(dir, name, || random_hex(32))
}

/// The token for hook posts.
///
/// # Errors
///
/// It cannot be read or made.
pub fn hook_token(dir: &Path) -> Result<String> {
    token_file(dir, "hook.token")
}

/// 32 random bytes, made at the first start.
pub(super) fn secret_file(dir: &Path, name: &str) -> Result<[u8; 32]> {
    let hex = keep(dir, name, || random_hex(32))?;
    let hash = Hash::from_hex(&hex);
    let wrong = || anyhow!("{} is damaged; restore it from a backup", dir.join(name).display());
    hash.map(|hash| *hash.as_bytes()).ok_or_else(wrong)
}

/// The key that seals the keys of kept contents.
///
/// # Errors
///
/// It cannot be read or made.
pub fn content_key(dir: &Path) -> Result<[u8; 32]> {
    secret_file(dir, "content.key")
}

/// The key of contents that were kept before; none is made.
///
/// # Errors
///
/// It is not there, or cannot be read.
pub fn existing_content_key(dir: &Path) -> Result<[u8; 32]> {
    existing_secret(dir, "content.key", "without it contents are neither read nor erased")
}

/// The key that names from outside were hashed with; none is made.
///
/// # Errors
///
/// It is not there, or cannot be read.
pub fn existing_identifier_key(dir: &Path) -> Result<[u8; 32]> {
    existing_secret(
        dir,
        "identifier.key",
        "without it a session is found by its recorded name only",
    )
}

fn existing_secret(dir: &Path, name: &str, why: &str) -> Result<[u8; 32]> {
    let path = dir.join(name);
    anyhow::ensure!(
        path.exists(),
        "{} is missing; put it back from its backup: {why}",
        path.display()
    );
    secret_file(dir, name)
}

/// Reads a small file of our own, or makes it (0600).
fn keep(dir: &Path, name: &str, make: impl FnOnce() -> String) -> Result<String> {
    let path = dir.join(name);
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    }
    let text = make();
    write_private(&path, format!("{text}\n").as_bytes())?;
    Ok(text)
}

/// Writes a file that only its owner can read, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = PathBuf::from(format!("{}.new", path.display()));
    let write = || -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

/// Random bytes as hexadecimal digits.
pub fn random_hex(bytes: usize) -> String {
    let mut random = vec![0_u8; bytes];
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        // Without the system's random source TLS could not start either; a time-ordered UUID is
        // unique, which is all that names need.
        return Uuid::now_v7().simple().to_string();
    }
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
