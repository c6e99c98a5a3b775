//! What directives say: the reasons of the moves they ask for, their own events, and their answers.
//!
//! Every answer goes into [`Steered::detail`] and from there, by [`steered`](super::steered), into the
//! log.

use super::by;
use crate::cache::Steered;
use crate::dag::MAX_PRIORITY;
use crate::event::{EventDraft, EventKind};
use crate::goal::Goal;
use crate::ids::{AgentName, GoalId, TaskId};
use crate::state::{Refusal, TaskState, TaskStatus};

fn applied(detail: impl Into<String>) -> Steered {
    Steered { applied: true, detail: detail.into() }
}

fn refused(detail: impl Into<String>) -> Steered {
    Steered { applied: false, detail: detail.into() }
}

/// What a dropped lease says of its end.
#[must_use]
pub fn drop_reason(giver: &str) -> String {
    by("dropped", giver)
}

/// What a cancelled task says of its end.
#[must_use]
pub fn cancel_reason(giver: &str) -> String {
    by("cancelled", giver)
}

/// What each task of a cancelled goal says of its end.
#[must_use]
pub fn goal_cancel_reason(giver: &str) -> String {
    by("goal cancelled", giver)
}

/// `agent.paused`: only when the flag changes.
#[must_use]
pub fn agent_paused(agent: &AgentName, giver: &str) -> EventDraft {
    EventDraft::new(EventKind::AGENT_PAUSED).agent(agent).reason(by("paused", giver))
}

/// `agent.resumed`: only when the flag changes.
#[must_use]
pub fn agent_resumed(agent: &AgentName, giver: &str) -> EventDraft {
    EventDraft::new(EventKind::AGENT_RESUMED).agent(agent).reason(by("resumed", giver))
}

/// The agent takes no more tasks.
#[must_use]
pub fn now_paused(agent: &AgentName) -> Steered {
    applied(format!("agent `{agent}` takes no more tasks"))
}

/// The agent took none before.
#[must_use]
pub fn already_paused() -> Steered {
    applied("already paused")
}

/// The agent takes tasks again.
#[must_use]
pub fn now_resumed(agent: &AgentName) -> Steered {
    applied(format!("agent `{agent}` takes tasks again"))
}

/// The agent was not paused.
#[must_use]
pub fn already_resumed() -> Steered {
    applied("not paused")
}

/// The task was taken from its holder; `before` is its state until then.
#[must_use]
pub fn task_dropped(task: &TaskId, before: &TaskState) -> Steered {
    let holder = before.owner.as_ref().map_or("nobody", AgentName::as_str);
    applied(format!("task `{task}` was taken from `{holder}`"))
}

/// The task has another priority; `before` is its state until then.
#[must_use]
pub fn task_elevated(task: &TaskId, before: &TaskState, priority: u32) -> Steered {
    applied(format!("priority of task `{task}` was {} and is {priority}", before.priority))
}

/// No task may have this priority.
#[must_use]
pub fn priority_too_great(priority: u32) -> Steered {
    refused(format!("a priority is at most {MAX_PRIORITY}, not {priority}"))
}

/// The task is tried again; `before` and `after` are its states around that.
///
/// The attempts it gets are its node's `max_attempts`, or else the default that the goal's newest plan
/// or amendment came with.
#[must_use]
pub fn task_retried(task: &TaskId, before: &TaskState, after: &TaskState) -> Steered {
    if before.status == TaskStatus::Ready {
        return applied(format!("task `{task}` waits no longer for its next attempt"));
    }
    let more = after.max_attempts.saturating_sub(after.attempt);
    applied(format!("task `{task}` is {} and has {more} more attempts", after.status))
}

/// The task is called off.
#[must_use]
pub fn task_cancelled(task: &TaskId) -> Steered {
    applied(format!("task `{task}` was cancelled"))
}

/// `tasks` unfinished tasks of the goal are called off.
#[must_use]
pub fn goal_cancelled(goal: &GoalId, tasks: u64) -> Steered {
    applied(format!("{tasks} unfinished tasks of goal `{goal}` were cancelled"))
}

/// Every task of the goal is finished.
#[must_use]
pub fn nothing_to_cancel(goal: &Goal) -> Steered {
    refused(format!("goal `{}` is {}: none of its tasks is unfinished", goal.id, goal.status))
}

/// The agent's memory was emptied.
#[must_use]
pub fn memory_flushed(agent: &AgentName) -> Steered {
    applied(format!("memory of agent `{agent}` was emptied"))
}

/// There was no memory to empty.
#[must_use]
pub fn memory_absent(agent: &AgentName) -> Steered {
    applied(format!("agent `{agent}` remembers nothing"))
}

/// The table of moves has no such move.
#[must_use]
pub fn move_refused(task: &TaskId, refusal: &Refusal) -> Steered {
    refused(format!("{refusal} task=`{task}`"))
}

/// The directive names a task that does not exist.
#[must_use]
pub fn no_such_task(task: &TaskId) -> Steered {
    refused(format!("no such task task=`{task}`"))
}

/// The directive names a goal that does not exist.
#[must_use]
pub fn no_such_goal(goal: &GoalId) -> Steered {
    refused(format!("no such goal goal=`{goal}`"))
}
