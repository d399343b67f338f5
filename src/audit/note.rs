//! Signed notes and verifier keys as C2SP `signed-note` and `tlog-cosignature` define them.
//!
//! A note is a text that ends in a newline, an empty line, and signature lines
//! `— name base64(key id ‖ signature)`. Everything is Ed25519.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest note that is read.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;
/// How many signature lines a note may have.
pub const SIGNATURES_MAX: usize = 32;
const DASH: &str = "\u{2014} ";
const KEY_ID_BYTES: usize = 4;
const PUBLIC_KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;
const TIMESTAMP_BYTES: usize = 8;

/// A note or a key that does not have its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The note is not a text, an empty line and signature lines.
    #[error("not a signed note")]
    Note,
    /// The verifier key is not `name+id+base64`.
    #[error("not a verifier key (name+id+base64)")]
    Key,
    /// A private key is not an Ed25519 key in PKCS#8.
    #[error("not an Ed25519 private key in PKCS#8")]
    PrivateKey,
}

/// What a key signs: the type byte of its key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Note texts as they are: type 0x01.
    Note,
    /// Timestamped cosignatures (`cosignature/v1`) of a witness: type 0x04.
    Cosignature,
}

impl KeyKind {
    const fn byte(self) -> u8 {
        match self {
            KeyKind::Note => 1,
            KeyKind::Cosignature => 4,
        }
    }
}

/// The public half of a key, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    public: [u8; PUBLIC_KEY_BYTES],
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

impl VerifierKey {
    /// A key by its parts. `None` where the name may not stand in a note.
    #[must_use]
    pub fn new(name: &str, kind: KeyKind, public: [u8; 32]) -> Option<VerifierKey> {
        is_name(name).then(|| VerifierKey { name: name.to_owned(), kind, public })
    }

    /// Reads `name+hex8(id)+base64(type ‖ public key)`. An id that is not the key's is refused.
    pub fn parse(text: &str) -> Result<VerifierKey, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let bytes = STANDARD.decode(key).map_err(|_| NoteError::Key)?;
        let (kind, public) = match bytes.split_first() {
            Some((1, public)) => (KeyKind::Note, public),
            Some((4, public)) => (KeyKind::Cosignature, public),
            _ => return Err(NoteError::Key),
        };
        let public = public.try_into().map_err(|_| NoteError::Key)?;
        let key = VerifierKey::new(name, kind, public).ok_or(NoteError::Key)?;
        if key.id_hex() != id { Err(NoteError::Key) } else { Ok(key) }
    }

    /// The name that its signature lines bear.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The 32 bytes of RFC 8032.
    #[must_use]
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// First four bytes of `SHA-256(name ‖ newline ‖ type ‖ public key)`.
    #[must_use]
    pub fn id(&self) -> [u8; KEY_ID_BYTES] {
        let mut bytes = self.name.clone().into_bytes();
        bytes.extend_from_slice(&[b'\n', self.kind.byte()]);
        bytes.extend_from_slice(&self.public);
        let hash = digest(&SHA256, &bytes);
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&hash.as_ref()[..KEY_ID_BYTES]);
        id
    }

    /// The id as eight hexadecimal digits.
    #[must_use]
    pub fn id_hex(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id()))
    }

    /// Whether `signature` (64 bytes) over exactly these bytes is this key's.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(message, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.kind.byte()];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.name, self.id_hex(), STANDARD.encode(key))
    }
}

/// A private key with its name. `Debug` shows the public half only.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.verifier).finish()
    }
}

impl SigningKey {
    fn from_pair(name: &str, kind: KeyKind, pair: Ed25519KeyPair) -> Result<Self, NoteError> {
        let public = pair.public_key().as_ref().try_into().map_err(|_| NoteError::PrivateKey)?;
        let verifier = VerifierKey::new(name, kind, public).ok_or(NoteError::Key)?;
        Ok(SigningKey { pair, verifier })
    }

    /// From 32 random bytes.
    pub fn from_seed(name: &str, kind: KeyKind, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::PrivateKey)?;
        SigningKey::from_pair(name, kind, pair)
    }

    /// From a PKCS#8 document, version 1 or 2.
    pub fn from_pkcs8(name: &str, kind: KeyKind, document: &[u8]) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document)
            .map_err(|_| NoteError::PrivateKey)?;
        SigningKey::from_pair(name, kind, pair)
    }

    /// The PKCS#8 document (version 1, which every OpenSSL reads).
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, NoteError> {
        let document = self.pair.to_pkcs8v1().map_err(|_| NoteError::PrivateKey)?;
        Ok(document.as_ref().to_vec())
    }

    /// The public half.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The 64 bytes of a signature over exactly these bytes.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut out = [0; SIGNATURE_BYTES];
        out.copy_from_slice(self.pair.sign(message).as_ref());
        out
    }

    /// Signs a note's text.
    #[must_use]
    pub fn sign_text(&self, text: &str) -> Signature {
        self.signature(&self.sign(text.as_bytes()))
    }

    /// Cosigns a note's text, as a witness does at `seconds` since 1970.
    #[must_use]
    pub fn cosign_text(&self, text: &str, seconds: u64) -> Signature {
        let mut bytes = seconds.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.sign(&cosigned(text, seconds)));
        self.signature(&bytes)
    }

    fn signature(&self, bytes: &[u8]) -> Signature {
        Signature {
            name: self.verifier.name.clone(),
            key_id: self.verifier.id(),
            bytes: bytes.to_vec(),
        }
    }
}

fn cosigned(text: &str, seconds: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {seconds}\n{text}").into_bytes()
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The key's name.
    pub name: String,
    /// The key's id.
    pub key_id: [u8; 4],
    /// What follows the id: 64 bytes, or 8 bytes of time and 64 for a cosignature.
    pub bytes: Vec<u8>,
}

impl Signature {
    /// Reads a line, without its newline.
    pub fn parse(line: &str) -> Result<Signature, NoteError> {
        let rest = line.strip_prefix(DASH).ok_or(NoteError::Note)?;
        let (name, encoded) = rest.split_once(' ').ok_or(NoteError::Note)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| NoteError::Note)?;
        let (id, bytes) = bytes.split_first_chunk().ok_or(NoteError::Note)?;
        if !is_name(name) || bytes.is_empty() {
            return Err(NoteError::Note);
        }
        Ok(Signature { name: name.to_owned(), key_id: *id, bytes: bytes.to_vec() })
    }
}

impl fmt::Display for Signature {
    /// The line, without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.key_id.to_vec();
        bytes.extend_from_slice(&self.bytes);
        write!(f, "{DASH}{} {}", self.name, STANDARD.encode(bytes))
    }
}

/// What a key says about a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key has signed it; a cosignature also says when, in seconds since 1970.
    Signed(Option<u64>),
    /// No line is the key's.
    Absent,
    /// A line claims to be the key's and is not: the whole note is to be refused.
    Forged,
}

/// A text and who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The text, its last newline included.
    pub text: String,
    /// The signature lines, in order.
    pub signatures: Vec<Signature>,
}

impl Note {
    /// Reads a note, exactly: nothing may stand before or behind it.
    pub fn parse(note: &str) -> Result<Note, NoteError> {
        let is_control = |c: char| c < ' ' && c != '\n';
        if note.len() > NOTE_BYTES_MAX || note.contains(is_control) {
            return Err(NoteError::Note);
        }
        let cut = note.rfind("\n\n").ok_or(NoteError::Note)?;
        let (text, lines) = (&note[..=cut], &note[cut + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Note)?;
        let signatures: Vec<Signature> =
            lines.split('\n').map(Signature::parse).collect::<Result<_, _>>()?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::Note);
        }
        Ok(Note { text: text.to_owned(), signatures })
    }

    /// Whether `key` has signed it. Lines of other keys are passed over.
    #[must_use]
    pub fn verdict(&self, key: &VerifierKey) -> Verdict {
        let mut verdict = Verdict::Absent;
        let id = key.id();
        for line in self.signatures.iter().filter(|s| s.name == key.name && s.key_id == id) {
            match self.check(key, line) {
                Some(time) => verdict = Verdict::Signed(time),
                None => return Verdict::Forged,
            }
        }
        verdict
    }

    /// `None`: not this key's signature.
    fn check(&self, key: &VerifierKey, line: &Signature) -> Option<Option<u64>> {
        match key.kind {
            KeyKind::Note => key.verifies(self.text.as_bytes(), &line.bytes).then_some(None),
            KeyKind::Cosignature => {
                let (time, signature) = line.bytes.split_first_chunk::<TIMESTAMP_BYTES>()?;
                let seconds = u64::from_be_bytes(*time);
                key.verifies(&cosigned(&self.text, seconds), signature).then_some(Some(seconds))
            }
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Published with the Go module `golang.org/x/mod/sumdb/note`.
    const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SEED: &str = "gQoUAtUUbI2E8kQzMPVAgOv5juF9nHT2JS/F1ccoMXM=";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZ\
        SNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_published_note_verifies_and_is_made_again() {
        let key = VerifierKey::parse(PUBLIC).unwrap();
        assert_eq!(key.to_string(), PUBLIC);
        let note = Note::parse(NOTE).unwrap();
        assert_eq!(note.verdict(&key), Verdict::Signed(None));
        assert_eq!(note.to_string(), NOTE);
        let seed: [u8; 32] = STANDARD.decode(SEED).unwrap().try_into().unwrap();
        let signing = SigningKey::from_seed("PeterNeumann", KeyKind::Note, &seed).unwrap();
        assert_eq!(signing.verifier(), &key);
        assert_eq!(signing.sign_text(&note.text), note.signatures[0]);
        let document = signing.to_pkcs8().unwrap();
        let again = SigningKey::from_pkcs8("PeterNeumann", KeyKind::Note, &document).unwrap();
        assert_eq!(again.sign_text(&note.text), note.signatures[0]);
    }

    #[test]
    fn a_changed_note_is_forged_and_another_key_is_absent() {
        let key = VerifierKey::parse(PUBLIC).unwrap();
        let changed = Note::parse(&NOTE.replace("answer", "Answer")).unwrap();
        assert_eq!(changed.verdict(&key), Verdict::Forged);
        let other = SigningKey::from_seed("PeterNeumann", KeyKind::Note, &[7; 32]).unwrap();
        assert_eq!(Note::parse(NOTE).unwrap().verdict(other.verifier()), Verdict::Absent);
    }

    #[test]
    fn a_cosignature_says_when() {
        let witness = SigningKey::from_seed("w.example/1", KeyKind::Cosignature, &[9; 32]).unwrap();
        let mut note = Note { text: "o\n1\nAA==\n".into(), signatures: Vec::new() };
        note.signatures.push(witness.cosign_text(&note.text, 1_679_315_147));
        let key = VerifierKey::parse(&witness.verifier().to_string()).unwrap();
        assert_eq!(note.verdict(&key), Verdict::Signed(Some(1_679_315_147)));
        note.signatures[0].bytes[7] ^= 1;
        assert_eq!(note.verdict(&key), Verdict::Forged);
        note.signatures[0].bytes.truncate(3);
        assert_eq!(note.verdict(&key), Verdict::Forged);
    }

    #[test]
    fn what_is_not_a_note_or_key_is_refused() {
        let bad = [
            "",
            "text\n",
            "text\n\n",
            "text\n\nno dash\n",
            "text\n\n\u{2014} a AAAA\n",
            "text\n\n\u{2014} a b AAAAAAA=\n",
            "te\rxt\n\n\u{2014} a AAAAAAA=\n",
        ];
        for note in bad {
            assert_eq!(Note::parse(note), Err(NoteError::Note), "{note:?}");
        }
        for cut in 0..NOTE.len() {
            assert!(NOTE.get(..cut).is_none_or(|n| Note::parse(n).is_err()), "{cut}");
        }
        for key in ["", "a+b", "a+00000000+AQ==", &PUBLIC.replace("c74f", "c74e")] {
            assert_eq!(VerifierKey::parse(key), Err(NoteError::Key), "{key:?}");
        }
    }
}
