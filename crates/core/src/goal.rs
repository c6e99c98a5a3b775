//! A goal: one asked-for thing, its DAG's counts, and where it stands.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::EventKind;
use crate::ids::{GoalId, TaskId};
use crate::state::TaskStatus;
use crate::time::Timestamp;

/// Where a goal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GoalStatus {
    /// Declared, not planned yet.
    Draft,
    /// Something can move.
    Active,
    /// Every task is done, or was called off while others were done.
    Complete,
    /// Nothing is left to do, and a task failed.
    Failed,
    /// Every unfinished task waits for one that failed or was cancelled: a person is needed.
    Stalled,
    /// Somebody cancelled it.
    Cancelled,
}

impl GoalStatus {
    /// As users type it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Stalled => "stalled",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing moves any more until a person does something.
    #[must_use]
    pub const fn is_at_rest(self) -> bool {
        !matches!(self, Self::Draft | Self::Active)
    }

    /// Whether it ended, and nothing of it is left to do: it can be removed.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Cancelled)
    }

    /// The event that tells of the change to this status.
    #[must_use]
    pub const fn event(self) -> EventKind {
        match self {
            Self::Draft => EventKind::GOAL_PLANNED,
            Self::Active => EventKind::GOAL_ACTIVE,
            Self::Complete => EventKind::GOAL_COMPLETE,
            Self::Failed => EventKind::GOAL_FAILED,
            Self::Stalled => EventKind::GOAL_STALLED,
            Self::Cancelled => EventKind::GOAL_CANCELLED,
        }
    }
}

impl fmt::Display for GoalStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many tasks of a goal stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Waiting for a dependency.
    pub blocked: u64,
    /// Claimable, now or after a wait.
    pub ready: u64,
    /// Held by an agent.
    pub running: u64,
    /// Finished well.
    pub done: u64,
    /// Waiting for a person.
    pub failed: u64,
    /// Called off.
    pub cancelled: u64,
}

impl Counts {
    /// The count of one status, to be changed.
    pub const fn of_mut(&mut self, status: TaskStatus) -> &mut u64 {
        match status {
            TaskStatus::Blocked => &mut self.blocked,
            TaskStatus::Ready => &mut self.ready,
            TaskStatus::Running => &mut self.running,
            TaskStatus::Done => &mut self.done,
            TaskStatus::Failed => &mut self.failed,
            TaskStatus::Cancelled => &mut self.cancelled,
        }
    }

    /// One task went from `from` to `to`.
    pub fn moved(&mut self, from: TaskStatus, to: TaskStatus) {
        self.remove(from);
        self.add(to);
    }

    /// One more task stands at `status`.
    pub fn add(&mut self, status: TaskStatus) {
        let count = self.of_mut(status);
        *count = count.saturating_add(1);
    }

    /// One task fewer stands at `status`.
    pub fn remove(&mut self, status: TaskStatus) {
        let count = self.of_mut(status);
        *count = count.saturating_sub(1);
    }

    /// All tasks.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.blocked + self.ready + self.running + self.done + self.failed + self.cancelled
    }

    /// Tasks that are not finished.
    #[must_use]
    pub const fn unfinished(&self) -> u64 {
        self.blocked + self.ready + self.running
    }

    /// Where a planned goal with these counts stands, and why when it does not go on.
    ///
    /// `cancelled` says that a person cancelled the goal as a whole. Blocked tasks with nothing ready
    /// and nothing running wait, each through some chain, for a task that failed or was cancelled: so
    /// stalling is seen from the counts alone.
    #[must_use]
    pub fn goal_status(&self, cancelled: bool) -> (GoalStatus, Option<String>) {
        if self.ready + self.running > 0 {
            return (GoalStatus::Active, None);
        }
        if cancelled || (self.cancelled > 0 && self.cancelled == self.total()) {
            return (GoalStatus::Cancelled, Some(format!("{} tasks were cancelled", self.cancelled)));
        }
        if self.blocked > 0 {
            let reason = format!(
                "{} unfinished tasks wait for {} failed and {} cancelled ones",
                self.blocked, self.failed, self.cancelled
            );
            return (GoalStatus::Stalled, Some(reason));
        }
        if self.failed > 0 {
            let reason = format!("{} of {} tasks failed", self.failed, self.total());
            return (GoalStatus::Failed, Some(reason));
        }
        let reason = (self.cancelled > 0)
            .then(|| format!("{} of {} tasks were cancelled", self.cancelled, self.total()));
        (GoalStatus::Complete, reason)
    }
}

/// What models cost. Sums are exact: money is counted in millionths of a US dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Calls of a model.
    pub calls: u64,
    /// Tokens that went in, cached ones included.
    pub input_tokens: u64,
    /// Tokens that came out.
    pub output_tokens: u64,
    /// Millionths of a US dollar.
    pub cost_micros: u64,
}

impl Usage {
    /// The sum of both. Saturates.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cost_micros: self.cost_micros.saturating_add(other.cost_micros),
        }
    }

    /// All tokens.
    #[must_use]
    pub const fn tokens(self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// US dollars, for people.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "shown to people, never summed")]
    pub fn cost_usd(self) -> f64 {
        self.cost_micros as f64 / 1e6
    }
}

/// What a goal is below: a task of another goal that owns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parent {
    /// The goal of that task.
    pub goal: GoalId,
    /// The task: it is done when this goal is complete.
    pub task: TaskId,
    /// The goal above all others: agents that work for it take the tasks of this one, too.
    pub root: GoalId,
    /// The declared goal that this one was made from, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<GoalId>,
}

/// A goal as a cache knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Goal {
    /// Its id.
    pub id: GoalId,
    /// What it is called.
    pub title: String,
    /// Where it stands.
    pub status: GoalStatus,
    /// Why it does not go on, when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it is below, if it is: the task that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// Grows by one with each amendment, from 1.
    pub revision: u64,
    /// Of its DAG, hexadecimal: tells whether a declared plan is the stored one.
    pub digest: String,
    /// How many tasks stand where.
    pub counts: Counts,
    /// What models cost so far.
    pub usage: Usage,
    /// When it was planned.
    pub created_at: Timestamp,
    /// When it came to rest, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

impl Goal {
    /// The goal above all others that it is below; itself when it is below none.
    #[must_use]
    pub fn root(&self) -> &GoalId {
        self.parent.as_ref().map_or(&self.id, |parent| &parent.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_stands_where_its_counts_say() {
        let at = |blocked, ready, running, done, failed, cancelled| {
            let counts = Counts { blocked, ready, running, done, failed, cancelled };
            counts.goal_status(false).0
        };
        assert_eq!(at(1, 1, 0, 0, 0, 0), GoalStatus::Active);
        assert_eq!(at(1, 0, 1, 0, 5, 0), GoalStatus::Active);
        assert_eq!(at(1, 0, 0, 3, 1, 0), GoalStatus::Stalled);
        assert_eq!(at(1, 0, 0, 3, 0, 1), GoalStatus::Stalled);
        assert_eq!(at(0, 0, 0, 3, 1, 1), GoalStatus::Failed);
        assert_eq!(at(0, 0, 0, 3, 0, 0), GoalStatus::Complete);
        assert_eq!(at(0, 0, 0, 3, 0, 1), GoalStatus::Complete);
        assert_eq!(at(0, 0, 0, 0, 0, 4), GoalStatus::Cancelled);
        let all_but_one = Counts { done: 3, cancelled: 1, ..Counts::default() };
        assert!(all_but_one.goal_status(false).1.unwrap().contains("1 of 4"));
        assert_eq!(all_but_one.goal_status(true).0, GoalStatus::Cancelled);
    }
}
