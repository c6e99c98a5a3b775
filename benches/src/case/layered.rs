//! Ten layers of a hundred tasks, each waiting for three of the layer before.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use downbeat_core::cache::{Cache, ClaimReply, Topic};
use downbeat_core::goal::GoalStatus;
use downbeat_core::ids::{AgentName, GoalId};

use crate::line::Line;
use crate::subject::{Kind, Subject};
use crate::work::{self, Watch};

const LAYERS: u64 = 10;
const WIDTH: u64 = 100;

pub(super) async fn run(directory: &Path, agents: usize) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut in_memory = None;
    for kind in Subject::ALL {
        let subject = Subject::open(kind, directory)?;
        let goal = GoalId::new("layers")?;
        work::plan(subject.cache.as_ref(), work::layered("layers", LAYERS, WIDTH)?).await?;
        let watch = Watch::start();
        let mut workers = tokio::task::JoinSet::new();
        for index in 0..agents {
            let agent = AgentName::new(format!("agent-{index}"))?;
            workers.spawn(until_complete(Arc::clone(&subject.cache), agent, goal.clone()));
        }
        while let Some(end) = workers.join_next().await {
            end??;
        }
        let found = subject.cache.goal(&goal).await?;
        ensure!(found.is_some_and(|goal| goal.status == GoalStatus::Complete), "the layers are not complete");
        let mut line = Line {
            case: "layered, 10 × 100".to_owned(),
            cache: subject.name().to_owned(),
            tasks: LAYERS * WIDTH,
            agents,
            per_second: watch.per_second(LAYERS * WIDTH),
            ..Line::default()
        };
        match (kind, in_memory) {
            (Kind::Memory, _) => in_memory = Some(line.per_second),
            (_, Some(reference)) => line = line.beside("the same in memory", reference),
            _ => {}
        }
        lines.push(line);
    }
    Ok(lines)
}

async fn until_complete(cache: Arc<dyn Cache>, agent: AgentName, goal: GoalId) -> Result<()> {
    let mut held = None;
    loop {
        let seen = cache.changed(&Topic::Ready, u64::MAX, Duration::ZERO).await?;
        let claimed = match held.take() {
            Some(claimed) => Some(claimed),
            None => cache.claim(&work::claim(&agent, &goal)).await?.granted(),
        };
        match claimed {
            Some(claimed) => {
                let settle = work::done(&claimed, Some(work::claim(&agent, &goal)));
                let settled = cache.settle(&settle).await?;
                if settled.goal_status.is_at_rest() {
                    return Ok(());
                }
                held = settled.next.and_then(ClaimReply::granted);
            }
            None => {
                if cache.goal(&goal).await?.is_some_and(|goal| goal.status.is_at_rest()) {
                    return Ok(());
                }
                cache.changed(&Topic::Ready, seen, Duration::from_millis(100)).await?;
            }
        }
    }
}
