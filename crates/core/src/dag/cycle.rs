//! Tasks that wait for each other.

use std::collections::VecDeque;

use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

/// A cycle of a draft.
pub(super) struct Cycle {
    /// The edge that closes it: of its edges the last one in the draft.
    pub(super) edge: usize,
    /// Its tasks, each once, from the target of that edge to its source.
    pub(super) path: Vec<usize>,
}

/// One cycle for each group of tasks that wait for each other, in the order of the draft.
///
/// Each is a shortest one through the group's first task. The weights of `graph` are the places of
/// its edges in the draft; no edge leads from a task to itself. Linear in tasks and edges, and
/// without recursion: a ring of all tasks needs no more stack than one of two.
///
/// # Source
///
/// The groups are strongly connected components: M. Sharir, "A strong-connectivity algorithm and its
/// applications in data flow analysis" (1981), after Kosaraju. (petgraph's Tarjan is recursive.)
pub(super) fn cycles(graph: &DiGraph<(), usize>) -> Vec<Cycle> {
    if toposort(graph, None).is_ok() {
        return Vec::new();
    }
    let mut groups: Vec<Vec<NodeIndex>> = kosaraju_scc(graph)
        .into_iter()
        .filter(|group| group.len() > 1)
        .collect();
    groups.sort_by_cached_key(|group| group.iter().min().copied());
    let mut group_of = vec![usize::MAX; graph.node_count()];
    for (number, group) in groups.iter().enumerate() {
        for node in group {
            if let Some(slot) = group_of.get_mut(node.index()) {
                *slot = number;
            }
        }
    }
    // Groups share no task, so neither do the searches: one table serves all.
    let mut came_from = vec![None; graph.node_count()];
    groups
        .iter()
        .enumerate()
        .filter_map(|(number, group)| {
            let start = group.iter().min().copied()?;
            let inside = |node: NodeIndex| group_of.get(node.index()) == Some(&number);
            let round = round_trip(graph, start, inside, &mut came_from)?;
            close(graph, round)
        })
        .collect()
}

/// The shortest way from `start` back to it through nodes that are `inside`, breadth first.
fn round_trip(
    graph: &DiGraph<(), usize>,
    start: NodeIndex,
    inside: impl Fn(NodeIndex) -> bool,
    came_from: &mut [Option<NodeIndex>],
) -> Option<Vec<NodeIndex>> {
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in graph.neighbors(node).filter(|next| inside(*next)) {
            if next == start {
                let mut way = vec![node];
                let mut at = node;
                while let Some(before) = came_from.get(at.index()).copied().flatten() {
                    way.push(before);
                    at = before;
                }
                way.reverse();
                return Some(way);
            }
            if let Some(slot @ None) = came_from.get_mut(next.index()) {
                *slot = Some(node);
                queue.push_back(next);
            }
        }
    }
    None
}

/// Turns the ring so that its last edge in the draft comes last.
fn close(graph: &DiGraph<(), usize>, mut ring: Vec<NodeIndex>) -> Option<Cycle> {
    let (place, edge) = ring
        .iter()
        .zip(ring.iter().cycle().skip(1))
        .enumerate()
        .filter_map(|(place, (source, target))| {
            let edge = graph.find_edge(*source, *target)?;
            Some((place, *graph.edge_weight(edge)?))
        })
        .max_by_key(|(_, edge)| *edge)?;
    let turn = (place + 1) % ring.len();
    ring.rotate_left(turn);
    Some(Cycle {
        edge,
        path: ring.into_iter().map(NodeIndex::index).collect(),
    })
}
