//! How much of a DAG can run at once, and how long its longest chain is.

use std::cmp::Reverse;
use std::sync::Arc;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use super::{Dag, Node};
use crate::ids::TaskId;

/// The shape of a DAG, each task counted as one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysis {
    /// The tasks by the length of the longest chain before them, from those that wait for nothing;
    /// in the order of the draft within a layer. No layer is empty.
    pub layers: Vec<Vec<TaskId>>,
    /// A longest chain, from first to last: with any number of agents, it takes this many steps. Of
    /// several equally long ones, the tasks that come earlier in the draft.
    pub critical_path: Vec<TaskId>,
    /// The tasks of the largest layer: an estimate of how many agents find work at once. (More may,
    /// since tasks of several layers can be independent of each other.)
    pub width: usize,
    /// The number of layers, which is the length of the critical path.
    pub depth: usize,
}

impl Analysis {
    /// Looks at `dag`, in time linear in tasks and edges.
    #[must_use]
    pub fn of(dag: &Dag) -> Self {
        let layers = layers(&dag.graph);
        let ids = |nodes: &[NodeIndex]| -> Vec<TaskId> {
            nodes
                .iter()
                .filter_map(|index| dag.graph.node_weight(*index))
                .map(|node| node.id.clone())
                .collect()
        };
        Self {
            critical_path: ids(&critical_path(&dag.graph, &layers)),
            width: layers.iter().map(Vec::len).max().unwrap_or(0),
            depth: layers.len(),
            layers: layers.iter().map(|layer| ids(layer)).collect(),
        }
    }
}

/// The nodes by the length of the longest chain before them, in order within a layer.
///
/// # Source
///
/// A. B. Kahn, "Topological sorting of large networks" (1962), a whole layer at a time.
pub(super) fn layers(graph: &DiGraph<Arc<Node>, ()>) -> Vec<Vec<NodeIndex>> {
    let mut waits_for: Vec<usize> = vec![0; graph.node_count()];
    for edge in graph.raw_edges() {
        if let Some(count) = waits_for.get_mut(edge.target().index()) {
            *count += 1;
        }
    }
    let mut layer: Vec<NodeIndex> = graph.externals(Direction::Incoming).collect();
    let mut layers = Vec::new();
    while !layer.is_empty() {
        let mut next = Vec::new();
        for target in layer.iter().flat_map(|node| graph.neighbors(*node)) {
            if let Some(count) = waits_for.get_mut(target.index()) {
                *count -= 1;
                if *count == 0 {
                    next.push(target);
                }
            }
        }
        next.sort_unstable();
        layers.push(std::mem::replace(&mut layer, next));
    }
    layers
}

/// A longest chain: from the first node of the last layer back, always to the first dependency in
/// the layer before.
fn critical_path(graph: &DiGraph<Arc<Node>, ()>, layers: &[Vec<NodeIndex>]) -> Vec<NodeIndex> {
    let mut depth = vec![0; graph.node_count()];
    for (number, layer) in layers.iter().enumerate() {
        for node in layer {
            if let Some(depth) = depth.get_mut(node.index()) {
                *depth = number;
            }
        }
    }
    let mut path = Vec::with_capacity(layers.len());
    let mut at = layers.last().and_then(|layer| layer.first()).copied();
    while let Some(node) = at {
        path.push(node);
        at = graph
            .neighbors_directed(node, Direction::Incoming)
            .max_by_key(|before| (depth.get(before.index()), Reverse(*before)));
    }
    path.reverse();
    path
}
