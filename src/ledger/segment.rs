//! The files: one segment for each 64 MiB or day, and beside each what came before it.
//!
//! A line is complete when its newline is there. A line that would begin with a NUL does not exist:
//! the reserve is a segment that was filled with zeros beforehand.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::disk::Disk;
use crate::audit::merkle::{Frontier, Hash};
use crate::record::entry::InForce;

/// Mode of the files that are written: nobody but the owner.
pub(super) const FILE_MODE: u32 = 0o600;
/// Mode of a sealed segment.
const SEALED_MODE: u32 = 0o400;
/// Mode of the directory of segments.
const DIRECTORY_MODE: u32 = 0o700;

/// The directory that holds the segments.
pub(super) fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join("segments")
}

/// The segment that begins with index `first`.
pub(super) fn path(data_dir: &Path, first: u64) -> PathBuf {
    directory(data_dir).join(format!("{first:020}.jsonl"))
}

/// Makes the directory of segments where it is missing.
pub(super) fn make_directory(data_dir: &Path) -> io::Result<()> {
    match fs::create_dir(directory(data_dir)) {
        Ok(()) => {
            fs::set_permissions(directory(data_dir), Permissions::from_mode(DIRECTORY_MODE))?;
            File::open(data_dir)?.sync_all()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// First indices of all segments, ascending.
pub(super) fn list(data_dir: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(directory(data_dir))? {
        let name = entry?.file_name();
        let first = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
        firsts.extend(first.filter(|n| n.len() == 20).and_then(|n| n.parse::<u64>().ok()));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// The segment that is written.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    /// Bytes of complete lines.
    pub(super) length: u64,
    /// Size of the file where it was preallocated: this segment is the reserve.
    pub(super) capacity: Option<u64>,
    /// Day (UTC) of its first line, since 1970.
    pub(super) day: Option<u64>,
}

impl Segment {
    /// A new, empty file.
    pub(super) fn create(data_dir: &Path, first: u64) -> io::Result<Segment> {
        let path = path(data_dir, first);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(FILE_MODE).open(&path)?;
        Ok(Segment { file: Arc::new(file), path, length: 0, capacity: None, day: None })
    }

    /// A file that is there, to go on writing behind its first `length` bytes.
    pub(super) fn reopen(data_dir: &Path, first: u64, length: u64) -> io::Result<Segment> {
        let path = path(data_dir, first);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(Segment { file: Arc::new(file), path, length, capacity: None, day: None })
    }

    /// Appends a line. After an error nothing of it is left, unless that fails too: the second
    /// value says so, and then the segment must not be written any more.
    pub(super) fn append(&mut self, disk: &Disk, line: &[u8]) -> Result<(), (io::Error, bool)> {
        if let Err(error) = disk.write(&self.file, line, self.length) {
            let undone = match self.capacity {
                None => self.file.set_len(self.length),
                Some(_) => disk.write(&self.file, &vec![0; line.len()], self.length),
            };
            return Err((error, undone.is_ok()));
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Bytes that are preallocated and not used.
    pub(super) fn room(&self) -> u64 {
        self.capacity.unwrap_or_default().saturating_sub(self.length)
    }

    /// Zeros all behind the last line, up to `size`.
    pub(super) fn clear_tail(&self, disk: &Disk, size: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let mut offset = self.length;
        while offset < size {
            let length = ZEROS.len().min(usize::try_from(size - offset).unwrap_or(usize::MAX));
            disk.write(&self.file, ZEROS.get(..length).unwrap_or_default(), offset)?;
            offset += length as u64;
        }
        Ok(())
    }

    /// Gives back what was preallocated and not used.
    pub(super) fn shrink(&mut self) -> io::Result<()> {
        if self.capacity.is_some() {
            self.file.set_len(self.length)?;
            self.capacity = None;
        }
        Ok(())
    }

    /// Makes the file read-only. It stays valid where that fails: the mode guards against slips.
    pub(super) fn seal(&self) {
        let _ = self.file.set_permissions(Permissions::from_mode(SEALED_MODE));
    }

    /// Whether the file still stands under its name: a removed directory takes writes in silence.
    pub(super) fn is_in_place(&self) -> bool {
        match (self.file.metadata(), fs::metadata(&self.path)) {
            (Ok(ours), Ok(theirs)) => ours.ino() == theirs.ino() && ours.dev() == theirs.dev(),
            _ => false,
        }
    }
}

/// Whether a segment was sealed.
pub(super) fn is_sealed(data_dir: &Path, first: u64) -> io::Result<bool> {
    Ok(fs::metadata(path(data_dir, first))?.mode() & 0o200 == 0)
}

/// What stands before a segment's first line: a restart reads the last segment only.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) tree: Frontier,
    pub(super) previous: Hash,
    /// Exchanges that are open, and the index that opened each.
    pub(super) open: HashMap<String, u64>,
    /// What the last process to begin, and changes since, put in force.
    pub(super) in_force: Option<InForce>,
}

/// A [`Start`] as JSON.
#[derive(Serialize, Deserialize)]
struct StartFile {
    first: u64,
    frontier: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_force: Option<InForce>,
    open: HashMap<String, u64>,
    previous: String,
}

impl Start {
    /// Before the first line of all.
    pub(super) fn genesis() -> Start {
        let (tree, open) = (Frontier::default(), HashMap::new());
        Start { tree, previous: Hash::ZERO, open, in_force: None }
    }

    fn path(data_dir: &Path, first: u64) -> PathBuf {
        directory(data_dir).join(format!("{first:020}.start"))
    }

    /// Writes it whole or not at all.
    pub(super) fn write(&self, data_dir: &Path) -> io::Result<()> {
        let file = StartFile {
            first: self.tree.size(),
            frontier: self.tree.roots().iter().map(Hash::to_string).collect(),
            in_force: self.in_force.clone(),
            open: self.open.clone(),
            previous: self.previous.to_string(),
        };
        let path = Self::path(data_dir, file.first);
        let temporary = path.with_extension("start.new");
        let written = serde_json::to_vec(&file).map_err(io::Error::from).and_then(|bytes| {
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(true).mode(FILE_MODE);
            options.open(&temporary)?.write_all(&bytes)?;
            fs::rename(&temporary, &path)
        });
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Reads it back; `None` where it is missing or makes no sense.
    pub(super) fn read(data_dir: &Path, first: u64) -> Option<Start> {
        if first == 0 {
            return Some(Start::genesis());
        }
        let bytes = fs::read(Self::path(data_dir, first)).ok()?;
        let file: StartFile = serde_json::from_slice(&bytes).ok()?;
        let roots = file.frontier.iter().map(|text| Hash::from_hex(text)).collect::<Option<_>>()?;
        let tree = Frontier::from_parts(file.first, roots).filter(|tree| tree.size() == first)?;
        let StartFile { open, in_force, .. } = file;
        Some(Start { tree, previous: Hash::from_hex(&file.previous)?, open, in_force })
    }
}
