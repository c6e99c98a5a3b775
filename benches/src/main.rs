//! `downbeat-bench`: what a task costs, beside what the machine can do at best, in the same run.
//!
//! Absolute figures of a shared machine mean little; the ratio to a reference beside them does. The
//! references are in `reference/`, what is measured in `case/`; `samples` has the rounds in which both
//! take turns, `bars` what the figures are held to.

mod bars;
mod case;
mod line;
mod reference;
mod samples;
mod server;
mod shape;
mod subject;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use case::{Bench, Case};
use samples::Rounds;
use server::Redis;
use subject::Kind;

/// Measures Downbeat's caches beside references in the same run.
#[derive(Debug, Parser)]
#[command(name = "downbeat-bench", version)]
struct Arguments {
    /// Which cases; all that can run without it.
    #[arg(long, value_enum)]
    case: Vec<Case>,
    /// Which caches; all that can run without it.
    #[arg(long, value_enum)]
    cache: Vec<Kind>,
    /// A Redis server to measure, under a prefix of its own; without it a throw-away one is started
    /// (`redis-server`, `valkey-server`, or the program that `REDIS_SERVER` names).
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// How many tasks, for cases that take a number; several sizes without it.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    tasks: Option<u64>,
    /// How many agents claim at once; 8, and several where many contend, without it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    agents: Option<u16>,
    /// Small sizes and few rounds: under 40 seconds.
    #[arg(long)]
    quick: bool,
    /// With a million tasks, too.
    #[arg(long, conflicts_with = "quick")]
    full: bool,
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
    runtime.block_on(run(&arguments, &place))
}

async fn run(arguments: &Arguments, place: &TempDir) -> Result<()> {
    let redis = redis(arguments, place).await?;
    clean_up_when_stopped(place, redis.clone())?;
    let kinds = match (arguments.cache.as_slice(), redis.is_some()) {
        ([], true) => vec![Kind::Memory, Kind::Sled, Kind::Redis],
        ([], false) => vec![Kind::Memory, Kind::Sled],
        (chosen, _) => chosen.to_vec(),
    };
    let rounds = if arguments.quick {
        Rounds { at_most: 3, budget: Duration::from_millis(150) }
    } else {
        Rounds { at_most: 5, budget: Duration::from_secs(10) }
    };
    let bench = Bench {
        directory: place.path().to_owned(),
        kinds,
        redis,
        tasks: arguments.tasks,
        agents: arguments.agents.map(usize::from),
        quick: arguments.quick,
        full: arguments.full,
        rounds,
        json: arguments.json,
    };
    let mut lines = Vec::new();
    if arguments.case.is_empty() {
        for case in Case::ALL {
            if case.can_run() {
                lines.extend(case.run(&bench).await?);
            } else {
                line::print_note("the command `downbeat` is not beside this program: it is not measured");
            }
        }
    }
    for case in &arguments.case {
        lines.extend(case.run(&bench).await?);
    }
    if !arguments.json {
        line::print_table(&lines);
        bars::print(&lines);
    }
    Ok(())
}

/// The server that is measured, if Redis is asked for or can be had.
async fn redis(arguments: &Arguments, place: &TempDir) -> Result<Option<Arc<Redis>>> {
    let asked = arguments.cache.contains(&Kind::Redis);
    if !asked && !arguments.cache.is_empty() {
        return Ok(None);
    }
    let server = match &arguments.redis {
        Some(url) => Some(Redis::at(url).await?),
        None => Redis::start(place.path()).await?,
    };
    match &server {
        Some(server) => line::print_note(&server.version().await?),
        None if asked => bail!("there is no Redis server: install redis-server, or name one with --redis"),
        None => line::print_note("there is no Redis server on this machine: it is not measured"),
    }
    Ok(server.map(Arc::new))
}

/// A signal leaves no server and no store behind.
fn clean_up_when_stopped(place: &TempDir, redis: Option<Arc<Redis>>) -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let place = place.path().to_owned();
    tokio::spawn(async move {
        let code = tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        };
        if let Some(redis) = redis {
            redis.end();
        }
        let _ = std::fs::remove_dir_all(place);
        std::process::exit(code);
    });
    Ok(())
}
