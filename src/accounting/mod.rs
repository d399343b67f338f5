//! What a call costs and who pays for it. Pure: knows no HTTP, no SQL, no clock, no float.

pub mod attribution;
pub mod charge;
pub mod money;
pub mod price_book;
pub mod usage;

pub use money::Money;
pub use usage::{Flag, Iteration, TokenKind, Usage};
