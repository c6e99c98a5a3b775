//! One agent as a process of its own, beside others on the same cache, on this machine or elsewhere.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::{Cache, CacheError, Departure, ExitStatus, Leave, Topic};
use downbeat_core::goal::GoalStatus;
use downbeat_core::ids::{AgentName, GoalId};
use downbeat_core::llm::Llm;
use downbeat_core::time::Clock;
use tracing::info;

use crate::clock::CacheClock;
use crate::heartbeats::{Heartbeats, SteeringFile};
use crate::load::{Project, ProjectAgent};
use crate::orchestrator::RunError;
use crate::orchestrator::leader::announcements;
use crate::recruit::{self, Recruit};
use crate::settings::Settings;
use crate::spending::{Accounted, Ledger};
use crate::stop::Stop;

/// The longest wait for the word that all goals rest; this is for a word that got lost, or that nobody said
/// because no orchestrator is there.
const LONGEST: Duration = Duration::from_secs(60);

/// One agent, and what it works with.
#[derive(Debug)]
pub struct Solo {
    /// What it is called; its declaration may be another's.
    pub name: AgentName,
    /// As what it was declared.
    pub agent: ProjectAgent,
    /// The goal it works for, in place of the declared one.
    pub goal: Option<GoalId>,
    /// The file that steers it, in place of the declared one.
    pub heartbeat: Option<PathBuf>,
    /// The project that declares it.
    pub project: Project,
    /// The shared state.
    pub cache: Arc<dyn Cache>,
    /// Its model.
    pub llm: Arc<dyn Llm>,
    /// Puts the results of commands into words.
    pub scribe: Arc<dyn Llm>,
    /// By which the cache's deadlines are waited for.
    pub clock: Arc<dyn Clock>,
    /// The limits and periods.
    pub settings: Settings,
    /// The how-manieth life of its name, from 1.
    pub generation: u64,
}

/// Why an agent's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// All goals that it works for rest; whether all of them are complete.
    Rest {
        /// All are.
        complete: bool,
    },
    /// It was asked to.
    Stopped,
}

impl Solo {
    /// Enters, works until the agent's goals rest or until `stop`, and leaves.
    ///
    /// # Errors
    ///
    /// [`RunError`]: another process has the name, or the cache failed for good.
    pub async fn run(&self, stop: &Stop) -> Result<Left, RunError> {
        let settings = Arc::new(self.settings.clone());
        let workspaces: Arc<HashMap<GoalId, PathBuf>> = Arc::new(self.project.workspaces());
        let goal = self.goal.clone().or_else(|| recruit::goal_of(&self.agent, &self.project.goals));
        if goal.is_none() {
            recruit::check_undeclared(self.cache.as_ref(), &workspaces).await?;
        }
        recruit::bury_the_dead(self.cache.as_ref(), false, settings.interruption_limit).await?;
        let clock = Arc::new(CacheClock::new(Arc::clone(&self.clock)));
        let ledger = Ledger::new(Arc::clone(&self.cache), clock.clone(), settings.ceiling);
        let ledger = Arc::new(ledger.with_turns(settings.max_parallel_calls));
        ledger.open().await?;
        let llm: Arc<dyn Llm> = Arc::new(Accounted::new(Arc::clone(&self.llm), Arc::clone(&ledger)));
        let recruit = Recruit {
            cache: &self.cache,
            llm: &llm,
            code: None,
            ledger: &ledger,
            scribe: &self.scribe,
            clock: &clock,
            settings: &settings,
            workspaces: &workspaces,
        };
        let worker = recruit.enlist(&self.name, &self.agent, goal.clone(), self.generation).await?;
        let declared = &self.agent.spec.name.value;
        let files = SteeringFile::of_agent(&self.project, &self.name, declared, self.heartbeat.as_deref());
        let mut heartbeats = Heartbeats::new(&self.cache, files);
        heartbeats.look().await;
        let goals: Vec<GoalId> = match goal {
            Some(goal) => vec![goal],
            None => self.project.goals.iter().map(|goal| goal.id.clone()).collect(),
        };
        let mut work = tokio::spawn(recruit::watch_over(Arc::clone(&worker), stop.clone()));
        let left = tokio::select! {
            never = heartbeats.run() => match never {},
            rest = self.until_rest(&goals) => rest.map(|complete| Left::Rest { complete }).map_err(RunError::from),
            // Work ends because it was asked to, too, and then neither is first.
            _ = &mut work => match stop.is_draining() && !worker.replaced.is_cancelled() {
                true => Ok(Left::Stopped),
                false => Err(RunError::Replaced { agent: self.name.clone() }),
            },
            () = stop.draining() => Ok(Left::Stopped),
        };
        let reason = match &left {
            Ok(Left::Rest { .. }) => "all its goals are at rest".to_owned(),
            Ok(Left::Stopped) => "it was asked to end".to_owned(),
            Err(error) => error.to_string(),
        };
        match &left {
            Ok(_) => stop.drain(),
            // Without a store there is nothing that it could still bring home.
            Err(_) => stop.now(),
        }
        if !work.is_finished() {
            let _ = work.await;
        }
        let departure = Departure {
            name: self.name.clone(),
            incarnation: worker.incarnation.clone(),
            how: Leave::Stopped,
            reason: reason.clone(),
            exit: match &left {
                Ok(_) => ExitStatus::Ok,
                Err(_) => ExitStatus::Error { code: None },
            },
        };
        recruit::dismiss(&worker, &departure).await;
        info!(target: "runtime", agent = %self.name, "Left: {reason}");
        left
    }

    /// Waits until all goals rest; says whether all are complete.
    async fn until_rest(&self, goals: &[GoalId]) -> Result<bool, CacheError> {
        let topic = Topic::Stream(announcements());
        let mut seen = self.cache.changed(&topic, u64::MAX, Duration::ZERO).await?;
        let mut told = false;
        loop {
            if !self.settings.keep_running || !told {
                let mut statuses = Vec::new();
                for goal in goals {
                    let found = self.cache.goal(goal).await?;
                    if found.is_none() && !told {
                        info!(target: "runtime", agent = %self.name, "Goal {goal} is not planned yet: that is \
                            for an orchestrator to do");
                    }
                    statuses.push(found.map(|goal| goal.status));
                }
                told = true;
                if self.settings.keep_running {
                    continue;
                }
                if statuses.iter().all(|status| status.is_some_and(GoalStatus::is_at_rest)) {
                    return Ok(statuses.iter().all(|status| *status == Some(GoalStatus::Complete)));
                }
            }
            seen = self.cache.changed(&topic, seen, LONGEST).await?.max(seen);
        }
    }
}
