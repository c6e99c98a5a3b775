//! What a plan would do to a goal as it stands.

use std::collections::HashMap;
use std::sync::Arc;

use downbeat_core::cache::{Cache, CacheError, TaskQuery};
use downbeat_core::dag::{Dag, Fate, PlanDiff, plan_diff};
use downbeat_core::goal::Goal;
use downbeat_core::ids::{GoalId, TaskId};
use downbeat_core::state::TaskStatus;

/// How many tasks are read at once.
const PAGE: usize = 1_000;

/// A goal beside another plan for it.
#[derive(Debug, Clone)]
pub struct Foreseen {
    /// The goal; its revision is the one that the difference starts from.
    pub goal: Goal,
    /// The other plan, its tasks called as they would be called in the store.
    pub dag: Arc<Dag>,
    /// The difference.
    pub diff: PlanDiff,
}

impl Foreseen {
    /// Whether nothing that was done is done again and nobody loses a lease. That needs no order: it comes
    /// into force as soon as it is declared.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.diff.tasks.iter().all(|task| {
            let again = match task.fate {
                Fate::OnceMore => true,
                // What failed has nothing to lose.
                Fate::Again => task.status == Some(TaskStatus::Done),
                _ => false,
            };
            !again && !task.ends_lease()
        })
    }

    /// In a few words, what it costs.
    #[must_use]
    pub fn cost(&self) -> String {
        let tally = self.diff.tally();
        let mut parts = Vec::new();
        for (number, what) in [
            (tally.done_again, "done again"),
            (tally.leases_ended, "taken from their agents"),
            (tally.cancelled, "cancelled"),
        ] {
            if number > 0 {
                parts.push(format!("{number} {what}"));
            }
        }
        if parts.is_empty() { "nothing is done again".to_owned() } else { parts.join(", ") }
    }
}

/// What becomes of a goal's tasks if `dag` takes the place of its plan; `None` for a goal without one.
///
/// # Errors
///
/// What the cache says.
pub async fn foresee(
    cache: &dyn Cache,
    goal: &GoalId,
    dag: &Arc<Dag>,
) -> Result<Option<Foreseen>, CacheError> {
    let (Some(stored), Some(old)) = (cache.goal(goal).await?, cache.dag(goal).await?) else {
        return Ok(None);
    };
    let dag = as_stored(&old, dag);
    let mut states: HashMap<TaskId, TaskStatus> = HashMap::new();
    let mut after = None;
    loop {
        let query = TaskQuery { goal: goal.clone(), status: None, after, limit: PAGE };
        let page = match cache.tasks(&query).await {
            Err(CacheError::GoalNotFound { .. }) => return Ok(None),
            page => page?,
        };
        after = page.last().map(|task| task.ordinal);
        let last = page.len() < PAGE;
        states.extend(page.into_iter().map(|task| (task.node.id.clone(), task.state.status)));
        if last {
            break;
        }
    }
    let diff = plan_diff(&old, &dag, |task| states.get(task).copied());
    Ok(Some(Foreseen { goal: stored, dag, diff }))
}

/// The plan with its tasks called as in the store, where ids that another goal has got a prefix.
fn as_stored(old: &Dag, new: &Arc<Dag>) -> Arc<Dag> {
    if new.nodes().any(|node| old.node(&node.id).is_some()) {
        return Arc::clone(new);
    }
    match new.with_prefix(new.goal()) {
        Ok(prefixed) if prefixed.nodes().any(|node| old.node(&node.id).is_some()) => Arc::new(prefixed),
        _ => Arc::clone(new),
    }
}
