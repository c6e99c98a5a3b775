//! The graph of a goal's tasks.
//!
//! In reading order: [`draft`] is a DAG as received, [`validate`](validate()) reports all that is
//! wrong with it or makes a [`Dag`], which is sound by construction.

pub mod diff;
pub mod draft;

use std::collections::HashMap;
use std::sync::Arc;

use petgraph::graph::{DiGraph, NodeIndex};

pub use diff::DagDiff;
pub use draft::{DagParts, Draft, DraftEdge, DraftNode, MAX_PRIORITY, Node};

use crate::ids::{GoalId, TaskId};

/// A goal's tasks and who waits for whom: at least one task, unique ids, no cycle.
#[derive(Debug, Clone)]
pub struct Dag {
    goal: GoalId,
    graph: DiGraph<Arc<Node>, ()>,
    index: HashMap<TaskId, NodeIndex>,
}

impl Dag {
    /// The goal that it is for.
    #[must_use]
    pub fn goal(&self) -> &GoalId {
        &self.goal
    }

    /// How many tasks it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.graph.node_count()
    }

    /// Never true: a DAG has at least one task.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.graph.node_count() == 0
    }

    /// The tasks, in the order of the draft.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Arc<Node>> {
        self.graph.node_weights().collect::<Vec<_>>().into_iter()
    }

    /// The task called `id`.
    #[must_use]
    pub fn node(&self, id: &TaskId) -> Option<&Arc<Node>> {
        self.index.get(id).and_then(|index| self.graph.node_weight(*index))
    }

    /// The tasks that wait for `id`, in the order of the draft.
    #[must_use]
    pub fn dependants(&self, id: &TaskId) -> Vec<&TaskId> {
        self.neighbours(id, petgraph::Direction::Outgoing)
    }

    /// The tasks that `id` waits for, in the order of the draft.
    #[must_use]
    pub fn dependencies(&self, id: &TaskId) -> Vec<&TaskId> {
        self.neighbours(id, petgraph::Direction::Incoming)
    }

    fn neighbours(&self, id: &TaskId, direction: petgraph::Direction) -> Vec<&TaskId> {
        let Some(index) = self.index.get(id) else {
            return Vec::new();
        };
        let mut found: Vec<NodeIndex> = self.graph.neighbors_directed(*index, direction).collect();
        found.sort_unstable();
        found.iter().filter_map(|index| self.graph.node_weight(*index)).map(|node| &node.id).collect()
    }
}
