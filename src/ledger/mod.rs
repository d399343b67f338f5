//! The truth: an append-only book of entries.

pub mod reader;
