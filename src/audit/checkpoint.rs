//! A tree head as text: C2SP `tlog-checkpoint`, three lines and no more.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::merkle::{Frontier, Hash};
use super::note::{Note, NoteError, SigningKey};

const ORIGIN: &str = "weighbridge/";

/// The origin of an instance's checkpoints, which is also the name of its key.
#[must_use]
pub fn origin(instance: &str) -> String {
    format!("{ORIGIN}{instance}")
}

/// The instance that an origin names.
#[must_use]
pub fn instance(origin: &str) -> &str {
    origin.strip_prefix(ORIGIN).unwrap_or(origin)
}

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose ledger.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The head of a tree.
    #[must_use]
    pub fn of(origin: &str, tree: &Frontier) -> Checkpoint {
        Checkpoint { origin: origin.to_owned(), size: tree.size(), root: tree.root() }
    }

    /// Reads a note's text. Lines after the third are refused: nothing of ours writes them, and
    /// no signature's meaning covers them.
    pub fn parse(text: &str) -> Result<Checkpoint, NoteError> {
        let mut lines = text.strip_suffix('\n').ok_or(NoteError::Note)?.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(NoteError::Note);
        };
        let number: u64 = size.parse().map_err(|_| NoteError::Note)?;
        let root = STANDARD.decode(root).map_err(|_| NoteError::Note)?;
        let root = Hash::new(root.try_into().map_err(|_| NoteError::Note)?);
        // `+5` and `05` parse as numbers too.
        if origin.is_empty() || number.to_string() != size {
            return Err(NoteError::Note);
        }
        Ok(Checkpoint { origin: origin.to_owned(), size: number, root })
    }

    /// As a note with one signature.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> Note {
        let text = self.to_string();
        Note { signatures: vec![key.sign_text(&text)], text }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = STANDARD.encode(self.root.as_bytes());
        write!(f, "{}\n{}\n{root}\n", self.origin, self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const EXAMPLE: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn the_example_is_read_and_written() {
        let checkpoint = Checkpoint::parse(EXAMPLE).unwrap();
        assert_eq!(checkpoint.size, 20_852_163);
        assert_eq!(checkpoint.to_string(), EXAMPLE);
    }

    #[test]
    fn anything_else_is_refused() {
        let bad = [
            EXAMPLE.trim_end().to_owned(),
            EXAMPLE.replace("20852163", "020852163"),
            EXAMPLE.replace("20852163", "+20852163"),
            EXAMPLE.replace("q2I=", ""),
            EXAMPLE.replace("example.com/behind-the-sofa", ""),
            format!("{EXAMPLE}more\n"),
        ];
        for text in bad {
            assert_eq!(Checkpoint::parse(&text), Err(NoteError::Note), "{text:?}");
        }
    }
}
