//! Whether a task that owns a goal knows how that goal stands.

use downbeat_core::cache::TaskDetail;
use downbeat_core::goal::{Goal, GoalStatus};
use downbeat_core::state::TaskStatus;

/// Whether the task has already been settled with how its goal rests now: then it was claimed to try that
/// again.
pub(super) fn is_told(found: &TaskDetail, goal: &Goal) -> bool {
    let mut ended = found.ended.iter().rev();
    let Some(last) = ended.find(|ended| matches!(ended.outcome.as_str(), "failed" | "cancelled")) else {
        return false;
    };
    // A goal is called off with its task, which ends before it.
    last.outcome == "cancelled" || goal.ended_at.is_none_or(|rested| last.ended_at >= rested)
}

/// Whether a task that failed with its goal is behind that: somebody had a task below it tried again, and the
/// goal goes on, or has become complete before anybody looked.
pub(crate) fn is_behind(task: &TaskDetail, goal: &Goal) -> bool {
    task.task.state.status == TaskStatus::Failed
        && match goal.status {
            GoalStatus::Active => true,
            GoalStatus::Complete => !is_told(task, goal),
            _ => false,
        }
}
