//! What may happen to a task, and what came of it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::task::{Artifact, Failure, Holder, TaskState, TaskStatus};
use crate::event::{EventDraft, EventKind};
use crate::ids::{AgentName, GoalId, RequestId, TaskId, Token};
use crate::time::{Timestamp, millis};

/// How an attempt ended, as its holder says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Finished well.
    Done {
        /// What was done, in a few sentences.
        summary: String,
        /// What it produced.
        #[serde(default)]
        artifacts: Vec<Artifact>,
    },
    /// Failed; another attempt may do better.
    Retry {
        /// Why.
        failure: Failure,
        /// How long nobody may claim it. Backoff is the caller's; the cache only keeps the deadline.
        #[serde(rename = "after_ms", with = "millis")]
        #[schemars(with = "u64")]
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

/// Why an amendment has a task done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Redo {
    /// Something else is to be done: a holder works on what is wanted no more and loses its lease; a
    /// cancelled task is wanted again.
    Scope,
    /// What it works from is made again: a holder keeps its lease, and the task is done once more when
    /// it is through; a cancelled task stays cancelled.
    Inputs,
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
    /// An amendment wants it done again.
    Redo {
        /// What changed.
        why: Redo,
        /// How many of its dependencies are not done now.
        open: u32,
        /// With this many more attempts.
        more: u32,
        /// Who wants it, and why.
        reason: String,
    },
    /// A person calls it off.
    Cancel {
        /// Who, and why.
        reason: String,
    },
}

impl Move {
    /// What the moves are called, each once.
    pub const NAMES: [&'static str; 15] = [
        "dependency done",
        "rewire",
        "claim",
        "renew",
        "settle done",
        "settle retry",
        "settle failed",
        "release",
        "expire",
        "due",
        "interrupt",
        "drop",
        "elevate",
        "retry",
        "cancel",
    ];

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
            Self::Redo { why: Redo::Scope, .. } => "redo scope",
            Self::Redo { why: Redo::Inputs, .. } => "redo inputs",
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
        /// Who holds the task now.
        holder: Option<AgentName>,
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
    #[error("cannot {name} a {from} task", name = mv)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// How: `retry`, `failed`, `released`, `expired`, `interrupted`, `dropped`, `cancelled`,
    /// `outdated`.
    pub outcome: String,
    /// Why.
    pub error: Failure,
}

impl EndedAttempt {
    /// Whether it went wrong, and was not given back, dropped or cancelled.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self.outcome.as_str(), "retry" | "failed" | "expired" | "interrupted")
    }
}
