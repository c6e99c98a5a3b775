//! Values that are JSON.

use downbeat_core::cache::Registration;
use downbeat_core::goal::Goal;
use downbeat_core::ids::{Capability, GoalId, RequestId, TaskId};
use downbeat_core::rules;
use downbeat_core::state::TaskState;
use downbeat_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A goal, and what only the store wants to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GoalDoc {
    pub(crate) goal: Goal,
    /// A person cancelled it as a whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) cancelled: bool,
    /// The request that planned it.
    pub(crate) planned_by: RequestId,
    /// The newest request that amended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) amended_by: Option<RequestId>,
    /// For nodes that say nothing about it.
    pub(crate) max_attempts: u32,
}

/// Where a task stands, and what its indexes are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskDoc {
    pub(crate) goal: GoalId,
    /// The goal above all others that its own is below, if that is below any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root: Option<GoalId>,
    pub(crate) ordinal: u64,
    /// The node's capabilities, so that a move need not read the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) needs: Vec<Capability>,
    /// How many attempts ended other than well so far: the number of the next one.
    #[serde(default)]
    pub(crate) ended: u64,
    pub(crate) state: TaskState,
}

impl TaskDoc {
    /// The goal under which it is found when it is ready.
    pub(crate) fn root(&self) -> &GoalId {
        self.root.as_ref().unwrap_or(&self.goal)
    }
}

/// A registration as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentDoc {
    pub(crate) registration: Registration,
    pub(crate) registered_at: Timestamp,
    pub(crate) last_beat_at: Timestamp,
    pub(crate) phase: downbeat_core::cache::Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<TaskId>,
    /// A sweep has told that it fell silent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) silent: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end_reason: Option<String>,
    /// How many errors were entered under the name so far, over all lives: the number of the next one.
    #[serde(default)]
    pub(crate) errors: u64,
}

impl AgentDoc {
    pub(crate) const fn ended(&self) -> bool {
        self.end_reason.is_some()
    }

    /// From then on, unheard, it counts as silent.
    pub(crate) fn silent_from(&self) -> Timestamp {
        rules::silent_from(self.last_beat_at, self.registration.ttl)
    }

    /// It ended, or was told to have fallen silent.
    pub(crate) const fn is_gone(&self) -> bool {
        self.ended() || self.silent
    }

    pub(crate) fn is_alive(&self, now: Timestamp) -> bool {
        rules::is_alive(self.ended(), self.last_beat_at, self.registration.ttl, now)
    }
}

/// The end of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The number of its last entry.
    pub(crate) last: u64,
    /// How many of its oldest entries were forgotten.
    #[serde(default)]
    pub(crate) trimmed: u64,
    /// The newest request that appended, and the number of its last entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) newest: Option<(RequestId, u64)>,
}

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordDoc {
    pub(crate) version: u64,
    pub(crate) updated_at: Timestamp,
    /// `None`: it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
}

/// A named lease as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HoldDoc {
    /// The newest.
    pub(crate) hold: downbeat_core::cache::Hold,
    /// It was not given back.
    pub(crate) held: bool,
}
