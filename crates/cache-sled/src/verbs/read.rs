//! Looking without touching.

use std::sync::Arc;

use downbeat_core::cache::{CacheError, ReadyQuery, Task, TaskDetail, TaskQuery};
use downbeat_core::dag::Dag;
use downbeat_core::goal::Goal;
use downbeat_core::ids::{GoalId, TaskId};

use super::claim::best;
use crate::layout::{GoalDoc, Key, prefix};
use crate::step::Step;
use crate::txn::parse;

pub(crate) fn goal(step: &Step<'_>, goal: &GoalId) -> Result<Option<Goal>, CacheError> {
    Ok(step.goal(goal)?.map(|doc| doc.goal.clone()))
}

pub(crate) fn goals(step: &Step<'_>) -> Result<Vec<Goal>, CacheError> {
    let pairs = step.txn.under(prefix::GOALS);
    pairs.map(|pair| pair.and_then(|(key, value)| Ok(parse::<GoalDoc>(&key, &value)?.goal))).collect()
}

pub(crate) fn dag(step: &mut Step<'_>, goal: &GoalId) -> Result<Option<Arc<Dag>>, CacheError> {
    step.goal(goal)?.map(|doc| step.dag(&doc)).transpose()
}

pub(crate) fn task(step: &Step<'_>, task: &TaskId) -> Result<Option<TaskDetail>, CacheError> {
    let Some(doc) = step.task(task)? else {
        return Ok(None);
    };
    let ended = step.txn.under(&prefix::ended(task));
    let ended = ended.map(|pair| pair.and_then(|(key, value)| parse(&key, &value)));
    Ok(Some(TaskDetail { ended: ended.collect::<Result<_, _>>()?, task: step.full_task(task, &doc)? }))
}

pub(crate) fn tasks(step: &Step<'_>, query: &TaskQuery) -> Result<Vec<Task>, CacheError> {
    if step.goal(&query.goal)?.is_none() {
        return Err(CacheError::GoalNotFound { goal: query.goal.clone() });
    }
    let mut found = Vec::new();
    // A page is looked at when the next one is seen not to begin at or before `after`.
    let mut last = None;
    for pair in step.txn.under(&prefix::pages(&query.goal)) {
        let page = pair?;
        let skip = match (Key::decode(&page.0), query.after) {
            (Some(Key::Page { first, .. }), Some(after)) => first <= after,
            _ => false,
        };
        if let Some(page) = last.replace(page).filter(|_| !skip) {
            collect(step, query, &page, &mut found)?;
        }
        if found.len() >= query.limit {
            return Ok(found);
        }
    }
    if let Some(page) = last {
        collect(step, query, &page, &mut found)?;
    }
    Ok(found)
}

/// Adds what is asked for of one page.
fn collect(
    step: &Step<'_>,
    query: &TaskQuery,
    (key, value): &(sled::IVec, sled::IVec),
    found: &mut Vec<Task>,
) -> Result<(), CacheError> {
    for (ordinal, task) in parse::<Vec<(u64, TaskId)>>(key, value)? {
        if found.len() >= query.limit {
            break;
        }
        if query.after.is_some_and(|after| ordinal <= after) {
            continue;
        }
        let doc = step.indexed_task(&task)?;
        if query.status.is_none_or(|status| status == doc.state.status) {
            found.push(step.full_task(&task, &doc)?);
        }
    }
    Ok(())
}

pub(crate) fn ready(step: &Step<'_>, query: &ReadyQuery) -> Result<Vec<Task>, CacheError> {
    let best = best(step, query.goal.as_ref(), &query.capabilities, query.limit)?;
    best.iter().map(|task| step.full_task(task, &*step.indexed_task(task)?)).collect()
}
