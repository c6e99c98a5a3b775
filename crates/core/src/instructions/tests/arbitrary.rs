//! Whatever the text is, it is read or refused, and every place is a place in it.

use std::ops::Range;

use proptest::prelude::*;

use crate::diagnostic::Source;
use crate::instructions::{Instructions, PlanSource, parse};

fn spans(instructions: &Instructions) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    for agent in &instructions.agents {
        spans.push(agent.name.span.clone());
        spans.extend(agent.goal.iter().map(|it| it.span.clone()));
        spans.extend(agent.instructions.iter().map(|it| it.span.clone()));
        spans.extend(agent.heartbeat.iter().map(|it| it.span.clone()));
        spans.extend(agent.depends_on.iter().map(|it| it.agent.span.clone()));
    }
    for goal in &instructions.goals {
        spans.push(goal.id.span.clone());
        spans.extend(goal.workspace.iter().map(|it| it.span.clone()));
        match &goal.plan {
            PlanSource::Model => {}
            PlanSource::File(path) => spans.push(path.span.clone()),
            PlanSource::Checklist { spans: tasks, .. } => spans.extend(tasks.iter().cloned()),
        }
    }
    spans
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let source = Source::new("f", text);
    let (all, diagnostics) = match parse(&source) {
        Ok((instructions, warnings)) => {
            for goal in &instructions.goals {
                if let PlanSource::Checklist { draft, spans } = &goal.plan {
                    prop_assert_eq!(draft.nodes.len(), spans.len());
                    prop_assert!(draft.nodes.iter().all(|node| !node.id.is_empty()));
                }
            }
            (spans(&instructions), warnings)
        }
        Err(report) => {
            prop_assert!(report.has_errors());
            (Vec::new(), report.diagnostics)
        }
    };
    for span in all.iter().chain(diagnostics.iter().map(|diagnostic| &diagnostic.span)) {
        prop_assert!(text.get(span.clone()).is_some(), "{:?} in {:?}", span, text);
    }
    Ok(())
}

/// Pieces that instructions are made of, and some that they are not.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "## Agents\n", "### a\n", "### b: Ü\n", "## Goals\n", "### g: T\n", "- Goal: g\n",
            "- Depends On: a, b (finished),\n", "- Groups: g, h (2)\n", "- Restart: always\n", "- **Role:** x\n", "- Cadence: 5\n", "- [ ] Täsk", " {#t}",
            " {#u after=t priority=1}", " {", "}", "\"", " -> a.md", " → ä, b\n", "\n", "\r\n",
            "\n\n", "  ```sh\n  x\n  ```\n", "```yaml\n", "```\n", "agents:\n", "  - name: a\n",
            "    goal: x\n", "    role: 'ä'\n", "goals:\n", "  - id: g\n", "\t", "> ", "- ", "1. ",
            "\u{feff}", "`", "\\", "[x] ", "[] ", "*", "#", ": ", "&a ", "*a ", "{a: b}", "---\n",
            "instruction_schema_version: 2\n", "  description\n", "\0", "\u{2028}", "\r", "|\n", "? ",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn any_mixture_is_read_or_refused(text in pieces()) {
        check(&text)?;
    }

    #[test]
    fn any_task_is_read_or_refused(line in "[^\0]{0,60}") {
        check(&format!("## Agents\n### a\n## Goals\n### g\n- [ ] {line}\n"))?;
    }

    #[test]
    fn any_yaml_is_read_or_refused(value in "\\PC{0,40}") {
        check(&format!("agents:\n  - name: {value}\n    role: ä\n"))?;
    }
}

#[test]
fn hostile_repetition_is_read_in_time() {
    let goal = "## Agents\n### a\n## Goals\n### g\n";
    let braces = format!("- [ ] {}\n", "{\"".repeat(2_000));
    for unit in [
        "- ",
        "> ",
        "[",
        "*a_ ",
        "`",
        "<a ",
        "- [ ] x {after=nothing-like-it}\n",
        "- [ ] x -> a,",
        "[a]: b\n",
        "### a\n",
        "- Gaol: x\n",
        &braces,
    ] {
        check(&format!("{goal}{}", unit.repeat(200_000 / unit.len()))).unwrap();
    }
    for unit in ["- name: a\n", "[", "{a: ", "- {a,", "- \"x\\n", "- &a *a\n", "- ? "] {
        check(&format!("agents:\n{}", unit.repeat(200_000 / unit.len()))).unwrap();
    }
}
