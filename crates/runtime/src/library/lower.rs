//! What was declared in Rust as an orchestrator takes it, or everything that is wrong with it at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use downbeat_core::dag::{self, Dag, Draft};
use downbeat_core::ids::{AgentName, Capability, GoalId, GroupName};
use downbeat_core::instructions::{AgentSpec, Dependency, Milestone, Spanned};
use downbeat_core::span::HumanDuration;
use downbeat_core::time::Clock;

use super::agent::Code;
use super::builder::{Builder, Kind};
use super::declared::Declared;
use crate::load::{self, Project, ProjectAgent, ProjectGoal};
use crate::orchestrator::Models;
use crate::settings::Settings;
use crate::supervise::Spawner;

/// Everything that is wrong with what was declared: nothing was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError {
    /// Each in a line.
    pub faults: Vec<String>,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("\n"))
    }
}

impl std::error::Error for BuildError {}

/// What an orchestrator is made of.
pub(super) struct Parts {
    pub(super) project: Project,
    pub(super) models: Models,
    pub(super) code: Vec<Code>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: Settings,
    pub(super) spawner: Option<Arc<dyn Spawner>>,
    pub(super) stays: bool,
}

impl Builder {
    /// Everything as the orchestrator takes it.
    pub(super) fn declare(self) -> Result<Parts, BuildError> {
        let mut faults = Vec::new();
        let mut project = match &self.file {
            Some(file) => load::load(file).unwrap_or_else(|error| {
                faults.push(error.to_string().trim_end().to_owned());
                empty(self.workspace.clone())
            }),
            None => empty(self.workspace.clone()),
        };
        let broken_file = !faults.is_empty();
        let (mut code, mut by_agent) = (Vec::new(), HashMap::new());
        let mut registered = BTreeSet::new();
        for (declared, kind) in self.agents {
            if !registered.insert(declared.name.clone()) {
                faults.push(format!("agent `{}` is registered twice", declared.name));
                continue;
            }
            let in_file = project.agents.iter().find(|it| it.spec.name.value.as_str() == declared.name);
            let name = match in_file {
                Some(agent) => agent.spec.name.value.clone(),
                None => {
                    let Some(agent) = project_agent(declared, &mut faults) else { continue };
                    let name = agent.spec.name.value.clone();
                    project.agents.push(agent);
                    name
                }
            };
            match kind {
                Kind::Code(agent) => code.push(Code { name, agent }),
                Kind::Model(model) => {
                    by_agent.insert(name, model);
                }
            }
        }
        for (goal, plan, text) in self.goals {
            if let Some(goal) = project_goal(&goal, plan, text, &self.workspace, &mut faults) {
                if project.goals.iter().any(|known| known.id == goal.id) {
                    faults.push(format!("goal `{}` is declared twice", goal.id));
                } else {
                    project.goals.push(goal);
                }
            }
        }
        // What a broken file would have declared is not known to be missing.
        if !broken_file {
            depend(&mut project.agents, self.dependencies, &mut faults);
            group(&mut project.agents, self.groups, &mut faults);
            limit(&mut project.agents, self.group_limits, &mut faults);
            for agent in &project.agents {
                if let Some(goal) = &agent.spec.goal
                    && !project.goals.iter().any(|known| known.id == goal.value)
                {
                    let agent = &agent.spec.name.value;
                    faults.push(format!(
                        "agent `{agent}` works for goal `{}`, which is not declared",
                        goal.value
                    ));
                }
            }
            if faults.is_empty()
                && let Err(error) = crate::orchestrator::start_order(&project.agents)
            {
                faults.push(error.to_string());
            }
        }
        if !faults.is_empty() {
            return Err(BuildError { faults });
        }
        let models = Models { default: self.model, by_agent, scribe: self.scribe };
        let stays = self.settings.keep_running;
        Ok(Parts {
            project,
            models,
            code,
            clock: self.clock,
            settings: self.settings,
            spawner: self.spawner,
            stays,
        })
    }
}

fn empty(root: PathBuf) -> Project {
    Project {
        path: PathBuf::new(),
        root,
        agents: Vec::new(),
        goals: Vec::new(),
        owned: crate::nested::Owned::default(),
        warnings: Vec::new(),
    }
}

/// A text as an id, or a fault.
fn id<T: std::str::FromStr<Err = downbeat_core::ids::IdError>>(
    text: &str,
    what: &str,
    faults: &mut Vec<String>,
) -> Option<T> {
    text.parse()
        .map_err(|error| faults.push(format!("`{}` cannot name {what}: {error}", text.escape_debug())))
        .ok()
}

fn spanned<T>(value: T) -> Spanned<T> {
    Spanned::new(value, 0..0)
}

fn project_agent(declared: Declared, faults: &mut Vec<String>) -> Option<ProjectAgent> {
    let name: AgentName = id(&declared.name, "an agent", faults)?;
    let mut capabilities: Vec<Capability> = Vec::new();
    for text in &declared.capabilities {
        capabilities.extend(id::<Capability>(text, "a capability", faults));
    }
    let timeout = declared.timeout.map(|timeout| {
        let span = HumanDuration::new(timeout);
        if span.is_none() {
            faults.push(format!("agent `{name}`: {timeout:?} is no timeout"));
        }
        span
    });
    if declared.max_parallel == Some(0) {
        faults.push(format!("agent `{name}`: `max_parallel` is at least 1"));
    }
    let spec = AgentSpec {
        goal: declared.goal.and_then(|goal| id::<GoalId>(&goal, "a goal", faults)).map(spanned),
        role: declared.role,
        capabilities,
        max_parallel: declared.max_parallel,
        restart: declared.restart,
        max_restarts: declared.max_restarts,
        timeout: timeout.flatten(),
        ..AgentSpec::named(spanned(name))
    };
    Some(ProjectAgent { spec, instructions: declared.instructions })
}

fn project_goal(
    goal: &str,
    plan: Option<Draft>,
    text: String,
    workspace: &Path,
    faults: &mut Vec<String>,
) -> Option<ProjectGoal> {
    let id: GoalId = id(goal, "a goal", faults)?;
    let dag: Option<Dag> = match plan {
        None => None,
        Some(draft) => match dag::validate(draft) {
            Ok(dag) => Some(dag),
            Err(error) => {
                faults.extend(error.faults.iter().map(|fault| format!("goal `{id}`: {fault}")));
                return None;
            }
        },
    };
    let (title, brief) = match dag {
        Some(_) => (text, String::new()),
        None => (id.to_string(), text),
    };
    Some(ProjectGoal { id, title, brief, dag: dag.map(Arc::new), workspace: workspace.to_path_buf() })
}

fn depend(
    agents: &mut [ProjectAgent],
    dependencies: Vec<(String, String, Milestone)>,
    faults: &mut Vec<String>,
) {
    let names: Vec<AgentName> = agents.iter().map(|agent| agent.spec.name.value.clone()).collect();
    for (agent, other, until) in dependencies {
        let known = names.iter().find(|name| name.as_str() == other).cloned();
        let waiting = agents.iter_mut().find(|it| it.spec.name.value.as_str() == agent);
        match (waiting, known) {
            (Some(_), Some(other)) if other.as_str() == agent => {
                faults.push(format!("agent `{agent}` depends on itself"));
            }
            (Some(waiting), Some(other)) => {
                let all = &mut waiting.spec.depends_on;
                match all.iter_mut().find(|known| known.agent.value == other) {
                    // The same once more is no fault; of two milestones the later one includes the other.
                    Some(known) => known.until = known.until.max(until),
                    None => all.push(Dependency { agent: spanned(other), until }),
                }
            }
            (waiting, known) => {
                for (name, found) in [(&agent, waiting.is_some()), (&other, known.is_some())] {
                    if !found {
                        faults.push(format!("no agent is called `{name}` (`{agent}` depends on `{other}`)"));
                    }
                }
            }
        }
    }
}

fn group(agents: &mut [ProjectAgent], groups: BTreeMap<String, Vec<String>>, faults: &mut Vec<String>) {
    for (group, members) in groups {
        let Some(name) = id::<GroupName>(&group, "a group", faults) else { continue };
        for member in members {
            match agents.iter_mut().find(|agent| agent.spec.name.value.as_str() == member) {
                None => faults.push(format!("no agent is called `{member}` (of group `{group}`)")),
                Some(agent) if agent.spec.groups.iter().any(|known| known.value == name) => {}
                Some(agent) => agent.spec.groups.push(spanned(name.clone())),
            }
        }
    }
}

fn limit(agents: &mut [ProjectAgent], limits: BTreeMap<String, u32>, faults: &mut Vec<String>) {
    for (group, most) in limits {
        let Some(name) = id::<GroupName>(&group, "a group", faults) else { continue };
        let said = agents.iter().flat_map(|agent| &agent.spec.group_limits);
        let before = said.filter(|(known, _)| *known == name).map(|(_, limit)| limit.value).next();
        if most == 0 {
            faults.push(format!("group `{group}`: its limit is at least 1"));
        } else if let Some(before) = before.filter(|before| *before != most) {
            faults.push(format!("group `{group}` has two limits, {before} and {most}"));
        } else if let Some(agent) =
            agents.iter_mut().find(|agent| agent.spec.groups.iter().any(|known| known.value == name))
        {
            agent.spec.group_limits.push((name, spanned(most)));
        } else {
            faults.push(format!("no agent is of group `{group}`, which is limited to {most}"));
        }
    }
}
