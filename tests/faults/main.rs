//! The fault cases of an audit log, each with the outcome that must follow. A test's name begins
//! with its case; what is shown elsewhere is named here. `docs/threat-model.md` has the outcomes.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "tests measure time and run their own tasks")]

mod chain;
mod crash;
mod disk;
mod full;
mod index;
mod limits;
mod place;
mod rot;
mod shim;
#[path = "../support/mod.rs"]
mod support;
mod time;
#[path = "../audit_signing/tree.rs"]
mod tree;

use std::path::Path;
use std::process::Command;

/// Copies a data directory as it is.
pub fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}
