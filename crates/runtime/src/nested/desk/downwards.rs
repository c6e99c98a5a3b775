//! What goes down the chain: what is done to a task is done to all below it.

use downbeat_core::cache::{CacheError, Directive, TaskQuery};
use downbeat_core::ids::{GoalId, TaskId};
use downbeat_core::state::TaskStatus;
use tracing::debug;

use super::Desk;
use crate::entropy;
use crate::orchestrator::RunError;
use crate::steering::{self, Given};

/// How many tasks of a goal are read at once.
const PAGE: usize = 500;

impl Desk<'_> {
    /// Calls off all that is below a task. What is below that follows, since each task that is called off
    /// is heard of.
    pub(super) async fn call_off(&mut self, below: &GoalId, task: &TaskId) -> Result<(), RunError> {
        let Some(goal) = self.orchestrator.cache.goal(below).await? else { return Ok(()) };
        if goal.counts.unfinished() == 0 || goal.parent.is_none_or(|parent| parent.task != *task) {
            return Ok(());
        }
        let by = format!("task `{task}`, which was called off");
        self.steer(Directive::CancelGoal { goal: below.clone() }, &by).await
    }

    /// Stops all that runs below a task: it is put back, and costs no attempt.
    pub(super) async fn drop_below(&mut self, below: &GoalId, task: &TaskId) -> Result<(), RunError> {
        let by = format!("task `{task}`, which was taken from its orchestrator");
        self.each_of(below, TaskStatus::Running, |task| (Directive::DropTask { task }, by.clone())).await
    }

    /// Has all that failed or was called off below a task tried again.
    pub(super) async fn retry_below(&mut self, below: &GoalId, task: &TaskId) -> Result<(), RunError> {
        let by = format!("task `{task}`, which is tried again");
        for status in [TaskStatus::Failed, TaskStatus::Cancelled] {
            self.each_of(below, status, |task| (Directive::Retry { task }, by.clone())).await?;
        }
        Ok(())
    }

    async fn each_of(
        &mut self,
        goal: &GoalId,
        status: TaskStatus,
        directive: impl Fn(TaskId) -> (Directive, String),
    ) -> Result<(), RunError> {
        let mut after = None;
        loop {
            let query = TaskQuery { goal: goal.clone(), status: Some(status), after, limit: PAGE };
            let page = match self.orchestrator.cache.tasks(&query).await {
                Ok(page) => page,
                Err(CacheError::GoalNotFound { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            after = page.last().map(|task| task.ordinal);
            let is_last = page.len() < PAGE;
            for task in page {
                let (directive, by) = directive(task.node.id.clone());
                self.steer(directive, &by).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    pub(super) async fn steer(&mut self, directive: Directive, by: &str) -> Result<(), RunError> {
        // By the one door, so that whoever works on it hears of it at once.
        let given = Given { order: directive.into(), by: by.to_owned(), request: entropy::request_id() };
        let steered = steering::give(self.orchestrator.cache.as_ref(), &given).await?;
        if !steered.applied {
            debug!(target: "orchestrator", "{:?}: {}", given.order, steered.detail);
        }
        Ok(())
    }
}
