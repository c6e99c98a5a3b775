//! Ten layers of a hundred tasks, each waiting for three of the layer before.

use anyhow::Result;

use super::{Bench, each};
use crate::line::Line;
use crate::reference;
use crate::samples::{Sample, Samples};
use crate::shape::{self, Shape};
use crate::subject::Kind;
use crate::work;

const LAYERS: u64 = 10;
const WIDTH: u64 = 100;

pub(super) async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let agents = bench.agents.unwrap_or(8);
    let shape = Shape::layered(LAYERS, WIDTH);
    let goal = shape::goal()?;
    let mut lines = Vec::new();
    for kind in &bench.kinds {
        let (mut ours, mut reference) = (Samples::new(), Samples::new());
        for _ in bench.rounds.each() {
            match kind {
                Kind::Memory => reference.push(Sample::speed(reference::memory::schedule(&shape)?)),
                Kind::Redis => reference.push(bench.minimal(&shape, agents, agents, true).await?.1),
                Kind::Sled => {}
            }
            let subject = bench.open(*kind, agents).await?;
            work::plan(subject.cache()?.as_ref(), shape.dags(goal.as_str())?).await?;
            let before = subject.written();
            let done = work::complete(&subject.caches, agents, &goal);
            let (took, sample) = bench.metered(*kind, shape.tasks, done).await?;
            ours.push(Sample { per_second: each(took.as_secs_f64(), shape.tasks).recip(), ..sample });
            if let Some((after, before)) = subject.written().zip(before) {
                let raw = reference::sled::raw_sled(&bench.directory, shape.tasks, &after.since(&before))?;
                reference.push(Sample::speed(raw));
            }
            subject.remove().await?;
        }
        let beside = match kind {
            Kind::Memory => "scheduling in memory",
            Kind::Sled => "raw sled batches",
            Kind::Redis => "fused that unblocks",
        };
        let line = Line::of("layered, 10 × 100", kind.name(), (shape.tasks, agents), &ours);
        let line = line.beside(beside, &reference);
        bench.say(&line)?;
        lines.push(line);
    }
    Ok(lines)
}
