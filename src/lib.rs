//! Weighbridge weighs every call to the Claude API on its way through the gate, without unloading
//! it: a streaming proxy that meters, prices, attributes and records, and never changes a body.
//!
//! # The map
//!
//! A file may import from its own folder, from *lower* layers, and from modules that stand before
//! its own in its layer's row (`tests/tidy.rs` checks it).
//! Layers L0 and L1 are pure: no I/O, no clock, no randomness, no async. Time, random bytes and
//! file contents come in as arguments.
//!
//! | layer | modules | what they know |
//! |---|---|---|
//! | L5 wiring | [`app`], [`cli`] | start order, drain order, arguments |
//! | L4 edges | [`outbound`], [`signing`], [`notify`], [`proxy`], [`hooks`], [`otlp`], [`admin`] | HTTP |
//! | L3 the one door | [`recorder`] | what "recorded" means: ledger first, then memory |
//! | L2 state | [`ledger`], [`index`], [`clock`], [`budgets`], [`metrics`], [`live`], [`rules`], [`keys`], [`inbox`], [`logging`], [`capture`] | files, SQLite, Prometheus, wall time, standard error, sealed contents |
//! | L1 facts and formats | [`config`], [`record`], [`anthropic`], [`report`] | the API as bytes, entries as bytes, rows as text |
//! | L0 meaning | [`audit`], [`privacy`], [`accounting`], [`agent`], [`policy`] | hashes, what names a person, tokens, money, who pays, what is allowed |
//!
//! # Two rules
//!
//! * **R1**: nothing is sent upstream before the exchange's `opened` entry is in the ledger.
//! * **R2**: the end of a response is not released before its `closed` entry is in the ledger.
//!
//! Read [`proxy::exchange`], [`recorder`] and [`ledger`] to understand the whole.

pub mod accounting;
pub mod admin;
pub mod agent;
pub mod anthropic;
pub mod app;
pub mod audit;
pub mod budgets;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod config;
pub mod hooks;
pub mod inbox;
pub mod index;
pub mod keys;
pub mod ledger;
pub mod live;
pub mod logging;
pub mod metrics;
pub mod notify;
pub mod otlp;
pub mod outbound;
pub mod policy;
pub mod privacy;
pub mod proxy;
pub mod record;
pub mod recorder;
pub mod report;
pub mod rules;
pub mod signing;
