//! What is declared, and everything that is wrong with it at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::Cache;
use downbeat_core::dag::{self, Dag, Draft};
use downbeat_core::event::{Event, EventKind};
use downbeat_core::ids::{AgentName, Capability, GoalId, GroupName};
use downbeat_core::instructions::{AgentSpec, Dependency, Milestone, Restart, Spanned};
use downbeat_core::llm::Llm;
use downbeat_core::memory::MemoryCache;
use downbeat_core::span::HumanDuration;
use downbeat_core::time::Clock;
use tokio::sync::watch;

use super::agent::{Agent, Code, NoModel};
use super::handlers::{Handlers, dispatch};
use super::running::Running;
use crate::clock::SystemClock;
use crate::feed::Feed;
use crate::load::{self, Project, ProjectAgent, ProjectGoal};
use crate::orchestrator::{Models, Orchestrator, RunError};
use crate::report::RunReport;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::supervise::Spawner;

/// When a run ends by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RunMode {
    /// When every goal rests, or nothing can move any more.
    #[default]
    UntilEmpty,
    /// When it is asked to.
    Daemon,
}

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

/// What is declared about an agent. A name alone will do.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    name: String,
    goal: Option<String>,
    role: Option<String>,
    instructions: String,
    capabilities: Vec<String>,
    max_parallel: Option<u32>,
    timeout: Option<Duration>,
    restart: Option<Restart>,
    max_restarts: Option<u32>,
}

impl From<&str> for Declared {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}

impl Declared {
    /// An agent of this name, which takes tasks of any goal that need nothing.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// It takes tasks of this goal alone.
    #[must_use]
    pub fn goal(mut self, goal: impl Into<String>) -> Self {
        self.goal = Some(goal.into());
        self
    }

    /// What it is.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self
    }

    /// Its own instructions, for a model.
    #[must_use]
    pub fn instructions(mut self, text: impl Into<String>) -> Self {
        self.instructions = text.into();
        self
    }

    /// What it can do.
    #[must_use]
    pub fn capable_of<S: Into<String>>(mut self, capabilities: impl IntoIterator<Item = S>) -> Self {
        self.capabilities.extend(capabilities.into_iter().map(Into::into));
        self
    }

    /// How many tasks it works on at once; 1 without it.
    #[must_use]
    pub const fn max_parallel(mut self, tasks: u32) -> Self {
        self.max_parallel = Some(tasks);
        self
    }

    /// How long one of its attempts may take, for a task that says nothing about it.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Whether it is started again when its life has ended.
    #[must_use]
    pub const fn restart(mut self, restart: Restart) -> Self {
        self.restart = Some(restart);
        self
    }

    /// How many restarts in the settings' window are no crash loop.
    #[must_use]
    pub const fn max_restarts(mut self, restarts: u32) -> Self {
        self.max_restarts = Some(restarts);
        self
    }
}

/// Declares an orchestrator: see [`Orchestrator::builder`].
pub struct Builder {
    cache: Option<Arc<dyn Cache>>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    model: Arc<dyn Llm>,
    scribe: Arc<dyn Llm>,
    spawner: Option<Arc<dyn Spawner>>,
    workspace: PathBuf,
    file: Option<PathBuf>,
    agents: Vec<(Declared, Kind)>,
    dependencies: Vec<(String, String, Milestone)>,
    groups: BTreeMap<String, Vec<String>>,
    goals: Vec<(String, Option<Draft>, String)>,
    handlers: Handlers,
}

enum Kind {
    Code(Arc<dyn Agent>),
    Model(Arc<dyn Llm>),
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agents: Vec<&str> = self.agents.iter().map(|(agent, _)| agent.name.as_str()).collect();
        f.debug_struct("Builder").field("agents", &agents).finish_non_exhaustive()
    }
}

impl Orchestrator {
    /// Declares agents, goals and handlers in Rust, or beside a file of instructions.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            cache: None,
            clock: Arc::new(SystemClock),
            settings: Settings::default(),
            model: Arc::new(NoModel),
            scribe: Arc::new(NoModel),
            spawner: None,
            workspace: PathBuf::from("."),
            file: None,
            agents: Vec::new(),
            dependencies: Vec::new(),
            groups: BTreeMap::new(),
            goals: Vec::new(),
            handlers: Handlers::default(),
        }
    }
}

impl Builder {
    /// Where the state lives. Without it, in memory: it ends with the process.
    #[must_use]
    pub fn cache(mut self, cache: Arc<dyn Cache>) -> Self {
        self.cache = Some(cache);
        self
    }

    /// The limits and periods.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The model that plans, and works for agents that have no other. Without it, none does.
    #[must_use]
    pub fn model(mut self, model: Arc<dyn Llm>) -> Self {
        self.model = model;
        self
    }

    /// Puts the results of commands into words; without it, the last line of their output does.
    #[must_use]
    pub fn scribe(mut self, scribe: Arc<dyn Llm>) -> Self {
        self.scribe = scribe;
        self
    }

    /// Brings agents to life elsewhere than in this process. Agents that are code live in it alone.
    #[must_use]
    pub fn spawner(mut self, spawner: Arc<dyn Spawner>) -> Self {
        self.spawner = Some(spawner);
        self
    }

    /// The directory that tasks work in; the current one without it.
    #[must_use]
    pub fn workspace(mut self, directory: impl Into<PathBuf>) -> Self {
        self.workspace = directory.into();
        self
    }

    /// Declares what a file of instructions declares, beside what is declared here. An agent that is
    /// registered here under a name of the file keeps what the file says about it.
    #[must_use]
    pub fn instructions(mut self, file: impl AsRef<Path>) -> Self {
        self.file = Some(file.as_ref().to_path_buf());
        self
    }

    /// An agent that is code.
    #[must_use]
    pub fn register_agent(mut self, agent: impl Into<Declared>, code: impl Agent) -> Self {
        self.agents.push((agent.into(), Kind::Code(Arc::new(code))));
        self
    }

    /// An agent that is a model.
    #[must_use]
    pub fn register_model_agent(mut self, agent: impl Into<Declared>, model: Arc<dyn Llm>) -> Self {
        self.agents.push((agent.into(), Kind::Model(model)));
        self
    }

    /// `agent` starts when `other` is ready.
    #[must_use]
    pub fn add_dependency(self, agent: &str, other: &str) -> Self {
        self.add_dependency_until(agent, other, Milestone::Ready)
    }

    /// `agent` starts when `other` is as far as `until`.
    #[must_use]
    pub fn add_dependency_until(mut self, agent: &str, other: &str, until: Milestone) -> Self {
        self.dependencies.push((agent.to_owned(), other.to_owned(), until));
        self
    }

    /// A group of agents, or more agents for it.
    #[must_use]
    pub fn group<S: Into<String>>(mut self, name: &str, agents: impl IntoIterator<Item = S>) -> Self {
        self.groups.entry(name.to_owned()).or_default().extend(agents.into_iter().map(Into::into));
        self
    }

    /// A goal with its plan.
    #[must_use]
    pub fn goal(mut self, title: &str, plan: impl Into<Draft>) -> Self {
        let plan = plan.into();
        self.goals.push((plan.goal_id.clone(), Some(plan), title.to_owned()));
        self
    }

    /// A goal that the model plans.
    #[must_use]
    pub fn goal_to_plan(mut self, id: &str, brief: &str) -> Self {
        self.goals.push((id.to_owned(), None, brief.to_owned()));
        self
    }

    /// Calls `handler` for every event of a kind that happens from the start on, in order. Handlers may block;
    /// one that panics is logged, and the rest goes on.
    #[must_use]
    pub fn on(mut self, kind: EventKind, handler: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.handlers.add(kind, Arc::new(handler));
        self
    }

    /// Between two looks at everything, for news that got lost; nothing else waits for it.
    #[must_use]
    pub const fn check_interval(mut self, interval: Duration) -> Self {
        self.settings.check_interval = interval;
        self
    }

    /// The most agents that live at once; the others wait for a slot.
    #[must_use]
    pub const fn max_workers(mut self, agents: usize) -> Self {
        self.settings.max_workers = Some(agents);
        self
    }

    /// When the run ends by itself.
    #[must_use]
    pub fn run_mode(mut self, mode: RunMode) -> Self {
        self.settings.keep_running = mode == RunMode::Daemon;
        self
    }

    /// Starts, and waits for the end: [`start`](Self::start) and [`Running::join`].
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub async fn run(self) -> Result<RunReport, StartError> {
        Ok(self.start().await?.join().await?)
    }

    /// Starts the run and returns; it goes on by itself.
    ///
    /// # Errors
    ///
    /// [`StartError`]: nothing was started.
    pub async fn start(mut self) -> Result<Running, StartError> {
        let handlers = std::mem::take(&mut self.handlers);
        let in_memory = self.cache.is_none();
        let cache = match self.cache.take() {
            Some(cache) => cache,
            None => Arc::new(MemoryCache::new(Arc::clone(&self.clock))),
        };
        self.settings.exclusive |= in_memory;
        let parts = self.declare()?;
        let groups =
            parts.project.agents.iter().flat_map(|it| it.spec.groups.iter().map(|group| group.value.clone()));
        let groups: BTreeSet<GroupName> = groups.collect();
        let agents: BTreeSet<AgentName> =
            parts.project.agents.iter().map(|agent| agent.spec.name.value.clone()).collect();
        let mut orchestrator =
            Orchestrator::new(Arc::clone(&cache), parts.models, parts.clock, parts.settings, parts.project)
                .without_following();
        if parts.stays {
            orchestrator = orchestrator.as_service();
        }
        for code in parts.code {
            orchestrator = orchestrator.with_code(code);
        }
        if let Some(spawner) = parts.spawner {
            orchestrator = orchestrator.spawned_by(spawner);
        }
        let (telling, told) = watch::channel(0);
        let dispatcher = match handlers.is_empty() {
            true => None,
            false => {
                let feed = Feed::start(Arc::clone(&cache)).await.map_err(RunError::from)?;
                let seen = feed.position();
                telling.send_replace(seen);
                let task =
                    tokio::spawn(dispatch(Arc::clone(&cache), handlers, feed.subscribe(), seen, telling));
                Some((feed, task))
            }
        };
        let stop = Stop::new();
        let board = orchestrator.board();
        let run = {
            let stop = stop.clone();
            tokio::spawn(async move { orchestrator.run(&stop).await })
        };
        Ok(Running { cache, stop, board, groups, run, told, dispatcher, agents })
    }

    /// Everything as the orchestrator takes it.
    fn declare(self) -> Result<Parts, BuildError> {
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

struct Parts {
    project: Project,
    models: Models,
    code: Vec<Code>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    spawner: Option<Arc<dyn Spawner>>,
    stays: bool,
}

/// Why nothing was started, or a run could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// What was declared does not hold together.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The run.
    #[error(transparent)]
    Run(#[from] RunError),
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
