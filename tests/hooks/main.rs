//! The hook intake, from outside: what is taken, what is refused, and that an answer means that the
//! event is on record.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod evasion;
mod intake;
mod rules;
