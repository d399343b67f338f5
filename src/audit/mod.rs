//! Evidence: what makes a change to the ledger visible. Pure.

pub mod merkle;
