//! One operation while it is decided: what it sees, what it changes, and the one way in which a task
//! moves.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use downbeat_core::cache::{
    CacheError, MAX_AGENT_ERRORS, MAX_ENDED_ATTEMPTS, StreamLimits, Task, events_stream,
};
use downbeat_core::dag::{Dag, DagParts, Node};
use downbeat_core::event::{Event, EventDraft};
use downbeat_core::goal::GoalStatus;
use downbeat_core::ids::{AgentName, GoalId, Incarnation, StreamName, TaskId};
use downbeat_core::rules;
use downbeat_core::state::{EndedAttempt, Move, Refusal, TaskState, TaskStatus, apply};
use downbeat_core::time::Timestamp;

use crate::kept::{Changed, Kept};
use crate::layout::{self, AgentDoc, GoalDoc, Head, Key, TaskDoc};
use crate::store::{Store, corrupt};
use crate::txn::{Txn, Writes};

static EVENTS: LazyLock<StreamName> = LazyLock::new(events_stream);

/// One operation while it is decided.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) txn: Txn<'a>,
    /// The moment at which it takes place.
    pub(crate) now: Timestamp,
    pub(crate) epoch: u64,
    limits: StreamLimits,
    kept: &'a mut Kept,
    changes: Changes,
    /// What it was before a part that may be taken back.
    before: Option<Changes>,
}

/// What a step changed that is kept, and not encoded before its group is written.
#[derive(Debug, Clone, Default)]
struct Changes {
    /// `None`: it is forgotten.
    goals: BTreeMap<GoalId, Option<Arc<GoalDoc>>>,
    heads: BTreeMap<StreamName, Head>,
    /// Written, and kept once the step stands.
    tasks: Vec<(TaskId, Option<Arc<TaskDoc>>)>,
    agents: Vec<(AgentName, Option<Arc<AgentDoc>>)>,
    dags: Vec<(u64, Arc<Dag>)>,
    work: u64,
}

/// What a step did.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) writes: Writes,
    pub(crate) changed: Changed,
    /// How often work appeared.
    pub(crate) work: u64,
}

impl Effects {
    /// Whether nothing is other than before.
    pub(crate) fn is_nothing(&self) -> bool {
        let Changed { goals, heads, .. } = &self.changed;
        self.writes.layer().is_empty() && goals.is_empty() && heads.is_empty() && self.work == 0
    }
}

impl<'a> Step<'a> {
    pub(crate) fn new(
        store: &'a Store,
        kept: &'a mut Kept,
        now: Timestamp,
        (epoch, limits): (u64, StreamLimits),
    ) -> Self {
        let changes = Changes::default();
        Self { txn: Txn::new(store), now, epoch, limits, kept, changes, before: None }
    }

    /// Ends a step that stands.
    pub(crate) fn finish(mut self) -> Effects {
        for (goal, _) in self.changes.goals.iter().filter(|(_, doc)| doc.is_none()) {
            self.txn.delete(&Key::Goal(goal.clone()));
        }
        let Changes { goals, heads, tasks, agents, dags, work } = self.changes;
        let (goals, heads) = (goals.into_iter().collect(), heads.into_iter().collect());
        let changed = Changed { goals, heads, tasks, agents, dags };
        Effects { writes: self.txn.into_writes(), changed, work }
    }

    /// Begins a part that may be taken back. One at a time.
    pub(crate) fn begin_part(&mut self) {
        self.txn.begin_part();
        self.before = Some(self.changes.clone());
    }

    /// The part stands.
    pub(crate) fn keep_part(&mut self) {
        self.txn.keep_part();
        self.before = None;
    }

    /// Forgets what was done since the part began.
    pub(crate) fn drop_part(&mut self) {
        self.txn.drop_part();
        if let Some(before) = self.before.take() {
            self.changes = before;
        }
    }

    // ---- goals

    pub(crate) fn goal(&self, goal: &GoalId) -> Result<Option<Arc<GoalDoc>>, CacheError> {
        if let Some(doc) = self.changes.goals.get(goal) {
            return Ok(doc.clone());
        }
        match self.kept.goal(goal) {
            Some(doc) => Ok(Some(Arc::clone(doc))),
            None => Ok(self.txn.read(&Key::Goal(goal.clone()))?.map(Arc::new)),
        }
    }

    pub(crate) fn put_goal(&mut self, doc: GoalDoc) {
        self.changes.goals.insert(doc.goal.id.clone(), Some(Arc::new(doc)));
    }

    /// A goal to be changed. A task names it, so it is there.
    pub(crate) fn goal_mut(&mut self, goal: &GoalId) -> Result<&mut GoalDoc, CacheError> {
        let absent = || CacheError::GoalNotFound { goal: goal.clone() };
        if !self.changes.goals.contains_key(goal) {
            let doc = self.goal(goal)?.ok_or_else(absent)?;
            self.changes.goals.insert(goal.clone(), Some(doc));
        }
        self.changes.goals.get_mut(goal).and_then(Option::as_mut).map(Arc::make_mut).ok_or_else(absent)
    }

    /// Forgets a goal.
    pub(crate) fn forget_goal(&mut self, goal: &GoalId) {
        self.changes.goals.insert(goal.clone(), None);
    }

    /// Settles the status of a goal after its counts changed.
    pub(crate) fn evaluate(&mut self, goal: &GoalId) -> Result<GoalStatus, CacheError> {
        let now = self.now;
        let doc = self.goal_mut(goal)?;
        let event = rules::evaluate(&mut doc.goal, doc.cancelled, now);
        let status = doc.goal.status;
        if let Some(event) = event {
            self.say(event)?;
        }
        Ok(status)
    }

    /// The DAG of a goal as it is now.
    pub(crate) fn dag(&mut self, doc: &GoalDoc) -> Result<Arc<Dag>, CacheError> {
        let (goal, revision) = (&doc.goal.id, doc.goal.revision);
        if let Some(dag) = self.kept.dag(goal, revision) {
            return Ok(Arc::clone(dag));
        }
        let mut parts = DagParts { goal_id: goal.clone(), nodes: Vec::new(), edges: Vec::new() };
        for task in self.order(goal)? {
            parts.nodes.push(self.read_node(&task)?);
            for dependant in self.list(&Key::Dependants(task.clone()))? {
                parts.edges.push((task.clone(), dependant));
            }
        }
        let dag = Dag::from_parts(parts).map_err(|error| corrupt(&format!("dag of goal `{goal}`"), error))?;
        let dag = Arc::new(dag);
        self.kept.keep_dag(revision, &dag);
        Ok(dag)
    }

    /// Writes the order of a goal's tasks, and keeps its DAG at hand once the step stands.
    pub(crate) fn put_dag(&mut self, revision: u64, dag: &Arc<Dag>) {
        let order = layout::list(dag.nodes().map(|node| &node.id));
        self.txn.put(&Key::Order(dag.goal().clone()), order);
        self.changes.dags.push((revision, Arc::clone(dag)));
    }

    pub(crate) fn put_dependants(&mut self, dag: &Dag, task: &TaskId) {
        let dependants = layout::list(dag.dependants(task).into_iter());
        let key = Key::Dependants(task.clone());
        if dependants.is_empty() { self.txn.delete(&key) } else { self.txn.put(&key, dependants) }
    }

    /// The tasks of a goal in the order of the draft.
    pub(crate) fn order(&self, goal: &GoalId) -> Result<Vec<TaskId>, CacheError> {
        self.list(&Key::Order(goal.clone()))
    }

    /// Who waits for a task of a goal, in the order of the draft.
    pub(crate) fn dependants(&self, goal: &GoalId, task: &TaskId) -> Result<Vec<TaskId>, CacheError> {
        match self.kept_dag(goal) {
            Some(dag) => Ok(dag.dependants(task).into_iter().cloned().collect()),
            None => self.list(&Key::Dependants(task.clone())),
        }
    }

    /// The DAG of a goal as it was before this step, if it is at hand.
    fn kept_dag(&self, goal: &GoalId) -> Option<&Arc<Dag>> {
        let doc = self.changes.goals.get(goal).and_then(Option::as_ref).or_else(|| self.kept.goal(goal))?;
        self.kept.dag(goal, doc.goal.revision)
    }

    fn list(&self, key: &Key) -> Result<Vec<TaskId>, CacheError> {
        match self.txn.get(key)? {
            None => Ok(Vec::new()),
            Some(bytes) => layout::unlist(&bytes)
                .ok_or_else(|| CacheError::Corrupt { key: format!("{key:?}"), source: None }),
        }
    }

    // ---- tasks

    pub(crate) fn task(&self, task: &TaskId) -> Result<Option<Arc<TaskDoc>>, CacheError> {
        let key = Key::Task(task.clone());
        match self.kept.task(task) {
            Some(doc) if !self.txn.wrote(&key) => Ok(Some(Arc::clone(doc))),
            _ => Ok(self.txn.read(&key)?.map(Arc::new)),
        }
    }

    /// A task that the caller named.
    pub(crate) fn named_task(&self, task: &TaskId) -> Result<Arc<TaskDoc>, CacheError> {
        self.task(task)?.ok_or_else(|| CacheError::TaskNotFound { task: task.clone() })
    }

    /// A task that an index named.
    pub(crate) fn indexed_task(&self, task: &TaskId) -> Result<Arc<TaskDoc>, CacheError> {
        self.task(task)?.ok_or_else(|| CacheError::Corrupt { key: format!("task:{task}"), source: None })
    }

    fn read_node(&self, task: &TaskId) -> Result<Node, CacheError> {
        self.txn
            .read(&Key::Node(task.clone()))?
            .ok_or_else(|| CacheError::Corrupt { key: format!("node:{task}"), source: None })
    }

    /// What is to be done for a task of a goal. An amendment asks before it writes the node.
    pub(crate) fn node(&self, goal: &GoalId, task: &TaskId) -> Result<Arc<Node>, CacheError> {
        match self.kept_dag(goal).and_then(|dag| dag.node(task)) {
            Some(node) => Ok(Arc::clone(node)),
            None => self.read_node(task).map(Arc::new),
        }
    }

    pub(crate) fn full_task(&self, task: &TaskId, doc: &TaskDoc) -> Result<Task, CacheError> {
        Ok(Task {
            node: self.node(&doc.goal, task)?,
            goal: doc.goal.clone(),
            ordinal: doc.ordinal,
            state: doc.state.clone(),
        })
    }

    /// Writes a task; its indexes follow from the pair of states.
    pub(crate) fn put_task(
        &mut self,
        task: &TaskId,
        old: Option<&TaskDoc>,
        new: Option<&Arc<TaskDoc>>,
    ) -> Result<(), CacheError> {
        let before = old.map(|doc| layout::indexes(task, doc)).unwrap_or_default();
        let after = new.map(|doc| layout::indexes(task, doc)).unwrap_or_default();
        let running = new.filter(|doc| doc.state.status == TaskStatus::Running);
        // A task that is planned was never kept.
        if running.is_some() || old.is_some() {
            self.changes.tasks.push((task.clone(), running.map(Arc::clone)));
        }
        for entry in before.iter().filter(|entry| !after.contains(entry)) {
            self.txn.delete(&entry.0);
        }
        for (key, value) in after.iter().filter(|entry| !before.contains(entry)) {
            self.txn.put_new(key, value.as_slice());
        }
        match new {
            Some(doc) => self.txn.write(&Key::Task(task.clone()), &**doc),
            None => {
                self.txn.delete(&Key::Task(task.clone()));
                Ok(())
            }
        }
    }

    /// Makes a move: state, indexes, counts, history and event, all but the goal's status, which a verb
    /// settles with [`evaluate`](Self::evaluate) once it is through with the goal's tasks.
    ///
    /// Returns the task after it.
    pub(crate) fn make(
        &mut self,
        task: &TaskId,
        old: &TaskDoc,
        mv: &Move,
    ) -> Result<Result<Arc<TaskDoc>, Refusal>, CacheError> {
        let moved = match apply(&old.state, mv, self.now) {
            Ok(moved) => moved,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let event = moved.event_of(&old.goal, task);
        let mut new = TaskDoc {
            goal: old.goal.clone(),
            root: old.root.clone(),
            ordinal: old.ordinal,
            needs: old.needs.clone(),
            ended: old.ended,
            state: moved.state,
        };
        if let Some(ended) = &moved.ended {
            self.txn.write(&Key::Ended { task: task.clone(), number: old.ended }, ended)?;
            new.ended = old.ended.saturating_add(1);
            let kept = u64::try_from(MAX_ENDED_ATTEMPTS).unwrap_or(u64::MAX);
            if let Some(number) = old.ended.checked_sub(kept) {
                self.txn.delete(&Key::Ended { task: task.clone(), number });
            }
            self.enter_error(&old.goal, task, ended)?;
        }
        let new = Arc::new(new);
        self.put_task(task, Some(old), Some(&new))?;
        if old.state.status != new.state.status {
            self.goal_mut(&old.goal)?.goal.counts.moved(old.state.status, new.state.status);
        }
        if claimable(&new.state) && !claimable(&old.state) {
            self.work_appeared();
        }
        if let Some(event) = event {
            self.say(event)?;
        }
        Ok(Ok(new))
    }

    /// Makes a move that stands alone, and settles the goal's status.
    pub(crate) fn make_alone(
        &mut self,
        task: &TaskId,
        old: &TaskDoc,
        mv: &Move,
    ) -> Result<Result<Arc<TaskDoc>, Refusal>, CacheError> {
        let made = self.make(task, old, mv)?;
        // The status follows from the counts alone.
        if made.as_ref().is_ok_and(|new| new.state.status != old.state.status) {
            self.evaluate(&old.goal)?;
        }
        Ok(made)
    }

    // ---- agents

    pub(crate) fn agent(&mut self, name: &AgentName) -> Result<Option<Arc<AgentDoc>>, CacheError> {
        let key = Key::Agent(name.clone());
        if self.txn.wrote(&key) {
            return Ok(self.txn.read(&key)?.map(Arc::new));
        }
        if let Some(known) = self.kept.agent(name) {
            return Ok(known.clone());
        }
        let doc: Option<AgentDoc> = self.txn.read(&key)?;
        let doc = doc.map(Arc::new);
        self.kept.keep_agent(name, doc.clone());
        Ok(doc)
    }

    pub(crate) fn put_agent(&mut self, doc: AgentDoc) -> Result<(), CacheError> {
        let name = doc.registration.name.clone();
        self.txn.write(&Key::Agent(name.clone()), &doc)?;
        self.changes.agents.push((name, Some(Arc::new(doc))));
        Ok(())
    }

    /// Forgets a registration.
    pub(crate) fn forget_agent(&mut self, name: AgentName) {
        self.txn.delete(&Key::Agent(name.clone()));
        self.changes.agents.push((name, None));
    }

    /// Enters a failed attempt in the list of its agent, if that ever registered.
    fn enter_error(&mut self, goal: &GoalId, task: &TaskId, ended: &EndedAttempt) -> Result<(), CacheError> {
        let Some(error) = rules::agent_error(goal, task, ended) else {
            return Ok(());
        };
        let Some(doc) = self.agent(&ended.agent)? else {
            return Ok(());
        };
        let mut doc = Arc::unwrap_or_clone(doc);
        let agent = &ended.agent;
        self.txn.write(&Key::AgentError { agent: agent.clone(), number: doc.errors }, &error)?;
        let kept = u64::try_from(MAX_AGENT_ERRORS).unwrap_or(u64::MAX);
        if let Some(number) = doc.errors.checked_sub(kept) {
            self.txn.delete(&Key::AgentError { agent: agent.clone(), number });
        }
        doc.errors = doc.errors.saturating_add(1);
        self.put_agent(doc)
    }

    /// Running tasks of an agent, by id, each with the request that it was claimed with.
    pub(crate) fn held_by(&self, agent: &AgentName) -> Result<Vec<(TaskId, sled::IVec)>, CacheError> {
        let held = self.txn.under(&layout::prefix::held_by(agent));
        held.map(|pair| {
            let (key, request) = pair?;
            match Key::decode(&key) {
                Some(Key::Held { task, .. }) => Ok((task, request)),
                _ => Err(damaged(&key)),
            }
        })
        .collect()
    }

    // ---- streams

    pub(crate) fn head(&self, stream: &StreamName) -> Result<Head, CacheError> {
        match self.changes.heads.get(stream) {
            Some(head) => Ok(head.clone()),
            None => match self.kept.head(stream) {
                Some(head) => Ok(head.clone()),
                None => Ok(self.txn.read(&Key::Head(stream.clone()))?.unwrap_or_default()),
            },
        }
    }

    pub(crate) fn put_head(&mut self, stream: StreamName, head: Head) {
        self.changes.heads.insert(stream, head);
    }

    /// Adds an entry behind `head`.
    pub(crate) fn add(
        &mut self,
        stream: &StreamName,
        head: &mut Head,
        what: EventDraft,
    ) -> Result<(), CacheError> {
        head.last = head.last.saturating_add(1);
        let event = Event { seq: head.last, at: self.now, what };
        self.txn.write(&Key::Entry { stream: stream.clone(), seq: head.last }, &event)?;
        // Two for one: so a stream that is beyond a limit that was lowered comes down to it.
        for _ in 0..2 {
            if head.last.saturating_sub(head.trimmed) > self.limits.of(stream) {
                head.trimmed = head.trimmed.saturating_add(1);
                self.txn.delete(&Key::Entry { stream: stream.clone(), seq: head.trimmed });
            }
        }
        Ok(())
    }

    /// Tells of a move, or of anything else that the cache itself says.
    pub(crate) fn say(&mut self, what: EventDraft) -> Result<(), CacheError> {
        let mut head = self.head(&EVENTS)?;
        self.add(&EVENTS, &mut head, what)?;
        self.put_head(EVENTS.clone(), head);
        Ok(())
    }

    /// Something may be claimable now that was not.
    pub(crate) fn work_appeared(&mut self) {
        self.changes.work = self.changes.work.saturating_add(1);
    }
}

/// The incarnation registered under a name, and whether it has ended.
pub(crate) fn life(agent: Option<&AgentDoc>) -> Option<(&Incarnation, bool)> {
    agent.map(|agent| (&agent.registration.incarnation, agent.ended()))
}

pub(crate) fn claimable(state: &TaskState) -> bool {
    state.status == TaskStatus::Ready && state.not_before.is_none()
}

/// A stored key that is none.
pub(crate) fn damaged(key: &[u8]) -> CacheError {
    CacheError::Corrupt { key: crate::store::readable(key), source: None }
}
