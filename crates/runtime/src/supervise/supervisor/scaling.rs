//! The number of copies of each agent: looked at when something became ready or was taken.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::{Agent, CacheError, Liveness, ReadyQuery};
use downbeat_core::ids::{AgentName, Capability, GoalId};
use tokio::time::Instant;
use tracing::{info, warn};

use super::super::fleet::{Fleet, Input, Standing};
use super::super::stage::Stage;
use super::Actor;
use crate::load::ProjectAgent;
use crate::recruit;
use crate::spawn::scale::{Bounds, Demand, Pool, Replica, State, Step, decide};

/// Between two looks: what became ready together is looked at together, and the idle had time to take it.
const BETWEEN: Duration = Duration::from_millis(50);

/// The most ready tasks that are looked at.
const MOST: usize = 1_000;

/// When the number of copies is looked at next.
#[derive(Debug, Default)]
pub(super) struct Scaling {
    due: Option<Instant>,
}

impl Scaling {
    /// Something happened that the number of copies may depend on.
    pub(super) fn wake(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + BETWEEN);
    }

    /// Waits until a look is due; for ever when none is.
    pub(super) fn is_due(&self) -> impl Future<Output = ()> + use<> {
        let due = self.due;
        async move {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        }
    }
}

/// Whether there may be several copies of an agent, or none.
pub(super) fn is_scaled(agent: &ProjectAgent) -> bool {
    let (min, max) = agent.spec.bounds();
    min < max
}

/// Copies beyond the least number are started when they are needed.
pub(super) fn on_call(fleet: &mut Fleet, agents: &[Arc<ProjectAgent>]) {
    for name in copies_on_call(agents) {
        fleet.on_call(&name);
    }
}

/// The copies beyond the least number.
pub(super) fn copies_on_call(agents: &[Arc<ProjectAgent>]) -> Vec<AgentName> {
    let scaled = agents.iter().filter(|agent| is_scaled(agent));
    scaled
        .flat_map(|agent| {
            let least = usize::try_from(agent.spec.bounds().0).unwrap_or(usize::MAX);
            agent.spec.copies().into_iter().skip(least)
        })
        .collect()
}

impl Actor {
    /// Starts copies that ready tasks need, and lets those go that nothing needs.
    pub(super) async fn scale(&mut self) {
        self.scaling.due = None;
        if !self.agents.values().any(|agent| is_scaled(agent)) {
            return;
        }
        let (demands, known) = match self.look_at_demand().await {
            Ok(seen) => seen,
            Err(error) => {
                warn!(target: "orchestrator", "What is ready cannot be looked at: {error}");
                return;
            }
        };
        let pools = self.pools(&known);
        for step in decide(self.began.elapsed(), &demands, &pools, self.bounds(&known)) {
            match step {
                Step::Start(name) => {
                    info!(target: "orchestrator", "Agent {name} is needed: {}", in_words(&demands));
                    self.take(Input::Work(name)).await;
                }
                Step::Drain(name) => {
                    info!(target: "orchestrator", "Agent {name} has nothing to do and is not needed");
                    self.take(Input::Rest(name)).await;
                }
            }
        }
    }

    /// The ready tasks that scaled agents could take, by what they need; and all agents.
    async fn look_at_demand(&self) -> Result<(Vec<Demand>, HashMap<AgentName, Agent>), CacheError> {
        let scaled = self.charge.agents.iter().filter(|agent| is_scaled(agent));
        let capabilities = scaled.flat_map(|agent| agent.spec.capabilities.iter().cloned()).collect();
        let query = ReadyQuery { goal: None, capabilities, limit: MOST };
        let mut demands: BTreeMap<(GoalId, BTreeSet<Capability>), usize> = BTreeMap::new();
        for task in self.charge.cache.ready(&query).await? {
            let needed = task.node.capabilities.iter().cloned().collect();
            *demands.entry((task.goal.clone(), needed)).or_default() += 1;
        }
        let demands =
            demands.into_iter().map(|((goal, capabilities), ready)| Demand { goal, capabilities, ready });
        let known = self.charge.cache.agents().await?;
        let known = known.into_iter().map(|agent| (agent.registration.name.clone(), agent));
        Ok((demands.collect(), known.collect()))
    }

    fn pools(&self, known: &HashMap<AgentName, Agent>) -> Vec<Pool> {
        let pools = self.charge.agents.iter().map(|agent| {
            let scaled = is_scaled(agent);
            let replicas = agent.spec.copies().into_iter().filter_map(|name| {
                let paused = known.get(&name).is_some_and(|agent| agent.paused);
                let state = state_of(self.fleet.get(&name)?, scaled, paused);
                Some(Replica { name, state })
            });
            let (min, max) = agent.spec.bounds();
            let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
            Pool {
                goal: recruit::goal_of(agent, &self.charge.goals),
                capabilities: agent.spec.capabilities.iter().cloned().collect(),
                parallel: agent.spec.max_parallel.unwrap_or(1),
                min: number(min),
                max: number(max),
                copies: replicas.collect(),
            }
        });
        pools.collect()
    }

    /// The limit is one of all agents that live, also of those that others started.
    fn bounds(&self, known: &HashMap<AgentName, Agent>) -> Bounds {
        let is_other = |agent: &&Agent| {
            agent.liveness == Liveness::Alive && !self.agents.contains_key(&agent.registration.name)
        };
        let others = known.values().filter(is_other).count();
        let settings = &self.charge.settings;
        let own = settings.max_workers.unwrap_or(usize::MAX);
        Bounds { living: settings.max_agents.saturating_sub(others).min(own), idle_for: settings.idle_for }
    }
}

fn state_of(agent: &Standing, scaled: bool, paused: bool) -> State {
    match agent.stage {
        Stage::Resting { .. } if scaled && !paused => State::Off,
        // It waits for the same as the others of its kind would.
        Stage::Waiting | Stage::Queued | Stage::Starting | Stage::Running { ready: false } if !paused => {
            State::Coming
        }
        Stage::Running { ready: true } if !paused => {
            agent.idle_since().map_or(State::Working, |since| State::Idle { since })
        }
        // A paused one takes nothing, and is a person's affair.
        Stage::Waiting | Stage::Queued | Stage::Starting | Stage::Running { .. } => State::Working,
        Stage::Stopping { .. } => State::Leaving,
        Stage::Resting { .. }
        | Stage::BackingOff { .. }
        | Stage::Quarantined { .. }
        | Stage::Ended { .. } => State::Barred,
    }
}

fn in_words(demands: &[Demand]) -> String {
    let ready: usize = demands.iter().map(|demand| demand.ready).sum();
    match ready {
        0 => "fewer live than should".to_owned(),
        1 => "1 task is ready".to_owned(),
        ready => format!("{ready} tasks are ready"),
    }
}
