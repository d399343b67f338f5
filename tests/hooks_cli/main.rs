//! `weighbridge hook` and `weighbridge hooks` as a client and a user run them.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod check;
mod files;
mod forward;
mod receiver;
