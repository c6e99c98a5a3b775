//! Who starts when: prerequisites, slots, groups and restarts of a whole fleet, as a pure function of what
//! happened.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use downbeat_core::backoff::Backoff;
use downbeat_core::ids::{AgentName, GroupName};
use downbeat_core::instructions::{Milestone, Restart};

use super::stage::{Change, End, Stage, Then, Verdict};

/// What is declared about one agent's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who comes before it, and how far.
    pub after: Vec<(AgentName, Milestone)>,
    /// Its groups.
    pub groups: BTreeSet<GroupName>,
    /// Whether it is started again.
    pub policy: Policy,
}

/// Whether, and how fast, a life that has ended is followed by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// After which ends.
    pub restart: Restart,
    /// How many restarts within `window` are no crash loop.
    pub max_restarts: u32,
    /// Within which time restarts count.
    pub window: Duration,
    /// The waits between lives.
    pub backoff: Backoff,
}

/// What happened. Times are counted from when the supervisor began.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// From now on agents are started: all that was said before holds from the first on.
    Begin,
    /// A life began.
    Began(AgentName),
    /// An agent takes tasks.
    Ready(AgentName),
    /// An agent has nothing that it could take.
    Idle(AgentName),
    /// An agent has taken something.
    Busy(AgentName),
    /// A life ended, or could not begin.
    Exited {
        /// Whose.
        name: AgentName,
        /// What was wrong; `None` for nothing.
        error: Option<String>,
        /// A uniform random number in `0.0..=1.0`, for the wait.
        draw: f64,
    },
    /// Time has passed.
    Tick,
    /// An agent is to run.
    Want(AgentName),
    /// An agent is to be stopped, for this reason.
    Stop(AgentName, String),
    /// An agent is to be started anew.
    Restart(AgentName),
    /// All that an agent could ever take is done.
    Finished(AgentName),
    /// An agent has nothing to do, and yet not all is done that it may take.
    Unfinished(AgentName),
    /// There is something that a resting agent may take.
    Work(AgentName),
    /// An agent that has nothing to do is not needed now.
    Rest(AgentName),
    /// At most so many of a group live at once.
    Limit(GroupName, Option<usize>),
    /// The run ends, for this reason: nobody starts any more.
    Close(String),
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Begin a life.
    Spawn {
        /// Whose.
        name: AgentName,
        /// The how-manieth.
        generation: u64,
    },
    /// Ask a life to end when its work is done.
    Drain(AgentName),
    /// Say that an agent's stage changed.
    Changed {
        /// Whose.
        name: AgentName,
        /// From what.
        from: Stage,
    },
}

/// One agent, as it stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What is declared.
    pub member: Member,
    /// Where its life stands.
    pub stage: Stage,
    /// How many lives it had, over all runs.
    pub generation: u64,
    /// How often it was started again by itself in this run.
    pub restarts: u64,
    /// When its present stage began.
    pub since: Duration,
    /// When its present life had nothing to do, if it has not.
    idle_since: Option<Duration>,
    /// It has nothing to do, and yet not all is done that it may take.
    unfinished: bool,
    /// The ends that count towards a quarantine.
    ends: VecDeque<Duration>,
}

impl Standing {
    const fn new(member: Member, generation: u64, since: Duration) -> Self {
        Self {
            member,
            stage: Stage::Waiting,
            generation,
            restarts: 0,
            since,
            idle_since: None,
            unfinished: false,
            ends: VecDeque::new(),
        }
    }

    /// When its present life had nothing to do any more, if it has nothing to do.
    #[must_use]
    pub const fn idle_since(&self) -> Option<Duration> {
        self.idle_since
    }
}

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

    /// What an agent waits for.
    #[must_use]
    pub fn waits_for(&self, name: &AgentName) -> Vec<String> {
        let Some(agent) = self.agents.get(name).filter(|agent| agent.stage == Stage::Waiting) else {
            return Vec::new();
        };
        let open = agent.member.after.iter().filter(|(other, until)| !self.is_reached(other, *until));
        open.map(|(other, until)| format!("{other} ({})", until.as_str())).collect()
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
            Input::Restart(name) => self.forgiven(&name, &Change::Asked(Then::Restart), &mut actions),
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
            false => verdict(agent, error, draw, now),
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
            if let Some(change) = self.prerequisites(&name) {
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

    fn prerequisites(&self, name: &AgentName) -> Option<Change> {
        let agent = self.agents.get(name)?;
        if !matches!(agent.stage, Stage::Waiting | Stage::Queued) {
            return None;
        }
        let mut open = false;
        for (other, until) in &agent.member.after {
            if self.is_reached(other, *until) {
                continue;
            }
            open = true;
            if let Some(reason) = self.is_hopeless(other) {
                let until = until.as_str();
                return Some(Change::Blocked(format!("it depends on `{other}` ({until}), which {reason}")));
            }
        }
        (!open && agent.stage == Stage::Waiting).then_some(Change::Released)
    }

    fn is_reached(&self, name: &AgentName, until: Milestone) -> bool {
        let Some(agent) = self.agents.get(name) else { return false };
        match &agent.stage {
            Stage::Ended { end: End::Finished } | Stage::Resting { finished: true } => true,
            Stage::Resting { finished: false }
            | Stage::Stopping { then: Then::Rest { .. } }
            | Stage::Running { ready: true } => until <= Milestone::Ready,
            Stage::Running { ready: false } => until == Milestone::Started,
            _ => false,
        }
    }

    /// Why an agent gets no further by itself, if so.
    fn is_hopeless(&self, name: &AgentName) -> Option<String> {
        match &self.agents.get(name)?.stage {
            Stage::Quarantined { reason } => Some(format!("is quarantined: {reason}")),
            Stage::Ended { end: End::Failed(reason) } => Some(format!("failed: {reason}")),
            Stage::Ended { end: End::Prerequisite(reason) } => Some(format!("was not started: {reason}")),
            // A person stopped it, and may start it again: that is waited for.
            _ => None,
        }
    }

    fn has_slot(&self, name: &AgentName) -> bool {
        self.max_workers.is_none_or(|most| self.alive() < most) && self.full_groups(name).next().is_none()
    }

    /// The groups of an agent in which nobody more may live.
    fn full_groups<'a>(&'a self, name: &'a AgentName) -> impl Iterator<Item = &'a GroupName> {
        let groups = self.agents.get(name).into_iter().flat_map(|agent| &agent.member.groups);
        groups.filter(|group| self.limits.get(*group).is_some_and(|most| self.alive_in(group) >= *most))
    }

    fn alive_in(&self, group: &GroupName) -> usize {
        let alive = self.agents.values().filter(|agent| agent.stage.is_alive());
        alive.filter(|agent| agent.member.groups.contains(group)).count()
    }

    /// Has as many agents give their slots back as others wait for: those that have had nothing to do for
    /// the longest time first, then those that had their turn.
    fn make_room(&mut self, actions: &mut Vec<Action>) {
        for waiting in self.queue.clone() {
            let shares = |agent: &Standing| {
                let mut full = self.full_groups(&waiting).peekable();
                match full.peek() {
                    // Only one of the same full group makes room in it.
                    Some(_) => full.any(|group| agent.member.groups.contains(group)),
                    None => true,
                }
            };
            let leaving = |agent: &&Standing| matches!(agent.stage, Stage::Stopping { .. }) && shares(agent);
            let ahead = self.queue.iter().take_while(|queued| **queued != waiting).count();
            if self.agents.values().filter(leaving).count() > ahead {
                continue;
            }
            let running = self
                .agents
                .iter()
                .filter(|(_, agent)| matches!(agent.stage, Stage::Running { ready: true }) && shares(agent));
            let had_its_turn = |agent: &Standing| self.now.saturating_sub(agent.since) >= self.turn;
            let candidate = running
                .filter(|(_, agent)| agent.idle_since.is_some() || had_its_turn(agent))
                .min_by_key(|(_, agent)| (agent.idle_since.is_none(), agent.idle_since, agent.since))
                .map(|(name, _)| name.clone());
            if let Some(name) = candidate {
                self.change(&name, &Change::Asked(Then::Rest { finished: false }), actions);
            }
        }
    }
}

/// What follows an end that nobody asked for.
fn verdict(agent: &mut Standing, error: Option<String>, draw: f64, now: Duration) -> Verdict {
    let policy = agent.member.policy;
    match (&error, policy.restart) {
        (None, Restart::Never | Restart::OnFailure) => return Verdict::Over(End::Finished),
        (Some(reason), Restart::Never) => return Verdict::Over(End::Failed(reason.clone())),
        (_, Restart::Always) | (Some(_), Restart::OnFailure) => {}
    }
    agent.ends.push_back(now);
    while agent.ends.front().is_some_and(|end| now.saturating_sub(*end) > policy.window) {
        agent.ends.pop_front();
    }
    let ends = u32::try_from(agent.ends.len()).unwrap_or(u32::MAX);
    if ends > policy.max_restarts {
        let reason = error.unwrap_or_else(|| "it finished".to_owned());
        let window = downbeat_core::span::HumanDuration::new(policy.window)
            .map_or_else(|| format!("{:?}", policy.window), |window| window.to_string());
        return Verdict::Quarantine(format!("it ended {ends} times within {window}; the last time {reason}"));
    }
    let failures = NonZeroU32::new(ends).unwrap_or(NonZeroU32::MIN);
    Verdict::Again(now + policy.backoff.delay(failures, draw))
}

#[cfg(test)]
mod tests;
