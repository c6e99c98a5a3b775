//! From the names of models to models: the only place that names a concrete one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use downbeat_core::llm::{Llm, LlmError};
use downbeat_llm::{Environment, Offline};
use downbeat_runtime::load::{Project, ProjectAgent, works_for};
use downbeat_runtime::orchestrator::Models;

use crate::error::{CliError, Kind};

/// Programs that could be models, and how to get them.
pub(crate) const PROGRAMS: [(&str, &str); 3] = [
    ("claude", "npm install -g @anthropic-ai/claude-code"),
    ("codex", "npm install -g @openai/codex"),
    ("gemini", "npm install -g @google/gemini-cli"),
];

/// The environment that models are opened with. This program guards what is started for them.
pub(crate) fn environment() -> Environment {
    let environment = Environment::of_process();
    match std::env::current_exe() {
        Ok(guard) => environment.guarded_by(guard),
        Err(_) => environment,
    }
}

/// The model called `name`; paths in names are relative to `base`.
pub(crate) fn open(name: &str, base: &Path) -> Result<Arc<dyn Llm>, CliError> {
    // Nobody wants to read `./` before each name.
    let base = if base == Path::new(".") { Path::new("") } else { base };
    downbeat_llm::open_in(name, base, &environment()).map_err(|error| match error {
        LlmError::Unusable { reason } => CliError::new(Kind::BadInput, reason),
        error => CliError::new(Kind::Failed, error.to_string()),
    })
}

/// The models of a project: `chosen` for all that name no other, or none where none is needed.
///
/// # Errors
///
/// A model is needed and none was chosen, or one cannot be used.
pub(crate) fn of(project: &Project, chosen: Option<&str>) -> Result<Models, CliError> {
    let mut by_agent = HashMap::new();
    for agent in &project.agents {
        if let Some(name) = &agent.spec.llm {
            let model = open(name, &project.root).map_err(|error| CliError {
                message: format!("agent `{}`: {}", agent.spec.name.value, error.message),
                ..error
            })?;
            by_agent.insert(agent.spec.name.value.clone(), model);
        }
    }
    let default = match chosen {
        Some(name) => open(name, &project.root)?,
        None => match needs_model(project) {
            None => Arc::new(Offline),
            Some(reason) => {
                return Err(CliError::bad_input(format!("{reason}, and no model is chosen"))
                    .hint("choose one with `--llm NAME` or `llm = \"NAME\"` in downbeat.toml")
                    .hint("there are `offline` (no model: checklists and commands) and `scripted:<file>` (recorded answers)"));
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
    chosen: Option<&str>,
) -> Result<Arc<dyn Llm>, CliError> {
    match &agent.spec.llm {
        Some(name) => open(name, &project.root),
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
