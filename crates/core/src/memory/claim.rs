//! `claim`: one task to one agent.

use std::sync::Arc;

use super::store::Store;
use crate::cache::{CacheError, Claim, ClaimReply, Claimed, Lease};
use crate::ids::{TaskId, Token};
use crate::rules;
use crate::state::{Holder, Move, TaskStatus};
use crate::time::Timestamp;

impl Store {
    pub(super) fn claim(&mut self, claim: &Claim, now: Timestamp) -> Result<ClaimReply, CacheError> {
        rules::check_claim(claim)?;
        rules::may_claim(&claim.agent, &claim.incarnation, self.life(&claim.agent))?;
        if self.paused.contains(&claim.agent) {
            return Ok(ClaimReply::Nothing { paused: true, next_due: None });
        }
        if let Some(claimed) = self.granted_before(claim) {
            return Ok(ClaimReply::Granted(Box::new(claimed)));
        }
        // An error leaves no trace: whatever can fail comes before the upkeep.
        if let Some(task) = &claim.task
            && !self.tasks.contains_key(task)
        {
            return Err(CacheError::TaskNotFound { task: task.clone() });
        }
        if Token::NONE.next(self.epoch).is_none() {
            return Err(rules::tokens_used_up());
        }

        self.expire_leases(rules::CLAIM_SWEEP, now);
        self.end_waits(rules::CLAIM_SWEEP, now);
        let Some(task) = self.pick(claim) else {
            return Ok(ClaimReply::Nothing { paused: false, next_due: self.index.next_due() });
        };
        let last = self.state(&task).map_or(Token::NONE, |state| state.token);
        let token = last.next(self.epoch).ok_or_else(rules::tokens_used_up)?;
        let holder = Holder {
            agent: claim.agent.clone(),
            incarnation: claim.incarnation.clone(),
            request: claim.request.clone(),
            claimed_at: now,
            expires_at: now.after(claim.ttl),
            expired: false,
        };
        self.make_alone(&task, &Move::Claim { holder, token }, now)
            .ok()
            .and_then(|_| self.claimed(&task))
            .map(|claimed| ClaimReply::Granted(Box::new(claimed)))
            .ok_or(CacheError::Corrupt { key: format!("task:{task}"), source: None })
    }

    /// What the same request was granted before, if that still runs.
    fn granted_before(&self, claim: &Claim) -> Option<Claimed> {
        let same = |task: &TaskId| {
            let holder = self.state(task).and_then(|state| state.holder.as_ref());
            holder.is_some_and(|holder| holder.request == claim.request)
        };
        self.index.held_by(&claim.agent).iter().find(|task| same(task)).and_then(|task| self.claimed(task))
    }

    fn pick(&self, claim: &Claim) -> Option<TaskId> {
        let Some(named) = &claim.task else {
            let best = self.index.best(claim.goal.as_ref(), &claim.capabilities, 1 + claim.avoid.len());
            return best.into_iter().find(|task| !claim.avoid.contains(task));
        };
        let entry = self.tasks.get(named)?;
        let task = &entry.task;
        let claimable = task.state.status == TaskStatus::Ready
            && task.state.not_before.is_none()
            && task.node.capabilities.iter().all(|capability| claim.capabilities.contains(capability))
            && claim.goal.as_ref().is_none_or(|goal| *goal == entry.root)
            && !claim.avoid.contains(named);
        claimable.then(|| named.clone())
    }

    /// A running task, as its holder is told of it.
    fn claimed(&self, task: &TaskId) -> Option<Claimed> {
        let task = &self.tasks.get(task)?.task;
        let holder = task.state.holder.as_ref()?;
        Some(Claimed {
            lease: Lease {
                goal: task.goal.clone(),
                task: task.node.id.clone(),
                agent: holder.agent.clone(),
                token: task.state.token,
                attempt: task.state.attempt,
                max_attempts: task.state.max_attempts,
                claimed_at: holder.claimed_at,
                expires_at: holder.expires_at,
            },
            node: Arc::clone(&task.node),
            last_error: task.state.last_error.clone(),
        })
    }
}
