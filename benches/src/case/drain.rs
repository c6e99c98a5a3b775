//! Plans and drains independent no-op tasks.

use anyhow::Result;

use super::{Bench, each};
use crate::line::Line;
use crate::reference;
use crate::samples::{Sample, Samples};
use crate::shape::Shape;
use crate::subject::Kind;
use crate::work::{self, Watch};

/// The most syncs that the reference to the disk does in one round.
const MOST_SYNCS: u64 = 20_000;

pub(super) async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let sizes: Vec<u64> = match (bench.tasks, bench.quick, bench.full) {
        (Some(tasks), ..) => vec![tasks],
        (None, true, _) => vec![1_000, 10_000],
        (None, false, false) => vec![1_000, 10_000, 100_000],
        (None, false, true) => vec![1_000, 10_000, 100_000, 1_000_000],
    };
    let agents = bench.agents.unwrap_or(8);
    let mut lines: Vec<Line> = Vec::new();
    for kind in &bench.kinds {
        let first = lines.len();
        for tasks in &sizes {
            for mut line in measure(bench, *kind, *tasks, agents, agents).await?.lines(true) {
                let smallest = lines.iter().skip(first).find(|other| {
                    other.case == line.case && other.reference == line.reference && other.tasks < line.tasks
                });
                line.times_smallest = smallest.map(|smallest| smallest.per_second / line.per_second);
                bench.say(&line)?;
                lines.push(line);
            }
        }
    }
    Ok(lines)
}

/// What drains measured.
pub(super) struct Drained {
    kind: Kind,
    tasks: u64,
    agents: usize,
    connections: usize,
    planned: Samples,
    bulk: Samples,
    plain: Samples,
    carried: Samples,
    /// Of the plain drain, of the carried one, or of both.
    references: Vec<(&'static str, Samples, bool, bool)>,
}

/// Drains, without and with carried claims, and the references in turns with them.
pub(super) async fn measure(
    bench: &Bench,
    kind: Kind,
    tasks: u64,
    agents: usize,
    connections: usize,
) -> Result<Drained> {
    let shape = Shape::independent(tasks);
    let [mut planned, mut bulk, mut plain, mut carried] = [const { Samples::new() }; 4];
    let [mut memory, mut pair, mut fused, mut raw, mut shared] = [const { Samples::new() }; 5];
    for _ in bench.rounds.each() {
        match kind {
            Kind::Memory => memory.push(Sample::speed(reference::memory::schedule(&shape)?)),
            Kind::Sled => shared.push(Sample::speed(reference::sled::shared_sync(
                &bench.directory,
                agents,
                tasks.min(MOST_SYNCS),
            )?)),
            Kind::Redis => {
                let (enqueued, worked) = bench.minimal(&shape, agents, connections, false).await?;
                bulk.push(enqueued);
                pair.push(worked);
            }
        }
        let (of_plan, of_drain, _) = round(bench, kind, &shape, agents, connections, false).await?;
        planned.push(of_plan);
        plain.push(of_drain);
        if kind == Kind::Redis {
            fused.push(bench.minimal(&shape, agents, connections, true).await?.1);
        }
        let (of_plan, of_drain, written) = round(bench, kind, &shape, agents, connections, true).await?;
        planned.push(of_plan);
        carried.push(of_drain);
        if let Some(written) = written {
            raw.push(Sample::speed(reference::sled::raw_sled(&bench.directory, tasks, &written)?));
        }
    }
    let references = match kind {
        Kind::Memory => vec![("scheduling in memory", memory, true, true)],
        Kind::Sled => {
            vec![("raw sled batches", raw, false, true), ("bare shared fdatasync", shared, true, true)]
        }
        Kind::Redis => vec![("pair", pair, true, true), ("fused", fused, false, true)],
    };
    Ok(Drained { kind, tasks, agents, connections, planned, bulk, plain, carried, references })
}

/// One plan and one drain, and what a store on the disk wrote for the drain.
async fn round(
    bench: &Bench,
    kind: Kind,
    shape: &Shape,
    agents: usize,
    connections: usize,
    carried: bool,
) -> Result<(Sample, Sample, Option<downbeat_cache_sled::Stats>)> {
    let dags = shape.dags("bench")?;
    let subject = bench.open(kind, connections).await?;
    let cache = subject.cache()?;
    let plan = async {
        let watch = Watch::start();
        work::plan(cache.as_ref(), dags).await?;
        Ok(watch.per_second(shape.tasks))
    };
    let (per_second, mut planned) = bench.metered(kind, shape.tasks, plan).await?;
    planned.per_second = per_second;
    planned.bytes = subject.bytes().await?.map(|bytes| each(bytes, shape.tasks));
    let before = subject.written();
    let drain = work::drain(&subject.caches, agents, shape.tasks, carried);
    let (per_second, mut drained) = bench.metered(kind, shape.tasks, drain).await?;
    drained.per_second = per_second;
    drained.bytes = subject.bytes().await?.map(|bytes| each(bytes, shape.tasks));
    let written = subject.written().zip(before).map(|(after, before)| after.since(&before));
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let flushes = written.as_ref().map(|written| written.flushes as f64);
    drained.flushes = flushes;
    subject.remove().await?;
    Ok((planned, drained, written))
}

impl Drained {
    /// As lines, one for each reference.
    pub(super) fn lines(&self, with_plan: bool) -> Vec<Line> {
        let name = self.kind.name();
        let line = |case: &str, agents: usize, samples: &Samples| Line {
            text_bytes_per_task: Some(Shape::independent(self.tasks).text()),
            connections: (self.kind == Kind::Redis).then_some(self.connections),
            ..Line::of(case, name, (self.tasks, agents), samples)
        };
        let mut lines = Vec::new();
        if with_plan {
            lines.push(line("plan", 1, &self.planned).beside("bulk enqueue", &self.bulk));
        }
        for (reference, samples, of_plain, _) in &self.references {
            if *of_plain {
                lines.push(line("drain", self.agents, &self.plain).beside(reference, samples));
            }
        }
        for (reference, samples, _, of_carried) in &self.references {
            if *of_carried {
                let mut carried =
                    line("drain, carried", self.agents, &self.carried).beside(reference, samples);
                carried.of_plain = self.plain.median().map(|plain| carried.per_second / plain.per_second);
                lines.push(carried);
            }
        }
        lines
    }
}
