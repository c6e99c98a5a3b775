//! What the events of a run said so far.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::{Phase, Task};
use downbeat_core::dag::Node;
use downbeat_core::event::{Event, EventKind};
use downbeat_core::ids::{AgentName, TaskId};
use downbeat_core::state::TaskStatus;
use downbeat_core::time::Timestamp;
use downbeat_runtime::supervise;

use crate::output::text;

/// What a run did so far, as its events told it.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// What each task is and where it stands.
    pub(super) tasks: HashMap<TaskId, Known>,
    /// What each agent does when it has no task.
    pub(super) agents: BTreeMap<AgentName, Row>,
    /// The tasks that run, by when they began.
    pub(super) running: BTreeMap<(Timestamp, TaskId), Running>,
    /// How many tasks there are.
    pub(super) total: usize,
    /// How many ended, and how.
    pub(super) done: usize,
    pub(super) failed: usize,
    pub(super) cancelled: usize,
    /// Tasks that wait for their next attempt.
    pub(super) waiting: HashMap<TaskId, Timestamp>,
    /// Since when the store does not answer.
    pub(super) unreachable: Option<Timestamp>,
    /// The widest id, in columns.
    pub(super) id_width: usize,
    /// The widest name of an agent, in columns.
    pub(super) agent_width: usize,
}

/// A task as it is known.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) node: Arc<Node>,
    status: TaskStatus,
}

/// An agent, beside its tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    paused: bool,
    silent: bool,
    /// How many tasks it works on.
    tasks: usize,
    /// What it does without one, while it lives.
    phase: Option<Phase>,
    /// Where its life stands, by its supervisor.
    stage: Option<String>,
}

impl Row {
    /// What it does, when it has no task. Nothing for one that is over.
    pub(super) fn word(&self) -> Option<&str> {
        let alive = self.phase.is_some();
        match self.stage.as_deref() {
            _ if self.tasks > 0 => None,
            // Of one that does not live, its supervisor knows more.
            Some("running" | "finished") | None if !alive => None,
            Some(stage) if !alive => Some(stage),
            _ if self.silent => Some("silent"),
            _ if self.paused => Some("paused"),
            _ => self.phase.map(Phase::as_str),
        }
    }
}

/// A task that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) agent: AgentName,
    pub(super) phase: Phase,
    pub(super) attempt: u32,
    pub(super) progress: Option<String>,
}

/// Something that a person wants to be told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// A task ended an attempt, one way or the other.
    Ended {
        /// Which.
        task: TaskId,
        /// How.
        how: How,
        /// By whom.
        agent: Option<AgentName>,
        /// The attempt, from 1.
        attempt: Option<u32>,
        /// How long it took.
        took: Option<Duration>,
        /// Why.
        reason: String,
    },
    /// An agent fell silent, was paused or resumed.
    Agent {
        /// Which.
        agent: AgentName,
        /// What about it.
        what: String,
    },
    /// The plan of a goal was made or changed.
    Planned,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Well.
    Done,
    /// There will be another.
    Retry {
        /// Until when nobody may claim it.
        wait: Option<Duration>,
    },
    /// Not well, and for good.
    Failed,
    /// Somebody called it off.
    Cancelled,
    /// It was given back, or its lease ran out.
    Back,
}

impl Board {
    /// Takes over what a goal's tasks are and where they stand.
    pub(crate) fn know(&mut self, tasks: &[Task]) {
        for task in tasks {
            let known = Known { node: Arc::clone(&task.node), status: task.state.status };
            self.id_width = self.id_width.max(text::width(task.node.id.as_str()));
            let before = self.tasks.insert(task.node.id.clone(), known);
            self.count(before.map(|known| known.status), Some(task.state.status));
            self.total = self.tasks.len();
        }
    }

    /// Makes room for the name of an agent that will come.
    pub(crate) fn expect(&mut self, agent: &AgentName) {
        self.agent_width = self.agent_width.max(text::width(agent.as_str()));
    }

    /// Takes over where the lives of agents stand, by their supervisor.
    pub(crate) fn supervised(&mut self, fleet: &supervise::Board) {
        for (agent, line) in &fleet.agents {
            let stage = if line.finished { "finished" } else { &line.stage };
            self.agents.entry(agent.clone()).or_default().stage = Some(stage.to_owned());
        }
    }

    /// What a task is.
    pub(crate) fn node(&self, task: &TaskId) -> Option<&Arc<Node>> {
        self.tasks.get(task).map(|known| &known.node)
    }

    /// How many tasks run.
    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    fn count(&mut self, before: Option<TaskStatus>, after: Option<TaskStatus>) {
        for (status, up) in [(before, false), (after, true)] {
            let count = match status {
                Some(TaskStatus::Done) => &mut self.done,
                Some(TaskStatus::Failed) => &mut self.failed,
                Some(TaskStatus::Cancelled) => &mut self.cancelled,
                _ => continue,
            };
            *count = if up { count.saturating_add(1) } else { count.saturating_sub(1) };
        }
    }

    fn stands(&mut self, task: &TaskId, status: TaskStatus) {
        if let Some(known) = self.tasks.get_mut(task) {
            let before = std::mem::replace(&mut known.status, status);
            self.count(Some(before), Some(status));
        }
    }

    /// Takes an event over; gives what is worth a line.
    pub(crate) fn apply(&mut self, event: &Event) -> Option<News> {
        let kind = &event.what.kind;
        if let Some(task) = event.what.task.clone()
            && kind.as_str().starts_with("task.")
        {
            return self.apply_to_task(event, &task);
        }
        if [EventKind::GOAL_PLANNED, EventKind::GOAL_AMENDED].contains(kind) {
            return Some(News::Planned);
        }
        let agent = event.what.agent.clone()?;
        let news = |what: &str| Some(News::Agent { agent: agent.clone(), what: what.to_owned() });
        match kind {
            kind if *kind == EventKind::AGENT_REGISTERED || *kind == EventKind::AGENT_STARTED => {
                self.agent_width = self.agent_width.max(text::width(agent.as_str()));
                let row = self.agents.entry(agent).or_default();
                row.silent = false;
                row.phase = row.phase.or(Some(Phase::Created));
                None
            }
            kind if *kind == EventKind::AGENT_TERMINATED => {
                let row = self.agents.entry(agent).or_default();
                (row.phase, row.silent) = (None, false);
                None
            }
            kind if *kind == EventKind::AGENT_PAUSED => {
                self.agents.entry(agent.clone()).or_default().paused = true;
                news("is paused")
            }
            kind if *kind == EventKind::AGENT_RESUMED => {
                self.agents.entry(agent.clone()).or_default().paused = false;
                news("takes tasks again")
            }
            kind if *kind == EventKind::AGENT_SILENT => {
                self.agents.entry(agent.clone()).or_default().silent = true;
                news("is not heard any more")
            }
            kind if *kind == EventKind::AGENT_PHASE => {
                let phase = event.what.data.get("phase").cloned();
                let phase = phase.and_then(|phase| serde_json::from_value(phase).ok())?;
                let of_agent = self.running.iter_mut().filter(|(_, running)| running.agent == agent);
                for ((_, task), running) in of_agent {
                    if event.what.task.as_ref() == Some(task) {
                        running.phase = phase;
                    }
                }
                if event.what.task.is_none() {
                    self.agents.entry(agent).or_default().phase = Some(phase);
                }
                None
            }
            _ => None,
        }
    }

    fn apply_to_task(&mut self, event: &Event, task: &TaskId) -> Option<News> {
        let kind = &event.what.kind;
        let how = match kind {
            kind if *kind == EventKind::TASK_CLAIMED => {
                self.claimed(event, task);
                return None;
            }
            kind if *kind == EventKind::TASK_PROGRESS => {
                let running = self.running.iter_mut().find(|((_, id), _)| id == task);
                if let Some((_, running)) = running {
                    running.progress.clone_from(&event.what.reason);
                }
                return None;
            }
            kind if *kind == EventKind::TASK_READY => {
                self.waiting.remove(task);
                self.stands(task, TaskStatus::Ready);
                return None;
            }
            kind if *kind == EventKind::TASK_DONE => How::Done,
            kind if *kind == EventKind::TASK_FAILED => How::Failed,
            kind if *kind == EventKind::TASK_CANCELLED => How::Cancelled,
            kind if *kind == EventKind::TASK_RELEASED || *kind == EventKind::TASK_EXPIRED => How::Back,
            // Somebody held it: an amendment ended that.
            kind if *kind == EventKind::TASK_REDO && event.what.token.is_some() => How::Back,
            kind if *kind == EventKind::TASK_RETRY => {
                let until = event.what.data.get("not_before").cloned();
                let until: Option<Timestamp> = until.and_then(|until| serde_json::from_value(until).ok());
                if let Some(until) = until {
                    self.waiting.insert(task.clone(), until);
                }
                How::Retry { wait: until.map(|until| until.since(event.at)) }
            }
            _ => return None,
        };
        self.stands(
            task,
            match how {
                How::Done => TaskStatus::Done,
                How::Failed => TaskStatus::Failed,
                How::Cancelled => TaskStatus::Cancelled,
                How::Retry { .. } | How::Back => TaskStatus::Ready,
            },
        );
        let began = self.end(task);
        Some(News::Ended {
            task: task.clone(),
            how,
            agent: event.what.agent.clone(),
            attempt: event.what.attempt,
            took: began.map(|began| event.at.since(began)),
            reason: event.what.reason.clone().unwrap_or_default(),
        })
    }

    fn claimed(&mut self, event: &Event, task: &TaskId) {
        let Some(agent) = event.what.agent.clone() else { return };
        self.end(task);
        self.waiting.remove(task);
        self.stands(task, TaskStatus::Running);
        self.agent_width = self.agent_width.max(text::width(agent.as_str()));
        self.id_width = self.id_width.max(text::width(task.as_str()));
        let row = self.agents.entry(agent.clone()).or_default();
        row.tasks += 1;
        row.phase = row.phase.or(Some(Phase::Created));
        let attempt = event.what.attempt.unwrap_or(1);
        // It tells its later phases itself.
        let running = Running { agent, phase: Phase::Assigned, attempt, progress: None };
        self.running.insert((event.at, task.clone()), running);
    }

    /// A task runs no more; gives when it began.
    fn end(&mut self, task: &TaskId) -> Option<Timestamp> {
        let key = self.running.keys().find(|(_, id)| id == task).cloned()?;
        let ended = self.running.remove(&key)?;
        if let Some(row) = self.agents.get_mut(&ended.agent) {
            row.tasks = row.tasks.saturating_sub(1);
            row.phase = row.phase.and(Some(Phase::Completed));
        }
        Some(key.0)
    }
}
