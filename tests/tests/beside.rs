//! Commands, agents and programs in other languages beside the process that holds the embedded store.
#![expect(clippy::unwrap_used, reason = "test code: a fault ends the test")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use downbeat_tests::{Event, Fifo, Project, Running, repository, task};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use serde_json::{Value, json};

/// Says at a pipe that it began, waits at another one, and leaves a line.
const UNTIL_GO: &str = "echo $DOWNBEAT_AGENT $DOWNBEAT_TASK > ../pipe
read x < ../go.$DOWNBEAT_AGENT || true
echo x >> $DOWNBEAT_TASK";

/// What tasks say, one line after the other.
struct Said {
    pipe: Fifo,
    // As long as somebody could write, the pipe does not end between two tasks.
    _writer: File,
}

impl Said {
    #[track_caller]
    fn line(&self) -> String {
        self.pipe.line()
    }
}

/// A project with one declared agent, whose tasks wait until whoever does them is let on, and what they say.
fn waiting(tasks: &str, agents: &[&str]) -> (Project, Said) {
    let project = Project::of_tasks_and_agents(tasks, 1);
    for agent in agents {
        nix::unistd::mkfifo(&project.path(&format!("go.{agent}")), Mode::S_IRWXU).unwrap();
    }
    let pipe = Fifo::new(&project.path("pipe"));
    let writer = File::options().write(true).open(project.path("pipe")).unwrap();
    (project, Said { pipe, _writer: writer })
}

/// Lets an agent's task go on.
fn go(project: &Project, agent: &str) {
    drop(File::options().write(true).open(project.path(&format!("go.{agent}"))).unwrap());
}

/// Sends JSON to the project's socket; the status and what was answered.
fn post(project: &Project, path: &str, body: &Value) -> (u16, Value) {
    let mut stream = UnixStream::connect(project.path(".downbeat/control.sock")).unwrap();
    let body = body.to_string();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

fn worker(project: &Project, name: &str, more: &[&str]) -> Running {
    let mut command = Command::new("python3");
    command
        .arg(repository().join("examples/worker.py"))
        .args(["--name", name, "--workspace", "work", "--patience", "20"])
        .args(more)
        .current_dir(project.root())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Running::start(command)
}

fn done_by(events: &[Event]) -> Vec<(String, String)> {
    let mut done: Vec<_> = events
        .iter()
        .filter(|event| event.kind == "task.done")
        .map(|event| (event.task.clone(), event.agent.clone()))
        .collect();
    done.sort();
    done
}

#[test]
fn every_command_works_beside_a_run() {
    let tasks =
        task("Long {#a}", UNTIL_GO) + &task("Next {#b after=a}", "true") + &task("Last {#c after=b}", "true");
    let (project, pipe) = waiting(&tasks, &["agent-1"]);
    let run = project.start(&["run"]);
    assert_eq!(pipe.line(), "agent-1 a");
    assert_eq!(project.path(".downbeat/control.sock").metadata().unwrap().mode() & 0o777, 0o600);

    let status = project.json(&["status"]);
    assert_eq!(status["goals"][0]["counts"]["running"], 1);
    assert_eq!(status["agents"][0]["liveness"], "alive");
    assert_eq!(status["orchestrator"]["present"], true);
    assert_eq!(project.json(&["task", "show", "a"])["status"], "running");
    project.downbeat(&["why", "b"]).code(0).says(&["waits for `a`, which is running at `agent-1`"]);
    project.downbeat(&["graph"]).code(0);
    project.downbeat(&["plan"]).code(0);
    project.downbeat(&["doctor"]).code(0).says(&["held by `downbeat run`", &run.id().to_string()]);
    let mut follower = project.start(&["events", "-f"]);
    follower.wait_for("task.claimed");

    project.downbeat(&["elevate", "c", "7"]).code(0);
    project.downbeat(&["task", "cancel", "c"]).code(0);
    follower.wait_for("task.cancelled");
    project.downbeat(&["pause", "agent-1"]).code(0);
    project.downbeat(&["resume", "agent-1"]).code(0);
    project.downbeat(&["goal", "remove", "demo", "--without-archive"]).code(1);
    // What needs the store to itself is refused, and says why.
    for words in [&["run"][..], &["run", "--fresh"], &["orchestrator"], &["serve"]] {
        project.downbeat(words).code(3).says(&["held by", "downbeat run", &run.id().to_string()]);
    }

    go(&project, "agent-1");
    run.wait().code(0);
    follower.wait_for("goal.complete");
    follower.wait_for("agents.all_terminated");
    assert!(!project.path(".downbeat/control.sock").exists());
    follower.signal(Signal::SIGINT);
    follower.wait().code(0);
    assert_eq!(project.json(&["status"])["orchestrator"]["present"], false);
}

#[test]
fn a_command_outlives_the_run_that_it_asked() {
    for _ in 0..5 {
        let (project, pipe) = waiting(&task("One {#a}", UNTIL_GO), &["agent-1"]);
        let run = project.start(&["run"]);
        pipe.line();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for words in [&["status"][..], &["events"], &["task", "list"]] {
                let (project, over) = (&project, &over);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        project.downbeat(words).code(0);
                    }
                });
            }
            go(&project, "agent-1");
            run.wait().code(0);
            over.store(true, Ordering::Relaxed);
        });
    }
}

#[test]
fn what_a_killed_run_left_is_no_obstacle() {
    let (project, pipe) = waiting(&task("Long {#a}", UNTIL_GO), &["agent-1"]);
    let run = project.start(&["run"]);
    pipe.line();
    run.kill();
    assert!(project.path(".downbeat/control.sock").exists());
    assert_eq!(project.json(&["status"])["agents"][0]["liveness"], "dead");

    let run = project.start(&["run"]);
    assert_eq!(pipe.line(), "agent-1 a");
    project.downbeat(&["status"]).code(0).says(&["is at work"]);
    go(&project, "agent-1");
    run.wait().code(0);
}

#[test]
fn agents_of_other_processes_share_the_embedded_store() {
    let tasks: String =
        (0..12).map(|n| task(&format!("Works {{#t{n}}}"), "sleep 0.1; echo x >> $DOWNBEAT_TASK")).collect();
    let project = Project::of_tasks_and_agents(&tasks, 3);
    // Whoever is started first waits for the other.
    let agents: Vec<Running> =
        (1..=3).map(|n| project.start(&["agent", "--name", &format!("agent-{n}")])).collect();
    let orchestrator = project.start(&["orchestrator"]);
    orchestrator.wait().code(0);
    for agent in agents {
        agent.wait().code(0).says(&["all its goals are at rest"]);
    }
    let events = project.events();
    let done = done_by(&events);
    assert_eq!(done.len(), 12, "{done:?}");
    let agents: std::collections::BTreeSet<_> = done.iter().map(|(_, agent)| agent.clone()).collect();
    assert!(agents.len() > 1, "{done:?}");
    for n in 0..12 {
        assert_eq!(project.lines(&format!("work/t{n}")), ["x"]);
    }
}

#[test]
fn a_task_outlives_the_orchestrator() {
    let (project, pipe) =
        waiting(&(task("Long {#a}", UNTIL_GO) + &task("Next {#b after=a}", "echo x >> b")), &["agent-1"]);
    let orchestrator = project.start(&["orchestrator"]);
    let agent = project.start(&["agent", "--name", "agent-1"]);
    assert_eq!(pipe.line(), "agent-1 a");
    orchestrator.kill();
    // It finishes while nobody is there to be told.
    go(&project, "agent-1");
    let orchestrator = project.start(&["orchestrator"]);
    orchestrator.wait().code(0);
    agent.wait().code(0);
    let events = project.events();
    assert_eq!(done_by(&events), [("a".into(), "agent-1".into()), ("b".into(), "agent-1".into())]);
    assert_eq!(events.iter().filter(|event| event.kind == "task.claimed" && event.task == "a").count(), 1);
    assert_eq!(project.lines("work/a"), ["x"]);
}

#[test]
fn a_worker_in_another_language_does_half_and_is_fenced_when_it_is_killed() {
    let tasks: String = (0..6).map(|n| task(&format!("Works {{#t{n}}}"), UNTIL_GO)).collect();
    let (project, pipe) = waiting(&tasks, &["agent-1", "snake"]);
    let run = project.start(&["run"]);
    assert!(pipe.line().starts_with("agent-1 "));
    let snake = worker(&project, "snake", &["--lease-ttl", "2", "--ttl", "2"]);
    let mut held = pipe.line();
    // It says of itself that it lives, and no more.
    project.downbeat(&["why", "snake"]).code(0).says(&["agent `snake` works on `t"]);
    for _ in 0..2 {
        go(&project, "agent-1");
        assert!(pipe.line().starts_with("agent-1 "));
        go(&project, "snake");
        held = pipe.line();
    }
    let held = held.strip_prefix("snake ").unwrap();
    let events = project.events();
    let claimed = events.iter().find(|event| event.kind == "task.claimed" && event.task == held).unwrap();

    // Killed in the middle of a task, which another one does.
    snake.kill();
    go(&project, "agent-1");
    assert_eq!(pipe.line(), format!("agent-1 {held}"));
    // What the killed one would still have said, had it only been slow.
    let outcome = json!({ "done": { "summary": "late" } });
    let late = json!({ "task": held, "token": claimed.token, "request": "late", "outcome": outcome });
    let (status, problem) = post(&project, "/v1/settlements", &late);
    assert_eq!((status, problem["code"].as_str()), (409, Some("lease_lost")), "{problem}");
    assert_eq!(problem["holder"], "agent-1");
    assert!(problem["detail"].as_str().unwrap().contains("held_by=`agent-1`"), "{problem}");

    go(&project, "agent-1");
    run.wait().code(0);
    let done = done_by(&project.events());
    assert_eq!(done.len(), 6, "{done:?}");
    assert_eq!(done.iter().filter(|(_, agent)| agent == "snake").count(), 2, "{done:?}");
    assert!((0..6).all(|n| project.lines(&format!("work/t{n}")) == ["x"]));
}

#[test]
fn a_worker_that_was_too_slow_is_told_who_has_its_task() {
    let tasks = task("One {#a}", UNTIL_GO) + &task("Two {#b}", UNTIL_GO);
    let (project, pipe) = waiting(&tasks, &["agent-1", "slow"]);
    let run = project.start(&["run"]);
    assert!(pipe.line().starts_with("agent-1 "));
    let mut slow = worker(&project, "slow", &["--lease-ttl", "1", "--ttl", "1"]);
    let held = pipe.line();
    let held = held.strip_prefix("slow ").unwrap();

    slow.signal(Signal::SIGSTOP);
    go(&project, "agent-1");
    assert_eq!(pipe.line(), format!("agent-1 {held}"));
    slow.signal(Signal::SIGCONT);
    slow.wait_for("held_by=`agent-1`");

    go(&project, "agent-1");
    run.wait().code(0);
    slow.wait().code(0);
    assert_eq!(done_by(&project.events()).len(), 2);
}
