//! A message batch in the ledger: who made it, and each result that cost something, once.
//!
//! A batch is billed whether anybody fetches its results or not; here its price becomes known when
//! they pass. They may be fetched any number of times, so a result has a name of its own: the
//! batch's id and a keyed hash of the caller's `custom_id`.

use serde::{Deserialize, Serialize};

use super::exchange::{ChargeRecord, is_none};
use crate::accounting::{Flag, Usage};
use crate::privacy::Identifier;

/// A batch was made through this sidecar: its results are the maker's, whoever fetches them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchCreated {
    /// The API's id of it.
    pub batch: Identifier,
    /// The exchange that made it.
    pub exchange: String,
    /// Fingerprint of the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// From the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Who pays.
    pub team: String,
    /// From the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A succeeded request of a batch, priced when its result was first seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchResult {
    /// The API's id of the batch.
    pub batch: Identifier,
    /// The money; absent where usage is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge: Option<ChargeRecord>,
    /// When the batch was made, nanoseconds since 1970 (UTC): the day of its price. Absent where
    /// it was not made through this sidecar; then the day of the fetch counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<u64>,
    /// The exchange that fetched it.
    pub exchange: String,
    /// What a reader of the figures must know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
    /// Keyed hash of the `custom_id`.
    pub item: Identifier,
    /// Fingerprint of the credential that made the batch, else of the one that fetched it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Identifier>,
    /// Of the maker's, else the fetcher's credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Why the model stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<Identifier>,
    /// Who pays: who made the batch, where that is known, else who fetched it.
    pub team: String,
    /// What was used; absent means *unknown*, never zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Of the maker's, else the fetcher's credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// What one fetch of a batch's results held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchTally {
    /// Canceled before they were begun: not billed.
    #[serde(default, skip_serializing_if = "is_none")]
    pub canceled: u64,
    /// Failed: not billed.
    #[serde(default, skip_serializing_if = "is_none")]
    pub errored: u64,
    /// Not begun in time: not billed.
    #[serde(default, skip_serializing_if = "is_none")]
    pub expired: u64,
    /// Succeeded and seen for the first time: entries of their own.
    #[serde(default, skip_serializing_if = "is_none")]
    pub priced: u64,
    /// Succeeded and seen before.
    #[serde(default, skip_serializing_if = "is_none")]
    pub repeated: u64,
    /// Lines that could not be read: what they cost is unknown.
    #[serde(default, skip_serializing_if = "is_none")]
    pub unreadable: u64,
}

impl BatchTally {
    /// Each kind with its name, in the order of the fields.
    #[must_use]
    pub const fn counts(&self) -> [(&'static str, u64); 6] {
        [
            ("canceled", self.canceled),
            ("errored", self.errored),
            ("expired", self.expired),
            ("priced", self.priced),
            ("repeated", self.repeated),
            ("unreadable", self.unreadable),
        ]
    }
}
