//! Agents start in the order in which they wait for each other, and end without leaving a lease.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use downbeat_core::ids::AgentName;
use tracing::warn;

use super::{Orchestrator, RunError};
use crate::live::{Crew, Member};
use crate::load::ProjectAgent;
use crate::recruit;
use crate::stop::Stop;
use crate::supervise::{Hire, InProcess, SpawnError, Spawner};

impl Orchestrator {
    pub(super) fn check_agents(&self) -> Result<(), RunError> {
        let project = self.project();
        let declared = project.agents.len();
        if !self.only_leads && declared > self.settings.max_agents {
            return Err(RunError::TooManyAgents { declared, limit: self.settings.max_agents });
        }
        start_order(&project.agents).map(|_| ())
    }

    /// Starts every declared agent, those that others wait for first.
    pub(super) async fn start_agents(&self, stop: &Stop) -> Result<Crew, RunError> {
        let spawner = self.spawner(stop);
        let mut started = Crew::default();
        let project = self.project();
        for agent in start_order(&project.agents)? {
            let name = agent.spec.name.value.clone();
            let hire = Hire {
                name: name.clone(),
                agent: Arc::new(agent.clone()),
                goal: recruit::goal_of(agent, &project.goals),
                generation: 1,
            };
            match spawner.spawn(&hire).await {
                Ok(life) => started.members.push(Member { hire, life }),
                Err(error) => {
                    stop.now();
                    self.end_agents(started, stop).await;
                    return Err(match error {
                        SpawnError::Refused(error) => *error,
                        SpawnError::Failed { reason } => RunError::Spawn { agent: name, reason },
                    });
                }
            }
        }
        Ok(started)
    }

    /// Who brings the agents to life.
    pub(crate) fn spawner(&self, stop: &Stop) -> Arc<dyn Spawner> {
        Arc::new(InProcess {
            cache: Arc::clone(&self.cache),
            models: self.models.clone(),
            ledger: Arc::clone(&self.ledger),
            clock: Arc::clone(&self.clock),
            settings: Arc::clone(&self.settings),
            workspaces: Arc::clone(&self.workspaces),
            stop: stop.clone(),
        })
    }

    pub(super) async fn check_undeclared(&self) -> Result<(), RunError> {
        let project = self.project();
        let goals = &project.goals;
        if project.agents.iter().all(|agent| recruit::goal_of(agent, goals).is_some()) {
            return Ok(());
        }
        recruit::check_undeclared(self.cache.as_ref(), &self.workspaces).await
    }

    /// Waits for every agent to end, then takes it from the registry.
    pub(super) async fn end_agents(&self, mut agents: Crew, stop: &Stop) {
        if agents.is_empty() {
            return;
        }
        // Those that leave anyway end as the others do, and none of them comes back.
        agents.settle_all().await;
        for Member { hire, mut life } in agents.members {
            let name = hire.name;
            if stop.is_now() {
                life.stop();
            } else {
                life.drain();
            }
            life.ended().await;
            let reason = if stop.is_now() { "the run was stopped" } else { "the run ended" };
            recruit::dismiss_left(self.cache.as_ref(), &name, reason).await;
        }
        if let Err(error) = self.all_terminated().await {
            warn!(target: "orchestrator", "{error}");
        }
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
