//! `settle` and `renew`: what a holder does with its lease.

use super::store::Store;
use crate::cache::{CacheError, Claim, ClaimReply, Renew, Renewed, Settle, Settled};
use crate::ids::TaskId;
use crate::rules;
use crate::state::{Move, Refusal, TaskStatus};
use crate::time::Timestamp;

impl Store {
    pub(super) fn settle(&mut self, settle: &Settle, now: Timestamp) -> Result<Settled, CacheError> {
        let outcome = rules::check_settle(settle)?;
        let entry = self.tasks.get(&settle.task).ok_or_else(|| not_found(&settle.task))?;
        let goal = entry.task.goal.clone();
        let mv = Move::Settle { token: settle.token, request: settle.request.clone(), outcome };
        match self.make(&settle.task, &mv, now) {
            Ok(_) => {}
            Err(Refusal::Repeated) => return self.settled(&settle.task, 0, true, None),
            Err(refusal) => return Err(refused(&settle.task, &refusal)),
        }

        // What was made of outdated inputs is not done.
        let done = self.state(&settle.task).is_some_and(|state| state.status == TaskStatus::Done);
        let unblocked = if done { self.unblock(&settle.task, now) } else { 0 };
        if let Some(entry) = self.goals.get_mut(&goal) {
            entry.goal.usage = entry.goal.usage.plus(settle.spent);
        }
        self.evaluate(&goal, now);
        // The answer tells where the settle left the task, not what the next claim did to it.
        let settled = self.settled(&settle.task, unblocked, false, None)?;
        let next = settle.next.as_ref().map(|next| self.next_claim(next, now));
        Ok(Settled { next, ..settled })
    }

    /// Tells the dependants of a task that it is done. Returns how many that made ready.
    fn unblock(&mut self, task: &TaskId, now: Timestamp) -> u32 {
        let Some(goal) = self.tasks.get(task).and_then(|entry| self.goals.get(&entry.task.goal)) else {
            return 0;
        };
        let dependants: Vec<TaskId> = goal.dag.dependants(task).into_iter().cloned().collect();
        let mut unblocked = 0;
        for dependant in &dependants {
            let before = self.make(dependant, &Move::DependencyDone(task.to_string()), now);
            let ready = self.state(dependant).is_some_and(|state| state.status == TaskStatus::Ready);
            if before.is_ok_and(|before| before.status == TaskStatus::Blocked) && ready {
                unblocked += 1;
            }
        }
        unblocked
    }

    /// The claim that rides on a settle: its failure does not undo the settle.
    fn next_claim(&mut self, claim: &Claim, now: Timestamp) -> ClaimReply {
        self.claim(claim, now).unwrap_or(ClaimReply::Nothing { paused: false, next_due: None })
    }

    fn settled(
        &self,
        task: &TaskId,
        unblocked: u32,
        repeated: bool,
        next: Option<ClaimReply>,
    ) -> Result<Settled, CacheError> {
        let task = &self.tasks.get(task).ok_or_else(|| not_found(task))?.task;
        Ok(Settled {
            status: task.state.status,
            not_before: task.state.not_before,
            unblocked,
            goal_status: self.goal_status(&task.goal),
            repeated,
            next,
        })
    }

    pub(super) fn renew(&mut self, renew: &Renew, now: Timestamp) -> Result<Renewed, CacheError> {
        rules::check_lease_ttl(renew.ttl)?;
        if !self.tasks.contains_key(&renew.task) {
            return Err(not_found(&renew.task));
        }
        let expires_at = now.after(renew.ttl);
        let progress = rules::bounded_progress(renew.progress.as_deref());
        self.make_alone(&renew.task, &Move::Renew { token: renew.token, expires_at, progress }, now)
            .map_err(|refusal| refused(&renew.task, &refusal))?;
        Ok(Renewed { expires_at })
    }
}

pub(super) fn not_found(task: &TaskId) -> CacheError {
    CacheError::TaskNotFound { task: task.clone() }
}

fn refused(task: &TaskId, refusal: &Refusal) -> CacheError {
    CacheError::from_refusal(task, refusal)
        .unwrap_or_else(|| CacheError::Corrupt { key: format!("task:{task}"), source: None })
}
