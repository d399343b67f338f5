//! Keys, checkpoints and witnessed heads as files: read one after the other, never all at once.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::tables::moment;
use super::unreadable;
use super::verify::Answer;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::note::{NOTE_BYTES_MAX, Note, Verdict, VerifierKey};
use crate::audit::succession::Successor;
use crate::audit::verify::{Damages, Head};
use crate::cli::CliError;

/// The most keys and the most heads of witnesses that are read.
const KEYS_MAX: usize = 4096;
const WITNESSES_MAX: usize = 64;
/// A key file is three short lines.
const KEY_BYTES_MAX: u64 = 4096;

/// The keys of a ledger, in order.
#[derive(Debug, Default)]
pub(super) struct Keys {
    keys: Vec<Successor>,
}

/// Files of a folder that end in `ending`, in the order of their names.
///
/// # Errors
///
/// What has such a name and is no regular file is named and never opened: a pipe would be waited
/// for without end.
pub(super) fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, CliError> {
    match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(folder, &error)),
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            let what = format!("{} is no folder: take it away", folder.display());
            return Err(CliError::Failed(what));
        }
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(ending) {
            let is_file = fs::metadata(&path).map_err(|error| unreadable(&path, &error))?.is_file();
            if !is_file {
                let what = format!("{} is no regular file: take it away", path.display());
                return Err(CliError::Failed(what));
            }
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A small file as text; `None` where it is too long or no text.
pub(super) fn small(path: &Path, bytes_max: u64) -> Result<Option<String>, CliError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > bytes_max {
        return Ok(None);
    }
    Ok(String::from_utf8(bytes).ok())
}

/// The part of a path that people know it by.
pub(super) fn short(path: &Path) -> String {
    let names: Vec<_> = path.iter().map(|name| name.to_string_lossy()).collect();
    names[names.len().saturating_sub(3)..].join("/").trim_start_matches('/').to_owned()
}

impl Keys {
    /// Reads `NNNN.vkey` files; each but the first must be signed by the one before it.
    pub(super) fn read(folder: &Path, damages: &mut Damages) -> Result<Keys, CliError> {
        let mut keys = Keys::default();
        for path in files(folder, ".vkey")?.into_iter().take(KEYS_MAX) {
            let text = small(&path, KEY_BYTES_MAX)?.unwrap_or_default();
            let number = keys.keys.len() + 1;
            let is_next = path.file_stem().is_some_and(|s| s == format!("{number:04}").as_str());
            match Successor::read(&text, keys.keys.last()) {
                Some(key) if is_next => keys.keys.push(key),
                _ => {
                    let what = if is_next {
                        "is not a key that the one before it signed"
                    } else {
                        "stands where another key is missing"
                    };
                    damages.add(None, format!("{} {what}", short(&path)));
                }
            }
        }
        Ok(keys)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The name that they sign under.
    pub(super) fn origin(&self) -> Option<&str> {
        self.keys.first().map(|key| key.verifier.name())
    }

    /// The head that a note vouches for, or why it does not.
    pub(super) fn head(&self, text: &str, name: &str) -> Result<Head, String> {
        let note = Note::parse(text).map_err(|error| format!("{name} is {error}"))?;
        let checkpoint =
            Checkpoint::parse(&note.text).map_err(|_| format!("{name} is no checkpoint"))?;
        let Checkpoint { origin, size, root } = checkpoint;
        let mut out_of_range = false;
        for (place, key) in self.keys.iter().enumerate() {
            match note.verdict(&key.verifier) {
                Verdict::Forged => {
                    return Err(format!("{name} bears a signature that is not valid"));
                }
                Verdict::Absent => {}
                Verdict::Signed(_) => {
                    // At the size where a key follows another, both may have signed.
                    let until = self.keys.get(place + 1).map_or(u64::MAX, |next| next.from);
                    if origin == key.verifier.name() && (key.from..=until).contains(&size) {
                        return Ok(Head { size, root, name: format!("{name} (size {size})") });
                    }
                    out_of_range = true;
                }
            }
        }
        Err(if out_of_range {
            format!("{name} (size {size}) is signed by a key that is not valid for its lines")
        } else {
            format!("{name} (size {size}) is signed by none of the ledger's keys")
        })
    }
}

/// Notes out of files, one after the other.
#[derive(Debug)]
pub(super) struct Notes {
    files: std::vec::IntoIter<PathBuf>,
    current: Option<(BufReader<File>, String)>,
    count: u64,
    /// Notes of all files that were read.
    pub(super) read: u64,
    /// In a data directory a crash may leave half a note, which was never published.
    may_be_torn: bool,
    /// Such a note was passed over.
    pub(super) is_torn: bool,
}

impl Notes {
    /// Those of a data directory's days, or of the one file of a bundle.
    pub(super) fn open(place: &Path) -> Result<Notes, CliError> {
        let files = if place.is_file() { vec![place.to_owned()] } else { files(place, ".notes")? };
        let (files, may_be_torn) = (files.into_iter(), place.is_dir());
        Ok(Notes { files, current: None, count: 0, read: 0, may_be_torn, is_torn: false })
    }

    /// The next note with the name of its file and its number there.
    pub(super) fn next(&mut self) -> Result<Option<(String, String)>, CliError> {
        loop {
            let Some((reader, name)) = &mut self.current else {
                let Some(path) = self.files.next() else { return Ok(None) };
                let file = File::open(&path).map_err(|error| unreadable(&path, &error))?;
                self.current = Some((BufReader::new(file), short(&path)));
                self.count = 0;
                continue;
            };
            let failed = |error| CliError::Failed(format!("cannot read {name}: {error}"));
            let (text, is_whole) = note(reader).map_err(failed)?;
            if !is_whole && self.may_be_torn && self.files.len() == 0 && !text.is_empty() {
                self.is_torn = true;
                self.current = None;
                continue;
            }
            if text.is_empty() {
                self.current = None;
                continue;
            }
            self.count += 1;
            self.read += 1;
            return Ok(Some((text, format!("checkpoint {} of {name}", self.count))));
        }
    }
}

/// A text up to its empty line, the signatures, and the empty line after them.
fn note(reader: &mut BufReader<File>) -> std::io::Result<(String, bool)> {
    let mut bytes = Vec::new();
    let mut empty_lines = 0;
    while empty_lines < 2 && bytes.len() <= NOTE_BYTES_MAX {
        let from = bytes.len();
        let limit = NOTE_BYTES_MAX as u64 + 1;
        if reader.by_ref().take(limit).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        empty_lines += usize::from(&bytes[from..] == b"\n");
    }
    if empty_lines == 2 {
        bytes.pop();
    }
    // What is no text is no note either: whoever parses it sees that.
    Ok((String::from_utf8_lossy(&bytes).into_owned(), empty_lines == 2))
}

/// What whoever verifies brings along.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brought<'a> {
    /// Files of checkpoints that somebody else holds.
    pub(super) notes: &'a [PathBuf],
    /// Keys of witnesses, whose cosignatures are checked.
    pub(super) keys: &'a [VerifierKey],
}

/// What somebody else holds.
#[derive(Debug, Default)]
pub(super) struct Witnessed {
    /// Checkpoints that the ledger's keys signed.
    pub(super) heads: Vec<Head>,
    /// Sizes and roots of those that whoever verifies has brought along, or that a key of theirs
    /// has cosigned.
    pub(super) independent: BTreeSet<(u64, String)>,
    /// Others are kept here as a witness's.
    kept_alone: bool,
    /// Cosignatures that are good, as a sentence each.
    pub(super) cosigned: Vec<String>,
    /// Names of witnesses' keys of which none was found.
    pub(super) missing: Vec<String>,
}

/// Heads that somebody else holds: files that were named, and those in a data directory.
pub(super) fn witnessed(
    brought: Brought<'_>,
    folder: &Path,
    keys: &Keys,
    damages: &mut Damages,
) -> Result<Witnessed, CliError> {
    let kept = files(folder, ".note")?;
    let mut all = Witnessed::default();
    all.missing.extend(brought.keys.iter().map(|key| key.name().to_owned()));
    let brought_along = brought.notes.len();
    for (place, path) in brought.notes.iter().chain(&kept).take(WITNESSES_MAX).enumerate() {
        let text = small(path, NOTE_BYTES_MAX as u64)?.unwrap_or_default();
        let text = text.trim_end_matches('\n').to_owned() + "\n";
        let name = format!("witness {}", short(path));
        match keys.head(&text, &name) {
            Ok(head) => {
                let before = all.cosigned.len();
                all.cosignatures(&text, &head, brought.keys, damages);
                let is_cosigned = all.cosigned.len() > before;
                if place < brought_along || is_cosigned {
                    all.independent.insert((head.size, head.root.to_string()));
                } else {
                    all.kept_alone = true;
                }
                all.heads.push(head);
            }
            Err(why) => damages.add(None, why),
        }
    }
    Ok(all)
}

impl Witnessed {
    /// The heads; what else was found goes into the answer.
    pub(super) fn heads(self, answer: &mut Answer) -> impl Iterator<Item = Head> {
        answer.witnesses = self.independent.len() as u64;
        answer.witnessed_upto = self.independent.last().map_or(0, |(size, _)| *size);
        if self.kept_alone {
            let what = "whether a witness holds the checkpoints that are kept here as a witness's: \
                        whoever can write here can put them here; bring the witness's own \
                        (--witness), or its key (--witness-key)";
            answer.not_provable.push(what.to_owned());
        }
        answer.cosigned = self.cosigned;
        let missing = self.missing.into_iter();
        answer.unmet.extend(missing.map(|witness| {
            format!("no checkpoint that was given bears a cosignature of {witness}")
        }));
        self.heads.into_iter()
    }

    /// Checks what the witnesses' keys say of one checkpoint.
    fn cosignatures(
        &mut self,
        text: &str,
        head: &Head,
        keys: &[VerifierKey],
        damages: &mut Damages,
    ) {
        let Ok(note) = Note::parse(text) else { return };
        for key in keys {
            let (witness, name) = (key.name(), &head.name);
            match note.verdict(key) {
                Verdict::Forged => {
                    let what = format!("{name} bears a cosignature of {witness} that is not valid");
                    damages.add(None, what);
                }
                Verdict::Absent => {}
                Verdict::Signed(seconds) => {
                    let at = moment(seconds.unwrap_or(0).saturating_mul(1_000_000_000));
                    self.cosigned.push(format!("{witness} cosigned {name} at {at}"));
                    self.missing.retain(|missing| missing != witness);
                }
            }
        }
    }
}
