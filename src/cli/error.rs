//! How a command ends when it does not end well.

use std::io;

use crate::index::IndexError;
use crate::report::dimension::DimensionError;

/// One plain sentence for standard error, and the exit code that goes with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CliError {
    /// Bad usage or bad input: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// A check, a verification or the work itself failed: exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    /// The process's exit code.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            CliError::Usage(_) => 2,
            CliError::Failed(_) => 1,
        }
    }

    /// What came of writing to standard output: a reader that has gone away (`| head`) is no error.
    pub(super) fn written(result: io::Result<()>) -> Result<(), CliError> {
        match result {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CliError::Failed(format!("cannot write the output: {error}")))
            }
            _ => Ok(()),
        }
    }
}

impl From<IndexError> for CliError {
    fn from(error: IndexError) -> CliError {
        CliError::Failed(error.to_string())
    }
}

impl From<DimensionError> for CliError {
    fn from(error: DimensionError) -> CliError {
        CliError::Usage(error.to_string())
    }
}

impl From<serde_json::Error> for CliError {
    fn from(error: serde_json::Error) -> CliError {
        CliError::Failed(format!("cannot write the output as JSON: {error}"))
    }
}
