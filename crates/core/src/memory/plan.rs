//! `plan`: a goal gets its DAG.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::store::{GoalEntry, Store};
use crate::cache::{CacheError, Plan};
use crate::dag::Dag;
use crate::goal::Goal;
use crate::ids::{GoalId, TaskId};
use crate::rules;
use crate::state::TaskState;
use crate::time::Timestamp;

impl Store {
    pub(super) fn plan(&mut self, plan: &Plan, now: Timestamp) -> Result<Goal, CacheError> {
        rules::check_plan(plan)?;
        let id = plan.dag.goal();
        if let Some(entry) = self.goals.get(id) {
            if entry.planned_by == plan.request {
                return Ok(entry.goal.clone());
            }
            return Err(CacheError::GoalExists { goal: id.clone() });
        }
        self.check_ids_are_free(&plan.dag)?;

        let goal = rules::begun(plan, now);
        let entry = GoalEntry {
            goal,
            dag: Arc::clone(&plan.dag),
            order: BTreeMap::new(),
            cancelled: false,
            max_attempts: plan.max_attempts,
            planned_by: plan.request.clone(),
            amended_by: None,
        };
        self.goals.insert(id.clone(), entry);
        for node in plan.dag.nodes() {
            let open = count(plan.dag.dependencies(&node.id).len());
            let max_attempts = node.max_attempts.unwrap_or(plan.max_attempts);
            self.add(id, node, TaskState::planned(node.priority, open, max_attempts, now));
        }
        if let Some(entry) = self.goals.get(id) {
            self.log.say(now, rules::planned(&entry.goal));
        }
        self.evaluate(id, now);
        self.goals
            .get(id)
            .map(|entry| entry.goal.clone())
            .ok_or_else(|| CacheError::GoalNotFound { goal: id.clone() })
    }

    /// Whether no other goal holds a task of this DAG.
    pub(super) fn check_ids_are_free(&self, dag: &Dag) -> Result<(), CacheError> {
        let goal: &GoalId = dag.goal();
        let taken: Vec<(TaskId, GoalId)> = dag
            .nodes()
            .filter_map(|node| self.tasks.get(&node.id))
            .filter(|entry| entry.task.goal != *goal)
            .map(|entry| (entry.task.node.id.clone(), entry.task.goal.clone()))
            .collect();
        if taken.is_empty() { Ok(()) } else { Err(CacheError::TasksTaken { goal: goal.clone(), taken }) }
    }
}

/// How many of something a task has; a DAG's bounds keep it far below the limit.
pub(super) fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
