//! Finding tasks without looking at all of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::cache::Task;
use crate::ids::{AgentName, Capability, GoalId, TaskId};
use crate::state::TaskStatus;
use crate::time::Timestamp;

/// Best first: the greatest priority, then the earliest planned.
type Rank = (Reverse<u32>, u64, TaskId);

/// Where the tasks are that something can happen to.
#[derive(Default)]
pub(super) struct Index {
    /// Claimable tasks, by the capabilities that they need: few sets, each a ranking.
    ready: BTreeMap<Vec<Capability>, Ranking>,
    /// Waits, by their end.
    due: BTreeSet<(Timestamp, TaskId)>,
    /// Leases, by their deadline.
    leases: BTreeSet<(Timestamp, TaskId)>,
    /// Running tasks, by their holder.
    held: HashMap<AgentName, BTreeSet<TaskId>>,
}

/// Claimable tasks that need the same capabilities: all, and each goal's with those of the goals below it.
#[derive(Default)]
struct Ranking {
    all: BTreeSet<Rank>,
    by_goal: HashMap<GoalId, BTreeSet<Rank>>,
}

impl Ranking {
    fn of(&self, goal: Option<&GoalId>) -> Option<&BTreeSet<Rank>> {
        match goal {
            Some(goal) => self.by_goal.get(goal),
            None => Some(&self.all),
        }
    }
}

fn rank(task: &Task) -> Rank {
    (Reverse(task.state.priority), task.ordinal, task.node.id.clone())
}

impl Index {
    /// Enters a task where its state belongs, below the goal `root`.
    pub(super) fn put(&mut self, task: &Task, root: &GoalId) {
        let id = &task.node.id;
        match (task.state.status, task.state.not_before, &task.state.holder) {
            (TaskStatus::Ready, Some(until), _) => {
                self.due.insert((until, id.clone()));
            }
            (TaskStatus::Ready, None, _) => {
                let ranking = self.ready.entry(task.node.capabilities.clone()).or_default();
                ranking.all.insert(rank(task));
                ranking.by_goal.entry(root.clone()).or_default().insert(rank(task));
            }
            (TaskStatus::Running, _, Some(holder)) => {
                self.leases.insert((holder.expires_at, id.clone()));
                self.held.entry(holder.agent.clone()).or_default().insert(id.clone());
            }
            _ => {}
        }
    }

    /// Takes a task out, by the same state and root that it was entered with.
    pub(super) fn take(&mut self, task: &Task, root: &GoalId) {
        let id = &task.node.id;
        match (task.state.status, task.state.not_before, &task.state.holder) {
            (TaskStatus::Ready, Some(until), _) => {
                self.due.remove(&(until, id.clone()));
            }
            (TaskStatus::Ready, None, _) => self.take_ready(task, root),
            (TaskStatus::Running, _, Some(holder)) => {
                self.leases.remove(&(holder.expires_at, id.clone()));
                if let Some(tasks) = self.held.get_mut(&holder.agent) {
                    tasks.remove(id);
                    if tasks.is_empty() {
                        self.held.remove(&holder.agent);
                    }
                }
            }
            _ => {}
        }
    }

    fn take_ready(&mut self, task: &Task, root: &GoalId) {
        let Some(ranking) = self.ready.get_mut(&task.node.capabilities) else {
            return;
        };
        ranking.all.remove(&rank(task));
        if let Some(goal) = ranking.by_goal.get_mut(root) {
            goal.remove(&rank(task));
            if goal.is_empty() {
                ranking.by_goal.remove(root);
            }
        }
        if ranking.all.is_empty() {
            self.ready.remove(&task.node.capabilities);
        }
    }

    /// The `limit` best claimable tasks for somebody with these capabilities.
    pub(super) fn best(
        &self,
        goal: Option<&GoalId>,
        capabilities: &BTreeSet<Capability>,
        limit: usize,
    ) -> Vec<TaskId> {
        let mut found: Vec<&Rank> = self
            .ready
            .iter()
            .filter(|(needed, _)| needed.iter().all(|capability| capabilities.contains(capability)))
            .filter_map(|(_, ranking)| ranking.of(goal))
            .flat_map(|ranks| ranks.iter().take(limit))
            .collect();
        found.sort_unstable();
        found.into_iter().take(limit).map(|(_, _, task)| task.clone()).collect()
    }

    /// Up to `limit` leases whose deadline has passed, by deadline.
    pub(super) fn expired(&self, now: Timestamp, limit: usize) -> Vec<TaskId> {
        until(&self.leases, now, limit)
    }

    /// Up to `limit` waits that are over, by their end.
    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Vec<TaskId> {
        until(&self.due, now, limit)
    }

    /// The running tasks of an agent, by id.
    pub(super) fn held_by(&self, agent: &AgentName) -> Vec<TaskId> {
        self.held.get(agent).into_iter().flatten().cloned().collect()
    }

    /// The next deadline of a lease or end of a wait.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let first = |set: &BTreeSet<(Timestamp, TaskId)>| set.first().map(|(at, _)| *at);
        first(&self.leases).into_iter().chain(first(&self.due)).min()
    }
}

fn until(set: &BTreeSet<(Timestamp, TaskId)>, now: Timestamp, limit: usize) -> Vec<TaskId> {
    set.iter().take_while(|(at, _)| *at <= now).take(limit).map(|(_, task)| task.clone()).collect()
}
