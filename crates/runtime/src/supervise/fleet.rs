//! Who starts when: prerequisites, slots, groups and restarts of a whole fleet, as a pure function of what
//! happened.

mod happening;
mod member;
mod prerequisites;
mod slots;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use downbeat_core::ids::{AgentName, GroupName};
use downbeat_core::instructions::Milestone;

pub use happening::{Action, Input};
pub use member::{Member, Policy};
pub use standing::Standing;

use super::stage::{Change, End, Stage, Then, Verdict};

/// All agents of a supervisor.
#[derive(Debug, Clone)]
pub struct Fleet {
    agents: BTreeMap<AgentName, Standing>,
    /// Those that others depend on first; else as declared.
    order: Vec<AgentName>,
    queue: VecDeque<AgentName>,
    resting: BTreeSet<AgentName>,
    /// How many live at once.
    max_workers: Option<usize>,
    limits: HashMap<GroupName, usize>,
    /// For how long an agent may work while others wait for its slot.
    turn: Duration,
    begun: bool,
    /// Something changed since [`coming`](Self::coming) was asked for.
    moved: bool,
    closed: Option<String>,
    now: Duration,
}

impl Fleet {
    /// All agents wait: [`Input::Begin`] sets them going.
    ///
    /// `order` has every agent once, those that others depend on first; `generations` how many lives each had
    /// before.
    #[must_use]
    pub fn new(
        order: Vec<(AgentName, Member)>,
        generations: &HashMap<AgentName, u64>,
        max_workers: Option<usize>,
        turn: Duration,
    ) -> Self {
        let names = order.iter().map(|(name, _)| name.clone()).collect();
        let agents = order.into_iter().map(|(name, member)| {
            let standing =
                Standing::new(member, generations.get(&name).copied().unwrap_or(0), Duration::ZERO);
            (name, standing)
        });
        Self {
            agents: agents.collect(),
            order: names,
            queue: VecDeque::new(),
            resting: BTreeSet::new(),
            max_workers,
            limits: HashMap::new(),
            turn,
            begun: false,
            moved: true,
            closed: None,
            now: Duration::ZERO,
        }
    }

    /// From now on these are declared, those first that others depend on. New ones wait; the next input sets
    /// them going. Those that are not among them stay as they stand, behind the others.
    pub fn declare(&mut self, order: Vec<(AgentName, Member)>, generations: &HashMap<AgentName, u64>) {
        let mut names: Vec<AgentName> = order.iter().map(|(name, _)| name.clone()).collect();
        let others: Vec<AgentName> =
            self.order.iter().filter(|name| !names.contains(name)).cloned().collect();
        names.extend(others);
        self.order = names;
        for (name, member) in order {
            match self.agents.get_mut(&name) {
                Some(known) => known.member = member,
                None => {
                    let generation = generations.get(&name).copied().unwrap_or(0);
                    self.agents.insert(name, Standing::new(member, generation, self.now));
                }
            }
        }
    }

    /// Every agent as it stands, those that others depend on first.
    pub fn agents(&self) -> impl Iterator<Item = (&AgentName, &Standing)> {
        self.order.iter().filter_map(|name| Some((name, self.agents.get(name)?)))
    }

    /// One agent as it stands.
    #[must_use]
    pub fn get(&self, name: &AgentName) -> Option<&Standing> {
        self.agents.get(name)
    }

    /// Where an agent stands in the queue, from 1.
    #[must_use]
    pub fn place_of(&self, name: &AgentName) -> Option<usize> {
        self.queue.iter().position(|queued| queued == name).map(|place| place + 1)
    }

    /// How many live.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.agents.values().filter(|agent| agent.stage.is_alive()).count()
    }

    /// When something is due without anything happening before.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.agents
            .values()
            .filter_map(|agent| match agent.stage {
                Stage::BackingOff { until } => Some(until),
                _ => None,
            })
            .min()
    }

    /// The agents that rest.
    #[must_use]
    pub const fn resting(&self) -> &BTreeSet<AgentName> {
        &self.resting
    }

    /// A life that began before this fleet was made, and goes on.
    pub fn adopt(&mut self, name: &AgentName, generation: u64) {
        if let Some(agent) = self.agents.get_mut(name) {
            agent.stage = Stage::Running { ready: true };
            agent.generation = generation;
        }
    }

    /// An agent that is started when it is needed, and not before.
    pub fn on_call(&mut self, name: &AgentName) {
        if let Some(agent) = self.agents.get_mut(name) {
            agent.stage = Stage::Resting { finished: false };
            self.resting.insert(name.clone());
            self.moved = true;
        }
    }

    /// An agent that was stopped before anybody knew it, for this reason.
    pub fn stopped(&mut self, name: &AgentName, by: String) {
        if let Some(agent) = self.agents.get_mut(name) {
            agent.stage = Stage::Ended { end: End::Stopped(by) };
            self.resting.remove(name);
            self.moved = true;
        }
    }

    /// The agents that live, or may live again without a person's word; `None` when they are those that the
    /// last call said.
    pub fn coming(&mut self) -> Option<HashSet<AgentName>> {
        if !std::mem::take(&mut self.moved) {
            return None;
        }
        let mut coming = HashSet::new();
        // Those that one depends on come before it.
        for (name, agent) in self.agents() {
            let comes = match &agent.stage {
                Stage::Waiting => agent.member.after.iter().all(|(other, until)| {
                    let stuck = |other: &Standing| *until == Milestone::Finished && other.unfinished;
                    self.is_reached(other, *until)
                        || (coming.contains(other) && !self.agents.get(other).is_some_and(stuck))
                }),
                Stage::Ended { .. } | Stage::Quarantined { .. } => false,
                _ => true,
            };
            if comes {
                coming.insert(name.clone());
            }
        }
        Some(coming)
    }

    /// Takes in what happened at `now`, which never goes back, and says what is to be done.
    pub fn on(&mut self, now: Duration, input: Input) -> Vec<Action> {
        self.now = self.now.max(now);
        let settles = !matches!(input, Input::Idle(_) | Input::Busy(_) | Input::Unfinished(_));
        let mut actions = Vec::new();
        match input {
            Input::Began(name) => {
                if self.agents.get(&name).is_some_and(|agent| matches!(agent.stage, Stage::Stopping { .. })) {
                    // It was asked to end before it had begun.
                    actions.push(Action::Drain(name.clone()));
                }
                self.change(&name, &Change::Began, &mut actions);
            }
            Input::Ready(name) => self.change(&name, &Change::Ready, &mut actions),
            Input::Idle(name) => {
                self.change(&name, &Change::Ready, &mut actions);
                if let Some(agent) = self.agents.get_mut(&name) {
                    agent.idle_since.get_or_insert(self.now);
                }
            }
            Input::Busy(name) => {
                self.change(&name, &Change::Ready, &mut actions);
                if let Some(agent) = self.agents.get_mut(&name) {
                    agent.idle_since = None;
                    self.moved |= std::mem::take(&mut agent.unfinished);
                }
            }
            Input::Exited { name, error, draw } => self.exited(&name, error, draw, &mut actions),
            Input::Begin => self.begun = true,
            Input::Tick => {}
            Input::Want(name) => self.forgiven(&name, &Change::Wanted, &mut actions),
            Input::Restart(name, why) => {
                self.forgiven(&name, &Change::Asked(Then::Restart(why)), &mut actions);
            }
            Input::Stop(name, by) => self.change(&name, &Change::Asked(Then::Stop(by)), &mut actions),
            Input::Finished(name) => {
                self.change(&name, &Change::Asked(Then::Rest { finished: true }), &mut actions);
            }
            Input::Unfinished(name) => {
                if let Some(agent) = self.agents.get_mut(&name) {
                    agent.unfinished = agent.idle_since.is_some() || !agent.stage.is_alive();
                    self.moved = true;
                }
            }
            Input::Work(name) => self.change(&name, &Change::Work, &mut actions),
            Input::Rest(name) => {
                self.change(&name, &Change::Asked(Then::Rest { finished: false }), &mut actions);
            }
            Input::Limit(group, Some(limit)) => {
                self.limits.insert(group, limit);
            }
            Input::Limit(group, None) => {
                self.limits.remove(&group);
            }
            Input::Close(reason) => {
                // What is over keeps its own end.
                let is_over = |stage: &Stage| match stage {
                    Stage::Ended { .. } | Stage::Quarantined { .. } => true,
                    stage => *stage == Stage::Resting { finished: true },
                };
                for name in self.order.clone() {
                    if self.agents.get(&name).is_some_and(|agent| !is_over(&agent.stage)) {
                        self.change(&name, &Change::Asked(Then::Stop(reason.clone())), &mut actions);
                    }
                }
                self.closed = Some(reason);
            }
        }
        // What an agent does matters only to those that wait for its slot; there are many such inputs.
        if settles || !actions.is_empty() || !self.queue.is_empty() {
            self.settle(&mut actions);
        }
        actions
    }

    /// A person's word: what was wrong before counts no more.
    fn forgiven(&mut self, name: &AgentName, change: &Change, actions: &mut Vec<Action>) {
        if let Some(agent) = self.agents.get_mut(name) {
            agent.ends.clear();
        }
        self.change(name, change, actions);
    }

    fn exited(&mut self, name: &AgentName, error: Option<String>, draw: f64, actions: &mut Vec<Action>) {
        let now = self.now;
        let Some(agent) = self.agents.get_mut(name) else { return };
        let asked = matches!(&agent.stage, Stage::Stopping { then } if error.is_none()
            || !matches!(then, Then::Rest { .. }));
        let ok = error.is_none();
        let verdict = match asked {
            // What follows is what was asked for.
            true => Verdict::Over(End::Finished),
            false => agent.verdict(error, draw, now),
        };
        if matches!(verdict, Verdict::Again(_)) {
            agent.restarts += 1;
        }
        self.change(name, &Change::Exited { ok, verdict }, actions);
    }

    fn change(&mut self, name: &AgentName, change: &Change, actions: &mut Vec<Action>) {
        if self.closed.is_some() && !matches!(change, Change::Began | Change::Exited { .. }) {
            return;
        }
        let now = self.now;
        let Some(agent) = self.agents.get_mut(name) else { return };
        let Some(mut after) = agent.stage.after(change) else { return };
        if let Some(reason) = self.closed.as_ref().filter(|_| !after.is_alive()) {
            // Nothing follows the end of the run, but a quarantine is still one.
            if !matches!(after, Stage::Ended { .. } | Stage::Quarantined { .. }) {
                after = Stage::Ended { end: End::Stopped(reason.clone()) };
            }
        }
        let from = std::mem::replace(&mut agent.stage, after.clone());
        self.moved = true;
        agent.since = now;
        match after {
            Stage::Starting => {
                agent.generation += 1;
                agent.idle_since = None;
                actions.push(Action::Spawn { name: name.clone(), generation: agent.generation });
            }
            // One that has not begun is drained when it has.
            Stage::Stopping { .. } if matches!(from, Stage::Running { .. }) => {
                actions.push(Action::Drain(name.clone()));
            }
            _ => {}
        }
        if from == Stage::Queued {
            self.queue.retain(|queued| queued != name);
        }
        match after {
            Stage::Resting { .. } => self.resting.insert(name.clone()),
            _ => self.resting.remove(name),
        };
        if after == Stage::Queued {
            self.queue.push_back(name.clone());
        }
        actions.push(Action::Changed { name: name.clone(), from });
    }

    /// All that follows by itself, until nothing does.
    fn settle(&mut self, actions: &mut Vec<Action>) {
        if self.closed.is_some() || !self.begun {
            return;
        }
        let due = |agent: &Standing| match agent.stage {
            Stage::BackingOff { until } => until <= self.now,
            _ => false,
        };
        let due: Vec<_> =
            self.agents.iter().filter(|(_, agent)| due(agent)).map(|(name, _)| name.clone()).collect();
        for name in due {
            self.change(&name, &Change::Due, actions);
        }
        // In topological order, one pass releases and blocks all that can be.
        for name in self.order.clone() {
            while let Some(change) = self.prerequisites(&name) {
                self.change(&name, &change, actions);
            }
        }
        for name in self.queue.clone() {
            if self.has_slot(&name) {
                self.change(&name, &Change::Admitted, actions);
            }
        }
        self.make_room(actions);
    }
}
