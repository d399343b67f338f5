//! The canonical bytes of an entry: one line of JSON with sorted keys, integers and strings only.
//!
//! These bytes, without the newline, are the leaf of the Merkle tree; they are written once and
//! never re-serialised. Everything but the index and the previous leaf's hash is known before the
//! ledger's lock is taken, so [`Draft`] holds the line in three parts and [`Draft::line`] joins
//! them under the lock.

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::value::RawValue;

use super::entry::Entry;
use crate::audit::merkle::Hash;

/// Version of the line format, in every line's `v`.
pub const FORMAT_VERSION: u32 = 1;
/// The longest line, newline included. Identifiers, tags and line items are bounded so that no
/// entry reaches it; it is checked before anything is written.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// When and where an entry was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Wall clock, nanoseconds since 1970 (UTC).
    pub wall_ns: u64,
    /// Monotonic clock, nanoseconds since this process started.
    pub mono_ns: u64,
}

/// Who writes: the same for every entry of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The instance's id, made at its first start and bound to its data directory.
    pub instance: String,
    /// This process run's id.
    pub boot: String,
}

/// An entry could not be written as a line.
#[derive(Debug, thiserror::Error)]
pub enum EncodingError {
    /// The body does not serialise.
    #[error("the entry cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The line is longer than [`LINE_BYTES_MAX`].
    #[error("the entry takes {0} bytes, more than {LINE_BYTES_MAX}")]
    TooLong(usize),
}

/// A line without its index and previous hash.
#[derive(Clone, Debug)]
pub struct Draft {
    head: Vec<u8>,
    middle: Vec<u8>,
    tail: Vec<u8>,
}

impl Draft {
    /// Serialises all that does not depend on the entry's place in the ledger.
    pub fn new(entry: &Entry, origin: &Origin, stamp: Stamp) -> Result<Draft, EncodingError> {
        let mut head = Vec::with_capacity(1024);
        head.extend_from_slice(b"{\"body\":");
        match entry {
            Entry::Opened(body) => serde_json::to_writer(&mut head, body)?,
            Entry::Closed(body) => serde_json::to_writer(&mut head, body)?,
            Entry::Started(body) => serde_json::to_writer(&mut head, body)?,
            Entry::Stopped(body) => serde_json::to_writer(&mut head, body)?,
            Entry::Recovered(body) => serde_json::to_writer(&mut head, body)?,
            Entry::Gap(body) => serde_json::to_writer(&mut head, body)?,
            Entry::Reserve(body) => serde_json::to_writer(&mut head, body)?,
            Entry::PricesChanged(body) => serde_json::to_writer(&mut head, body)?,
            Entry::BatchCreated(body) => serde_json::to_writer(&mut head, body)?,
            Entry::BatchResult(body) => serde_json::to_writer(&mut head, body)?,
            Entry::Reattributed(body) => serde_json::to_writer(&mut head, body)?,
            Entry::BudgetCrossed(body) => serde_json::to_writer(&mut head, body)?,
            Entry::BudgetRearmed(body) => serde_json::to_writer(&mut head, body)?,
            Entry::ErrorClassSeen(body) => serde_json::to_writer(&mut head, body)?,
            Entry::ToolsAsked(body) => serde_json::to_writer(&mut head, body)?,
            Entry::ToolsReturned(body) => serde_json::to_writer(&mut head, body)?,
            Entry::Hook(body) => serde_json::to_writer(&mut head, body)?,
            Entry::RuleApplied(body) => serde_json::to_writer(&mut head, body)?,
            Entry::Heartbeat(body) => serde_json::to_writer(&mut head, body)?,
            Entry::KeyRotated(body) => serde_json::to_writer(&mut head, body)?,
            Entry::Rollback(body) => serde_json::to_writer(&mut head, body)?,
            Entry::ConfigChanged(body) | Entry::PayersChanged(body) => {
                serde_json::to_writer(&mut head, body)?;
            }
            Entry::ContentKept(body) => serde_json::to_writer(&mut head, body)?,
            Entry::Erased(body) => serde_json::to_writer(&mut head, body)?,
            Entry::Exported(body) => serde_json::to_writer(&mut head, body)?,
            Entry::BackedUp(body) => serde_json::to_writer(&mut head, body)?,
            Entry::Pruned(body) => serde_json::to_writer(&mut head, body)?,
            Entry::ClockJump(body) => serde_json::to_writer(&mut head, body)?,
        }
        head.extend_from_slice(b",\"boot\":\"");
        head.extend_from_slice(origin.boot.as_bytes());
        head.extend_from_slice(b"\",\"i\":");
        let mut middle = Vec::with_capacity(128);
        for part in [",\"instance\":\"", &origin.instance, "\",\"kind\":\"", entry.kind()] {
            middle.extend_from_slice(part.as_bytes());
        }
        middle.extend_from_slice(b"\",\"mono\":");
        serde_json::to_writer(&mut middle, &stamp.mono_ns)?;
        middle.extend_from_slice(b",\"prev\":\"");
        let mut tail = Vec::with_capacity(64);
        tail.extend_from_slice(b"\",\"t\":");
        serde_json::to_writer(&mut tail, &stamp.wall_ns)?;
        tail.extend_from_slice(b",\"v\":");
        serde_json::to_writer(&mut tail, &FORMAT_VERSION)?;
        tail.extend_from_slice(b"}\n");
        Ok(Draft { head, middle, tail })
    }

    /// The whole line, newline included.
    pub fn line(&self, index: u64, previous: &Hash) -> Result<Vec<u8>, EncodingError> {
        let length = self.head.len() + self.middle.len() + self.tail.len() + 20 + 64;
        let mut line = Vec::with_capacity(length);
        line.extend_from_slice(&self.head);
        serde_json::to_writer(&mut line, &index)?;
        line.extend_from_slice(&self.middle);
        line.extend_from_slice(&previous.to_hex());
        line.extend_from_slice(&self.tail);
        if line.len() > LINE_BYTES_MAX {
            return Err(EncodingError::TooLong(line.len()));
        }
        Ok(line)
    }
}

/// What stands before the kind in a line. Nothing after it comes from outside, so the last one
/// in the line is the right one.
const KIND_MARK: &[u8] = b",\"kind\":\"";

/// Finds a line's kind without parsing the line.
#[derive(Debug)]
pub struct KindFinder(memmem::FinderRev<'static>);

impl Default for KindFinder {
    fn default() -> KindFinder {
        KindFinder(memmem::FinderRev::new(KIND_MARK))
    }
}

impl KindFinder {
    /// The kind; `None` where the line is damaged.
    #[must_use]
    pub fn kind<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        if line.len() > LINE_BYTES_MAX {
            return None;
        }
        let rest = &line[self.0.rfind(line)? + KIND_MARK.len()..];
        Some(&rest[..memchr::memchr(b'"', rest)?])
    }
}

/// Text that is borrowed unless it holds an escape; inside an `Option`, a bare `Cow` would not be.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(
    /// The text.
    #[serde(borrow)]
    pub Cow<'a, str>,
);

/// A line read back. The body stays raw until somebody asks for it.
#[derive(Debug, Deserialize)]
pub struct Line<'a> {
    /// The entry's body, see [`Line::entry`].
    #[serde(borrow)]
    pub body: &'a RawValue,
    /// The process run that wrote it.
    pub boot: &'a str,
    /// The entry's index: its place in the ledger and its leaf's place in the tree.
    #[serde(rename = "i")]
    pub index: u64,
    /// The instance that wrote it.
    pub instance: &'a str,
    /// The entry's kind.
    pub kind: &'a str,
    /// Monotonic nanoseconds since the process started.
    pub mono: u64,
    /// Leaf hash of the entry before.
    #[serde(rename = "prev", deserialize_with = "hex_hash")]
    pub previous: Hash,
    /// Wall clock, nanoseconds since 1970 (UTC).
    #[serde(rename = "t")]
    pub wall_ns: u64,
    /// Format version.
    pub v: u32,
}

fn hex_hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
    let text = <&str>::deserialize(deserializer)?;
    Hash::from_hex(text).ok_or_else(|| D::Error::custom("prev is not 64 hexadecimal digits"))
}

impl<'a> Line<'a> {
    /// Reads one line, with or without its newline.
    pub fn parse(bytes: &'a [u8]) -> Result<Line<'a>, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The entry. `None` for a kind this version does not know: a newer version wrote it.
    pub fn entry(&self) -> Result<Option<Entry>, serde_json::Error> {
        let body = self.body.get();
        Ok(Some(match self.kind {
            "opened" => Entry::Opened(serde_json::from_str(body)?),
            "closed" => Entry::Closed(serde_json::from_str(body)?),
            "started" => Entry::Started(serde_json::from_str(body)?),
            "stopped" => Entry::Stopped(serde_json::from_str(body)?),
            "recovered" => Entry::Recovered(serde_json::from_str(body)?),
            "gap" => Entry::Gap(serde_json::from_str(body)?),
            "reserve" => Entry::Reserve(serde_json::from_str(body)?),
            "prices_changed" => Entry::PricesChanged(serde_json::from_str(body)?),
            "batch_created" => Entry::BatchCreated(serde_json::from_str(body)?),
            "batch_result" => Entry::BatchResult(serde_json::from_str(body)?),
            "reattributed" => Entry::Reattributed(serde_json::from_str(body)?),
            "budget_crossed" => Entry::BudgetCrossed(serde_json::from_str(body)?),
            "budget_rearmed" => Entry::BudgetRearmed(serde_json::from_str(body)?),
            "error_class_seen" => Entry::ErrorClassSeen(serde_json::from_str(body)?),
            "tools_asked" => Entry::ToolsAsked(serde_json::from_str(body)?),
            "tools_returned" => Entry::ToolsReturned(serde_json::from_str(body)?),
            "hook" => Entry::Hook(serde_json::from_str(body)?),
            "rule_applied" => Entry::RuleApplied(serde_json::from_str(body)?),
            "heartbeat" => Entry::Heartbeat(serde_json::from_str(body)?),
            "key_rotated" => Entry::KeyRotated(serde_json::from_str(body)?),
            "rollback" => Entry::Rollback(serde_json::from_str(body)?),
            "config_changed" => Entry::ConfigChanged(serde_json::from_str(body)?),
            "payers_changed" => Entry::PayersChanged(serde_json::from_str(body)?),
            "content_kept" => Entry::ContentKept(serde_json::from_str(body)?),
            "erased" => Entry::Erased(serde_json::from_str(body)?),
            "exported" => Entry::Exported(serde_json::from_str(body)?),
            "backed_up" => Entry::BackedUp(serde_json::from_str(body)?),
            "pruned" => Entry::Pruned(serde_json::from_str(body)?),
            "clock_jump" => Entry::ClockJump(serde_json::from_str(body)?),
            _ => return Ok(None),
        }))
    }
}
