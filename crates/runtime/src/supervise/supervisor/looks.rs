//! Looks at what is, for news that got lost: who is there, what may be taken, what is over.

use std::collections::{BTreeSet, HashMap, HashSet};

use downbeat_core::cache::{CacheError, Phase, ReadyQuery, Task, TaskQuery};
use downbeat_core::ids::{AgentName, Capability, GoalId};
use downbeat_core::instructions::Milestone;
use downbeat_core::state::TaskStatus;
use tracing::warn;

use super::super::fleet::Input;
use super::super::stage::Stage;
use super::{Actor, scaling};
use crate::load::ProjectAgent;
use crate::nested::name;
use crate::recruit;

/// The tasks that an agent may take are those of this goal, or of any, that need no more than this.
type Kind = (Option<GoalId>, BTreeSet<Capability>);

/// How many unfinished tasks are looked at in a step.
const PAGE: usize = 500;

impl Actor {
    /// Looks at everything that news might have told of.
    pub(super) async fn look(&mut self) {
        if let Err(error) = self.obey_all(false).await {
            warn!(target: "orchestrator", "The orders that stand cannot be read: {error}");
        }
        match self.charge.cache.agents().await {
            Ok(agents) => {
                self.look_for_the_silent(&agents);
                for agent in agents {
                    let name = agent.registration.name;
                    let life = self.lives.get_mut(&name);
                    let Some(life) = life.filter(|it| it.generation == agent.registration.generation) else {
                        continue;
                    };
                    life.entered = true;
                    match agent.phase {
                        Phase::Created | Phase::Stopped | Phase::Quarantined => {}
                        Phase::Idle => self.take(Input::Idle(name)).await,
                        _ => self.take(Input::Busy(name)).await,
                    }
                }
            }
            Err(error) => {
                // They cannot be heard either, and need a moment when the store is back.
                self.forget_silences();
                warn!(target: "orchestrator", "The agents cannot be read: {error}");
            }
        }
        self.look_for_all_work().await;
        self.look_for_all_ends().await;
        self.take(Input::Tick).await;
    }

    /// Whether there is something that resting agents may take. Those that can do the same get one look.
    pub(super) async fn look_for_all_work(&mut self) {
        self.scaling.wake();
        let resting: Vec<AgentName> = self.fleet.resting().iter().cloned().collect();
        if resting.is_empty() || !self.is_anything_ready(&resting).await {
            return;
        }
        let mut none_for = HashSet::new();
        for name in resting {
            let Some(kind) = self.kind_of(&name) else { continue };
            if !none_for.contains(&kind) && self.look_for_work(&name).await == Some(false) {
                none_for.insert(kind);
            }
        }
    }

    /// Whether anything is ready that one of these agents could take, if each could take what all can.
    async fn is_anything_ready(&self, names: &[AgentName]) -> bool {
        let agents = names.iter().filter_map(|name| self.agents.get(name));
        let capabilities = agents.flat_map(|agent| agent.spec.capabilities.iter().cloned()).collect();
        let query = ReadyQuery { goal: None, capabilities, limit: 1 };
        // When nobody knows each is looked at, and says so.
        !self.charge.cache.ready(&query).await.is_ok_and(|ready| ready.is_empty())
    }

    /// What decides which tasks an agent may take: its goal and what it can do.
    fn kind_of(&self, name: &AgentName) -> Option<Kind> {
        let agent = self.agents.get(name)?;
        let goal = recruit::goal_of(agent, &self.charge.goals);
        Some((goal, agent.spec.capabilities.iter().cloned().collect()))
    }

    /// Whether all is done that agents could ever take, unless nothing happened since it was looked at: of a
    /// fleet that idles the cache is asked nothing.
    pub(super) async fn look_for_all_ends(&mut self) {
        if self.looked_at == Some(self.happened) {
            return;
        }
        let happened = self.happened;
        let mut known = HashMap::new();
        for name in self.fleet.agents().map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.look_for_its_end(&name, &mut known).await;
        }
        self.looked_at = Some(happened);
    }

    /// Whether there is something that a resting agent may take.
    /// Nothing when that is not known, or a matter of how many copies there are.
    pub(super) async fn look_for_work(&mut self, name: &AgentName) -> Option<bool> {
        if self.closed.is_some() {
            return None;
        }
        let agent = self.agents.get(name)?;
        if scaling::is_scaled(agent) {
            self.scaling.wake();
            return None;
        }
        let query = ReadyQuery {
            goal: recruit::goal_of(agent, &self.charge.goals),
            capabilities: agent.spec.capabilities.iter().cloned().collect(),
            limit: 1,
        };
        let found = async {
            if self.charge.cache.ready(&query).await?.is_empty() {
                return Ok((false, false));
            }
            let known = self.charge.cache.agent(name).await?;
            Ok::<_, CacheError>((true, known.is_none_or(|agent| !agent.paused)))
        };
        match found.await {
            Ok((there_is, takes_it)) => {
                if takes_it {
                    self.take(Input::Work(name.clone())).await;
                }
                Some(there_is)
            }
            Err(error) => {
                warn!(target: "orchestrator", "Work for agent {name} cannot be looked for: {error}");
                None
            }
        }
    }

    /// Whether all is done that an agent could ever take, where somebody waits to know.
    pub(super) async fn look_for_the_end(&mut self, name: &AgentName) {
        self.look_for_its_end(name, &mut HashMap::new()).await;
    }

    /// The same, where others that can do the same may be `known`.
    async fn look_for_its_end(&mut self, name: &AgentName, known: &mut HashMap<Kind, bool>) {
        let Some(agent) = self.agents.get(name).cloned() else { return };
        let own = agent.spec.goal.as_ref().map(|goal| goal.value.clone());
        let awaited = self.fleet.agents().any(|(_, other)| {
            other.stage == Stage::Waiting && other.member.after.contains(&(name.clone(), Milestone::Finished))
        });
        // With one goal, the run ends with it.
        if !awaited && (own.is_none() || self.charge.goals.len() < 2) {
            return;
        }
        let over = match self.fleet.get(name).map(|agent| &agent.stage) {
            Some(
                Stage::Running { .. } | Stage::Waiting | Stage::Queued | Stage::Resting { finished: false },
            ) => {
                let goals = match &own {
                    Some(goal) => vec![goal.clone()],
                    None => self.charge.goals.iter().map(|goal| goal.id.clone()).collect(),
                };
                let kind = (own, agent.spec.capabilities.iter().cloned().collect());
                match known.get(&kind) {
                    Some(over) => Ok(*over),
                    None => {
                        let over = self.is_over(&agent, &goals).await;
                        known.extend(over.as_ref().ok().map(|over| (kind, *over)));
                        over
                    }
                }
            }
            _ => return,
        };
        match over {
            Ok(true) => self.take(Input::Finished(name.clone())).await,
            Ok(false) => self.take(Input::Unfinished(name.clone())).await,
            Err(error) => warn!(target: "orchestrator", "What is left for agent {name} is unknown: {error}"),
        }
    }

    async fn is_over(&self, agent: &ProjectAgent, goals: &[GoalId]) -> Result<bool, CacheError> {
        let all = self.charge.cache.goals().await?;
        if goals.iter().any(|id| all.iter().all(|goal| goal.id != *id)) {
            return Ok(false);
        }
        // With what is below their tasks.
        let open = all.iter().filter(|goal| goals.contains(goal.root()) && !goal.status.is_at_rest());
        for id in open.map(|goal| &goal.id) {
            for status in [TaskStatus::Running, TaskStatus::Ready, TaskStatus::Blocked] {
                let mut after = None;
                loop {
                    let query = TaskQuery { goal: id.clone(), status: Some(status), after, limit: PAGE };
                    let page = self.charge.cache.tasks(&query).await?;
                    let may_take = |needed: &Capability| agent.spec.capabilities.contains(needed);
                    // What is about to be planned may be anybody's.
                    let is_unplanned = |task: &Task| {
                        let below = name::below(id, &task.node.id);
                        !task.node.kind.is_task()
                            && status != TaskStatus::Blocked
                            && all.iter().all(|goal| goal.id != below)
                    };
                    let concerns =
                        |task: &Task| is_unplanned(task) || task.node.capabilities.iter().all(may_take);
                    if page.iter().any(concerns) {
                        return Ok(false);
                    }
                    after = page.last().map(|task| task.ordinal);
                    if page.len() < PAGE {
                        break;
                    }
                }
            }
        }
        Ok(true)
    }
}
