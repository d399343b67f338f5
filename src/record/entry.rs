//! Every kind of fact the ledger can hold.

use serde::{Deserialize, Serialize};

use super::act::{BackedUp, Changed, ContentKept, Erased, Exported, Pruned};
use super::batch::{BatchCreated, BatchResult};
use super::correction::Reattributed;
use super::exchange::{Closing, Opening};
use super::hook::HookEvent;
use super::notice::{BudgetCrossed, BudgetRearmed, ErrorClassSeen};
use super::tool::{RuleApplied, ToolsAsked, ToolsReturned};

/// One immutable fact. The kind's name stands in the line's `kind`, the rest in its `body`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An exchange begins (R1).
    Opened(Box<Opening>),
    /// An exchange ends (R2).
    Closed(Box<Closing>),
    /// A process took the ledger over.
    Started(Started),
    /// A process gave the ledger back after a clean drain.
    Stopped(Stopped),
    /// What recovery found and did at start-up.
    Recovered(Recovered),
    /// Something that should be in the ledger is not.
    Gap(Gap),
    /// The reserve was used because the disk was full.
    Reserve(Reserve),
    /// From here on other prices hold; calls that run keep those they began with.
    PricesChanged(PricesChanged),
    /// A message batch was made.
    BatchCreated(Box<BatchCreated>),
    /// A request of a message batch was priced.
    BatchResult(Box<BatchResult>),
    /// Past spend moves to another cost centre.
    Reattributed(Box<Reattributed>),
    /// A budget's threshold was crossed.
    BudgetCrossed(Box<BudgetCrossed>),
    /// A burn tier of a budget can fire again.
    BudgetRearmed(BudgetRearmed),
    /// The API answered with an error of a class that is watched.
    ErrorClassSeen(ErrorClassSeen),
    /// An answer asked for tools.
    ToolsAsked(Box<ToolsAsked>),
    /// Results of tools were sent.
    ToolsReturned(Box<ToolsReturned>),
    /// An event of the client's hooks.
    Hook(Box<HookEvent>),
    /// A rule decided, or would have.
    RuleApplied(Box<RuleApplied>),
    /// Nothing happened for a while, and the sidecar was there to say so.
    Heartbeat(Heartbeat),
    /// Checkpoints are signed with another key from here on.
    KeyRotated(KeyRotated),
    /// The ledger is older than a checkpoint, and an operator went on with it.
    Rollback(Rollback),
    /// From here on another configuration holds.
    ConfigChanged(Changed),
    /// From here on other keys and payers hold.
    PayersChanged(Changed),
    /// Contents of a call were redacted and sealed.
    ContentKept(Box<ContentKept>),
    /// Kept contents of a subject were erased.
    Erased(Box<Erased>),
    /// A bundle of evidence was made.
    Exported(Box<Exported>),
    /// The data directory was copied.
    BackedUp(BackedUp),
    /// The oldest lines were removed as the configuration asks.
    Pruned(Pruned),
    /// The wall clock was set: times before and after it do not compare.
    ClockJump(ClockJump),
}

/// A process took the ledger over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Hash of the effective configuration, secrets left out.
    pub config: String,
    /// Hash of the keys file: who pays for which key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payers: Option<String>,
    /// The pricing table's version and content hash.
    pub pricing: String,
    /// `clean`, `crash` or `first`: how the process before this one ended.
    pub previous: String,
    /// Version of the program.
    pub program: String,
    /// The user the process runs as, as the system knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
}

/// The digests of what holds: with them the next start tells what was changed while none ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// As in [`Started::config`].
    pub config: String,
    /// As in [`Started::payers`].
    pub payers: Option<String>,
    /// As in [`Started::pricing`].
    pub pricing: String,
}

impl InForce {
    /// What holds after an entry.
    pub fn follow(held: &mut Option<InForce>, entry: &Entry) {
        match entry {
            Entry::Started(started) => {
                let Started { config, payers, pricing, .. } = started.clone();
                *held = Some(InForce { config, payers, pricing });
            }
            Entry::PricesChanged(change) => {
                if let Some(held) = held {
                    held.pricing.clone_from(&change.after);
                }
            }
            Entry::PayersChanged(change) => {
                if let Some(held) = held {
                    held.payers = Some(change.after.clone());
                }
            }
            _ => {}
        }
    }
}

/// A clean end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Exchanges that were still open when the drain's deadline passed.
    pub open_exchanges: u64,
}

/// What recovery found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// Indices of lines whose bytes no longer match the hash the next line holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<u64>,
    /// Exchanges that were open and are now closed as `interrupted`.
    pub interrupted: u64,
    /// Bytes of a torn last line that were dropped.
    pub truncated_bytes: u64,
}

/// Something is missing, and this says how much and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// How many entries are missing.
    pub count: u64,
    /// First moment, nanoseconds since 1970 (UTC).
    pub from: u64,
    /// `ledger_unwritable`, …
    pub reason: String,
    /// Last moment, nanoseconds since 1970 (UTC).
    pub to: u64,
}

/// Use of the reserve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserve {
    /// Entries written to the reserve.
    pub entries: u64,
    /// Index of the first of them.
    pub first: u64,
}

/// A pricing table took the place of another while running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricesChanged {
    /// Version and content hash of the new one.
    pub after: String,
    /// Those of the old one.
    pub before: String,
}

/// A sign of life in idle time, so that "no calls" is evidence and not silence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Since when nothing was appended, as far as this process knows, nanoseconds since 1970 (UTC).
    pub idle_since: u64,
    /// Exchanges that are open.
    pub open_exchanges: u64,
}

/// A new key for checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRotated {
    /// The verifier key from here on.
    pub after: String,
    /// The verifier key up to here.
    pub before: String,
    /// `asked` or `age`.
    pub reason: String,
}

/// The wall clock went another way than the monotonic one: somebody set it, or the machine slept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockJump {
    /// What the wall clock would have shown, nanoseconds since 1970 (UTC).
    pub from: u64,
    /// How far it jumped, milliseconds; negative where it went back.
    pub ms: i64,
    /// What it shows, nanoseconds since 1970 (UTC).
    pub to: u64,
}

/// What an operator accepted with `--accept-rollback`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// Entries in the ledger at the start.
    pub entries: u64,
    /// Entries that a checkpoint covers.
    pub signed: u64,
    /// Who holds that checkpoint: `checkpoints`, or a witness by name.
    pub source: String,
}

impl Entry {
    /// The name in the line's `kind`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Entry::Opened(_) => "opened",
            Entry::Closed(_) => "closed",
            Entry::Started(_) => "started",
            Entry::Stopped(_) => "stopped",
            Entry::Recovered(_) => "recovered",
            Entry::Gap(_) => "gap",
            Entry::Reserve(_) => "reserve",
            Entry::PricesChanged(_) => "prices_changed",
            Entry::BatchCreated(_) => "batch_created",
            Entry::BatchResult(_) => "batch_result",
            Entry::Reattributed(_) => "reattributed",
            Entry::BudgetCrossed(_) => "budget_crossed",
            Entry::BudgetRearmed(_) => "budget_rearmed",
            Entry::ErrorClassSeen(_) => "error_class_seen",
            Entry::ToolsAsked(_) => "tools_asked",
            Entry::ToolsReturned(_) => "tools_returned",
            Entry::Hook(_) => "hook",
            Entry::RuleApplied(_) => "rule_applied",
            Entry::Heartbeat(_) => "heartbeat",
            Entry::KeyRotated(_) => "key_rotated",
            Entry::Rollback(_) => "rollback",
            Entry::ConfigChanged(_) => "config_changed",
            Entry::PayersChanged(_) => "payers_changed",
            Entry::ContentKept(_) => "content_kept",
            Entry::Erased(_) => "erased",
            Entry::Exported(_) => "exported",
            Entry::BackedUp(_) => "backed_up",
            Entry::Pruned(_) => "pruned",
            Entry::ClockJump(_) => "clock_jump",
        }
    }
}
