//! Files as people write them, and all that is read from them.

use crate::dag::{DraftEdge, DraftNode};
use crate::diagnostic::Source;
use crate::instructions::{AgentSpec, Instructions, LogLevel, Milestone, PlanSource, Restart, parse};

fn read(text: &str) -> Instructions {
    match parse(&Source::new("INSTRUCTIONS.md", text)) {
        Ok((instructions, warnings)) => {
            assert_eq!(warnings, [], "{text}");
            instructions
        }
        Err(report) => panic!("{report}"),
    }
}

const MARKDOWN: &str = r#"# The report

Prose, and a list that is none of ours:

- Note: this is documentation

## agents

### lead

Who plans.

- **Goal:** report
- Role: manager
- Log_Level: WARNING
- cadence: 1h30m
- Max Parallel: 4
- LLM: claude:opus

### `worker`
- Goal Id: `report`
- Heartbeat: heartbeat/worker.md
- Instructions: `agents/worker.md`
- Capabilities: shell, research,
- Depends On: lead

### idle

## How it works

- Colour: red

## Goals

### report: A report on *lines*

- Workspace: work/report

What the report is about.

- a point of the brief

#### Background

More of it.

- [ ] Count the `lines` -- of every file {#count priority=10 capabilities=shell} -> lines.csv
  With `wc`, as ever.

  ```sh
  wc -l * > lines.csv

  sort lines.csv
  ```

  ```check
  test -s lines.csv
  ```
  ```bash check
  grep -q total lines.csv
  ```

  A second paragraph:

  - with a list
    of its own
* [ ] Find the largest {after=count attempts=3 timeout=5m}
  → largest.md,
  `a name.md`
* [ ] Find the largest
1. [ ] 数える {after=find-the-largest,find-the-largest-2}

And a last word.

### later

Nobody knows yet.

### planned: With a plan
- Plan: plans/planned.json
"#;

#[test]
fn supervision_is_read_in_both_forms() {
    let markdown = "## Agents\n### a\n### b\n- Depends On: `a` (finished), a, c (Started)\n\
        - Groups: night, day, night\n- Restart: On Failure\n- Max Restarts: 0\n- Restart Window: 5m\n\
        - Timeout: 90s\n### c\n\n## Goals\n### g\nBrief.\n";
    let yaml = "agents:\n  - name: a\n    goal: g\n  - name: b\n    goal: g\n    depends-on: [a (finished), a, c (started)]\n    \
        groups: [night, day]\n    restart: on-failure\n    max-restarts: 0\n    restart-window: 300\n    timeout: 90\n  \
        - name: c\n    goal: g\n";
    for text in [markdown, yaml] {
        let instructions = crate::instructions::parse(&crate::diagnostic::Source::new("x", text)).unwrap().0;
        let b = &instructions.agents[1];
        let waits: Vec<_> = b.depends_on.iter().map(|it| (it.agent.value.as_str(), it.until)).collect();
        assert_eq!(waits, [("a", Milestone::Finished), ("c", Milestone::Started)]);
        let a = &b.depends_on[0].agent.span;
        assert_eq!(&text[a.start..=a.start], "a");
        assert_eq!(b.groups.iter().map(|it| it.value.as_str()).collect::<Vec<_>>(), ["night", "day"]);
        assert_eq!((b.restart, b.max_restarts), (Some(Restart::OnFailure), Some(0)));
        assert_eq!(b.restart_window, Some("5m".parse().unwrap()));
        assert_eq!(b.timeout, Some("90s".parse().unwrap()));
        assert_eq!((instructions.agents[0].restart, instructions.agents[0].timeout), (None, None));
    }
}

#[test]
fn a_group_s_limit_is_read_in_both_forms_wherever_it_stands() {
    let markdown = "## Agents\n### a\n- Groups: `night` (2), day\n### b\n- Groups: day (1), night (2)\n\n\
        ## Goals\n### g\nBrief.\n";
    let yaml = "agents:\n  - name: a\n    goal: g\n    groups: [night (2), day]\n  - name: b\n    goal: g\n    \
        groups: [day (1), night (2)]\n";
    for text in [markdown, yaml] {
        let instructions = crate::instructions::parse(&crate::diagnostic::Source::new("x", text)).unwrap().0;
        let groups = |agent: &AgentSpec| -> Vec<String> {
            agent.groups.iter().map(|group| group.value.to_string()).collect()
        };
        assert_eq!(groups(&instructions.agents[0]), ["night", "day"]);
        assert_eq!(groups(&instructions.agents[1]), ["day", "night"]);
        let place = &instructions.agents[0].groups[0].span;
        assert_eq!(&text[place.clone()], "night");
        let limits = crate::instructions::group_limits(&instructions.agents);
        let limits: Vec<_> = limits.iter().map(|(group, limit)| (group.as_str(), *limit)).collect();
        assert_eq!(limits, [("day", 1), ("night", 2)]);
    }
}

#[test]
fn copies_are_read_in_both_forms_and_named_after_the_first() {
    let markdown =
        "## Agents\n### a\n- Min: 0\n- Max: 3\n### b\n- Min: 2\n### c\n\n## Goals\n### g\nBrief.\n";
    let yaml = "agents:\n  - name: a\n    goal: g\n    min: 0\n    max: 3\n  - name: b\n    goal: g\n    min: 2\n  \
        - name: c\n    goal: g\n";
    for text in [markdown, yaml] {
        let instructions = crate::instructions::parse(&crate::diagnostic::Source::new("x", text)).unwrap().0;
        let all: Vec<_> = instructions
            .agents
            .iter()
            .map(|agent| (agent.bounds(), agent.copies().iter().map(ToString::to_string).collect::<Vec<_>>()))
            .collect();
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(all[0], ((0, 3), names(&["a", "a-2", "a-3"])));
        assert_eq!(all[1], ((2, 2), names(&["b", "b-2"])));
        assert_eq!(all[2], ((1, 1), names(&["c"])));
    }
}

#[test]
fn the_markdown_form_is_read_whole() {
    let instructions = read(MARKDOWN);
    let [lead, worker, idle] = instructions.agents.as_slice() else {
        panic!("{:?}", instructions.agents);
    };
    assert_eq!(lead.name.value.as_str(), "lead");
    assert_eq!(&MARKDOWN[lead.name.span.clone()], "lead");
    assert_eq!(lead.goal.as_ref().unwrap().value.as_str(), "report");
    assert_eq!(lead.role.as_deref(), Some("manager"));
    assert_eq!(lead.log_level, Some(LogLevel::Warn));
    assert_eq!(lead.cadence, Some("90m".parse().unwrap()));
    assert_eq!(lead.max_parallel, Some(4));
    assert_eq!(lead.llm.as_deref(), Some("claude:opus"));
    assert_eq!(lead.depends_on, []);
    assert_eq!(worker.name.value.as_str(), "worker");
    assert_eq!(worker.goal, {
        let mut goal = lead.goal.clone().unwrap();
        goal.span = worker.goal.as_ref().unwrap().span.clone();
        Some(goal)
    });
    let heartbeat = worker.heartbeat.as_ref().unwrap();
    assert_eq!(heartbeat.value, "heartbeat/worker.md");
    assert_eq!(&MARKDOWN[heartbeat.span.clone()], "heartbeat/worker.md");
    assert_eq!(worker.instructions.as_ref().unwrap().value, "agents/worker.md");
    assert_eq!(worker.capabilities.len(), 2);
    assert_eq!(worker.depends_on[0].agent.value.as_str(), "lead");
    assert_eq!(idle.goal, None);

    let [report, later, planned] = instructions.goals.as_slice() else {
        panic!("{:?}", instructions.goals);
    };
    assert_eq!(report.id.value.as_str(), "report");
    assert_eq!(report.title, "A report on *lines*");
    assert_eq!(report.workspace.as_ref().unwrap().value, "work/report");
    assert_eq!(
        report.brief,
        "What the report is about.\n\n- a point of the brief\n\n#### Background\n\nMore of it.\n\nAnd a last word."
    );
    assert_eq!(later.title, "later");
    assert_eq!(later.brief, "Nobody knows yet.");
    assert_eq!(later.plan, PlanSource::Model);
    let PlanSource::File(path) = &planned.plan else {
        panic!("{planned:?}");
    };
    assert_eq!(&MARKDOWN[path.span.clone()], "plans/planned.json");
}

#[test]
fn a_checklist_is_a_draft() {
    let instructions = read(MARKDOWN);
    let PlanSource::Checklist { draft, spans } = &instructions.goals[0].plan else {
        panic!("{:?}", instructions.goals[0]);
    };
    assert_eq!(draft.goal_id, "report");
    assert_eq!(
        draft.nodes,
        [
            DraftNode {
                id: "count".to_owned(),
                title: "Count the `lines` -- of every file".to_owned(),
                description: Some(
                    "With `wc`, as ever.\n\nA second paragraph:\n\n- with a list\n  of its own".to_owned()
                ),
                priority: 10,
                expected_artifacts: vec!["lines.csv".to_owned()],
                capabilities: vec!["shell".to_owned()],
                run: Some("wc -l * > lines.csv\n\nsort lines.csv".to_owned()),
                checks: vec!["test -s lines.csv".to_owned(), "grep -q total lines.csv".to_owned()],
                ..DraftNode::default()
            },
            DraftNode {
                id: "find-the-largest".to_owned(),
                title: "Find the largest".to_owned(),
                expected_artifacts: vec!["largest.md".to_owned(), "a name.md".to_owned()],
                max_attempts: Some(3),
                timeout: Some("5m".parse().unwrap()),
                ..DraftNode::default()
            },
            DraftNode {
                id: "find-the-largest-2".to_owned(),
                title: "Find the largest".to_owned(),
                ..DraftNode::default()
            },
            DraftNode { id: "task-4".to_owned(), title: "数える".to_owned(), ..DraftNode::default() },
        ]
    );
    let edge =
        |source: &str, target: &str| DraftEdge { source: source.to_owned(), target: target.to_owned() };
    assert_eq!(
        draft.edges,
        [
            edge("count", "find-the-largest"),
            edge("find-the-largest", "task-4"),
            edge("find-the-largest-2", "task-4"),
        ]
    );
    let first_lines: Vec<&str> =
        spans.iter().map(|span| MARKDOWN[span.clone()].lines().next().unwrap()).collect();
    assert_eq!(
        first_lines,
        [
            "Count the `lines` -- of every file {#count priority=10 capabilities=shell} -> lines.csv",
            "Find the largest {after=count attempts=3 timeout=5m}",
            "Find the largest",
            "数える {after=find-the-largest,find-the-largest-2}",
        ]
    );
}

#[test]
fn line_endings_and_a_byte_order_mark_change_nothing() {
    let windows = format!("\u{feff}{}", MARKDOWN.replace('\n', "\r\n"));
    let (plain, other) = (read(MARKDOWN), read(&windows));
    assert_eq!(plain.agents.len(), other.agents.len());
    for (plain, other) in plain.goals.iter().zip(&other.goals) {
        assert_eq!(plain.title, other.title);
        assert_eq!(plain.brief, other.brief);
        match (&plain.plan, &other.plan) {
            (PlanSource::Checklist { draft: plain, .. }, PlanSource::Checklist { draft: other, .. }) => {
                assert_eq!(plain, other);
            }
            (PlanSource::File(plain), PlanSource::File(other)) => {
                assert_eq!(plain.value, other.value);
            }
            (plain, other) => assert_eq!(plain, other),
        }
    }
    let first = "\u{feff}## Agents\n### a\n- Goal: g\n";
    assert_eq!(read(first).agents.len(), 1);
}

const YAML: &str = r#"# The predecessor's form
instruction_schema_version: "2"
agents:
  - name: lead
    role: manager
    instructions: prompts/lead.md
    heartbeat: heartbeat/lead.md
    log-level: off
    cadence_seconds: 30
  - name: 'no'
    goal: other
    log_level: INFO
    cadence: "1m"
    capabilities: [shell, "research"]
    depends-on: lead
    max_parallel: 2
    llm: claude:opus
  - {name: 5, goal_id: other, capabilities: "a, b"}
"#;

#[test]
fn the_yaml_form_is_read_whole() {
    let instructions = read(YAML);
    let [lead, no, five] = instructions.agents.as_slice() else {
        panic!("{:?}", instructions.agents);
    };
    assert_eq!(lead.goal.as_ref().unwrap().value.as_str(), "goal-default");
    assert_eq!(lead.role.as_deref(), Some("manager"));
    assert_eq!(lead.log_level, Some(LogLevel::Off));
    assert_eq!(lead.cadence, Some("30s".parse().unwrap()));
    let path = lead.instructions.as_ref().unwrap();
    assert_eq!(&YAML[path.span.clone()], "prompts/lead.md");
    assert_eq!(no.name.value.as_str(), "no");
    assert_eq!(&YAML[no.name.span.clone()], "no");
    assert_eq!(no.goal.as_ref().unwrap().value.as_str(), "other");
    assert_eq!(no.log_level, Some(LogLevel::Info));
    assert_eq!(no.cadence, Some("60s".parse().unwrap()));
    assert_eq!(no.capabilities.len(), 2);
    assert_eq!(no.depends_on[0].agent.value.as_str(), "lead");
    assert_eq!(no.max_parallel, Some(2));
    assert_eq!(no.llm.as_deref(), Some("claude:opus"));
    assert_eq!(five.name.value.as_str(), "5");
    assert_eq!(five.capabilities.len(), 2);
    let goals: Vec<(&str, &str)> =
        instructions.goals.iter().map(|goal| (goal.id.value.as_str(), goal.title.as_str())).collect();
    assert_eq!(goals, [("goal-default", "goal-default"), ("other", "other")]);
    assert_eq!(instructions.goals[0].id.span, lead.name.span);
    assert_eq!(instructions.goals[1].plan, PlanSource::Model);
}

#[test]
fn yaml_may_declare_goals() {
    let instructions = read(
        "agents:\n  - name: a\ngoals:\n  - id: g\n    title: The goal\n    brief: |\n      Two\n      lines.\n    plan: p.json\n    workspace: w\n",
    );
    assert_eq!(instructions.agents[0].goal, None, "it works for any");
    let [goal] = instructions.goals.as_slice() else {
        panic!("{:?}", instructions.goals);
    };
    assert_eq!(goal.title, "The goal");
    assert_eq!(goal.brief, "Two\nlines.");
    assert!(matches!(&goal.plan, PlanSource::File(path) if path.value == "p.json"));
    assert_eq!(goal.workspace.as_ref().unwrap().value, "w");
}

#[test]
fn a_yaml_block_in_markdown_is_the_yaml_form() {
    let text = "\u{feff}# Ünsere\r\n\r\n```yaml\r\nagents:\r\n  - name: \"a\"\r\n    goal: g\r\n```\r\n\r\n## Goals\r\n\r\n### g: T\r\nBrief.\r\n";
    let instructions = read(text);
    let agent = &instructions.agents[0];
    assert_eq!(&text[agent.name.span.clone()], "a");
    assert_eq!(&text[agent.goal.as_ref().unwrap().span.clone()], "g");
    assert_eq!(instructions.goals[0].brief, "Brief.");
}

#[test]
fn json_and_a_document_mark_are_yaml_too() {
    assert_eq!(read("{\"agents\": [{\"name\": \"a\"}]}").agents.len(), 1);
    assert_eq!(read("%YAML 1.2\n---\nagents:\n- name: a\n").agents.len(), 1);
    let front = "---\ntitle: x\n---\n\nagents: all of them\n\n## Agents\n### a\n- Goal: g\n";
    assert_eq!(read(front).agents[0].name.value.as_str(), "a");
}

#[test]
fn keys_may_stand_right_above_the_tasks() {
    let instructions = read("## Agents\n### a\n## Goals\n### g\n- Workspace: w\n\n- [ ] One\n- [ ] Two\n");
    let goal = &instructions.goals[0];
    assert_eq!(goal.workspace.as_ref().unwrap().value, "w");
    assert!(matches!(&goal.plan, PlanSource::Checklist { draft, .. } if draft.nodes.len() == 2));
}

#[test]
fn what_is_not_meant_is_a_warning() {
    for (text, expected) in [
        ("## Agents\n### a\n- Goal: g\n\n1. [ ] x\n", "5:1 a checklist below an agent is not read"),
        ("## Agents\n### a\n", "2:5 no agent names a goal, and the file declares none"),
        (
            "## Agents\n### a\n- Goal: g\n## Format\n```yaml\nagents:\n  - name: x\n```\n",
            "5:1 this block is not read, because `## Agents` declares the agents",
        ),
        (
            "## Agents\n### a\n## Goals\n### g\n- [X] x\n",
            "5:3 ticking is ignored: the store knows what is done",
        ),
        ("## Agents\n### a\n## Goals\n### g\n- [ ] x -> y, y\n", "5:15 `y` stands twice among the artifacts"),
        (
            "## Agents\n### a\n## Goals\n### g\n- [ ] x\n- [ ] y {after=x,#x}\n",
            "6:19 `x` stands twice in `after`",
        ),
    ] {
        let source = Source::new("f", text);
        let (_, warnings) = parse(&source).unwrap();
        let said: Vec<String> =
            warnings.iter().map(|it| format!("{} {}", source.position(it.span.start), it.message)).collect();
        assert_eq!(said, [expected], "{text}");
    }
}
