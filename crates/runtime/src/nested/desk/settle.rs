//! How a task ends whose goal rests.

use std::num::NonZeroU32;
use std::time::Duration;

use downbeat_core::cache::{Disposition, Lease, Settle, TaskQuery};
use downbeat_core::dag::Node;
use downbeat_core::goal::{Goal, GoalStatus, Usage};
use downbeat_core::ids::{GoalId, TaskId};
use downbeat_core::state::{Artifact, Failure, Outcome, TaskStatus};
use tracing::{debug, info, warn};

use super::{Desk, counted};
use crate::orchestrator::RunError;
use crate::{entropy, workspace};

impl Desk<'_> {
    /// Settles a task whose goal rests; does nothing while that goes on.
    pub(super) async fn rests(&mut self, task: &TaskId) -> Result<(), RunError> {
        let Some(charge) = self.held.get(task) else { return Ok(()) };
        let (node, below, of) = (charge.node.clone(), charge.below.clone(), charge.lease.goal.clone());
        let Some(goal) = self.orchestrator.cache.goal(&below).await? else { return Ok(()) };
        if !goal.status.is_at_rest() {
            return Ok(());
        }
        let failure = if goal.status == GoalStatus::Complete {
            match self.artifacts(&of, &node).await? {
                Ok(artifacts) => {
                    let summary = format!("goal `{below}` is complete: {}", counted(&goal));
                    return self.settle(task, Outcome::Done { summary, artifacts }).await;
                }
                Err(missing) => Failure::new(format!("goal `{below}` is complete, and {missing}"), None),
            }
        } else {
            self.reason(&goal).await?
        };
        // Its tasks had their attempts; the goal as a whole is tried again only if its plan says so.
        let outcome = match node.max_attempts {
            Some(_) => Outcome::Retry { after: self.backoff(task), failure },
            None => Outcome::Failed { failure },
        };
        self.settle(task, outcome).await?;
        self.follow_if_tried_again(task, &goal).await
    }

    /// A goal whose end was told may have been tried again since the look at it, and be done already.
    async fn follow_if_tried_again(&mut self, task: &TaskId, told: &Goal) -> Result<(), RunError> {
        let Some(now) = self.orchestrator.cache.goal(&told.id).await? else { return Ok(()) };
        if (now.status, now.ended_at) == (told.status, told.ended_at)
            || !matches!(now.status, GoalStatus::Active | GoalStatus::Complete)
        {
            return Ok(());
        }
        self.try_again(task, &now).await
    }

    async fn artifacts(
        &mut self,
        goal: &GoalId,
        node: &Node,
    ) -> Result<Result<Vec<Artifact>, String>, RunError> {
        if node.expected_artifacts.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let place = self.orchestrator.place_of(goal).await?;
        let paths = node.expected_artifacts.clone();
        let looked = tokio::task::spawn_blocking(move || workspace::verify(&place, &paths)).await;
        Ok(match looked {
            Ok(Ok(artifacts)) => Ok(artifacts),
            Ok(Err(errors)) => Err(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
            Err(error) => Err(format!("the artifacts could not be looked at: {error}")),
        })
    }

    /// Why a goal did not become complete: its own reason, and the first of its tasks that failed.
    async fn reason(&mut self, goal: &Goal) -> Result<Failure, RunError> {
        let query =
            TaskQuery { goal: goal.id.clone(), status: Some(TaskStatus::Failed), after: None, limit: 1 };
        let failed = self.orchestrator.cache.tasks(&query).await?.pop();
        let why = goal.reason.clone().unwrap_or_default();
        let mut said = format!("goal `{}` is {}: {why}", goal.id, goal.status);
        if let Some(failed) = failed {
            let error = failed.state.last_error.map(|error| error.message).unwrap_or_default();
            said.push_str(&format!("; `{}` failed: {error}", failed.node.id));
        }
        Ok(Failure::new(&said, None))
    }

    pub(super) async fn settle(&mut self, task: &TaskId, outcome: Outcome) -> Result<(), RunError> {
        let Some(charge) = self.held.remove(task) else { return Ok(()) };
        match &outcome {
            Outcome::Done { summary, .. } => info!(target: "orchestrator", "Task {task} is done: {summary}"),
            Outcome::Retry { failure, .. } | Outcome::Failed { failure } => {
                warn!(target: "orchestrator", "Task {task} failed: {}", failure.message);
            }
            Outcome::Release { .. } => {}
        }
        match self.orchestrator.cache.settle(&self.settle_of(&charge.lease, outcome)).await {
            Ok(_) => Ok(()),
            // It was dropped, or called off: the event says what to do.
            Err(error) if error.disposition() == Disposition::Abandon => {
                debug!(target: "orchestrator", "Settling task {task}: {error}");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn settle_of(&self, lease: &Lease, outcome: Outcome) -> Settle {
        Settle {
            task: lease.task.clone(),
            token: lease.token,
            request: entropy::request_id(),
            outcome,
            // What models cost below is the goal's own; whoever shows costs adds them up.
            spent: Usage::default(),
            next: None,
        }
    }

    pub(super) fn backoff(&self, task: &TaskId) -> Duration {
        let attempt = self.held.get(task).and_then(|charge| NonZeroU32::new(charge.lease.attempt));
        self.orchestrator.settings.backoff.delay(attempt.unwrap_or(NonZeroU32::MIN), entropy::draw())
    }
}
