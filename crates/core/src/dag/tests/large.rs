//! Size: nothing recurses along a DAG, and nothing huge is kept.

use super::*;

fn numbered(count: usize, edges: impl Iterator<Item = (usize, usize)>) -> Draft {
    Draft {
        goal_id: "goal".into(),
        nodes: (0..count)
            .map(|n| DraftNode { id: format!("t{n}"), title: "t".into(), ..DraftNode::default() })
            .collect(),
        edges: edges
            .map(|(source, target)| DraftEdge { source: format!("t{source}"), target: format!("t{target}") })
            .collect(),
    }
}

/// Runs `test` with no more stack than a thread has by default.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(test).unwrap().join().unwrap();
}

#[test]
fn a_ring_of_all_tasks_is_one_cycle() {
    on_a_small_stack(|| {
        let count = MAX_TASKS;
        let ring = numbered(count, (0..count).map(|n| (n, (n + 1) % count)));
        let error = validate(ring).unwrap_err();
        assert_eq!(error.faults.len(), 1);
        assert_eq!(error.faults[0].pointer, "/edges/99999");
        let FaultKind::Cycle { path } = &error.faults[0].kind else {
            panic!("{error}");
        };
        assert_eq!(path.len(), count + 1);
        assert_eq!((path[0].as_str(), path[count].as_str()), ("t0", "t0"));
        assert!(error.to_string().len() < 400);
    });
}

#[test]
fn a_chain_of_all_tasks_is_sound() {
    on_a_small_stack(|| {
        let chain = numbered(MAX_TASKS, (1..MAX_TASKS).map(|n| (n - 1, n)));
        let dag = validate(chain).unwrap();
        assert_eq!(Analysis::of(&dag).depth, MAX_TASKS);
        assert_eq!(dag.topological_order().len(), MAX_TASKS);
    });
}

#[test]
fn a_dag_of_the_largest_size_is_read_whole() {
    let count = MAX_TASKS;
    let edges = (1..count).flat_map(|n| [(n / 2, n), (n / 3, n), (n - 1, n)]);
    let draft = numbered(count, edges.filter(|(source, target)| source != target));
    assert!(draft.edges.len() > 299_000);
    let text = serde_json::to_string(&draft).unwrap();
    let dag = parse(&text).unwrap();
    assert_eq!(dag.len(), count);
}

#[test]
fn every_edge_of_a_large_draft_can_be_wrong_at_once() {
    let mut draft = numbered(20_000, (0..20_000).map(|n| (n, n + 20_000)));
    draft.edges[0].source = "t1".into();
    let error = validate(draft).unwrap_err();
    assert_eq!(error.faults.len(), 1_000);
    assert_eq!(error.omitted, 19_000);
}

#[test]
fn a_draft_beyond_its_limits_is_counted_and_not_kept() {
    let text = format!(
        r#"{{"goal_id": "g", "nodes": [{}1], "edges": [{}{{}}]}}"#,
        "1,".repeat(3_000_000),
        "{},".repeat(1_000_000)
    );
    let error = parse(&text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nodes: a DAG has at most 100000 tasks, this one has 3000001\n\
         /edges: a DAG has at most 1000000 edges, this one has 1000001"
    );
    let nodes = vec![DraftNode::default(); MAX_TASKS + 1];
    let error = validate(Draft { nodes, ..Draft::default() }).unwrap_err();
    assert_eq!(error.faults.len(), 1);
    let error = from_value(&json!({"nodes": vec![0; MAX_TASKS + 1]})).unwrap_err();
    assert!(matches!(error.faults[..], [DagFault { kind: FaultKind::TooManyTasks { .. }, .. }]));
}

#[test]
fn a_text_of_too_many_values_is_told_its_first_fault() {
    let text = format!(r#"{{"goal_id": "g", "x": [{}1]}}"#, "1,".repeat(9_000_000));
    let error = parse(&text).unwrap_err();
    assert!(error.to_string().contains("unknown field `x`"), "{error}");
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    on_a_small_stack(|| {
        let text = "[".repeat(1_000_000);
        let error = parse(&text).unwrap_err();
        assert!(error.to_string().contains("nested too deeply"), "{error}");
    });
}

#[test]
fn all_edges_of_the_wrong_shape_are_told_and_counted() {
    let edges = vec!["{}"; 50_000].join(",");
    let text = format!(r#"{{"goal_id": "g", "nodes": [{{"id": "a", "title": "A"}}], "edges": [{edges}]}}"#);
    let error = parse(&text).unwrap_err();
    assert_eq!(error.faults.len(), 1_000);
    assert_eq!(error.omitted, 99_000);
}
