//! `audit/checkpoints/YYYY-MM-DD.notes`: every checkpoint that was signed, one after the other,
//! each followed by an empty line. Appended to and synced before anything is published.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::files;
use crate::audit::note::{NOTE_BYTES_MAX, Note};

const EXTENSION: &str = "notes";

/// The file that is appended to.
struct Open {
    file: File,
    length: u64,
    day: String,
}

/// The checkpoints of a data directory.
pub(super) struct Notes {
    folder: PathBuf,
    open: Option<Open>,
    failed: bool,
}

/// The days that there are, ascending.
fn days(folder: &Path) -> io::Result<Vec<String>> {
    let mut days = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_ours = path.extension().is_some_and(|extension| extension == EXTENSION);
        days.extend(
            path.file_stem().filter(|_| is_ours).and_then(|s| s.to_str()).map(str::to_owned),
        );
    }
    days.sort_unstable();
    Ok(days)
}

/// The notes at the end of a file, oldest first, and where the last whole one ends.
pub(super) fn last_notes(file: &File) -> io::Result<(Vec<Note>, u64)> {
    let length = file.metadata()?.len();
    let mut from = length.saturating_sub(NOTE_BYTES_MAX as u64);
    let mut bytes = vec![0; usize::try_from(length - from).unwrap_or_default()];
    file.read_exact_at(&mut bytes, from)?;
    if from > 0 {
        // Not from the middle of a line, and so not of a character.
        let start = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes.drain(..start);
        from += start as u64;
    }
    let text = String::from_utf8_lossy(&bytes);
    // Text and signatures by turns, each with an empty line behind it.
    let whole = text.rfind("\n\n").map_or("", |end| text.get(..end).unwrap_or_default());
    let parts: Vec<&str> = whole.split("\n\n").collect();
    let mut notes = Vec::new();
    let mut end = 0;
    let mut at = 0;
    for (index, part) in parts.iter().enumerate() {
        at += part.len() + 2;
        let before = index.checked_sub(1).and_then(|before| parts.get(before));
        let note = before.map(|text| format!("{text}\n\n{part}\n"));
        if let Some(note) = note.and_then(|note| Note::parse(&note).ok()) {
            notes.push(note);
            end = at;
        }
    }
    // What is not UTF-8 is not ours, and its length is not known: nothing is cut off then.
    let is_text = std::str::from_utf8(&bytes).is_ok();
    Ok((notes, if is_text { from + end as u64 } else { length }))
}

impl Notes {
    /// Opens the last file, without a note that was not written to its end (it was never
    /// published), and gives the last note.
    pub(super) fn open(data_dir: &Path) -> io::Result<(Notes, Option<Note>)> {
        let folder = files::checkpoints(data_dir);
        let mut notes = Notes { folder, open: None, failed: false };
        let days = days(&notes.folder)?;
        let Some(day) = days.last() else { return Ok((notes, None)) };
        let open = notes.file(day)?;
        let (mut found, end) = last_notes(&open.file)?;
        if end < open.length {
            open.file.set_len(end)?;
            open.file.sync_all()?;
        }
        let last = found.pop();
        notes.open = Some(Open { length: end.min(open.length), ..open });
        if last.is_some() || days.len() < 2 {
            return Ok((notes, last));
        }
        Ok((notes, newest(data_dir)?))
    }

    fn file(&self, day: &str) -> io::Result<Open> {
        let path = self.folder.join(day).with_extension(EXTENSION);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.mode(files::FILE_MODE).open(&path)?;
        let length = file.metadata()?.len();
        Ok(Open { file, length, day: day.to_owned() })
    }

    /// Appends a note and puts it on the disk. After a failed sync nothing is appended any more:
    /// nobody knows what is there.
    pub(super) fn append(&mut self, day: &str, note: &Note) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier checkpoint may not be on the disk"));
        }
        // The clock may go back, the files do not.
        let is_new = self.open.as_ref().is_none_or(|open| open.day.as_str() < day);
        if is_new {
            let opened = self.file(day)?;
            files::sync_folder(&self.folder.join(day))?;
            self.open = Some(opened);
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let text = format!("{note}\n");
        if let Err(error) = open.file.write_all_at(text.as_bytes(), open.length) {
            self.failed = open.file.set_len(open.length).is_err();
            return Err(error);
        }
        if let Err(error) = open.file.sync_data() {
            self.failed = true;
            return Err(error);
        }
        open.length += text.len() as u64;
        Ok(())
    }

    /// Whether nothing can be appended until a restart.
    pub(super) const fn has_failed(&self) -> bool {
        self.failed
    }
}

/// The newest checkpoint of a data directory, read from its files alone.
pub(super) fn newest(data_dir: &Path) -> io::Result<Option<Note>> {
    let folder = files::checkpoints(data_dir);
    for day in days(&folder)?.iter().rev() {
        let (mut notes, _) = last_notes(&File::open(folder.join(day).with_extension(EXTENSION))?)?;
        if let Some(note) = notes.pop() {
            return Ok(Some(note));
        }
    }
    Ok(None)
}
