//! What happened: one line of the log that `status`, `why`, graphs and history are read from.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AgentName, GoalId, TaskId, Token};
use crate::time::Timestamp;

/// What kind of thing happened, such as `task.claimed`.
///
/// A text and not an enum, because streams also carry what later layers say; the kinds that the
/// kernel writes are constants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct EventKind(#[schemars(regex(pattern = "^[a-z0-9_.]{1,64}$"))] Cow<'static, str>);

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl EventKind {
            $($(#[$doc])* pub const $name: Self = Self(Cow::Borrowed($text));)*

            /// Every kind that Downbeat itself writes.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

kinds! {
    /// A goal got its DAG.
    GOAL_PLANNED = "goal.planned";
    /// A goal's DAG was changed.
    GOAL_AMENDED = "goal.amended";
    /// Tasks of a goal can move again, after it had stalled, failed or been cancelled.
    GOAL_ACTIVE = "goal.active";
    /// All that a goal asked for is done.
    GOAL_COMPLETE = "goal.complete";
    /// Nothing is left to do, and something failed.
    GOAL_FAILED = "goal.failed";
    /// Every unfinished task waits for one that failed or was cancelled.
    GOAL_STALLED = "goal.stalled";
    /// Somebody cancelled the goal.
    GOAL_CANCELLED = "goal.cancelled";
    /// Somebody had a finished goal and its tasks forgotten.
    GOAL_REMOVED = "goal.removed";
    /// A task's last dependency is done, or its wait is over.
    TASK_READY = "task.ready";
    /// An agent holds the task.
    TASK_CLAIMED = "task.claimed";
    /// The holder said how far it is.
    TASK_PROGRESS = "task.progress";
    /// The task was given back without costing an attempt.
    TASK_RELEASED = "task.released";
    /// The holder did not renew in time.
    TASK_EXPIRED = "task.expired";
    /// The attempt failed; there will be another.
    TASK_RETRY = "task.retry";
    /// The task is done.
    TASK_DONE = "task.done";
    /// The task failed and waits for a person.
    TASK_FAILED = "task.failed";
    /// Somebody cancelled the task.
    TASK_CANCELLED = "task.cancelled";
    /// The task is done again: an amendment changed it, or what it works from.
    TASK_REDO = "task.redo";
    /// The task's priority changed.
    TASK_ELEVATED = "task.elevated";
    /// Another version of the instructions is in force.
    INSTRUCTIONS_CHANGED = "instructions.changed";
    /// A goal is declared otherwise than it is planned, and that has to be asked for.
    INSTRUCTIONS_WAITING = "instructions.waiting";
    /// The instructions cannot be read: what was in force stays in force.
    ALERT_INSTRUCTIONS = "alert.instructions";
    /// An agent registered.
    AGENT_REGISTERED = "agent.registered";
    /// An agent's loop began.
    AGENT_STARTED = "agent.started";
    /// An agent can take tasks.
    AGENT_READY = "agent.ready";
    /// An agent does something else now.
    AGENT_PHASE = "agent.phase";
    /// An agent takes no more tasks until it is resumed.
    AGENT_PAUSED = "agent.paused";
    /// A paused agent takes tasks again.
    AGENT_RESUMED = "agent.resumed";
    /// An agent missed its ttl: its state is unknown.
    AGENT_SILENT = "agent.silent";
    /// An agent ended.
    AGENT_TERMINATED = "agent.terminated";
    /// An attempt of an agent took longer than it may.
    AGENT_TIMEOUT = "agent.timeout";
    /// Something went wrong in an agent, outside a task.
    AGENT_ERROR = "agent.error";
    /// An agent crashed too often and is not started again.
    AGENT_QUARANTINED = "agent.quarantined";
    /// The last agent ended.
    AGENTS_ALL_TERMINATED = "agents.all_terminated";
    /// An orchestrator began to lead the others.
    ORCHESTRATOR_LEADS = "orchestrator.leads";
    /// The orchestrator that led leaves.
    ORCHESTRATOR_LEFT = "orchestrator.left";
    /// All goals of the orchestrator that leads are at rest.
    ORCHESTRATOR_RESTS = "orchestrator.rests";
    /// Somebody steered, and it had its effect.
    DIRECTIVE_APPLIED = "directive.applied";
    /// Somebody steered, and it could not be.
    DIRECTIVE_REFUSED = "directive.refused";
    /// Work waits that no agent offers to do.
    ALERT_NO_AGENT = "alert.no_agent";
    /// What an alert was about is over.
    ALERT_RESOLVED = "alert.resolved";
    /// A file that steers agents says something that nobody can follow.
    ALERT_HEARTBEAT = "alert.heartbeat";
    /// A model was called.
    LLM_CALL = "llm.call";
    /// Calls of a model wait until it may be called again.
    LLM_PARKED = "llm.parked";
    /// A spending limit was reached.
    LLM_BUDGET = "llm.budget";
}

impl EventKind {
    /// A kind of a later layer: up to 64 lower-case letters, digits, `_` and `.`.
    ///
    /// `None` for any other text.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let sound = !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.'));
        sound.then(|| Self(Cow::Owned(text.to_owned())))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is to be said; the cache adds the number and the time in the same step as what it tells of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventDraft {
    /// What kind of thing happened.
    pub kind: EventKind,
    /// The goal it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<GoalId>,
    /// The task it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The agent it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// The fencing token of the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// The attempt, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Why, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What else a program wants to know.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub data: serde_json::Value,
}

impl EventDraft {
    /// Only the kind.
    #[must_use]
    pub const fn new(kind: EventKind) -> Self {
        Self {
            kind,
            goal: None,
            task: None,
            agent: None,
            token: None,
            attempt: None,
            reason: None,
            data: serde_json::Value::Null,
        }
    }

    /// With the goal it is about.
    #[must_use]
    pub fn goal(mut self, goal: &GoalId) -> Self {
        self.goal = Some(goal.clone());
        self
    }

    /// With the agent it is about.
    #[must_use]
    pub fn agent(mut self, agent: &AgentName) -> Self {
        self.agent = Some(agent.clone());
        self
    }

    /// With the reason.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// With data for programs.
    #[must_use]
    pub fn data(mut self, data: serde_json::Value) -> Self {
        self.data = data;
        self
    }
}

/// Something that happened. One JSON object a line in `events --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its number in its stream, from 1, one more than the one before.
    pub seq: u64,
    /// When, by the cache's clock.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: EventDraft,
}
