//! Commands.

pub mod error;
pub mod exchanges;
pub mod report;
pub mod sessions;
mod source;

pub use error::CliError;
