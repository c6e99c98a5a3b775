//! The orchestrator: reconciles what is declared with what is, keeps the upkeep going, and ends when
//! all goals rest.

mod alerts;
mod below;
mod error;
pub(crate) mod leader;
mod owed;
mod planning;
mod roster;
mod stranded;
mod upkeep;

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use downbeat_core::cache::{Append, Cache, CacheError, events_stream};
use downbeat_core::event::EventDraft;
use downbeat_core::goal::Goal;
use downbeat_core::ids::{AgentName, GoalId};
use downbeat_core::llm::Llm;
use downbeat_core::time::Clock;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{info, warn};

pub use error::RunError;
pub(crate) use roster::start_order;

use crate::clock::CacheClock;
use crate::feed::Feed;
use crate::heartbeats::{Heartbeats, SteeringFile};
use crate::library::Code;
use crate::live::InForce;
use crate::load::Project;
use crate::nested::desk::Desk;
use crate::report::{self, RunReport};
use crate::settings::Settings;
use crate::spending::{Accounted, Ledger};
use crate::stop::Stop;
use crate::supervise::{Board, Coming, Declarer, Spawner, Supervisor};
use crate::{entropy, recruit};
use alerts::Watchman;
use leader::{Campaign, Standing};

/// Which model does what.
#[derive(Debug, Clone)]
pub struct Models {
    /// Plans, and works for every agent that names no other.
    pub default: Arc<dyn Llm>,
    /// For agents that name one.
    pub by_agent: HashMap<AgentName, Arc<dyn Llm>>,
    /// Puts the results of commands into words; needs no model.
    pub scribe: Arc<dyn Llm>,
}

impl Models {
    /// The same, with every call counted. The scribe is no model and costs nothing.
    fn accounted(self, ledger: &Arc<Ledger>) -> Self {
        let around =
            |llm: Arc<dyn Llm>| -> Arc<dyn Llm> { Arc::new(Accounted::new(llm, Arc::clone(ledger))) };
        Self {
            default: around(self.default),
            by_agent: self.by_agent.into_iter().map(|(name, llm)| (name, around(llm))).collect(),
            scribe: self.scribe,
        }
    }

    /// The model of an agent.
    #[must_use]
    pub fn of(&self, agent: &AgentName) -> &Arc<dyn Llm> {
        self.by_agent.get(agent).unwrap_or(&self.default)
    }
}

/// Takes a project all the way: plans its goals, runs its agents, and ends when all goals rest.
#[derive(Debug)]
pub struct Orchestrator {
    pub(crate) cache: Arc<dyn Cache>,
    pub(crate) models: Models,
    ledger: Arc<Ledger>,
    pub(crate) clock: Arc<CacheClock>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) in_force: InForce,
    /// Its files are followed.
    pub(crate) follows: bool,
    pub(crate) workspaces: Arc<HashMap<GoalId, PathBuf>>,
    id: String,
    /// All work is done by agents of other processes.
    pub(crate) only_leads: bool,
    /// It may stay when all goals rest, or when nothing can move.
    is_service: bool,
    /// Who brings agents to life, if not this process itself.
    spawner: Option<Arc<dyn Spawner>>,
    /// The agents that live or may come.
    coming: Coming,
    /// The agents that are code.
    pub(crate) code: HashMap<AgentName, Code>,
    /// Where the life of every agent stands.
    board: watch::Sender<Board>,
    /// An order to read the instructions again was carried out.
    pub(crate) reparsed: Notify,
}

impl Orchestrator {
    /// Nothing happens before [`run`](Self::run).
    #[must_use]
    pub fn new(
        cache: Arc<dyn Cache>,
        models: Models,
        clock: Arc<dyn Clock>,
        settings: Settings,
        project: Project,
    ) -> Self {
        let workspaces = project.workspaces();
        let clock = Arc::new(CacheClock::new(clock));
        let ledger = Ledger::new(Arc::clone(&cache), clock.clone(), settings.ceiling);
        let ledger = Arc::new(ledger.with_turns(settings.max_parallel_calls));
        Self {
            cache,
            models: models.accounted(&ledger),
            ledger,
            clock,
            settings: Arc::new(settings),
            coming: Coming::all(project.agents.iter().map(|agent| agent.spec.name.value.clone())),
            spawner: None,
            code: HashMap::new(),
            board: watch::channel(Board::default()).0,
            reparsed: Notify::new(),
            follows: !project.path.as_os_str().is_empty(),
            in_force: InForce::new(project),
            workspaces: Arc::new(workspaces),
            id: entropy::incarnation().0,
            only_leads: false,
            is_service: false,
        }
    }

    /// Whether all agents are processes, which open their models themselves.
    pub(crate) fn has_agents_elsewhere(&self) -> bool {
        self.only_leads || self.spawner.is_some()
    }

    /// What is in force now.
    pub(crate) fn project(&self) -> Arc<Project> {
        self.in_force.get()
    }

    /// Without agents of its own: those of other processes do the work, and come and go as they like.
    ///
    /// It ends when all goals rest, or, with `keep_running`, when it is asked to.
    #[must_use]
    pub fn without_agents(mut self) -> Self {
        self.only_leads = true;
        self.coming = Coming::default();
        self.is_service = true;
        self
    }

    /// With its own agents, but as a service: with `keep_running` it ends only when it is asked to.
    #[must_use]
    pub fn as_service(mut self) -> Self {
        self.is_service = true;
        self
    }

    /// With agents that come to life by `spawner` and not as tasks of this process.
    #[must_use]
    pub fn spawned_by(mut self, spawner: Arc<dyn Spawner>) -> Self {
        self.spawner = Some(spawner);
        self
    }

    /// What is declared stays as it is: no file is followed.
    #[must_use]
    pub const fn without_following(mut self) -> Self {
        self.follows = false;
        self
    }

    /// With an agent that is code: its tasks are done by it, and cost nothing.
    pub(crate) fn with_code(mut self, code: Code) -> Self {
        self.models.by_agent.insert(code.name.clone(), Arc::new(code.clone()));
        self.code.insert(code.name.clone(), code);
        self
    }

    /// Where the life of every agent stands, from the first start on.
    #[must_use]
    pub fn board(&self) -> watch::Receiver<Board> {
        self.board.subscribe()
    }

    /// Runs until every declared goal rests, nothing can move any more, or `stop`.
    ///
    /// A run that was killed is carried on by the next one on the same cache: what was done stays
    /// done. While another orchestrator leads on the same cache, this one stands by.
    ///
    /// # Errors
    ///
    /// [`RunError`]: nothing was started, or the cache failed for good.
    pub async fn run(&self, stop: &Stop) -> Result<RunReport, RunError> {
        let started = Instant::now();
        self.check_agents()?;
        if !self.only_leads {
            self.check_undeclared().await?;
        }
        self.bury_the_dead().await?;
        self.ledger.open().await?;
        let goals: Vec<GoalId> = self.project().goals.iter().map(|goal| goal.id.clone()).collect();
        let feed = Feed::start(Arc::clone(&self.cache)).await?;
        let campaign = Campaign::start(&self.cache, &self.clock, &self.settings, &self.id, goals.clone());
        let mut agents = Fleet { feed: &feed, supervisor: None };
        let ended = self.through_leaderships(stop, &goals, campaign.standing(), &mut agents).await;
        // Whatever ended the upkeep, no agent is left running behind it. Without a store there is nothing
        // that one could still bring home.
        match &ended {
            Ok(_) => stop.drain(),
            Err(_) => stop.now(),
        }
        if let Some(supervisor) = agents.supervisor {
            let overdue = async {
                // When everything rests nobody has work: an agent that does not end hangs.
                if matches!(ended, Ok(Some(_))) {
                    tokio::time::sleep(self.settings.drain_grace).await;
                    stop.now();
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = supervisor.close() => {}
                () = overdue => {}
            }
        }
        self.ledger.written().await;
        campaign.resign().await;
        let stuck = ended?;

        let (mut reports, mut unplanned) = (Vec::new(), Vec::new());
        for goal in goals {
            match report::goal_report(self.cache.as_ref(), &goal).await {
                Ok(report) => reports.push(report),
                Err(CacheError::GoalNotFound { .. }) => unplanned.push(goal),
                Err(error) => return Err(error.into()),
            }
        }
        let interrupted = stuck.is_none();
        Ok(RunReport {
            goals: reports,
            unplanned,
            interrupted,
            stuck: stuck.unwrap_or_default(),
            duration: started.elapsed(),
        })
    }

    /// Leads whenever it may, and stands by in between. Returns as [`keep_up`](Self::keep_up) does.
    async fn through_leaderships(
        &self,
        stop: &Stop,
        goals: &[GoalId],
        mut standing: watch::Receiver<Standing>,
        agents: &mut Fleet<'_>,
    ) -> Result<Option<Vec<String>>, RunError> {
        let mut told = String::new();
        loop {
            let now = standing.borrow_and_update().clone();
            match now {
                Standing::Failed(reason) => return Err(RunError::Cache(CacheError::Failed { reason })),
                Standing::Unknown => {}
                Standing::StandsBy(leader) => {
                    let name = leader.as_ref().map_or("another orchestrator", |leader| leader.name.as_str());
                    if name != told {
                        info!(target: "orchestrator", "{name} leads; standing by");
                        name.clone_into(&mut told);
                    }
                    if let Some(leader) = &leader {
                        self.check_same_deployment(leader)?;
                    }
                    self.start_agents_once(agents, stop).await?;
                    let declarer = agents.declarer();
                    tokio::select! {
                        error = agents.failed() => return Err(error),
                        failed = self.follow(false, declarer.as_ref()) => match failed? {},
                        changed = standing.changed() => if changed.is_err() { return Ok(None) },
                        () = stop.draining() => return Ok(None),
                    }
                    continue;
                }
                Standing::Leads(epoch) => {
                    told.clear();
                    if epoch > 0 {
                        info!(target: "orchestrator", "This orchestrator leads");
                    }
                    let planned = tokio::select! {
                        planned = self.plan_goals() => planned,
                        () = is_over(&mut standing, epoch) => continue,
                        // A model may plan for minutes: nobody waits for that. What it was asked goes with it.
                        () = stop.draining() => return Ok(None),
                    };
                    planned?;
                    self.record_what_stands().await?;
                    // Before an agent takes its first task: it may be told to pause.
                    let mut declared = self.in_force.changes();
                    let heartbeats = self.heartbeats().await;
                    // They may have said that the instructions are to be read again.
                    let reparsed = tokio::select! {
                        reparsed = self.reparse() => reparsed,
                        () = is_over(&mut standing, epoch) => continue,
                        () = stop.draining() => return Ok(None),
                    };
                    reparsed?;
                    // Nor may it take one below a task that was called off while nobody orchestrated.
                    let mut desk = Desk::new(self)?;
                    desk.begin().await?;
                    self.start_agents_once(agents, stop).await?;
                    let mut watchman = Watchman::new(self, goals);
                    let feed = agents.feed;
                    let declarer = agents.declarer();
                    let ended = tokio::select! {
                        never = self.follow_heartbeats(heartbeats, &mut declared) => match never {},
                        ended = self.keep_up(stop, goals, declarer.as_ref()) => Some(ended),
                        Err(error) = desk.attend(feed) => Some(Err(error)),
                        Err(error) = watchman.watch(feed) => Some(Err(error)),
                        error = agents.failed() => Some(Err(error)),
                        Err(error) = self.follow(true, declarer.as_ref()) => Some(Err(error)),
                        () = is_over(&mut standing, epoch) => None,
                    };
                    desk.give_back().await;
                    // What is lacking, or lacks no more, is told before the run ends.
                    if matches!(&ended, Some(Ok(Some(_)))) {
                        watchman.look(true).await?;
                    }
                    match ended {
                        Some(ended) => return ended,
                        None => warn!(target: "orchestrator", "This orchestrator leads no more"),
                    }
                    continue;
                }
            }
            tokio::select! {
                changed = standing.changed() => if changed.is_err() { return Ok(None) },
                error = agents.failed() => return Err(error),
                () = stop.draining() => return Ok(None),
            }
        }
    }

    /// The files that steer the declared agents, each looked at once.
    async fn heartbeats(&self) -> (Vec<SteeringFile>, Heartbeats) {
        let files = SteeringFile::of_project(&self.project());
        let mut heartbeats = Heartbeats::new(&self.cache, files.clone());
        heartbeats.look().await;
        (files, heartbeats)
    }

    /// Follows the files that steer agents, and others when others are declared.
    async fn follow_heartbeats(
        &self,
        (mut files, mut heartbeats): (Vec<SteeringFile>, Heartbeats),
        declared: &mut watch::Receiver<Arc<Project>>,
    ) -> Infallible {
        loop {
            tokio::select! {
                never = heartbeats.run() => match never {},
                Ok(()) = declared.changed() => {
                    if SteeringFile::of_project(&self.project()) != files {
                        // How far each file was read is in the cache: a look that was cut off is made up for.
                        (files, heartbeats) = self.heartbeats().await;
                    }
                }
            }
        }
    }

    async fn start_agents_once(&self, agents: &mut Fleet<'_>, stop: &Stop) -> Result<(), RunError> {
        if agents.supervisor.is_none() && !self.only_leads {
            agents.supervisor = Some(self.supervise(agents.feed, stop).await?);
        }
        Ok(())
    }

    /// Two projects on one store would wait for each other for ever.
    fn check_same_deployment(&self, leader: &leader::Said) -> Result<(), RunError> {
        let project = self.project();
        let ours = |goal: &GoalId| project.goals.iter().any(|own| own.id == *goal);
        if leader.goals.is_empty() || leader.goals.iter().any(ours) {
            return Ok(());
        }
        Err(RunError::OtherDeployment {
            leader: leader.name.clone(),
            goals: leader.goals.iter().map(ToString::to_string).collect(),
        })
    }

    /// See [`recruit::bury_the_dead`].
    async fn bury_the_dead(&self) -> Result<(), RunError> {
        let limit = self.settings.interruption_limit;
        Ok(recruit::bury_the_dead(self.cache.as_ref(), self.settings.exclusive, limit).await?)
    }

    /// The goals as they would be planned, for showing; nothing is stored and no agent is started.
    ///
    /// # Errors
    ///
    /// [`RunError`].
    pub async fn preview(&self) -> Result<Vec<Arc<downbeat_core::dag::Dag>>, RunError> {
        let mut dags = Vec::new();
        for goal in &self.project().goals {
            dags.push(self.draft(goal, &goal.id).await?.0);
        }
        self.check_executable(dags.iter().map(|dag| (dag, dag.goal())))?;
        Ok(dags)
    }

    fn log_planned(goal: &Goal, edges: usize) {
        info!(target: "orchestrator", "DAG created for goal {}: {} nodes, {edges} edges", goal.id,
            goal.counts.total());
    }
}

/// The agents of a run, once they were started.
struct Fleet<'a> {
    feed: &'a Feed,
    supervisor: Option<Supervisor>,
}

impl Fleet<'_> {
    /// By which the agents are declared otherwise, once there are any.
    fn declarer(&self) -> Option<Declarer> {
        self.supervisor.as_ref().map(Supervisor::declarer)
    }

    /// Waits until an agent makes it impossible to go on.
    async fn failed(&mut self) -> RunError {
        match &mut self.supervisor {
            Some(supervisor) => supervisor.failed().await,
            None => std::future::pending().await,
        }
    }
}

/// Adds an event to the log.
pub(crate) async fn tell(cache: &dyn Cache, event: EventDraft) -> Result<(), RunError> {
    let append = Append { stream: events_stream(), entries: vec![event], request: entropy::request_id() };
    cache.append(&append).await?;
    Ok(())
}

/// Until the leadership with this epoch has ended.
async fn is_over(standing: &mut watch::Receiver<Standing>, epoch: u64) {
    // That nobody strives any more ends it, too.
    let _ = standing.wait_for(|standing| *standing != Standing::Leads(epoch)).await;
}
