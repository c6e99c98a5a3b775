//! `downbeat-bench`: what a task costs, beside what the machine can do at best, in the same run.
//!
//! Absolute figures of a shared machine mean little; the ratio to a reference beside them does. The
//! references are written down in `reference.rs`.

mod case;
mod line;
mod reference;
mod subject;
mod work;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;

use case::Case;
use line::Line;

/// Measures Downbeat's caches beside references in the same run.
#[derive(Debug, Parser)]
#[command(name = "downbeat-bench", version)]
struct Arguments {
    /// Which cases; all without it.
    #[arg(long, value_enum)]
    case: Vec<Case>,
    /// How many tasks, for cases that take a number; several sizes without it.
    #[arg(long)]
    tasks: Option<u64>,
    /// How many agents claim at once.
    #[arg(long, default_value_t = 8)]
    agents: usize,
    /// Small sizes: under 40 seconds.
    #[arg(long)]
    quick: bool,
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Where stores are made; the system's temporary directory without it. Put it on the disk that
    /// you want to know about.
    #[arg(long)]
    directory: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let place = match &arguments.directory {
        Some(directory) => tempfile::tempdir_in(directory),
        None => tempfile::tempdir(),
    }
    .context("no place for stores")?;
    let cases: &[Case] = if arguments.case.is_empty() { Case::ALL } else { &arguments.case };
    let sizes: Vec<u64> = match (arguments.tasks, arguments.quick) {
        (Some(tasks), _) => vec![tasks],
        (None, true) => vec![1_000, 10_000],
        (None, false) => vec![1_000, 10_000, 100_000],
    };
    let mut lines: Vec<Line> = Vec::new();
    for case in cases {
        for line in runtime.block_on(case.run(place.path(), &sizes, arguments.agents, arguments.quick))? {
            if arguments.json {
                line::print_json(&line)?;
            } else {
                line::print_progress(&line);
            }
            lines.push(line);
        }
    }
    if !arguments.json {
        line::print_table(&lines);
    }
    Ok(())
}
