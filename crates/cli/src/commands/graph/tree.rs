//! Which goal is below which task.

use std::collections::HashMap;
use std::sync::Arc;

use downbeat_core::cache::Cache;
use downbeat_core::dag::export::Drawing;
use downbeat_core::dag::{Dag, Node, NodeKind};
use downbeat_core::ids::GoalId;
use downbeat_runtime::load::{Project, ProjectGoal};
use downbeat_runtime::nested::{self, Owned};
use downbeat_runtime::report::all_tasks;

use super::Known;
use crate::error::CliError;

/// The goals of a store; none has what is below it yet.
pub(super) async fn stored(cache: &dyn Cache) -> Result<Known, CliError> {
    let mut known = Known::default();
    for goal in cache.goals().await? {
        let Some(dag) = cache.dag(&goal.id).await? else { continue };
        let tasks = all_tasks(cache, &goal.id).await?;
        known.statuses.extend(tasks.into_iter().map(|task| (task.node.id.clone(), task.state.status)));
        if goal.parent.is_none() {
            known.tops.push(goal.id.clone());
        }
        known.drawings.insert(goal.id, Drawing::of(dag, goal.title));
    }
    Ok(known)
}

/// The goals that files declare, under the ids that they will have.
pub(super) fn declared(project: Project) -> Known {
    let mut known = Known::default();
    for goal in project.goals {
        if let Some(dag) = goal.dag {
            known.tops.push(goal.id.clone());
            enter(&mut known.drawings, goal.id, Drawing::of(dag, goal.title), &project.owned);
        }
    }
    known
}

/// Enters a goal and all that is below it. What owns itself was refused when it was read.
fn enter(drawings: &mut HashMap<GoalId, Drawing>, id: GoalId, drawing: Drawing, owned: &Owned) {
    for node in drawing.dag.nodes().filter(|node| node.kind == NodeKind::Goal) {
        let below = nested::below(&id, &node.id);
        if let Some((dag, title)) = plan_of(node, owned)
            && let Ok(dag) = dag.below(&below)
        {
            enter(drawings, below, Drawing::of(Arc::new(dag), title), owned);
        }
    }
    drawings.insert(id, drawing);
}

/// The plan of the goal that a task owns, and what the goal is called; none where a model makes it.
fn plan_of<'o>(node: &Node, owned: &'o Owned) -> Option<(&'o Arc<Dag>, String)> {
    if let Some(path) = &node.plan {
        return Some((owned.plans.get(path)?, node.title.clone()));
    }
    let named = |goal: &&ProjectGoal| Some(&goal.id) == node.goal.as_ref();
    let goal = owned.goals.iter().find(named)?;
    Some((goal.dag.as_ref()?, goal.title.clone()))
}

/// A goal with all that is below it, taken out of the goals that are `left`.
pub(super) fn taken(goal: &GoalId, left: &mut HashMap<GoalId, Drawing>) -> Option<Drawing> {
    // Each is taken once, so that nothing is below itself, whatever is stored.
    let mut drawing = left.remove(goal)?;
    let owners: Vec<_> = drawing.dag.nodes().filter(|node| node.kind == NodeKind::Goal).cloned().collect();
    for owner in owners {
        if let Some(owned) = taken(&nested::below(goal, &owner.id), left) {
            drawing.below.insert(owner.id.clone(), owned);
        }
    }
    Some(drawing)
}
