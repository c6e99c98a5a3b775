//! A model behind a transport: prompts, asks, reads, and has repaired what cannot be used.

mod dialogue;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::dag::{Draft, DraftNode, Node, normalise_path};
use downbeat_core::llm::{
    Assess, Assessment, CallError, Conduct, Decompose, Execute, Execution, Llm, Permissions, Reply, Select,
    Selection, Summarize, Summary, sound_plan,
};
use serde_json::Value;
use tracing::warn;

use crate::answer;
use crate::prompt::{self, Prompt};
use crate::schema;
use crate::transport::{Answer, Ask, Step, Transport, Work};

/// How long a question may take that says nothing about it.
const PLANNING: Duration = Duration::from_secs(15 * 60);
const EXECUTING: Duration = Duration::from_secs(30 * 60);
const JUDGING: Duration = Duration::from_secs(3 * 60);

/// A model behind a transport.
///
/// The same for all providers: the prompts, the schemas, what is read from an answer, and its repair.
/// An answer that cannot be used is sent back with all its faults, at most twice.
#[derive(Debug, Clone)]
pub struct Prompted {
    transport: Arc<dyn Transport>,
}

impl Prompted {
    /// The model behind `transport`.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }

    fn ask(step: Step, prompt: Prompt, schema: Arc<Value>, conduct: &Conduct, limit: Duration) -> Ask {
        Ask {
            step,
            system: prompt.system,
            prompt: prompt.prompt,
            exchange: Vec::new(),
            schema,
            work: None,
            timeout: conduct.timeout.unwrap_or(limit),
            observer: Arc::clone(&conduct.observer),
        }
    }
}

#[async_trait]
impl Llm for Prompted {
    fn name(&self) -> String {
        self.transport.name()
    }

    fn cannot_execute(&self, _: &Node) -> Option<String> {
        None
    }

    async fn decompose(&self, request: &Decompose) -> Result<Reply<Draft>, CallError> {
        let schema = schema::proposal(request.conduct.permissions);
        let prompt = prompt::decompose(request, &schema);
        let ask = Self::ask(Step::Decompose, prompt, schema, &request.conduct, PLANNING);
        dialogue::hold(self.transport.as_ref(), ask, |answer| plan(answer, request)).await
    }

    async fn select(&self, request: &Select) -> Result<Reply<Selection>, CallError> {
        let schema = schema::of(&schema::SELECTION);
        let prompt = prompt::select(request, &schema);
        let ask = Self::ask(Step::Select, prompt, schema, &request.conduct, JUDGING);
        dialogue::hold(self.transport.as_ref(), ask, |answer| {
            answer::read(answer, &schema::SELECTION, |_| {})
        })
        .await
    }

    async fn execute(&self, request: &Execute) -> Result<Reply<Execution>, CallError> {
        let schema = schema::of(&schema::EXECUTION);
        let prompt = prompt::execute(request, &schema);
        let mut ask = Self::ask(Step::Execute, prompt, schema, &request.conduct, EXECUTING);
        ask.work = Some(Work {
            workspace: request.workspace.clone(),
            permissions: request.conduct.permissions,
            env: request.conduct.env.clone(),
        });
        dialogue::hold(self.transport.as_ref(), ask, |answer| execution(answer, request)).await
    }

    async fn summarize(&self, request: &Summarize) -> Result<Reply<Summary>, CallError> {
        let schema = schema::of(&schema::SUMMARY);
        let prompt = prompt::summarize(request, &schema);
        let ask = Self::ask(Step::Summarize, prompt, schema, &request.conduct, JUDGING);
        dialogue::hold(self.transport.as_ref(), ask, |answer| answer::read(answer, &schema::SUMMARY, |_| {}))
            .await
    }

    async fn assess(&self, request: &Assess) -> Result<Reply<Assessment>, CallError> {
        let schema = schema::of(&schema::ASSESSMENT);
        let prompt = prompt::assess(request, &schema);
        let ask = Self::ask(Step::Assess, prompt, schema, &request.conduct, JUDGING);
        dialogue::hold(self.transport.as_ref(), ask, |answer| {
            answer::read(answer, &schema::ASSESSMENT, |_| {})
        })
        .await
    }
}

/// A plan that is sound: what is wrong with its shape and with its graph is told at once.
fn plan(answer: &Answer, request: &Decompose) -> Result<Draft, Vec<String>> {
    let goal = Value::from(request.goal.as_str());
    let mut draft: Draft = answer::read(answer, &schema::DRAFT, |value| {
        if let Some(members) = value.as_object_mut() {
            members.insert("goal_id".to_owned(), goal);
        }
    })?;
    if request.conduct.permissions != Permissions::Full {
        for node in &mut draft.nodes {
            advise(node);
        }
    }
    sound_plan(draft, request).map(|dag| dag.to_draft())
}

/// Takes from a planned task the commands that would run by themselves: a model that may not run
/// anything outside of the workspace may not do so through its plan. They stay as advice to whoever
/// does the task.
fn advise(node: &mut DraftNode) {
    let commands: Vec<String> = node.run.take().into_iter().chain(node.checks.drain(..)).collect();
    if commands.is_empty() {
        return;
    }
    warn!(target: "llm", task = %downbeat_core::text::clip(&node.id, 80),
        "A model planned commands; without `--permissions full` they are advice and are not run");
    let mut description = node.description.take().unwrap_or_default();
    description.push_str("\n\nThe planner suggests these commands:\n");
    for command in commands {
        description.push_str(&command);
        description.push('\n');
    }
    node.description = Some(description.trim().to_owned());
}

/// What was done, with every path inside of the workspace.
fn execution(answer: &Answer, request: &Execute) -> Result<Execution, Vec<String>> {
    let mut execution: Execution = answer::read(answer, &schema::EXECUTION, |_| {})?;
    let mut faults = Vec::new();
    for (index, output) in execution.outputs.iter_mut().enumerate() {
        // Tools think in full paths.
        let relative = std::path::Path::new(output.as_str())
            .strip_prefix(&request.workspace)
            .ok()
            .and_then(|path| path.to_str())
            .map(str::to_owned);
        match normalise_path(relative.as_deref().unwrap_or(output)) {
            Ok(path) => *output = path,
            Err(fault) => faults.push(format!("/outputs/{index}: {fault}")),
        }
    }
    if faults.is_empty() { Ok(execution) } else { Err(faults) }
}
