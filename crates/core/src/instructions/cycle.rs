//! Circles among things that wait for each other.

use std::collections::VecDeque;

use petgraph::graph::{DiGraph, NodeIndex};

/// One shortest circle out of every knot of `count` things, as indices, the least first; the edges
/// are (who waits, for whom). A thing that waits for itself is not looked at.
pub(super) fn cycles(count: usize, edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut graph: DiGraph<(), ()> = DiGraph::with_capacity(count, edges.len());
    for _ in 0..count {
        graph.add_node(());
    }
    for (from, to) in edges {
        if from != to && *from < count && *to < count {
            graph.add_edge(NodeIndex::new(*from), NodeIndex::new(*to), ());
        }
    }
    let mut found: Vec<Vec<usize>> = petgraph::algo::kosaraju_scc(&graph)
        .into_iter()
        .filter(|knot| knot.len() > 1)
        .filter_map(|knot| shortest(&graph, &knot))
        .collect();
    found.sort();
    found
}

/// The shortest way from the least of `knot` back to it.
fn shortest(graph: &DiGraph<(), ()>, knot: &[NodeIndex]) -> Option<Vec<usize>> {
    let start = *knot.iter().min()?;
    let mut came_from = vec![None; graph.node_count()];
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        let mut next: Vec<NodeIndex> = graph.neighbors(node).collect();
        next.sort_unstable();
        for neighbour in next {
            if neighbour == start {
                let mut path = vec![node.index()];
                while let Some(before) = path.last().and_then(|last| came_from.get(*last).copied().flatten())
                {
                    path.push(before);
                }
                path.reverse();
                return Some(path);
            }
            if let Some(slot) = came_from.get_mut(neighbour.index())
                && slot.is_none()
            {
                *slot = Some(node.index());
                queue.push_back(neighbour);
            }
        }
    }
    None
}

/// `a -> b -> a`; a long circle is cut in the middle.
pub(super) fn drawn<'a>(path: &[usize], name: impl Fn(usize) -> &'a str) -> String {
    const SHOWN: usize = 12;
    let mut names: Vec<String> = path.iter().take(SHOWN).map(|index| name(*index).to_owned()).collect();
    if path.len() > SHOWN {
        names.push(format!("… {} more …", path.len() - SHOWN));
    }
    names.extend(path.first().map(|index| name(*index).to_owned()));
    names.join(" -> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_knot_gives_its_shortest_circle() {
        assert!(cycles(3, &[(0, 1), (1, 2), (0, 2)]).is_empty());
        assert_eq!(cycles(2, &[(0, 1), (1, 0)]), [vec![0, 1]]);
        assert_eq!(cycles(6, &[(2, 1), (1, 2), (3, 4), (4, 5), (5, 3), (4, 3)]), [vec![1, 2], vec![3, 4]]);
        assert!(cycles(1, &[(0, 0)]).is_empty());
    }

    #[test]
    fn a_long_circle_needs_no_deep_stack_and_is_cut_when_drawn() {
        let count = 100_000;
        let edges: Vec<(usize, usize)> = (0..count).map(|n| (n, (n + 1) % count)).collect();
        let found = cycles(count, &edges);
        assert_eq!(found.len(), 1);
        assert_eq!(drawn(&found[0], |_| "x").matches("x").count(), 13, "twelve and the first again");
    }
}
