//! Which notices a channel has taken or given up: a small file, written whole.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::NotifyError;
use crate::keys::make_private_dir;

/// The folder in the data directory.
const FOLDER: &str = "notify";

/// As it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Places {
    /// All before this place in the ledger are settled.
    upto: u64,
    /// These from there on, too.
    settled: BTreeSet<u64>,
}

/// What is settled.
#[derive(Debug)]
pub(super) struct Settled {
    path: PathBuf,
    places: Places,
}

impl Settled {
    /// Reads the file of a channel; one that is new begins at `head`.
    pub(super) fn open(data_dir: &Path, channel: &str, head: u64) -> Result<Settled, NotifyError> {
        let folder = data_dir.join(FOLDER);
        let path = folder.join(format!("{channel}.json"));
        let failed = |source| NotifyError::File { path: path.display().to_string(), source };
        make_private_dir(&folder).map_err(failed)?;
        let places = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| failed(e.into()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let places = Places { upto: head, settled: BTreeSet::new() };
                write(&path, &places).map_err(failed)?;
                places
            }
            Err(error) => return Err(failed(error)),
        };
        Ok(Settled { path, places })
    }

    pub(super) fn contains(&self, sequence: u64) -> bool {
        sequence < self.places.upto || self.places.settled.contains(&sequence)
    }

    /// One is settled; `first_pending` is the first that is not. Gives what writes it down: that
    /// blocks.
    pub(super) fn settle(
        &mut self,
        sequence: u64,
        first_pending: Option<u64>,
    ) -> impl FnOnce() -> io::Result<()> + Send + 'static {
        let Places { upto, settled } = &mut self.places;
        settled.insert(sequence);
        // Nothing before the first that waits is open any more.
        let last = settled.last().copied().unwrap_or(sequence).saturating_add(1);
        *upto = (*upto).max(first_pending.unwrap_or(last).min(last));
        *settled = settled.split_off(upto);
        let (path, places) = (self.path.clone(), self.places.clone());
        move || write(&path, &places)
    }
}

fn write(path: &Path, places: &Places) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(places)?)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_is_known_again_and_the_file_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let mut settled = Settled::open(dir.path(), "ops", 10).unwrap();
        assert!(settled.contains(9) && !settled.contains(10));
        settled.settle(14, Some(12))().unwrap();
        let again = Settled::open(dir.path(), "ops", 99).unwrap();
        assert!(again.contains(14) && again.contains(11) && !again.contains(12));
        settled.settle(12, Some(20))().unwrap();
        settled.settle(20, None)().unwrap();
        let again = Settled::open(dir.path(), "ops", 99).unwrap();
        assert_eq!(again.places, Places { upto: 21, settled: BTreeSet::new() });
        fs::write(dir.path().join("notify/ops.json"), "{half").unwrap();
        let error = Settled::open(dir.path(), "ops", 0).unwrap_err().to_string();
        assert!(error.contains("ops.json"), "{error}");
    }
}
