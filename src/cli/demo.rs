//! `weighbridge demo`.

use std::io::Write;

use clap::Args;

use super::CliError;

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {}

impl DemoArgs {
    pub(super) fn run(&self, _output: &mut dyn Write, _terminal: bool) -> Result<(), CliError> {
        Ok(())
    }
}
