//! `amend`: a goal gets another DAG, and no task loses its state that is not to be done again.

use std::collections::HashSet;
use std::sync::Arc;

use downbeat_core::cache::{Amend, CacheError};
use downbeat_core::dag::{self, Dag, DagDiff};
use downbeat_core::goal::Goal;
use downbeat_core::ids::{GoalId, TaskId};
use downbeat_core::rules;
use downbeat_core::state::{Move, TaskState, TaskStatus};

use super::plan::{add, check_ids_are_free, count};
use crate::layout::{Key, TaskDoc, prefix};
use crate::step::Step;
use crate::txn::parse;

pub(crate) fn amend(step: &mut Step<'_>, amend: &Amend) -> Result<Goal, CacheError> {
    rules::check_amend(amend)?;
    let id = amend.dag.goal();
    let doc = step.goal(id)?.ok_or_else(|| CacheError::GoalNotFound { goal: id.clone() })?;
    if doc.amended_by.as_ref() == Some(&amend.request) {
        return Ok(doc.goal.clone());
    }
    if doc.goal.revision != amend.revision {
        return Err(rules::goal_conflict(id, amend.revision, doc.goal.revision));
    }
    check_ids_are_free(step, &amend.dag)?;

    let old = step.dag(&doc)?;
    let diff = dag::diff(&old, &amend.dag);
    let digest = amend.dag.digest();
    let doc = step.goal_mut(id)?;
    doc.amended_by = Some(amend.request.clone());
    doc.max_attempts = amend.max_attempts;
    doc.cancelled = false;
    doc.goal.revision = doc.goal.revision.saturating_add(1);
    doc.goal.digest = digest;
    doc.goal.usage = doc.goal.usage.plus(amend.spent);
    let revision = doc.goal.revision;
    let event = rules::amended(&doc.goal, &diff, amend);
    step.say(event)?;

    remove(step, id, &diff, revision)?;
    // Counted before anything moves: what is done again is not done for anybody.
    for task in diff.redone(amend) {
        let Some(why) = amend.redo.get(task).copied() else { continue };
        let open = open_dependencies(step, amend, task)?;
        let more = amend.dag.node(task).and_then(|node| node.max_attempts).unwrap_or(amend.max_attempts);
        let reason = rules::redo_reason(revision, why, &amend.by);
        let doc = step.indexed_task(task)?;
        // A refused move leaves the task as it is.
        let _ = step.make(task, &doc, &Move::Redo { why, open, more, reason })?;
    }
    let mut added = Vec::new();
    for task in &diff.added {
        if let Some(node) = amend.dag.node(task) {
            let open = open_dependencies(step, amend, task)?;
            let max_attempts = node.max_attempts.unwrap_or(amend.max_attempts);
            added.push((node, TaskState::planned(node.priority, open, max_attempts, step.now)));
        }
    }
    add(step, id, added.into_iter())?;
    for task in diff.recounted(amend) {
        let open = open_dependencies(step, amend, task)?;
        let doc = step.indexed_task(task)?;
        // A refused move leaves the task as it is.
        let _ = step.make(task, &doc, &Move::Rewire(open))?;
    }
    for task in &diff.changed {
        replace_node(step, &amend.dag, task)?;
    }
    for node in amend.dag.nodes() {
        if old.node(&node.id).is_none() || old.dependants(&node.id) != amend.dag.dependants(&node.id) {
            step.put_dependants(&amend.dag, &node.id);
        }
    }
    step.put_dag(revision, &amend.dag);
    step.evaluate(id)?;
    step.goal_mut(id).map(|doc| doc.goal.clone())
}

/// Calls off and forgets the tasks that the new DAG does not have.
fn remove(step: &mut Step<'_>, goal: &GoalId, diff: &DagDiff, revision: u64) -> Result<(), CacheError> {
    for task in &diff.removed {
        let doc = step.indexed_task(task)?;
        let cancel = Move::Cancel { reason: rules::removed_reason(revision) };
        // Finished ones have nothing to call off.
        let doc = step.make(task, &doc, &cancel)?.unwrap_or(doc);
        forget(step, task, &doc)?;
    }
    if diff.removed.is_empty() {
        return Ok(());
    }
    let removed: HashSet<&TaskId> = diff.removed.iter().collect();
    let pages: Vec<_> = step.txn.under(&prefix::pages(goal)).collect::<Result<_, _>>()?;
    for (key, value) in pages {
        let mut page: Vec<(u64, TaskId)> = parse(&key, &value)?;
        let before = page.len();
        page.retain(|(_, task)| !removed.contains(task));
        let Some(key) = Key::decode(&key).filter(|_| page.len() < before) else {
            continue;
        };
        if page.is_empty() { step.txn.delete(&key) } else { step.txn.write(&key, &page)? }
    }
    Ok(())
}

pub(super) fn forget(step: &mut Step<'_>, task: &TaskId, doc: &TaskDoc) -> Result<(), CacheError> {
    step.put_task(task, Some(doc), None)?;
    let token = doc.state.token.as_u64();
    if token > step.txn.number(&Key::LastToken)? {
        step.txn.set_number(&Key::LastToken, token);
    }
    step.goal_mut(&doc.goal)?.goal.counts.remove(doc.state.status);
    let ended: Vec<_> = step.txn.under(&prefix::ended(task)).collect::<Result<_, _>>()?;
    for key in ended.iter().filter_map(|(key, _)| Key::decode(key)) {
        step.txn.delete(&key);
    }
    step.txn.delete(&Key::Node(task.clone()));
    step.txn.delete(&Key::Dependants(task.clone()));
    Ok(())
}

/// How many dependencies of a task are not done. Those that are yet to be added are not, nor those that are
/// done again.
fn open_dependencies(step: &Step<'_>, amend: &Amend, task: &TaskId) -> Result<u32, CacheError> {
    let mut open = 0_usize;
    for dependency in amend.dag.dependencies(task) {
        let done = !amend.redo.contains_key(dependency)
            && step.task(dependency)?.is_some_and(|doc| doc.state.status == TaskStatus::Done);
        open = open.saturating_add(usize::from(!done));
    }
    Ok(count(open))
}

fn replace_node(step: &mut Step<'_>, dag: &Dag, task: &TaskId) -> Result<(), CacheError> {
    let Some(node) = dag.node(task) else {
        return Ok(());
    };
    let old = step.indexed_task(task)?;
    let mut new = TaskDoc::clone(&old);
    // A priority that a person gave stays, unless the plan itself gives another.
    if node.priority != step.node(&old.goal, task)?.priority && !old.state.status.is_finished() {
        new.state.priority = node.priority;
    }
    new.needs.clone_from(&node.capabilities);
    step.put_task(task, Some(&old), Some(&Arc::new(new)))?;
    step.txn.write(&Key::Node(task.clone()), &**node)
}
