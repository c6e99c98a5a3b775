//! The step after which the outcome is known to all: and remembering it.

use std::time::Duration;

use downbeat_core::backoff::Backoff;
use downbeat_core::cache::{CacheError, Claim, Claimed, Disposition, Settle, Settled};
use downbeat_core::state::{Outcome, TaskStatus};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{End, Verdict};
use crate::agent::Worker;
use crate::entropy;
use crate::stop::Stop;

/// Between two tries.
const BETWEEN: Backoff = Backoff { base: Duration::from_millis(100), ceiling: Duration::from_secs(10) };

pub(super) async fn settle(
    worker: &Worker,
    claimed: &Claimed,
    verdict: Verdict,
    stop: &Stop,
    next: Option<Claim>,
) -> End {
    let lease = &claimed.lease;
    let request = Settle {
        task: lease.task.clone(),
        token: lease.token,
        request: entropy::request_id(),
        outcome: verdict.outcome,
        spent: verdict.spent,
        next,
    };
    let (settled, asked) = match persist(worker, &request, stop).await {
        Ok(settled) => settled,
        Err(error) if error.disposition() == Disposition::Abandon => {
            warn!(target: "runtime", agent = %lease.agent, "Task {} is somebody else's now: {error}", lease.task);
            return End::Lost;
        }
        Err(error) => {
            error!(target: "runtime", agent = %lease.agent, "Task {} could not be settled: {error}", lease.task);
            return End::Lost;
        }
    };
    worker.completed(&lease.task).await;
    tell(worker, claimed, &request.outcome, &settled);
    remember(worker, claimed, &request.outcome).await;
    // What claimed the next task was the call before, whose answer was lost.
    let unanswered = request.next.filter(|_| settled.repeated);
    End::Settled { settled: Box::new(settled), asked, unanswered }
}

/// The same request again and again, while the store does not answer and nobody wants the run to end. The answer,
/// and when what it answers was asked.
async fn persist(worker: &Worker, request: &Settle, stop: &Stop) -> Result<(Settled, Instant), CacheError> {
    let patience = worker.settings.store_patience;
    // A call that waits for a store's answer takes its part of the time.
    let begun = Instant::now();
    let mut told = false;
    let mut tries = std::num::NonZeroU32::MIN;
    loop {
        let asked = Instant::now();
        match worker.cache.settle(request).await {
            Err(error)
                if error.disposition() == Disposition::Retry
                    && begun.elapsed() < patience
                    && !stop.is_now() =>
            {
                let wait = BETWEEN.delay(tries, entropy::draw()).max(Duration::from_millis(10));
                if !std::mem::replace(&mut told, true) {
                    warn!(target: "runtime", agent = %worker.name, "Settling task {}: {error}; trying again", request.task);
                }
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = stop.stopping() => {}
                }
                tries = tries.saturating_add(1);
            }
            answer => return answer.map(|settled| (settled, asked)),
        }
    }
}

fn tell(worker: &Worker, claimed: &Claimed, outcome: &Outcome, settled: &Settled) {
    let (agent, lease) = (&worker.name, &claimed.lease);
    match (outcome, settled.status) {
        (Outcome::Done { .. }, _) => {
            info!(target: "runtime", agent = %agent, "Task {} completed", lease.task);
        }
        (Outcome::Release { reason }, _) => {
            info!(target: "runtime", agent = %agent, "Task {} released: {reason}", lease.task);
        }
        (Outcome::Retry { failure, .. }, TaskStatus::Failed) | (Outcome::Failed { failure }, _) => {
            error!(target: "runtime", agent = %agent, "Task {} failed for good: {}", lease.task, failure.message);
        }
        // Elsewhere than ready, too: an amendment may have blocked it, or, after a lost answer, somebody may
        // have claimed it since.
        (Outcome::Retry { failure, after }, _) => warn!(target: "runtime", agent = %agent,
            "Task {} failed attempt {} of {}, next in {after:.1?}: {}",
            lease.task, lease.attempt, lease.max_attempts, failure.message),
    }
}

async fn remember(worker: &Worker, claimed: &Claimed, outcome: &Outcome) {
    let task = &claimed.lease.task;
    let line = match outcome {
        Outcome::Done { summary, .. } => Some(format!("Completed {task}: {summary}")),
        Outcome::Retry { failure, .. } | Outcome::Failed { failure } => {
            Some(format!("Failed {task}: {}", failure.message))
        }
        Outcome::Release { .. } => None,
    };
    worker.remember(task, line.as_deref()).await;
}
