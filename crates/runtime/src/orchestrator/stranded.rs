//! Notices that nothing here can go on: every task that could run needs an agent that is not there.

use downbeat_core::cache::{Agent, Liveness, Phase, Task, TaskQuery};
use downbeat_core::goal::{Counts, Goal};
use downbeat_core::ids::GoalId;
use downbeat_core::state::TaskStatus;
use downbeat_core::time::Clock as _;

use super::{Orchestrator, RunError};
use crate::spending;

/// How many tasks are looked at in a step.
const PAGE: usize = 200;

/// How many stranded tasks are named.
const NAMED: usize = 20;

impl Orchestrator {
    /// What is missing, each in a line, when no agent works and none of the tasks that are ready can be taken
    /// by anybody; nothing while something can move. A task that owns a goal does not work itself: it is the
    /// goal below it that moves or does not.
    pub(super) async fn stranded(&self, goals: &[GoalId]) -> Result<Vec<String>, RunError> {
        let agents = self.cache.agents().await?;
        let family = self.family(goals).await?;
        let before: Vec<Counts> = family.iter().map(|goal| goal.counts).collect();
        let mut lines = Vec::new();
        let exhausted = self.exhausted().await?;
        for goal in &family {
            if goal.counts.running > 0
                && self.any(goal, TaskStatus::Running, |task| task.node.kind.is_task()).await?
            {
                return Ok(Vec::new());
            }
        }
        for goal in family.iter().filter(|goal| goal.counts.ready > 0) {
            let is_movable = |task: &Task| {
                if !task.node.kind.is_task() {
                    return true;
                }
                let needs_model = task.node.run.is_none();
                if exhausted.as_ref().is_some_and(|_| needs_model) {
                    if lines.is_empty() {
                        lines.extend(exhausted.clone());
                    }
                    return false;
                }
                let root = goal.root();
                if agents.iter().any(|agent| may_take(agent, task, root))
                    || self.may_come_for(task, root, &agents)
                {
                    return true;
                }
                if lines.len() < NAMED {
                    lines.push(missing(task));
                }
                false
            };
            if self.any(goal, TaskStatus::Ready, is_movable).await? {
                return Ok(Vec::new());
            }
        }
        // A task that was taken while we looked stands in no page: then something does move.
        if !lines.is_empty() {
            let after: Vec<Counts> = self.family(goals).await?.iter().map(|goal| goal.counts).collect();
            if after != before || self.owes(&family).await? || self.will_reparse().await? {
                lines.clear();
            }
        }
        Ok(lines)
    }

    /// Why no model is asked any more, if none is: by agents of this process, or by those that are processes.
    async fn exhausted(&self) -> Result<Option<String>, RunError> {
        let own = self.ledger.exhausted();
        if own.is_some() || !self.has_agents_elsewhere() {
            return Ok(own);
        }
        let parked = spending::parked(self.cache.as_ref(), self.clock.now()).await?;
        let all = parked.into_iter().find(|parked| parked.model.is_none() && parked.until.is_none());
        Ok(all.map(|parked| parked.reason))
    }

    /// Whether a declared agent that does not live now may still come and take a task.
    fn may_come_for(&self, task: &Task, root: &GoalId, agents: &[Agent]) -> bool {
        self.project().agents.iter().any(|declared| {
            let spec = &declared.spec;
            let name = &spec.name.value;
            let known = agents.iter().find(|agent| agent.registration.name == *name);
            let ends = |agent: &Agent| agent.liveness == Liveness::Dead || self.coming.has_anew(name);
            // Of one that lives and stays, or is paused, it is known whether it may take the task.
            known.is_none_or(|agent| ends(agent) && !agent.paused)
                && self.coming.has(name)
                && crate::load::works_for(spec, root)
                && task.node.capabilities.iter().all(|needed| spec.capabilities.contains(needed))
        })
    }

    /// These goals, and all that are below them.
    async fn family(&self, goals: &[GoalId]) -> Result<Vec<Goal>, RunError> {
        let all = self.cache.goals().await?;
        Ok(all.into_iter().filter(|goal| goals.contains(goal.root())).collect())
    }

    /// Whether any task of a goal that stands there is so; each is looked at until one is.
    pub(super) async fn any(
        &self,
        goal: &Goal,
        status: TaskStatus,
        mut is_so: impl FnMut(&Task) -> bool,
    ) -> Result<bool, RunError> {
        let mut after = None;
        loop {
            let query = TaskQuery { goal: goal.id.clone(), status: Some(status), after, limit: PAGE };
            let page = self.cache.tasks(&query).await?;
            if page.iter().any(&mut is_so) {
                return Ok(true);
            }
            after = page.last().map(|task| task.ordinal);
            if page.len() < PAGE {
                return Ok(false);
            }
        }
    }
}

fn may_take(agent: &Agent, task: &Task, root: &GoalId) -> bool {
    agent.liveness != Liveness::Dead
        && agent.phase != Phase::Quarantined
        && !agent.paused
        && crate::why::is_able(agent, task, root)
}

fn missing(task: &Task) -> String {
    let needed: Vec<String> = task.node.capabilities.iter().map(|it| format!("`{it}`")).collect();
    let needs = if needed.is_empty() { "an agent".to_owned() } else { needed.join(", ") };
    format!("task `{}` needs {needs}, and no agent that is not paused offers it", task.node.id)
}
