//! Identifiers from outside: kept as they are when they look like one, else as a keyed hash.
//!
//! A model name, a session id or a tag is chosen by the client, so it could hold anything. What
//! matches `[A-Za-z0-9._:/-]{1,128}` and in which the rules find nobody is kept; anything else
//! becomes `hmac:` and 32 hexadecimal digits of HMAC-SHA-256 under the instance's own key: the
//! same value gives the same hash, and nobody without the key can try out guesses.

use std::fmt;

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use super::label::Label;
use super::rules::Rules;
use super::scan::{Lists, scan};

/// The longest identifier that is kept as it is, in bytes.
pub const IDENTIFIER_BYTES_MAX: usize = 128;

/// What API keys, tokens of logins and our own virtual keys have in them: never a name, wherever a
/// client puts it.
const KEY_MARKS: [&str; 2] = ["sk-ant-", "wbk_"];

/// The instance's key for hashing what may not be kept.
#[derive(Clone)]
pub struct HashKey(hmac::Key);

impl HashKey {
    /// From 32 secret random bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> HashKey {
        HashKey(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    fn hash(&self, bytes: &[u8]) -> String {
        let tag = hmac::sign(&self.0, bytes);
        let hex = tag.as_ref().iter().take(16).map(|b| format!("{b:02x}")).collect::<String>();
        format!("hmac:{hex}")
    }
}

/// The key itself is never shown.
impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(secret)")
    }
}

/// A name from outside that may be written down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identifier(String);

impl Identifier {
    /// Keeps `text` where it looks like an identifier, else its keyed hash.
    #[must_use]
    pub fn from_outside(text: &[u8], key: &HashKey) -> Identifier {
        Identifier::plain(text).unwrap_or_else(|| Identifier(key.hash(text)))
    }

    /// The keyed hash of `text` in any case: for names that a caller fills with what it likes.
    #[must_use]
    pub fn hashed(text: &[u8], key: &HashKey) -> Identifier {
        Identifier(key.hash(text))
    }

    /// The 128 bits of a keyed hash; `None` for a name that was kept.
    #[must_use]
    pub fn hash_bits(text: &str) -> Option<u128> {
        let digits = text.strip_prefix("hmac:").filter(|digits| digits.len() == 32)?;
        u128::from_str_radix(digits, 16).ok()
    }

    /// Keeps `text` where a machine has made it and it needs no second look: a UUID, an id of the
    /// API, one word.
    #[must_use]
    pub fn machine_made(text: &[u8]) -> Option<Identifier> {
        let made = std::str::from_utf8(text).is_ok_and(is_machine_made);
        made.then(|| Identifier::plain(text)).flatten()
    }

    /// Keeps `text` where it looks like an identifier, holds no key and names nobody.
    #[must_use]
    pub fn plain(text: &[u8]) -> Option<Identifier> {
        let fits = (1..=IDENTIFIER_BYTES_MAX).contains(&text.len());
        let text = std::str::from_utf8(text).ok()?;
        let is_key = KEY_MARKS.iter().any(|mark| text.contains(mark));
        let plain = fits && !is_key && text.bytes().all(is_plain);
        (plain && !tells_of_a_person(text)).then(|| Identifier(text.to_owned()))
    }

    /// A name from our own source code.
    #[must_use]
    pub fn known(name: &'static str) -> Identifier {
        Identifier(name.to_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The rules find a person in an identifier: `jane.roe`, `ssn-527-48-1936`, `patient/pt-031475`.
///
/// A word alone is a name of something too often (`Jenkins`), and dates stand in names of runs.
fn tells_of_a_person(text: &str) -> bool {
    static RULES: LazyLock<Rules> = LazyLock::new(Rules::default);
    if is_machine_made(text) {
        return false;
    }
    scan(text, &RULES, Lists::default()).found.iter().any(|finding| match finding.label {
        Label::Name => finding.rule != "name-alone",
        Label::Ssn
        | Label::Mrn
        | Label::Phone
        | Label::Email
        | Label::HealthPlanId
        | Label::Account
        | Label::License
        | Label::Ip
        | Label::Id
        | Label::Secret => true,
        _ => false,
    })
}

/// One word, a UUID, or an id that the API made: most of what comes.
fn is_machine_made(text: &str) -> bool {
    let bytes = text.as_bytes();
    let uuid = bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    uuid || bytes.iter().all(u8::is_ascii_alphabetic) || is_of_api(text)
}

/// An id of a request, a message, a batch or the use of a tool, as the API makes them.
#[must_use]
pub fn is_of_api(text: &str) -> bool {
    const MADE: [&str; 5] = ["toolu_", "srvtoolu_", "msg_", "msgbatch_", "req_"];
    MADE.iter().any(|made| {
        let rest = text.strip_prefix(made).unwrap_or("");
        (20..=40).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'/' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_looks_like_an_identifier() {
        let key = HashKey::new(&[7; 32]);
        for text in [
            "nightly-2026-11-25",
            "jenkins",
            "team:search",
            "mcp__github__get_issue",
            "run-42",
            "feature/mark-down-export",
            "v1.2.3",
            "sess_01HZX4",
            "a1b2c3d4e5f60718",
            "prod/eu-west-1",
        ] {
            assert_eq!(Identifier::from_outside(text.as_bytes(), &key).as_str(), text);
        }
        for text in ["claude-opus-5-5", "a2f16f96-1048-418a-8d39-43cd985a3aa6", "us.anthropic.x:0"]
        {
            assert_eq!(Identifier::from_outside(text.as_bytes(), &key).as_str(), text);
        }
    }

    #[test]
    fn hashes_the_rest_under_the_key() {
        let (one, two) = (HashKey::new(&[1; 32]), HashKey::new(&[2; 32]));
        for text in ["jane.roe", "ssn-527-48-1936", "patient/pt-031475", "call-919-555-0121"] {
            let kept = Identifier::from_outside(text.as_bytes(), &one);
            assert!(kept.as_str().starts_with("hmac:"), "{text}");
        }
        for text in ["", "Jane Doe", "x\n", &"a".repeat(129), "sk-ant-api03-x", "a/wbk_b"] {
            let kept = Identifier::from_outside(text.as_bytes(), &one);
            assert!(kept.as_str().starts_with("hmac:") && kept.as_str().len() == 37);
            assert_eq!(kept, Identifier::from_outside(text.as_bytes(), &one));
            assert_ne!(kept, Identifier::from_outside(text.as_bytes(), &two));
        }
    }
}
