//! `amend`: a goal gets another DAG, and no task loses its state that is not to be done again.

use std::collections::HashMap;
use std::sync::Arc;

use super::plan::count;
use super::store::Store;
use crate::cache::{Amend, CacheError};
use crate::dag::{self, Dag, Node};
use crate::goal::Goal;
use crate::ids::{GoalId, TaskId};
use crate::rules;
use crate::state::{Move, TaskState, TaskStatus};
use crate::time::Timestamp;

impl Store {
    pub(super) fn amend(&mut self, amend: &Amend, now: Timestamp) -> Result<Goal, CacheError> {
        rules::check_amend(amend)?;
        let id = amend.dag.goal();
        let missing = || CacheError::GoalNotFound { goal: id.clone() };
        let entry = self.goals.get(id).ok_or_else(missing)?;
        if entry.amended_by.as_ref() == Some(&amend.request) {
            return Ok(entry.goal.clone());
        }
        if entry.goal.revision != amend.revision {
            return Err(rules::goal_conflict(id, amend.revision, entry.goal.revision));
        }
        self.check_ids_are_free(&amend.dag)?;

        let entry = self.goals.get_mut(id).ok_or_else(missing)?;
        let diff = dag::diff(&entry.dag, &amend.dag);
        entry.dag = Arc::clone(&amend.dag);
        entry.amended_by = Some(amend.request.clone());
        entry.max_attempts = amend.max_attempts;
        entry.cancelled = false;
        entry.goal.revision += 1;
        entry.goal.digest = amend.dag.digest();
        entry.goal.usage = entry.goal.usage.plus(amend.spent);
        let revision = entry.goal.revision;
        self.log.say(now, rules::amended(&entry.goal, &diff, amend));

        for task in &diff.removed {
            // Finished ones have nothing to call off.
            let _ = self.make(task, &Move::Cancel { reason: rules::removed_reason(revision) }, now);
            self.remove(task);
        }
        let opens = self.open_dependencies(amend);
        let open = |task: &TaskId| opens.get(task).copied().unwrap_or_default();
        for task in diff.redone(amend) {
            let more = amend.dag.node(task).and_then(|node| node.max_attempts).unwrap_or(amend.max_attempts);
            let Some(why) = amend.redo.get(task).copied() else { continue };
            let reason = rules::redo_reason(revision, why, &amend.by);
            let _ = self.make(task, &Move::Redo { why, open: open(task), more, reason }, now);
        }
        for task in &diff.added {
            self.add_amended(id, task, amend, open(task), now);
        }
        for task in diff.recounted(amend) {
            let _ = self.make(task, &Move::Rewire(open(task)), now);
        }
        for task in &diff.changed {
            self.replace_node(&amend.dag, task);
        }
        self.evaluate(id, now);
        self.goals.get(id).map(|entry| entry.goal.clone()).ok_or_else(missing)
    }

    fn add_amended(&mut self, goal: &GoalId, task: &TaskId, amend: &Amend, open: u32, now: Timestamp) {
        let Some(node) = amend.dag.node(task) else {
            return;
        };
        let max_attempts = node.max_attempts.unwrap_or(amend.max_attempts);
        self.add(goal, node, TaskState::planned(node.priority, open, max_attempts, now));
    }

    /// How many dependencies of each task are not done. Those that are yet to be added are not, nor those
    /// that are done again.
    fn open_dependencies(&self, amend: &Amend) -> HashMap<TaskId, u32> {
        let done = |task: &TaskId| {
            !amend.redo.contains_key(task)
                && self.state(task).is_some_and(|state| state.status == TaskStatus::Done)
        };
        let open = |node: &Arc<Node>| {
            let open = amend.dag.dependencies(&node.id).into_iter().filter(|task| !done(task)).count();
            (node.id.clone(), count(open))
        };
        amend.dag.nodes().map(open).collect()
    }

    fn replace_node(&mut self, dag: &Dag, task: &TaskId) {
        let (Some(entry), Some(node)) = (self.tasks.get_mut(task), dag.node(task)) else {
            return;
        };
        self.index.take(&entry.task, &entry.root);
        // A priority that a person gave stays, unless the plan itself gives another.
        if node.priority != entry.task.node.priority && !entry.task.state.status.is_finished() {
            entry.task.state.priority = node.priority;
        }
        entry.task.node = Arc::clone(node);
        self.index.put(&entry.task, &entry.root);
    }
}
