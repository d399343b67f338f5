//! Calls as clients make them. Pure.

pub mod attempt;
pub mod calls;
pub mod query;
pub mod session;
pub mod tool_use;
