//! Declares an orchestrator in Rust, and starts it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::Cache;
use downbeat_core::dag::Draft;
use downbeat_core::event::{Event, EventKind};
use downbeat_core::ids::{AgentName, GroupName};
use downbeat_core::instructions::Milestone;
use downbeat_core::llm::Llm;
use downbeat_core::memory::MemoryCache;
use downbeat_core::time::Clock;
use tokio::sync::watch;

use super::agent::{Agent, NoModel};
use super::declared::Declared;
use super::handlers::{Handlers, dispatch};
use super::lower::BuildError;
use super::running::Running;
use crate::clock::SystemClock;
use crate::feed::Feed;
use crate::orchestrator::{Orchestrator, RunError};
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

/// Declares an orchestrator: see [`Orchestrator::builder`].
pub struct Builder {
    pub(super) cache: Option<Arc<dyn Cache>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: Settings,
    pub(super) model: Arc<dyn Llm>,
    pub(super) scribe: Arc<dyn Llm>,
    pub(super) spawner: Option<Arc<dyn Spawner>>,
    pub(super) workspace: PathBuf,
    pub(super) file: Option<PathBuf>,
    pub(super) agents: Vec<(Declared, Kind)>,
    pub(super) dependencies: Vec<(String, String, Milestone)>,
    pub(super) groups: BTreeMap<String, Vec<String>>,
    pub(super) group_limits: BTreeMap<String, u32>,
    pub(super) goals: Vec<(String, Option<Draft>, String)>,
    pub(super) handlers: Handlers,
}

/// Who does the tasks of an agent.
pub(super) enum Kind {
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
            group_limits: BTreeMap::new(),
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

    /// At most so many agents of a group live at once; an order overrides it.
    #[must_use]
    pub fn group_limit(mut self, name: &str, agents: u32) -> Self {
        self.group_limits.insert(name.to_owned(), agents);
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
