//! DAGs, leases and moves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CacheError;
use crate::dag::{Dag, Node};
use crate::goal::{Goal, GoalStatus, Parent, Usage};
use crate::ids::{AgentName, Capability, GoalId, Incarnation, RequestId, TaskId, Token};
use crate::state::{EndedAttempt, Failure, Outcome, Redo, TaskState, TaskStatus};
use crate::time::{Timestamp, millis};

/// The verbs on DAGs, tasks and leases. Each is one atomic step; see [`Cache`](super::Cache).
#[async_trait]
pub trait Tasks: Send + Sync {
    /// Takes a goal's DAG: everything or nothing.
    ///
    /// Tasks without dependencies are ready at once. One event, `goal.planned`, tells of them all.
    ///
    /// # Errors
    ///
    /// - [`CacheError::GoalExists`]: the goal has a DAG; nothing changed. Not when that DAG came from
    ///   the same request: a repeated call is answered as the first.
    /// - [`CacheError::TasksTaken`]: other goals hold some of the ids, each named.
    async fn plan(&self, plan: &Plan) -> Result<Goal, CacheError>;

    /// Replaces a goal's DAG without resetting a state that it is not asked to.
    ///
    /// New tasks begin as [`plan`](Self::plan) begins them. A kept task keeps its state; it is blocked
    /// or ready by what it now waits for, unless it is running or finished. A removed task ends: a
    /// holder loses its lease.
    ///
    /// The tasks in `amend.redo` are done again, in the same step: what is finished is blocked or ready,
    /// with the attempts of a new task, and tells of it by `task.redo`. A holder keeps its lease unless
    /// the task is another one now ([`Redo::Scope`]); what it makes of old inputs ([`Redo::Inputs`]) is
    /// made once more. Who waits for such a task waits again, unless it runs or is finished. Tokens grow
    /// on.
    ///
    /// # Errors
    ///
    /// - [`CacheError::GoalNotFound`], [`CacheError::TasksTaken`].
    /// - [`CacheError::Invalid`]: `amend.redo` names a task that the DAG does not have.
    /// - [`CacheError::Conflict`]: the goal is at another revision than `amend.revision`.
    async fn amend(&self, amend: &Amend) -> Result<Goal, CacheError>;

    /// One goal.
    async fn goal(&self, goal: &GoalId) -> Result<Option<Goal>, CacheError>;

    /// All goals, by id.
    async fn goals(&self) -> Result<Vec<Goal>, CacheError>;

    /// A goal's DAG.
    async fn dag(&self, goal: &GoalId) -> Result<Option<Arc<Dag>>, CacheError>;

    /// One task, with its attempts.
    async fn task(&self, task: &TaskId) -> Result<Option<TaskDetail>, CacheError>;

    /// Tasks of a goal in the order of its plan, a page at a time.
    ///
    /// # Errors
    ///
    /// [`CacheError::GoalNotFound`].
    async fn tasks(&self, query: &TaskQuery) -> Result<Vec<Task>, CacheError>;

    /// What could be claimed now, best first, without claiming it.
    async fn ready(&self, query: &ReadyQuery) -> Result<Vec<Task>, CacheError>;

    /// Leases one task to an agent: the best ready one it may take, or the one it names.
    ///
    /// Best is the greatest priority, then the earliest planned. Leases that have expired and waits
    /// that are over are swept first (a bounded number), so that nothing depends on somebody else's
    /// upkeep. The token is greater than any that the task was ever leased under.
    ///
    /// A repeated request is given the lease that it was granted, while that lasts.
    ///
    /// # Errors
    ///
    /// - [`CacheError::TaskNotFound`]: it names a task that does not exist.
    /// - [`CacheError::AgentReplaced`]: the agent is registered under another incarnation. An agent
    ///   that was never registered may claim.
    async fn claim(&self, claim: &Claim) -> Result<ClaimReply, CacheError>;

    /// Extends a lease, and says how far its holder is. The deadline counts from now.
    ///
    /// # Errors
    ///
    /// [`CacheError::LeaseLost`], [`CacheError::TaskNotFound`].
    async fn renew(&self, renew: &Renew) -> Result<Renewed, CacheError>;

    /// Ends an attempt, if the caller still holds the newest token.
    ///
    /// Unblocks in the same step every task that waited for this one alone, and moves the goal when
    /// that decides it. `settle.next` claims the agent's next task in the same step too; when the
    /// settle is refused nothing is claimed.
    ///
    /// # Errors
    ///
    /// [`CacheError::LeaseLost`], [`CacheError::TaskNotFound`]. A repeated request is answered
    /// [`Settled::repeated`], also after somebody else has claimed the task; once a later attempt was
    /// settled, it is answered `LeaseLost` and has no further effect.
    async fn settle(&self, settle: &Settle) -> Result<Settled, CacheError>;

    /// Carries out a person's directive and leaves an event that says who gave it and what it did.
    ///
    /// What cannot be done is no error: the answer says why, and so does the event. Repeating a
    /// request has no further effect.
    async fn steer(&self, steer: &Steer) -> Result<Steered, CacheError>;

    /// Forgets a goal that is complete, failed or cancelled, with all of its tasks, and leaves the event
    /// `goal.removed`.
    ///
    /// The goal and its tasks are gone in one step for everybody who asks. Their ids are free: a task
    /// that is planned under one of them is never leased under a token that is not greater than every
    /// token of the removed ones. What its agents and events say of it stays. A goal that is not there
    /// is answered with no tasks, so that a repeated call is harmless. How long it takes grows with the
    /// goal; a backend that others share does it in parts meanwhile, and what a crash left of them is
    /// finished by a repeated call, by a plan that wants one of the ids, or by a sweep.
    ///
    /// # Errors
    ///
    /// - [`CacheError::GoalUnfinished`]: something of it may still move.
    /// - [`CacheError::Conflict`]: it did not come to rest at `remove.ended_at`.
    async fn remove(&self, remove: &Remove) -> Result<Removed, CacheError>;

    /// One pass of upkeep: expired leases, waits that are over, agents that fell silent.
    async fn sweep(&self, sweep: &Sweep) -> Result<Swept, CacheError>;
}

/// A goal's DAG, to be stored.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The checked DAG; it names the goal.
    pub dag: Arc<Dag>,
    /// What the goal is called.
    pub title: String,
    /// What it is below, if it is. It is stored as it is given: the planner knows.
    pub parent: Option<Parent>,
    /// Names the request.
    pub request: RequestId,
    /// For nodes that say nothing about it.
    pub max_attempts: u32,
    /// What making the plan cost.
    pub spent: Usage,
}

/// A goal's new DAG.
#[derive(Debug, Clone)]
pub struct Amend {
    /// The whole new DAG.
    pub dag: Arc<Dag>,
    /// The revision that it replaces.
    pub revision: u64,
    /// Names the request.
    pub request: RequestId,
    /// For new nodes that say nothing about it.
    pub max_attempts: u32,
    /// What making the plan cost.
    pub spent: Usage,
    /// Which tasks are done again and why; nothing else loses its state. Those that the goal does not
    /// have yet only begin.
    pub redo: BTreeMap<TaskId, Redo>,
    /// Who amends and from where, such as `cli` or `INSTRUCTIONS.md`; it is told with the change.
    pub by: String,
}

/// A task: what is to be done and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// The goal it belongs to.
    pub goal: GoalId,
    /// Its place in the order of planning, unique in a cache: among equals the smaller goes first.
    pub ordinal: u64,
    /// What is to be done.
    pub node: Arc<Node>,
    /// Where it stands.
    pub state: TaskState,
}

/// A task with its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskDetail {
    /// The task.
    #[serde(flatten)]
    pub task: Task,
    /// Its attempts that ended other than well, oldest first, the newest [`MAX_ENDED_ATTEMPTS`].
    pub ended: Vec<EndedAttempt>,
}

/// How many ended attempts of a task a cache keeps.
pub const MAX_ENDED_ATTEMPTS: usize = 50;

/// Which tasks of a goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskQuery {
    /// The goal.
    pub goal: GoalId,
    /// Only those that stand here.
    pub status: Option<TaskStatus>,
    /// Only those behind this ordinal: the last one of the page before.
    pub after: Option<u64>,
    /// At most this many.
    pub limit: usize,
}

/// Which ready tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyQuery {
    /// Only of this goal and of all that are below it. It is one that is below none.
    pub goal: Option<GoalId>,
    /// What the asker is capable of.
    pub capabilities: BTreeSet<Capability>,
    /// At most this many.
    pub limit: usize,
}

/// An agent asks for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// Who asks.
    pub agent: AgentName,
    /// Which life of the agent.
    pub incarnation: Incarnation,
    /// Names the request.
    pub request: RequestId,
    /// Only of this goal and of all that are below it. It is one that is below none: under any other
    /// nothing is found.
    pub goal: Option<GoalId>,
    /// What the agent is capable of.
    #[serde(default)]
    pub capabilities: BTreeSet<Capability>,
    /// This task and no other; the best one without it.
    pub task: Option<TaskId>,
    /// None of these, at most [`MAX_AVOID`]: another agent shall have them first. A task that `task` names
    /// is not given either.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub avoid: BTreeSet<TaskId>,
    /// For how long nobody else may claim it, from when the cache grants it.
    #[serde(rename = "ttl_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub ttl: Duration,
}

/// The most tasks that a claim may avoid.
pub const MAX_AVOID: usize = 16;

/// What a claim was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaimReply {
    /// The task is the agent's.
    Granted(Box<Claimed>),
    /// There is nothing for the agent now.
    Nothing {
        /// The agent is paused and gets nothing until it is resumed.
        paused: bool,
        /// The next moment at which time alone may change the answer: a wait ends, a lease expires.
        next_due: Option<Timestamp>,
    },
}

impl ClaimReply {
    /// What was granted, if anything.
    #[must_use]
    pub fn granted(self) -> Option<Claimed> {
        match self {
            Self::Granted(claimed) => Some(*claimed),
            Self::Nothing { .. } => None,
        }
    }
}

/// A granted claim: the lease and what to work on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Claimed {
    /// The right to write.
    pub lease: Lease,
    /// What is to be done.
    pub node: Arc<Node>,
    /// Why the attempt before failed.
    pub last_error: Option<Failure>,
}

/// The right to write to a task, until somebody else claims it.
///
/// Nothing but its holder changes a running task; every write carries the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lease {
    /// The goal it belongs to.
    pub goal: GoalId,
    /// The task.
    pub task: TaskId,
    /// The holder.
    pub agent: AgentName,
    /// The fencing token.
    pub token: Token,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How many there are.
    pub max_attempts: u32,
    /// When it was granted, by the cache's clock.
    pub claimed_at: Timestamp,
    /// From then on others may claim the task.
    pub expires_at: Timestamp,
}

/// A holder needs more time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Renew {
    /// The task.
    pub task: TaskId,
    /// The caller's token.
    pub token: Token,
    /// How much longer, from now.
    #[serde(rename = "ttl_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub ttl: Duration,
    /// How far the holder is, when there is news.
    pub progress: Option<String>,
}

/// A lease was extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Renewed {
    /// The new deadline.
    pub expires_at: Timestamp,
}

/// A holder ends its attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Settle {
    /// The task.
    pub task: TaskId,
    /// The caller's token.
    pub token: Token,
    /// Names the request.
    pub request: RequestId,
    /// How it ended.
    pub outcome: Outcome,
    /// What models cost in this attempt.
    #[serde(default)]
    pub spent: Usage,
    /// The agent's next claim, in the same step.
    pub next: Option<Claim>,
}

/// What a settle did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Settled {
    /// Where the task stands now.
    pub status: TaskStatus,
    /// Until when nobody may claim it, when it will be tried again.
    pub not_before: Option<Timestamp>,
    /// How many tasks became ready.
    pub unblocked: u32,
    /// Where the goal stands now.
    pub goal_status: GoalStatus,
    /// This very request had been carried out before; nothing was done now.
    pub repeated: bool,
    /// What the next claim was answered; `None` also when this is repeated. What was granted then is found out by
    /// making the same claim by itself.
    pub next: Option<ClaimReply>,
}

/// What a person wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Directive {
    /// The agent takes no more tasks. A level: it holds over restarts, and may be given before the
    /// agent first registers.
    Pause {
        /// The agent.
        agent: AgentName,
    },
    /// The agent takes tasks again.
    Resume {
        /// The agent.
        agent: AgentName,
    },
    /// The task is taken from its holder and put back; costs no attempt.
    DropTask {
        /// The task.
        task: TaskId,
    },
    /// The task's priority changes in place.
    Elevate {
        /// The task.
        task: TaskId,
        /// Its new priority.
        priority: u32,
    },
    /// A failed or cancelled task is tried again; one that waits for its next attempt starts now.
    Retry {
        /// The task.
        task: TaskId,
    },
    /// The task is called off.
    Cancel {
        /// The task.
        task: TaskId,
    },
    /// Every unfinished task of the goal is called off.
    CancelGoal {
        /// The goal.
        goal: GoalId,
    },
    /// The agent's memory is emptied.
    FlushMemory {
        /// The agent.
        agent: AgentName,
    },
}

/// A directive, and who gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Steer {
    /// What is wanted.
    pub directive: Directive,
    /// Who wants it and from where, such as `cli` or `heartbeat/research.md:3`.
    pub by: String,
    /// Names the request.
    pub request: RequestId,
}

/// What a directive did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Steered {
    /// Whether it had its effect.
    pub applied: bool,
    /// What it did, or why it could not be.
    pub detail: String,
}

/// A finished goal is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Remove {
    /// The goal.
    pub goal: GoalId,
    /// Only if it came to rest at this moment, as [`Goal::ended_at`] said when it was archived.
    pub ended_at: Option<Timestamp>,
}

/// What forgetting a goal did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    /// How many tasks it had; 0 when there was no such goal.
    pub tasks: u64,
}

/// How much upkeep to do in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sweep {
    /// At most this many of each kind.
    pub limit: usize,
}

/// What a sweep found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Swept {
    /// Tasks whose lease had expired.
    pub expired: Vec<TaskId>,
    /// Tasks whose wait was over.
    pub due: Vec<TaskId>,
    /// Agents that fell silent.
    pub silent: Vec<AgentName>,
    /// When something will have to be swept next, as far as is known now; a moment that has passed
    /// when `limit` left something over.
    pub next_due: Option<Timestamp>,
}
