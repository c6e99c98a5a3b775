//! The one table of moves.

use super::moves::{EndedAttempt, Move, Moved, Outcome, Redo, Refusal};
use super::task::{Failure, Holder, TaskState, TaskStatus};
use crate::event::EventKind;
use crate::ids::Token;
use crate::time::Timestamp;

/// Decides one move: the state after it, or why it is not made.
///
/// `now` is the cache's clock. Nothing else enters: the same arguments give the same answer on every
/// backend.
///
/// # Errors
///
/// [`Refusal`]; the state is as it was.
#[expect(clippy::too_many_lines, reason = "one table, to be read as one")]
pub fn apply(state: &TaskState, mv: &Move, now: Timestamp) -> Result<Moved, Refusal> {
    use TaskStatus::{Blocked, Cancelled, Done, Failed, Ready, Running};

    let illegal = || Refusal::Illegal { from: state.status, mv: mv.name() };
    let mut next = state.clone();

    match mv {
        Move::DependencyDone(dependency) => {
            if state.status.is_finished() && state.open == 0 {
                return Err(illegal());
            }
            next.open = state.open.checked_sub(1).ok_or_else(illegal)?;
            let opens = state.status == Blocked && next.open == 0;
            if opens {
                next.status = Ready;
            }
            let reason = format!("last dependency `{dependency}` is done");
            Ok(told(next, opens.then_some((EventKind::TASK_READY, Some(reason)))))
        }

        Move::Rewire(open) => {
            next.open = *open;
            match state.status {
                Blocked if *open == 0 => next.status = Ready,
                // A running task keeps running: its inputs were complete when it began.
                Ready if *open > 0 => {
                    next.status = Blocked;
                    next.not_before = None;
                    next.holder = None;
                }
                _ => {}
            }
            let opened = state.status == Blocked && next.status == Ready;
            let reason = "an amendment removed its last open dependency".to_owned();
            Ok(told(next, opened.then_some((EventKind::TASK_READY, Some(reason)))))
        }

        Move::Claim { holder, token } => {
            if state.status != Ready {
                return Err(illegal());
            }
            if let Some(until) = state.not_before.filter(|until| *until > now) {
                return Err(Refusal::TooEarly { until });
            }
            next.status = Running;
            next.attempt = state.attempt.saturating_add(1);
            next.token = *token;
            next.owner = Some(holder.agent.clone());
            next.holder = Some(holder.clone());
            next.not_before = None;
            next.progress = None;
            next.started_at = Some(now);
            Ok(told(next, Some((EventKind::TASK_CLAIMED, None))))
        }

        Move::Renew { token, expires_at, progress } => {
            let holder = may_write(state, *token)?;
            // Whom nobody replaced may go on, also after the sweep has put the task back.
            next.status = Running;
            next.not_before = None;
            next.holder = Some(Holder { expires_at: *expires_at, expired: false, ..holder.clone() });
            let news = progress.is_some() && *progress != state.progress;
            if news {
                next.progress.clone_from(progress);
            }
            let told_progress = news.then(|| (EventKind::TASK_PROGRESS, progress.clone()));
            Ok(told(next, told_progress))
        }

        Move::Settle { token, request, outcome } => {
            if state.settled_with == Some(*token) && state.settled_by.as_ref() == Some(request) {
                return Err(Refusal::Repeated);
            }
            let holder = may_write(state, *token)?.clone();
            next.holder = None;
            next.not_before = None;
            next.settled_by = Some(request.clone());
            next.settled_with = Some(*token);
            match outcome {
                Outcome::Done { .. } if state.outdated == Some(*token) => {
                    next.status = unheld(state);
                    next.attempt = state.attempt.saturating_sub(1);
                    next.progress = None;
                    let reason = "its inputs were made again while it ran: it is done once more".to_owned();
                    let event = (EventKind::TASK_REDO, Some(reason.clone()));
                    Ok(ended(next, event, "outdated", Failure::new(reason, None), &holder, state, now))
                }
                Outcome::Done { summary, artifacts } => {
                    next.status = Done;
                    next.summary = Some(summary.clone());
                    next.artifacts.clone_from(artifacts);
                    next.last_error = None;
                    next.ended_at = Some(now);
                    Ok(told(next, Some((EventKind::TASK_DONE, Some(summary.clone())))))
                }
                Outcome::Retry { failure, after } if state.attempt < state.max_attempts => {
                    next.status = unheld(state);
                    next.not_before = (next.status == Ready && !after.is_zero()).then(|| now.after(*after));
                    next.last_error = Some(failure.clone());
                    let event = (EventKind::TASK_RETRY, Some(failure.message.clone()));
                    Ok(ended(next, event, "retry", failure.clone(), &holder, state, now))
                }
                Outcome::Retry { failure, .. } => {
                    next.status = Failed;
                    next.last_error = Some(failure.clone());
                    next.ended_at = Some(now);
                    let reason = format!(
                        "attempt {} of {} failed: {}",
                        state.attempt, state.max_attempts, failure.message
                    );
                    let event = (EventKind::TASK_FAILED, Some(reason));
                    Ok(ended(next, event, "failed", failure.clone(), &holder, state, now))
                }
                Outcome::Failed { failure } => {
                    next.status = Failed;
                    next.last_error = Some(failure.clone());
                    next.ended_at = Some(now);
                    let event = (EventKind::TASK_FAILED, Some(failure.message.clone()));
                    Ok(ended(next, event, "failed", failure.clone(), &holder, state, now))
                }
                Outcome::Release { reason } => {
                    next.status = unheld(state);
                    next.attempt = state.attempt.saturating_sub(1);
                    let event = (EventKind::TASK_RELEASED, Some(reason.clone()));
                    let failure = Failure::new(reason, None);
                    Ok(ended(next, event, "released", failure, &holder, state, now))
                }
            }
        }

        Move::Expire => {
            let holder = running(state).ok_or_else(illegal)?.clone();
            if holder.expires_at > now {
                return Err(Refusal::TooEarly { until: holder.expires_at });
            }
            let failure = Failure::new(
                format!("the lease of `{}` expired at {}", holder.agent, holder.expires_at),
                state.progress.as_deref(),
            );
            Ok(lost(next, failure, true, "expired", &holder, state, now))
        }

        Move::Due => {
            let until = state.not_before.filter(|_| state.status == Ready).ok_or_else(illegal)?;
            if until > now {
                return Err(Refusal::TooEarly { until });
            }
            next.not_before = None;
            let reason = "the wait before the next attempt is over".to_owned();
            Ok(told(next, Some((EventKind::TASK_READY, Some(reason)))))
        }

        Move::Interrupt { reason, limit } => {
            let holder = running(state).ok_or_else(illegal)?.clone();
            let failure = Failure::new(reason, state.progress.as_deref());
            next.interruptions = state.interruptions.saturating_add(1);
            if state.interruptions >= *limit {
                return Ok(lost(next, failure, false, "interrupted", &holder, state, now));
            }
            next.status = unheld(state);
            next.holder = None;
            next.attempt = state.attempt.saturating_sub(1);
            let event = (EventKind::TASK_RELEASED, Some(reason.clone()));
            Ok(ended(next, event, "interrupted", failure, &holder, state, now))
        }

        Move::Drop { reason } => {
            let holder = running(state).ok_or_else(illegal)?.clone();
            next.status = unheld(state);
            next.holder = None;
            next.attempt = state.attempt.saturating_sub(1);
            let event = (EventKind::TASK_RELEASED, Some(reason.clone()));
            Ok(ended(next, event, "dropped", Failure::new(reason, None), &holder, state, now))
        }

        Move::Elevate(priority) => {
            if state.status.is_finished() {
                return Err(illegal());
            }
            next.priority = *priority;
            let reason = format!("priority {} is now {priority}", state.priority);
            Ok(told(next, Some((EventKind::TASK_ELEVATED, Some(reason)))))
        }

        Move::Retry(more) => {
            let waits = state.status == Ready && state.not_before.is_some();
            if !waits && !matches!(state.status, Failed | Cancelled) {
                return Err(illegal());
            }
            next.status = unheld(state);
            next.not_before = None;
            next.ended_at = None;
            if !waits {
                next.max_attempts = state.attempt.saturating_add((*more).max(1));
                next.interruptions = 0;
            }
            // What still waits for a dependency is told to be tried again, not to be ready.
            let (kind, reason) = if next.status == Ready {
                (EventKind::TASK_READY, "a person asked for another try".to_owned())
            } else {
                let open = next.open;
                (
                    EventKind::TASK_RETRY,
                    format!("a person asked for another try; {open} dependencies are open"),
                )
            };
            Ok(told(next, Some((kind, Some(reason)))))
        }

        Move::Redo { why, open, more, reason } => {
            next.open = *open;
            match (state.status, why) {
                // Its holder may finish: what it makes is made once more then.
                (Running, Redo::Inputs) => {
                    next.outdated = Some(state.token);
                    return Ok(told(next, None));
                }
                // Called off is called off, whatever becomes of its inputs.
                (Cancelled, Redo::Inputs) => return Ok(told(next, None)),
                _ => {}
            }
            next.status = unheld(&next);
            next.holder = None;
            let unworked = state.attempt == 0 || *why == Redo::Inputs;
            if unworked && matches!(state.status, Blocked | Ready) {
                // Nothing of it is there to do again; the next attempt finds the new inputs.
                next.not_before = state.not_before.filter(|_| next.status == Ready);
                let opened = state.status == Blocked && next.status == Ready;
                let reason = "an amendment removed its last open dependency".to_owned();
                return Ok(told(next, opened.then_some((EventKind::TASK_READY, Some(reason)))));
            }
            next.not_before = None;
            next.progress = None;
            next.summary = None;
            next.artifacts = Vec::new();
            next.last_error = None;
            next.ended_at = None;
            next.interruptions = 0;
            let held = running(state).cloned();
            if held.is_some() {
                next.attempt = state.attempt.saturating_sub(1);
            }
            next.max_attempts = next.attempt.saturating_add((*more).max(1));
            let event = (EventKind::TASK_REDO, Some(reason.clone()));
            match held {
                Some(holder) => {
                    Ok(ended(next, event, "dropped", Failure::new(reason, None), &holder, state, now))
                }
                None => Ok(told(next, Some(event))),
            }
        }

        Move::Cancel { reason } => {
            if state.status.is_finished() {
                return Err(illegal());
            }
            next.status = Cancelled;
            next.holder = None;
            next.not_before = None;
            next.ended_at = Some(now);
            next.last_error = Some(Failure::new(reason, None));
            let event = (EventKind::TASK_CANCELLED, Some(reason.clone()));
            match running(state).cloned() {
                Some(holder) => {
                    let failure = Failure::new(reason, None);
                    Ok(ended(next, event, "cancelled", failure, &holder, state, now))
                }
                None => Ok(told(next, Some(event))),
            }
        }
    }
}

/// The holder, if `token` is the newest and has been neither spent nor taken away.
fn may_write(state: &TaskState, token: Token) -> Result<&Holder, Refusal> {
    match &state.holder {
        Some(holder) if token == state.token => Ok(holder),
        _ => Err(Refusal::LeaseLost {
            presented: token,
            current: state.token,
            holder: state.holder.as_ref().map(|holder| holder.agent.clone()),
        }),
    }
}

fn running(state: &TaskState) -> Option<&Holder> {
    state.holder.as_ref().filter(|_| state.status == TaskStatus::Running)
}

/// Where a task stands that nobody holds and that is to be worked on: an amendment may have given it open
/// dependencies while it ran.
const fn unheld(state: &TaskState) -> TaskStatus {
    if state.open == 0 { TaskStatus::Ready } else { TaskStatus::Blocked }
}

fn told(state: TaskState, event: Option<(EventKind, Option<String>)>) -> Moved {
    Moved { state, event, ended: None }
}

fn ended(
    next: TaskState,
    event: (EventKind, Option<String>),
    outcome: &str,
    error: Failure,
    holder: &Holder,
    before: &TaskState,
    now: Timestamp,
) -> Moved {
    let ended = EndedAttempt {
        attempt: before.attempt,
        agent: holder.agent.clone(),
        token: before.token,
        started_at: holder.claimed_at,
        ended_at: now,
        outcome: outcome.to_owned(),
        error,
    };
    Moved { state: next, event: Some(event), ended: Some(ended) }
}

/// An attempt whose holder vanished: it counts, and the task is tried again or fails.
fn lost(
    mut next: TaskState,
    failure: Failure,
    may_return: bool,
    outcome: &str,
    holder: &Holder,
    before: &TaskState,
    now: Timestamp,
) -> Moved {
    next.last_error = Some(failure.clone());
    let event = if before.attempt < before.max_attempts {
        next.status = unheld(before);
        next.holder = may_return.then(|| Holder { expired: true, ..holder.clone() });
        (EventKind::TASK_EXPIRED, Some(failure.message.clone()))
    } else {
        next.status = TaskStatus::Failed;
        next.holder = None;
        next.ended_at = Some(now);
        let reason =
            format!("attempt {} of {} was lost: {}", before.attempt, before.max_attempts, failure.message);
        (EventKind::TASK_FAILED, Some(reason))
    };
    ended(next, event, outcome, failure, holder, before, now)
}
