//! What is measured.

mod chain;
mod drain;
mod layered;
mod program;

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;

use crate::line::Line;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// Plans and drains independent tasks.
    Drain,
    /// A chain: from the settle of one task to the claim of the next.
    Chain,
    /// Ten layers of a hundred tasks.
    Layered,
    /// The `downbeat` command beside this one: its start, and what it costs while it waits.
    Program,
}

impl Case {
    pub(crate) const ALL: &'static [Self] = &[Self::Drain, Self::Chain, Self::Layered, Self::Program];

    pub(crate) async fn run(
        self,
        directory: &Path,
        sizes: &[u64],
        agents: usize,
        quick: bool,
    ) -> Result<Vec<Line>> {
        match self {
            Self::Drain => drain::run(directory, sizes, agents).await,
            Self::Chain => chain::run(directory, if quick { 300 } else { 1_000 }).await,
            Self::Layered => layered::run(directory, agents).await,
            Self::Program => program::run(directory, if quick { 5 } else { 20 }),
        }
    }
}
