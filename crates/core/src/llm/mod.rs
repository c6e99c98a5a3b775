//! The language model, as a trait: five questions, each with one request and one answer.
//!
//! A provider is only a transport; what a prompt says and how an answer is checked is the same for
//! all. No model is called without a task's reason.

mod conduct;
mod error;
mod proposal;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dag::{Draft, Node};
use crate::goal::Usage;
use crate::ids::{AgentName, Capability, GoalId, TaskId};
use crate::state::{Artifact, Failure};

pub use conduct::{Conduct, Observer, Permissions, Unobserved};
pub use error::{CallError, LlmError};
pub use proposal::{MAX_PROPOSED_TASKS, sound_plan};

/// A language model, or what stands in for one.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Llm: Send + Sync + std::fmt::Debug {
    /// What it is called in logs and events, such as `offline` or `claude:opus`.
    fn name(&self) -> String;

    /// Why it cannot execute `node`, if it is known that it cannot: asked before anything starts, so
    /// that a plan which cannot be finished is refused whole.
    fn cannot_execute(&self, node: &Node) -> Option<String>;

    /// Makes a plan of a goal. The draft is untrusted: it still has to pass
    /// [`validate`](crate::dag::validate()).
    async fn decompose(&self, request: &Decompose) -> Result<Reply<Draft>, CallError>;

    /// Chooses among ready tasks. Not asked when there is nothing to choose.
    async fn select(&self, request: &Select) -> Result<Reply<Selection>, CallError>;

    /// Does a task. Not asked for a node with a `run` command.
    async fn execute(&self, request: &Execute) -> Result<Reply<Execution>, CallError>;

    /// Says what was done, in a few sentences.
    async fn summarize(&self, request: &Summarize) -> Result<Reply<Summary>, CallError>;

    /// Judges a failure: is another attempt worth its cost?
    async fn assess(&self, request: &Assess) -> Result<Reply<Assessment>, CallError>;
}

/// An answer and what it cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply<T> {
    /// The answer, checked against the schema of its type.
    pub value: T,
    /// Calls, tokens and cost.
    pub usage: Usage,
    /// Which model answered.
    pub model: String,
    /// How long it took.
    pub duration: Duration,
}

impl<T> Reply<T> {
    /// An answer that no model was called for.
    #[must_use]
    pub fn free(value: T, model: impl Into<String>) -> Self {
        Self { value, usage: Usage::default(), model: model.into(), duration: Duration::ZERO }
    }
}

/// A goal to plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decompose {
    /// The goal.
    pub goal: GoalId,
    /// What it is called.
    pub title: String,
    /// What is wanted, as Markdown.
    pub brief: String,
    /// Who will work on it.
    pub agents: Vec<AgentProfile>,
    /// What was wrong with the draft before this one, each fault in a line.
    pub faults: Vec<String>,
    /// How it is to be answered: no part of what is asked.
    #[serde(skip)]
    pub conduct: Conduct,
}

/// An agent, as a planner needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentProfile {
    /// Its name.
    pub name: AgentName,
    /// What it is.
    pub role: Option<String>,
    /// What it can do.
    pub capabilities: Vec<Capability>,
}

/// Ready tasks to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Select {
    /// The goal.
    pub goal: GoalId,
    /// Who chooses.
    pub agent: AgentName,
    /// At least two, best first by priority and age.
    pub ready: Vec<Node>,
    /// What the agent remembers, oldest first.
    pub memory: Vec<String>,
    /// How it is to be answered: no part of what is asked.
    #[serde(skip)]
    pub conduct: Conduct,
}

/// A choice. It is untrusted: a task that was not offered counts as none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// The chosen task; none to leave the choice to the priorities.
    pub selected_task_id: Option<TaskId>,
    /// Why, in a sentence.
    #[serde(default)]
    #[schemars(length(max = 2_000))]
    pub justification: String,
}

/// A task to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execute {
    /// The goal.
    pub goal: GoalId,
    /// Who does it.
    pub agent: AgentName,
    /// The agent's own instructions, as Markdown.
    pub instructions: String,
    /// What is to be done.
    pub node: Node,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Why the attempt before failed.
    pub last_error: Option<Failure>,
    /// The attempt before, when it was cut off and did not fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<Unfinished>,
    /// What the tasks that this one waited for left behind.
    pub inputs: Vec<Input>,
    /// What the agent remembers, oldest first.
    pub memory: Vec<String>,
    /// The directory to work in.
    pub workspace: PathBuf,
    /// How it is to be answered: no part of what is asked.
    #[serde(skip)]
    pub conduct: Conduct,
}

/// An attempt that was cut off: its agent died, was silent for too long, or lost the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// Who was at it.
    pub agent: AgentName,
    /// What ended it.
    pub reason: String,
    /// How far it was, as it had said last.
    pub progress: Option<String>,
    /// The file with what it had put out by then.
    pub output: Option<PathBuf>,
    /// The end of that.
    pub tail: Option<String>,
}

/// What a finished task left behind for those that waited for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The task.
    pub task: TaskId,
    /// What was done.
    pub summary: String,
    /// What it produced.
    pub artifacts: Vec<Artifact>,
}

/// What came of doing a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Execution {
    /// How it ended.
    pub status: ExecutionStatus,
    /// Paths of what was produced, relative to the workspace.
    #[serde(default)]
    #[schemars(length(max = 256), inner(length(min = 1, max = 1024)))]
    pub outputs: Vec<String>,
    /// What was done or why it was not, in a few sentences.
    #[schemars(length(max = 16_384))]
    pub notes: String,
    /// The result in one to three sentences, for the tasks that wait for it. Without it the notes are
    /// cut to one: nobody is asked again.
    #[serde(default)]
    #[schemars(length(max = 4_096))]
    pub summary: Option<String>,
}

/// How doing a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExecutionStatus {
    /// Well.
    Done,
    /// Not done; another attempt may do better.
    Failed,
    /// Cannot be done as it is asked; a person is needed.
    Blocked,
}

/// A result to put into words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summarize {
    /// The goal.
    pub goal: GoalId,
    /// Who did it.
    pub agent: AgentName,
    /// What was to be done.
    pub node: Node,
    /// What came of it: an execution's notes, or the end of a command's output.
    pub notes: String,
    /// What it produced.
    pub artifacts: Vec<Artifact>,
    /// How it is to be answered: no part of what is asked.
    #[serde(skip)]
    pub conduct: Conduct,
}

/// A result in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// At most three sentences.
    #[schemars(length(min = 1, max = 4_096))]
    pub summary: String,
}

/// A failure to judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assess {
    /// The goal.
    pub goal: GoalId,
    /// What was to be done.
    pub node: Node,
    /// Which attempt failed, from 1.
    pub attempt: u32,
    /// Why.
    pub failure: Failure,
    /// How it is to be answered: no part of what is asked.
    #[serde(skip)]
    pub conduct: Conduct,
}

/// The judgement of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assessment {
    /// Whether another attempt may do better.
    pub recoverable: bool,
    /// What to do differently.
    #[serde(default)]
    #[schemars(length(max = 4_096))]
    pub remediation: String,
}
