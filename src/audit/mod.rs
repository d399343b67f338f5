//! Evidence: what makes a change to the ledger visible. Pure.

pub mod checkpoint;
pub mod line;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod succession;
pub mod tile;
pub mod verify;
