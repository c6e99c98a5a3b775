//! Why a run did not start, or could not go on.

use downbeat_core::cache::CacheError;
use downbeat_core::ids::{AgentName, GoalId};
use downbeat_core::llm::CallError;
use downbeat_core::time::Timestamp;

/// Why a run did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// More agents are declared than may run.
    #[error("{declared} agents are declared, and max_agents is {limit}")]
    TooManyAgents {
        /// How many are declared.
        declared: usize,
        /// How many may run.
        limit: usize,
    },
    /// Agents wait for each other.
    #[error("agents wait for each other: {}", path.iter().map(AgentName::as_str).collect::<Vec<_>>().join(" -> "))]
    AgentCycle {
        /// Each waits for the next; the first is the last.
        path: Vec<AgentName>,
    },
    /// An agent's name is somebody else's.
    #[error("agent `{agent}` cannot start: {source}")]
    Agent {
        /// The agent.
        agent: AgentName,
        /// What the cache said.
        source: CacheError,
    },
    /// An agent could not be brought to life.
    #[error("agent `{agent}` cannot start: {reason}")]
    Spawn {
        /// The agent.
        agent: AgentName,
        /// What its spawner said.
        reason: String,
    },
    /// An agent of this name is at work elsewhere.
    #[error(
        "agent `{agent}` is at work already: process {pid} on {host}, last heard at {last_beat_at}; unheard, \
         its name is free from {silent_from} on"
    )]
    NameTaken {
        /// The agent.
        agent: AgentName,
        /// Where the other one runs.
        host: String,
        /// As which process.
        pid: u32,
        /// When it was last heard.
        last_beat_at: Timestamp,
        /// From when on the name may be taken over.
        silent_from: Timestamp,
    },
    /// An agent was replaced, or its store refuses it: it cannot go on.
    #[error("agent `{agent}` cannot go on: its name is another process's now, or was deregistered")]
    Replaced {
        /// The agent.
        agent: AgentName,
    },
    /// Another orchestrator leads, and it works on other goals.
    #[error(
        "{leader} leads here and works on other goals: {}",
        goals.iter().map(|goal| format!("`{goal}`")).collect::<Vec<_>>().join(", ")
    )]
    OtherDeployment {
        /// Who leads.
        leader: String,
        /// What it works on.
        goals: Vec<String>,
    },
    /// A goal could not be planned.
    #[error("goal `{goal}` cannot be planned: {source}")]
    Planning {
        /// The goal.
        goal: GoalId,
        /// What the model said.
        source: CallError,
    },
    /// A model's plans were unsound, however often it was told.
    #[error("goal `{goal}` has no sound plan after {tries} tries:\n{}", faults.join("\n"))]
    UnsoundPlan {
        /// The goal.
        goal: GoalId,
        /// How often it tried.
        tries: u32,
        /// What is wrong with the last, each fault in a line.
        faults: Vec<String>,
    },
    /// Some tasks can be executed by nobody: nothing was started.
    #[error("{} task{} cannot be executed:\n{}", reasons.len(), if reasons.len() == 1 { "" } else { "s" }, reasons.join("\n"))]
    Unexecutable {
        /// Each task with the reason, in a line.
        reasons: Vec<String>,
    },
    /// The cache holds unfinished goals that are not declared, and agents that take tasks of any.
    #[error(
        "unfinished goals are not declared any more: {}; declare them again, name the `Goal` of every \
         agent, or cancel them",
        goals.iter().map(|goal| format!("`{goal}`")).collect::<Vec<_>>().join(", ")
    )]
    Undeclared {
        /// The goals.
        goals: Vec<GoalId>,
    },
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
}
