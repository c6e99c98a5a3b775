//! From the names of models to models: the only place that names a concrete one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use downbeat_core::llm::{Llm, LlmError};
use downbeat_llm::{Environment, Offline};
use downbeat_runtime::load::{Project, ProjectAgent, works_for};
use downbeat_runtime::orchestrator::Models;

use crate::error::{CliError, Kind};

/// What was chosen about models, for a whole project.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Chosen<'a> {
    /// The model of all that name no other.
    pub(crate) llm: Option<&'a str>,
    /// How they are asked.
    pub(crate) asking: Asking<'a>,
}

/// How models are asked. A project's file may say that: unlike a key or an address it sends nothing anywhere
/// that the project's own commands could not send.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asking<'a> {
    /// What tokens cost.
    pub(crate) prices: &'a [String],
    /// Which programs the command-line agents are.
    pub(crate) tools: &'a [String],
}

/// The environment that models are opened with. This program guards what is started for them.
pub(crate) fn environment(asking: Asking<'_>) -> Environment {
    let environment = Environment::of_process()
        .with("DOWNBEAT_PRICES", asking.prices.join(","))
        .with("DOWNBEAT_TOOLS", asking.tools.join("\n"));
    match std::env::current_exe() {
        Ok(guard) => environment.guarded_by(guard),
        Err(_) => environment,
    }
}

/// The model called `name`; paths in names are relative to `base`.
pub(crate) fn open(name: &str, base: &Path, asking: Asking<'_>) -> Result<Arc<dyn Llm>, CliError> {
    // Nobody wants to read `./` before each name.
    let base = if base == Path::new(".") { Path::new("") } else { base };
    downbeat_llm::open_in(name, base, &environment(asking)).map_err(|error| match error {
        LlmError::Unusable { reason } => CliError::new(Kind::BadInput, reason),
        error => CliError::new(Kind::Failed, error.to_string()),
    })
}

/// The models of a project: the one of `chosen` for all that name no other, or none where none is needed.
///
/// # Errors
///
/// A model is needed and none was chosen, or one cannot be used.
pub(crate) fn of(project: &Project, chosen: Chosen<'_>) -> Result<Models, CliError> {
    let mut by_agent = HashMap::new();
    for agent in &project.agents {
        if let Some(name) = &agent.spec.llm {
            let model = open(name, &project.root, chosen.asking).map_err(|error| CliError {
                message: format!("agent `{}`: {}", agent.spec.name.value, error.message),
                ..error
            })?;
            by_agent.insert(agent.spec.name.value.clone(), model);
        }
    }
    let default = match chosen.llm {
        Some(name) => open(name, &project.root, chosen.asking)?,
        None => match needs_model(project) {
            None => Arc::new(Offline),
            Some(reason) => {
                return Err(CliError::bad_input(format!("{reason}, and no model is chosen"))
                    .hint("choose one with `--llm NAME` or `llm = \"NAME\"` in downbeat.toml")
                    .hint(downbeat_llm::available()));
            }
        },
    };
    Ok(Models { default, by_agent, scribe: Arc::new(Offline) })
}

/// The model of one agent, which does not plan.
///
/// # Errors
///
/// As [`of`]. An agent that names its own model needs no other.
pub(crate) fn of_agent(
    project: &Project,
    agent: &ProjectAgent,
    chosen: Chosen<'_>,
) -> Result<Arc<dyn Llm>, CliError> {
    match &agent.spec.llm {
        Some(name) => open(name, &project.root, chosen.asking),
        None => Ok(of(project, chosen)?.default),
    }
}

/// Who puts the results of commands into words.
pub(crate) fn scribe() -> Arc<dyn Llm> {
    Arc::new(Offline)
}

/// The first thing for which the default model would be asked.
fn needs_model(project: &Project) -> Option<String> {
    for goal in &project.goals {
        let Some(dag) = &goal.dag else {
            return Some(format!("goal `{}` has no checklist and no `- Plan:` file", goal.id));
        };
        for node in dag.nodes().filter(|node| node.run.is_none()) {
            let mut able = project.agents.iter().filter(|agent| {
                works_for(&agent.spec, &goal.id)
                    && node.capabilities.iter().all(|needed| agent.spec.capabilities.contains(needed))
            });
            if able.any(|agent| agent.spec.llm.is_none()) {
                return Some(format!("task `{}` of goal `{}` has no command", node.id, goal.id));
            }
        }
    }
    None
}
