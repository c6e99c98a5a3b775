//! `steer`: what a person wants.

use super::store::{Store, TaskEntry};
use crate::cache::{CacheError, Directive, Steer, Steered};
use crate::dag::MAX_PRIORITY;
use crate::ids::{AgentName, GoalId, TaskId};
use crate::rules;
use crate::state::{Move, TaskState};
use crate::time::Timestamp;

impl Store {
    pub(super) fn steer(&mut self, steer: &Steer, now: Timestamp) -> Result<Steered, CacheError> {
        rules::check_steer(steer)?;
        if let Some(answer) = self.answers.get(&steer.request) {
            return Ok(answer.clone());
        }
        let answer = self.obey(&steer.directive, &steer.by, now);
        self.log.say(now, rules::steered(steer, &answer));
        self.answers.keep(&steer.request, &answer);
        Ok(answer)
    }

    fn obey(&mut self, directive: &Directive, by: &str, now: Timestamp) -> Steered {
        match directive {
            Directive::Pause { agent } => self.pause(agent, by, now),
            Directive::Resume { agent } => self.resume(agent, by, now),
            Directive::FlushMemory { agent } => match self.memories.remove(agent) {
                Some(_) => rules::memory_flushed(agent),
                None => rules::memory_absent(agent),
            },
            Directive::DropTask { task } => {
                let mv = Move::Drop { reason: rules::drop_reason(by) };
                self.direct(task, &mv, now, |before, _| rules::task_dropped(task, before))
            }
            Directive::Elevate { priority, .. } if *priority > MAX_PRIORITY => {
                rules::priority_too_great(*priority)
            }
            Directive::Elevate { task, priority } => {
                let mv = Move::Elevate(*priority);
                self.direct(task, &mv, now, |before, _| rules::task_elevated(task, before, *priority))
            }
            Directive::Retry { task } => self.retry(task, now),
            Directive::Cancel { task } => {
                let mv = Move::Cancel { reason: rules::cancel_reason(by) };
                self.direct(task, &mv, now, |_, _| rules::task_cancelled(task))
            }
            Directive::CancelGoal { goal } => self.cancel_goal(goal, by, now),
        }
    }

    fn pause(&mut self, agent: &AgentName, by: &str, now: Timestamp) -> Steered {
        if !self.paused.insert(agent.clone()) {
            return rules::already_paused();
        }
        self.log.say(now, rules::agent_paused(agent, by));
        rules::now_paused(agent)
    }

    fn resume(&mut self, agent: &AgentName, by: &str, now: Timestamp) -> Steered {
        if !self.paused.remove(agent) {
            return rules::already_resumed();
        }
        self.log.say(now, rules::agent_resumed(agent, by));
        self.log.work_appeared();
        rules::now_resumed(agent)
    }

    /// Makes a move that a person asks for; `say` answers from the states before and after it.
    fn direct(
        &mut self,
        task: &TaskId,
        mv: &Move,
        now: Timestamp,
        say: impl FnOnce(&TaskState, &TaskState) -> Steered,
    ) -> Steered {
        if !self.tasks.contains_key(task) {
            return rules::no_such_task(task);
        }
        match self.make_alone(task, mv, now) {
            Ok(before) => say(&before, self.state(task).unwrap_or(&before)),
            Err(refusal) => rules::move_refused(task, &refusal),
        }
    }

    fn retry(&mut self, task: &TaskId, now: Timestamp) -> Steered {
        let Some(TaskEntry { task: found, .. }) = self.tasks.get(task) else {
            return rules::no_such_task(task);
        };
        let goal = self.goals.get_mut(&found.goal);
        let default = goal.as_ref().map_or(1, |goal| goal.max_attempts);
        let mv = Move::Retry(found.node.max_attempts.unwrap_or(default));
        // Of a goal that was cancelled as a whole, something is wanted again.
        if crate::state::apply(&found.state, &mv, now).is_ok()
            && let Some(goal) = goal
        {
            goal.cancelled = false;
        }
        self.direct(task, &mv, now, |before, after| rules::task_retried(task, before, after))
    }

    fn cancel_goal(&mut self, goal: &GoalId, by: &str, now: Timestamp) -> Steered {
        let Some(entry) = self.goals.get_mut(goal) else {
            return rules::no_such_goal(goal);
        };
        let unfinished = entry.goal.counts.unfinished();
        if unfinished == 0 {
            return rules::nothing_to_cancel(&entry.goal);
        }
        entry.cancelled = true;
        let tasks: Vec<TaskId> = entry.dag.nodes().map(|node| node.id.clone()).collect();
        for task in &tasks {
            // Finished ones have nothing to call off.
            let _ = self.make(task, &Move::Cancel { reason: rules::goal_cancel_reason(by) }, now);
        }
        self.evaluate(goal, now);
        rules::goal_cancelled(goal, unfinished)
    }
}
