//! Agents that come, go and change with what is declared.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use downbeat_core::ids::AgentName;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::super::fleet::Input;
use super::super::stage::Stage;
use super::changes::differences;
use super::{Actor, member, scaling};
use crate::load::{ProjectAgent, ProjectGoal};
use crate::recruit;

/// Why the life of an agent ends that nobody declares any more.
const GONE: &str = "it is not declared any more";

/// What is declared now.
#[derive(Debug)]
pub(super) struct Declared {
    /// Those that others depend on first.
    agents: Vec<Arc<ProjectAgent>>,
    goals: Vec<ProjectGoal>,
    /// Where.
    by: String,
}

/// What a supervisor is told by those that run beside it.
#[derive(Debug)]
pub(super) enum Word {
    /// What is declared now.
    Declared(Declared),
    /// That somebody waits until it knows all that was declared and ordered before.
    CatchUp(oneshot::Sender<()>),
}

/// Tells a supervisor what is declared now.
#[derive(Debug, Clone)]
pub(crate) struct Declarer(pub(super) mpsc::UnboundedSender<Word>);

impl Declarer {
    /// From now on these are the agents, those first that others depend on. Who is new is started, who is not
    /// among them any more finishes its work and ends, who changed finishes its work and begins anew.
    /// `by` is where that is declared, for a person.
    pub(crate) fn declare(&self, agents: Vec<Arc<ProjectAgent>>, goals: Vec<ProjectGoal>, by: &str) {
        // A supervisor that has ended needs to know nothing.
        let _ = self.0.send(Word::Declared(Declared { agents, goals, by: by.to_owned() }));
    }

    /// Waits until the supervisor has taken in all that was declared and ordered before, so that who may come is
    /// known; not for one that has ended.
    pub(crate) async fn caught_up(&self) {
        let (tell, told) = oneshot::channel();
        if self.0.send(Word::CatchUp(tell)).is_ok() {
            let _ = told.await;
        }
    }
}

impl Actor {
    pub(super) async fn take_in(&mut self, word: Word) {
        match word {
            Word::Declared(declared) => self.declare(declared).await,
            Word::CatchUp(tell) => {
                if let Err(error) = self.obey_all(false).await {
                    warn!(target: "orchestrator", "The orders that stand cannot be read: {error}");
                }
                // It may have given up.
                let _ = tell.send(());
            }
        }
    }

    /// Brings the lives in line with what is declared.
    async fn declare(&mut self, declared: Declared) {
        let Declared { agents, goals, by } = declared;
        let before = std::mem::replace(&mut self.charge.goals, goals);
        let named: Vec<(AgentName, Arc<ProjectAgent>)> = agents
            .iter()
            .flat_map(|agent| agent.spec.copies().into_iter().map(move |name| (name, Arc::clone(agent))))
            .collect();
        let names: HashSet<AgentName> = named.iter().map(|(name, _)| name.clone()).collect();
        let mut changed = Vec::new();
        let mut fresh = HashSet::new();
        for (name, agent) in &named {
            match self.agents.get(name) {
                None => {
                    fresh.insert(name.clone());
                }
                Some(known) => {
                    let goal =
                        (recruit::goal_of(known, &before), recruit::goal_of(agent, &self.charge.goals));
                    let what = differences(known, agent, goal.0 != goal.1);
                    if !what.is_empty() {
                        changed.push((name.clone(), what));
                    }
                }
            }
        }
        let gone: Vec<AgentName> = self
            .agents
            .keys()
            .filter(|name| !names.contains(*name) && !self.gone.contains(*name))
            .cloned()
            .collect();
        let back: Vec<AgentName> = self.gone.iter().filter(|name| names.contains(*name)).cloned().collect();
        let mut generations = HashMap::new();
        for name in &fresh {
            if let Ok(Some(agent)) = self.charge.cache.agent(name).await {
                generations.insert(name.clone(), agent.registration.generation);
            }
        }
        let members = named.iter().map(|(name, agent)| (name.clone(), member(agent, &self.charge.settings)));
        self.fleet.declare(members.collect(), &generations);
        self.agents.extend(named);
        self.charge.agents.clone_from(&agents);
        for name in scaling::copies_on_call(&agents).into_iter().filter(|name| fresh.contains(name)) {
            self.fleet.on_call(&name);
        }
        self.hold_to_orders(&fresh).await;
        // What follows is taken in: until here nobody was set going by what is half declared.
        self.limit_groups().await;
        for name in gone {
            info!(target: "orchestrator", "Agent {name} is not declared any more: it ends when its work is done");
            self.gone.insert(name.clone());
            self.take(Input::Stop(name, GONE.to_owned())).await;
        }
        for name in back {
            self.gone.remove(&name);
            match self.ordered(&name) {
                Some((false, by)) => self.take(Input::Stop(name, by)).await,
                _ => self.take(Input::Want(name)).await,
            }
        }
        for (name, what) in changed {
            // One that rests, waits or was stopped by a person begins as it is declared whenever it begins.
            let stage = self.fleet.get(&name).map(|agent| &agent.stage);
            if stage.is_some_and(|stage| stage.is_alive() || matches!(stage, Stage::Quarantined { .. })) {
                let what = what.join(", ");
                info!(target: "orchestrator", "Agent {name} is declared otherwise ({what}): from its next task on");
                self.take(Input::Restart(name, format!("{by} declares it otherwise: {what}"))).await;
            }
        }
        self.take(Input::Tick).await;
        self.scaling.wake();
    }
}

/// Whether two declarations of an agent say the same, wherever they stand in their file.
pub(crate) fn is_same(
    one: &ProjectAgent,
    other: &ProjectAgent,
    before: &[ProjectGoal],
    now: &[ProjectGoal],
) -> bool {
    let other_goal = recruit::goal_of(one, before) != recruit::goal_of(other, now);
    differences(one, other, other_goal).is_empty()
}
