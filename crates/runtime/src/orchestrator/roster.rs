//! Agents start in the order in which they wait for each other, and end without leaving a lease.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use downbeat_core::cache::{Departure, Leave, Liveness, Phase, Registration};
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::ids::{AgentName, GoalId};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Orchestrator, RunError};
use crate::agent::Worker;
use crate::entropy;
use crate::load::ProjectAgent;
use crate::stop::Stop;

/// An agent that was started.
pub(super) struct Started {
    worker: Arc<Worker>,
    task: JoinHandle<()>,
}

impl Orchestrator {
    pub(super) fn check_agents(&self) -> Result<(), RunError> {
        let declared = self.project.agents.len();
        if declared > self.settings.max_agents {
            return Err(RunError::TooManyAgents { declared, limit: self.settings.max_agents });
        }
        start_order(&self.project.agents).map(|_| ())
    }

    /// Ends the registrations of agents whose process is known to be gone, and frees what they held.
    ///
    /// Only an exclusive cache proves that; elsewhere a silent agent's lease runs out.
    pub(super) async fn bury_the_dead(&self) -> Result<(), RunError> {
        if !self.settings.exclusive {
            return Ok(());
        }
        for agent in self.cache.agents().await? {
            if agent.liveness == Liveness::Dead {
                continue;
            }
            let registration = agent.registration;
            let departure = Departure {
                reason: format!(
                    "its process {} on {} is gone without a word",
                    registration.pid, registration.host
                ),
                name: registration.name,
                incarnation: registration.incarnation,
                how: Leave::Dead { interruption_limit: self.settings.interruption_limit },
            };
            let freed = self.cache.deregister(&departure).await?;
            if !freed.is_empty() {
                let tasks: Vec<&str> = freed.iter().map(downbeat_core::ids::TaskId::as_str).collect();
                warn!(target: "orchestrator", "Agent {} died in an earlier run; freed {}", departure.name,
                    tasks.join(", "));
            }
        }
        Ok(())
    }

    /// Starts every declared agent, those that others wait for first.
    pub(super) async fn start_agents(&self, stop: &Stop) -> Result<Vec<Started>, RunError> {
        let mut started = Vec::new();
        for agent in start_order(&self.project.agents)? {
            match self.start_agent(agent, stop).await {
                Ok(one) => started.push(one),
                Err(error) => {
                    stop.now();
                    self.end_agents(started, stop).await;
                    return Err(error);
                }
            }
        }
        Ok(started)
    }

    async fn start_agent(&self, agent: &ProjectAgent, stop: &Stop) -> Result<Started, RunError> {
        let spec = &agent.spec;
        let name = &spec.name.value;
        let worker = Worker {
            name: name.clone(),
            incarnation: entropy::incarnation(),
            goal: self.goal_of(agent),
            capabilities: spec.capabilities.iter().cloned().collect::<BTreeSet<_>>(),
            max_parallel: spec.max_parallel.unwrap_or(1),
            instructions: agent.instructions.clone(),
            cache: Arc::clone(&self.cache),
            llm: Arc::clone(self.models.of(name)),
            ledger: Arc::clone(&self.ledger),
            scribe: Arc::clone(&self.models.scribe),
            clock: Arc::clone(&self.clock),
            settings: Arc::clone(&self.settings),
            workspaces: Arc::clone(&self.workspaces),
            doing: Mutex::new((Phase::Created, None)),
            lines: Mutex::default(),
            replaced: CancellationToken::new(),
        };
        let host = nix::unistd::gethostname().map(|host| host.to_string_lossy().into_owned());
        let registration = Registration {
            name: name.clone(),
            incarnation: worker.incarnation.clone(),
            host: host.unwrap_or_default(),
            pid: std::process::id(),
            goal: worker.goal.clone(),
            role: spec.role.clone(),
            capabilities: worker.capabilities.clone(),
            max_parallel: worker.max_parallel,
            ttl: self.settings.agent_ttl,
            interruption_limit: self.settings.interruption_limit,
        };
        let refused = |source| RunError::Agent { agent: name.clone(), source };
        self.cache.register(&registration).await.map_err(refused)?;
        worker.recall().await.map_err(refused)?;
        info!(target: "orchestrator", "Started agent {name}");
        let worker = Arc::new(worker);
        let task = tokio::spawn(watch_over(Arc::clone(&worker), stop.clone()));
        self.tell(EventDraft::new(EventKind::AGENT_STARTED).agent(name)).await?;
        Ok(Started { worker, task })
    }

    /// The goal that an agent works for; `None` when it takes tasks of any.
    fn goal_of(&self, agent: &ProjectAgent) -> Option<GoalId> {
        match (&agent.spec.goal, self.project.goals.as_slice()) {
            (Some(goal), _) => Some(goal.value.clone()),
            (None, [only]) => Some(only.id.clone()),
            (None, _) => None,
        }
    }

    /// Refuses to start agents that take tasks of any goal while the cache holds work that is not
    /// declared any more: nobody could say where to do it.
    pub(super) async fn check_undeclared(&self) -> Result<(), RunError> {
        if self.project.agents.iter().all(|agent| self.goal_of(agent).is_some()) {
            return Ok(());
        }
        let stored = self.cache.goals().await?;
        let undeclared = stored
            .into_iter()
            .filter(|goal| goal.counts.unfinished() > 0 && !self.workspaces.contains_key(&goal.id));
        let goals: Vec<GoalId> = undeclared.map(|goal| goal.id).collect();
        if goals.is_empty() { Ok(()) } else { Err(RunError::Undeclared { goals }) }
    }

    /// Waits for every agent to end, then takes it from the registry.
    pub(super) async fn end_agents(&self, agents: Vec<Started>, stop: &Stop) {
        for Started { worker, task } in agents {
            if let Err(error) = task.await {
                warn!(target: "orchestrator", "Agent {}: {error}", worker.name);
            }
            let reason = if stop.is_now() { "the run was stopped" } else { "the run ended" }.to_owned();
            let departure = Departure {
                name: worker.name.clone(),
                incarnation: worker.incarnation.clone(),
                how: Leave::Stopped,
                reason,
            };
            if let Err(error) = self.cache.deregister(&departure).await {
                warn!(target: "orchestrator", "Agent {} could not be deregistered: {error}", worker.name);
            }
        }
        if let Err(error) = self.all_terminated().await {
            warn!(target: "orchestrator", "{error}");
        }
    }
}

/// Runs an agent. When it crashes, what it held is freed at once, and the log says so.
async fn watch_over(worker: Arc<Worker>, stop: Stop) {
    let Err(crash) = tokio::spawn(Arc::clone(&worker).run(stop)).await else { return };
    error!(target: "orchestrator", "Agent {} crashed: {crash}", worker.name);
    let departure = Departure {
        name: worker.name.clone(),
        incarnation: worker.incarnation.clone(),
        how: Leave::Dead { interruption_limit: worker.settings.interruption_limit },
        reason: format!("it crashed: {crash}"),
    };
    if let Err(error) = worker.cache.deregister(&departure).await {
        warn!(target: "orchestrator", "Agent {} could not be deregistered: {error}", worker.name);
    }
}

/// Those that others wait for first; else in the order of the file.
fn start_order(agents: &[ProjectAgent]) -> Result<Vec<&ProjectAgent>, RunError> {
    let mut open: HashMap<&AgentName, HashSet<&AgentName>> = agents
        .iter()
        .map(|agent| {
            let waits_for = agent.spec.depends_on.iter().map(|name| &name.value).collect();
            (&agent.spec.name.value, waits_for)
        })
        .collect();
    let mut waiting: VecDeque<&ProjectAgent> = agents.iter().collect();
    let mut order = Vec::new();
    let mut passed_over = 0;
    while let Some(agent) = waiting.pop_front() {
        let name = &agent.spec.name.value;
        if open.get(name).is_some_and(|names| !names.is_empty()) {
            waiting.push_back(agent);
            passed_over += 1;
            if passed_over > waiting.len() {
                return Err(RunError::AgentCycle { path: cycle(&open, name) });
            }
            continue;
        }
        passed_over = 0;
        for names in open.values_mut() {
            names.remove(name);
        }
        order.push(agent);
    }
    Ok(order)
}

/// Follows what is waited for until a name comes back.
fn cycle(open: &HashMap<&AgentName, HashSet<&AgentName>>, from: &AgentName) -> Vec<AgentName> {
    let mut path: Vec<AgentName> = vec![from.clone()];
    loop {
        let last = path.last().cloned();
        let next = last.and_then(|last| open.get(&last).and_then(|names| names.iter().min().copied()));
        let Some(next) = next else { return path };
        let seen = path.iter().position(|name| name == next);
        path.push(next.clone());
        if let Some(seen) = seen {
            return path.split_off(seen);
        }
    }
}
