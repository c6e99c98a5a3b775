//! How an agent enters: under a name that nobody else has, and after those of its machine that are known to
//! be gone.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use downbeat_core::cache::{
    Append, Cache, CacheError, Departure, ExitStatus, Leave, Liveness, Registration, events_stream,
};
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::ids::{AgentName, GoalId, TaskId};
use downbeat_core::llm::Llm;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::agent::Worker;
use crate::clock::CacheClock;
use crate::library::Code;
use crate::load::ProjectAgent;
use crate::nested::chain::Places;
use crate::orchestrator::RunError;
use crate::passing::{Load, Passing};
use crate::settings::Settings;
use crate::spending::Ledger;
use crate::steering::notice::Notices;
use crate::stop::Stop;
use crate::{entropy, process};

/// The name of this machine.
pub(crate) fn host() -> String {
    nix::unistd::gethostname().map(|host| host.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What an agent is given.
pub(crate) struct Recruit<'a> {
    pub(crate) cache: &'a Arc<dyn Cache>,
    pub(crate) llm: &'a Arc<dyn Llm>,
    pub(crate) code: Option<&'a Code>,
    pub(crate) ledger: &'a Arc<Ledger>,
    pub(crate) scribe: &'a Arc<dyn Llm>,
    pub(crate) clock: &'a Arc<CacheClock>,
    pub(crate) settings: &'a Arc<Settings>,
    pub(crate) workspaces: &'a Arc<HashMap<GoalId, PathBuf>>,
}

impl Recruit<'_> {
    /// Enters an agent as `name`, declared as `agent`, for `goal` or for any.
    ///
    /// # Errors
    ///
    /// [`RunError::NameTaken`], and what the cache says.
    pub(crate) async fn enlist(
        &self,
        name: &AgentName,
        agent: &ProjectAgent,
        goal: Option<GoalId>,
        generation: u64,
    ) -> Result<Arc<Worker>, RunError> {
        let spec = &agent.spec;
        let worker = Worker {
            name: name.clone(),
            incarnation: entropy::incarnation(),
            goal,
            capabilities: spec.capabilities.iter().cloned().collect::<BTreeSet<_>>(),
            max_parallel: spec.max_parallel.unwrap_or(1),
            timeout: spec.timeout.map(|timeout| timeout.get()),
            instructions: agent.instructions.clone(),
            cache: Arc::clone(self.cache),
            llm: Arc::clone(self.llm),
            code: self.code.cloned(),
            ledger: Arc::clone(self.ledger),
            scribe: Arc::clone(self.scribe),
            clock: Arc::clone(self.clock),
            settings: Arc::clone(self.settings),
            workspaces: Arc::clone(self.workspaces),
            doing: Mutex::default(),
            remembered: Mutex::default(),
            places: Places::default(),
            passing: Passing::default(),
            load: Load::default(),
            notices: Notices::listen(Arc::clone(self.cache)).await?,
            replaced: CancellationToken::new(),
        };
        let registration = Registration {
            name: name.clone(),
            incarnation: worker.incarnation.clone(),
            host: host(),
            pid: std::process::id(),
            goal: worker.goal.clone(),
            role: spec.role.clone(),
            capabilities: worker.capabilities.clone(),
            max_parallel: worker.max_parallel,
            ttl: self.settings.agent_ttl,
            interruption_limit: self.settings.interruption_limit,
            generation,
        };
        let refused = |source| RunError::Agent { agent: name.clone(), source };
        match self.cache.register(&registration).await {
            Ok(_) => {}
            Err(CacheError::AgentNameTaken { last_beat_at, silent_from, .. }) => {
                let other = self.cache.agent(name).await?.map(|agent| agent.registration);
                let (host, pid) = other.map(|other| (other.host, other.pid)).unwrap_or_default();
                return Err(RunError::NameTaken {
                    agent: name.clone(),
                    host,
                    pid,
                    last_beat_at,
                    silent_from,
                });
            }
            Err(error) => return Err(refused(error)),
        }
        worker.recall().await.map_err(refused)?;
        info!(target: "orchestrator", "Started agent {name}");
        let event =
            |kind| EventDraft::new(kind).agent(name).data(serde_json::json!({ "generation": generation }));
        let mut entries = vec![event(EventKind::AGENT_STARTED)];
        if self.code.is_none() {
            // Code is asked first whether it is.
            entries.push(event(EventKind::AGENT_READY));
        }
        let append = Append { stream: events_stream(), entries, request: entropy::request_id() };
        self.cache.append(&append).await?;
        Ok(Arc::new(worker))
    }
}

/// The goal that an agent works for by what is declared; `None` when it takes tasks of any.
pub(crate) fn goal_of(agent: &ProjectAgent, goals: &[crate::load::ProjectGoal]) -> Option<GoalId> {
    match (&agent.spec.goal, goals) {
        (Some(goal), _) => Some(goal.value.clone()),
        (None, [only]) => Some(only.id.clone()),
        (None, _) => None,
    }
}

/// Refuses an agent that takes tasks of any goal while the cache holds work that is not declared any more:
/// nobody could say where to do it.
pub(crate) async fn check_undeclared(
    cache: &dyn Cache,
    workspaces: &HashMap<GoalId, PathBuf>,
) -> Result<(), RunError> {
    let stored = cache.goals().await?;
    let undeclared = stored
        .into_iter()
        .filter(|goal| goal.counts.unfinished() > 0 && !workspaces.contains_key(goal.root()));
    let goals: Vec<GoalId> = undeclared.map(|goal| goal.id).collect();
    if goals.is_empty() { Ok(()) } else { Err(RunError::Undeclared { goals }) }
}

/// Ends the registrations of agents whose process is known to be gone, and frees what they held.
///
/// With `all`, for a cache that is this process's alone, that is every agent in it. Else it is those that
/// ran on this machine and have ended; what ran elsewhere loses its lease when that runs out.
pub(crate) async fn bury_the_dead(
    cache: &dyn Cache,
    all: bool,
    interruption_limit: u32,
) -> Result<(), CacheError> {
    for agent in cache.agents().await? {
        if agent.liveness == Liveness::Dead {
            continue;
        }
        let registration = agent.registration;
        let process = entropy::process_of(&registration.incarnation);
        // With the store to themselves the dead are all who are not known to live: programs in other languages
        // do not say which process they are, and are waited for until their time is up.
        let ended = process::has_ended(process) || (all && !process.is_empty() && !process::lives(process));
        if !ended {
            continue;
        }
        let departure = Departure {
            reason: format!(
                "its process {} on {} is gone without a word",
                registration.pid, registration.host
            ),
            name: registration.name,
            incarnation: registration.incarnation,
            how: Leave::Dead { interruption_limit },
            exit: ExitStatus::Error { code: None },
        };
        let freed = cache.deregister(&departure).await?;
        if !freed.is_empty() {
            let tasks: Vec<&str> = freed.iter().map(TaskId::as_str).collect();
            warn!(target: "orchestrator", "Agent {} died; freed {}", departure.name, tasks.join(", "));
        }
    }
    Ok(())
}

/// Runs an agent. When it crashes, what it held is freed at once, and the log says so.
pub(crate) async fn watch_over(worker: Arc<Worker>, stop: Stop) {
    let Err(crash) = tokio::spawn(Arc::clone(&worker).run(stop)).await else { return };
    error!(target: "orchestrator", "Agent {} crashed: {crash}", worker.name);
    let departure = Departure {
        name: worker.name.clone(),
        incarnation: worker.incarnation.clone(),
        how: Leave::Dead { interruption_limit: worker.settings.interruption_limit },
        reason: format!("it crashed: {crash}"),
        exit: ExitStatus::Error { code: None },
    };
    dismiss(&worker, &departure).await;
}

/// Takes an agent that has ended from the registry.
pub(crate) async fn dismiss(worker: &Worker, departure: &Departure) {
    if let Err(error) = worker.cache.deregister(departure).await {
        warn!(target: "orchestrator", "Agent {} could not be deregistered: {error}", worker.name);
    }
}
