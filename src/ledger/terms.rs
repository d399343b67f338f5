//! The words of the ledger's interface: how it is opened, how it answers, how it is.

use std::io;
use std::path::PathBuf;

use crate::record::encoding::{EncodingError, Stamp};
use crate::record::entry::InForce;

/// Default of [`Options::segment_bytes_max`].
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;

/// What an acknowledged entry survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// The end of this process (`kill -9`). A power cut loses at most the last 250 ms.
    #[default]
    Process,
    /// A power cut: the append waits for `fdatasync`, shared by all that wait.
    Power,
}

/// What happens when the ledger cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Go on in the reserve while it keeps room for every running call, then refuse.
    #[default]
    Closed,
    /// [`Durability::Power`], and the reserve is for running calls only.
    Strict,
    /// Go on without a record. The gap is counted and becomes an entry.
    Observe,
}

impl Durability {
    /// The name used in the configuration and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Durability::Process => "process",
            Durability::Power => "power",
        }
    }
}

impl Mode {
    /// The name used in the configuration and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Closed => "closed",
            Mode::Strict => "strict",
            Mode::Observe => "observe",
        }
    }
}

/// How to open a ledger.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory. It must exist; nothing is ever written anywhere else.
    pub dir: PathBuf,
    /// What an acknowledged entry survives.
    pub durability: Durability,
    /// What happens when the ledger cannot be written.
    pub mode: Mode,
    /// A segment is sealed before it grows beyond this many bytes.
    pub segment_bytes_max: u64,
}

/// Whose entry it is: decides who may still use the reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `opened`: a call that can still be refused.
    NewCall,
    /// Everything else: it belongs to what already runs.
    Running,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its index; `None` where it was not recorded ([`Mode::Observe`] only).
    pub sequence: Option<u64>,
}

/// How the process before this one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Previous {
    /// There was none.
    First,
    /// The last entry is `stopped`.
    Clean,
    /// Anything else.
    Crash,
}

impl Previous {
    /// The name used in the `started` entry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Previous::First => "first",
            Previous::Clean => "clean",
            Previous::Crash => "crash",
        }
    }
}

/// What [`Ledger::open`] found. The caller writes it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// How the process before this one ended.
    pub previous: Previous,
    /// Bytes of a torn tail that were dropped.
    pub truncated_bytes: u64,
    /// Indices of lines that no longer are what was written. They are left as they are.
    pub damaged: Vec<u64>,
    /// Exchanges that were opened and not closed, oldest first.
    pub open: Vec<String>,
    /// Entries in the ledger.
    pub entries: u64,
    /// What held when the process before this one ended; `None` where nothing says so.
    pub in_force: Option<InForce>,
}

/// Whether the ledger can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Yes.
    Normal,
    /// The disk is full; the reserve is in use.
    Reserve,
    /// The reserve is used up too: every append is refused until there is space again.
    Full,
    /// A write or a sync failed: every append is refused until a restart.
    Poisoned,
}

impl State {
    /// The name used in metrics and health reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::Normal => "normal",
            State::Reserve => "reserve",
            State::Full => "full",
            State::Poisoned => "poisoned",
        }
    }
}

/// How the ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it can be written.
    pub state: State,
    /// Whether a new call would be taken now.
    pub takes_new_calls: bool,
    /// Why it is poisoned.
    pub reason: Option<String>,
    /// Entries in the ledger.
    pub entries: u64,
    /// Entries that a completed sync has put on the disk.
    pub synced_upto: u64,
    /// When the last sync ended.
    pub synced_at: Stamp,
    /// How long the last sync took, nanoseconds.
    pub sync_ns_last: u64,
    /// When the oldest entry was appended that no completed sync covers, monotonic nanoseconds.
    pub unsynced_since_ns: Option<u64>,
    /// Bytes that the reserve still takes.
    pub reserve_free_bytes: u64,
    /// Exchanges that are open.
    pub open_exchanges: u64,
    /// Entries of this process that went on unrecorded or were lost with a full reserve.
    pub unrecorded: u64,
    /// New calls of this process that were refused.
    pub refused: u64,
}

/// The ledger could not be opened, or did not take an entry.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A second process.
    #[error("{} is in use by another process: stop it, or give this one its own", .0.display())]
    Locked(PathBuf),
    /// The operating system said no.
    #[error("cannot {what} {}: {source}; check that it exists, its owner and the disk", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// The files are not a ledger that can be continued.
    #[error("{}: {what}; restore it from a copy or move it away", path.display())]
    Unreadable {
        /// What is wrong.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// The entry itself does not fit the format; nothing was written.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// No space.
    #[error("the disk with the ledger is full: free some space, writing then resumes by itself")]
    Full,
    /// A write or sync failed earlier.
    #[error("the ledger takes no entries since {0}: check the disk, then restart")]
    Poisoned(String),
    /// After [`Ledger::shutdown`].
    #[error("the ledger is shut down")]
    ShutDown,
}
