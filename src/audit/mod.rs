//! Evidence: what makes a change to the ledger visible. Pure.

pub mod line;
pub mod merkle;
pub mod tile;
pub mod verify;
