//! The folder of a bundle: what is there, against its manifest, before anything of it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};

use super::export::PRUNED;
use super::sink::{MANIFEST, finished};
use super::unreadable;
use crate::audit::merkle::Hash;
use crate::audit::verify::Damages;
use crate::cli::CliError;

/// The most files that a manifest may name, and the longest of its lines.
const FILES_MAX: usize = 2_000_000;
const MANIFEST_LINE_MAX: u64 = 256;
/// Folders within folders.
const DEPTH_MAX: usize = 12;
/// The most strangers that are named.
const STRANGERS_MAX: usize = 100;

/// A folder whose files were compared with its manifest.
pub(super) struct Folder<'p> {
    pub(super) path: &'p Path,
    /// What the manifest says.
    pub(super) names: BTreeMap<String, Hash>,
}

impl<'p> Folder<'p> {
    /// Reads the manifest and compares; `None` where something is there that is neither file nor
    /// folder: nothing is opened then.
    pub(super) fn read(path: &'p Path, damages: &mut Damages) -> Result<Option<Self>, CliError> {
        let mut folder = Folder { path, names: BTreeMap::new() };
        folder.read_manifest(damages)?;
        Ok(folder.check_files(damages)?.then_some(folder))
    }

    fn read_manifest(&mut self, damages: &mut Damages) -> Result<(), CliError> {
        let path = self.path.join(MANIFEST);
        let file = File::open(&path).map_err(|error| unreadable(&path, &error))?;
        let (mut last, mut bytes) = (String::new(), Vec::new());
        let mut reader = BufReader::new(file);
        for number in 1..=FILES_MAX {
            bytes.clear();
            let read = reader.by_ref().take(MANIFEST_LINE_MAX).read_until(b'\n', &mut bytes);
            if read.map_err(|error| unreadable(&path, &error))? == 0 {
                break;
            }
            let line = String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or_default());
            let parts = line.split_once("  ").and_then(|(h, n)| Some((Hash::from_hex(h)?, n)));
            match parts {
                Some((hash, name)) if is_plain(name) && name > last.as_str() => {
                    name.clone_into(&mut last);
                    self.names.insert(name.to_owned(), hash);
                }
                _ => {
                    let what = format!("{MANIFEST} line {number} is not a line of a manifest");
                    damages.add(None, what);
                }
            }
        }
        Ok(())
    }

    /// Compares every file with the manifest, and the manifest with what is there.
    /// Says whether only files and folders are there.
    fn check_files(&self, damages: &mut Damages) -> Result<bool, CliError> {
        let mut found = Found::default();
        list(self.path, String::new(), 0, &mut found)?;
        for name in &found.strangers {
            damages.add(None, format!("{name} is not a file of a bundle"));
        }
        if !found.strangers.is_empty() {
            return Ok(false);
        }
        let there = found.files;
        for name in &there {
            if name != MANIFEST && !self.names.contains_key(name) {
                damages.add(None, format!("{name} is not in {MANIFEST}"));
            } else if name.contains('/') && !is_evidence(name) {
                damages.add(None, format!("{name} is no file of a bundle"));
            }
        }
        for (name, hash) in &self.names {
            let path = self.path.join(name);
            if !there.contains(name) {
                damages.add(None, format!("{name} is missing"));
            } else if hash_of(&path).map_err(|error| unreadable(&path, &error))? != *hash {
                damages.add(None, format!("{name} does not have the hash in {MANIFEST}"));
            }
        }
        Ok(true)
    }

    /// A file, where it is one and there.
    pub(super) fn open(&self, name: &str) -> Result<Option<File>, CliError> {
        let path = self.path.join(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                File::open(&path).map(Some).map_err(|error| unreadable(&path, &error))
            }
            _ => Ok(None),
        }
    }
}

/// What is below a folder.
#[derive(Default)]
struct Found {
    files: BTreeSet<String>,
    /// Neither files nor folders, or too many: nothing is opened then.
    strangers: Vec<String>,
}

/// Lists what is below a folder, and opens none of it.
fn list(folder: &Path, prefix: String, depth: usize, found: &mut Found) -> Result<(), CliError> {
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().map_err(|error| unreadable(folder, &error))?;
        if kind.is_dir() && depth < DEPTH_MAX {
            list(&entry.path(), name + "/", depth + 1, found)?;
        } else if kind.is_file() && found.files.len() < FILES_MAX {
            found.files.insert(name);
        } else if found.strangers.len() < STRANGERS_MAX {
            found.strangers.push(name);
        }
    }
    Ok(())
}

/// A name that the export could have given: plain words, no way out of the folder.
fn is_plain(name: &str) -> bool {
    let plain = |part: &str| {
        let byte = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(byte)
    };
    name.split('/').count() <= DEPTH_MAX && name.split('/').all(plain)
}

/// Whether a name below a folder is one that an export gives.
fn is_evidence(name: &str) -> bool {
    let numbered = |rest: &str, digits: usize, ending: &str| {
        let number = rest.strip_suffix(ending);
        number.is_some_and(|n| n.len() == digits && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let below = |folder: &str| name.strip_prefix(folder);
    ["audit/checkpoints.notes", "audit/head.note", PRUNED].contains(&name)
        || below("ledger/").is_some_and(|rest| numbered(rest, 20, ".jsonl"))
        || below("audit/keys/").is_some_and(|rest| numbered(rest, 4, ".vkey"))
        || below("audit/witness/").is_some_and(|rest| numbered(rest, 4, ".note"))
        || below("audit/tiles/tile/").is_some_and(|rest| {
            rest.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'/' | b'x' | b'.' | b'p'))
        })
}

fn hash_of(path: &Path) -> io::Result<Hash> {
    let mut file = File::open(path)?;
    let (mut context, mut chunk) = (Context::new(&SHA256), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => context.update(&chunk[..read]),
        }
    }
    Ok(finished(context))
}
