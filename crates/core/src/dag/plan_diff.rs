//! What becomes of every task when its goal gets another plan.
//!
//! The input of a task is its scope (see [`Aspect::is_scope`]) and what the tasks make that it waits for.
//! Its input changes when its scope does, when it waits for a task that it did not wait for, or when the
//! input of one that it waits for changes. (One that waits for less still has all that it works from.)
//! Work whose input did not change is never done again; work whose input did is, and so is all that was
//! made from it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde::Serialize;

use super::{Dag, Node};
use crate::ids::{GoalId, TaskId};
use crate::state::{Redo, TaskStatus};

/// A part of a task that a plan may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Aspect {
    /// What is to be done, in a line.
    Title,
    /// What is to be done, in full.
    Description,
    /// The shell command that does it.
    Command,
    /// The goal that it owns, or whether it owns one.
    Goal,
    /// What must exit with 0 for it to be done.
    Checks,
    /// The files that must exist when it is done.
    Artifacts,
    /// What an agent must be capable of.
    Capabilities,
    /// What goes first.
    Priority,
    /// How often it may be tried.
    Attempts,
    /// How long an attempt may take.
    Timeout,
    /// What the planner keeps with it.
    Metadata,
}

impl Aspect {
    /// As users read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Description => "description",
            Self::Command => "command",
            Self::Goal => "goal",
            Self::Checks => "checks",
            Self::Artifacts => "artifacts",
            Self::Capabilities => "capabilities",
            Self::Priority => "priority",
            Self::Attempts => "attempts",
            Self::Timeout => "timeout",
            Self::Metadata => "metadata",
        }
    }

    /// Whether it says what is to be done, so that a task in which it differs is another task.
    ///
    /// Priority, attempts, timeout and metadata never do. The words of a task that a command does are
    /// for people; to a model they are the task.
    #[must_use]
    pub const fn is_scope(self, by_command: bool) -> bool {
        match self {
            Self::Command | Self::Goal | Self::Checks | Self::Artifacts | Self::Capabilities => true,
            Self::Title | Self::Description => !by_command,
            Self::Priority | Self::Attempts | Self::Timeout | Self::Metadata => false,
        }
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a new plan means for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It is new.
    Begins,
    /// It stands as it stood: finished work stays finished, a holder goes on.
    Kept,
    /// It is finished, and is done again.
    Again,
    /// It runs as another task: its holder loses the lease and it starts anew.
    Restarts,
    /// It runs, and what it works from is made again: its holder goes on, then it is done once more.
    OnceMore,
    /// It is unfinished and the new plan does not have it: it is called off. A holder loses its lease.
    Cancelled,
    /// It is finished and the new plan does not have it: its record is forgotten, its files stay.
    Forgotten,
}

impl Fate {
    /// As users read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begins => "begins",
            Self::Kept => "kept",
            Self::Again => "done again",
            Self::Restarts => "starts anew",
            Self::OnceMore => "done once more",
            Self::Cancelled => "cancelled",
            Self::Forgotten => "forgotten",
        }
    }
}

/// One task in two plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskChange {
    /// The task.
    pub task: TaskId,
    /// What it is called in the newer plan that has it.
    pub title: String,
    /// Where it stands; nothing if it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
    /// What makes it another task.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rescoped: Vec<Aspect>,
    /// What differs and does not make it another task.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adjusted: Vec<Aspect>,
    /// What it waits for now and did not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<TaskId>,
    /// What it waits for no more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits_no_more: Vec<TaskId>,
    /// The task, among those that it waits for, through which a change elsewhere reaches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because_of: Option<TaskId>,
    /// What becomes of it.
    pub fate: Fate,
}

impl TaskChange {
    /// Whether the plans say the same of it.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.rescoped.is_empty()
            && self.adjusted.is_empty()
            && self.waits_for.is_empty()
            && self.waits_no_more.is_empty()
            && !matches!(self.fate, Fate::Begins | Fate::Cancelled | Fate::Forgotten)
    }

    /// Whether a holder loses its lease.
    #[must_use]
    pub fn ends_lease(&self) -> bool {
        self.status == Some(TaskStatus::Running) && matches!(self.fate, Fate::Restarts | Fate::Cancelled)
    }

    /// Whether work that was done or is being done is done again.
    #[must_use]
    pub const fn costs_again(&self) -> bool {
        matches!(self.fate, Fate::Again | Fate::Restarts | Fate::OnceMore)
    }
}

/// Two plans of a goal, task by task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanDiff {
    /// The goal.
    pub goal: GoalId,
    /// Those of the new plan in its order, then those that it does not have any more.
    pub tasks: Vec<TaskChange>,
    /// What an amendment has done again: see [`redo`](Self::redo).
    #[serde(skip)]
    redo: BTreeMap<TaskId, Redo>,
}

/// How many tasks of a [`PlanDiff`] are what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Only in the new plan.
    pub added: usize,
    /// Only in the old one.
    pub removed: usize,
    /// Wait for others.
    pub rewired: usize,
    /// Are other tasks.
    pub rescoped: usize,
    /// Differ in what does not matter for their result, and in nothing else.
    pub adjusted: usize,
    /// Neither plan nor fate differ.
    pub kept: usize,
    /// Are done again, now or when their attempt is through.
    pub done_again: usize,
    /// Lose a holder.
    pub leases_ended: usize,
    /// Are called off.
    pub cancelled: usize,
}

impl PlanDiff {
    /// Whether the plans are the same, but for the order of their tasks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.iter().all(TaskChange::is_unchanged)
    }

    /// What an amendment has to name for all of this to happen.
    ///
    /// It does not depend on where tasks stood: between this and the amendment some may move, and each is
    /// treated as it stands then.
    #[must_use]
    pub const fn redo(&self) -> &BTreeMap<TaskId, Redo> {
        &self.redo
    }

    /// How many tasks are what.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for task in &self.tasks {
            let rewired = !task.waits_for.is_empty() || !task.waits_no_more.is_empty();
            match task.fate {
                Fate::Begins => tally.added += 1,
                Fate::Cancelled | Fate::Forgotten => tally.removed += 1,
                _ => {
                    tally.rewired += usize::from(rewired);
                    tally.rescoped += usize::from(!task.rescoped.is_empty());
                    let adjusted = !task.adjusted.is_empty() && task.rescoped.is_empty() && !rewired;
                    tally.adjusted += usize::from(adjusted);
                    tally.kept += usize::from(task.is_unchanged() && task.fate == Fate::Kept);
                }
            }
            tally.done_again += usize::from(task.costs_again());
            tally.leases_ended += usize::from(task.ends_lease());
            tally.cancelled += usize::from(task.fate == Fate::Cancelled);
        }
        tally
    }
}

/// What happens to each task when `new` takes the place of `old`, by where the tasks stand (`status`; one
/// that it does not know has not begun). Linear in both.
#[must_use]
pub fn plan_diff(old: &Dag, new: &Dag, status: impl Fn(&TaskId) -> Option<TaskStatus>) -> PlanDiff {
    let reached = redo(old, new);
    let mut tasks = Vec::with_capacity(new.len());
    for node in new.nodes() {
        let Some(before) = old.node(&node.id) else {
            tasks.push(TaskChange { fate: Fate::Begins, ..unchanged(node) });
            continue;
        };
        let now = status(&node.id).unwrap_or(TaskStatus::Blocked);
        let by_command = before.run.is_some() && node.run.is_some();
        let (rescoped, adjusted) =
            differences(before, node).into_iter().partition(|aspect| aspect.is_scope(by_command));
        let was: BTreeSet<&TaskId> = old.dependencies(&node.id).into_iter().collect();
        let is: BTreeSet<&TaskId> = new.dependencies(&node.id).into_iter().collect();
        let why = reached.get(&node.id).map(|(why, _)| *why);
        tasks.push(TaskChange {
            status: Some(now),
            rescoped,
            adjusted,
            waits_for: is.difference(&was).map(|&id| id.clone()).collect(),
            waits_no_more: was.difference(&is).map(|&id| id.clone()).collect(),
            because_of: reached.get(&node.id).and_then(|(_, through)| through.clone()),
            fate: fate(now, why),
            ..unchanged(node)
        });
    }
    for node in old.nodes().filter(|node| new.node(&node.id).is_none()) {
        let now = status(&node.id).unwrap_or(TaskStatus::Blocked);
        let fate = if now.is_finished() { Fate::Forgotten } else { Fate::Cancelled };
        tasks.push(TaskChange { status: Some(now), fate, ..unchanged(node) });
    }
    let redo = reached.into_iter().map(|(id, (why, _))| (id, why)).collect();
    PlanDiff { goal: new.goal().clone(), tasks, redo }
}

fn unchanged(node: &Node) -> TaskChange {
    TaskChange {
        task: node.id.clone(),
        title: node.title.clone(),
        status: None,
        rescoped: Vec::new(),
        adjusted: Vec::new(),
        waits_for: Vec::new(),
        waits_no_more: Vec::new(),
        because_of: None,
        fate: Fate::Kept,
    }
}

/// The same as [`state::apply`](crate::state::apply) does of [`Move::Redo`](crate::state::Move::Redo).
const fn fate(status: TaskStatus, why: Option<Redo>) -> Fate {
    match (status, why) {
        (TaskStatus::Done | TaskStatus::Failed, Some(_)) | (TaskStatus::Cancelled, Some(Redo::Scope)) => {
            Fate::Again
        }
        (TaskStatus::Running, Some(Redo::Scope)) => Fate::Restarts,
        (TaskStatus::Running, Some(Redo::Inputs)) => Fate::OnceMore,
        _ => Fate::Kept,
    }
}

/// Every task of both plans whose input changed, why, and through which task if it changed elsewhere.
fn redo(old: &Dag, new: &Dag) -> HashMap<TaskId, (Redo, Option<TaskId>)> {
    let mut reached: HashMap<TaskId, (Redo, Option<TaskId>)> = HashMap::new();
    for node in new.topological_order() {
        let Some(before) = old.node(&node.id) else { continue };
        if is_rescoped(before, node) {
            reached.insert(node.id.clone(), (Redo::Scope, None));
            continue;
        }
        let was: BTreeSet<&TaskId> = old.dependencies(&node.id).into_iter().collect();
        let is = new.dependencies(&node.id);
        let through = is.iter().find(|id| reached.contains_key(**id)).map(|&id| id.clone());
        if through.is_some() || is.iter().any(|id| !was.contains(id)) {
            reached.insert(node.id.clone(), (Redo::Inputs, through));
        }
    }
    reached
}

/// Whether a task is another one in another plan: something of its scope differs.
#[must_use]
pub fn is_rescoped(before: &Node, after: &Node) -> bool {
    let by_command = before.run.is_some() && after.run.is_some();
    differences(before, after).into_iter().any(|aspect| aspect.is_scope(by_command))
}

fn differences(before: &Node, after: &Node) -> Vec<Aspect> {
    // Taken apart, so that a part that is added one day must be thought of here.
    let Node {
        id: _,
        title,
        description,
        priority,
        expected_artifacts,
        capabilities,
        run,
        checks,
        max_attempts,
        timeout,
        kind,
        goal,
        plan,
        metadata,
    } = before;
    let pairs = [
        (Aspect::Title, *title != after.title),
        (Aspect::Description, *description != after.description),
        (Aspect::Command, *run != after.run),
        (Aspect::Goal, *kind != after.kind || *goal != after.goal || *plan != after.plan),
        (Aspect::Checks, *checks != after.checks),
        (Aspect::Artifacts, *expected_artifacts != after.expected_artifacts),
        (Aspect::Capabilities, *capabilities != after.capabilities),
        (Aspect::Priority, *priority != after.priority),
        (Aspect::Attempts, *max_attempts != after.max_attempts),
        (Aspect::Timeout, *timeout != after.timeout),
        (Aspect::Metadata, *metadata != after.metadata),
    ];
    pairs.into_iter().filter_map(|(aspect, differs)| differs.then_some(aspect)).collect()
}
