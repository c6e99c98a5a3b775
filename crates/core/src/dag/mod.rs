//! The graph of a goal's tasks.
//!
//! In reading order: [`draft`] is a DAG as received, of the shape that [`draft_schema`] gives and of
//! the sizes in [`limits`]; [`parse`] and [`from_value`] read one, [`validate`](validate()) reports
//! all that is wrong with it (a [`DagError`]) or makes a [`Dag`], which is sound by construction.
//! [`analysis`], [`diff`](diff()), [`plan_diff`](plan_diff()) and [`export`] look at sound ones.

pub mod analysis;
mod artifact;
mod cycle;
mod diff;
pub mod draft;
pub mod export;
mod fault;
mod json;
mod kind;
pub mod limits;
mod locate;
mod plan_diff;
mod read;
mod schema;
mod validate;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use sha2::{Digest, Sha256};

pub use analysis::Analysis;
pub use artifact::{PathFault, normalise_path};
pub use diff::{DagDiff, diff};
pub use draft::{DagParts, Draft, DraftEdge, DraftNode, Node};
pub(crate) use fault::cut;
pub use fault::{DagError, DagFault, FaultKind};
pub use kind::{NodeKind, ORCHESTRATOR_CAPABILITY};
pub use limits::{MAX_EDGES, MAX_PRIORITY, MAX_TASKS};
pub use plan_diff::{Aspect, Fate, PlanDiff, Tally, TaskChange, is_rescoped, plan_diff};
pub use read::{from_value, parse};
pub use schema::draft_schema;
pub use validate::validate;

use crate::ids::{GoalId, IdError, TaskId};

/// A goal's tasks and who waits for whom: at least one task, unique ids, no cycle.
///
/// Two are equal when they have the same parts: the order of tasks counts, since of equally urgent
/// ones the earlier goes first; the order in which edges were written does not.
#[derive(Debug, Clone)]
pub struct Dag {
    goal: GoalId,
    graph: DiGraph<Arc<Node>, ()>,
    index: HashMap<TaskId, NodeIndex>,
}

impl Dag {
    /// Puts checked parts together; `edges` are places in `nodes`, sorted, each once.
    fn assemble(goal: GoalId, nodes: Vec<Node>, edges: Vec<(usize, usize)>) -> Self {
        let mut graph = DiGraph::with_capacity(nodes.len(), edges.len());
        let mut index = HashMap::with_capacity(nodes.len());
        for node in nodes {
            let id = node.id.clone();
            index.insert(id, graph.add_node(Arc::new(node)));
        }
        // A graph tells neighbours latest first: added backwards, they come in order.
        for (source, target) in edges.into_iter().rev() {
            graph.add_edge(NodeIndex::new(source), NodeIndex::new(target), ());
        }
        Self { goal, graph, index }
    }

    /// Puts stored parts together again, with all the checks of [`validate`](validate()).
    ///
    /// # Errors
    ///
    /// [`DagError`]: the parts are not those of a sound DAG.
    pub fn from_parts(parts: DagParts) -> Result<Self, DagError> {
        validate(parts.into())
    }

    /// Its parts, to store.
    #[must_use]
    pub fn to_parts(&self) -> DagParts {
        DagParts {
            goal_id: self.goal.clone(),
            nodes: self.nodes().map(|node| Node::clone(node)).collect(),
            edges: self.edges().map(|(source, target)| (source.clone(), target.clone())).collect(),
        }
    }

    /// The DAG as a draft, to show, to write to a file, to amend.
    #[must_use]
    pub fn to_draft(&self) -> Draft {
        self.to_parts().into()
    }

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
        self.graph.raw_nodes().iter().map(|node| &node.weight)
    }

    /// The edges as `(source, target)`, in the order of the sources, then of the targets.
    pub fn edges(&self) -> impl Iterator<Item = (&TaskId, &TaskId)> {
        self.graph.raw_edges().iter().rev().filter_map(|edge| {
            let source = self.graph.node_weight(edge.source())?;
            let target = self.graph.node_weight(edge.target())?;
            Some((&source.id, &target.id))
        })
    }

    /// The task called `id`.
    #[must_use]
    pub fn node(&self, id: &TaskId) -> Option<&Arc<Node>> {
        self.index.get(id).and_then(|index| self.graph.node_weight(*index))
    }

    /// The tasks that wait for `id`, in the order of the draft.
    #[must_use]
    pub fn dependants(&self, id: &TaskId) -> Vec<&TaskId> {
        self.neighbours(id, Direction::Outgoing)
    }

    /// The tasks that `id` waits for, in the order of the draft.
    #[must_use]
    pub fn dependencies(&self, id: &TaskId) -> Vec<&TaskId> {
        self.neighbours(id, Direction::Incoming)
    }

    fn neighbours(&self, id: &TaskId, direction: Direction) -> Vec<&TaskId> {
        let Some(index) = self.index.get(id) else {
            return Vec::new();
        };
        self.graph
            .neighbors_directed(*index, direction)
            .filter_map(|index| self.graph.node_weight(index))
            .map(|node| &node.id)
            .collect()
    }

    /// The tasks that wait for nothing, in the order of the draft. There is at least one.
    pub fn roots(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.without(Direction::Incoming)
    }

    /// The tasks that nothing waits for, in the order of the draft. There is at least one.
    pub fn leaves(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.without(Direction::Outgoing)
    }

    fn without(&self, direction: Direction) -> impl Iterator<Item = &Arc<Node>> {
        self.graph.externals(direction).filter_map(|index| self.graph.node_weight(index))
    }

    /// All tasks, each after those that it waits for: layer by layer (see [`Analysis`]), in a layer
    /// the greater priority first, then the order of the draft.
    #[must_use]
    pub fn topological_order(&self) -> Vec<&Arc<Node>> {
        let mut order = Vec::with_capacity(self.len());
        for layer in analysis::layers(&self.graph) {
            let first = order.len();
            order.extend(layer.into_iter().filter_map(|index| self.graph.node_weight(index)));
            if let Some(layer) = order.get_mut(first..) {
                // The sort is stable, and layers come in the order of the draft.
                layer.sort_by_key(|node| Reverse(node.priority));
            }
        }
        order
    }

    /// The SHA-256 of its parts in a canonical form, as 64 hexadecimal digits.
    ///
    /// Equal DAGs have equal digests: the order of edges and of keys does not matter, that of tasks
    /// does.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut line = |value: serde_json::Value| {
            let mut value = value;
            value.sort_all_objects();
            // JSON in one line has no bare line break, so lines cannot be read in two ways.
            hash.update(value.to_string());
            hash.update("\n");
        };
        line(serde_json::json!({ "goal_id": self.goal, "nodes": self.len() }));
        for node in self.nodes() {
            // A node is made of texts, numbers and JSON: it can always be written.
            line(serde_json::to_value(&**node).unwrap_or_default());
        }
        for (source, target) in self.edges() {
            line(serde_json::json!([source, target]));
        }
        let mut digest = String::with_capacity(64);
        for byte in hash.finalize() {
            // Writing to a string cannot fail.
            let _ = write!(digest, "{byte:02x}");
        }
        digest
    }

    /// The same DAG for the goal `goal`, with every task `x` called `<goal>.x`: so a plan is made for each of
    /// the tasks that own it.
    ///
    /// # Errors
    ///
    /// [`IdError::TooLong`]: an id does not fit.
    pub fn below(&self, goal: &GoalId) -> Result<Self, IdError> {
        Ok(Self { goal: goal.clone(), ..self.with_prefix(goal)? })
    }

    /// The same DAG with every task `x` called `<prefix>.x`, so that the ids of two goals cannot
    /// collide.
    ///
    /// # Errors
    ///
    /// [`IdError::TooLong`]: an id does not fit with the prefix.
    pub fn with_prefix(&self, prefix: &GoalId) -> Result<Self, IdError> {
        let nodes = self
            .nodes()
            .map(|node| Ok(Node { id: TaskId::new(format!("{prefix}.{}", node.id))?, ..Node::clone(node) }))
            .collect::<Result<_, _>>()?;
        let edges = self.graph.raw_edges().iter().rev();
        let edges = edges.map(|edge| (edge.source().index(), edge.target().index()));
        Ok(Self::assemble(self.goal.clone(), nodes, edges.collect()))
    }
}

impl PartialEq for Dag {
    fn eq(&self, other: &Self) -> bool {
        self.goal == other.goal
            && self.graph.edge_count() == other.graph.edge_count()
            && self.nodes().eq(other.nodes())
            && self.edges().eq(other.edges())
    }
}

impl Eq for Dag {}
