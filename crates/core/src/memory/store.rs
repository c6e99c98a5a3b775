//! What is known, and the one way in which a task moves.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::index::Index;
use super::log::Log;
use super::records::Documents;
use crate::cache::{AgentError, MAX_AGENT_ERRORS, MAX_ENDED_ATTEMPTS, Registration, Steered, Task};
use crate::dag::{Dag, Node};
use crate::goal::{Goal, GoalStatus};
use crate::ids::{AgentName, GoalId, Incarnation, RequestId, TaskId, Token};
use crate::rules;
use crate::state::{EndedAttempt, Move, Refusal, TaskState, TaskStatus, apply};
use crate::time::Timestamp;

/// Everything.
#[derive(Default)]
pub(super) struct Store {
    pub(super) epoch: u64,
    /// The last ordinal that was given to a task.
    pub(super) ordinals: u64,
    /// The greatest token of any task that was forgotten: a new task of the same id begins above it.
    pub(super) forgotten: Token,
    pub(super) goals: BTreeMap<GoalId, GoalEntry>,
    pub(super) tasks: HashMap<TaskId, TaskEntry>,
    pub(super) index: Index,
    pub(super) agents: BTreeMap<AgentName, AgentEntry>,
    pub(super) paused: BTreeSet<AgentName>,
    pub(super) memories: HashMap<AgentName, String>,
    pub(super) answers: Answers,
    pub(super) log: Log,
    pub(super) documents: Documents,
}

/// A goal with what only the cache needs.
pub(super) struct GoalEntry {
    pub(super) goal: Goal,
    pub(super) dag: Arc<Dag>,
    /// Its tasks in the order of planning.
    pub(super) order: BTreeMap<u64, TaskId>,
    /// A person cancelled it as a whole.
    pub(super) cancelled: bool,
    /// For nodes that say nothing about it.
    pub(super) max_attempts: u32,
    pub(super) planned_by: RequestId,
    pub(super) amended_by: Option<RequestId>,
}

/// A task with its history.
#[derive(Clone)]
pub(super) struct TaskEntry {
    pub(super) task: Task,
    /// The goal above all others that its own is below: under that one it is found when it is ready.
    pub(super) root: GoalId,
    pub(super) ended: VecDeque<EndedAttempt>,
}

/// An agent that registered once.
pub(super) struct AgentEntry {
    pub(super) registration: Registration,
    pub(super) registered_at: Timestamp,
    pub(super) last_beat_at: Timestamp,
    pub(super) phase: crate::cache::Phase,
    pub(super) task: Option<TaskId>,
    pub(super) end_reason: Option<String>,
    /// Its silence has been told.
    pub(super) silent: bool,
    /// Its attempts that failed, of this life and of those before.
    pub(super) errors: VecDeque<AgentError>,
}

/// The newest answers to directives, so that a repeated one is recognised.
#[derive(Default)]
pub(super) struct Answers {
    by_request: HashMap<RequestId, Steered>,
    order: VecDeque<RequestId>,
}

impl Answers {
    pub(super) fn get(&self, request: &RequestId) -> Option<&Steered> {
        self.by_request.get(request)
    }

    pub(super) fn keep(&mut self, request: &RequestId, answer: &Steered) {
        self.by_request.insert(request.clone(), answer.clone());
        self.order.push_back(request.clone());
        if self.order.len() > rules::KEPT_DIRECTIVES
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_request.remove(&oldest);
        }
    }
}

impl AgentEntry {
    pub(super) const fn ended(&self) -> bool {
        self.end_reason.is_some()
    }

    pub(super) fn silent_from(&self) -> Timestamp {
        rules::silent_from(self.last_beat_at, self.registration.ttl)
    }

    pub(super) fn is_alive(&self, now: Timestamp) -> bool {
        rules::is_alive(self.ended(), self.last_beat_at, self.registration.ttl, now)
    }
}

impl Store {
    pub(super) fn new(epoch: u64) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// The state of a task that the caller knows to be there.
    pub(super) fn state(&self, task: &TaskId) -> Option<&TaskState> {
        self.tasks.get(task).map(|entry| &entry.task.state)
    }

    /// The incarnation registered under a name, and whether it has ended.
    pub(super) fn life(&self, name: &AgentName) -> Option<(&Incarnation, bool)> {
        self.agents.get(name).map(|agent| (&agent.registration.incarnation, agent.ended()))
    }

    /// Adds a task that nobody knows yet.
    pub(super) fn add(&mut self, goal: &GoalId, node: &Arc<Node>, state: TaskState) {
        self.ordinals += 1;
        let state = TaskState { token: self.forgotten, ..state };
        let task = Task { goal: goal.clone(), ordinal: self.ordinals, node: Arc::clone(node), state };
        if let Some(entry) = self.goals.get_mut(goal) {
            entry.order.insert(task.ordinal, node.id.clone());
            entry.goal.counts.add(task.state.status);
        }
        let root = self.goals.get(goal).map_or(goal, |entry| entry.goal.root()).clone();
        self.index.put(&task, &root);
        if task.state.status == TaskStatus::Ready {
            self.log.work_appeared();
        }
        self.tasks.insert(node.id.clone(), TaskEntry { task, root, ended: VecDeque::new() });
    }

    /// Forgets a task.
    pub(super) fn remove(&mut self, id: &TaskId) {
        let Some(entry) = self.tasks.remove(id) else {
            return;
        };
        self.index.take(&entry.task, &entry.root);
        self.forgotten = self.forgotten.max(entry.task.state.token);
        if let Some(goal) = self.goals.get_mut(&entry.task.goal) {
            goal.order.remove(&entry.task.ordinal);
            goal.goal.counts.remove(entry.task.state.status);
        }
    }

    /// Makes a move: state, indexes, counts, history and event, all but the goal's status, which a verb
    /// settles with [`evaluate`](Self::evaluate) once it is through with the goal's tasks.
    ///
    /// Returns the state before.
    pub(super) fn make(&mut self, id: &TaskId, mv: &Move, now: Timestamp) -> Result<TaskState, Refusal> {
        let Some(entry) = self.tasks.get_mut(id) else {
            // A task that is not there is as good as called off.
            return Err(Refusal::Illegal { from: TaskStatus::Cancelled, mv: mv.name() });
        };
        let moved = apply(&entry.task.state, mv, now)?;
        let event = moved.event_of(&entry.task.goal, id);

        self.index.take(&entry.task, &entry.root);
        let before = std::mem::replace(&mut entry.task.state, moved.state);
        self.index.put(&entry.task, &entry.root);
        if let Some(attempt) = moved.ended {
            let error = rules::agent_error(&entry.task.goal, id, &attempt);
            if let (Some(error), Some(agent)) = (error, self.agents.get_mut(&attempt.agent)) {
                agent.errors.push_back(error);
                if agent.errors.len() > MAX_AGENT_ERRORS {
                    agent.errors.pop_front();
                }
            }
            entry.ended.push_back(attempt);
            if entry.ended.len() > MAX_ENDED_ATTEMPTS {
                entry.ended.pop_front();
            }
        }
        let after = &entry.task.state;
        if let Some(goal) = self.goals.get_mut(&entry.task.goal) {
            goal.goal.counts.moved(before.status, after.status);
        }
        let claimable = |state: &TaskState| state.status == TaskStatus::Ready && state.not_before.is_none();
        if claimable(after) && !claimable(&before) {
            self.log.work_appeared();
        }
        if let Some(event) = event {
            self.log.say(now, event);
        }
        Ok(before)
    }

    /// Makes a move that stands alone, and settles the goal's status.
    pub(super) fn make_alone(
        &mut self,
        id: &TaskId,
        mv: &Move,
        now: Timestamp,
    ) -> Result<TaskState, Refusal> {
        let before = self.make(id, mv, now)?;
        self.evaluate_goal_of(id, now);
        Ok(before)
    }

    /// Settles the status of the goal that a task belongs to.
    pub(super) fn evaluate_goal_of(&mut self, task: &TaskId, now: Timestamp) {
        if let Some(goal) = self.tasks.get(task).map(|entry| entry.task.goal.clone()) {
            self.evaluate(&goal, now);
        }
    }

    /// Settles the status of a goal after its counts changed.
    pub(super) fn evaluate(&mut self, goal: &GoalId, now: Timestamp) {
        let event =
            self.goals.get_mut(goal).and_then(|entry| rules::evaluate(&mut entry.goal, entry.cancelled, now));
        if let Some(event) = event {
            self.log.say(now, event);
        }
    }

    /// Where a goal stands.
    pub(super) fn goal_status(&self, goal: &GoalId) -> GoalStatus {
        self.goals.get(goal).map_or(GoalStatus::Draft, |entry| entry.goal.status)
    }
}
