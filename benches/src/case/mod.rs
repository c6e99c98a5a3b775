//! What is measured.

mod api;
mod chain;
mod contend;
mod drain;
mod layered;
mod machine;
mod program;
mod steer;
mod wake;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::line::{self, Line};
use crate::reference::redis::Minimal;
use crate::samples::{Rounds, Sample};
use crate::server::Redis;
use crate::shape::Shape;
use crate::subject::{Kind, Subject};
use crate::work;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// What the machine can do: a sync of a file, a round trip to Redis, the wake-up of a reader.
    Machine,
    /// Plans and drains independent tasks.
    Drain,
    /// A chain: from the settle of one task to the claim of the next.
    Chain,
    /// Ten layers of a hundred tasks.
    Layered,
    /// From a settle to the claim of what it unblocked by another agent, which was idle.
    Wake,
    /// 1, 8, 64 and 256 agents drain at once, each with a connection of its own and all over one.
    Contend,
    /// The `downbeat` command beside this one: its start, and what it costs while it waits.
    Program,
    /// The API: claims and settles through the socket beside those in process, and `status` beside a run.
    Api,
    /// From a line in a heartbeat file, from the start of a command, and from a request at the socket of a run, to
    /// the order's event.
    Steer,
}

/// What a run works with.
pub(crate) struct Bench {
    /// Where stores are made.
    pub(crate) directory: PathBuf,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) redis: Option<Arc<Redis>>,
    /// As asked for; each case has its own number without it.
    pub(crate) tasks: Option<u64>,
    pub(crate) agents: Option<usize>,
    pub(crate) quick: bool,
    /// With a million tasks.
    pub(crate) full: bool,
    pub(crate) rounds: Rounds,
    /// Where lines go as soon as they are known.
    pub(crate) json: bool,
}

impl Case {
    pub(crate) const ALL: &'static [Self] = &[
        Self::Machine,
        Self::Drain,
        Self::Chain,
        Self::Layered,
        Self::Wake,
        Self::Contend,
        Self::Program,
        Self::Api,
        Self::Steer,
    ];

    /// Whether what it measures is there.
    pub(crate) fn can_run(self) -> bool {
        self != Self::Program || program::program().is_ok_and(|program| program.exists())
    }

    pub(crate) async fn run(self, bench: &Bench) -> Result<Vec<Line>> {
        match self {
            Self::Machine => machine::run(bench).await,
            Self::Drain => drain::run(bench).await,
            Self::Chain => chain::run(bench).await,
            Self::Layered => layered::run(bench).await,
            Self::Wake => wake::run(bench).await,
            Self::Contend => contend::run(bench).await,
            Self::Program => program::run(bench),
            Self::Api => api::run(bench).await,
            Self::Steer => steer::run(bench).await,
        }
    }
}

impl Bench {
    /// An empty cache with that many handles, where a kind has more than one.
    pub(crate) async fn open(&self, kind: Kind, handles: usize) -> Result<Subject> {
        match kind {
            Kind::Memory => Ok(Subject::memory()),
            Kind::Sled => Subject::sled(&self.directory),
            Kind::Redis => Subject::redis(self.redis()?, handles).await,
        }
    }

    pub(crate) fn redis(&self) -> Result<&Arc<Redis>> {
        self.redis.as_ref().context("there is no Redis server")
    }

    /// Says a line at once.
    pub(crate) fn say(&self, line: &Line) -> Result<()> {
        if self.json {
            return line::print_json(line);
        }
        line::print_progress(line);
        Ok(())
    }

    /// Minimal scripts do all tasks of a shape.
    pub(crate) async fn minimal(
        &self,
        shape: &Shape,
        callers: usize,
        connections: usize,
        fused: bool,
    ) -> Result<(Sample, Sample)> {
        let server = self.redis()?;
        let minimal = Arc::new(Minimal::new(server, !shape.edges.is_empty()).await?);
        let enqueued = Sample { per_second: minimal.enqueue(shape).await?, ..Sample::default() };
        let before = server.processor_us().await?;
        let took = minimal.work(shape.tasks, callers, connections, fused).await?;
        let server_cpu = server.processor_us().await? - before;
        minimal.clear().await?;
        let worked = Sample {
            per_second: each(took.as_secs_f64(), shape.tasks).recip(),
            server_cpu_us: Some(each(server_cpu, shape.tasks)),
            ..Sample::default()
        };
        Ok((enqueued, worked))
    }

    /// Measures the processor time of this process and of the server for each task of some work.
    pub(crate) async fn metered<T>(
        &self,
        kind: Kind,
        tasks: u64,
        work: impl Future<Output = Result<T>>,
    ) -> Result<(T, Sample)> {
        let server = if kind == Kind::Redis { Some(self.redis()?) } else { None };
        let on_server = match server {
            Some(server) => Some(server.processor_us().await?),
            None => None,
        };
        let here = work::processor_us();
        let result = work.await?;
        let cpu = work::processor_us().zip(here).map(|(now, before)| each(now - before, tasks));
        let server_cpu = match (server, on_server) {
            (Some(server), Some(before)) => Some(each(server.processor_us().await? - before, tasks)),
            _ => None,
        };
        Ok((result, Sample { cpu_us: cpu, server_cpu_us: server_cpu, ..Sample::default() }))
    }
}

/// A sum for each task.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn each(sum: f64, tasks: u64) -> f64 {
    sum / tasks.max(1) as f64
}
