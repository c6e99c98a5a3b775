//! How a run is stopped: gently, at once, and by force.
#![expect(clippy::unwrap_used, reason = "test code: a fault ends the test")]

use std::io::Write as _;
use std::time::Duration;

use downbeat_tests::{Fifo, Project, Running, processes_of, signal_of, task};
use nix::sys::signal::Signal;
use rstest::rstest;

/// A stopped run ends in this time, whatever its commands do.
const SOON: Duration = Duration::from_secs(20);

/// A task that tells when it began and ends when it is let, and one that waits for it.
fn project() -> (Project, Fifo) {
    let script = "exec 3> ../pipe\necho started >&3\nread x < ../go\necho $x > a";
    let tasks = task("Long {#a}", script) + &task("Next {#b after=a}", "cat a > b");
    let project = Project::of_tasks(&tasks);
    let pipe = Fifo::new(&project.path("pipe"));
    nix::unistd::mkfifo(&project.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    (project, pipe)
}

fn started() -> (Project, Fifo, Running) {
    let (project, pipe) = project();
    let run = project.start(&["run"]);
    assert_eq!(pipe.line(), "started");
    (project, pipe, run)
}

fn let_go(project: &Project) {
    // Opening waits for the task that reads.
    let mut go = std::fs::OpenOptions::new().write(true).open(project.path("go")).unwrap();
    go.write_all(b"well\n").unwrap();
}

/// The next run completes what was left.
fn carries_on(project: &Project) {
    let pipe = project.path("pipe");
    std::fs::remove_file(&pipe).unwrap();
    let pipe = Fifo::new(&pipe);
    let run = project.start(&["run"]);
    assert_eq!(pipe.line(), "started");
    let_go(project);
    run.wait().code(0).says(&["2 of 2 tasks done"]);
    assert_eq!(project.read("work/b"), "well\n");
}

fn kinds_of(project: &Project, task: &str) -> Vec<String> {
    let events = project.events().into_iter();
    events
        .filter(|event| event.task == task && event.kind.starts_with("task."))
        .map(|event| event.kind)
        .collect()
}

#[test]
fn ctrl_c_once_finishes_what_runs_and_claims_no_more() {
    let (project, _pipe, mut run) = started();
    run.signal(Signal::SIGINT);
    run.wait_for("finishing 1 running task");
    let_go(&project);
    run.wait_within(SOON).code(4).says(&["carries on", "1 of 2 tasks done"]);
    assert_eq!(project.read("work/a"), "well\n");
    assert_eq!(kinds_of(&project, "b"), ["task.ready"]);
    assert_eq!(project.json(&["status"])["goals"][0]["counts"]["ready"], 1);
    project.downbeat(&["run"]).code(0);
    assert_eq!(project.read("work/b"), "well\n");
}

#[test]
fn ctrl_c_twice_ends_what_runs_and_gives_it_back() {
    let (project, pipe, mut run) = started();
    run.signal(Signal::SIGINT);
    run.wait_for("finishing 1 running task");
    run.signal(Signal::SIGINT);
    run.wait_within(SOON).code(4).says(&["stopping the running tasks", "carries on"]);
    pipe.closed();
    assert_eq!(processes_of(project.root()), []);
    assert_eq!(kinds_of(&project, "a"), ["task.claimed", "task.released"]);
    let task = project.task("a");
    assert_eq!(task["status"], "ready");
    assert_eq!(task["last_error"], serde_json::Value::Null);
    carries_on(&project);
    // What was given back cost no attempt.
    let done =
        project.events().into_iter().find(|event| event.kind == "task.done" && event.task == "a").unwrap();
    assert_eq!(done.attempt, 1);
}

#[rstest]
#[case::terminate(Signal::SIGTERM)]
#[case::hang_up(Signal::SIGHUP)]
fn a_request_to_end_ends_what_runs_at_once(#[case] signal: Signal) {
    let (project, pipe, run) = started();
    run.signal(signal);
    run.wait_within(SOON).code(4).says(&["stopping the running tasks"]);
    pipe.closed();
    assert_eq!(kinds_of(&project, "a"), ["task.claimed", "task.released"]);
    carries_on(&project);
}

#[test]
fn a_killed_run_takes_its_commands_with_it() {
    let script = "trap '' TERM INT HUP\nexec 3> ../pipe\nsleep 1000 &\n(sleep 1000 & sleep 1000) &\necho started >&3\nsleep 1000";
    let project = Project::of_tasks(&task("Stubborn {#a}", script));
    let pipe = Fifo::new(&project.path("pipe"));
    let run = project.start(&["run"]);
    assert_eq!(pipe.line(), "started");
    assert!(processes_of(project.root()).len() > 4);
    let ran = run.kill();
    assert_eq!(signal_of(ran.status), Some(Signal::SIGKILL));
    pipe.closed();
    assert_eq!(project.task("a")["status"], "running", "nobody has looked after it yet");
}

#[test]
fn after_a_kill_the_next_run_frees_and_repeats_the_task() {
    let (project, pipe, run) = started();
    let _ = run.kill();
    pipe.closed();
    carries_on(&project);
    let events = project.events();
    let claimed: Vec<_> =
        events.iter().filter(|event| event.kind == "task.claimed" && event.task == "a").collect();
    assert_eq!(claimed.len(), 2);
    assert!(claimed[0].token < claimed[1].token);
    assert_eq!(claimed[1].attempt, 1, "a death costs no attempt");
    assert_eq!(kinds_of(&project, "a").len(), 4, "{:?}", kinds_of(&project, "a"));
}

#[test]
fn a_signal_while_nothing_runs_stops_at_once() {
    let tasks = task("Fails {#a attempts=3}", "exit 1");
    let project = Project::of_tasks(&tasks);
    let mut command = project.command(["run"]);
    command.env("DOWNBEAT_BACKOFF_BASE", "1h").env("DOWNBEAT_BACKOFF_CEILING", "1h");
    let mut run = Running::start(command);
    run.wait_for("next in");
    run.signal(Signal::SIGINT);
    // What it says depends on whether the view has heard of the failure yet.
    run.wait_within(SOON).code(4);
    let why = project.json(&["why", "a"]);
    assert_eq!(why["causes"][0]["kind"], "backoff");
}

#[test]
fn a_task_that_ends_itself_by_a_signal_says_so() {
    let project = Project::of_tasks(&task("Dies {#a attempts=1}", "kill -SEGV $$"));
    project.downbeat(&["run"]).code(1).says(&["killed by signal 11 (SIGSEGV)"]);
}
