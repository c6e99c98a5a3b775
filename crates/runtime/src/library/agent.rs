//! Plain Rust code as an agent.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use downbeat_core::dag::{Draft, Node};
use downbeat_core::ids::{AgentName, GoalId};
use downbeat_core::llm::{
    Assess, Assessment, CallError, Decompose, Execute, Execution, Input, Llm, LlmError, Reply, Select,
    Selection, Summarize, Summary,
};
use downbeat_core::text::clip;

/// Code that does tasks.
///
/// It is as much an agent as a model is: its tasks are leased to it, verified, retried and logged. One value
/// serves all lives and all tasks of an agent, several at once if the agent may work on several.
///
/// A panic in it ends the agent's life, and its restart policy says what follows. Code that computes for
/// long without an `await` belongs on a thread of its own (`tokio::task::spawn_blocking`).
#[async_trait]
pub trait Agent: Send + Sync + 'static {
    /// Called once in a life, before its first task.
    ///
    /// # Errors
    ///
    /// What makes it impossible to work: the life ends with it.
    async fn setup(&self) -> Result<(), Trouble> {
        Ok(())
    }

    /// Does a task.
    ///
    /// It may be dropped at any `await`: when the task's time is up, or it is somebody else's now.
    ///
    /// # Errors
    ///
    /// [`Trouble`]: the attempt failed; whether there is another.
    async fn execute(&self, task: Assignment) -> Result<Done, Trouble>;

    /// Called once in a life that was asked to end, after its last task.
    async fn on_stop(&self) {}
}

/// A task, as its agent is given it.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// Who does it.
    pub agent: AgentName,
    /// The goal it belongs to.
    pub goal: GoalId,
    /// What is to be done.
    pub node: Node,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// Why the attempt before failed, if one did.
    pub last_error: Option<String>,
    /// What the tasks that it waited for left behind.
    pub inputs: Vec<Input>,
    /// The directory to work in. What the task is expected to leave lies in it.
    pub workspace: PathBuf,
}

/// A task that was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// What was done, for those that wait for it. Without any, the task's title.
    pub summary: String,
    /// Files that were produced beside the expected ones, relative to the workspace.
    pub outputs: Vec<String>,
}

impl From<()> for Done {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<String> for Done {
    fn from(summary: String) -> Self {
        Self { summary, outputs: Vec::new() }
    }
}

impl From<&str> for Done {
    fn from(summary: &str) -> Self {
        summary.to_owned().into()
    }
}

/// Why something could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Another attempt may do better, after a wait.
    Retry(String),
    /// No attempt can.
    Final(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(reason) | Self::Final(reason) => f.write_str(reason),
        }
    }
}

/// Every error is worth another attempt, unless somebody knows better. (So this cannot be an error itself.)
impl<E: std::error::Error> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Retry(error.to_string())
    }
}

/// The longest summary in bytes.
const MAX_SUMMARY: usize = 4_096;

/// An agent's code, in the place of its model too.
#[derive(Clone)]
pub(crate) struct Code {
    pub(crate) name: AgentName,
    pub(crate) agent: Arc<dyn Agent>,
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({})", self.name)
    }
}

impl Code {
    /// Does what a model would be asked to; the summary is never empty.
    pub(crate) async fn execute(&self, request: &Execute) -> Result<Done, Trouble> {
        let task = Assignment {
            agent: request.agent.clone(),
            goal: request.goal.clone(),
            node: request.node.clone(),
            attempt: request.attempt,
            last_error: request.last_error.as_ref().map(|error| error.message.clone()),
            inputs: request.inputs.clone(),
            workspace: request.workspace.clone(),
        };
        let Done { summary, outputs } = self.agent.execute(task).await?;
        let summary = if summary.is_empty() { request.node.title.clone() } else { summary };
        Ok(Done { summary: clip(&summary, MAX_SUMMARY), outputs })
    }
}

fn refused<T>(what: &str) -> Result<T, CallError> {
    Err(LlmError::Refused { reason: format!("code does tasks, it does not {what}") }.into())
}

#[async_trait]
impl Llm for Code {
    fn name(&self) -> String {
        format!("code:{}", self.name)
    }

    fn cannot_execute(&self, _: &Node) -> Option<String> {
        None
    }

    async fn decompose(&self, _: &Decompose) -> Result<Reply<Draft>, CallError> {
        refused("plan goals")
    }

    async fn select(&self, request: &Select) -> Result<Reply<Selection>, CallError> {
        let selected_task_id = request.ready.first().map(|node| node.id.clone());
        Ok(Reply::free(Selection { selected_task_id, justification: String::new() }, self.name()))
    }

    async fn execute(&self, _: &Execute) -> Result<Reply<Execution>, CallError> {
        // An attempt asks the code itself.
        refused("answer for a model")
    }

    async fn summarize(&self, request: &Summarize) -> Result<Reply<Summary>, CallError> {
        Ok(Reply::free(summary(request), self.name()))
    }

    async fn assess(&self, _: &Assess) -> Result<Reply<Assessment>, CallError> {
        Ok(Reply::free(Assessment { recoverable: true, remediation: String::new() }, self.name()))
    }
}

fn summary(request: &Summarize) -> Summary {
    let said = request.notes.lines().map(str::trim).rfind(|line| !line.is_empty());
    let summary = match said {
        Some(line) => format!("{}: {}", request.node.title, clip(line, 300)),
        None => request.node.title.clone(),
    };
    Summary { summary: clip(&summary, MAX_SUMMARY) }
}

/// Stands in where no model was given: runs commands, and does nothing else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoModel;

const NONE: &str = "there is no model: give one with `model` or `register_model_agent`";

#[async_trait]
impl Llm for NoModel {
    fn name(&self) -> String {
        "none".to_owned()
    }

    fn cannot_execute(&self, node: &Node) -> Option<String> {
        node.run.is_none().then(|| format!("task `{}` has no command, and {NONE}", node.id))
    }

    async fn decompose(&self, _: &Decompose) -> Result<Reply<Draft>, CallError> {
        Err(LlmError::Refused { reason: NONE.to_owned() }.into())
    }

    async fn select(&self, request: &Select) -> Result<Reply<Selection>, CallError> {
        let selected_task_id = request.ready.first().map(|node| node.id.clone());
        Ok(Reply::free(Selection { selected_task_id, justification: String::new() }, self.name()))
    }

    async fn execute(&self, _: &Execute) -> Result<Reply<Execution>, CallError> {
        Err(LlmError::Refused { reason: NONE.to_owned() }.into())
    }

    async fn summarize(&self, request: &Summarize) -> Result<Reply<Summary>, CallError> {
        Ok(Reply::free(summary(request), self.name()))
    }

    async fn assess(&self, _: &Assess) -> Result<Reply<Assessment>, CallError> {
        Ok(Reply::free(Assessment { recoverable: true, remediation: String::new() }, self.name()))
    }
}
