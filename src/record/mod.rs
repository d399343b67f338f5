//! The facts that are written down, and the bytes they become. Pure.
//!
//! An [`Entry`] is one immutable fact in the ledger. [`encoding`] turns it into the canonical line
//! that is hashed; [`exchange`] holds the two entries that open and close a call.

pub mod act;
pub mod batch;
pub mod correction;
pub mod encoding;
pub mod entry;
pub mod exchange;
pub mod hook;
pub mod notice;
pub mod sighting;
pub mod tool;

pub use correction::Reattributed;
pub use encoding::{Line, Stamp};
pub use entry::Entry;
pub use exchange::{ChargeRecord, Closing, LineRecord, Opening, Outcome};
pub use hook::{BatchedTool, HookEvent};
pub use notice::{BudgetCrossed, BudgetRearmed, ErrorClassSeen, Notice, Noticed};
pub use tool::{
    AskedTool, Committed, ReturnedTool, RuleAction, RuleApplied, ToolsAsked, ToolsReturned,
};
