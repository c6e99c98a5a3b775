//! Sample DAGs, and what holds for them.

mod bad_drafts;
mod large;
mod random;
mod views;

use serde_json::{Value, json};

use super::*;

/// Tasks titled by their ids, and edges.
fn draft(nodes: &[&str], edges: &[(&str, &str)]) -> Draft {
    Draft {
        goal_id: "goal".into(),
        nodes: nodes
            .iter()
            .map(|id| DraftNode {
                id: (*id).into(),
                title: (*id).into(),
                ..DraftNode::default()
            })
            .collect(),
        edges: edges
            .iter()
            .map(|(source, target)| DraftEdge {
                source: (*source).into(),
                target: (*target).into(),
            })
            .collect(),
    }
}

/// ```text
///      ┌─▶ left ──┐
/// top ─┤          ├─▶ bottom
///      └─▶ right ─┘
/// ```
fn diamond() -> Dag {
    let edges = [
        ("right", "bottom"),
        ("top", "left"),
        ("top", "right"),
        ("left", "bottom"),
    ];
    validate(draft(&["top", "left", "right", "bottom"], &edges)).unwrap()
}

/// ```text
/// a ─▶ b ─▶ c ─▶ d
///      └─────────▲
/// e ─▶ f ────────┘     g
/// ```
fn uneven() -> Dag {
    let edges = [
        ("a", "b"),
        ("b", "c"),
        ("c", "d"),
        ("b", "d"),
        ("e", "f"),
        ("f", "d"),
    ];
    validate(draft(&["a", "b", "c", "d", "e", "f", "g"], &edges)).unwrap()
}

fn id(text: &str) -> TaskId {
    TaskId::new(text).unwrap()
}

fn names<'a>(nodes: impl IntoIterator<Item = &'a Arc<Node>>) -> Vec<&'a str> {
    nodes.into_iter().map(|node| node.id.as_str()).collect()
}

/// One task with everything that a task can have.
fn full() -> Value {
    json!({
        "goal_id": "goal",
        "nodes": [{
            "id": "a", "title": "A", "description": "all of it", "priority": 7,
            "expected_artifacts": ["./out//a.txt", "out/a.txt", "b"],
            "capabilities": ["shell", "research", "shell"],
            "run": "make", "checks": ["test -s b"], "max_attempts": 3, "timeout": "5m",
            "metadata": {"z": {"y": 1, "x": [null, 1.5]}, "a": "b"},
        }, {"id": "b", "title": "B"}],
        "edges": [{"source": "a", "target": "b"}, {"source": "a", "target": "b"}],
    })
}

#[test]
fn a_sound_draft_is_put_into_its_only_form() {
    let dag = parse(&full().to_string()).unwrap();
    assert_eq!(from_value(&full()).unwrap(), dag);
    let node = dag.node(&id("a")).unwrap();
    assert_eq!(node.expected_artifacts, ["out/a.txt", "b"]);
    let needs: Vec<_> = node.capabilities.iter().map(|c| c.as_str()).collect();
    assert_eq!(needs, ["research", "shell"]);
    assert_eq!(node.timeout.unwrap().to_string(), "5m");
    assert_eq!(dag.edges().collect::<Vec<_>>(), [(&id("a"), &id("b"))]);
}

#[test]
fn a_byte_order_mark_is_no_fault() {
    assert!(parse(&format!("\u{feff}{}", full())).is_ok());
}

#[test]
fn a_dag_survives_storing_and_showing() {
    for dag in [diamond(), uneven(), from_value(&full()).unwrap()] {
        assert_eq!(Dag::from_parts(dag.to_parts()).unwrap(), dag);
        let text = serde_json::to_string(&dag.to_parts()).unwrap();
        assert_eq!(
            Dag::from_parts(serde_json::from_str(&text).unwrap()).unwrap(),
            dag
        );
        let text = serde_json::to_string(&dag.to_draft()).unwrap();
        assert_eq!(parse(&text).unwrap(), dag);
    }
}

#[test]
fn parts_from_a_store_are_checked_like_any_draft() {
    let mut parts = diamond().to_parts();
    parts.edges.push((id("bottom"), id("top")));
    assert!(Dag::from_parts(parts).is_err());
}

#[test]
fn neighbours_come_in_the_order_of_the_draft() {
    let dag = diamond();
    assert_eq!(dag.dependants(&id("top")), [&id("left"), &id("right")]);
    assert_eq!(dag.dependencies(&id("bottom")), [&id("left"), &id("right")]);
    assert!(dag.dependants(&id("nobody")).is_empty());
    assert_eq!(names(dag.roots()), ["top"]);
    assert_eq!(names(dag.leaves()), ["bottom"]);
    assert_eq!(names(uneven().leaves()), ["d", "g"]);
}

#[test]
fn the_topological_order_puts_the_urgent_first_within_a_layer() {
    let dag = uneven();
    assert_eq!(
        names(dag.topological_order()),
        ["a", "e", "g", "b", "f", "c", "d"]
    );
    let mut draft = dag.to_draft();
    draft.nodes[5].priority = 1;
    draft.nodes[6].priority = 9;
    let dag = validate(draft).unwrap();
    assert_eq!(
        names(dag.topological_order()),
        ["g", "a", "e", "f", "b", "c", "d"]
    );
}

#[test]
fn the_digest_depends_on_what_counts_and_on_nothing_else() {
    let dag = diamond();
    let digest = dag.digest();
    assert_eq!(digest.len(), 64);
    let mut draft = dag.to_draft();
    draft.edges.reverse();
    draft.edges.push(draft.edges[0].clone());
    let same = validate(draft.clone()).unwrap();
    assert_eq!((same.digest(), &same), (digest.clone(), &dag));

    let mut other = draft.clone();
    other.nodes.swap(1, 2);
    let mut changes = vec![other];
    let mut other = draft.clone();
    other.nodes[0].title.push('!');
    changes.push(other);
    let mut other = draft.clone();
    other.goal_id.push('2');
    changes.push(other);
    let mut other = draft.clone();
    other.edges.retain(|edge| edge.target != "left");
    changes.push(other);
    for change in changes {
        let other = validate(change).unwrap();
        assert_ne!(other.digest(), digest);
        assert_ne!(other, dag);
    }
}

#[test]
fn the_order_of_keys_in_metadata_does_not_count() {
    let with = |metadata: Value| {
        let mut draft = full();
        draft["nodes"][0]["metadata"] = metadata;
        from_value(&draft).unwrap()
    };
    let one = with(json!({"k": {"a": 1, "b": [{"c": 1, "d": 2}]}}));
    let two = with(json!({"k": {"b": [{"d": 2, "c": 1}], "a": 1}}));
    assert_eq!(one, two);
    assert_eq!(one.digest(), two.digest());
}

#[test]
fn a_prefix_keeps_the_tasks_of_two_goals_apart() {
    let goal = GoalId::new("site").unwrap();
    let dag = diamond().with_prefix(&goal).unwrap();
    assert_eq!(names(dag.roots()), ["site.top"]);
    assert_eq!(
        dag.dependencies(&id("site.bottom")),
        [&id("site.left"), &id("site.right")]
    );
    let long = GoalId::new("g".repeat(124)).unwrap();
    assert_eq!(
        diamond().with_prefix(&long),
        Err(IdError::TooLong { len: 129 })
    );
}

#[test]
fn the_fixtures_are_what_they_are_called() {
    let diamond = parse(include_str!("../../../../../fixtures/dags/diamond.json")).unwrap();
    assert_eq!(Analysis::of(&diamond).width, 2);
    let layered = parse(include_str!("../../../../../fixtures/dags/layered.json")).unwrap();
    assert_eq!(Analysis::of(&layered).depth, 4);
    let cyclic = parse(include_str!("../../../../../fixtures/dags/cyclic.json")).unwrap_err();
    assert_eq!(
        cyclic.to_string(),
        "/edges/3: the tasks wait for each other: `design` -> `build` -> `review` -> `design`"
    );
}
