//! What the nested orchestrator has yet to do: before that nothing is at rest, and nothing is stuck.

use downbeat_core::cache::{CacheError, Task};
use downbeat_core::goal::{Goal, GoalStatus};
use downbeat_core::state::TaskStatus;

use super::{Orchestrator, RunError};
use crate::nested::name;
use crate::nested::told::is_behind;

impl Orchestrator {
    /// Whether something follows below or above one of these goals that whoever holds the tasks that own goals
    /// may not have heard of yet: a goal to be planned, to be called off with its task, or to be told to it.
    /// `family` is all goals below each other.
    pub(super) async fn owes(&self, family: &[Goal]) -> Result<bool, RunError> {
        for goal in family {
            if self.is_behind_its_task(goal, family).await? || self.owns_what_rests(goal, family).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the task above a goal was called off and the goal was not yet, or has failed and the goal goes on.
    async fn is_behind_its_task(&self, goal: &Goal, family: &[Goal]) -> Result<bool, RunError> {
        let Some(parent) = &goal.parent else { return Ok(false) };
        let above = family.iter().find(|above| above.id == parent.goal);
        let goes_on = goal.counts.unfinished() > 0;
        let is_late =
            goal.status == GoalStatus::Complete && above.is_some_and(|above| above.counts.failed > 0);
        if !goes_on && !is_late {
            return Ok(false);
        }
        Ok(match self.cache.task(&parent.task).await? {
            None => goes_on,
            Some(task) if task.task.state.status == TaskStatus::Cancelled => goes_on,
            Some(task) => is_behind(&task, goal),
        })
    }

    /// Whether a task of a goal is held whose own goal is not planned yet, or rests.
    async fn owns_what_rests(&self, goal: &Goal, family: &[Goal]) -> Result<bool, RunError> {
        if goal.counts.running == 0 {
            return Ok(false);
        }
        let rests = |task: &Task| {
            let below = name::below(&goal.id, &task.node.id);
            let below = family.iter().find(|found| found.id == below);
            !task.node.kind.is_task() && below.is_none_or(|below| below.status.is_at_rest())
        };
        match self.any(goal, TaskStatus::Running, rests).await {
            Err(RunError::Cache(CacheError::GoalNotFound { .. })) => Ok(false),
            answer => answer,
        }
    }
}
