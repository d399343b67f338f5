//! How a key follows another: what a `.vkey` file says.
//!
//! ```text
//! the verifier key
//! the index of the first leaf that it signs
//! from the second key on: the signature of the key before over these two lines
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::note::{KeyKind, SigningKey, VerifierKey};

/// A public key and the leaf from which on it signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Successor {
    /// The key.
    pub verifier: VerifierKey,
    /// Index of the first leaf.
    pub from: u64,
}

impl Successor {
    /// Reads a file; `None` where it is not one, or not one that the key before has signed.
    #[must_use]
    pub fn read(text: &str, before: Option<&Successor>) -> Option<Successor> {
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let (first, second, third) = (lines.next()?, lines.next()?, lines.next());
        let verifier = VerifierKey::parse(first).ok()?;
        let read = Successor { verifier, from: second.parse().ok()? };
        if read.verifier.kind() != KeyKind::Note || lines.next().is_some() {
            return None;
        }
        let follows = match (before, third) {
            (None, None) => true,
            (Some(before), Some(signature)) => {
                let signature = STANDARD.decode(signature).ok()?;
                let message = format!("{first}\n{second}\n");
                before.verifier.name() == read.verifier.name()
                    && before.from <= read.from
                    && before.verifier.verifies(message.as_bytes(), &signature)
            }
            _ => false,
        };
        follows.then_some(read)
    }

    /// The file's text, signed by the key before where there is one.
    #[must_use]
    pub fn write(&self, before: Option<&SigningKey>) -> String {
        let text = format!("{}\n{}\n", self.verifier, self.from);
        match before {
            None => text,
            Some(key) => format!("{text}{}\n", STANDARD.encode(key.sign(text.as_bytes()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed("weighbridge/i", KeyKind::Note, &[seed; 32]).unwrap()
    }

    fn successor(key: &SigningKey, from: u64) -> Successor {
        Successor { verifier: key.verifier().clone(), from }
    }

    #[test]
    fn only_what_the_key_before_signed_follows() {
        let (one, two, three) = (key(1), key(2), key(3));
        let first = successor(&one, 0);
        assert_eq!(Successor::read(&first.write(None), None), Some(first.clone()));
        let next = successor(&two, 7);
        let text = next.write(Some(&one));
        assert_eq!(Successor::read(&text, Some(&first)), Some(next.clone()));
        assert_eq!(Successor::read(&text, None), None, "a first key is signed by none");
        assert_eq!(Successor::read(&next.write(None), Some(&first)), None, "not signed");
        assert_eq!(Successor::read(&next.write(Some(&three)), Some(&first)), None, "by another");
        let moved = text.replace("\n7\n", "\n6\n");
        assert_eq!(Successor::read(&moved, Some(&first)), None, "another leaf");
        let early = successor(&three, 3).write(Some(&two));
        assert_eq!(Successor::read(&early, Some(&next)), None, "before the key before");
    }
}
