//! Goals below tasks as whole programs: three levels, the one that works them off is killed and resumed, and
//! what is called off at the top ends everything below.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code: a fault ends the test"
)]

use std::process::Command;

use downbeat_tests::redis::Redis;
use downbeat_tests::{Event, Fifo, Project, Running};
use nix::sys::signal::Signal;

fn instructions(leaf: &str) -> String {
    format!(
        "## Agents\n\n### one\n\n### two\n\n## Goals\n\n### top: The top\n\n- [ ] The middle {{#mid goal=middle}}\n\n\
         ### middle: The middle\n\n- [ ] The leaf {{#low goal=leaf}}\n\n\
         ### leaf: The leaf\n\n- [ ] Works {{#works}}\n  ```sh\n  {leaf}\n  ```\n"
    )
}

/// Holds the pipe for as long as it runs.
const LONG: &str = "exec 9> pipe; echo $$ >&9; exec sleep 300";

/// Every event of a goal names its chain, by its goal's id and by the member `chain`.
fn all_name_their_chain(events: &[Event]) {
    let mut below = 0;
    for event in events {
        let Some(goal) = event.value["goal"].as_str() else { continue };
        let chain: Vec<&str> =
            event.value["chain"].as_array().unwrap().iter().map(|goal| goal.as_str().unwrap()).collect();
        let expected: Vec<&str> = match goal {
            "top" => vec!["top"],
            "top.mid" => vec!["top", "top.mid"],
            "top.mid.low" => vec!["top", "top.mid", "top.mid.low"],
            other => panic!("an event of goal {other}"),
        };
        assert_eq!(chain, expected, "{:?}", event.value);
        below += usize::from(chain.len() == 3);
    }
    assert!(below >= 3, "{below} events of the goal at the bottom");
}

#[test]
fn a_killed_run_takes_the_goals_below_over() {
    let again =
        "echo x >> tries; test $(wc -l < tries) -gt 1 && exit 0; exec 9> pipe; echo $$ >&9; exec sleep 300";
    let project = Project::new(&instructions(again));
    let pipe = Fifo::new(&project.path("pipe"));
    let run = project.start(&["run"]);
    pipe.line();

    run.kill();
    pipe.closed();
    project.downbeat(&["run"]).code(0);

    let events = project.events();
    for goal in ["top", "top.mid", "top.mid.low"] {
        let of = |kind: &str| {
            events.iter().filter(|event| event.kind == kind && event.value["goal"] == goal).count()
        };
        assert_eq!((of("goal.planned"), of("goal.complete")), (1, 1), "{goal}");
    }
    assert_eq!(project.task("top.mid.low.works")["status"], "done");
    all_name_their_chain(&events);
}

#[test]
fn a_graph_draws_goals_below_the_tasks_that_own_them() {
    let project = Project::new(&instructions("true"));
    let graph = |words: &[&str]| project.downbeat(&[&["graph"], words].concat()).code(0).stdout;
    let inside = |text: &str| {
        let lines = text.lines().skip_while(|line| !line.contains("top.mid"));
        lines.map(|line| line.len() - line.trim_start().len()).collect::<Vec<_>>()
    };

    // As declared, then as stored, under the same ids.
    for mark in ["·", "✓"] {
        let text = graph(&["--format", "text"]);
        assert_eq!(inside(&text), [6, 8, 12, 14], "{text}");
        assert!(text.contains(&format!("{mark} top.mid.low.works  Works")), "{text}");
        let mermaid = graph(&[]);
        for part in ["subgraph g1[", "        subgraph g2[", "n0 -.-> g1", "n1 -.-> g2"] {
            assert!(mermaid.contains(part), "{part}\n{mermaid}");
        }
        assert_eq!(mermaid.contains("class n0,n1,n2 s0"), mark == "✓", "{mermaid}");
        let dot = graph(&["--format", "dot"]);
        assert!(dot.contains("subgraph cluster_1 {") && dot.contains("lhead=cluster_2"), "{dot}");
        let json = project.json(&["graph"]);
        assert_eq!(json["below"]["mid"]["below"]["top.mid.low"]["nodes"][0]["id"], "top.mid.low.works");
        // What a DAG file says is one goal's plan, and each can be had.
        assert!(!graph(&["--format", "json"]).contains("below"));
        assert!(graph(&["--format", "text", "--goal", "top.mid"]).starts_with("top.mid  The middle\n"));
        project.downbeat(&["run"]).code(0);
    }
}

#[test]
fn what_is_called_off_at_the_top_ends_all_below_though_the_orchestrator_was_killed() {
    let project = Project::new(&instructions(LONG));
    let redis = Redis::start();
    let start = |words: &[&str]| {
        let mut command: Command = project.command(words);
        command.env("DOWNBEAT_CACHE", redis.url()).env("DOWNBEAT_LEADER_TTL", "1s");
        Running::start(command)
    };
    let pipe = Fifo::new(&project.path("pipe"));
    let agents = [start(&["agent", "--name", "one"]), start(&["agent", "--name", "two"])];
    let first = start(&["orchestrator"]);
    pipe.line();

    first.kill();
    let mut second = start(&["orchestrator"]);
    second.wait_for("Took over goal top.mid.low");
    start(&["goal", "cancel", "top"]).wait().code(0);

    // The command at the bottom has ended, and all that it started.
    pipe.closed();
    let _ = second.wait();
    for agent in agents {
        agent.signal(Signal::SIGTERM);
        let _ = agent.wait();
    }
    assert!(redis.cli(&["KEYS", "task:*:lock"]).is_empty(), "a lease outlives its task");
    let events: Vec<Event> =
        start(&["events", "--json"]).wait().code(0).stdout.lines().map(Event::read).collect();
    all_name_their_chain(&events);
    for goal in ["top", "top.mid", "top.mid.low"] {
        let cancelled =
            events.iter().any(|event| event.kind == "goal.cancelled" && event.value["goal"] == goal);
        assert!(cancelled, "{goal}");
    }
    let holder = events.iter().filter(|event| event.task == "mid" && event.kind == "task.claimed").count();
    assert_eq!(holder, 2, "one orchestrator after the other held it");
}

#[test]
fn who_works_for_a_goal_works_for_what_its_tasks_own() {
    let head = "## Agents\n\n### one\n- Goal: top\n\n## Goals\n\n### top: The top\n";
    let below = "\n### below: Below\n\n- [ ] Works {#works}\n  ```sh\n  true\n  ```\n";
    let by_a_task = Project::new(&format!("{head}\n- [ ] Owns it {{#own goal=below}}\n{below}"));
    by_a_task.downbeat(&["run"]).code(0);
    assert_eq!(by_a_task.task("top.own.works")["status"], "done");

    // What a file says is known when that was read.
    let by_a_file = Project::new(&format!("{head}- Plan: plan.json\n{below}"));
    let plan =
        |node: &str| format!(r#"{{"goal_id": "top", "nodes": [{{"id": "own", "title": "Own", {node}}}]}}"#);
    by_a_file.write("plan.json", &plan(r#""run": "true""#));
    by_a_file.downbeat(&["run"]).code(2).says(&["goal `below` has no agent", "give an agent `Goal: below`"]);
    by_a_file.write("plan.json", &plan(r#""kind": "goal", "goal": "below""#));
    by_a_file.downbeat(&["run"]).code(0);
    assert_eq!(by_a_file.task("top.own.works")["status"], "done");
}
