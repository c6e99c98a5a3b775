//! What people and programs read.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a fault ends the test")]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use downbeat_tests::{Fifo, Project, Running, repository, task};
use rstest::rstest;
use serde_json::{Value, json};

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[track_caller]
fn has(value: &Value, expected: &[&str]) {
    let found = keys(value);
    let missing: Vec<&&str> = expected.iter().filter(|key| !found.contains(**key)).collect();
    assert!(missing.is_empty(), "{missing:?} are missing in {value}");
}

/// A goal with a task in each state that needs no run: `done` after a retry, `failed`, `blocked`,
/// `cancelled`, `ready`.
fn project() -> Project {
    let tasks = [
        task("Done {#done priority=9}", "echo hello; test $DOWNBEAT_ATTEMPT -gt 1"),
        task("Failed {#failed attempts=1}", "echo broken >&2; exit 3"),
        task("Blocked {#blocked after=failed}", "true"),
        task("Called off {#cancelled after=failed}", "true"),
        task("Ready {#ready capabilities=gpu}", "true"),
    ];
    let project = Project::of_tasks(&tasks.concat());
    project.downbeat(&["run"]).code(1);
    project.downbeat(&["task", "cancel", "cancelled"]).code(0);
    project
}

#[test]
fn status_is_what_programs_read() {
    let project = project();
    let status = project.json(&["status"]);
    assert_eq!(
        keys(&status),
        BTreeSet::from(["goals", "agents", "groups", "parked", "orchestrator", "instructions"])
    );
    let goal = &status["goals"][0];
    has(goal, &["id", "status", "reason", "counts", "tokens", "cost_usd"]);
    assert_eq!(
        goal["counts"],
        json!({ "blocked": 1, "ready": 1, "running": 0, "done": 1, "failed": 1, "cancelled": 1 })
    );
    assert_eq!(
        keys(&status["agents"][0]),
        BTreeSet::from([
            "name",
            "phase",
            "liveness",
            "paused",
            "task",
            "tasks",
            "lease_expires_at",
            "last_beat_at",
            "stage",
            "stage_reason",
            "generation",
            "restarts",
            "groups"
        ])
    );
    assert_eq!(
        keys(&status["orchestrator"]),
        BTreeSet::from(["present", "name", "id", "last_seen_at", "stale_after_seconds"])
    );
    assert_eq!(status["orchestrator"]["present"], false);
    project.downbeat(&["status"]).code(0).says(&["demo", "1/5", "agent-1", "Nobody orchestrates"]);
}

#[test]
fn after_a_kill_status_shows_what_was_held() {
    let project = Project::of_tasks(&task("Long {#a}", "exec 3> ../pipe\necho started >&3\nsleep 1000"));
    let pipe = Fifo::new(&project.path("pipe"));
    let run = project.start(&["run"]);
    assert_eq!(pipe.line(), "started");
    run.kill();
    let status = project.json(&["status"]);
    assert_eq!(status["goals"][0]["counts"]["running"], 1);
    assert_eq!(status["agents"][0]["task"], "a");
    assert!(status["agents"][0]["lease_expires_at"].is_string());
    let why = project.json(&["why", "a"]);
    assert_eq!(why["status"], "running");
    assert_eq!(why["causes"][0]["kind"], "lease");
}

#[test]
fn a_task_is_what_programs_read() {
    let project = project();
    let done = project.task("done");
    has(
        &done,
        &[
            "id",
            "title",
            "description",
            "priority",
            "capabilities",
            "expected_artifacts",
            "checks",
            "max_attempts",
            "timeout",
            "metadata",
            "goal",
            "status",
            "owner",
            "lease_expires_at",
            "token",
            "attempt",
            "progress",
            "artifacts",
            "summary",
            "last_error",
            "not_before",
            "attempts",
        ],
    );
    let attempts = done["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    for attempt in attempts {
        has(attempt, &["agent", "token", "started_at", "ended_at", "outcome", "error"]);
    }
    assert_eq!(attempts[0]["outcome"], "retry");
    assert_eq!(attempts[1]["outcome"], "done");
    assert_eq!(project.task("failed")["dependants"], json!(["blocked", "cancelled"]));
    assert_eq!(project.task("blocked")["dependencies"], json!(["failed"]));
    project.downbeat(&["task", "show", "failed"]).code(0).says(&["failed", "broken", "code 3"]);

    let list = project.json(&["task", "list"]);
    let list = list.as_array().or_else(|| list["tasks"].as_array()).unwrap().clone();
    let ids: Vec<&str> = list.iter().map(|task| task["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["done", "failed", "blocked", "cancelled", "ready"]);
    let ran = project.downbeat(&["task", "list", "--status", "failed"]).code(0);
    assert!(ran.stdout.contains("failed") && !ran.stdout.contains("blocked"), "{}", ran.stdout);
    project.downbeat(&["task", "list", "--status", "broken"]).code(2);
}

#[rstest]
#[case::done("done", "done", &[])]
#[case::failed("failed", "failed", &["failed"])]
#[case::blocked("blocked", "blocked", &["dependency", "goal"])]
#[case::cancelled("cancelled", "cancelled", &["cancelled"])]
#[case::ready("ready", "ready", &["no_agent"])]
fn every_state_has_its_why(#[case] task: &str, #[case] status: &str, #[case] kinds: &[&str]) {
    let why = project().json(&["why", task]);
    assert_eq!(keys(&why), BTreeSet::from(["task", "status", "causes"]));
    assert_eq!(why["task"], task);
    assert_eq!(why["status"], status);
    let causes = why["causes"].as_array().unwrap();
    assert!(causes.is_empty() == kinds.is_empty(), "{why}");
    for cause in causes {
        assert_eq!(keys(cause), BTreeSet::from(["kind", "detail", "unblocks_when"]));
        assert!(cause.as_object().unwrap().values().all(|text| !text.as_str().unwrap().is_empty()), "{why}");
    }
    if let (Some(first), Some(kind)) = (causes.first(), kinds.first()) {
        assert_eq!(first["kind"], *kind);
    }
}

#[test]
fn events_can_be_chosen() {
    let project = project();
    let all = project.events();
    let newest = all.last().unwrap().seq;
    let seqs = |words: &[&str]| -> Vec<u64> {
        let ran = project.downbeat(&[&["events", "--json"], words].concat()).code(0);
        ran.stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(seqs(&["--limit", "2"]), [newest - 1, newest]);
    assert_eq!(seqs(&["--since", "3", "--limit", "2"]), [4, 5]);
    assert_eq!(seqs(&["--since", &newest.to_string()]), [0; 0]);
    assert_eq!(seqs(&["--limit", "0"]), [0; 0]);
    let of_kind =
        |kind: &str| all.iter().filter(|event| event.kind == kind).map(|event| event.seq).collect::<Vec<_>>();
    assert_eq!(seqs(&["--kind", "task.done"]), of_kind("task.done"));
    assert_eq!(
        seqs(&["--kind", "task", "--task", "failed"]).len(),
        all.iter().filter(|event| event.task == "failed" && event.kind.starts_with("task.")).count()
    );
    assert_eq!(seqs(&["--goal", "nobody"]), [0; 0]);
    project.downbeat(&["events"]).code(0).says(&["task.retry", "goal.planned", "agent-1"]);
}

#[test]
fn events_can_be_followed_until_ctrl_c() {
    let project = project();
    let mut follow = project.start(&["events", "--follow"]);
    follow.wait_for("task.cancelled");
    follow.signal(nix::sys::signal::Signal::SIGINT);
    follow.wait().code(0);
}

#[test]
fn who_follows_events_keeps_nobody_from_the_store() {
    let project = project();
    let mut follow = project.start(&["events", "--follow"]);
    follow.wait_for("task.cancelled");
    project.downbeat(&["pause", "agent-1"]).code(0);
    follow.wait_for("agent.paused");
    project.downbeat(&["resume", "agent-1"]).code(0);
    follow.wait_for("agent.resumed");
    follow.signal(nix::sys::signal::Signal::SIGINT);
    follow.wait().code(0);
}

#[test]
fn every_event_follows_the_schema() {
    let project = project();
    let validator = validator(&project, "events");
    for event in project.events() {
        has(&event.value, &["seq", "at", "kind"]);
        assert!(validator.is_valid(&event.value), "{}", event.value);
    }
}

fn validator(project: &Project, of: &str) -> jsonschema::Validator {
    let schema = project.downbeat(&["schema", of]).code(0).json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn fixtures_follow_the_schema_of_a_dag() {
    let project = Project::empty();
    let validator = validator(&project, "dag");
    let mut seen = 0;
    for entry in std::fs::read_dir(repository().join("fixtures/dags")).unwrap() {
        let path = entry.unwrap().path();
        let dag: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert!(validator.is_valid(&dag), "{}", path.display());
        seen += 1;
    }
    assert!(seen > 0);
    assert!(!validator.is_valid(&json!({ "goal_id": "a b", "nodes": [] })));
}

#[test]
fn the_instructions_schema_takes_what_the_program_takes() {
    let project = Project::empty();
    let validator = validator(&project, "instructions");
    for (agents, sound) in [
        (json!([{ "name": "worker", "goal": "demo" }]), true),
        (json!([{ "name": "worker", "colour": "red" }]), false),
        (
            json!([
                { "name": "worker", "restart": "on-failure", "max_restarts": 0, "restart_window": "5m",
                    "timeout": 90, "groups": ["night (2)", "day"] },
                { "name": "other", "depends_on": ["worker (started)"], "groups": "day, night" },
            ]),
            true,
        ),
        (json!([{ "name": "worker", "groups": ["night (0)"] }]), false),
        (json!([{ "name": "worker", "restart": "sometimes" }]), false),
        (json!([{ "name": "worker" }, { "name": "other", "depends_on": ["worker (gone)"] }]), false),
        (json!([]), false),
    ] {
        let file = json!({ "instruction_schema_version": "2", "agents": agents,
            "goals": [{ "id": "demo", "plan": "plan.json" }] });
        assert_eq!(validator.is_valid(&file), sound, "{file}");
        // JSON is YAML.
        project.write("INSTRUCTIONS.md", &file.to_string());
        let dag = json!({ "goal_id": "demo", "nodes": [{ "id": "a", "title": "A", "run": "true" }] });
        project.write("plan.json", &dag.to_string());
        let ran = project.downbeat(&["plan"]);
        assert_eq!(ran.status.code(), Some(if sound { 0 } else { 2 }), "{file}: {}", ran.text());
    }
}

#[test]
fn a_graph_is_drawn_in_every_language_and_can_be_read_back() {
    let project = project();
    project.downbeat(&["graph"]).code(0).says(&["flowchart", "-->", "failed", "blocked"]);
    project.downbeat(&["graph", "--format", "dot"]).code(0).says(&["digraph", "->"]);
    project.downbeat(&["graph", "--format", "text"]).code(0).says(&["✗ failed", "after"]);
    let dag = project.downbeat(&["graph", "--format", "json"]).code(0).json();
    assert!(validator(&project, "dag").is_valid(&dag), "{dag}");
    let other = Project::new("## Agents\n\n### a\n\n## Goals\n\n### demo: Again\n- Plan: plan.json\n");
    other.write("plan.json", &dag.to_string());
    other.downbeat(&["plan"]).code(0).says(&["blocked", "nobody"]);
    project.downbeat(&["graph", "--goal", "dem"]).code(2).says(&["is it `demo`?"]);
}

#[test]
fn a_plan_shows_and_stores_nothing() {
    let project = Project::quickstart();
    let plan = project.json(&["plan"]);
    assert_eq!(plan["goals"][0]["tasks"].as_array().unwrap().len(), 9);
    assert_eq!(plan["goals"][0]["depth"], 6);
    assert_eq!(plan["agents"][0]["name"], "clerk");
    project.downbeat(&["plan"]).code(0).says(&["inspect", "clerk", "◆"]);
    assert!(!project.path(".downbeat").exists());
}

#[test]
fn the_scaffold_runs_and_is_healthy() {
    let project = Project::empty();
    project.downbeat(&["init", "demo"]).code(0).says(&["demo/INSTRUCTIONS.md", "downbeat run"]);
    let demo = project.path("demo");
    let run = |words: &[&str]| {
        let mut command = project.command(words);
        command.current_dir(&demo).env_remove("DOWNBEAT_BACKOFF_BASE");
        Running::start(command).wait()
    };
    run(&["doctor"]).code(0).says(&["instructions", "default"]);
    run(&["run"]).code(0).says(&["wordcount is complete", "5 of 5 tasks done"]);
    assert!(project.read("demo/work/report.md").contains("the"), "no report");
    run(&["doctor"]).code(0).says(&["sound"]);
    let doctor = run(&["doctor", "--json"]).code(0).json();
    assert_eq!(doctor["healthy"], true);
    run(&["init"]).code(2).says(&["exists already", "--force"]);
    run(&["status"]).code(0);
    // What it says to type next is typed as it stands there.
    project.downbeat(&["init", "my demo"]).code(0).says(&["Next: cd 'my demo' && downbeat run"]);
    for place in ["demo/INSTRUCTIONS.md", "demo/INSTRUCTIONS.md/below"] {
        project.downbeat(&["init", place]).code(2).says(&["cannot make", place, "a file is in its place"]);
    }
}

#[test]
fn a_path_that_is_no_text_is_refused_before_anything_is_made() {
    let project = Project::of_tasks(&task("Works {#a}", "true"));
    let strange = OsStr::from_bytes(b"strange\xff");
    for option in ["--store", "--project", "--config"] {
        let command = project.command([OsStr::new("run"), OsStr::new(option), strange]);
        Running::start(command).wait().code(2).says(&["the argument `strange", "no text in UTF-8"]);
    }
    assert!(!project.path(".downbeat").exists());
    // From inside it has no name.
    let inside = project.root().join(strange);
    std::fs::create_dir(&inside).unwrap();
    std::fs::copy(project.path("INSTRUCTIONS.md"), inside.join("INSTRUCTIONS.md")).unwrap();
    let mut command = project.command(["run", "--spawn", "process"]);
    command.current_dir(&inside);
    Running::start(command).wait().code(0).says(&["1 of 1 task"]);
}

#[test]
fn a_kind_that_no_event_is_of_is_doubted() {
    let project = Project::of_tasks(&task("Works {#a}", "true"));
    project.downbeat(&["run"]).code(0);
    for (kind, near) in [("taks", "is it `task`?"), ("task.doen", "is it `task.done`?")] {
        let ran = project.downbeat(&["events", "--kind", kind]).code(0);
        ran.says(&["warning: no event of Downbeat is of kind", kind, near]);
    }
    for kind in ["task", "task.", "task.*", "task.done", "agents.all_terminated"] {
        let ran = project.downbeat(&["events", "--kind", kind]).code(0);
        assert!(ran.text().lines().count() > 0 && !ran.text().contains("warning"), "{}", ran.text());
    }
}

#[test]
fn a_doctor_finds_what_is_wrong() {
    let project = Project::new("# Nothing\n");
    project.downbeat(&["doctor"]).code(1).says(&["✗"]);
    project.write("INSTRUCTIONS.md", &downbeat_tests::instructions(&task("A {#a}", "true"), 1));
    project.write("downbeat.toml", "lease_tll = \"30s\"\nmax_agents = 0\n");
    project.downbeat(&["doctor"]).code(1).says(&["lease_tll", "is it `lease_ttl`?", "max_agents"]);
    project.downbeat(&["run"]).code(2).says(&["lease_tll", "max_agents"]);
    assert!(!project.path("work").exists());
}

#[test]
fn shells_complete() {
    let project = Project::empty();
    for shell in ["bash", "zsh", "fish"] {
        let ran = project.downbeat(&["completions", shell]).code(0);
        assert!(ran.stdout.contains("downbeat") && ran.stdout.contains("elevate"), "{shell}");
        assert!(!ran.stdout.contains("internal-guard"), "{shell}");
    }
    let bash = project.downbeat(&["completions", "bash"]).code(0).stdout;
    project.write("completions", &bash);
    if let Ok(status) = Command::new("bash").arg("-n").arg(project.path("completions")).status() {
        assert!(status.success());
    }
}

#[test]
fn nobody_who_reads_is_no_reason_to_panic() {
    let project = project();
    let all: [&[&str]; 12] = [
        &["events"],
        &["events", "--json"],
        &["status"],
        &["status", "--json"],
        &["task", "list"],
        &["task", "show", "done"],
        &["graph"],
        &["schema", "dag"],
        &["completions", "bash"],
        &["--help"],
        &["plan"],
        &["doctor"],
    ];
    for words in all {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = project.command(words);
        command.stdout(writer).stderr(std::process::Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked") && !said.contains("error"), "{words:?}: {said}");
    }
}

#[rstest]
#[case::option(&["--color", "never"], &[])]
#[case::no_color(&[], &[("NO_COLOR", "1")])]
#[case::a_pipe(&[], &[])]
fn no_colours_where_none_are_wanted(#[case] words: &[&str], #[case] environment: &[(&str, &str)]) {
    let project = Project::of_tasks(&task("Fails {#a attempts=2}", "exit 1"));
    let all: [&[&str]; 8] = [
        &["run"],
        &["status"],
        &["events"],
        &["task", "show", "a"],
        &["why", "a"],
        &["graph"],
        &["doctor"],
        &["why", "b"],
    ];
    for command in all {
        let mut command = project.command([command, words].concat());
        command.envs(environment.iter().copied());
        let ran = Running::start(command).wait();
        assert!(!ran.text().contains('\u{1b}'), "{:?}", ran.text());
    }
    let ran = project.downbeat(&["status", "--color", "always"]).code(0);
    assert!(ran.stdout.contains('\u{1b}'));
}

#[test]
fn what_a_file_says_cannot_drive_the_terminal() {
    let title = "Red \u{1b}[31mtitle\u{1b}]0;owned\u{7}\u{8}\u{202e}rtl\u{9b}2J";
    let plan = json!({ "goal_id": "demo", "nodes": [{ "id": "a", "title": title, "description": title,
        "run": "printf '\\033[2J\\033]0;owned\\007boom'; exit 1", "max_attempts": 1 }] });
    let project =
        Project::new("## Agents\n\n### a\n\n## Goals\n\n### demo: Nice \u{1b}[31mgoal\n- Plan: plan.json\n");
    project.write("plan.json", &plan.to_string());
    let all: [&[&str]; 9] = [
        &["plan"],
        &["run"],
        &["status"],
        &["task", "list"],
        &["task", "show", "a"],
        &["why", "a"],
        &["events"],
        &["graph"],
        &["graph", "--format", "dot"],
    ];
    for words in all {
        let ran = project.downbeat(&[words, &["--color", "never"]].concat());
        let strange: Vec<char> = ran
            .text()
            .chars()
            .filter(|c| *c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(c)))
            .collect();
        assert!(strange.is_empty(), "{words:?} prints {strange:?}:\n{}", ran.text());
    }
}

#[test]
fn a_slip_is_answered_with_what_was_meant() {
    let project = project();
    project.downbeat(&["why", "bloked"]).code(2).says(&["no task is called `bloked`", "is it `blocked`?"]);
    project.downbeat(&["task", "show", "nothing-like-it"]).code(2).says(&["task list"]);
    project.downbeat(&["pause", "agent-11"]).code(2).says(&["is it `agent-1`?"]);
    project.downbeat(&["goal", "cancel", "dem"]).code(2).says(&["is it `demo`?"]);
    project.downbeat(&["task", "show", "\u{1b}[31m../../etc"]).code(2);
    project.downbeat(&["statsu"]).code(2).says(&["status"]);
    let ran = project.downbeat(&["why", "bloked", "--json"]).code(2);
    assert_eq!(ran.stdout, "");
    let error: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["error"]["code"], "not_found");
    has(&error["error"], &["code", "message", "hints"]);
}

#[test]
fn a_person_can_steer_between_runs() {
    let tasks: String = ["one", "two"]
        .iter()
        .map(|id| task(&format!("Say {{#{id} after=gate}}"), "echo $DOWNBEAT_TASK >> journal"))
        .collect();
    let project = Project::of_tasks(&(task("Gate {#gate attempts=1}", "test -e open") + &tasks));
    project.downbeat(&["run"]).code(1);
    project.downbeat(&["elevate", "two", "100"]).code(0);
    project.downbeat(&["pause", "agent-1"]).code(0);
    assert_eq!(project.json(&["status"])["agents"][0]["paused"], true);
    project.write("work/open", "");
    project.downbeat(&["task", "retry", "gate"]).code(0);
    project.downbeat(&["run"]).code(1).says(&["not paused"]);
    assert_eq!(project.lines("work/journal"), [""; 0]);
    project.downbeat(&["resume", "agent-1"]).code(0);
    project.downbeat(&["run"]).code(0);
    assert_eq!(project.lines("work/journal"), ["two", "one"]);

    // What cannot be done is refused, said, and in the log.
    let ran = project.downbeat(&["task", "cancel", "one"]);
    assert_eq!(ran.status.code(), Some(1), "{}", ran.text());
    assert!(project.events().iter().any(|event| event.kind == "directive.refused"));
    let ran = project.downbeat(&["drop", "one"]);
    assert_eq!(ran.status.code(), Some(1), "{}", ran.text());
}

#[test]
fn a_cancelled_goal_is_at_rest() {
    let project = project();
    project.downbeat(&["goal", "cancel", "demo"]).code(0);
    let status = project.json(&["status"]);
    assert_eq!(status["goals"][0]["status"], "cancelled");
    assert_eq!(status["goals"][0]["counts"]["blocked"], 0);
    project.downbeat(&["run"]).code(1).says(&["demo is cancelled"]);
}

#[test]
fn faults_of_a_file_are_shown_with_their_place() {
    let project = Project::of_tasks(&task("A {#a after=b}", "true"));
    project.downbeat(&["run"]).code(2).says(&[
        "INSTRUCTIONS.md:",
        "`after` names no task: `b`",
        "nothing was started",
    ]);
    let ran = project.downbeat(&["run", "--json"]).code(2);
    let error: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert!(error["error"]["diagnostics"].is_array(), "{error}");
    assert_eq!(ran.stdout, "");
}
