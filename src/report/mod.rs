//! Rows as text: table, CSV, JSON. Pure.
//!
//! [`Tally`] adds up exchanges by [`Dimension`]; [`Report`] is what came of it, and [`render`]
//! turns it into text. [`exchange`] and [`session`] do the same for single exchanges and for
//! sessions.

pub mod budget;
pub mod dimension;
pub mod exchange;
pub mod focus;
pub mod groups;
pub mod html;
pub mod markdown;
pub mod period;
pub mod render;
pub mod session;
pub mod skill;
pub mod statement;
pub mod sums;
pub mod tally;
pub mod text;
pub mod timeline;
pub mod tool;
pub mod turn;
pub mod waste;
pub mod words;

pub use budget::{budget_json, budget_table};
pub use dimension::Dimension;
pub use exchange::Exchange;
pub use focus::Focus;
pub use period::Period;
pub use session::Sessions;
pub use statement::{Before, Frame, Statement, StatementBuilder};
pub use sums::{Facts, Sums};
pub use tally::{Report, ReportRow, Tally};
pub use timeline::{Timeline, TimelineBuilder};
pub use turn::Turns;
