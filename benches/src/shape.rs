//! Which task waits for which, for caches and references alike.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use downbeat_core::dag::{self, Dag, Draft, DraftEdge, DraftNode, MAX_TASKS};
use downbeat_core::ids::GoalId;

/// What a task is called.
const TITLE: &str = "nothing to do";

/// A number of tasks, and pairs of them: the second waits for the first.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) tasks: u64,
    pub(crate) edges: Vec<(u64, u64)>,
}

impl Shape {
    /// Tasks that wait for nothing.
    pub(crate) const fn independent(tasks: u64) -> Self {
        Self { tasks, edges: Vec::new() }
    }

    /// Tasks that wait for each other, one after the other.
    pub(crate) fn chain(tasks: u64) -> Self {
        Self { tasks, edges: (1..tasks).map(|task| (task - 1, task)).collect() }
    }

    /// Layers of tasks, each waiting for three random ones of the layer before.
    pub(crate) fn layered(layers: u64, width: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let mut edges = Vec::new();
        for layer in 1..layers {
            for place in 0..width {
                let mut sources: Vec<u64> = (0..3).map(|_| random.u64(0..width)).collect();
                sources.sort_unstable();
                sources.dedup();
                let target = layer * width + place;
                edges.extend(sources.into_iter().map(|source| ((layer - 1) * width + source, target)));
            }
        }
        Self { tasks: layers * width, edges }
    }

    /// What a task is known as.
    pub(crate) fn id(task: u64) -> String {
        format!("task-{task:06}")
    }

    /// Bytes of text in a task that its author wrote.
    pub(crate) fn text(&self) -> usize {
        Self::id(0).len() + TITLE.len()
    }

    /// As goals: as many as hold that number of tasks, the first called `goal`.
    pub(crate) fn dags(&self, goal: &str) -> Result<Vec<Arc<Dag>>> {
        let most = u64::try_from(MAX_TASKS)?;
        ensure!(
            self.edges.is_empty() || self.tasks <= most,
            "tasks that wait for each other fit in one goal"
        );
        let goals = self.tasks.div_ceil(most);
        (0..goals)
            .map(|number| {
                let nodes = (number * most..self.tasks.min((number + 1) * most)).map(|task| DraftNode {
                    id: Self::id(task),
                    title: TITLE.to_owned(),
                    ..DraftNode::default()
                });
                let edges = self.edges.iter().map(|(source, target)| DraftEdge {
                    source: Self::id(*source),
                    target: Self::id(*target),
                });
                let goal_id = if number == 0 { goal.to_owned() } else { format!("{goal}-{number}") };
                let draft = Draft { goal_id, nodes: nodes.collect(), edges: edges.collect() };
                Ok(Arc::new(dag::validate(draft)?))
            })
            .collect()
    }

    /// For each task, how many it waits for, and who waits for it.
    pub(crate) fn counters(&self) -> Result<Vec<(u64, Vec<u64>)>> {
        let mut counters = vec![(0_u64, Vec::new()); usize::try_from(self.tasks)?];
        let outside = "an edge leads to no task";
        for (source, target) in &self.edges {
            counters.get_mut(usize::try_from(*source)?).context(outside)?.1.push(*target);
            counters.get_mut(usize::try_from(*target)?).context(outside)?.0 += 1;
        }
        Ok(counters)
    }
}

/// The goal that a case works on.
pub(crate) fn goal() -> Result<GoalId> {
    Ok(GoalId::new("bench")?)
}
