//! The instance's keys: `audit/keys/NNNN.key` (private, one at a time) and `NNNN.vkey` (public).
//!
//! A `.vkey` says from which leaf on its key signs, and from the second on the key before signs
//! these lines. It is written last: a `.key` without one was never used.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail, ensure};

use super::files;
use crate::audit::note::{KeyKind, Note, SigningKey, Verdict};
use crate::audit::succession::Successor;
use crate::keys::make_private_dir;

const DIGITS: usize = 4;
const PRIVATE: &str = "key";
const PUBLIC: &str = "vkey";
const SEED_BYTES: usize = 32;

/// The key that signs now, and all that ever did.
pub(super) struct Keys {
    folder: PathBuf,
    origin: String,
    number: usize,
    current: SigningKey,
    known: Vec<Successor>,
}

fn path(folder: &Path, number: usize, extension: &str) -> PathBuf {
    folder.join(format!("{number:0DIGITS$}.{extension}"))
}

/// All public keys of a data directory, oldest first, each signed by the one before.
fn successors(folder: &Path, origin: &str) -> Result<Vec<Successor>> {
    let mut known: Vec<Successor> = Vec::new();
    loop {
        let path = path(folder, known.len() + 1, PUBLIC);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(known),
            read => read.with_context(|| path.display().to_string())?,
        };
        let wrong = || {
            let path = path.display();
            format!("{path} is damaged or not signed by the key before; restore it from a backup")
        };
        let key = Successor::read(&text, known.last()).with_context(wrong)?;
        let name = key.verifier.name();
        ensure!(name == origin, "{} is a key of {name}", path.display());
        known.push(key);
    }
}

impl Keys {
    /// Opens the keys of a data directory; at the first start one is made.
    pub(super) fn open(data_dir: &Path, origin: &str) -> Result<Keys> {
        let folder = files::keys(data_dir);
        let witness = files::witnessed(data_dir, "");
        let folders = [Some(folder.as_path()), witness.parent()];
        for folder in folders.into_iter().flatten().chain([&*files::checkpoints(data_dir)]) {
            make_private_dir(folder).with_context(|| folder.display().to_string())?;
        }
        files::sync_folder(&folder)?;
        files::sync_folder(&files::folder(data_dir))?;
        let mut known = successors(&folder, origin)?;
        let number = known.len().max(1);
        let current = if known.is_empty() {
            let key = made(&folder, number, origin)?;
            let first = Successor { verifier: key.verifier().clone(), from: 0 };
            files::write_whole(&path(&folder, number, PUBLIC), first.write(None).as_bytes())?;
            known.push(first);
            key
        } else {
            let path = path(&folder, number, PRIVATE);
            let bytes = fs::read(&path).with_context(|| {
                format!(
                    "{} cannot be read; put it back from its backup: nothing is signed without it",
                    path.display()
                )
            })?;
            SigningKey::from_pkcs8(origin, KeyKind::Note, &bytes)
                .with_context(|| path.display().to_string())?
        };
        if known.last().map(|last| &last.verifier) != Some(current.verifier()) {
            bail!(
                "{} does not belong to its .vkey; restore both from a backup",
                path(&folder, number, PRIVATE).display()
            );
        }
        let origin = origin.to_owned();
        Ok(Keys { folder, origin, number, current, known })
    }

    /// The key that signs now.
    pub(super) const fn current(&self) -> &SigningKey {
        &self.current
    }

    /// The leaf from which on it signs.
    pub(super) fn from(&self) -> u64 {
        self.known.last().map_or(0, |last| last.from)
    }

    /// When the key was made, nanoseconds since 1970 (UTC).
    pub(super) fn made_ns(&self) -> Option<u64> {
        let file = fs::metadata(path(&self.folder, self.number, PUBLIC)).ok()?;
        let made = file.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        u64::try_from(made.as_nanos()).ok()
    }

    /// Whether a key of this instance has signed a note.
    pub(super) fn signed(&self, note: &Note) -> bool {
        let is = |key: &Successor| note.verdict(&key.verifier) == Verdict::Signed(None);
        self.known.iter().any(is)
    }

    /// Makes the key that comes next; [`Keys::follow`] lets it sign.
    pub(super) fn next(&self) -> Result<SigningKey> {
        made(&self.folder, self.number + 1, &self.origin)
    }

    /// Signs with `next` from the leaf at `from` on. The private key before is destroyed: who
    /// takes the machine over later cannot sign what was.
    pub(super) fn follow(&mut self, next: SigningKey, from: u64) -> Result<()> {
        let successor = Successor { verifier: next.verifier().clone(), from };
        let public = path(&self.folder, self.number + 1, PUBLIC);
        files::write_whole(&public, successor.write(Some(&self.current)).as_bytes())?;
        let before = path(&self.folder, self.number, PRIVATE);
        self.number += 1;
        self.known.push(successor);
        self.current = next;
        if let Err(error) = fs::remove_file(&before) {
            tracing::warn!(%error, path = %before.display(), "an old private key stays; remove it");
        }
        Ok(())
    }
}

/// Makes a private key, or takes the one that a process made that ended before it was used.
fn made(folder: &Path, number: usize, origin: &str) -> Result<SigningKey> {
    let path = path(folder, number, PRIVATE);
    let unused = fs::read(&path).ok();
    let unused = unused.and_then(|b| SigningKey::from_pkcs8(origin, KeyKind::Note, &b).ok());
    if let Some(key) = unused {
        return Ok(key);
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut seed = [0; SEED_BYTES];
    if aws_lc_rs::rand::fill(&mut seed).is_err() {
        bail!("the system gives no random bytes: no key can be made");
    }
    let key = SigningKey::from_seed(origin, KeyKind::Note, &seed)?;
    files::write_new(&path, &key.to_pkcs8()?)
        .with_context(|| format!("{} cannot be made", path.display()))?;
    Ok(key)
}
