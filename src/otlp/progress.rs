//! How far a signal got: a small file a signal, moved only after the collector has what it covers.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What the file holds.
#[derive(Debug, Deserialize, Serialize)]
struct Saved<S> {
    /// The first entry that was not exported.
    next: u64,
    /// What the entries before it left unfinished.
    state: S,
}

/// The place of one signal's cursor.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    path: PathBuf,
}

impl Cursor {
    pub(super) fn new(data_dir: &Path, signal: &str) -> Cursor {
        Cursor { path: data_dir.join(format!("otlp-{signal}.json")) }
    }

    /// Where the signal goes on, and what it left unfinished. `None` at the first start.
    pub(super) fn load<S: DeserializeOwned>(&self) -> io::Result<Option<(u64, S)>> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let saved: Saved<S> = serde_json::from_slice(&bytes)?;
        Ok(Some((saved.next, saved.state)))
    }

    /// Moves the cursor: whole or not at all.
    pub(super) fn save<S: Serialize>(&self, next: u64, state: &S) -> io::Result<()> {
        let bytes = serde_json::to_vec(&Saved { next, state })?;
        let beside = self.path.with_extension("json.new");
        let mut options = File::options();
        let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        fs::rename(&beside, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let cursor = Cursor::new(dir.path(), "traces");
        assert!(cursor.load::<Vec<u8>>().unwrap().is_none());
        cursor.save(7, &vec![1_u8, 2]).unwrap();
        cursor.save(9, &vec![3_u8]).unwrap();
        assert_eq!(cursor.load().unwrap(), Some((9, vec![3_u8])));
        fs::write(dir.path().join("otlp-traces.json"), "").unwrap();
        assert!(cursor.load::<Vec<u8>>().is_err(), "damage is not a first start");
    }
}
