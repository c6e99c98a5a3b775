//! Agents start in the order in which they wait for each other, and end without leaving a lease.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use downbeat_core::cache::{Departure, Leave};
use downbeat_core::ids::AgentName;
use tokio::task::JoinHandle;
use tracing::warn;

use super::{Orchestrator, RunError};
use crate::agent::Worker;
use crate::load::ProjectAgent;
use crate::recruit::{self, Recruit};
use crate::stop::Stop;

/// An agent that was started.
pub(super) struct Started {
    worker: Arc<Worker>,
    task: JoinHandle<()>,
}

impl Orchestrator {
    pub(super) fn check_agents(&self) -> Result<(), RunError> {
        let declared = self.project.agents.len();
        if !self.only_leads && declared > self.settings.max_agents {
            return Err(RunError::TooManyAgents { declared, limit: self.settings.max_agents });
        }
        start_order(&self.project.agents).map(|_| ())
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
        let name = &agent.spec.name.value;
        let recruit = Recruit {
            cache: &self.cache,
            llm: self.models.of(name),
            scribe: &self.models.scribe,
            clock: &self.clock,
            settings: &self.settings,
            workspaces: &self.workspaces,
        };
        let worker = recruit.enlist(name, agent, recruit::goal_of(agent, &self.project.goals)).await?;
        let task = tokio::spawn(recruit::watch_over(Arc::clone(&worker), stop.clone()));
        Ok(Started { worker, task })
    }

    pub(super) async fn check_undeclared(&self) -> Result<(), RunError> {
        let goals = &self.project.goals;
        if self.project.agents.iter().all(|agent| recruit::goal_of(agent, goals).is_some()) {
            return Ok(());
        }
        recruit::check_undeclared(self.cache.as_ref(), &self.workspaces).await
    }

    /// Waits for every agent to end, then takes it from the registry.
    pub(super) async fn end_agents(&self, agents: Vec<Started>, stop: &Stop) {
        if agents.is_empty() {
            return;
        }
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
            recruit::dismiss(&worker, &departure).await;
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
