//! Why a task is not running, or an agent does nothing: every cause, and what would end it.

mod agent;
mod lives;
mod ready;

use std::collections::BTreeSet;

use downbeat_core::cache::{Agent, Cache, CacheError, Task, TaskQuery};
use downbeat_core::dag::NodeKind;
use downbeat_core::goal::GoalStatus;
use downbeat_core::ids::{Capability, GoalId, TaskId};
use downbeat_core::state::TaskStatus;
use downbeat_core::time::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

pub use agent::{WhyAgent, why_agent};
use ready::ready;

/// Why a task stands where it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Why {
    /// The task.
    pub task: TaskId,
    /// Where it stands.
    pub status: TaskStatus,
    /// Every cause; never empty for a task that is neither running nor done.
    pub causes: Vec<Cause>,
}

/// One cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cause {
    /// Which kind.
    pub kind: CauseKind,
    /// For a person.
    pub detail: String,
    /// What would end it.
    pub unblocks_when: String,
}

/// The kinds of causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// A dependency is not done.
    Dependency,
    /// The wait before the next attempt.
    Backoff,
    /// Somebody holds it.
    Lease,
    /// The goal that it owns is not complete.
    Below,
    /// Nobody who lives is capable of it.
    NoAgent,
    /// Everybody who is capable of it is paused.
    Paused,
    /// Everybody who could take it works on something else.
    Busy,
    /// An agent crashed too often to be started again.
    Quarantined,
    /// An agent waits for a slot, behind `max_workers` or the limit of a group.
    Queued,
    /// An agent waits for those that it depends on, or one of those failed.
    Prerequisite,
    /// An agent, or a group of it, was stopped by an order.
    Stopped,
    /// An agent is being started, or is about to be started again.
    Starting,
    /// An agent has ended, and nobody starts it again.
    Ended,
    /// An agent has nothing that it could take.
    Idle,
    /// Its attempts failed.
    Failed,
    /// Somebody called it off.
    Cancelled,
    /// Its goal is at rest.
    Goal,
    /// A limit of what may be spent is reached, or of what a model gives.
    Budget,
    /// It can be claimed this moment.
    Claimable,
}

/// Who else may be at work on the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// Agents may live, as the cache says.
    Shared,
    /// Nobody: the caller holds a cache that one process has at a time. Whoever had it is gone,
    /// however lately it was heard.
    Alone,
}

fn cause(kind: CauseKind, detail: impl Into<String>, unblocks_when: impl Into<String>) -> Cause {
    Cause { kind, detail: detail.into(), unblocks_when: unblocks_when.into() }
}

/// The most open dependencies that are named one by one.
const NAMED_DEPENDENCIES: usize = 20;

/// Finds every cause for where a task stands.
///
/// `now` is the time by which waits are judged to be over; with [`Company::Alone`] no agent lives.
///
/// # Errors
///
/// What the cache says; [`CacheError::TaskNotFound`] for a task that does not exist.
pub async fn why(
    cache: &dyn Cache,
    id: &TaskId,
    now: Timestamp,
    company: Company,
) -> Result<Why, CacheError> {
    let detail = cache.task(id).await?.ok_or_else(|| CacheError::TaskNotFound { task: id.clone() })?;
    let task = &detail.task;
    let mut causes = Vec::new();
    match task.state.status {
        TaskStatus::Blocked => dependencies(cache, task, &mut causes).await?,
        TaskStatus::Ready => ready(cache, task, now, company, &mut causes).await?,
        TaskStatus::Running if task.node.kind == NodeKind::Goal => below(cache, task, &mut causes).await?,
        TaskStatus::Running => {
            if let Some(holder) = &task.state.holder {
                let attempt = format!("attempt {} of {}", task.state.attempt, task.state.max_attempts);
                let since = format!("`{}` holds it since {} ({attempt})", holder.agent, holder.claimed_at);
                causes.push(match company {
                    Company::Shared => cause(
                        CauseKind::Lease,
                        since,
                        format!("the attempt ends, or the lease is not renewed by {}", holder.expires_at),
                    ),
                    Company::Alone => cause(
                        CauseKind::Lease,
                        format!("{since}, but its run is gone"),
                        "the next `downbeat run` gives it back and tries it again",
                    ),
                });
            }
        }
        TaskStatus::Done => {}
        TaskStatus::Failed => {
            let said = task.state.last_error.as_ref().map_or("", |failure| failure.message.as_str());
            causes.push(cause(
                CauseKind::Failed,
                format!(
                    "failed after {} of {} attempts: {said}",
                    task.state.attempt, task.state.max_attempts
                ),
                format!("a person runs `downbeat task retry {id}`"),
            ));
        }
        TaskStatus::Cancelled => {
            let said = task.state.last_error.as_ref().map_or("", |failure| failure.message.as_str());
            causes.push(cause(
                CauseKind::Cancelled,
                format!("cancelled: {said}"),
                format!("a person runs `downbeat task retry {id}`"),
            ));
        }
    }
    if !matches!(task.state.status, TaskStatus::Running | TaskStatus::Done) {
        for ended in detail.ended.iter().rev().take(3) {
            causes.push(cause(
                CauseKind::Failed,
                format!(
                    "attempt {} by `{}` {} at {}: {}",
                    ended.attempt, ended.agent, ended.outcome, ended.ended_at, ended.error.message
                ),
                "it is history: it blocks nothing by itself",
            ));
        }
        if let Some(goal) = cache.goal(&task.goal).await?
            && matches!(goal.status, GoalStatus::Stalled | GoalStatus::Failed | GoalStatus::Cancelled)
        {
            let reason = goal.reason.unwrap_or_default();
            causes.push(cause(
                CauseKind::Goal,
                format!("goal `{}` is {}: {reason}", goal.id, goal.status),
                "a person retries what failed or was cancelled",
            ));
        }
    }
    Ok(Why { task: id.clone(), status: task.state.status, causes })
}

/// How many tasks of a goal below are named.
const NAMED_BELOW: usize = 10;

/// What a task that owns a goal waits for: the unfinished tasks of that, those that stand in the way first.
async fn below(cache: &dyn Cache, task: &Task, causes: &mut Vec<Cause>) -> Result<(), CacheError> {
    let id = crate::nested::below(&task.goal, &task.node.id);
    let Some(goal) = cache.goal(&id).await? else {
        causes.push(cause(
            CauseKind::Below,
            format!("goal `{id}` below it is being planned"),
            "it has a plan",
        ));
        return Ok(());
    };
    let (done, total) = (goal.counts.done, goal.counts.total());
    causes.push(cause(
        CauseKind::Below,
        format!("waits for goal `{id}`, which is {}: {done} of {total} tasks are done", goal.status),
        format!("goal `{id}` is complete"),
    ));
    let mut named = 0;
    for status in [TaskStatus::Failed, TaskStatus::Running, TaskStatus::Ready] {
        let query = TaskQuery { goal: id.clone(), status: Some(status), after: None, limit: NAMED_BELOW };
        for waiting in cache.tasks(&query).await? {
            if named == NAMED_BELOW {
                return Ok(());
            }
            named += 1;
            let id = &waiting.node.id;
            let holder = waiting.state.holder.as_ref().filter(|_| status == TaskStatus::Running);
            let at = holder.map(|holder| format!(" at `{}`", holder.agent)).unwrap_or_default();
            causes.push(cause(
                CauseKind::Below,
                format!("below it, `{id}` is {status}{at}"),
                format!("`{id}` is done; `downbeat why {id}` says more"),
            ));
        }
    }
    Ok(())
}

async fn dependencies(cache: &dyn Cache, task: &Task, causes: &mut Vec<Cause>) -> Result<(), CacheError> {
    let Some(dag) = cache.dag(&task.goal).await? else { return Ok(()) };
    let mut named = 0;
    for dependency in dag.dependencies(&task.node.id) {
        let Some(found) = cache.task(dependency).await? else { continue };
        let state = &found.task.state;
        if state.status == TaskStatus::Done {
            continue;
        }
        named += 1;
        if named > NAMED_DEPENDENCIES {
            continue;
        }
        let more = match (state.status, &state.last_error, &state.holder) {
            (TaskStatus::Failed | TaskStatus::Cancelled, Some(failure), _) => {
                format!(": {}", failure.message)
            }
            (TaskStatus::Running, _, Some(holder)) => format!(" at `{}`", holder.agent),
            _ => String::new(),
        };
        let unblocks = match state.status {
            TaskStatus::Failed | TaskStatus::Cancelled => {
                format!("a person runs `downbeat task retry {dependency}` and it is done")
            }
            _ => format!("`{dependency}` is done"),
        };
        let detail = format!("waits for `{dependency}`, which is {}{more}", state.status);
        causes.push(cause(CauseKind::Dependency, detail, unblocks));
    }
    if named > NAMED_DEPENDENCIES {
        let rest = named - NAMED_DEPENDENCIES;
        causes.push(cause(
            CauseKind::Dependency,
            format!("waits for {rest} more tasks"),
            "all of them are done",
        ));
    }
    Ok(())
}

/// Whether an agent could take a task, by goal and capabilities. `root` is the goal above all others that
/// the task's own is below.
#[must_use]
pub fn is_able(agent: &Agent, task: &Task, root: &GoalId) -> bool {
    let capabilities: &BTreeSet<Capability> = &agent.registration.capabilities;
    agent.registration.goal.as_ref().is_none_or(|goal| goal == root)
        && task.node.capabilities.iter().all(|needed| capabilities.contains(needed))
}
