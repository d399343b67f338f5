//! The pricing table.
