//! Looking without touching.

use super::store::Store;
use crate::cache::{CacheError, ReadyQuery, Task, TaskDetail, TaskQuery};
use crate::ids::TaskId;

impl Store {
    pub(super) fn task(&self, task: &TaskId) -> Option<TaskDetail> {
        let entry = self.tasks.get(task)?;
        Some(TaskDetail { task: entry.task.clone(), ended: entry.ended.iter().cloned().collect() })
    }

    pub(super) fn tasks(&self, query: &TaskQuery) -> Result<Vec<Task>, CacheError> {
        let missing = || CacheError::GoalNotFound { goal: query.goal.clone() };
        let goal = self.goals.get(&query.goal).ok_or_else(missing)?;
        let after = query.after.map_or(0, |after| after.saturating_add(1));
        Ok(goal
            .order
            .range(after..)
            .filter_map(|(_, task)| self.tasks.get(task))
            .filter(|entry| query.status.is_none_or(|status| status == entry.task.state.status))
            .map(|entry| entry.task.clone())
            .take(query.limit)
            .collect())
    }

    pub(super) fn ready(&self, query: &ReadyQuery) -> Vec<Task> {
        self.index
            .best(query.goal.as_ref(), &query.capabilities, query.limit)
            .iter()
            .filter_map(|task| self.tasks.get(task))
            .map(|entry| entry.task.clone())
            .collect()
    }
}
