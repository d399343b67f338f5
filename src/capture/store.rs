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
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::Kept;
use super::lines::{LINE_BYTES_MAX, LineRead, Lines};
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
    /// What was asked for is no id and no beginning of one.
    #[error("{0:?} is no exchange: write its id, or the first {ID_CHARS_MIN} characters or more")]
    NoId(String),
    /// More than one exchange begins so.
    #[error("more than one exchange begins so, among them {0}: write more of the id")]
    Ambiguous(String),
}

/// What came of sealing a call's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// They are in the file.
    Sealed,
    /// The call began before its subject was erased: nothing was written.
    Erased,
    /// Together they would be a longer line than is read: nothing was written.
    TooLong,
}

/// Told of a line that is too long to be read: its file and its number.
pub type PassedOver<'a> = dyn FnMut(&Path, u64) + 'a;

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

/// The shortest beginning of an exchange's id that is looked for: it tells the minute.
const ID_CHARS_MIN: usize = 8;

/// Characters of a whole id.
const ID_CHARS: usize = 36;

/// Removes what was kept before a UTC day, whoever it belongs to.
///
/// # Errors
///
/// A file cannot be removed.
pub fn remove_before(data_dir: &Path, day: jiff::civil::Date) -> io::Result<()> {
    for entry in fs::read_dir(data_dir.join("content")).into_iter().flatten() {
        let path = entry?.path();
        let is_lines = path.extension().is_some_and(|ending| ending == "jsonl");
        let of = path.file_stem().and_then(|name| name.to_str()?.parse::<jiff::civil::Date>().ok());
        if is_lines && path.is_file() && of.is_some_and(|of| of < day) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

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
        if text.len() > LINE_BYTES_MAX {
            return Ok(Appended::TooLong);
        }
        text.push('\n');
        let path = self.day_path(millis_of(&kept.exchange));
        let mut options = OpenOptions::new();
        let mut file = options.create(true).read(true).append(true).mode(0o600).open(path)?;
        // A line that a crash has torn must not take this one with it.
        if is_torn(&mut file)? {
            text.insert(0, '\n');
        }
        file.write_all(text.as_bytes())?;
        Ok(Appended::Sealed)
    }

    /// The contents of an exchange, by its id or by a beginning of it that no other has; `None`
    /// where none were kept.
    ///
    /// # Errors
    ///
    /// They were erased, are damaged, or cannot be read; or it is not one exchange.
    pub fn read(
        &self,
        exchange: &str,
        passed_over: &mut PassedOver<'_>,
    ) -> Result<Option<Value>, StoreError> {
        let Some(line) = self.find(exchange, passed_over)? else { return Ok(None) };
        let damaged = || StoreError::Damaged(format!("the line of {}", line.exchange));
        let key = self.subject_key(&line.subject)?;
        let key = key.filter(|key| key.id == line.key).ok_or(StoreError::Erased)?;
        let sealed = STANDARD.decode(&line.sealed).map_err(|_| damaged())?;
        let bound = line.exchange.as_bytes();
        let plain = open(&key.cipher, bound, sealed).ok_or_else(damaged)?;
        serde_json::from_slice(&plain).map(Some).map_err(|_| damaged())
    }

    /// The whole id of an exchange of which something was kept, erased or not.
    ///
    /// # Errors
    ///
    /// The disk; or it is not one exchange.
    pub fn whole_id(
        &self,
        exchange: &str,
        passed_over: &mut PassedOver<'_>,
    ) -> Result<Option<String>, StoreError> {
        Ok(self.find(exchange, passed_over)?.map(|line| line.exchange))
    }

    /// The one line of an exchange.
    fn find(
        &self,
        exchange: &str,
        passed_over: &mut PassedOver<'_>,
    ) -> Result<Option<Line>, StoreError> {
        let id = exchange.trim().to_ascii_lowercase();
        let fits = (ID_CHARS_MIN..=ID_CHARS).contains(&id.len());
        if !fits || !id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            return Err(StoreError::NoId(exchange.chars().take(ID_CHARS).collect()));
        }
        // What a beginning leaves open is a minute at most, which may have midnight in it.
        let mut paths = [0, u64::MAX].map(|rest| self.day_path(millis_within(&id, rest))).to_vec();
        paths.dedup();
        let mut found: Option<Line> = None;
        for path in paths {
            let Some(mut lines) = Lines::open(&path)? else { continue };
            while let Some(line) = lines.next()? {
                let text = match line {
                    LineRead::Whole(text) => text,
                    LineRead::TooLong(number) => {
                        passed_over(&path, number);
                        continue;
                    }
                };
                if memmem::find(&text, id.as_bytes()).is_none() {
                    continue;
                }
                let Ok(line) = serde_json::from_slice::<Line>(&text) else { continue };
                if !line.exchange.starts_with(&id) {
                    continue;
                }
                match &found {
                    Some(other) if other.exchange != line.exchange => {
                        let both = format!("{} and {}", other.exchange, line.exchange);
                        return Err(StoreError::Ambiguous(both));
                    }
                    _ => found = Some(line),
                }
                if id.len() == ID_CHARS {
                    return Ok(found);
                }
            }
        }
        Ok(found)
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

    /// The file of a UTC day.
    fn day_path(&self, millis: u64) -> PathBuf {
        let moment = i64::try_from(millis).ok();
        let moment = moment.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
        let day = moment.map(|at| at.strftime("%Y-%m-%d").to_string());
        self.dir.join(format!("{}.jsonl", day.as_deref().unwrap_or("undated")))
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
    millis_within(exchange, 0)
}

/// The same for the beginning of an id: `rest` is the digits that are not there.
fn millis_within(id: &str, rest: u64) -> u64 {
    const DIGITS: usize = 12;
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(DIGITS).collect();
    let open = 4 * (DIGITS - digits.len());
    let known = u64::from_str_radix(&digits, 16).unwrap_or(0) << open;
    known | rest & ((1 << open) - 1)
}

#[cfg(test)]
mod tests;
