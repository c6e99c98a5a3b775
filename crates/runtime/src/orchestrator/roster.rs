//! The declared agents: whether they can be started, and who starts them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use downbeat_core::ids::AgentName;

use super::{Orchestrator, RunError};
use crate::feed::Feed;
use crate::load::{Project, ProjectAgent};
use crate::recruit;
use crate::spawn::Paced;
use crate::stop::Stop;
use crate::supervise::{Charge, InProcess, Spawner, Supervisor};

impl Orchestrator {
    pub(super) fn check_agents(&self) -> Result<(), RunError> {
        let project = self.project();
        self.check_number(&project)?;
        start_order(&project.agents).map(|_| ())
    }

    /// Whether so many agents may be declared.
    pub(crate) fn check_number(&self, project: &Project) -> Result<(), RunError> {
        let least = |agent: &ProjectAgent| usize::try_from(agent.spec.bounds().0).unwrap_or(usize::MAX);
        let declared = project.agents.iter().map(least).sum();
        if !self.only_leads && declared > self.settings.max_agents {
            return Err(RunError::TooManyAgents { declared, limit: self.settings.max_agents });
        }
        Ok(())
    }

    /// Has every declared agent started, those that others depend on first.
    pub(super) async fn supervise(&self, feed: &Feed, stop: &Stop) -> Result<Supervisor, RunError> {
        let project = self.project();
        let agents = start_order(&project.agents)?.into_iter().map(|agent| Arc::new(agent.clone()));
        let charge = Charge {
            cache: Arc::clone(&self.cache),
            settings: Arc::clone(&self.settings),
            agents: agents.collect(),
            goals: project.goals.clone(),
            spawner: Arc::new(Paced::new(self.spawner(stop), self.settings.spawn_limit)),
            news: feed.subscribe(),
            stop: stop.clone(),
            coming: self.coming.clone(),
            board: self.board.clone(),
        };
        Ok(Supervisor::start(charge).await?)
    }

    /// Who brings the agents to life.
    fn spawner(&self, stop: &Stop) -> Arc<dyn Spawner> {
        if let Some(spawner) = &self.spawner {
            return Arc::clone(spawner);
        }
        Arc::new(InProcess {
            cache: Arc::clone(&self.cache),
            models: self.models.clone(),
            code: self.code.clone(),
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
}

/// Those that others depend on first; else in the order of the file.
pub(crate) fn start_order(agents: &[ProjectAgent]) -> Result<Vec<&ProjectAgent>, RunError> {
    let mut open: HashMap<&AgentName, HashSet<&AgentName>> = agents
        .iter()
        .map(|agent| {
            let waits_for = agent.spec.depends_on.iter().map(|it| &it.agent.value).collect();
            (&agent.spec.name.value, waits_for)
        })
        .collect();
    let mut waiting: Vec<&ProjectAgent> = agents.iter().collect();
    let mut order = Vec::new();
    while let Some(first) = waiting.first() {
        let is_free = |agent: &&ProjectAgent| open.get(&agent.spec.name.value).is_none_or(HashSet::is_empty);
        let Some(next) = waiting.iter().position(is_free) else {
            return Err(RunError::AgentCycle { path: cycle(&open, &first.spec.name.value) });
        };
        let agent = waiting.remove(next);
        for names in open.values_mut() {
            names.remove(&agent.spec.name.value);
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
