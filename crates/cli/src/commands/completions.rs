//! `downbeat completions`: for shells.

use clap::CommandFactory;

use crate::args::{self, Cli};
use crate::error::CliError;
use crate::output::Out;

/// Prints the completions of a shell.
pub(crate) fn completions(args: &args::Completions, out: &Out) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "downbeat", &mut script);
    out.text(&String::from_utf8_lossy(&script))
}
