//! What a call costs and who pays for it. Pure: knows no HTTP, no SQL, no clock, no float.

pub mod attribution;
pub mod budget;
pub mod call;
pub mod charge;
pub mod estimate;
pub mod explain;
pub mod money;
pub mod price_book;
pub mod usage;

pub use call::Call;
pub use money::Money;
pub use usage::{Flag, Iteration, TokenKind, Usage};
