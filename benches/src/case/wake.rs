//! Two agents: one settles, and the other, who was idle, claims what that unblocked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use downbeat_core::cache::{Cache, Topic};
use downbeat_core::ids::AgentName;
use tokio::sync::mpsc;

use super::Bench;
use crate::line::Line;
use crate::reference::redis;
use crate::samples::{Sample, Samples};
use crate::shape::Shape;
use crate::subject::Kind;
use crate::work;

pub(super) async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let tasks = bench.tasks.unwrap_or(if bench.quick { 300 } else { 1_000 });
    let mut lines = Vec::new();
    for kind in &bench.kinds {
        let [mut sent, mut answered, mut blocked] = [const { Samples::new() }; 3];
        for _ in bench.rounds.each() {
            if *kind == Kind::Redis {
                blocked.push(Sample::steps(redis::wake_ups(bench.redis()?, tasks).await?));
            }
            // On Redis with connections of their own, as two processes have.
            let subject = bench.open(*kind, 2).await?;
            work::plan(subject.cache()?.as_ref(), Shape::chain(tasks).dags("bench")?).await?;
            let idle = subject.caches.last().context("a cache has a handle")?;
            let (from_sent, from_answer) = turns(subject.cache()?, idle, tasks).await?;
            sent.push(Sample::steps(from_sent));
            answered.push(Sample::steps(from_answer));
            subject.remove().await?;
        }
        for (case, samples) in [("wake-up, from the settle", sent), ("wake-up, from its answer", answered)] {
            let line = Line::of(case, kind.name(), (tasks, 2), &samples)
                .beside("wake-up of a blocked reader", &blocked);
            bench.say(&line)?;
            lines.push(line);
        }
    }
    Ok(lines)
}

/// From when a settle is sent, and from when it is answered, to when the other agent has the task.
async fn turns(
    cache: &Arc<dyn Cache>,
    idle: &Arc<dyn Cache>,
    tasks: u64,
) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let (hand, mut taken) = mpsc::channel(1);
    let mut sleepers = tokio::task::JoinSet::new();
    let idle = Arc::clone(idle);
    // It takes the next task that gets ready and hands it over, together with when it had it.
    sleepers.spawn(async move {
        let agent = AgentName::new("sleeper")?;
        loop {
            let seen = idle.changed(&Topic::Ready, u64::MAX, Duration::ZERO).await?;
            match idle.claim(&work::claim(&agent)).await?.granted() {
                Some(claimed) => {
                    if hand.send((claimed, redis::now())).await.is_err() {
                        return anyhow::Ok(());
                    }
                }
                None => {
                    idle.changed(&Topic::Ready, seen, Duration::from_secs(1)).await?;
                }
            }
        }
    });
    let (mut from_sent, mut from_answer) = (Vec::new(), Vec::new());
    let mut settled: Option<(Instant, Instant)> = None;
    for _ in 0..tasks {
        let (claimed, had) = taken.recv().await.context("the sleeper ended")?;
        if let Some((sent, answered)) = settled {
            from_sent.push(had.saturating_duration_since(sent));
            from_answer.push(had.saturating_duration_since(answered));
        }
        // The sleeper must be asleep again, or nobody is woken.
        tokio::time::sleep(Duration::from_micros(200)).await;
        let sent = redis::now();
        cache.settle(&work::done(&claimed, None)).await?;
        settled = Some((sent, redis::now()));
    }
    sleepers.abort_all();
    Ok((from_sent, from_answer))
}
