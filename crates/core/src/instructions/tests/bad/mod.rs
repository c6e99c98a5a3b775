//! Every fault with its message and its place, and all of them at once.

mod markdown;
mod yaml;

use crate::diagnostic::Source;
use crate::instructions::{MAX_BYTES, parse};

/// Each text with all that is said about it: one line each, as in a report, without the file's name.
fn check(cases: &[(&str, &[&str])]) {
    for (text, expected) in cases {
        let Err(report) = parse(&Source::new("f", *text)) else {
            panic!("nothing is wrong with {text:?}");
        };
        let report = report.to_string();
        let said: Vec<&str> = report.lines().map(|line| line.strip_prefix("f:").unwrap()).collect();
        assert_eq!(&said, expected, "{text}");
    }
}

#[test]
fn faults_of_a_whole_file() {
    check(&[
        (
            "",
            &[
                "1:1: error: the file is empty (help: add a line `## Agents`, below it `### worker`, and below that `- Goal: <goal-id>`)",
            ],
        ),
        (
            "\u{feff} \r\n",
            &[
                "1:1: error: the file is empty (help: add a line `## Agents`, below it `### worker`, and below that `- Goal: <goal-id>`)",
            ],
        ),
        ("a\0b", &["1:2: error: the file has a NUL byte: it is not a text"]),
        (
            "just prose\n",
            &[
                "1:1: error: no agent is declared (help: add a line `## Agents`, below it `### worker`, and below that `- Goal: <goal-id>`)",
            ],
        ),
        (
            "# Doc\n\n## Agent\n### a\n- Goal: g\n",
            &["3:4: error: `## Agent` declares nothing (help: did you mean `## Agents`?)"],
        ),
        (
            "# Agents\n\n## a\n",
            &["1:3: error: `# Agents` declares nothing (help: did you mean `## Agents`?)"],
        ),
        (
            "## Agents\n\nNobody yet.\n",
            &[
                "1:4: error: no agent is declared below `## Agents` (help: add below it a line `### worker`, and below that `- Goal: <goal-id>`)",
            ],
        ),
        (
            "## Goals\n### g: Title\nText.\n",
            &[
                "2:5: error: goals are declared, but no agent (help: add a line `## Agents`, below it `### worker`, and below that `- Goal: <goal-id>`)",
            ],
        ),
        (
            "## Agents\n### a\n- Goal: g\n## Goal\n### g: Title\n",
            &["4:4: error: `## Goal` declares nothing (help: did you mean `## Goals`?)"],
        ),
    ]);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let said = |text: String| parse(&Source::new("f", text)).unwrap_err().to_string();
    assert_eq!(
        said("x".repeat(MAX_BYTES + 1)),
        "f:1:1: error: the file has 1048577 bytes, more than 1048576 (help: move long texts into files that agents read)"
    );
    let agents: String = (0..1_002).map(|n| format!("### a{n}\n")).collect();
    assert_eq!(said(format!("## Agents\n{agents}")), "f:1002:5: error: a file has at most 1000 agents");
    let tasks: String = (0..10_002).map(|n| format!("- [ ] {n}\n")).collect();
    assert_eq!(
        said(format!("## Agents\n### a\n## Goals\n### g\n{tasks}")),
        "f:10005:3: error: a goal has at most 10000 tasks"
    );
    let title = "x".repeat(501);
    assert!(
        said(format!("## Agents\n### a\n## Goals\n### g\n- [ ] {title}\n"))
            .starts_with("f:5:7: error: a title has at most 500 characters")
    );
    let typos = "- Gaol: x\n".repeat(1_500);
    let report = parse(&Source::new("f", format!("## Agents\n### a\n{typos}"))).unwrap_err();
    assert_eq!(report.diagnostics.len(), 1_001);
    assert_eq!(report.diagnostics[1_000].message, "500 more faults are not shown");
}
