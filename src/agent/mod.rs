//! Calls as clients make them. Pure.

pub mod attempt;
pub mod query;
