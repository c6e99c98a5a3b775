//! The states of a task and the one table of moves between them.
//!
//! [`apply`] is the only place that decides a move. The in-memory and the sled cache call it, the Lua
//! of the Redis cache repeats it, and the conformance kit holds them equal.
//!
//! ```text
//! BLOCKED ─▶ READY ─▶ RUNNING ─▶ DONE
//!              ▲          │ └────▶ FAILED
//!              └──────────┘
//! BLOCKED, READY, RUNNING ─▶ CANCELLED         FAILED, CANCELLED ─▶ READY or BLOCKED by a person
//! ```

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{EventDraft, EventKind};
use crate::ids::{AgentName, GoalId, Incarnation, RequestId, TaskId, Token};
use crate::time::Timestamp;

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskStatus {
    /// Waits for a dependency.
    Blocked,
    /// May be claimed, from `not_before` on.
    Ready,
    /// An agent holds it.
    Running,
    /// Finished well.
    Done,
    /// Out of attempts, or a verdict that no retry can change; waits for a person.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

impl TaskStatus {
    /// All of them, in the order of a task's life.
    pub const ALL: [Self; 6] =
        [Self::Blocked, Self::Ready, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// As users type it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing happens to it any more by itself.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who may write to a task, and until when nobody else may claim it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The agent.
    pub agent: AgentName,
    /// Which life of the agent.
    pub incarnation: Incarnation,
    /// The claim that it was granted for, so that a repeated claim is given the same lease.
    pub request: RequestId,
    /// When it was granted.
    pub claimed_at: Timestamp,
    /// From then on others may claim the task.
    pub expires_at: Timestamp,
    /// The deadline has been swept: the task is ready for others, and until one takes it this holder
    /// may still settle or renew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
}

/// A file that a task produced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Relative to the workspace.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Of its content, hexadecimal.
    pub sha256: String,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// In a sentence.
    pub message: String,
    /// The end of what the attempt printed, or what a model said; context for the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Failure {
    /// The longest message in bytes; what is longer is cut with a mark.
    pub const MAX_MESSAGE: usize = 2 * 1024;
    /// The longest detail in bytes; what is longer is cut with a mark.
    pub const MAX_DETAIL: usize = 16 * 1024;

    /// A failure in a sentence, both parts cut to their limits.
    #[must_use]
    pub fn new(message: impl AsRef<str>, detail: Option<&str>) -> Self {
        Self {
            message: crate::text::clip(message.as_ref(), Self::MAX_MESSAGE),
            detail: detail.map(|detail| crate::text::clip_start(detail, Self::MAX_DETAIL)),
        }
    }
}

/// The mutable state of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskState {
    /// Where it stands.
    pub status: TaskStatus,
    /// The greater goes first.
    pub priority: u32,
    /// How many dependencies are not done yet.
    pub open: u32,
    /// Worked claims so far, the present one included.
    pub attempt: u32,
    /// It fails when this many attempts failed. A person's retry raises it.
    pub max_attempts: u32,
    /// Attempts that ended because their agent's process did; they cost no attempt.
    #[serde(default)]
    pub interruptions: u32,
    /// The greatest token ever handed out for it.
    pub token: Token,
    /// Who may write, if anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// The agent of the newest attempt, also after its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<AgentName>,
    /// It may not be claimed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// What the holder said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// What was done, in a few sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What it produced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// Why the newest failed attempt failed, or why it was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<Failure>,
    /// The settle that ended the newest attempt, so that repeating it is harmless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_by: Option<RequestId>,
    /// When it was planned.
    pub created_at: Timestamp,
    /// When the newest attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

impl TaskState {
    /// A task just planned, with `open` dependencies that are not done.
    #[must_use]
    pub fn planned(priority: u32, open: u32, max_attempts: u32, now: Timestamp) -> Self {
        Self {
            status: if open == 0 { TaskStatus::Ready } else { TaskStatus::Blocked },
            priority,
            open,
            attempt: 0,
            max_attempts: max_attempts.max(1),
            interruptions: 0,
            token: Token::NONE,
            holder: None,
            owner: None,
            not_before: None,
            progress: None,
            summary: None,
            artifacts: Vec::new(),
            last_error: None,
            settled_by: None,
            created_at: now,
            started_at: None,
            ended_at: None,
        }
    }

    /// The moment from which a claim can be granted, if one can be.
    #[must_use]
    pub fn claimable_from(&self) -> Option<Timestamp> {
        (self.status == TaskStatus::Ready).then(|| self.not_before.unwrap_or_default())
    }
}

/// How an attempt ended, as its holder says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Finished well.
    Done {
        /// What was done, in a few sentences.
        summary: String,
        /// What it produced.
        artifacts: Vec<Artifact>,
    },
    /// Failed; another attempt may do better.
    Retry {
        /// Why.
        failure: Failure,
        /// How long nobody may claim it. Backoff is the caller's; the cache only keeps the deadline.
        after: Duration,
    },
    /// Failed, and no attempt can do better.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Given back unworked: costs no attempt.
    Release {
        /// Why.
        reason: String,
    },
}

/// One thing that may happen to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// One of its dependencies is done; its name is for the reason.
    DependencyDone(String),
    /// An amendment gave it this many open dependencies.
    Rewire(u32),
    /// An agent takes it. `token` is greater than any before.
    Claim {
        /// Who will hold it.
        holder: Holder,
        /// The new fencing token.
        token: Token,
    },
    /// The holder needs more time.
    Renew {
        /// The caller's token.
        token: Token,
        /// The new deadline.
        expires_at: Timestamp,
        /// How far the holder is.
        progress: Option<String>,
    },
    /// The holder ends its attempt.
    Settle {
        /// The caller's token.
        token: Token,
        /// Names the request.
        request: RequestId,
        /// How it ended.
        outcome: Outcome,
    },
    /// The deadline of the lease has passed.
    Expire,
    /// The wait before the next attempt is over.
    Due,
    /// The holder's process is known to be gone. Costs no attempt up to `limit` times, so that a
    /// machine that dies does not fail the tasks it held, yet a task that kills its machine ends.
    Interrupt {
        /// What is known about the end.
        reason: String,
        /// After this many, an interruption costs an attempt.
        limit: u32,
    },
    /// A person takes it away from its holder and puts it back. Costs no attempt.
    Drop {
        /// Who, and why.
        reason: String,
    },
    /// A person changes its priority.
    Elevate(u32),
    /// A person wants it tried again, now, with this many more attempts.
    Retry(u32),
    /// A person calls it off.
    Cancel {
        /// Who, and why.
        reason: String,
    },
}

impl Move {
    /// What it is called in errors and in the table of moves.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::DependencyDone(_) => "dependency done",
            Self::Rewire(_) => "rewire",
            Self::Claim { .. } => "claim",
            Self::Renew { .. } => "renew",
            Self::Settle { outcome: Outcome::Done { .. }, .. } => "settle done",
            Self::Settle { outcome: Outcome::Retry { .. }, .. } => "settle retry",
            Self::Settle { outcome: Outcome::Failed { .. }, .. } => "settle failed",
            Self::Settle { outcome: Outcome::Release { .. }, .. } => "release",
            Self::Expire => "expire",
            Self::Due => "due",
            Self::Interrupt { .. } => "interrupt",
            Self::Drop { .. } => "drop",
            Self::Elevate(_) => "elevate",
            Self::Retry(_) => "retry",
            Self::Cancel { .. } => "cancel",
        }
    }
}

/// Why a move is not made. Nothing changes then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The caller's token is not the newest, or was spent or taken away.
    #[error("lease lost presented={presented} current={current}")]
    LeaseLost {
        /// The caller's token.
        presented: Token,
        /// The newest.
        current: Token,
    },
    /// The very same settle was carried out before: nothing is left to do, and that is fine.
    #[error("already settled by the same request")]
    Repeated,
    /// It must not happen before.
    #[error("not before {until}")]
    TooEarly {
        /// When it may.
        until: Timestamp,
    },
    /// The table has no such move.
    #[error("a {from} task cannot {name}", name = mv)]
    Illegal {
        /// Where the task stands.
        from: TaskStatus,
        /// What was asked.
        mv: &'static str,
    },
}

/// A move that is made: the state after it and how the log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The state after it.
    pub state: TaskState,
    /// The event to append; `None` for what only the task itself notices.
    pub event: Option<(EventKind, Option<String>)>,
    /// The attempt that it ended, if it ended one other than well: for the task's list of failed
    /// attempts.
    pub ended: Option<EndedAttempt>,
}

impl Moved {
    /// The event to append, in full: the same on every backend.
    #[must_use]
    pub fn event_of(&self, goal: &GoalId, task: &TaskId) -> Option<EventDraft> {
        let (kind, reason) = self.event.clone()?;
        let ended = self.ended.as_ref();
        let in_attempt = ended.is_some()
            || [EventKind::TASK_CLAIMED, EventKind::TASK_PROGRESS, EventKind::TASK_DONE].contains(&kind);
        let not_before = self.state.not_before.filter(|_| kind == EventKind::TASK_RETRY);
        Some(EventDraft {
            kind,
            goal: Some(goal.clone()),
            task: Some(task.clone()),
            agent: self.state.owner.clone().filter(|_| in_attempt),
            token: in_attempt.then_some(self.state.token),
            attempt: in_attempt.then(|| ended.map_or(self.state.attempt, |ended| ended.attempt)),
            reason,
            data: not_before
                .map_or(serde_json::Value::Null, |until| serde_json::json!({ "not_before": until })),
        })
    }
}

/// An attempt that ended other than well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedAttempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// Who held the lease.
    pub agent: AgentName,
    /// Its fencing token.
    pub token: Token,
    /// When it was claimed.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How: `retry`, `failed`, `released`, `expired`, `interrupted`, `dropped`, `cancelled`.
    pub outcome: String,
    /// Why.
    pub error: Failure,
}

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
            next.settled_by = None;
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
            if *token == state.token && state.settled_by.as_ref() == Some(request) {
                return Err(Refusal::Repeated);
            }
            let holder = may_write(state, *token)?.clone();
            next.holder = None;
            next.not_before = None;
            next.settled_by = Some(request.clone());
            match outcome {
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
        _ => Err(Refusal::LeaseLost { presented: token, current: state.token }),
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
