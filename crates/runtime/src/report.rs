//! What came of a run.

use std::collections::HashMap;
use std::time::Duration;

use downbeat_core::cache::{Cache, CacheError, Task, TaskQuery};
use downbeat_core::goal::{Goal, GoalStatus};
use downbeat_core::ids::{GoalId, TaskId};
use downbeat_core::state::TaskStatus;
use downbeat_core::time::Timestamp;
use serde::Serialize;

/// What came of a run: each goal, with its tasks in the order of the plan.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// The goals that were declared, in their order.
    pub goals: Vec<GoalReport>,
    /// Declared goals that nobody has planned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unplanned: Vec<GoalId>,
    /// Whether somebody asked the run to end before its goals did.
    pub interrupted: bool,
    /// Why it ended although goals are active: what nobody here can do, each in a line.
    pub stuck: Vec<String>,
    /// How long this run took, from its start.
    #[serde(serialize_with = "as_millis", rename = "duration_ms")]
    pub duration: Duration,
}

/// What came of a goal.
#[derive(Debug, Clone, Serialize)]
pub struct GoalReport {
    /// The goal.
    pub goal: Goal,
    /// Its tasks.
    pub tasks: Vec<Task>,
    /// Attempts that this and earlier runs spent on it.
    pub attempts: u64,
    /// From the first claim to the last settle of its tasks.
    #[serde(serialize_with = "as_millis", rename = "span_ms")]
    pub span: Duration,
    /// The time that agents worked on it in total, by the newest attempt of each task.
    #[serde(serialize_with = "as_millis", rename = "worked_ms")]
    pub worked: Duration,
}

fn as_millis<S: serde::Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

impl RunReport {
    /// Whether every goal is complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unplanned.is_empty()
            && self.goals.iter().all(|report| report.goal.status == GoalStatus::Complete)
    }
}

/// All tasks of a goal, in the order of the plan.
///
/// # Errors
///
/// What the cache says.
pub async fn all_tasks(cache: &dyn Cache, goal: &GoalId) -> Result<Vec<Task>, CacheError> {
    const PAGE: usize = 1_000;
    let mut tasks: Vec<Task> = Vec::new();
    loop {
        let after = tasks.last().map(|task| task.ordinal);
        let query = TaskQuery { goal: goal.clone(), status: None, after, limit: PAGE };
        let page = cache.tasks(&query).await?;
        let last = page.len() < PAGE;
        tasks.extend(page);
        if last {
            return Ok(tasks);
        }
    }
}

/// What came of one goal so far.
///
/// # Errors
///
/// What the cache says; [`CacheError::GoalNotFound`] for a goal that has no plan.
pub async fn goal_report(cache: &dyn Cache, goal: &GoalId) -> Result<GoalReport, CacheError> {
    let found = cache.goal(goal).await?;
    let goal = found.ok_or_else(|| CacheError::GoalNotFound { goal: goal.clone() })?;
    let tasks = all_tasks(cache, &goal.id).await?;
    let spans: HashMap<&TaskId, (Timestamp, Timestamp)> = tasks
        .iter()
        .filter_map(|task| Some((&task.node.id, (task.state.started_at?, task.state.ended_at?))))
        .collect();
    let first = spans.values().map(|(started, _)| *started).min().unwrap_or_default();
    let last = spans.values().map(|(_, ended)| *ended).max().unwrap_or_default();
    let finished = tasks.iter().filter(|task| task.state.status == TaskStatus::Done);
    let worked = finished
        .filter_map(|task| spans.get(&task.node.id))
        .map(|(started, ended)| ended.since(*started))
        .sum();
    let attempts = tasks.iter().map(|task| u64::from(task.state.attempt)).sum();
    Ok(GoalReport { span: last.since(first), worked, attempts, goal, tasks })
}
