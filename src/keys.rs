//! The keys file: virtual keys and known fingerprints, and who pays for each.
//!
//! `<data dir>/keys.json` (0600), replaced atomically by `weighbridge keys …` and read again by a
//! running sidecar when it changes. No key is stored: a virtual key as its SHA-256, any other
//! credential as its fingerprint.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use crate::accounting::attribution::{Attribution, CostCentre, CredentialHash, VirtualKey};
use crate::audit::merkle::leaf_hash;

/// Most keys and fingerprints a file may hold, each: bounds memory and start-up.
pub const KEYS_MAX: usize = 100_000;

/// The keys file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file is not a keys file.
    #[error("{path} is not a keys file ({detail}); restore it from a backup")]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

/// What the file holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// Virtual keys, in the order they were made.
    #[serde(default)]
    pub keys: Vec<StoredKey>,
    /// Known fingerprints.
    #[serde(default)]
    pub fingerprints: Vec<MappedFingerprint>,
}

/// A virtual key as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredKey {
    /// The first 16 digits of the hash: its name in entries, reports and commands.
    pub fingerprint: String,
    /// SHA-256 of the whole key, hexadecimal.
    pub hash: String,
    /// Who pays.
    #[serde(flatten)]
    pub centre: CostCentre,
    /// When it was made (RFC 3339, UTC).
    pub created: String,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
}

/// A fingerprint somebody mapped.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappedFingerprint {
    /// The credential's fingerprint, as `exchanges` and `report --by key` show it.
    pub fingerprint: String,
    /// Who pays.
    #[serde(flatten)]
    pub centre: CostCentre,
    /// When it was mapped (RFC 3339, UTC).
    pub created: String,
}

/// Where the file is.
#[must_use]
pub fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("keys.json")
}

/// Reads the file; one that does not exist is empty.
pub fn read(path: &Path) -> Result<KeyFile, KeysError> {
    let (bytes, _) = state(path)?;
    parse(path, bytes.as_deref())
}

fn parse(path: &Path, bytes: Option<&[u8]>) -> Result<KeyFile, KeysError> {
    let Some(bytes) = bytes else { return Ok(KeyFile::default()) };
    let format = |detail: String| KeysError::Format { path: path.to_owned(), detail };
    let file: KeyFile = serde_json::from_slice(bytes).map_err(|error| format(error.to_string()))?;
    if file.keys.len() > KEYS_MAX || file.fingerprints.len() > KEYS_MAX {
        return Err(format(format!("more than {KEYS_MAX} keys")));
    }
    if let Some(key) = file.keys.iter().find(|k| CredentialHash::from_hex(&k.hash).is_none()) {
        return Err(format(format!("the hash of key {} is not SHA-256", key.fingerprint)));
    }
    Ok(file)
}

/// The file's bytes, where it is there, and their digest: of one and the same file.
fn state(path: &Path) -> Result<(Option<Vec<u8>>, Digest), KeysError> {
    let failed = |source| KeysError::Io { path: path.to_owned(), source };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((None, Digest { hash: leaf_hash(b"").to_string(), uid: None }));
        }
        Err(source) => return Err(failed(source)),
    };
    let (mut bytes, uid) = (Vec::new(), file.metadata().map_err(failed)?.uid());
    file.read_to_end(&mut bytes).map_err(failed)?;
    let hash = leaf_hash(&bytes).to_string();
    Ok((Some(bytes), Digest { hash, uid: Some(uid) }))
}

/// Makes a data directory that only its owner can enter. One that exists is left as it is.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Changes the file under a lock, so that two commands at once lose nothing.
pub fn edit<T>(data_dir: &Path, change: impl FnOnce(&mut KeyFile) -> T) -> Result<T, KeysError> {
    let path = path_in(data_dir);
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| KeysError::Io { path, source }
    };
    make_private_dir(data_dir).map_err(io(data_dir))?;
    let lock_path = data_dir.join("keys.lock");
    let mut private = OpenOptions::new();
    private.write(true).create(true).truncate(false).mode(0o600);
    let lock = private.open(&lock_path).map_err(io(&lock_path))?;
    lock.lock().map_err(io(&lock_path))?;
    let mut file = read(&path)?;
    let result = change(&mut file);
    let temporary = data_dir.join("keys.json.new");
    let mut options = OpenOptions::new();
    let mut out = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(io(&temporary))?;
    serde_json::to_writer_pretty(&mut out, &file)
        .map_err(io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.sync_all())
        .map_err(io(&temporary))?;
    fs::rename(&temporary, &path).map_err(io(&path))?;
    Ok(result)
}

impl KeyFile {
    /// The rules that follow from the file.
    #[must_use]
    pub fn attribution(&self) -> Attribution {
        let keys = self.keys.iter().filter_map(|key| {
            Some(VirtualKey {
                hash: CredentialHash::from_hex(&key.hash)?,
                centre: key.centre.clone(),
                revoked: key.revoked.is_some(),
            })
        });
        let mapped = self.fingerprints.iter().map(|m| (m.fingerprint.clone(), m.centre.clone()));
        Attribution::new(keys, mapped)
    }
}

/// What tells one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileVersion {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

/// One state of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Hash of its bytes; of none where there is no file.
    pub hash: String,
    /// Who owns it, which is who replaced it last.
    pub uid: Option<u32>,
}

/// The file's state now.
///
/// # Errors
///
/// It is there and cannot be read.
pub fn digest(data_dir: &Path) -> Result<Digest, KeysError> {
    Ok(state(&path_in(data_dir))?.1)
}

/// The rules in force, read again when the file changes.
#[derive(Debug)]
pub struct LiveKeys {
    data_dir: PathBuf,
    attribution: ArcSwap<Attribution>,
    version: Mutex<Option<FileVersion>>,
    /// What the ledger knows of, and what holds.
    digests: Mutex<(Digest, Digest)>,
}

impl LiveKeys {
    /// Reads the file for the first time.
    pub fn open(data_dir: &Path) -> Result<LiveKeys, KeysError> {
        let path = path_in(data_dir);
        let version = Mutex::new(file_version(&path));
        let (bytes, digest) = state(&path)?;
        let attribution = ArcSwap::from_pointee(parse(&path, bytes.as_deref())?.attribution());
        let digests = Mutex::new((digest.clone(), digest));
        Ok(LiveKeys { data_dir: data_dir.to_owned(), attribution, version, digests })
    }

    /// The rules in force now.
    #[must_use]
    pub fn current(&self) -> Arc<Attribution> {
        self.attribution.load_full()
    }

    /// Reads the file again where it has changed; tells whether it has. An unreadable file leaves
    /// the old rules in force.
    pub fn refresh(&self) -> Result<bool, KeysError> {
        let mut version = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        let path = path_in(&self.data_dir);
        let now = file_version(&path);
        if *version == now {
            return Ok(false);
        }
        let (bytes, digest) = state(&path)?;
        self.attribution.store(Arc::new(parse(&path, bytes.as_deref())?.attribution()));
        *version = now;
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).1 = digest;
        Ok(true)
    }

    /// What changed since the last call, to be written down.
    #[must_use]
    pub fn change(&self) -> Option<Change> {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, holds) = digests.clone();
        digests.0 = holds.clone();
        (known.hash != holds.hash).then_some(Change { before: known, after: holds })
    }
}

/// The file was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What held until now.
    pub before: Digest,
    /// What holds from now on.
    pub after: Digest,
}

/// Which version of a file is there; `None` where none is.
#[must_use]
pub fn file_version(path: &Path) -> Option<FileVersion> {
    let metadata = fs::metadata(path).ok()?;
    let (modified, bytes, inode) = (metadata.modified().ok(), metadata.len(), metadata.ino());
    Some(FileVersion { modified, bytes, inode })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::attribution::Payer;

    fn stored(secret: &[u8], team: &str) -> StoredKey {
        let hash = CredentialHash::of(secret);
        StoredKey {
            fingerprint: hash.fingerprint(),
            hash: hash.to_hex(),
            centre: CostCentre { team: team.to_owned(), user: None, project: None },
            created: "2026-11-22T00:00:00Z".to_owned(),
            revoked: None,
        }
    }

    #[test]
    fn a_running_sidecar_sees_new_keys_and_revocations() {
        let dir = tempfile::tempdir().unwrap();
        let live = LiveKeys::open(dir.path()).unwrap();
        let payer =
            |live: &LiveKeys| live.current().resolve(b"wbk_one", &CredentialHash::of(b"wbk_one"));
        assert_eq!(payer(&live), Payer::InvalidKey);
        edit(dir.path(), |file| file.keys.push(stored(b"wbk_one", "a"))).unwrap();
        assert!(live.refresh().unwrap());
        let change = live.change().unwrap();
        assert_ne!(change.before.hash, change.after.hash);
        assert!(matches!(payer(&live), Payer::Virtual(centre) if centre.team == "a"));
        edit(dir.path(), |file| file.keys[0].revoked = Some("now".into())).unwrap();
        assert!(live.refresh().unwrap() && !live.refresh().unwrap());
        assert_eq!(live.change().unwrap().before, change.after);
        assert_eq!(live.change(), None);
        assert!(matches!(payer(&live), Payer::RevokedKey(_)));
        let text = fs::read_to_string(path_in(dir.path())).unwrap();
        assert!(!text.contains("wbk_one"), "no key is stored");
    }

    #[test]
    fn a_broken_file_leaves_the_old_rules_in_force() {
        let dir = tempfile::tempdir().unwrap();
        edit(dir.path(), |file| file.keys.push(stored(b"wbk_one", "a"))).unwrap();
        let live = LiveKeys::open(dir.path()).unwrap();
        fs::write(path_in(dir.path()), "{half").unwrap();
        assert!(live.refresh().is_err());
        let payer = live.current().resolve(b"wbk_one", &CredentialHash::of(b"wbk_one"));
        assert!(matches!(payer, Payer::Virtual(_)));
    }
}
