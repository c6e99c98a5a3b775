//! `settle`: a holder ends its attempt.

use downbeat_core::cache::{CacheError, Claim, ClaimReply, Settle, Settled};
use downbeat_core::goal::GoalStatus;
use downbeat_core::ids::{GoalId, TaskId};
use downbeat_core::rules;
use downbeat_core::state::{Move, Refusal, TaskState, TaskStatus};

use crate::step::Step;

pub(crate) fn settle(step: &mut Step<'_>, settle: &Settle) -> Result<Settled, CacheError> {
    let outcome = rules::check_settle(settle)?;
    let old = step.named_task(&settle.task)?;
    let goal = old.goal.clone();
    let mv = Move::Settle { token: settle.token, request: settle.request.clone(), outcome };
    let new = match step.make(&settle.task, &old, &mv)? {
        Ok(new) => new,
        Err(Refusal::Repeated) => {
            let goal = step.goal(&goal)?.map_or(GoalStatus::Draft, |doc| doc.goal.status);
            return Ok(settled(&old.state, 0, goal, true));
        }
        Err(refusal) => return Err(refused(&settle.task, &refusal)),
    };

    // What was made of outdated inputs is not done.
    let done = new.state.status == TaskStatus::Done;
    let unblocked = if done { unblock(step, &goal, &settle.task)? } else { 0 };
    let doc = step.goal_mut(&goal)?;
    doc.goal.usage = doc.goal.usage.plus(settle.spent);
    let status = step.evaluate(&goal)?;
    let next = settle.next.as_ref().map(|next| next_claim(step, next));
    Ok(Settled { next, ..settled(&new.state, unblocked, status, false) })
}

/// Tells the dependants of a task that it is done. Returns how many that made ready.
fn unblock(step: &mut Step<'_>, goal: &GoalId, task: &TaskId) -> Result<u32, CacheError> {
    let mut unblocked: u32 = 0;
    for dependant in step.dependants(goal, task)? {
        let before = step.indexed_task(&dependant)?;
        let made = step.make(&dependant, &before, &Move::DependencyDone(task.to_string()))?;
        let was_blocked = before.state.status == TaskStatus::Blocked;
        if made.is_ok_and(|after| was_blocked && after.state.status == TaskStatus::Ready) {
            unblocked = unblocked.saturating_add(1);
        }
    }
    Ok(unblocked)
}

/// The claim that rides on a settle: its failure leaves no trace and does not undo the settle.
fn next_claim(step: &mut Step<'_>, claim: &Claim) -> ClaimReply {
    step.begin_part();
    match super::claim::claim(step, claim) {
        Ok(reply) => {
            step.keep_part();
            reply
        }
        Err(_) => {
            step.drop_part();
            ClaimReply::Nothing { paused: false, next_due: None }
        }
    }
}

const fn settled(state: &TaskState, unblocked: u32, goal_status: GoalStatus, repeated: bool) -> Settled {
    Settled {
        status: state.status,
        not_before: state.not_before,
        unblocked,
        goal_status,
        repeated,
        next: None,
    }
}

pub(crate) fn refused(task: &TaskId, refusal: &Refusal) -> CacheError {
    CacheError::from_refusal(task, refusal)
        .unwrap_or_else(|| CacheError::Corrupt { key: format!("task:{task}"), source: None })
}
