//! A chain of tasks: how long it takes from the settle of one to the claim of the next.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use downbeat_core::cache::{Cache, ClaimReply, Topic};
use downbeat_core::ids::{AgentName, GoalId};
use tokio::sync::mpsc;

use crate::line::Line;
use crate::reference;
use crate::subject::Subject;
use crate::work::{self, Watch};

pub(super) async fn run(directory: &Path, tasks: u64) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for kind in Subject::ALL {
        let subject = Subject::open(kind, directory)?;
        let before = subject.written();
        work::plan(subject.cache.as_ref(), work::chain("alone", tasks)?).await?;
        let mut alone = alone(&subject.cache, tasks).await?;
        alone.cache = subject.name().to_owned();
        if let (Some(before), Some(after)) = (before, subject.written()) {
            let raw = reference::raw_sled(directory, tasks, &after.since(&before))?;
            alone = alone.beside("raw sled batches", raw);
        }
        lines.push(alone);

        let other = Subject::open(kind, directory)?;
        work::plan(other.cache.as_ref(), work::chain("turns", tasks)?).await?;
        let mut turns = turns(&other.cache, tasks).await?;
        turns.cache = other.name().to_owned();
        lines.push(turns);
    }
    Ok(lines)
}

/// One agent that claims the next task with each settle.
async fn alone(cache: &Arc<dyn Cache>, tasks: u64) -> Result<Line> {
    let (agent, goal) = (AgentName::new("solo")?, GoalId::new("alone")?);
    let mut hops = Vec::new();
    let whole = Watch::start();
    let mut held = cache.claim(&work::claim(&agent, &goal)).await?.granted();
    while let Some(claimed) = held {
        let hop = Watch::start();
        let settle = work::done(&claimed, Some(work::claim(&agent, &goal)));
        held = cache.settle(&settle).await?.next.and_then(ClaimReply::granted);
        hops.push(hop.elapsed());
    }
    line("chain, one agent", tasks, 1, &whole, hops)
}

/// Two agents: one settles, and the other, who was asleep, claims what that unblocked.
async fn turns(cache: &Arc<dyn Cache>, tasks: u64) -> Result<Line> {
    let goal = GoalId::new("turns")?;
    let whole = Watch::start();
    let (hand, mut taken) = mpsc::channel(1);
    let mut sleepers = tokio::task::JoinSet::new();
    // Each takes the next task that gets ready and hands it over, together with when it had it.
    let cache_of_sleeper = Arc::clone(cache);
    let goal_of_sleeper = goal.clone();
    sleepers.spawn(async move {
        let agent = AgentName::new("sleeper")?;
        loop {
            let seen = cache_of_sleeper.changed(&Topic::Ready, u64::MAX, Duration::ZERO).await?;
            match cache_of_sleeper.claim(&work::claim(&agent, &goal_of_sleeper)).await?.granted() {
                Some(claimed) => {
                    if hand.send(claimed).await.is_err() {
                        return anyhow::Ok(());
                    }
                }
                None => {
                    cache_of_sleeper.changed(&Topic::Ready, seen, Duration::from_secs(1)).await?;
                }
            }
        }
    });
    let mut hops = Vec::new();
    let mut settled: Option<Watch> = None;
    for _ in 0..tasks {
        let Some(claimed) = taken.recv().await else { break };
        hops.extend(settled.take().map(|watch| watch.elapsed()));
        // The sleeper must be asleep again, or nothing is woken.
        tokio::time::sleep(Duration::from_micros(200)).await;
        cache.settle(&work::done(&claimed, None)).await?;
        settled = Some(Watch::start());
    }
    sleepers.abort_all();
    line("chain, wake-up of an idle agent", tasks, 2, &whole, hops)
}

fn line(case: &str, tasks: u64, agents: usize, whole: &Watch, mut hops: Vec<Duration>) -> Result<Line> {
    ensure!(!hops.is_empty(), "the chain did not move");
    hops.sort_unstable();
    let at = |share: usize| hops.get((hops.len() - 1) * share / 100).map(|span| span.as_secs_f64() * 1e6);
    Ok(Line {
        case: case.to_owned(),
        tasks,
        agents,
        per_second: whole.per_second(tasks),
        p50_us: at(50),
        p99_us: at(99),
        ..Line::default()
    })
}
