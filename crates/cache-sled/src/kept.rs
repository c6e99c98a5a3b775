//! What was decided or read lately, as it is worked with: so that it is parsed once, and encoded as often
//! as a group is written and not as an operation changes it.
//!
//! All of it is known from the store, too. The thread that owns the store changes both together, so what
//! is kept is never older than what is stored; a goal and the end of a stream may be newer until
//! [`Kept::write`].

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use downbeat_core::cache::CacheError;
use downbeat_core::dag::Dag;
use downbeat_core::ids::{AgentName, GoalId, StreamName, TaskId};

use crate::layout::{AgentDoc, GoalDoc, Head, Key, TaskDoc};
use crate::txn::Txn;

/// How many tasks the DAGs may have together that are kept in memory.
const KEPT_TASKS: usize = 250_000;

/// How many goals, and how many streams.
const KEPT: usize = 1_024;

/// How many agents, and how many running tasks.
const KEPT_RUNNING: usize = 16_384;

/// DAGs that were read or written lately, each with its revision.
#[derive(Debug, Default)]
struct Dags {
    kept: HashMap<GoalId, (u64, Arc<Dag>)>,
}

impl Dags {
    fn get(&self, goal: &GoalId, revision: u64) -> Option<&Arc<Dag>> {
        self.kept.get(goal).filter(|(kept, _)| *kept == revision).map(|(_, dag)| dag)
    }

    fn keep(&mut self, revision: u64, dag: &Arc<Dag>) {
        self.kept.remove(dag.goal());
        let kept: usize = self.kept.values().map(|(_, dag)| dag.len()).sum();
        if kept + dag.len() > KEPT_TASKS {
            self.kept.clear();
        }
        self.kept.insert(dag.goal().clone(), (revision, Arc::clone(dag)));
    }
}

/// What an operation changed of this.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changed {
    /// `None`: it is forgotten.
    pub(crate) goals: Vec<(GoalId, Option<Arc<GoalDoc>>)>,
    pub(crate) heads: Vec<(StreamName, Head)>,
    /// `None`: it does not run.
    pub(crate) tasks: Vec<(TaskId, Option<Arc<TaskDoc>>)>,
    /// `None`: there is no such agent.
    pub(crate) agents: Vec<(AgentName, Option<Arc<AgentDoc>>)>,
    pub(crate) dags: Vec<(u64, Arc<Dag>)>,
}

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    dags: Dags,
    goals: HashMap<GoalId, Arc<GoalDoc>>,
    heads: HashMap<StreamName, Head>,
    /// Those that run: each of them is asked for once more.
    tasks: HashMap<TaskId, Arc<TaskDoc>>,
    agents: HashMap<AgentName, Option<Arc<AgentDoc>>>,
    unwritten_goals: BTreeSet<GoalId>,
    unwritten_heads: BTreeSet<StreamName>,
}

impl Kept {
    pub(crate) fn dag(&self, goal: &GoalId, revision: u64) -> Option<&Arc<Dag>> {
        self.dags.get(goal, revision)
    }

    pub(crate) fn keep_dag(&mut self, revision: u64, dag: &Arc<Dag>) {
        self.dags.keep(revision, dag);
    }

    pub(crate) fn goal(&self, goal: &GoalId) -> Option<&Arc<GoalDoc>> {
        self.goals.get(goal)
    }

    pub(crate) fn head(&self, stream: &StreamName) -> Option<&Head> {
        self.heads.get(stream)
    }

    /// A task that runs.
    pub(crate) fn task(&self, task: &TaskId) -> Option<&Arc<TaskDoc>> {
        self.tasks.get(task)
    }

    /// An agent, or that there is none of this name; `None`: the store knows.
    pub(crate) fn agent(&self, name: &AgentName) -> Option<&Option<Arc<AgentDoc>>> {
        self.agents.get(name)
    }

    pub(crate) fn keep_agent(&mut self, name: &AgentName, doc: Option<Arc<AgentDoc>>) {
        if self.agents.len() >= KEPT_RUNNING {
            self.agents.clear();
        }
        self.agents.insert(name.clone(), doc);
    }

    /// Takes what an operation changed that stands.
    pub(crate) fn take(&mut self, changed: Changed) {
        for (goal, doc) in changed.goals {
            if let Some(doc) = doc {
                if !self.unwritten_goals.contains(&goal) {
                    self.unwritten_goals.insert(goal.clone());
                }
                self.goals.insert(goal, doc);
            } else {
                self.unwritten_goals.remove(&goal);
                self.goals.remove(&goal);
            }
        }
        for (stream, head) in changed.heads {
            if !self.unwritten_heads.contains(&stream) {
                self.unwritten_heads.insert(stream.clone());
            }
            self.heads.insert(stream, head);
        }
        for (task, doc) in changed.tasks {
            match doc.filter(|_| self.tasks.len() < KEPT_RUNNING) {
                Some(doc) => self.tasks.insert(task, doc),
                None => self.tasks.remove(&task),
            };
        }
        for (name, doc) in changed.agents {
            self.keep_agent(&name, doc);
        }
        for (revision, dag) in changed.dags {
            self.dags.keep(revision, &dag);
        }
    }

    /// Writes what is not written yet.
    pub(crate) fn write(&mut self, txn: &mut Txn<'_>) -> Result<(), CacheError> {
        for goal in std::mem::take(&mut self.unwritten_goals) {
            if let Some(doc) = self.goals.get(&goal) {
                txn.write(&Key::Goal(goal), &**doc)?;
            }
        }
        for stream in std::mem::take(&mut self.unwritten_heads) {
            if let Some(head) = self.heads.get(&stream) {
                txn.write(&Key::Head(stream), head)?;
            }
        }
        if self.goals.len() > KEPT {
            self.goals.clear();
        }
        if self.heads.len() > KEPT {
            self.heads.clear();
        }
        Ok(())
    }

    /// Whether [`write`](Self::write) has anything to do.
    pub(crate) fn is_written(&self) -> bool {
        self.unwritten_goals.is_empty() && self.unwritten_heads.is_empty()
    }
}
