//! The fault cases of an audit log, each with the outcome that must follow. A test's name begins
//! with its case; what is shown elsewhere is named here. `docs/threat-model.md` has the outcomes.
//!
//! | case | fault | test |
//! |---|---|---|
//! | A01 | `kill -9` under load, again and again | [`crash`] `a01_` |
//! | A03 | a torn tail, at any byte of the last lines | [`crash`] `a03_`; each byte: `src/ledger/tests/recovery.rs` |
//! | A04 | a bit of a line turns round | [`rot`] `a04_`; each bit: `src/ledger/tests/recovery.rs` |
//! | A05 | a bit of the index turns round | [`rot`] `a05_` |
//! | A06 | no space for an append | [`full`] `a06_`; the reserve: `src/ledger/tests/full.rs` |
//! | A07 | no space for a checkpoint | [`full`] `a07_` |
//! | A08 | `fdatasync` fails once, at each place in turn | [`full`] `a08_` |
//! | A10 | the data directory is read-only, somebody else's, not to be made, or goes away | [`place`] `a10_` |
//! | A11 | two sidecars on one directory | [`place`] `a11_` |
//! | A13 | a copy of the directory runs beside it | `tests/audit_signing/witnessed.rs` `a13_` |
//! | A14 | another program locks the index, or reads an old state of it | [`index`] `a14_`; the log's bound: `src/index/store.rs` |
//! | A15 | an older SQLite, or the system's | [`index`] `a15_`; the refusal: `src/index/mod.rs` |
//! | A16 | the index is deleted while running | [`index`] `a16_` |
//! | A17 | a backup while calls run, restored | `tests/acts.rs` `a17_` |
//! | A18 | 64 file descriptors and more connections | [`limits`] `a18_` |
//! | A19 | 60 bodies of 10 MB at once | [`limits`] `a19_` |
//! | B01 | the wall clock jumps back an hour, ahead a day, back, and ahead | [`time`] `b01_`; the arithmetic: `src/clock.rs` |
//! | B03 | `TZ` is not UTC | [`time`] `b03_` |
//! | B04 | a client sends times of its own | [`time`] `b04_` |
//! | B05 | the process is stopped in the middle of a stream and goes on | [`time`] `b05_` |
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
