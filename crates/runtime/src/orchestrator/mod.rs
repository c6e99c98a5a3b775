//! The orchestrator: reconciles what is declared with what is, keeps the upkeep going, and ends when
//! all goals rest.

mod error;
mod planning;
mod roster;
mod stranded;
mod upkeep;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use downbeat_core::cache::{Append, Cache, StoreIf, events_stream};
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::goal::Goal;
use downbeat_core::ids::{AgentName, GoalId};
use downbeat_core::llm::Llm;
use downbeat_core::time::Clock;
use tokio::time::Instant;
use tracing::{info, warn};

pub use error::RunError;

use crate::entropy;
use crate::load::Project;
use crate::report::{self, RunReport};
use crate::settings::Settings;
use crate::spending::{Accounted, Ledger};
use crate::status::ORCHESTRATOR;
use crate::stop::Stop;

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
    cache: Arc<dyn Cache>,
    models: Models,
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    settings: Arc<Settings>,
    project: Project,
    workspaces: Arc<HashMap<GoalId, PathBuf>>,
    id: String,
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
        let workspaces = project.goals.iter().map(|goal| (goal.id.clone(), goal.workspace.clone())).collect();
        let ledger = Arc::new(Ledger::new(Arc::clone(&cache), Arc::clone(&clock), settings.ceiling));
        Self {
            cache,
            models: models.accounted(&ledger),
            ledger,
            clock,
            settings: Arc::new(settings),
            project,
            workspaces: Arc::new(workspaces),
            id: entropy::incarnation().0,
        }
    }

    /// Runs until every declared goal rests, nothing can move any more, or `stop`.
    ///
    /// A run that was killed is carried on by the next one on the same cache: what was done stays
    /// done.
    ///
    /// # Errors
    ///
    /// [`RunError`]: nothing was started, or the cache failed for good.
    pub async fn run(&self, stop: &Stop) -> Result<RunReport, RunError> {
        let started = Instant::now();
        self.check_agents()?;
        self.check_undeclared().await?;
        self.bury_the_dead().await?;
        self.ledger.open().await?;
        let goals = self.plan_goals().await?;
        self.appear(true).await?;
        let agents = self.start_agents(stop).await?;
        let stuck = self.keep_up(stop, &goals).await;
        // Whatever ended the upkeep, no agent is left running behind it. Without a store there is nothing
        // that one could still bring home.
        match &stuck {
            Ok(_) => stop.drain(),
            Err(_) => stop.now(),
        }
        self.end_agents(agents, stop).await;
        let stuck = stuck?;
        self.appear(false).await?;

        let mut reports = Vec::new();
        for goal in &goals {
            reports.push(report::goal_report(self.cache.as_ref(), goal).await?);
        }
        let interrupted = stuck.is_none();
        Ok(RunReport {
            goals: reports,
            interrupted,
            stuck: stuck.unwrap_or_default(),
            duration: started.elapsed(),
        })
    }

    /// The goals as they would be planned, for showing; nothing is stored and no agent is started.
    ///
    /// # Errors
    ///
    /// [`RunError`].
    pub async fn preview(&self) -> Result<Vec<Arc<downbeat_core::dag::Dag>>, RunError> {
        let mut dags = Vec::new();
        for goal in &self.project.goals {
            dags.push(self.draft(goal).await?.0);
        }
        self.check_executable(&dags)?;
        Ok(dags)
    }

    /// Says in the cache that this orchestrator is there, or is not any more.
    async fn appear(&self, present: bool) -> Result<(), RunError> {
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
        let said = serde_json::json!({
            "name": format!("{}:{}", host.unwrap_or_default(), std::process::id()),
            "id": self.id,
            "present": present,
        });
        for _ in 0..3 {
            let expected = self.cache.load(ORCHESTRATOR).await?.map_or(0, |record| record.version);
            let store = StoreIf { key: ORCHESTRATOR.to_owned(), expected, value: Some(said.to_string()) };
            match self.cache.store_if(&store).await {
                Err(downbeat_core::cache::CacheError::Conflict { .. }) => {}
                answer => return answer.map(|_| ()).map_err(RunError::from),
            }
        }
        warn!(target: "orchestrator", "other orchestrators write their presence at the same time");
        Ok(())
    }

    async fn tell(&self, event: EventDraft) -> Result<(), RunError> {
        let append = Append { stream: events_stream(), entries: vec![event], request: entropy::request_id() };
        self.cache.append(&append).await?;
        Ok(())
    }

    fn log_planned(goal: &Goal, edges: usize) {
        info!(target: "orchestrator", "DAG created for goal {}: {} nodes, {edges} edges", goal.id,
            goal.counts.total());
    }

    async fn all_terminated(&self) -> Result<(), RunError> {
        self.tell(EventDraft::new(EventKind::AGENTS_ALL_TERMINATED)).await
    }
}
