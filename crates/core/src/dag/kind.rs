//! What a task is: work for an agent, or a goal of its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The capability that a task of [`NodeKind::Goal`] needs: only the nested orchestrator has it, so that no
/// agent is ever granted one. Nobody can write it: it is added when a draft is checked.
pub const ORCHESTRATOR_CAPABILITY: &str = "_orchestrator";

/// What a task is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// Work for an agent.
    #[default]
    Task,
    /// A goal of its own, below this one: the task is done when that is complete.
    Goal,
}

impl NodeKind {
    /// Whether it is work for an agent.
    #[must_use]
    pub fn is_task(&self) -> bool {
        *self == Self::Task
    }
}
