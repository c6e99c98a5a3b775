//! One agent as a process of its own, beside others on the same cache, on this machine or elsewhere.

mod declaration;

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

use crate::agent::Worker;
use crate::clock::CacheClock;
use crate::heartbeats::{Heartbeats, SteeringFile};
use crate::orchestrator::RunError;
use crate::orchestrator::leader::announcements;
use crate::recruit::{self, Recruit};
use crate::settings::Settings;
use crate::spending::{Accounted, Ledger};
use crate::stop::Stop;

pub use declaration::{Declaration, Declare, InForce, Make};

/// The longest wait for the word that all goals rest; this is for a word that got lost, or that nobody said
/// because no orchestrator is there.
const LONGEST: Duration = Duration::from_secs(60);

/// One agent, and what it works with.
#[derive(Debug)]
pub struct Solo {
    /// What it is called; its declaration may be another's.
    pub name: AgentName,
    /// As what it is declared when it begins.
    pub declaration: Declaration,
    /// What it is declared as by other instructions; without it nothing is followed, because whoever started it
    /// starts it again.
    pub declare: Option<Declare>,
    /// The goal it works for, in place of the declared one.
    pub goal: Option<GoalId>,
    /// The file that steers it, in place of the declared one.
    pub heartbeat: Option<PathBuf>,
    /// The shared state.
    pub cache: Arc<dyn Cache>,
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
    /// It is not declared any more.
    Undeclared,
}

/// Why one life of an agent ended.
enum Ended {
    Left(Left),
    /// It is declared otherwise: it goes on as this.
    Declared(Box<Declaration>),
}

impl Solo {
    /// Enters, works until the agent's goals rest or until `stop`, and leaves. When it is declared otherwise
    /// meanwhile, it finishes what it holds and goes on as what it is then.
    ///
    /// # Errors
    ///
    /// [`RunError`]: another process has the name, or the cache failed for good.
    pub async fn run(&self, stop: &Stop) -> Result<Left, RunError> {
        let mut declaration = self.declaration.clone();
        let mut generation = self.generation;
        loop {
            match self.live(&declaration, generation, stop).await? {
                Ended::Left(left) => return Ok(left),
                Ended::Declared(next) => {
                    info!(target: "runtime", agent = %self.name, "It is declared otherwise, and goes on so");
                    declaration = *next;
                    generation = generation.saturating_add(1);
                }
            }
        }
    }

    /// One life, under one declaration.
    async fn live(&self, declaration: &Declaration, generation: u64, stop: &Stop) -> Result<Ended, RunError> {
        let Declaration { project, agent, llm, .. } = declaration;
        let settings = Arc::new(self.settings.clone());
        let workspaces: Arc<HashMap<GoalId, PathBuf>> = Arc::new(project.workspaces());
        let goal = self.goal.clone().or_else(|| recruit::goal_of(agent, &project.goals));
        if goal.is_none() {
            recruit::check_undeclared(self.cache.as_ref(), &workspaces).await?;
        }
        recruit::bury_the_dead(self.cache.as_ref(), false, settings.interruption_limit).await?;
        let clock = Arc::new(CacheClock::new(Arc::clone(&self.clock)));
        let ledger = Ledger::new(Arc::clone(&self.cache), clock.clone(), settings.ceiling);
        let ledger = Arc::new(ledger.with_turns(settings.max_parallel_calls));
        ledger.open().await?;
        let llm: Arc<dyn Llm> = Arc::new(Accounted::new(Arc::clone(llm), Arc::clone(&ledger)));
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
        let worker = recruit.enlist(&self.name, agent, goal.clone(), generation).await?;
        let declared = &agent.spec.name.value;
        let files = SteeringFile::of_agent(project, &self.name, declared, self.heartbeat.as_deref());
        let mut heartbeats = Heartbeats::new(&self.cache, files);
        heartbeats.look().await;
        let goals: Vec<GoalId> = match goal {
            Some(goal) => vec![goal],
            None => project.goals.iter().map(|goal| goal.id.clone()).collect(),
        };
        // Of this life: the process may go on with another one.
        let own = stop.child();
        let mut work = tokio::spawn(recruit::watch_over(Arc::clone(&worker), own.clone()));
        let left = tokio::select! {
            never = heartbeats.run() => match never {},
            rest = self.until_rest(&goals) => match rest {
                Ok(complete) => Ok(Ended::Left(Left::Rest { complete })),
                Err(error) => Err(RunError::from(error)),
            },
            next = self.until_declared_otherwise(declaration, &worker) => Ok(next),
            // Work ends because it was asked to, too, and then neither is first.
            _ = &mut work => match stop.is_draining() && !worker.replaced.is_cancelled() {
                true => Ok(Ended::Left(Left::Stopped)),
                false => Err(RunError::Replaced { agent: self.name.clone() }),
            },
            () = stop.draining() => Ok(Ended::Left(Left::Stopped)),
        };
        let reason = match &left {
            Ok(Ended::Left(Left::Rest { .. })) => "all its goals are at rest".to_owned(),
            Ok(Ended::Left(Left::Stopped)) => "it was asked to end".to_owned(),
            Ok(Ended::Left(Left::Undeclared)) => "it is not declared any more".to_owned(),
            Ok(Ended::Declared(_)) => "it is declared otherwise".to_owned(),
            Err(error) => error.to_string(),
        };
        match &left {
            Ok(_) => own.drain(),
            // Without a store there is nothing that it could still bring home.
            Err(_) => stop.now(),
        }
        if !work.is_finished() {
            // What is at work may take hours, and is steered until its end.
            tokio::select! {
                never = heartbeats.run() => match never {},
                _ = &mut work => {}
            }
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
        ledger.written().await;
        recruit::dismiss(&worker, &departure).await;
        info!(target: "runtime", agent = %self.name, "Left: {reason}");
        match left {
            // It may have been asked to end meanwhile.
            Ok(Ended::Declared(_)) if stop.is_draining() => Ok(Ended::Left(Left::Stopped)),
            left => left,
        }
    }

    /// Waits until the instructions in force say something else of this agent.
    async fn until_declared_otherwise(&self, now: &Declaration, worker: &Worker) -> Ended {
        let Some(declare) = &self.declare else { return std::future::pending().await };
        let mut news = worker.notices.declared();
        let mut known = None;
        loop {
            match declare.news(self.cache.as_ref(), &mut known).await {
                InForce::Declared(next) if next.differs_from(now) => return Ended::Declared(next),
                // One that is declared by a file of its machine alone stays.
                InForce::Undeclared if now.in_force => return Ended::Left(Left::Undeclared),
                _ => {}
            }
            let _ = tokio::time::timeout(LONGEST, news.changed()).await;
        }
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
