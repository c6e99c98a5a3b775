//! What is derived from a DAG: shape, drawings, differences.

use std::sync::Arc;

use super::*;
use export::Drawing;

fn drawing(dag: Dag) -> Drawing {
    Drawing::of(Arc::new(dag), "A diamond")
}

#[test]
fn layers_are_as_deep_as_the_longest_chain_before_them() {
    let shape = Analysis::of(&uneven());
    let layers: Vec<Vec<&str>> =
        shape.layers.iter().map(|layer| layer.iter().map(TaskId::as_str).collect()).collect();
    assert_eq!(layers, [vec!["a", "e", "g"], vec!["b", "f"], vec!["c"], vec!["d"]]);
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
    draft.edges.retain(|edge| edge.source != "left" && edge.target != "left");
    draft.nodes[1].title = "other".into();
    draft.nodes.push(DraftNode { id: "new".into(), title: "new".into(), ..DraftNode::default() });
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
        export::mermaid(&drawing(diamond()), status),
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
    let dot = export::dot(&drawing(diamond()), status);
    assert!(dot.starts_with("digraph \"goal\" {\n"), "{dot}");
    assert!(dot.contains("    n0 -> n1;\n"), "{dot}");
    assert!(dot.contains("n1 [class=\"ready\", fillcolor=\"#dbeafe\", color=\"#2563eb\"];"), "{dot}");
}

/// top ─▶ left, right ─▶ bottom; `left` owns a diamond whose `top` owns another.
fn nested() -> Drawing {
    let mut draft = diamond().to_draft();
    for node in draft.nodes.iter_mut().filter(|node| node.id == "left" || node.id == "top") {
        node.kind = NodeKind::Goal;
    }
    let dag = validate(draft).unwrap();
    let goal = |name: &str| crate::ids::GoalId::new(name).unwrap();
    let mut middle = drawing(dag.below(&goal("goal.left")).unwrap());
    let lowest = drawing(diamond().below(&goal("goal.left.top")).unwrap());
    middle.below.insert(id("goal.left.top"), lowest);
    let mut top = drawing(dag);
    top.below.insert(id("left"), middle);
    top
}

#[test]
fn goals_below_tasks_are_drawn_inside_each_other() {
    let ready = |task: &TaskId| (task.as_str() == "goal.left.top.bottom").then_some("ready");
    let text = export::mermaid(&nested(), ready);
    let has = |line: &str| assert!(text.lines().any(|said| said == line), "{line}\n{text}");
    has("    n1[[\"left<br/>left\"]]");
    has("    subgraph g1[\"goal#46;left<br/>A diamond\"]");
    has("        subgraph g2[\"goal#46;left#46;top<br/>A diamond\"]");
    has("            n11[\"goal#46;left#46;top#46;bottom<br/>bottom\"]");
    has("    n1 -.-> g1");
    has("    n4 -.-> g2");
    has("    n4 --> n5");
    has("    class n11 s0");
    assert_eq!(text.matches("    end\n").count(), 2, "{text}");

    let text = export::dot(&nested(), ready);
    let has = |line: &str| assert!(text.lines().any(|said| said == line), "{line}\n{text}");
    has("    compound=true;");
    has("    n1 [label=\"left\\nleft\", peripheries=2];");
    has("    subgraph cluster_1 {");
    has("        subgraph cluster_2 {");
    has("            n11 [label=\"goal.left.top.bottom\\nbottom\"];");
    has("    n4 -> n8 [lhead=cluster_2, style=dashed, arrowhead=none];");
    has("    n11 [class=\"ready\", fillcolor=\"#dbeafe\", color=\"#2563eb\"];");
    assert_eq!(text.matches('{').count(), text.matches('}').count(), "{text}");
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
        let plain = export::mermaid(&drawing(diamond()), |_| None);
        let text = export::mermaid(&drawing(dag.clone()), |_| None);
        assert_eq!(text.lines().count(), plain.lines().count(), "{text}");
        let label = text.lines().nth(1).unwrap();
        let inner =
            label.strip_prefix("    n0[\"top<br/>").and_then(|rest| rest.strip_suffix("\"]")).unwrap();
        assert!(!inner.contains(['"', '<', '>', '[', ']', '`', '%', '{', '|', '\\', '(']), "{inner}");

        let text = export::dot(&drawing(dag), |_| None);
        let label = text.lines().find(|line| line.starts_with("    n0 [label")).unwrap();
        let inner =
            label.strip_prefix("    n0 [label=\"").and_then(|rest| rest.strip_suffix("\"];")).unwrap();
        // After each escaped character is taken away, no quote and no backslash is left.
        let bare = inner.replace("\\\\", "").replace("\\\"", "").replace("\\n", "");
        assert!(!bare.contains(['"', '\\']), "{inner}");
    }
}
