//! An agent whose `--instructions` is no file of instructions but its own text, as the predecessor had it.

use std::path::{Path, PathBuf};

use downbeat_core::ids::{AgentName, Capability, GoalId};
use downbeat_core::instructions::{self, AgentSpec, Spanned};
use downbeat_runtime::load::{self, Project, ProjectAgent, ProjectGoal};

use crate::args;
use crate::error::CliError;

/// The project of one agent and one goal, if `--instructions` names an agent's own text; what the goal is,
/// its plan says, which an orchestrator made.
///
/// # Errors
///
/// The text cannot be read, or a name is none.
pub(crate) fn project(args: &args::Agent) -> Result<Option<Project>, CliError> {
    let (Some(path), Some(goal)) = (args.instructions.named(), &args.goal) else { return Ok(None) };
    if !path.is_file() {
        return Ok(None);
    }
    let text = load::load_text(path).map_err(|error| CliError::faults(error.reports))?;
    if instructions::declares_agents(&text) {
        return Ok(None);
    }
    let (name, goal) = (AgentName::new(args.name.as_str())?, GoalId::new(goal.as_str())?);
    let root = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut agent = AgentSpec {
        goal: Some(Spanned::new(goal.clone(), 0..0)),
        ..AgentSpec::named(Spanned::new(name, 0..0))
    };
    adapt(&mut agent, args);
    let goal = ProjectGoal {
        title: goal.to_string(),
        id: goal,
        brief: String::new(),
        dag: None,
        workspace: root.to_path_buf(),
    };
    Ok(Some(Project {
        owned: Default::default(),
        path: path.to_path_buf(),
        root: root.to_path_buf(),
        agents: vec![ProjectAgent { spec: agent, instructions: text }],
        goals: vec![goal],
        warnings: Vec::new(),
    }))
}

/// Has an agent the role and the heartbeat file that the command line says.
pub(crate) fn adapt(agent: &mut AgentSpec, args: &args::Agent) {
    if let Some(role) = &args.role {
        if agent.capabilities.is_empty() {
            agent.capabilities.extend(Capability::new(role.as_str()));
        }
        agent.role = Some(role.clone());
    }
    if let Some(path) = &args.heartbeat {
        // Said from where somebody stands, not from where the file lies.
        let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        agent.heartbeat = Some(Spanned::new(path.display().to_string(), 0..0));
    }
}
