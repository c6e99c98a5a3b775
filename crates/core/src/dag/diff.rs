//! What an amendment changes.

use std::collections::HashSet;

use super::Dag;
use crate::cache::Amend;
use crate::ids::TaskId;

/// The tasks in which two DAGs differ. A task may be both changed and rewired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DagDiff {
    /// Only in the new one, in its order.
    pub added: Vec<TaskId>,
    /// Only in the old one, in its order.
    pub removed: Vec<TaskId>,
    /// In both, and something other than its dependencies differs; in the new order.
    pub changed: Vec<TaskId>,
    /// In both, and waits for other tasks than before; in the new order.
    pub rewired: Vec<TaskId>,
    /// How many are in both and differ in nothing.
    pub kept: usize,
}

impl DagDiff {
    /// Whether all tasks were kept and none was added. (They may be in another order.)
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty() && self.rewired.is_empty()
    }

    /// The tasks that an amendment has done again, in the new order: those it names and that were there.
    pub fn redone<'a>(&self, amend: &'a Amend) -> impl Iterator<Item = &'a TaskId> {
        let added: HashSet<TaskId> = self.added.iter().cloned().collect();
        let ids = amend.dag.nodes().map(|node| &node.id);
        ids.filter(move |id| amend.redo.contains_key(*id) && !added.contains(*id))
    }

    /// The other tasks whose open dependencies an amendment counts anew, in the new order: those that are
    /// rewired, and those that wait for one that is done again.
    pub fn recounted<'a>(&self, amend: &'a Amend) -> impl Iterator<Item = &'a TaskId> {
        let added: HashSet<TaskId> = self.added.iter().cloned().collect();
        let rewired: HashSet<TaskId> = self.rewired.iter().cloned().collect();
        let ids = amend.dag.nodes().map(|node| &node.id);
        ids.filter(move |id| {
            !amend.redo.contains_key(*id)
                && !added.contains(*id)
                && (rewired.contains(*id)
                    || amend.dag.dependencies(id).into_iter().any(|it| amend.redo.contains_key(it)))
        })
    }
}

/// What changes from `old` to `new`, by the ids of tasks; linear in both.
#[must_use]
pub fn diff(old: &Dag, new: &Dag) -> DagDiff {
    let mut diff = DagDiff::default();
    for node in new.nodes() {
        let Some(before) = old.node(&node.id) else {
            diff.added.push(node.id.clone());
            continue;
        };
        let changed = before != node;
        let rewired = {
            let old: HashSet<_> = old.dependencies(&node.id).into_iter().collect();
            let new = new.dependencies(&node.id);
            old.len() != new.len() || new.iter().any(|id| !old.contains(*id))
        };
        if changed {
            diff.changed.push(node.id.clone());
        }
        if rewired {
            diff.rewired.push(node.id.clone());
        }
        if !changed && !rewired {
            diff.kept += 1;
        }
    }
    diff.removed =
        old.nodes().filter(|node| new.node(&node.id).is_none()).map(|node| node.id.clone()).collect();
    diff
}
