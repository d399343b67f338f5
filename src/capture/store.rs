//! Where contents are kept: sealed lines, one file a day, and a key for each subject.
//!
//! ```text
//! content/2026-11-25.jsonl     {"exchange": …, "key": …, "sealed": …, "subject": …} a line
//! content/keys/SUBJECT.key     the subject's key and its id, sealed under content.key
//! content/keys/SUBJECT.erased  when it was erased last, in Unix milliseconds
//! content.key                  the instance's key
//! ```
//!
//! AES-256-GCM with a random nonce; the exchange is bound to what is sealed. A subject is erased by
//! destroying its key: what was sealed under it is mute from then on, wherever copies of it are,
//! while the ledger and its proofs stay as they are. Copies of `content.key` and of the keys do not
//! belong into the same backup as the contents. Whoever comes back after an erasure gets another
//! key: a line names the one that sealed it, so that what was erased reads as erased.
//!
//! An erasure comes from another process, while contents of the subject may wait to be sealed. No
//! lock is needed for none of them to get under the next key: an erasure writes its time first and
//! destroys the key then; sealing takes the key first and looks for that time then. So a key that
//! was taken before the time was there is one that the erasure destroys, and with the key after it
//! the time is seen: whatever was taken before it is dropped. No key is kept in memory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::Kept;
use crate::keys::make_private_dir;

/// Whose content it is: a user, or where none is known a session, or else one exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The user of a key, within a team.
    User(String, String),
    /// A session.
    Session(String),
    /// Nobody is known.
    Exchange(String),
}

/// Contents cannot be kept, read or erased.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The disk.
    #[error("the contents' folder: {0}; see that it is there and can be written")]
    Io(#[from] io::Error),
    /// The random source or the cipher.
    #[error("contents cannot be sealed: the system's random source fails")]
    Seal,
    /// A key or a line is not what was written.
    #[error("{0} is damaged or of another instance; restore it from a backup")]
    Damaged(String),
    /// The subject's key is gone.
    #[error("the content of this exchange was erased: its subject's key is destroyed")]
    Erased,
}

/// What came of sealing a call's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// They are in the file.
    Sealed,
    /// The call began before its subject was erased: nothing was written.
    Erased,
}

/// The sealed contents of one data directory.
pub struct Store {
    dir: PathBuf,
    key: LessSafeKey,
    naming: hmac::Key,
}

#[derive(Serialize, Deserialize)]
struct Line {
    exchange: String,
    /// Which of its subject's keys sealed it. Keys of older versions have no id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    sealed: String,
    subject: String,
}

/// A key of one subject.
struct SubjectKey {
    /// Random, and so told from the key that was destroyed before it.
    id: Option<String>,
    cipher: LessSafeKey,
}

/// Bytes of a key, and of its id behind it.
const KEY_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 16;

/// The longest line that is read.
const LINE_BYTES_MAX: u64 = 64 << 20;

impl Store {
    /// Opens or makes the folder.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn open(data_dir: &Path, key: [u8; 32]) -> Result<Store, StoreError> {
        let dir = data_dir.join("content");
        make_private_dir(&dir)?;
        make_private_dir(&dir.join("keys"))?;
        let naming = hmac::Key::new(hmac::HMAC_SHA256, &key);
        Ok(Store { dir, key: cipher(&key)?, naming })
    }

    /// Seals one call's contents under its subject's key and appends them to the day's file, unless
    /// the subject was erased since the call began.
    ///
    /// # Errors
    ///
    /// The disk or the random source.
    pub fn append(&self, subject: &Subject, kept: &Kept) -> Result<Appended, StoreError> {
        let subject = self.name(subject);
        let key = self.key_for(&subject)?;
        self.append_under(key, &subject, kept)
    }

    /// The word of an erasure is looked for with the key at hand, and not before: see above.
    fn append_under(
        &self,
        key: SubjectKey,
        subject: &str,
        kept: &Kept,
    ) -> Result<Appended, StoreError> {
        if self.erased_ms(subject)?.is_some_and(|erased| millis_of(&kept.exchange) <= erased) {
            return Ok(Appended::Erased);
        }
        let plain = serde_json::to_vec(kept).map_err(|_| StoreError::Seal)?;
        let sealed = STANDARD.encode(seal(&key.cipher, kept.exchange.as_bytes(), plain)?);
        let line = Line {
            exchange: kept.exchange.clone(),
            key: key.id,
            sealed,
            subject: subject.to_owned(),
        };
        let mut text = serde_json::to_string(&line).map_err(|_| StoreError::Seal)?;
        text.push('\n');
        let path = self.dir.join(format!("{}.jsonl", day_of(&kept.exchange)));
        let mut options = OpenOptions::new();
        let mut file = options.create(true).read(true).append(true).mode(0o600).open(path)?;
        // A line that a crash has torn must not take this one with it.
        if is_torn(&mut file)? {
            text.insert(0, '\n');
        }
        file.write_all(text.as_bytes())?;
        Ok(Appended::Sealed)
    }

    /// The contents of an exchange; `None` where none were kept.
    ///
    /// # Errors
    ///
    /// They were erased, are damaged, or cannot be read.
    pub fn read(&self, exchange: &str) -> Result<Option<Value>, StoreError> {
        let path = self.dir.join(format!("{}.jsonl", day_of(exchange)));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut lines = io::Read::take(BufReader::new(file), LINE_BYTES_MAX * 1_024);
        let mut text = String::new();
        let damaged = || StoreError::Damaged(path.display().to_string());
        while lines.read_line(&mut text)? > 0 {
            let line = Some(&text).filter(|text| text.contains(exchange));
            let line = line.and_then(|text| serde_json::from_str::<Line>(text).ok());
            if let Some(line) = line.filter(|line| line.exchange == exchange) {
                let key = self.subject_key(&line.subject)?;
                let key = key.filter(|key| key.id == line.key).ok_or(StoreError::Erased)?;
                let sealed = STANDARD.decode(line.sealed).map_err(|_| damaged())?;
                let plain = open(&key.cipher, exchange.as_bytes(), sealed).ok_or_else(damaged)?;
                return serde_json::from_slice(&plain).map(Some).map_err(|_| damaged());
            }
            text.clear();
        }
        Ok(None)
    }

    /// Destroys a subject's key, and leaves word that nothing of its calls until `now_ms` may be
    /// sealed any more. `false` where there was no key.
    ///
    /// # Errors
    ///
    /// The word cannot be written, or the key not removed: the erasure has to be asked for again.
    pub fn erase(&self, subject: &Subject, now_ms: u64) -> Result<bool, StoreError> {
        let subject = self.name(subject);
        let before = self.erased_ms(&subject).ok().flatten().unwrap_or(0);
        let word = before.max(now_ms).to_string();
        self.write_whole(&self.erased_path(&subject), word.as_bytes())?;
        match fs::remove_file(self.key_path(&subject)) {
            Ok(()) => {
                File::open(self.dir.join("keys"))?.sync_all()?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// When a subject was erased last.
    fn erased_ms(&self, subject: &str) -> Result<Option<u64>, StoreError> {
        let path = self.erased_path(subject);
        match fs::read_to_string(&path) {
            Ok(text) => match text.parse() {
                Ok(millis) => Ok(Some(millis)),
                Err(_) => Err(StoreError::Damaged(path.display().to_string())),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A subject's name in files: a keyed hash, which tells nothing without the instance's key.
    fn name(&self, subject: &Subject) -> String {
        let text = match subject {
            Subject::User(team, user) => format!("user\0{team}\0{user}"),
            Subject::Session(session) => format!("session\0{session}"),
            Subject::Exchange(exchange) => format!("exchange\0{exchange}"),
        };
        let tag = hmac::sign(&self.naming, text.as_bytes());
        hex(tag.as_ref().get(..16).unwrap_or_default())
    }

    fn key_path(&self, subject: &str) -> PathBuf {
        self.dir.join("keys").join(format!("{subject}.key"))
    }

    fn erased_path(&self, subject: &str) -> PathBuf {
        self.dir.join("keys").join(format!("{subject}.erased"))
    }

    /// Writes a file among the keys, whole or not at all.
    fn write_whole(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let temporary = PathBuf::from(format!("{}.new", path.display()));
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(self.dir.join("keys"))?.sync_all()?;
        Ok(())
    }

    /// A subject's key, where it has one. It is read anew every time: an erasure holds at once.
    fn subject_key(&self, subject: &str) -> Result<Option<SubjectKey>, StoreError> {
        let path = self.key_path(subject);
        let damaged = || StoreError::Damaged(path.display().to_string());
        let sealed = match fs::read(&path) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let plain = open(&self.key, subject.as_bytes(), sealed).ok_or_else(damaged)?;
        let (key, id) = plain.split_first_chunk::<KEY_BYTES>().ok_or_else(damaged)?;
        Ok(Some(SubjectKey { id: (!id.is_empty()).then(|| hex(id)), cipher: cipher(key)? }))
    }

    /// A subject's key; a new one where it has none.
    fn key_for(&self, subject: &str) -> Result<SubjectKey, StoreError> {
        if let Some(key) = self.subject_key(subject)? {
            return Ok(key);
        }
        let mut bytes = [0; KEY_BYTES + KEY_ID_BYTES];
        rand::fill(&mut bytes).map_err(|_| StoreError::Seal)?;
        let sealed = seal(&self.key, subject.as_bytes(), bytes.to_vec())?;
        self.write_whole(&self.key_path(subject), &sealed)?;
        let (key, id) = bytes.split_first_chunk::<KEY_BYTES>().ok_or(StoreError::Seal)?;
        Ok(SubjectKey { id: Some(hex(id)), cipher: cipher(key)? })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn cipher(key: &[u8; KEY_BYTES]) -> Result<LessSafeKey, StoreError> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| StoreError::Seal)
}

/// Nonce, then ciphertext and tag.
fn seal(key: &LessSafeKey, bound: &[u8], mut plain: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).map_err(|_| StoreError::Seal)?;
    let unique = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(unique, Aad::from(bound), &mut plain)
        .map_err(|_| StoreError::Seal)?;
    Ok([nonce.to_vec(), plain].concat())
}

fn open(key: &LessSafeKey, bound: &[u8], sealed: Vec<u8>) -> Option<Vec<u8>> {
    let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut rest = rest.to_vec();
    let plain = key.open_in_place(nonce, Aad::from(bound), &mut rest).ok()?;
    Some(plain.to_vec())
}

/// The last line of a file has no end.
fn is_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(io::SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// When an exchange began, from its id: a version 7 UUID begins with milliseconds. An id that tells
/// nothing counts as older than any erasure.
fn millis_of(exchange: &str) -> u64 {
    let digits: String = exchange.chars().filter(char::is_ascii_hexdigit).take(12).collect();
    u64::from_str_radix(&digits, 16).unwrap_or(0)
}

/// The UTC day of an exchange.
fn day_of(exchange: &str) -> String {
    let millis = i64::try_from(millis_of(exchange)).unwrap_or(0);
    let moment = jiff::Timestamp::from_millisecond(millis).ok();
    moment.map_or_else(|| "undated".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::super::KeptPiece;
    use super::*;
    use crate::privacy::Redactor;
    use crate::privacy::known::Known;

    fn kept(exchange: &str) -> Kept {
        let redactor = Redactor::default();
        let text = redactor.redact("Mr. Roe has a fever", &mut Known::default()).text;
        let piece = KeptPiece {
            author: "user",
            kind: "text",
            tool: None,
            text: Some(text),
            bytes: 19,
            media: None,
            hash: None,
            dropped: None,
        };
        Kept { exchange: exchange.to_owned(), mode: "standard", pieces: vec![piece] }
    }

    #[test]
    fn what_is_sealed_is_read_by_its_exchange_and_by_nobody_without_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), [7; 32]).unwrap();
        let exchange = "019abcde-0000-7000-8000-000000000001";
        let subject = Subject::User("onc".to_owned(), "ana".to_owned());
        store.append(&subject, &kept(exchange)).unwrap();
        let read = store.read(exchange).unwrap().unwrap();
        assert_eq!(read, serde_json::to_value(kept(exchange)).unwrap());
        assert_eq!(read["pieces"][0]["text"], "Mr. [NAME] has a fever");
        assert_eq!(store.read("019abcde-0000-7000-8000-000000000002").unwrap(), None);
        let file = dir.path().join("content").join(format!("{}.jsonl", day_of(exchange)));
        let bytes = std::fs::read_to_string(file).unwrap();
        assert!(!bytes.contains("fever") && !bytes.contains("ana"));
        let other = Store::open(dir.path(), [8; 32]).unwrap();
        assert!(matches!(other.read(exchange), Err(StoreError::Damaged(_))));
    }

    #[test]
    fn an_erased_subject_is_mute_and_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), [7; 32]).unwrap();
        let ids = ["019abcde-0000-7000-8000-00000000000a", "019abcde-0000-7000-8000-00000000000b"];
        let subjects = ["a", "b"].map(|name| Subject::Session(name.to_owned()));
        for (id, subject) in ids.iter().zip(&subjects) {
            store.append(subject, &kept(id)).unwrap();
        }
        assert!(store.erase(&subjects[0], 0).unwrap() && !store.erase(&subjects[0], 0).unwrap());
        assert!(matches!(store.read(ids[0]), Err(StoreError::Erased)));
        assert!(store.read(ids[1]).unwrap().is_some());
        // Who comes back has another key, and what was erased stays so.
        let again = "019abcde-0000-7000-8000-00000000000c";
        store.append(&subjects[0], &kept(again)).unwrap();
        assert!(store.read(again).unwrap().is_some());
        assert!(matches!(store.read(ids[0]), Err(StoreError::Erased)));
    }

    #[test]
    fn keys_and_lines_without_an_id_are_read_and_erased() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), [7; 32]).unwrap();
        let subject = Subject::Session("s".to_owned());
        let name = store.name(&subject);
        let key = seal(&store.key, name.as_bytes(), vec![9; KEY_BYTES]).unwrap();
        store.write_whole(&store.key_path(&name), &key).unwrap();
        let ids = ["019abcde-0000-7000-8000-00000000000a", "019abcde-0000-7000-8000-00000000000b"];
        store.append(&subject, &kept(ids[0])).unwrap();
        let file = dir.path().join("content").join(format!("{}.jsonl", day_of(ids[0])));
        assert!(!fs::read_to_string(&file).unwrap().contains("\"key\""), "an older version's line");
        assert!(store.read(ids[0]).unwrap().is_some());
        store.erase(&subject, 0).unwrap();
        store.append(&subject, &kept(ids[1])).unwrap();
        assert!(fs::read_to_string(&file).unwrap().contains("\"key\""));
        assert!(matches!(store.read(ids[0]), Err(StoreError::Erased)));
        assert!(store.read(ids[1]).unwrap().is_some());
    }

    #[test]
    fn a_line_that_was_changed_is_damaged_and_not_erased() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), [7; 32]).unwrap();
        let id = "019abcde-0000-7000-8000-00000000000a";
        store.append(&Subject::Session("s".to_owned()), &kept(id)).unwrap();
        let file = dir.path().join("content").join(format!("{}.jsonl", day_of(id)));
        let text = fs::read_to_string(&file).unwrap();
        let at = text.find("\"sealed\":\"").unwrap() + 40;
        let other = if &text[at..=at] == "A" { "B" } else { "A" };
        fs::write(&file, format!("{}{other}{}", &text[..at], &text[at + 1..])).unwrap();
        assert!(matches!(store.read(id), Err(StoreError::Damaged(_))));
    }

    /// An exchange that began in this millisecond.
    fn exchange(millis: u64, nth: u64) -> String {
        let digits = format!("{millis:012x}");
        format!("{}-{}-7000-8000-{nth:012x}", &digits[..8], &digits[8..])
    }

    #[test]
    fn what_began_before_an_erasure_is_not_sealed_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), [7; 32]).unwrap();
        let subject = Subject::Session("s".to_owned());
        const ERASED: u64 = 1_790_000_000_000;
        // Nothing was sealed yet: what waits is dropped all the same.
        assert!(!store.erase(&subject, ERASED).unwrap());
        let sealed = |millis: u64| store.append(&subject, &kept(&exchange(millis, 1))).unwrap();
        assert_eq!(sealed(ERASED - 1), Appended::Erased);
        assert_eq!(sealed(ERASED), Appended::Erased);
        assert_eq!(sealed(ERASED + 1), Appended::Sealed);
        assert!(store.read(&exchange(ERASED - 1, 1)).unwrap().is_none());
        assert!(store.read(&exchange(ERASED + 1, 1)).unwrap().is_some());
        // An erasure by a clock that went back takes nothing of one before it away.
        assert!(store.erase(&subject, ERASED - 9).unwrap());
        assert_eq!(sealed(ERASED), Appended::Erased);
        // A word that cannot be read is no leave to seal.
        fs::write(store.erased_path(&store.name(&subject)), "soon").unwrap();
        assert!(store.append(&subject, &kept(&exchange(ERASED + 2, 1))).is_err());
        assert!(store.erase(&subject, ERASED + 3).is_ok());
    }

    #[test]
    fn an_erasure_amid_the_sealing_leaves_nothing_that_began_before_it() {
        const ERASED: u64 = 1_790_000_000_000;
        let dir = tempfile::tempdir().unwrap();
        let [sealing, erasing] = [0, 1].map(|_| Store::open(dir.path(), [7; 32]).unwrap());
        let subject = Subject::Session("s".to_owned());
        let (name, before) = (sealing.name(&subject), kept(&exchange(ERASED - 1, 1)));
        // The sidecar has a key in its hand, new or old, and has not sealed yet.
        for _ in 0..2 {
            let key = sealing.key_for(&name).unwrap();
            assert!(erasing.erase(&subject, ERASED).unwrap());
            let appended = sealing.append_under(key, &name, &before).unwrap();
            assert_eq!(appended, Appended::Erased);
        }
        // The erasure goes no further than its word: the key is not gone before it.
        let other = Subject::Session("t".to_owned());
        sealing.append(&other, &before).unwrap();
        fs::create_dir(sealing.erased_path(&sealing.name(&other))).unwrap();
        assert!(erasing.erase(&other, ERASED).is_err());
        assert!(sealing.key_path(&sealing.name(&other)).exists());
    }
}
