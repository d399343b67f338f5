//! What may be kept. Pure.
//!
//! Only structured facts reach an entry: numbers, our own enums, and [`Identifier`]s.

pub mod commitment;
pub mod identifier;

pub use identifier::Identifier;
