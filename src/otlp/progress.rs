//! How far the export got: a small file, moved only after the collector has what it covers.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::calls::Unfinished;
use super::meters::Asked;

/// What the file holds.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Progress {
    /// The first entry whose spans and records were not taken.
    pub(super) next: u64,
    /// What the entries before it left unfinished.
    pub(super) calls: Unfinished,
    /// The same for metrics.
    pub(super) counted: Counted,
}

/// The same, lent for writing it.
#[derive(Debug, Serialize)]
pub(super) struct Saving<'a> {
    pub(super) next: u64,
    pub(super) calls: &'a Unfinished,
    pub(super) counted: &'a Counted,
}

/// How far metrics got.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Counted {
    /// The first entry that no taken post of metrics covers.
    pub(super) next: u64,
    /// Exchanges that were open there.
    pub(super) running: HashMap<u128, Asked>,
}

/// The file.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    path: PathBuf,
}

impl Cursor {
    pub(super) fn new(data_dir: &Path) -> Cursor {
        Cursor { path: data_dir.join("otlp.json") }
    }

    /// Where the export goes on. `None` at the first start.
    pub(super) fn load(&self) -> io::Result<Option<Progress>> {
        // A pipe under this name would be waited for without end.
        if fs::metadata(&self.path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::other("it is no regular file"));
        }
        match fs::read(&self.path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Moves the cursor: whole or not at all.
    pub(super) fn save(&self, progress: &Saving<'_>) -> io::Result<()> {
        let bytes = serde_json::to_vec(progress)?;
        let beside = self.path.with_extension("json.new");
        let mut options = File::options();
        let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        fs::rename(&beside, &self.path)
    }

    /// Keeps a file that cannot be used for whoever wants to know; says whether it could.
    pub(super) fn set_aside(&self) -> bool {
        fs::rename(&self.path, self.path.with_extension("json.rejected")).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let cursor = Cursor::new(dir.path());
        assert!(cursor.load().unwrap().is_none());
        for next in [7, 9] {
            let counted = Counted { next: next - 1, ..Counted::default() };
            let (calls, counted) = (&Unfinished::default(), &counted);
            cursor.save(&Saving { next, calls, counted }).unwrap();
        }
        let read = cursor.load().unwrap().unwrap();
        assert_eq!((read.next, read.counted.next), (9, 8));
        fs::write(dir.path().join("otlp.json"), "").unwrap();
        assert!(cursor.load().is_err(), "damage is not a first start");
        assert!(cursor.set_aside() && cursor.load().unwrap().is_none());
    }
}
