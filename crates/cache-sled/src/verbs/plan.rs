//! `plan`: a goal gets its DAG.

use std::sync::Arc;

use downbeat_core::cache::{CacheError, Plan};
use downbeat_core::dag::{Dag, Node};
use downbeat_core::goal::Goal;
use downbeat_core::ids::{GoalId, TaskId, Token};
use downbeat_core::rules;
use downbeat_core::state::{TaskState, TaskStatus};

use crate::layout::{GoalDoc, Key, TaskDoc};
use crate::step::Step;

/// How many tasks a page has at most.
const PAGE: usize = 128;

pub(crate) fn plan(step: &mut Step<'_>, plan: &Plan) -> Result<Goal, CacheError> {
    rules::check_plan(plan)?;
    let id = plan.dag.goal();
    if let Some(doc) = step.goal(id)? {
        if doc.planned_by == plan.request {
            return Ok(doc.goal.clone());
        }
        return Err(CacheError::GoalExists { goal: id.clone() });
    }
    check_ids_are_free(step, &plan.dag)?;

    let goal = rules::begun(plan, step.now);
    step.put_goal(GoalDoc {
        goal,
        cancelled: false,
        planned_by: plan.request.clone(),
        amended_by: None,
        max_attempts: plan.max_attempts,
    });
    let now = step.now;
    let added = plan.dag.nodes().map(|node| {
        let open = count(plan.dag.dependencies(&node.id).len());
        let max_attempts = node.max_attempts.unwrap_or(plan.max_attempts);
        (node, TaskState::planned(node.priority, open, max_attempts, now))
    });
    add(step, id, added)?;
    for node in plan.dag.nodes() {
        if !plan.dag.dependants(&node.id).is_empty() {
            step.put_dependants(&plan.dag, &node.id);
        }
    }
    step.put_dag(1, &plan.dag);
    let event = rules::planned(&step.goal_mut(id)?.goal);
    step.say(event)?;
    step.evaluate(id)?;
    step.goal_mut(id).map(|doc| doc.goal.clone())
}

/// Whether no other goal holds a task of this DAG.
pub(crate) fn check_ids_are_free(step: &Step<'_>, dag: &Dag) -> Result<(), CacheError> {
    let mut taken = Vec::new();
    for node in dag.nodes() {
        if let Some(doc) = step.task(&node.id)?.filter(|doc| doc.goal != *dag.goal()) {
            taken.push((node.id.clone(), doc.goal.clone()));
        }
    }
    if taken.is_empty() { Ok(()) } else { Err(CacheError::TasksTaken { goal: dag.goal().clone(), taken }) }
}

/// Adds tasks that nobody knows yet, in this order.
pub(crate) fn add<'n>(
    step: &mut Step<'_>,
    goal: &GoalId,
    tasks: impl Iterator<Item = (&'n Arc<Node>, TaskState)>,
) -> Result<(), CacheError> {
    let mut ordinal = step.txn.number(&Key::LastOrdinal)?;
    // Whoever held a task of the same id once stays fenced.
    let token = Token::from_u64(step.txn.number(&Key::LastToken)?);
    let root = step.goal_mut(goal)?.goal.parent.as_ref().map(|parent| parent.root.clone());
    let mut page: Vec<(u64, TaskId)> = Vec::new();
    for (node, state) in tasks {
        ordinal = ordinal.saturating_add(1);
        if state.status == TaskStatus::Ready {
            step.work_appeared();
        }
        step.goal_mut(goal)?.goal.counts.add(state.status);
        let state = TaskState { token, ..state };
        let needs = node.capabilities.clone();
        let doc = TaskDoc { goal: goal.clone(), root: root.clone(), ordinal, needs, ended: 0, state };
        step.put_task(&node.id, None, Some(&Arc::new(doc)))?;
        step.txn.write(&Key::Node(node.id.clone()), &**node)?;
        page.push((ordinal, node.id.clone()));
        if page.len() >= PAGE {
            put_page(step, goal, &std::mem::take(&mut page))?;
        }
    }
    put_page(step, goal, &page)?;
    step.txn.set_number(&Key::LastOrdinal, ordinal);
    Ok(())
}

fn put_page(step: &mut Step<'_>, goal: &GoalId, page: &[(u64, TaskId)]) -> Result<(), CacheError> {
    let Some((first, _)) = page.first() else {
        return Ok(());
    };
    step.txn.write(&Key::Page { goal: goal.clone(), first: *first }, &page)
}

/// How many of something a task has; a DAG's bounds keep it far below the limit.
pub(crate) fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
