//! What is forgotten, and what is kept of it.

use serde_json::json;

use crate::cache::{AgentError, CacheError, Remove};
use crate::event::{EventDraft, EventKind};
use crate::goal::Goal;
use crate::ids::{GoalId, TaskId};
use crate::state::{EndedAttempt, Failure};

/// Whether a goal may be removed.
///
/// # Errors
///
/// - [`CacheError::GoalUnfinished`]: something of it may still move.
/// - [`CacheError::Conflict`]: it came to rest at another moment than the caller saw.
pub fn check_remove(remove: &Remove, goal: &Goal) -> Result<(), CacheError> {
    if !goal.status.is_finished() {
        return Err(CacheError::GoalUnfinished { goal: goal.id.clone(), status: goal.status });
    }
    match remove.ended_at {
        Some(seen) if goal.ended_at != Some(seen) => Err(super::goal_conflict(
            &goal.id,
            seen.as_millis(),
            goal.ended_at.map_or(0, crate::time::Timestamp::as_millis),
        )),
        _ => Ok(()),
    }
}

/// A goal and its tasks were forgotten.
#[must_use]
pub fn removed(goal: &Goal) -> EventDraft {
    EventDraft::new(EventKind::GOAL_REMOVED)
        .goal(&goal.id)
        .reason(format!("{} with {} tasks", goal.status, goal.counts.total()))
        .data(json!({ "tasks": goal.counts.total(), "status": goal.status, "digest": goal.digest }))
}

/// What an agent's list of errors says of an attempt; `None` when that is no error of its agent.
#[must_use]
pub fn agent_error(goal: &GoalId, task: &TaskId, ended: &EndedAttempt) -> Option<AgentError> {
    ended.is_failure().then(|| AgentError {
        goal: goal.clone(),
        task: task.clone(),
        attempt: EndedAttempt {
            error: Failure { message: ended.error.message.clone(), detail: None },
            ..ended.clone()
        },
    })
}
