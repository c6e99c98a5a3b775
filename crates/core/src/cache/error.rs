//! What can go wrong at a cache, in terms of what the caller can do.

use crate::goal::GoalStatus;
use crate::ids::{AgentName, GoalId, Incarnation, TaskId, Token};
use crate::state::{Refusal, TaskStatus};
use crate::time::Timestamp;

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Back off and call again with the same request.
    Retry,
    /// Somebody else owns it: stop, and write nothing.
    Abandon,
    /// A person has to look.
    Report,
}

/// Why a cache did not do what it was asked. Nothing of the request took effect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// No such goal.
    #[error("no such goal goal=`{goal}`")]
    GoalNotFound {
        /// The goal asked for.
        goal: GoalId,
    },
    /// No such task.
    #[error("no such task task=`{task}`")]
    TaskNotFound {
        /// The task asked for.
        task: TaskId,
    },
    /// No such agent is registered.
    #[error("no such agent agent=`{agent}`")]
    AgentNotFound {
        /// The agent asked for.
        agent: AgentName,
    },
    /// The goal has a DAG already; amend it instead.
    #[error("goal is planned already goal=`{goal}`")]
    GoalExists {
        /// The goal.
        goal: GoalId,
    },
    /// The goal is not complete, failed or cancelled: it cannot be removed.
    #[error("goal is not finished: cancel it first, or let it end goal=`{goal}` status={status}")]
    GoalUnfinished {
        /// The goal.
        goal: GoalId,
        /// Where it stands.
        status: GoalStatus,
    },
    /// Tasks of the plan have ids that other goals hold; prefix them with `<goal>.`.
    #[error(
        "task ids are taken by other goals goal=`{goal}` first=`{task}` held_by=`{held_by}` taken={count}",
        task = taken.first().map_or("", |(task, _)| task.as_str()),
        held_by = taken.first().map_or("", |(_, goal)| goal.as_str()),
        count = taken.len(),
    )]
    TasksTaken {
        /// The goal that was to be planned.
        goal: GoalId,
        /// Each taken id with the goal that holds it.
        taken: Vec<(TaskId, GoalId)>,
    },
    /// Another living process has this name.
    #[error(
        "agent name is taken by a living process agent=`{agent}` incarnation=`{incarnation}` \
         last_beat={last_beat_at} silent_from={silent_from}"
    )]
    AgentNameTaken {
        /// The name.
        agent: AgentName,
        /// Who has it.
        incarnation: Incarnation,
        /// When that one was last heard.
        last_beat_at: Timestamp,
        /// From when on the name may be taken over.
        silent_from: Timestamp,
    },
    /// The caller's registration was replaced by another incarnation, or ended.
    #[error("agent was replaced agent=`{agent}` presented=`{presented}`")]
    AgentReplaced {
        /// The name.
        agent: AgentName,
        /// The caller's incarnation.
        presented: Incarnation,
    },
    /// The caller's token is not the newest, or was spent or taken away. Stop working on the task.
    #[error("lease lost task=`{task}` presented={presented} current={current}")]
    LeaseLost {
        /// The task.
        task: TaskId,
        /// The caller's token.
        presented: Token,
        /// The newest token; the same one when it was spent or taken away.
        current: Token,
    },
    /// The table of moves has no such move.
    #[error("a {from} task cannot {mv} task=`{task}`")]
    IllegalMove {
        /// The task.
        task: TaskId,
        /// Where it stands.
        from: TaskStatus,
        /// What was asked.
        mv: &'static str,
    },
    /// A versioned thing has another version than the caller thought: read it again.
    #[error("version conflict key=`{key}` presented={presented} current={current}")]
    Conflict {
        /// What it is about.
        key: String,
        /// The version that the caller had.
        presented: u64,
        /// The version that is there; 0 when there is none.
        current: u64,
    },
    /// The request is outside the bounds that a cache keeps.
    #[error("invalid request: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// What is stored cannot be read.
    #[error("stored data is corrupt key=`{key}`")]
    Corrupt {
        /// The key.
        key: String,
        /// What reading it said.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The store failed for good: nothing can be relied on until it is opened anew. What was asked may
    /// or may not have happened.
    #[error("the store failed and has to be opened anew: {reason}")]
    Failed {
        /// What happened.
        reason: String,
    },
    /// The store does not answer, or cannot do it now. What was asked may or may not have happened: repeat the same
    /// request.
    #[error("the store is not available: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
        /// The backend's own error.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl CacheError {
    /// What to do about it.
    #[must_use]
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable { .. } => Disposition::Retry,
            Self::LeaseLost { .. } | Self::AgentReplaced { .. } | Self::Conflict { .. } => {
                Disposition::Abandon
            }
            _ => Disposition::Report,
        }
    }

    /// A move that was refused, as the error of `task`. `None` for [`Refusal::Repeated`] and
    /// [`Refusal::TooEarly`], which each verb answers in its own way.
    #[must_use]
    pub fn from_refusal(task: &TaskId, refusal: &Refusal) -> Option<Self> {
        match *refusal {
            Refusal::LeaseLost { presented, current } => {
                Some(Self::LeaseLost { task: task.clone(), presented, current })
            }
            Refusal::Illegal { from, mv } => Some(Self::IllegalMove { task: task.clone(), from, mv }),
            Refusal::Repeated | Refusal::TooEarly { .. } => None,
        }
    }
}
