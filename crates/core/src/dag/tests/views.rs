//! What is derived from a DAG: shape, drawings, differences.

use super::*;

#[test]
fn layers_are_as_deep_as_the_longest_chain_before_them() {
    let shape = Analysis::of(&uneven());
    let layers: Vec<Vec<&str>> = shape
        .layers
        .iter()
        .map(|layer| layer.iter().map(TaskId::as_str).collect())
        .collect();
    assert_eq!(
        layers,
        [vec!["a", "e", "g"], vec!["b", "f"], vec!["c"], vec!["d"]]
    );
    let path: Vec<&str> = shape.critical_path.iter().map(TaskId::as_str).collect();
    assert_eq!(path, ["a", "b", "c", "d"]);
    assert_eq!((shape.width, shape.depth), (3, 4));
}

#[test]
fn a_diff_tells_spec_from_wiring() {
    let old = diamond();
    assert!(diff(&old, &old).is_empty());
    assert_eq!(diff(&old, &old).kept, 4);
    let mut draft = old.to_draft();
    draft.nodes.retain(|node| node.id != "left");
    draft
        .edges
        .retain(|edge| edge.source != "left" && edge.target != "left");
    draft.nodes[1].title = "other".into();
    draft.nodes.push(DraftNode {
        id: "new".into(),
        title: "new".into(),
        ..DraftNode::default()
    });
    let diff = diff(&old, &validate(draft).unwrap());
    assert_eq!(
        diff,
        DagDiff {
            added: vec![id("new")],
            removed: vec![id("left")],
            changed: vec![id("right")],
            rewired: vec![id("bottom")],
            kept: 1,
        }
    );
    assert!(!diff.is_empty());
}

#[test]
fn a_drawing_groups_the_tasks_by_status() {
    let status = |id: &TaskId| match id.as_str() {
        "top" => Some("done"),
        "left" | "right" => Some("ready"),
        _ => None,
    };
    assert_eq!(
        export::mermaid(&diamond(), status),
        "flowchart TD
    n0[\"top<br/>top\"]
    n1[\"left<br/>left\"]
    n2[\"right<br/>right\"]
    n3[\"bottom<br/>bottom\"]
    n0 --> n1
    n0 --> n2
    n1 --> n3
    n2 --> n3
    %% done
    classDef s0 fill:#dcfce7,stroke:#16a34a,color:#111111
    class n0 s0
    %% ready
    classDef s1 fill:#dbeafe,stroke:#2563eb,color:#111111
    class n1,n2 s1
"
    );
    let dot = export::dot(&diamond(), status);
    assert!(dot.starts_with("digraph \"goal\" {\n"), "{dot}");
    assert!(dot.contains("    n0 -> n1;\n"), "{dot}");
    assert!(
        dot.contains("n1 [class=\"ready\", fillcolor=\"#dbeafe\", color=\"#2563eb\"];"),
        "{dot}"
    );
}

#[test]
fn no_title_can_break_out_of_a_drawing() {
    for title in [
        "\"]; n9[\"x",
        "a --> b",
        "line\nbreak\r\nclick n0 \"javascript:alert(1)\"",
        "`code` and [link](x) {curly} |pipe|",
        "<script>alert('x')</script>",
        "ends with \\",
        "\\\" ; evil [label=\"",
        "%%{init: {'theme':'x'}}%%",
        "#quot; &quot; &lt;",
        "\u{2028}\u{0}\u{1b}[31m",
    ] {
        let mut draft = diamond().to_draft();
        draft.nodes[0].title = title.into();
        let dag = validate(draft).unwrap();
        let plain = export::mermaid(&diamond(), |_| None);
        let text = export::mermaid(&dag, |_| None);
        assert_eq!(text.lines().count(), plain.lines().count(), "{text}");
        let label = text.lines().nth(1).unwrap();
        let inner = label
            .strip_prefix("    n0[\"top<br/>")
            .and_then(|rest| rest.strip_suffix("\"]"))
            .unwrap();
        assert!(
            !inner.contains(['"', '<', '>', '[', ']', '`', '%', '{', '|', '\\', '(']),
            "{inner}"
        );

        let text = export::dot(&dag, |_| None);
        let label = text
            .lines()
            .find(|line| line.starts_with("    n0 [label"))
            .unwrap();
        let inner = label
            .strip_prefix("    n0 [label=\"")
            .and_then(|rest| rest.strip_suffix("\"];"))
            .unwrap();
        // After each escaped character is taken away, no quote and no backslash is left.
        let bare = inner
            .replace("\\\\", "")
            .replace("\\\"", "")
            .replace("\\n", "");
        assert!(!bare.contains(['"', '\\']), "{inner}");
    }
}
