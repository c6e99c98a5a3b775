//! What a run does with each kind of project, task and failure.
#![expect(clippy::unwrap_used, reason = "test code: a fault ends the test")]

use std::collections::BTreeSet;
use std::time::Duration;

use downbeat_tests::{Event, Fifo, PATIENCE, Project, Running, check, instructions, processes_of, task};
use rstest::rstest;
use serde_json::{Value, json};

/// A task that fails until the file `ok` is there.
fn until_ok(head: &str) -> String {
    task(
        head,
        "echo \"$DOWNBEAT_TASK $DOWNBEAT_ATTEMPT\" >> journal\ntest -e ok || { echo 'no ok yet' >&2; exit 9; }",
    )
}

fn of_kind<'a>(events: &'a [Event], kind: &str) -> Vec<&'a Event> {
    events.iter().filter(|event| event.kind == kind).collect()
}

fn seq_of(events: &[Event], kind: &str, task: &str) -> u64 {
    events.iter().find(|event| event.kind == kind && event.task == task).unwrap().seq
}

#[test]
fn the_quickstart_runs_and_carries_on_and_starts_over() {
    let project = Project::quickstart();
    let ran = project.downbeat(&["run"]).code(0);
    ran.says(&["year-report is complete", "9 of 9 tasks done", "1 retry"]);

    let report = project.read("out/report.md");
    assert!(report.starts_with("# What sold in 2026\n"), "{report}");
    assert!(report.contains("240 orders, ") && report.contains(" copies, **9496.59 euros**."), "{report}");
    for line in ["## The five books", "| region | euros | share |", "- line "] {
        assert!(report.contains(line), "{report}");
    }

    // Both agents worked, also at the same time.
    let events = project.events();
    let done = of_kind(&events, "task.done");
    assert_eq!(done.len(), 9);
    let held: Vec<(u64, &Event)> =
        done.iter().map(|done| (seq_of(&events, "task.claimed", &done.task), *done)).collect();
    let overlap = held.iter().any(|(claimed, first)| {
        held.iter()
            .any(|(other, second)| first.agent != second.agent && claimed < other && *other < first.seq)
    });
    assert!(overlap, "the agents never worked at the same time");
    let retries = of_kind(&events, "task.retry");
    assert_eq!(retries.len(), 1);
    assert_eq!((retries[0].task.as_str(), retries[0].attempt), ("rates", 1));
    assert!(
        retries[0].reason.contains("code 75") && retries[0].reason.contains("busy"),
        "{}",
        retries[0].reason
    );

    let report = project.json(&["run"]);
    assert_eq!(report["complete"], true);
    assert_eq!(report["exit_code"], 0);
    assert_eq!(report["goals"][0]["attempts"], 10);
    assert_eq!(report["goals"][0]["tasks"].as_array().unwrap().len(), 9);

    let again = project.downbeat(&["run"]).code(0);
    again.says(&["Nothing to do: goal year-report is complete", "run --fresh"]);
    assert_eq!(project.events().len(), events.len(), "a run with nothing to do left events");

    project.downbeat(&["run", "--fresh"]).code(0).says(&["store.previous", "9 of 9 tasks done"]);
    assert!(project.path(".downbeat/store.previous").is_dir());
    let events = project.events();
    assert_eq!(events[0].seq, 1);
    assert_eq!(of_kind(&events, "task.done").len(), 9);
}

#[test]
fn json_is_all_that_a_run_prints() {
    let project = Project::quickstart();
    let ran = project.downbeat(&["run", "--json"]).code(0);
    let report = ran.json();
    assert_eq!(report["complete"], true);
    assert_eq!(report["interrupted"], false);
    assert_eq!(report["stuck"], json!([]));
    let rates =
        report["goals"][0]["tasks"].as_array().unwrap().iter().find(|task| task["id"] == "rates").unwrap();
    assert_eq!(rates["attempt"], 2);
    assert_eq!(rates["status"], "done");
}

#[test]
fn a_quiet_run_says_nothing_when_all_is_well() {
    let project = Project::of_tasks(&task("Fine {#a}", "echo x"));
    let ran = project.downbeat(&["run", "--quiet"]).code(0);
    assert_eq!(ran.text(), "");
}

#[test]
fn a_failed_task_is_explained_and_a_retry_goes_on_counting() {
    let project = Project::of_tasks(&until_ok("Needs ok {#a attempts=2}"));
    let ran = project.downbeat(&["run"]).code(1);
    ran.says(&["demo is failed", "no ok yet", "downbeat why a", "downbeat task retry a", "a/2-"]);
    let log = ran.stdout.lines().find_map(|line| line.trim().strip_prefix("output")).unwrap().trim();
    assert_eq!(project.read(log), "no ok yet\n");

    let why = project.json(&["why", "a"]);
    assert_eq!(why["status"], "failed");
    assert_eq!(why["causes"][0]["kind"], "failed");
    assert!(why["causes"][0]["detail"].as_str().unwrap().contains("no ok yet"), "{why}");

    // A run alone does not try again what waits for a person.
    project.downbeat(&["run"]).code(1).says(&["demo is failed"]);
    assert_eq!(project.lines("work/journal"), ["a 1", "a 2"]);

    project.write("work/ok", "");
    project.downbeat(&["task", "retry", "a"]).code(0);
    project.downbeat(&["run"]).code(0).says(&["demo is complete"]);
    assert_eq!(project.lines("work/journal"), ["a 1", "a 2", "a 3"]);
    let attempts = project.task("a")["attempts"].clone();
    let outcomes: Vec<&str> =
        attempts.as_array().unwrap().iter().map(|a| a["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["retry", "failed", "done"]);
}

#[test]
fn a_goal_that_waits_for_a_failure_is_stalled() {
    let tasks = until_ok("First {#a attempts=1}") + &task("Second {#b after=a}", "echo b >> journal");
    let project = Project::of_tasks(&tasks);
    project.downbeat(&["run"]).code(1).says(&["demo is stalled", "1 failed", "1 blocked"]);
    let status = project.json(&["status"]);
    assert_eq!(status["goals"][0]["status"], "stalled");
    assert!(status["goals"][0]["reason"].as_str().unwrap().contains('a'), "{status}");
    let why = project.json(&["why", "b"]);
    assert_eq!(why["status"], "blocked");
    assert_eq!(why["causes"][0]["kind"], "dependency");
    let unblocks = why["causes"][0]["unblocks_when"].as_str().unwrap();
    assert!(unblocks.contains("downbeat task retry a"), "{why}");

    project.write("work/ok", "");
    project.downbeat(&["task", "retry", "a"]).code(0);
    project.downbeat(&["run"]).code(0);
    assert_eq!(project.lines("work/journal"), ["a 1", "a 2", "b"]);
}

#[test]
fn a_capability_that_nobody_offers_ends_the_run_and_is_named() {
    let tasks = task("Fine {#a}", "echo x") + &task("Hard {#b capabilities=gpu}", "echo x");
    let project = Project::of_tasks(&tasks);
    let ran = project.downbeat(&["run"]).code(1);
    ran.says(&["stuck:", "task `b` needs `gpu`", "1 of 2 tasks done"]);
    let why = project.json(&["why", "b"]);
    assert_eq!(why["causes"][0]["kind"], "no_agent");
    assert!(why["causes"][0]["detail"].as_str().unwrap().contains("`gpu`"), "{why}");

    let text =
        project.read("INSTRUCTIONS.md").replace("- Goal: demo\n", "- Goal: demo\n- Capabilities: gpu\n");
    project.write("INSTRUCTIONS.md", &text);
    project.downbeat(&["run"]).code(0).says(&["2 of 2 tasks done"]);
}

#[rstest]
#[case::no_model(&["run"], "no model is chosen")]
#[case::offline(&["run", "--llm", "offline"], "has no command")]
fn a_task_that_nobody_can_do_starts_nothing(#[case] words: &[&str], #[case] said: &str) {
    let project = Project::of_tasks(&format!("{}- [ ] Think {{#b}}\n", task("Fine {#a}", "echo x > a")));
    project.downbeat(words).code(2).says(&["`b`", said]);
    assert!(!project.path("work").exists(), "something was started");
    if project.path(".downbeat/store").exists() {
        assert_eq!(project.json(&["status"])["goals"], json!([]));
        assert!(project.events().is_empty());
    }
}

#[test]
fn a_cancelled_task_stays_cancelled_until_a_person_retries_it() {
    let tasks = until_ok("First {#a attempts=1}") + &task("Second {#b after=a}", "echo b >> journal");
    let project = Project::of_tasks(&tasks);
    project.downbeat(&["run"]).code(1);
    project.downbeat(&["task", "cancel", "b"]).code(0);
    assert_eq!(project.task("b")["status"], "cancelled");
    project.write("work/ok", "");
    project.downbeat(&["task", "retry", "a"]).code(0);

    // Who calls a task off does not ask for it any more: the goal is complete without it, and says so.
    project.downbeat(&["run"]).code(0).says(&["demo is complete: 1 of 2 tasks were cancelled"]);
    assert_eq!(project.task("a")["status"], "done");
    assert_eq!(project.task("b")["status"], "cancelled");
    assert_eq!(project.lines("work/journal"), ["a 1", "a 2"]);

    project.downbeat(&["task", "retry", "b"]).code(0);
    project.downbeat(&["run"]).code(0);
    assert_eq!(project.lines("work/journal"), ["a 1", "a 2", "b"]);
}

/// `exec` keeps the pipe open in every process of the command, also in the background.
const HOLD: &str = "exec 3> ../pipe\necho started >&3\nsleep 1000 &\n";

#[rstest]
#[case::it_ends_when_asked("sleep 1000")]
#[case::it_does_not_listen("trap '' TERM\nsleep 1000\nsleep 1000")]
#[case::only_the_background_is_left("wait")]
fn a_command_out_of_time_ends_with_all_that_it_started(#[case] rest: &str) {
    let project = Project::of_tasks(&task("Slow {#a attempts=1 timeout=2s}", &format!("{HOLD}{rest}")));
    let pipe = Fifo::new(&project.path("pipe"));
    let mut command = project.command(["run"]);
    command.env("DOWNBEAT_KILL_GRACE", "200ms");
    let run = Running::start(command);
    assert_eq!(pipe.line(), "started");
    run.wait_within(Duration::from_secs(20)).code(1).says(&["took longer than 2s"]);
    pipe.closed();
    assert_eq!(processes_of(project.root()), []);
}

#[test]
fn a_command_out_of_time_may_clean_up_before_it_ends() {
    let script = "trap 'sleep 0.2; echo cleaned > cleaned; exit 1' TERM\nsleep 1000 & wait";
    let project = Project::of_tasks(&task("Slow {#a attempts=1 timeout=2s}", script));
    project.downbeat(&["run"]).code(1).says(&["took longer than 2s"]);
    assert_eq!(project.lines("work/cleaned"), ["cleaned"]);
}

#[test]
fn what_a_finished_command_left_in_the_background_ends_with_it() {
    let project = Project::of_tasks(&task("Quick {#a}", &format!("{HOLD}exit 0")));
    let pipe = Fifo::new(&project.path("pipe"));
    project.downbeat(&["run"]).code(0);
    pipe.closed();
    assert_eq!(processes_of(project.root()), []);
}

#[rstest]
#[case::missing("Says so {#a attempts=1} -> a.txt", "true", "expected artifact `a.txt` is missing")]
#[case::outside("Links {#a attempts=1} -> a.txt", "ln -s ../secret a.txt", "lies outside the workspace")]
#[case::outside_by_directory("Links {#a attempts=1} -> d/secret", "ln -s .. d", "lies outside the workspace")]
#[case::dangling("Links {#a attempts=1} -> a.txt", "ln -s nowhere a.txt", "is missing")]
#[case::a_loop("Links {#a attempts=1} -> a.txt", "ln -s a.txt a.txt", "`a.txt`")]
#[case::a_pipe("Pipes {#a attempts=1} -> a.txt", "mkfifo a.txt", "neither a file nor a directory")]
fn an_artifact_has_to_be_there(#[case] head: &str, #[case] script: &str, #[case] said: &str) {
    let project = Project::of_tasks(&task(head, script));
    project.write("secret", "x");
    project.downbeat(&["run"]).code(1).says(&[said]);
    assert_eq!(project.task("a")["artifacts"], json!([]));
}

#[test]
fn an_attempt_after_a_failed_check_is_told_of_it() {
    let script = "echo \"$DOWNBEAT_ATTEMPT:$DOWNBEAT_LAST_ERROR\" >> seen\necho $DOWNBEAT_ATTEMPT > number";
    let head = task("Grow {#a} -> number", script);
    let tasks = head + &check("test \"$(cat number)\" -ge 2 || { echo 'the number is too small'; exit 1; }");
    let project = Project::of_tasks(&tasks);
    project.downbeat(&["run"]).code(0);
    let seen = project.lines("work/seen");
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(seen[0], "1:");
    assert!(seen[1].starts_with("2:the check exited with code 1: the number is too small"), "{seen:?}");
}

#[test]
fn a_command_sees_what_is_documented_and_no_secret() {
    let project = Project::of_tasks(&task("Look {#a}", "env > env.txt"));
    let mut command = project.command(["run"]);
    command.env("SECRET_TOKEN", "hunter2").env("ANTHROPIC_API_KEY", "hunter2").env("LANG", "C.UTF-8");
    command.env("SHOWN", "yes").env("DOWNBEAT_PASS_ENV", "SHOWN,NOT_THERE");
    let ran = Running::start(command).wait().code(0);
    assert!(!ran.text().contains("hunter2"));
    let text = project.read("work/env.txt");
    assert!(!text.contains("hunter2"), "{text}");
    let names: BTreeSet<&str> =
        text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let documented = [
        "DOWNBEAT_GOAL",
        "DOWNBEAT_TASK",
        "DOWNBEAT_AGENT",
        "DOWNBEAT_ATTEMPT",
        "DOWNBEAT_MAX_ATTEMPTS",
        "DOWNBEAT_TOKEN",
        "DOWNBEAT_WORKSPACE",
        "PATH",
        "HOME",
        "LANG",
        "SHOWN",
    ];
    for name in documented {
        assert!(names.contains(name), "{name} is not given:\n{text}");
    }
    // What shells add by themselves.
    let others = ["PWD", "OLDPWD", "SHLVL", "_", "TMPDIR"];
    let strange: Vec<&&str> =
        names.iter().filter(|name| !documented.contains(name) && !others.contains(name)).collect();
    assert!(strange.is_empty(), "{strange:?}");
    let workspace = project.path("work").canonicalize().unwrap();
    assert!(text.contains(&format!("DOWNBEAT_WORKSPACE={}\n", workspace.display())), "{text}");
    assert!(text.contains("DOWNBEAT_TASK=a\n") && text.contains("DOWNBEAT_GOAL=demo\n"), "{text}");
}

#[test]
fn a_flood_of_output_is_kept_in_part() {
    let project =
        Project::of_tasks(&task("Flood {#a}", "yes 0123456789 | head -c 52428800\necho; echo the end"));
    project.downbeat(&["run"]).code(0);
    let token = project.task("a")["token"].as_u64().unwrap();
    let log = std::fs::read(project.path(&format!(".downbeat/logs/a/1-{token}.log"))).unwrap();
    let limit = 10 * 1024 * 1024;
    assert!((limit..limit + 200).contains(&log.len()), "{}", log.len());
    let end = String::from_utf8_lossy(&log[limit..]).into_owned();
    assert!(end.contains("bytes left out"), "{end}");
    let summary = project.task("a")["summary"].clone();
    assert!(summary.as_str().unwrap().contains("the end"), "{summary}");
}

#[test]
fn binary_output_does_no_harm() {
    let script = "i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %o $i)\"; i=$((i+1)); done\nprintf '\\033[31mred\\033]0;title\\007'; exit 3";
    let project = Project::of_tasks(&task("Noise {#a attempts=1}", script));
    let ran = project.downbeat(&["run", "--color", "never"]).code(1);
    assert!(ran.text().chars().all(|c| c == '\n' || !c.is_control()), "{:?}", ran.text());
    for words in
        [["task", "show", "a"].as_slice(), &["why", "a"], &["events"], &["task", "list"], &["status"]]
    {
        let ran = project.downbeat(&[words, &["--color", "never"]].concat()).code(0);
        assert!(ran.text().chars().all(|c| c == '\n' || !c.is_control()), "{words:?}: {:?}", ran.text());
    }
}

#[test]
fn a_plan_file_is_run() {
    let plan = json!({
        "goal_id": "demo",
        "nodes": [
            { "id": "top", "title": "Top", "run": "echo top >> journal" },
            { "id": "left", "title": "Left", "run": "echo side >> journal" },
            { "id": "right", "title": "Right", "run": "echo side >> journal" },
            { "id": "bottom", "title": "Bottom", "run": "echo bottom >> journal" },
        ],
        "edges": [
            { "source": "top", "target": "left" }, { "source": "top", "target": "right" },
            { "source": "left", "target": "bottom" }, { "source": "right", "target": "bottom" },
        ],
    });
    let project = Project::new(
        "## Agents\n\n### a\n\n## Goals\n\n### demo: Plan\n- Plan: plan.json\n- Workspace: work\n",
    );
    project.write("plan.json", &plan.to_string());
    project.downbeat(&["run"]).code(0).says(&["4 of 4 tasks done"]);
    assert_eq!(project.lines("work/journal"), ["top", "side", "side", "bottom"]);

    // A plan that is unsound is refused as a whole, and the finished one stays.
    let unsound = plan.to_string().replacen("\"source\":\"top\"", "\"source\":\"tip\"", 1);
    project.write("plan.json", &unsound);
    project.downbeat(&["run"]).code(2).says(&["tip", "nothing was started"]);
    assert_eq!(project.json(&["status"])["goals"][0]["status"], "complete");
}

#[test]
fn the_yaml_form_with_a_checklist_in_an_agents_instructions_is_run() {
    let project = Project::new(
        "instruction_schema_version: \"2\"\nagents:\n  - name: worker\n    goal: demo\n    instructions: worker.md\n",
    );
    project.write(
        "worker.md",
        &format!(
            "# What to do\n\n{}{}",
            task("One {#one}", "echo one >> journal"),
            task("Two {#two after=one}", "echo two >> journal")
        ),
    );
    project.downbeat(&["run", "--llm", "offline"]).code(0).says(&["demo is complete", "2 of 2 tasks done"]);
    assert_eq!(project.lines("journal"), ["one", "two"]);
    project.downbeat(&["run", "--llm", "offline"]).code(0).says(&["Nothing to do"]);
}

#[test]
fn a_changed_file_amends_the_plan_and_keeps_what_is_done() {
    let one = task("One {#one}", "echo one >> journal");
    let project = Project::of_tasks(&one);
    project.downbeat(&["run"]).code(0);
    let two = task("Two {#two after=one}", "echo two >> journal");
    project.write("INSTRUCTIONS.md", &instructions(&format!("{one}{two}"), 1));
    project.downbeat(&["run"]).code(0).says(&["2 of 2 tasks done", "revision 2"]);
    assert_eq!(project.lines("work/journal"), ["one", "two"]);
    let events = project.events();
    assert_eq!(of_kind(&events, "goal.planned").len(), 1);
    assert_eq!(of_kind(&events, "goal.amended").len(), 1);
    assert_eq!(of_kind(&events, "task.done").len(), 2);

    // A task that is taken out is no longer part of the goal.
    project.write("INSTRUCTIONS.md", &instructions(&task("Two {#two}", "echo two >> journal"), 1));
    project.downbeat(&["run"]).code(0).says(&["1 of 1 task"]);
    assert_eq!(project.lines("work/journal"), ["one", "two"]);
    project.downbeat(&["task", "show", "one"]).code(2);
}

#[test]
fn task_ids_that_another_goal_has_are_prefixed() {
    let project = Project::new(
        "## Agents\n\n### a\n\n## Goals\n\n### first: One\n- Plan: first.json\n\n### second: Two\n- Plan: second.json\n",
    );
    for goal in ["first", "second"] {
        let run = format!("echo {goal} $DOWNBEAT_TASK >> journal");
        let nodes = json!([{ "id": "task-001", "title": "One", "run": run }, { "id": "task-002", "title": "Two", "run": run }]);
        let edges = json!([{ "source": "task-001", "target": "task-002" }]);
        project.write(
            &format!("{goal}.json"),
            &json!({ "goal_id": goal, "nodes": nodes, "edges": edges }).to_string(),
        );
    }
    project.downbeat(&["run"]).code(0).says(&["second.task-001"]);
    let mut lines = project.lines("journal");
    lines.sort();
    assert_eq!(
        lines,
        ["first task-001", "first task-002", "second second.task-001", "second second.task-002"]
    );
    project.downbeat(&["run"]).code(0).says(&["Nothing to do: goal first", "goal second is complete"]);
}

#[test]
fn more_agents_than_allowed_are_refused() {
    let project = Project::of_tasks_and_agents(&task("Fine {#a}", "true"), 3);
    project.downbeat(&["run", "--max-agents", "2"]).code(2).says(&["3 agents", "--max-agents 3"]);
}

#[test]
fn a_run_that_nobody_reads_does_its_work_and_keeps_its_exit_code() {
    for (script, code) in [("echo x > x", 0), ("echo x > x; exit 1", 1)] {
        let project = Project::of_tasks(&task("Works {#a attempts=1}", script));
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = project.command(["run"]);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut child = command.spawn().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{script}");
        assert_eq!(project.lines("work/x"), ["x"]);
    }
}

#[test]
fn a_higher_priority_goes_first() {
    let tasks: String = [("low", 1), ("high", 9), ("middle", 5)]
        .iter()
        .map(|(id, priority)| {
            task(&format!("Say {{#{id} priority={priority}}}"), "echo $DOWNBEAT_TASK >> journal")
        })
        .collect();
    let project = Project::of_tasks(&tasks);
    project.downbeat(&["run"]).code(0);
    assert_eq!(project.lines("work/journal"), ["high", "middle", "low"]);
}

#[test]
fn as_many_tasks_run_at_once_as_an_agent_allows() {
    // Each waits for the other: with one at a time neither could end.
    let meet = |own: &str, other: &str| {
        let script = format!("echo here > ../{own} & read x < ../{other}; wait");
        task(&format!("Meet {{#{own} timeout=30s attempts=1}}"), &script)
    };
    let project = Project::of_tasks(&(meet("a", "b") + &meet("b", "a")));
    for name in ["a", "b"] {
        nix::unistd::mkfifo(&project.path(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    let text = project.read("INSTRUCTIONS.md").replace("- Goal: demo\n", "- Goal: demo\n- Max Parallel: 2\n");
    project.write("INSTRUCTIONS.md", &text);
    project.start(&["run"]).wait_within(PATIENCE).code(0);
}

#[test]
fn a_run_finds_its_project_from_elsewhere() {
    let project = Project::of_tasks(&task("Works {#a}", "pwd > here"));
    let elsewhere = Project::empty();
    let file = project.path("INSTRUCTIONS.md");
    for words in [["run".as_ref(), file.as_os_str()], ["run".as_ref(), project.root().as_os_str()]] {
        Running::start(elsewhere.command(words)).wait().code(0).says(&["demo"]);
    }
    let there = project.read("work/here");
    assert_eq!(std::path::Path::new(there.trim()), project.path("work").canonicalize().unwrap());
    assert!(!elsewhere.path(".downbeat").exists());
    let below = project.path("work");
    let mut command = project.command(["status", "--json"]);
    command.current_dir(below);
    let status: Value = Running::start(command).wait().code(0).json();
    assert_eq!(status["goals"][0]["id"], "demo");
}
