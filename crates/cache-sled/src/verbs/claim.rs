//! `claim`: one task to one agent.

use std::collections::BTreeSet;
use std::sync::Arc;

use downbeat_core::cache::{CacheError, Claim, ClaimReply, Claimed, Lease};
use downbeat_core::ids::{Capability, GoalId, TaskId, Token};
use downbeat_core::rules;
use downbeat_core::state::{Holder, Move};

use super::sweep::{end_waits, expire_leases, next_due};
use crate::layout::{Key, TaskDoc, behind_group, id, prefix, suffices};
use crate::step::{Step, claimable, damaged, life};

pub(crate) fn claim(step: &mut Step<'_>, claim: &Claim) -> Result<ClaimReply, CacheError> {
    rules::check_claim(claim)?;
    let agent = step.agent(&claim.agent)?;
    rules::may_claim(&claim.agent, &claim.incarnation, life(agent.as_deref()))?;
    if step.txn.has(&Key::Paused(claim.agent.clone()))? {
        return Ok(ClaimReply::Nothing { paused: true, next_due: None });
    }
    for (task, request) in step.held_by(&claim.agent)? {
        if *request == *claim.request.0.as_bytes() {
            let doc = step.indexed_task(&task)?;
            return granted(step, &task, &doc);
        }
    }
    if let Some(task) = &claim.task {
        step.named_task(task)?;
    }
    if Token::NONE.next(step.epoch).is_none() {
        return Err(rules::tokens_used_up());
    }

    expire_leases(step, rules::CLAIM_SWEEP)?;
    end_waits(step, rules::CLAIM_SWEEP)?;
    let Some((task, doc)) = pick(step, claim)? else {
        return Ok(ClaimReply::Nothing { paused: false, next_due: next_due(step)? });
    };
    let token = doc.state.token.next(step.epoch).ok_or_else(rules::tokens_used_up)?;
    let holder = Holder {
        agent: claim.agent.clone(),
        incarnation: claim.incarnation.clone(),
        request: claim.request.clone(),
        claimed_at: step.now,
        expires_at: step.now.after(claim.ttl),
        expired: false,
    };
    let made = step.make_alone(&task, &doc, &Move::Claim { holder, token })?;
    let doc = made.map_err(|_| CacheError::Corrupt { key: format!("task:{task}"), source: None })?;
    granted(step, &task, &doc)
}

fn pick(step: &Step<'_>, claim: &Claim) -> Result<Option<(TaskId, Arc<TaskDoc>)>, CacheError> {
    let Some(named) = &claim.task else {
        let best = best(step, claim.goal.as_ref(), &claim.capabilities, 1 + claim.avoid.len())?;
        let best = best.into_iter().find(|task| !claim.avoid.contains(task));
        return best.map(|task| step.indexed_task(&task).map(|doc| (task, doc))).transpose();
    };
    let doc = step.named_task(named)?;
    let fits = claimable(&doc.state)
        && suffices(&claim.capabilities, &doc.needs)
        && claim.goal.as_ref().is_none_or(|goal| goal == doc.root())
        && !claim.avoid.contains(named);
    Ok(fits.then(|| (named.clone(), doc)))
}

/// The `limit` best claimable tasks for somebody with these capabilities: of each set of needs that
/// somebody is ready with, the first ones.
pub(crate) fn best(
    step: &Step<'_>,
    goal: Option<&GoalId>,
    capabilities: &BTreeSet<Capability>,
    limit: usize,
) -> Result<Vec<TaskId>, CacheError> {
    let under = goal.map_or_else(|| prefix::READY.to_vec(), prefix::ready_in);
    let until = prefix::end(&under);
    let mut found = Vec::new();
    let mut from = under.clone();
    while let Some(pair) = step.txn.range(&from, &until).next() {
        let (key, _) = pair?;
        let needs = match Key::decode(&key) {
            Some(Key::Ready(rank) | Key::GoalReady(_, rank)) => rank.needs,
            _ => return Err(damaged(&key)),
        };
        let behind = behind_group(&under, &needs);
        if suffices(capabilities, &needs) {
            for pair in step.txn.range(&key, &behind).take(limit) {
                let (key, value) = pair?;
                match Key::decode(&key) {
                    Some(Key::Ready(rank) | Key::GoalReady(_, rank)) => {
                        let task: TaskId = id(&value).ok_or_else(|| damaged(&key))?;
                        found.push((std::cmp::Reverse(rank.priority), rank.ordinal, task));
                    }
                    _ => return Err(damaged(&key)),
                }
            }
        }
        from = behind;
    }
    found.sort_unstable();
    Ok(found.into_iter().take(limit).map(|(_, _, task)| task).collect())
}

/// A running task, as its holder is told of it.
fn granted(step: &Step<'_>, task: &TaskId, doc: &TaskDoc) -> Result<ClaimReply, CacheError> {
    let holder = doc.state.holder.as_ref();
    let holder = holder.ok_or_else(|| CacheError::Corrupt { key: format!("task:{task}"), source: None })?;
    Ok(ClaimReply::Granted(Box::new(Claimed {
        lease: Lease {
            goal: doc.goal.clone(),
            task: task.clone(),
            agent: holder.agent.clone(),
            token: doc.state.token,
            attempt: doc.state.attempt,
            max_attempts: doc.state.max_attempts,
            claimed_at: holder.claimed_at,
            expires_at: holder.expires_at,
        },
        node: step.node(&doc.goal, task)?,
        last_error: doc.state.last_error.clone(),
    })))
}
