//! Notices that nothing here can go on: every task that could run needs an agent that is not there.

use downbeat_core::cache::{Agent, Liveness, Task, TaskQuery};
use downbeat_core::goal::Counts;
use downbeat_core::ids::GoalId;
use downbeat_core::state::TaskStatus;

use super::{Orchestrator, RunError};

/// How many ready tasks are looked at in a step.
const PAGE: usize = 200;

/// How many stranded tasks are named.
const NAMED: usize = 20;

impl Orchestrator {
    /// What is missing, each in a line, when no task runs and none that is ready can be taken by
    /// anybody; nothing while something can move.
    pub(super) async fn stranded(&self, goals: &[GoalId]) -> Result<Vec<String>, RunError> {
        let agents = self.cache.agents().await?;
        let before = self.counts(goals).await?;
        if before.iter().any(|counts| counts.running > 0) {
            return Ok(Vec::new());
        }
        let mut lines = Vec::new();
        let exhausted = self.ledger.exhausted();
        for goal in goals {
            let mut after = None;
            loop {
                let status = Some(TaskStatus::Ready);
                let query = TaskQuery { goal: goal.clone(), status, after, limit: PAGE };
                let page = self.cache.tasks(&query).await?;
                for task in &page {
                    let needs_model = task.node.run.is_none();
                    if exhausted.as_ref().is_some_and(|_| needs_model) {
                        if lines.is_empty() {
                            lines.extend(exhausted.clone());
                        }
                        continue;
                    }
                    if agents.iter().any(|agent| may_take(agent, task)) || self.may_come_for(task, &agents) {
                        return Ok(Vec::new());
                    }
                    if lines.len() < NAMED {
                        lines.push(missing(task));
                    }
                }
                after = page.last().map(|task| task.ordinal);
                if page.len() < PAGE {
                    break;
                }
            }
        }
        // A task that was taken while we looked stands in no page: then something does move.
        if !lines.is_empty() && self.counts(goals).await? != before {
            lines.clear();
        }
        Ok(lines)
    }

    /// Whether a declared agent that does not live now may still come and take a task.
    fn may_come_for(&self, task: &Task, agents: &[Agent]) -> bool {
        self.project().agents.iter().any(|declared| {
            let spec = &declared.spec;
            let name = &spec.name.value;
            let known = agents.iter().find(|agent| agent.registration.name == *name);
            // Of one that lives or is paused it is known whether it may take the task.
            known.is_none_or(|agent| agent.liveness == Liveness::Dead && !agent.paused)
                && self.coming.has(name)
                && crate::load::works_for(spec, &task.goal)
                && task.node.capabilities.iter().all(|needed| spec.capabilities.contains(needed))
        })
    }

    /// How many tasks of each goal stand where.
    async fn counts(&self, goals: &[GoalId]) -> Result<Vec<Counts>, RunError> {
        let mut counts = Vec::new();
        for goal in goals {
            counts.extend(self.cache.goal(goal).await?.map(|goal| goal.counts));
        }
        Ok(counts)
    }
}

fn may_take(agent: &Agent, task: &Task) -> bool {
    agent.liveness != Liveness::Dead && !agent.paused && crate::why::is_able(agent, task)
}

fn missing(task: &Task) -> String {
    let needed: Vec<String> = task.node.capabilities.iter().map(|it| format!("`{it}`")).collect();
    let needs = if needed.is_empty() { "an agent".to_owned() } else { needed.join(", ") };
    format!("task `{}` needs {needs}, and no agent that is not paused offers it", task.node.id)
}
