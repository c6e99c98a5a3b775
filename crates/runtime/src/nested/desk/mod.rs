//! The nested orchestrator: holds the tasks that own goals, has each goal planned, and settles the task when
//! its goal rests.
//!
//! It waits for many at once and costs nothing meanwhile: what it does follows from events, but for the
//! renewal of its leases. Whatever it did not hear, because it was not there, it finds when it looks at
//! all: a task that another orchestrator held is taken over with its goal, and what is below a task that was
//! called off is called off.

mod attend;
mod downwards;
mod leases;
mod settle;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use downbeat_core::cache::{CacheError, Claim, Directive, Disposition, Lease};
use downbeat_core::dag::{Node, ORCHESTRATOR_CAPABILITY};
use downbeat_core::event::{Event, EventKind};
use downbeat_core::goal::{Goal, GoalStatus};
use downbeat_core::ids::{AgentName, Capability, GoalId, Incarnation, TaskId, Token};
use downbeat_core::state::{Failure, Outcome, TaskStatus};
use futures::future::{AbortHandle, BoxFuture, abortable};
use futures::stream::FuturesUnordered;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::declared::owners;
use super::name;
use super::told::{is_behind, is_told};
use crate::entropy;
use crate::orchestrator::{Orchestrator, RunError};

/// Under this name it claims; no agent may be called that.
pub const NESTED_ORCHESTRATOR: &str = "nested-orchestrator";

/// The least time between two words about a goal's progress: each is a write and an event.
const BETWEEN_NEWS: Duration = Duration::from_secs(2);

/// A task that it holds.
struct Charge {
    lease: Lease,
    node: std::sync::Arc<Node>,
    below: GoalId,
    renew_at: Instant,
    told_at: Instant,
    /// Something happened below since its progress was told.
    has_news: bool,
    /// Its goal is being planned.
    planning: Option<Planning>,
}

/// A plan that was made, or why not: for the task that was held under this token. Nothing when nobody wants it any
/// more.
type Planned = Option<(TaskId, Token, Result<(), RunError>)>;

/// A plan that is being made, for as long as its task is held: what a model does for one that was called off is
/// paid for, and is of no use.
struct Planning(AbortHandle);

impl Drop for Planning {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What it holds and knows.
pub(crate) struct Desk<'o> {
    orchestrator: &'o Orchestrator,
    agent: AgentName,
    life: Incarnation,
    /// Tasks that own goals, each with the goal that it is of.
    owners: HashMap<TaskId, GoalId>,
    held: HashMap<TaskId, Charge>,
    planning: FuturesUnordered<BoxFuture<'o, Planned>>,
}

impl std::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl<'o> Desk<'o> {
    pub(crate) fn new(orchestrator: &'o Orchestrator) -> Result<Self, RunError> {
        let agent = AgentName::new(NESTED_ORCHESTRATOR)
            .map_err(|error| RunError::Cache(CacheError::Invalid { reason: error.to_string() }))?;
        Ok(Self {
            orchestrator,
            agent,
            life: entropy::incarnation(),
            owners: HashMap::new(),
            held: HashMap::new(),
            planning: FuturesUnordered::new(),
        })
    }

    /// Gives back what it holds, so that the next orchestrator need not wait for it.
    pub(crate) async fn give_back(mut self) {
        // A plan that is being made goes with it.
        self.planning.clear();
        for (task, charge) in std::mem::take(&mut self.held) {
            let reason = "its orchestrator leaves; the goal below it goes on".to_owned();
            let settle = self.settle_of(&charge.lease, Outcome::Release { reason });
            if let Err(error) = self.orchestrator.cache.settle(&settle).await {
                debug!(target: "orchestrator", "Giving back task {task}: {error}");
            }
        }
    }

    // ---- what it hears and sees

    /// Finds everything that there is to do, whatever was told before.
    async fn look_at_all(&mut self) -> Result<(), RunError> {
        let goals = self.orchestrator.cache.goals().await?;
        if !self.orchestrator.owns_goals() && goals.iter().all(|goal| goal.parent.is_none()) {
            return Ok(());
        }
        for goal in &goals {
            if goal.counts.unfinished() > 0 {
                self.look_at(&goal.id).await?;
            }
        }
        for goal in &goals {
            self.follow_parent(goal).await?;
        }
        let held: Vec<TaskId> = self.held.keys().cloned().collect();
        for task in held {
            self.rests(&task).await?;
        }
        Ok(())
    }

    /// Enters the tasks of a goal that own goals, and takes those that can be had.
    async fn look_at(&mut self, goal: &GoalId) -> Result<(), RunError> {
        let Some(dag) = self.orchestrator.cache.dag(goal).await? else { return Ok(()) };
        for (_, node) in owners(&dag) {
            self.owners.insert(node.id.clone(), goal.clone());
            if self.held.contains_key(&node.id) {
                continue;
            }
            let Some(found) = self.orchestrator.cache.task(&node.id).await? else { continue };
            let state = &found.task.state;
            match (state.status, &state.holder) {
                (TaskStatus::Running, Some(holder)) if holder.agent == self.agent => {
                    // Whoever held it leads no more, or it was granted and the answer lost: it is taken over at
                    // once, with all that is below it.
                    self.steer(
                        Directive::DropTask { task: node.id.clone() },
                        "an orchestrator that took over",
                    )
                    .await?;
                    self.claim(&node.id).await?;
                }
                (TaskStatus::Ready, _) => self.claim(&node.id).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// An unfinished goal below a task goes as the task goes; a task that failed with its goal is tried again
    /// with it.
    async fn follow_parent(&mut self, goal: &Goal) -> Result<(), RunError> {
        let Some(parent) = &goal.parent else { return Ok(()) };
        if goal.counts.unfinished() == 0 && goal.status != GoalStatus::Complete {
            return Ok(());
        }
        match self.orchestrator.cache.task(&parent.task).await? {
            None => self.call_off(&goal.id, &parent.task).await,
            Some(task) if task.task.state.status == TaskStatus::Cancelled => {
                self.call_off(&goal.id, &parent.task).await
            }
            Some(task) if is_behind(&task, goal) => {
                self.owners.insert(parent.task.clone(), parent.goal.clone());
                self.try_again(&parent.task, goal).await
            }
            Some(_) => Ok(()),
        }
    }

    async fn follow_parent_of(&mut self, goal: &GoalId) -> Result<(), RunError> {
        match self.orchestrator.cache.goal(goal).await? {
            Some(goal) => self.follow_parent(&goal).await,
            None => Ok(()),
        }
    }

    /// Has a task go on that failed with its goal, a task of which was tried again.
    async fn try_again(&mut self, task: &TaskId, goal: &Goal) -> Result<(), RunError> {
        let by = format!("goal `{}`, a task of which was tried again", goal.id);
        self.steer(Directive::Retry { task: task.clone() }, &by).await?;
        // What comes of it may have to be told in turn.
        Box::pin(self.claim(task)).await
    }

    async fn hear(&mut self, event: &Event) -> Result<(), RunError> {
        let (kind, what) = (&event.what.kind, &event.what);
        if let Some(task) = &what.task {
            if self.owners.contains_key(task) {
                self.hear_of(task, kind, what.token).await?;
            }
            if let Some(goal) = &what.goal
                && let Some(charge) = self.held.values_mut().find(|charge| charge.below == *goal)
            {
                charge.has_news |= *kind != EventKind::TASK_PROGRESS;
            }
            return Ok(());
        }
        let Some(goal) = &what.goal else { return Ok(()) };
        if *kind == EventKind::GOAL_PLANNED || *kind == EventKind::GOAL_AMENDED {
            // Its task may have been called off while another orchestrator's plan was on its way.
            self.follow_parent_of(goal).await?;
            self.look_at(goal).await
        } else if *kind == EventKind::GOAL_ACTIVE {
            self.follow_parent_of(goal).await
        } else if kind.as_str().starts_with("goal.") {
            let of = self.held.iter().find(|(_, charge)| charge.below == *goal);
            match of.map(|(task, _)| task.clone()) {
                Some(task) => self.rests(&task).await,
                // Its task may have failed before it was.
                None => self.follow_parent_of(goal).await,
            }
        } else {
            Ok(())
        }
    }

    /// Something happened to a task that owns a goal.
    async fn hear_of(
        &mut self,
        task: &TaskId,
        kind: &EventKind,
        token: Option<Token>,
    ) -> Result<(), RunError> {
        let is_held =
            self.held.get(task).is_some_and(|charge| token.is_none_or(|token| token == charge.lease.token));
        if *kind == EventKind::TASK_CANCELLED {
            self.held.remove(task);
            let of = self.owners.get(task).cloned();
            if let Some(of) = of {
                self.call_off(&name::below(&of, task), task).await?;
            }
        } else if *kind == EventKind::TASK_RELEASED || *kind == EventKind::TASK_EXPIRED {
            if is_held && let Some(charge) = self.held.remove(task) {
                self.drop_below(&charge.below, task).await?;
            }
            self.claim(task).await?;
        } else if *kind == EventKind::TASK_READY || *kind == EventKind::DIRECTIVE_APPLIED {
            self.claim(task).await?;
        } else if *kind == EventKind::TASK_FAILED {
            // Not as its goal did, if that goes on: its lease ran out too often.
            if is_held {
                self.held.remove(task);
            }
            let of = self.owners.get(task).cloned();
            if let Some(of) = of {
                self.follow_parent_of(&name::below(&of, task)).await?;
            }
        }
        Ok(())
    }

    // ---- what it does for a task

    async fn claim(&mut self, task: &TaskId) -> Result<(), RunError> {
        if self.held.contains_key(task) {
            return Ok(());
        }
        let reserved = Capability::new(ORCHESTRATOR_CAPABILITY);
        let claim = Claim {
            agent: self.agent.clone(),
            incarnation: self.life.clone(),
            request: entropy::request_id(),
            goal: None,
            capabilities: reserved.into_iter().collect(),
            task: Some(task.clone()),
            avoid: BTreeSet::new(),
            ttl: self.orchestrator.settings.lease_ttl,
        };
        let asked = Instant::now();
        let claimed = match self.orchestrator.cache.claim(&claim).await {
            Ok(reply) => reply.granted(),
            Err(CacheError::TaskNotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(claimed) = claimed else { return Ok(()) };
        let below = name::below(&claimed.lease.goal, task);
        let charge = Charge {
            lease: claimed.lease,
            node: claimed.node,
            below,
            renew_at: asked + self.orchestrator.settings.lease_ttl / 3,
            told_at: asked,
            has_news: false,
            planning: None,
        };
        self.held.insert(task.clone(), charge);
        self.take_up(task).await
    }

    /// Begins with a task that was just claimed: its goal is planned, taken over, or tried again.
    async fn take_up(&mut self, task: &TaskId) -> Result<(), RunError> {
        let Some(charge) = self.held.get(task) else { return Ok(()) };
        let (lease, node, below) = (charge.lease.clone(), charge.node.clone(), charge.below.clone());
        let Some(goal) = self.orchestrator.cache.goal(&below).await? else {
            let orchestrator = self.orchestrator;
            let (planned, handle) = abortable(async move {
                let planned = orchestrator.plan_below(&lease, &node, &below).await;
                (lease.task, lease.token, planned)
            });
            self.planning.push(Box::pin(async move { planned.await.ok() }));
            if let Some(charge) = self.held.get_mut(task) {
                charge.planning = Some(Planning(handle));
            }
            return Ok(());
        };
        if goal.parent.as_ref().is_none_or(|parent| parent.task != *task) {
            let failure = Failure::new(format!("the id `{below}` belongs to another goal"), None);
            return self.settle(task, Outcome::Failed { failure }).await;
        }
        if !goal.status.is_at_rest() {
            info!(target: "orchestrator", "Took over goal {below} of task {task}");
            return self.orchestrator.amend_below(&node, &goal).await;
        }
        let found = self.orchestrator.cache.task(task).await?;
        if goal.status == GoalStatus::Complete || found.is_some_and(|found| !is_told(&found, &goal)) {
            return self.rests(task).await;
        }
        info!(target: "orchestrator", "Trying goal {below} of task {task} again");
        self.orchestrator.amend_below(&node, &goal).await?;
        self.retry_below(&below, task).await?;
        // Nothing of it could be tried again: then that is how it ends.
        self.rests(task).await
    }

    async fn planned(&mut self, planned: Planned) -> Result<(), RunError> {
        let Some((task, token, planned)) = planned else { return Ok(()) };
        if self.held.get(&task).is_none_or(|charge| charge.lease.token != token) {
            return Ok(());
        }
        let Err(error) = planned else { return self.rests(&task).await };
        if let RunError::Cache(error) = &error
            && error.disposition() == Disposition::Retry
        {
            return Err(RunError::Cache(CacheError::Failed { reason: error.to_string() }));
        }
        warn!(target: "orchestrator", "The goal of task {task} cannot be planned: {error}");
        let failure = Failure::new(error.to_string(), None);
        // A model may do better; a file says the same again.
        let outcome = match error {
            RunError::Planning { .. } => Outcome::Retry { after: self.backoff(&task), failure },
            _ => Outcome::Failed { failure },
        };
        self.settle(&task, outcome).await
    }
}

/// Where the tasks of a goal stand, in words.
fn counted(goal: &Goal) -> String {
    let counts = &goal.counts;
    let mut said = format!("{} of {} tasks done", counts.done, counts.total());
    for (number, what) in
        [(counts.running, "running"), (counts.failed, "failed"), (counts.cancelled, "cancelled")]
    {
        if number > 0 {
            said.push_str(&format!(", {number} {what}"));
        }
    }
    said
}
