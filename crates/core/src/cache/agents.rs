//! Who is there, whether it lives, and what it remembers.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CacheError;
use crate::ids::{AgentName, Capability, GoalId, Incarnation, TaskId};
use crate::state::EndedAttempt;
use crate::time::{Timestamp, millis};

/// The registry of agents. Each verb is one atomic step; see [`Cache`](super::Cache).
#[async_trait]
pub trait Agents: Send + Sync {
    /// Enters an agent, or refreshes it under the same incarnation.
    ///
    /// A silent incarnation of the name is replaced, and its leases are freed in the same step, as
    /// [`Move::Interrupt`](crate::state::Move::Interrupt) does.
    ///
    /// # Errors
    ///
    /// [`CacheError::AgentNameTaken`]: another incarnation of the name was heard within its ttl.
    async fn register(&self, registration: &Registration) -> Result<Registered, CacheError>;

    /// Says that an agent lives, and what it does.
    ///
    /// # Errors
    ///
    /// [`CacheError::AgentReplaced`]: the name has another incarnation now, or was deregistered.
    async fn beat(&self, beat: &Beat) -> Result<BeatReply, CacheError>;

    /// Ends an agent's registration and frees its leases in the same step.
    ///
    /// Ending an incarnation that is not there any more changes nothing.
    async fn deregister(&self, departure: &Departure) -> Result<Vec<TaskId>, CacheError>;

    /// One agent, also after its end.
    async fn agent(&self, name: &AgentName) -> Result<Option<Agent>, CacheError>;

    /// All agents that registered, by name: every one that lives, and of those that ended or fell silent
    /// at least the last [`KEPT_AGENTS`](crate::rules::KEPT_AGENTS) that were heard. A sweep forgets the
    /// others, with their memories and errors, unless they hold a task.
    async fn agents(&self) -> Result<Vec<Agent>, CacheError>;

    /// Keeps an agent's memory, for its next life.
    ///
    /// # Errors
    ///
    /// - [`CacheError::AgentReplaced`]: the name has another incarnation now.
    /// - [`CacheError::Invalid`]: more than [`MAX_MEMORY`] bytes.
    async fn remember(
        &self,
        name: &AgentName,
        incarnation: &Incarnation,
        snapshot: &str,
    ) -> Result<(), CacheError>;

    /// What an agent remembered last.
    async fn recall(&self, name: &AgentName) -> Result<Option<String>, CacheError>;

    /// The attempts of a registered agent that failed, expired or were interrupted, over all tasks and
    /// lives, oldest first, the newest [`MAX_AGENT_ERRORS`].
    ///
    /// Each is entered in the step that ends the attempt. Attempts that were given back, dropped or
    /// cancelled are no errors of their agent. They outlive their tasks.
    async fn errors(&self, name: &AgentName) -> Result<Vec<AgentError>, CacheError>;
}

/// The largest memory in bytes.
pub const MAX_MEMORY: usize = 1024 * 1024;

/// How many errors of an agent a cache keeps.
pub const MAX_AGENT_ERRORS: usize = 100;

/// An attempt of an agent that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentError {
    /// The goal of the task.
    pub goal: GoalId,
    /// The task.
    pub task: TaskId,
    /// The attempt, without the detail of its error, which the task's own list has.
    #[serde(flatten)]
    pub attempt: EndedAttempt,
}

/// An agent enters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registration {
    /// Its name.
    pub name: AgentName,
    /// Which life of the name.
    pub incarnation: Incarnation,
    /// Where it runs.
    pub host: String,
    /// As which process.
    pub pid: u32,
    /// The goal it works for; any without it.
    pub goal: Option<GoalId>,
    /// What it is.
    pub role: Option<String>,
    /// What it can do.
    pub capabilities: BTreeSet<Capability>,
    /// How many tasks it works on at once.
    pub max_parallel: u32,
    /// Unheard for this long it counts as silent.
    #[serde(rename = "ttl_ms", alias = "ttl", with = "millis")]
    #[schemars(with = "u64")]
    pub ttl: Duration,
    /// How many interruptions a task may have before one costs it an attempt, for the leases of an
    /// incarnation that this one replaces.
    pub interruption_limit: u32,
    /// The how-manieth life of the name this is, from 1, as its supervisor counts them; 1 without one.
    #[serde(default = "first")]
    pub generation: u64,
}

const fn first() -> u64 {
    1
}

/// What entering did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registered {
    /// The silent incarnation that was replaced.
    pub replaced: Option<Incarnation>,
    /// The tasks that it held.
    pub freed: Vec<TaskId>,
}

/// An agent lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Beat {
    /// Its name.
    pub name: AgentName,
    /// Which life of the name.
    pub incarnation: Incarnation,
    /// What it does.
    pub phase: Phase,
    /// On which task.
    pub task: Option<TaskId>,
}

/// What an agent learns from its beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BeatReply {
    /// It takes no tasks until it is resumed.
    pub paused: bool,
    /// From then on, unheard, it counts as silent.
    pub silent_from: Timestamp,
}

/// An agent leaves, or is known to be gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Departure {
    /// Its name.
    pub name: AgentName,
    /// Which life of the name.
    pub incarnation: Incarnation,
    /// Whether it left by itself.
    pub how: Leave,
    /// Why.
    pub reason: String,
    /// With what.
    #[serde(default)]
    pub exit: ExitStatus,
}

/// With what an agent's life ended, as its last event says it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "exit", rename_all = "snake_case")]
pub enum ExitStatus {
    /// Nothing went wrong.
    #[default]
    Ok,
    /// An error ended it.
    Error {
        /// The exit code of its process, if it had one of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
    },
    /// A signal ended its process.
    Signal {
        /// Its number.
        signal: i32,
    },
}

/// How an agent left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Leave {
    /// By itself: tasks that it still holds are released.
    Stopped,
    /// Its process is known to be gone: tasks that it held were interrupted.
    Dead {
        /// How many interruptions a task may have before one costs it an attempt.
        interruption_limit: u32,
    },
    /// The same, and it crashed too often to be started again without a person's word.
    Quarantined {
        /// How many interruptions a task may have before one costs it an attempt.
        interruption_limit: u32,
    },
}

/// What an agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Registered, its loop has not begun.
    Created,
    /// Waits for a task.
    Idle,
    /// Holds a task.
    Assigned,
    /// Asks a model what to do.
    Reasoning,
    /// Does it.
    Executing,
    /// Checks what was done.
    Validating,
    /// Has settled a task.
    Completed,
    /// Has left.
    Stopped,
    /// Crashed too often.
    Quarantined,
}

impl Phase {
    /// As users read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Idle => "idle",
            Self::Assigned => "assigned",
            Self::Reasoning => "reasoning",
            Self::Executing => "executing",
            Self::Validating => "validating",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Quarantined => "quarantined",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether an agent lives, as far as is known. Loss of contact is unknown, never a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Liveness {
    /// Heard within its ttl.
    Alive,
    /// Left, or its process is known to be gone.
    Dead,
    /// Not heard for its ttl.
    Unknown,
}

impl fmt::Display for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Alive => "alive",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
        })
    }
}

/// An agent as a cache knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Agent {
    /// How it entered last.
    pub registration: Registration,
    /// When.
    pub registered_at: Timestamp,
    /// When it was last heard.
    pub last_beat_at: Timestamp,
    /// What it did then.
    pub phase: Phase,
    /// On which task.
    pub task: Option<TaskId>,
    /// It takes no tasks until it is resumed.
    pub paused: bool,
    /// Whether it lives, at the time of the answer.
    pub liveness: Liveness,
    /// Why it ended, when it has.
    pub end_reason: Option<String>,
}
