//! The files of a bundle: each made anew under a name of ours, hashed while it is written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use crate::audit::merkle::Hash;
use crate::cli::CliError;
use crate::report::text::csv_field;

/// The list of all other files with their hashes.
pub(super) const MANIFEST: &str = "MANIFEST.sha256";

/// Where a bundle's files go.
#[derive(Debug)]
pub(super) struct Sink {
    /// Without one, what would be written is only hashed.
    folder: Option<PathBuf>,
    /// Each file's hash, by name.
    pub(super) hashes: BTreeMap<String, Hash>,
}

/// One file while it is written.
pub(super) struct Output {
    name: String,
    file: Option<BufWriter<File>>,
    context: Context,
    /// Rows or lines, as whoever writes counts them.
    pub(super) rows: u64,
}

impl Sink {
    /// A folder that must not exist yet, readable by its owner only.
    pub(super) fn create(folder: &Path) -> Result<Sink, CliError> {
        fs::DirBuilder::new().mode(0o700).create(folder).map_err(|error| {
            let what = match error.kind() {
                io::ErrorKind::AlreadyExists => "it exists; name a new folder".to_owned(),
                _ => error.to_string(),
            };
            CliError::Usage(format!("--out {}: {what}", folder.display()))
        })?;
        Ok(Sink { folder: Some(folder.to_owned()), hashes: BTreeMap::new() })
    }

    /// Hashes what would be written.
    pub(super) const fn nowhere() -> Sink {
        Sink { folder: None, hashes: BTreeMap::new() }
    }

    /// Begins a file. Names are ours: plain words, digits and slashes.
    pub(super) fn begin(&self, name: &str) -> io::Result<Output> {
        let file = match &self.folder {
            None => None,
            Some(folder) => {
                let path = folder.join(name);
                if let Some(parent) = path.parent() {
                    fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
                }
                let mut options = File::options();
                options.write(true).create_new(true).mode(0o600);
                Some(BufWriter::new(options.open(path)?))
            }
        };
        Ok(Output { name: name.to_owned(), file, context: Context::new(&SHA256), rows: 0 })
    }

    /// Ends a file.
    pub(super) fn end(&mut self, mut output: Output) -> io::Result<()> {
        output.flush()?;
        self.hashes.insert(output.name, finished(output.context));
        Ok(())
    }

    /// A whole file.
    pub(super) fn put(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut output = self.begin(name)?;
        output.write_all(bytes)?;
        self.end(output)
    }

    /// Writes the list of all files, the last thing: without it there is no bundle. Gives its hash.
    pub(super) fn seal(self) -> io::Result<Hash> {
        let mut manifest = self.begin(MANIFEST)?;
        for (name, hash) in &self.hashes {
            writeln!(manifest, "{hash}  {name}")?;
        }
        manifest.flush()?;
        if let Some(file) = manifest.file {
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        }
        Ok(finished(manifest.context))
    }
}

/// The hash of what went into a context.
pub(super) fn finished(context: Context) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Hash::new(hash)
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(file) = &mut self.file {
            file.write_all(bytes)?;
        }
        self.context.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// One row of a table. Cells cannot be taken for formulas, and hold nothing that moves a cursor.
pub(super) fn row(
    output: &mut Output,
    cells: impl IntoIterator<Item: AsRef<str>>,
) -> io::Result<()> {
    let cells: Vec<String> = cells.into_iter().map(|text| csv_field(text.as_ref())).collect();
    output.write_all(cells.join(",").as_bytes())?;
    output.write_all(b"\r\n")?;
    output.rows += 1;
    Ok(())
}
