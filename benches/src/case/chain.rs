//! A chain of tasks: how long it takes from the settle of one to the claim of the next.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use downbeat_core::cache::{Cache, ClaimReply};
use downbeat_core::ids::AgentName;

use super::Bench;
use crate::line::Line;
use crate::reference;
use crate::samples::{Sample, Samples};
use crate::shape::Shape;
use crate::subject::Kind;
use crate::work::{self, Watch};

pub(super) async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let tasks = bench.tasks.unwrap_or(if bench.quick { 300 } else { 1_000 });
    let shape = Shape::chain(tasks);
    let mut lines = Vec::new();
    for kind in &bench.kinds {
        for carried in [false, true] {
            let line = measure(bench, *kind, &shape, carried).await?;
            bench.say(&line)?;
            lines.push(line);
        }
    }
    Ok(lines)
}

async fn measure(bench: &Bench, kind: Kind, shape: &Shape, carried: bool) -> Result<Line> {
    let (mut ours, mut reference) = (Samples::new(), Samples::new());
    for _ in bench.rounds.each() {
        match kind {
            Kind::Memory => reference.push(Sample::speed(reference::memory::schedule(shape)?)),
            Kind::Redis => reference.push(bench.minimal(shape, 1, 1, carried).await?.1),
            Kind::Sled => {}
        }
        let subject = bench.open(kind, 1).await?;
        work::plan(subject.cache()?.as_ref(), shape.dags("bench")?).await?;
        let before = subject.written();
        let watch = Watch::start();
        let (hops, sample) = bench.metered(kind, shape.tasks, hops(subject.cache()?, carried)).await?;
        let per_second = watch.per_second(shape.tasks);
        ensure!(u64::try_from(hops.len())? == shape.tasks, "the chain stopped after {} hops", hops.len());
        ours.push(Sample {
            per_second,
            server_cpu_us: sample.server_cpu_us,
            cpu_us: sample.cpu_us,
            ..Sample::steps(hops)
        });
        if let Some((after, before)) = subject.written().zip(before) {
            let raw = reference::sled::raw_sled(&bench.directory, shape.tasks, &after.since(&before))?;
            reference.push(Sample::speed(raw));
        }
        subject.remove().await?;
    }
    let case = if carried { "chain, carried" } else { "chain" };
    let beside = match (kind, carried) {
        (Kind::Memory, _) => "scheduling in memory",
        (Kind::Sled, _) => "raw sled batches",
        (Kind::Redis, false) => "pair that unblocks",
        (Kind::Redis, true) => "fused that unblocks",
    };
    Ok(Line::of(case, kind.name(), (shape.tasks, 1), &ours).beside(beside, &reference))
}

/// One agent: from where it settles a task to where it has the next.
async fn hops(cache: &Arc<dyn Cache>, carried: bool) -> Result<Vec<Duration>> {
    let agent = AgentName::new("solo")?;
    let mut hops = Vec::new();
    let mut held = cache.claim(&work::claim(&agent)).await?.granted();
    while let Some(claimed) = held {
        let hop = Watch::start();
        let settled = cache.settle(&work::done(&claimed, carried.then(|| work::claim(&agent)))).await?;
        held = if carried {
            settled.next.and_then(ClaimReply::granted)
        } else {
            cache.claim(&work::claim(&agent)).await?.granted()
        };
        hops.push(hop.elapsed());
    }
    Ok(hops)
}
