//! `weighbridge backup`: a copy of a data directory, also while a sidecar writes to it, that
//! verifies.
//!
//! What speaks of lines is copied before the lines: a checkpoint in the copy covers no line that is
//! not in it. Bytes of a line never change, so the copy is the ledger as it was at one moment.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use clap::Args;
use uuid::Uuid;

use super::{CliError, Surroundings, audit};
use crate::inbox;
use crate::index;
use crate::ledger::reader::SEGMENTS;
use crate::record::act::{Act, BackedUp};
use crate::record::encoding::LINE_BYTES_MAX;

/// Copied first, in this order: checkpoints, then the keys that signed them.
const BEFORE: [&str; 3] = ["audit/checkpoints", "audit/witness", "audit/keys"];
/// What belongs to the running process, can be made anew, or is no part of this directory's data;
/// and the keys of kept contents: a copy of them would undo an erasure.
const LEFT_OUT: [&str; 12] = [
    SEGMENTS,
    "audit",
    inbox::FOLDER,
    "lock",
    "keys.lock",
    "reserve",
    "runs",
    "log.level",
    "log.wanted",
    index::WANTED,
    "content.key",
    "content/keys",
];
/// Folders below the data directory are not deeper.
const DEPTH_MAX: usize = 4;
/// One read of a file.
const CHUNK_BYTES: usize = 256 * 1024;

const EXAMPLE: &str = "The copy has the key that signs checkpoints: keep it as safe as the \
original. It has kept contents sealed and not their keys (content.key, content/keys): copy those \
to another place, or an erasure is undone. To restore it, stop the sidecar and put the folder in \
the data directory's place.\n\nExample:\n  \
weighbridge backup --out /srv/backup/weighbridge-2026-11-26";

/// Copy the data directory, also while a sidecar runs, and verify the copy
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct BackupArgs {
    /// A folder that does not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Data directory [default: $XDG_STATE_HOME/weighbridge, else ~/.local/state/weighbridge]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl BackupArgs {
    pub(super) fn run(
        &self,
        output: &mut dyn Write,
        surroundings: &Surroundings,
    ) -> Result<(), CliError> {
        let dir = self.data_dir.clone().unwrap_or_else(|| surroundings.data_dir());
        if !dir.join(SEGMENTS).is_dir() {
            let why = "holds no ledger: name its directory with --data-dir";
            return Err(CliError::Usage(format!("{} {why}", dir.display())));
        }
        let inside = self.out.parent().map(|parent| match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        });
        let inside = inside.and_then(|parent| parent.canonicalize().ok());
        if inside.zip(dir.canonicalize().ok()).is_some_and(|(out, dir)| out.starts_with(dir)) {
            let why = "is inside the data directory; name a folder elsewhere";
            return Err(CliError::Usage(format!("--out {} {why}", self.out.display())));
        }
        make_folder(&self.out)
            .map_err(|error| CliError::Usage(format!("--out {}: {error}", self.out.display())))?;
        Copy { from: &dir, to: &self.out }.all()?;
        let entries = audit::verified(&self.out, output)?;
        let told = BackedUp { by_uid: None, entries, id: Uuid::now_v7().to_string() };
        if let Err(error) = inbox::leave(&dir, &Act::BackedUp(told)) {
            let place = dir.display();
            let _ = writeln!(
                io::stderr(),
                "weighbridge: word of this backup cannot be left in {place}: {error}; the ledger \
                 will not name it"
            );
        }
        let to = self.out.display();
        CliError::written(writeln!(output, "\n{to} holds {entries} lines of {}.", dir.display()))
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

struct Copy<'a> {
    from: &'a Path,
    to: &'a Path,
}

impl Copy<'_> {
    fn all(&self) -> Result<(), CliError> {
        for folder in BEFORE {
            self.folder(Path::new(folder), 1)?;
        }
        self.index();
        for entry in self.list(Path::new(""))? {
            let name = entry.to_string_lossy();
            let is_index = name.starts_with(index::FILE) || name == index::LOCK;
            if !is_index {
                self.either(&entry, 0)?;
            }
        }
        self.segments()?;
        sync(self.to).map_err(|error| failed(self.to, &error))
    }

    /// The index is a view: without it, or where it is damaged, it is built again.
    fn index(&self) {
        if let Err(error) = index::copy(self.from, self.to) {
            let _ = writeln!(
                io::stderr(),
                "weighbridge: the index is not copied and will be built again: {error}"
            );
        }
    }

    /// The names in a folder, in order.
    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, CliError> {
        let path = self.from.join(folder);
        let failed = |error: io::Error| failed(&path, &error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            names.push(folder.join(entry.map_err(failed)?.file_name()));
        }
        names.sort();
        Ok(names)
    }

    fn either(&self, name: &Path, depth: usize) -> Result<(), CliError> {
        if LEFT_OUT.iter().any(|left_out| name == Path::new(left_out)) {
            return Ok(());
        }
        let path = self.from.join(name);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() && depth < DEPTH_MAX => self.folder(name, depth + 1),
            Ok(found) if found.is_file() => self.file(name, false),
            Ok(_) => {
                let _ = writeln!(
                    io::stderr(),
                    "weighbridge: {} is a link or no file and is not in the copy",
                    path.display()
                );
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    fn folder(&self, name: &Path, depth: usize) -> Result<(), CliError> {
        if !self.from.join(name).is_dir() {
            return Ok(());
        }
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(self.to.join(name));
        made.map_err(|error| failed(&self.to.join(name), &error))?;
        for entry in self.list(name)? {
            // On its way to another name.
            if entry.extension().is_none_or(|ending| ending != "new") {
                self.either(&entry, depth)?;
            }
        }
        sync(&self.to.join(name)).map_err(|error| failed(&self.to.join(name), &error))
    }

    /// Lines that are complete; what is preallocated behind them is left out.
    fn segments(&self) -> Result<(), CliError> {
        let folder = Path::new(SEGMENTS);
        make_folder(&self.to.join(folder))
            .map_err(|error| failed(&self.to.join(folder), &error))?;
        for entry in self.list(folder)? {
            let ending = entry.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            let is_file = fs::symlink_metadata(self.from.join(&entry)).is_ok_and(|f| f.is_file());
            if !is_file || !["jsonl", "start", "leaves"].contains(&ending) {
                continue;
            }
            let is_lines = ending == "jsonl";
            self.file(&entry, is_lines)?;
            if is_lines {
                self.end_at_a_line(&entry)?;
            }
        }
        sync(&self.to.join(folder)).map_err(|error| failed(&self.to.join(folder), &error))
    }

    /// Copies a file; of lines, what stands before the first NUL. A file that is gone again was
    /// replaced.
    fn file(&self, name: &Path, is_lines: bool) -> Result<(), CliError> {
        let (from, to) = (self.from.join(name), self.to.join(name));
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(flags.bits().cast_signed());
        let mut source = match options.open(&from) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(&from, &error)),
        };
        let mode = source.metadata().map_err(|error| failed(&from, &error))?.permissions().mode();
        let mut options = OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o600).open(&to);
        let mut copy = made.map_err(|error| failed(&to, &error))?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = source.read(&mut chunk).map_err(|error| failed(&from, &error))?;
            let zero = if is_lines { memchr::memchr(0, &chunk[..read]) } else { None };
            let end = zero.unwrap_or(read);
            copy.write_all(&chunk[..end]).map_err(|error| failed(&to, &error))?;
            if end < read || read == 0 {
                break;
            }
        }
        let mode = fs::Permissions::from_mode(mode & 0o700);
        copy.set_permissions(mode)
            .and_then(|()| copy.sync_all())
            .map_err(|error| failed(&to, &error))
    }

    /// Takes away the beginning of a line that was being written.
    fn end_at_a_line(&self, name: &Path) -> Result<(), CliError> {
        let path = self.to.join(name);
        let failed = |error: io::Error| failed(&path, &error);
        let mut file = File::open(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let before = length.saturating_sub(LINE_BYTES_MAX as u64);
        let mut tail = Vec::with_capacity(LINE_BYTES_MAX);
        file.seek(SeekFrom::Start(before))
            .and_then(|_| file.read_to_end(&mut tail))
            .map_err(failed)?;
        let end = before + memchr::memrchr(b'\n', &tail).map_or(0, |at| at as u64 + 1);
        if end < length {
            let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
            file.set_len(end).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        Ok(())
    }
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn failed(path: &Path, error: &io::Error) -> CliError {
    CliError::Failed(format!("cannot copy {}: {error}; the copy is not complete", path.display()))
}
