//! Plans and drains independent no-op tasks.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use downbeat_core::ids::{AgentName, GoalId};

use crate::line::Line;
use crate::reference;
use crate::subject::{Kind, Subject};
use crate::work::{self, Watch};

pub(super) async fn run(directory: &Path, sizes: &[u64], agents: usize) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for kind in Subject::ALL {
        for tasks in sizes {
            lines.extend(measure(directory, kind, *tasks, agents).await?);
        }
    }
    Ok(lines)
}

async fn measure(directory: &Path, kind: Kind, tasks: u64, agents: usize) -> Result<Vec<Line>> {
    let before = work::resident();
    let subject = Subject::open(kind, directory)?;
    let goal = GoalId::new("bench")?;
    let dag = work::independent("bench", tasks)?;
    let line = |case: &str, per_second: f64| Line {
        case: case.to_owned(),
        cache: subject.name().to_owned(),
        tasks,
        agents,
        per_second,
        ..Line::default()
    };

    let watch = Watch::start();
    work::plan(subject.cache.as_ref(), dag).await?;
    let mut planned = line("plan", watch.per_second(tasks));
    planned.agents = 1;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let per_task = |bytes: f64| bytes / tasks as f64;
    let grown = || work::resident().zip(before).map(|(now, before)| per_task((now - before).max(0.0)));
    planned.bytes_per_task = grown();

    let written_before = subject.written();
    let used_before = work::processor_us();
    let watch = Watch::start();
    let mut drainers = tokio::task::JoinSet::new();
    for index in 0..agents {
        let agent = AgentName::new(format!("agent-{index}"))?;
        drainers.spawn(work::drain(Arc::clone(&subject.cache), agent, goal.clone(), true));
    }
    let mut settled = 0;
    while let Some(count) = drainers.join_next().await {
        settled += count??;
    }
    let mut drained = line("drain", watch.per_second(tasks));
    ensure!(settled == tasks, "{settled} of {tasks} tasks were settled");
    drained.cpu_us_per_task =
        work::processor_us().zip(used_before).map(|(now, before)| per_task(now - before));
    drained.bytes_per_task = grown();

    let mut lines = vec![planned];
    match (written_before, subject.written()) {
        (Some(before), Some(after)) => {
            let written = after.since(&before);
            drained.flushes = Some(written.flushes);
            let raw = reference::raw_sled(directory, tasks, &written)?;
            let shared = reference::shared_sync(directory, agents, tasks.min(20_000))?;
            lines.push(drained.clone().beside("raw sled batches", raw));
            lines.push(drained.beside("bare shared fdatasync", shared));
        }
        _ => lines.push(drained),
    }
    Ok(lines)
}
