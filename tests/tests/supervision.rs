//! An agent whose process dies again and again: waits, quarantine, alert, and what `why` says of it all the while.
#![expect(clippy::unwrap_used, reason = "test code: a fault ends the test")]

use std::time::Duration;

use downbeat_tests::{Event, Project, Running, task};
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::time::Instant;

/// How long something may take that is only a matter of time.
const PATIENCE: Duration = Duration::from_secs(30);

const AGENTS: &str = "## Agents\n\n### painter\n- Capabilities: gpu\n- Max Restarts: 2\n\n### clerk\n\
    - Capabilities: shell\n\n## Goals\n\n### demo: A demonstration\n- Workspace: work\n\n";

/// What ends the process of whoever is at it, as a fault in a driver would, until somebody mends it.
const CRASHES: &str = "test -e ../mended && exec touch drawn
kill -9 $(sed 's/.*\"process\":\"[^-\"]*-\\([0-9]*\\)-.*/\\1/' ../.downbeat/agents/$DOWNBEAT_AGENT.json)
sleep 1000";

fn project() -> Project {
    let tasks = [
        task("Draws {#draw priority=9 capabilities=gpu}", CRASHES),
        task("First {#first capabilities=shell}", "true"),
        task("Second {#second capabilities=shell after=first}", "true"),
    ];
    Project::new(&format!("{AGENTS}{}", tasks.concat()))
}

fn quarantined(project: &Project) -> Running {
    let mut run = project.start(&["run", "--spawn", "process", "--keep-running"]);
    run.wait_for("Agent painter is started again in");
    run.wait_for("Agent painter is started again in");
    run.wait_for(
        "Agent painter is quarantined: it ended 3 times within 10m; the last time it was killed by SIGKILL",
    );
    run.wait_for("needs `gpu`, and no agent offers it");
    run
}

/// Waits for an event of a kind about a task.
fn until(project: &Project, kind: &str, about: &str) {
    let mut follow = project.start(&["events", "--follow", "--kind", kind]);
    follow.wait_for(about);
    follow.signal(Signal::SIGINT);
    follow.wait().code(0);
}

/// Waits until it has done everything, and ends by itself.
fn end(run: Running) {
    run.wait().code(0).says(&["3 of 3 tasks done"]);
}

fn of<'a>(events: &'a [Event], kind: &str, agent: &str) -> Vec<&'a Event> {
    events.iter().filter(|event| event.kind == kind && event.agent == agent).collect()
}

/// The cause of this kind that `why` names.
fn cause(why: &Value, kind: &str) -> Value {
    let causes = why["causes"].as_array().unwrap();
    let found = causes.iter().find(|cause| cause["kind"] == kind);
    assert!(found.is_some(), "{kind}: {why:#}");
    found.unwrap().clone()
}

/// What `why` says as soon as it names this cause: where agents stand is written down a moment after it is so.
fn once_named(project: &Project, task: &str, kind: &str) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let why = project.json(&["why", task]);
        let causes = why.get("causes").and_then(Value::as_array).unwrap();
        let named = causes.iter().any(|cause| cause.get("kind").is_some_and(|found| found == kind));
        if named || Instant::now() > end {
            return why;
        }
    }
}

#[test]
fn a_crash_loop_is_a_quarantine_that_why_names_and_a_restart_lifts() {
    let project = project();
    let run = quarantined(&project);
    until(&project, "task.done", "second");

    let why = once_named(&project, "draw", "quarantined");
    let named = cause(&why, "quarantined");
    let reason = "it ended 3 times within 10m; the last time it was killed by SIGKILL";
    assert_eq!(named["detail"], format!("agent `painter` is quarantined: {reason}"));
    assert_eq!(named["unblocks_when"], "a person runs `downbeat restart painter`");
    assert_eq!(why["causes"][0]["kind"], "no_agent", "{why:#}");
    assert_eq!(cause(&project.json(&["why", "painter"]), "quarantined"), named);
    project
        .downbeat(&["why", "agent:painter"])
        .code(0)
        .says(&["Agent painter is quarantined", "downbeat restart painter"]);
    project.downbeat(&["status"]).code(0).says(&["quarantined", &format!("painter: {reason}")]);
    project.downbeat(&["why", "pointer"]).code(2).says(&["no task is called `pointer`", "lists agents"]);
    let before = project.events();
    assert_eq!(of(&before, "agent.registered", "painter").len(), 3);
    let ends = of(&before, "agent.terminated", "painter");
    assert!(ends.iter().all(|end| end.value["data"]["signal"] == 9), "{ends:?}");
    assert_eq!(of(&before, "agent.quarantined", "painter").len(), 1);
    assert_eq!(before.iter().filter(|event| event.kind == "alert.no_agent").count(), 1);
    assert_eq!(before.iter().filter(|event| event.kind == "task.expired").count(), 0, "freed at once");

    project.write("mended", "");
    project.downbeat(&["restart", "painter"]).code(0).says(&["agent `painter` is to be started anew"]);
    end(run);
    let events = project.events();
    assert_eq!(of(&events, "agent.registered", "painter").len(), 4);
    let alerts: Vec<&str> =
        events.iter().map(|event| event.kind.as_str()).filter(|kind| kind.starts_with("alert.")).collect();
    assert_eq!(alerts, ["alert.no_agent", "alert.resolved"]);
}

#[test]
fn what_a_quarantine_keeps_is_taken_by_an_agent_that_is_declared_then() {
    let project = project();
    let run = quarantined(&project);

    project.write("mended", "");
    let text = project.read("INSTRUCTIONS.md");
    project
        .write("INSTRUCTIONS.md", &text.replace("### clerk", "### spare\n- Capabilities: gpu\n\n### clerk"));
    end(run);

    let events = project.events();
    let taken = of(&events, "task.claimed", "spare");
    let first = taken.first().unwrap();
    assert_eq!(first.task, "draw");
    let ready = of(&events, "agent.started", "spare");
    let at = |event: &Event| event.value["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let waited = at(first).duration_since(at(ready.first().unwrap()));
    assert!(waited.as_millis() <= 1_000, "it was taken {waited:?} after the agent had started");
    assert_eq!(
        of(&events, "agent.registered", "painter").len(),
        3,
        "a quarantine ends by a person's word alone"
    );
}
