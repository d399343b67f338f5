//! Calls as clients make them. Pure.

pub mod attempt;
pub mod query;
pub mod tool_use;
