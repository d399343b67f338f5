//! Reading a day's file: a line at a time, and no line that is longer than the bound.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

/// The longest line that is written and read, in bytes.
pub(super) const LINE_BYTES_MAX: usize = 64 << 20;

/// The lines of one file.
pub(super) struct Lines {
    file: BufReader<File>,
    /// The line that was read last, from 1.
    number: u64,
}

/// What came of reading one.
pub(super) enum LineRead {
    /// Without its end.
    Whole(Vec<u8>),
    /// Longer than the bound, with its number; its bytes were passed over.
    TooLong(u64),
}

impl Lines {
    /// `None` where there is no such file.
    pub(super) fn open(path: &Path) -> io::Result<Option<Lines>> {
        match File::open(path) {
            Ok(file) => Ok(Some(Lines { file: BufReader::new(file), number: 0 })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<LineRead>> {
        let mut line = Vec::new();
        // One byte above the bound tells that it was passed; the end of the line is another.
        let room = LINE_BYTES_MAX as u64 + 2;
        if self.file.by_ref().take(room).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > LINE_BYTES_MAX + 1 {
            self.file.skip_until(b'\n')?;
        }
        Ok(Some(match line.len() > LINE_BYTES_MAX {
            true => LineRead::TooLong(self.number),
            false => LineRead::Whole(line),
        }))
    }
}
