//! What operators do with commands, and what changes what holds. Commands do not write to the
//! ledger: they leave the act for the sidecar ([`crate::inbox`]), which writes it down.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::correction::{Reattributed, is_name};
use super::entry::Entry;
use crate::privacy::Identifier;

/// The most criteria that an export names, and the longest name of one.
const CONTROLS_MAX: usize = 32;
const CRITERION_BYTES_MAX: usize = 16;

/// What a command leaves to be written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body", rename_all = "snake_case")]
pub enum Act {
    /// Spend moves to another payer.
    Reattributed(Box<Reattributed>),
    /// The key of kept contents was destroyed.
    Erased(Box<Erased>),
    /// A bundle of evidence was made.
    Exported(Box<Exported>),
    /// The data directory was copied.
    BackedUp(BackedUp),
}

/// The key of what was kept of a subject was destroyed: it can never be read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erased {
    /// Who ran the command, as the system knows it; the sidecar fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_uid: Option<u32>,
    /// One call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<String>,
    /// Whether there was a key. Without one nothing was kept, or it was erased before; what waited
    /// to be kept is dropped.
    pub found: bool,
    /// The act's own id: one that was written down twice is the same act.
    pub id: String,
    /// One session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Identifier>,
    /// The team of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// One user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A bundle of evidence was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exported {
    /// Who ran the command, as the system knows it; the sidecar fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_uid: Option<u32>,
    /// Tables were narrowed to what supports these criteria.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<String>,
    /// The index after the last line.
    pub end: u64,
    /// The index of the first line.
    pub first: u64,
    /// The act's own id.
    pub id: String,
    /// SHA-256 of the bundle's manifest, which holds every other file's hash.
    pub manifest: String,
    /// Root of the tree over all lines at that time.
    pub root: String,
    /// Tables were narrowed to this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Identifier>,
    /// How many lines that tree has.
    pub size: u64,
    /// Tables were narrowed to this team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Identifier>,
}

/// The data directory was copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackedUp {
    /// Who ran the command, as the system knows it; the sidecar fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_uid: Option<u32>,
    /// How many lines the copy has.
    pub entries: u64,
    /// The act's own id.
    pub id: String,
}

/// Another configuration holds, or other keys and payers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Digest of the new one.
    pub after: String,
    /// Digest of the old one.
    pub before: String,
    /// Who owns the file that was read, as the system knows it; without a file, the sidecar.
    pub by_uid: u32,
}

/// What was kept of a call's contents, in counts: the contents are sealed beside the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentKept {
    /// Pieces that were not kept, by reason (`too_long`, `timed_out`, `failed`, `erased`,
    /// `unwritten`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, u64>,
    /// The exchange.
    pub exchange: String,
    /// `standard` or `strict`.
    pub mode: String,
    /// Pieces that were kept.
    pub pieces: u64,
    /// Redactions in them, by label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub redactions: BTreeMap<String, u64>,
    /// The session, as it is recorded; absent where the client names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Who paid for the call.
    pub team: String,
}

/// The oldest lines were removed as the configuration asks; their hashes stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// The index of the first line that stays.
    pub first: u64,
    /// Whole months (UTC) before the current one for which lines are kept.
    pub retention_months: u64,
    /// Root of the tree over the lines that are gone.
    pub root: String,
}

/// `CC6.1`, `164.312(b)`, …
fn is_criterion(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".()".contains(&byte);
    (1..=CRITERION_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

impl Act {
    /// As it is written down; `uid` is that of the process that left it.
    #[must_use]
    pub fn into_entry(self, uid: u32) -> Entry {
        let by_uid = Some(uid);
        match self {
            Act::Reattributed(correction) => Entry::Reattributed(correction),
            Act::Erased(erased) => Entry::Erased(Box::new(Erased { by_uid, ..*erased })),
            Act::Exported(exported) => Entry::Exported(Box::new(Exported { by_uid, ..*exported })),
            Act::BackedUp(copied) => Entry::BackedUp(BackedUp { by_uid, ..copied }),
        }
    }

    /// The act's own id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Act::Reattributed(correction) => &correction.id,
            Act::Erased(erased) => &erased.id,
            Act::Exported(exported) => &exported.id,
            Act::BackedUp(copied) => &copied.id,
        }
    }

    /// Checks what came from outside.
    ///
    /// # Errors
    ///
    /// In words: a name is none, or a correction chooses everything.
    pub fn check(&self) -> Result<(), String> {
        let is_digest = |text: &String| {
            text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let good = match self {
            Act::Reattributed(correction) => {
                return correction.check().map_err(|error| error.to_string());
            }
            Act::Erased(erased) => {
                let Erased { exchange, team, user, session, .. } = &**erased;
                let mut names = [exchange, team, user].into_iter().flatten();
                names.all(|name| is_name(name)) && is_identifier(session.as_ref())
            }
            Act::Exported(exported) => {
                let controls = &exported.controls;
                [&exported.manifest, &exported.root].map(is_digest) == [true; 2]
                    && is_identifier(exported.session.as_ref())
                    && is_identifier(exported.team.as_ref())
                    && controls.len() <= CONTROLS_MAX
                    && controls.iter().all(|name| is_criterion(name))
            }
            Act::BackedUp(_) => true,
        };
        (good && is_name(self.id()))
            .then_some(())
            .ok_or_else(|| "a name or a digest is none".to_owned())
    }
}

/// Whether a name from a file is one that may be kept as it is.
fn is_identifier(name: Option<&Identifier>) -> bool {
    name.is_none_or(|name| {
        let text = name.as_str();
        Identifier::hash_bits(text).is_some() || Identifier::plain(text.as_bytes()).is_some()
    })
}
