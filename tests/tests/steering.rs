//! Steering a fleet through its files and from the command line, with real processes and real kills.
#![expect(clippy::unwrap_used, reason = "test code: a fault ends the test")]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::time::Duration;

use downbeat_tests::redis::Redis;
use downbeat_tests::{Event, Fifo, PATIENCE, Project, Running, task};
use nix::sys::stat::Mode;
use serde_json::Value;
use tokio::time::Instant;

/// One agent that a file steers, and these tasks.
fn project(tasks: &str) -> Project {
    let project = Project::new(&format!(
        "# A test\n\n## Agents\n\n### research\n- Goal: demo\n- Heartbeat: heartbeat/research.md\n\n## Goals\n\n\
         ### demo: A demonstration\n- Workspace: work\n\n{tasks}\n"
    ));
    project.write("heartbeat/research.md", "# Steering\n");
    nix::unistd::mkfifo(&project.path("go"), Mode::S_IRWXU).unwrap();
    project
}

/// `echo LINE >> heartbeat/research.md`.
fn say(project: &Project, line: &str) {
    let mut file = OpenOptions::new().append(true).open(project.path("heartbeat/research.md")).unwrap();
    writeln!(file, "{line}").unwrap();
}

/// A pipe that tasks say at that they began, open for many of them one after the other.
fn pipe(project: &Project) -> (Fifo, File) {
    let pipe = Fifo::new(&project.path("pipe"));
    (pipe, OpenOptions::new().read(true).write(true).open(project.path("pipe")).unwrap())
}

/// Lets one task that waits go on.
fn go(project: &Project) {
    drop(OpenOptions::new().write(true).open(project.path("go")).unwrap());
}

const UNTIL_GO: &str = "echo $DOWNBEAT_ATTEMPT > ../pipe; read x < ../go || true; echo x >> $DOWNBEAT_TASK";

fn of_kind<'a>(events: &'a [Event], kind: &str) -> Vec<&'a Event> {
    events.iter().filter(|event| event.kind == kind).collect()
}

/// The lease is good for an hour: who does not hear of the order at once works on for twenty minutes.
#[test]
fn a_dropped_task_is_let_go_at_once_and_costs_no_attempt() {
    let project = project(&task("Waits {#a}", UNTIL_GO));
    let (pipe, _open) = pipe(&project);
    let run = project.start(&["run", "--lease-ttl", "1h", "--max-attempts", "1"]);
    assert_eq!(pipe.line(), "1");
    say(&project, "DROP-TASK a");
    assert_eq!(pipe.line(), "1", "the attempt was given back");
    say(&project, "drop-task a   # once more");
    assert_eq!(pipe.line(), "1");
    go(&project);
    run.wait().code(0);

    assert_eq!(project.lines("work/a"), ["x"]);
    let events = project.events();
    let orders = of_kind(&events, "directive.applied");
    let by: Vec<&str> = orders.iter().map(|event| event.value["data"]["by"].as_str().unwrap()).collect();
    assert_eq!(by, ["heartbeat/research.md:2", "heartbeat/research.md:3"]);
    assert_eq!(orders[0].reason, "task `a` was taken from `research`");
    assert_eq!(project.task("a")["attempt"], 1);
    assert_eq!(of_kind(&events, "task.released").len(), 2);
}

/// Everything on a shared store, from processes of their own.
struct Fleet {
    project: Project,
    redis: Redis,
}

impl Fleet {
    fn new(tasks: &str) -> Self {
        Self { project: project(tasks), redis: Redis::start() }
    }

    fn start(&self, words: &[&str]) -> Running {
        let mut command = self.project.command(words);
        command.env("DOWNBEAT_CACHE", self.redis.url());
        Running::start(command)
    }

    fn events(&self) -> Vec<Event> {
        let ran = self.start(&["events", "--json"]).wait().code(0);
        ran.stdout.lines().map(Event::read).collect()
    }

    /// What the agent's memory says, once `holds` is true of it.
    fn memory(&self, holds: impl Fn(&str) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let text = self.redis.cli(&["GET", "agent:research:memory"]).join("\n");
            if holds(&text) {
                return serde_json::from_str(&text).unwrap_or_default();
            }
            assert!(Instant::now() < end, "the memory is still {text}");
        }
    }
}

#[test]
fn an_agent_of_another_process_hears_orders_from_its_file_and_from_the_command_line() {
    let fleet = Fleet::new(&task("Waits {#a}", UNTIL_GO));
    let (pipe, _open) = pipe(&fleet.project);
    // Both the orchestrator and the agent read the file.
    let orchestrator = fleet.start(&["orchestrator"]);
    let agent = fleet.start(&["agent", "--name", "research", "--lease-ttl", "1h"]);
    pipe.line();
    say(&fleet.project, "DROP-TASK a");
    pipe.line();
    fleet.start(&["drop", "a"]).wait().code(0).says(&["task `a` was taken from `research`"]);
    pipe.line();
    fleet.start(&["pause", "research"]).wait().code(0);
    fleet.start(&["drop", "a"]).wait().code(0);
    fleet.start(&["elevate", "a", "7"]).wait().code(0);
    // An append that has nothing to do with it does not undo the pause; the word itself does.
    say(&fleet.project, "ELEVATE a 9\nRESTART");
    say(&fleet.project, "RESUME");
    pipe.line();
    go(&fleet.project);
    agent.wait().code(0);
    orchestrator.wait().code(0);

    assert_eq!(fleet.project.lines("work/a"), ["x"]);
    let events = fleet.events();
    let orders: Vec<(String, String)> = events
        .iter()
        .filter(|event| event.kind.starts_with("directive."))
        .map(|event| {
            let data = &event.value["data"];
            let by = data["by"].as_str().unwrap().split('@').next().unwrap().to_owned();
            (data["directive"]["do"].as_str().unwrap().to_owned(), by)
        })
        .collect();
    let user = orders[1].1.clone();
    assert!(user.starts_with("cli:"), "{user}");
    let expected = [
        ("drop-task", "heartbeat/research.md:2"),
        ("drop-task", &user),
        ("pause", &user),
        ("drop-task", &user),
        ("elevate", &user),
        ("elevate", "heartbeat/research.md:3"),
        ("resume", "heartbeat/research.md:5"),
    ];
    assert_eq!(orders, expected.map(|(order, by)| (order.to_owned(), by.to_owned())));
    let alerts = of_kind(&events, "alert.heartbeat");
    assert_eq!(alerts.len(), 1);
    assert!(alerts[0].reason.starts_with("heartbeat/research.md:4: `RESTART`"), "{}", alerts[0].reason);
}

/// The file's level from before holds from the start, and each line acts once over thirty kills.
#[test]
fn each_line_acts_once_though_the_run_is_killed_again_and_again() {
    const LINES: usize = 30;
    let project = project(&task("Works {#a}", "echo x >> $DOWNBEAT_TASK"));
    say(&project, "PAUSE");
    // So that there is something to steer from the first line on.
    let mut first = project.start(&["run", "--keep-running"]);
    first.wait_for("DAG created");
    first.kill();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for number in 0..LINES {
        let mut run = project.start(&["run", "--keep-running"]);
        run.listen(1000, Duration::from_millis(random.u64(0..120)));
        say(&project, &format!("ELEVATE a {number}"));
        run.listen(1000, Duration::from_millis(random.u64(0..12)));
        run.kill();
    }
    assert!(project.lines("work/a").is_empty(), "it was to be paused");
    say(&project, "RESUME");
    project.start(&["run"]).wait().code(0);

    assert_eq!(project.lines("work/a"), ["x"]);
    let mut times: BTreeMap<u64, usize> = BTreeMap::new();
    for event in of_kind(&project.events(), "directive.applied") {
        if let Some(priority) = event.value["data"]["directive"]["priority"].as_u64() {
            *times.entry(priority).or_default() += 1;
        }
    }
    assert_eq!(times.len(), LINES, "{times:?}");
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}

#[test]
fn after_a_kill_the_agent_knows_what_it_was_at_and_its_task_knows_where_the_output_is() {
    let tasks = task("Works {#a}", "echo fine")
        + &task(
            "Waits {#b after=a}",
            "if [ -n \"$DOWNBEAT_UNFINISHED_OUTPUT\" ]; then cat \"$DOWNBEAT_UNFINISHED_OUTPUT\" > found; exit; fi\n\
             echo half of it; echo begun > ../pipe; read x < ../go",
        );
    let fleet = Fleet::new(&tasks);
    let (pipe, _open) = pipe(&fleet.project);
    let orchestrator = fleet.start(&["orchestrator"]);
    let agent = fleet.start(&["agent", "--name", "research"]);
    pipe.line();
    // It takes a note when the command has run for a while.
    let memory = fleet.memory(|text| text.contains("at_work"));
    assert_eq!(memory["at_work"]["b"]["attempt"], 1);
    assert!(memory["lines"][0].as_str().unwrap().starts_with("Completed a: "), "{memory}");
    agent.kill();
    fleet.start(&["agent", "--name", "research"]).wait().code(0);
    orchestrator.wait().code(0);

    assert_eq!(fleet.project.lines("work/found"), ["half of it"]);
    let memory = fleet.memory(|_| true);
    let lines: Vec<&str> =
        memory["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[1], "Was cut off in attempt 1 of b, which may be half done.");
    assert!(lines[2].starts_with("Completed b: "), "{lines:?}");
}

#[test]
fn a_flush_empties_the_memory_of_the_agent_that_is_at_work() {
    let tasks = task("Works {#a}", "echo fine") + &task("Waits {#b after=a}", UNTIL_GO);
    let fleet = Fleet::new(&tasks);
    let (pipe, _open) = pipe(&fleet.project);
    let orchestrator = fleet.start(&["orchestrator"]);
    let agent = fleet.start(&["agent", "--name", "research"]);
    pipe.line();
    fleet.memory(|text| text.contains("Completed a"));
    fleet.start(&["flush", "research"]).wait().code(0).says(&["memory of agent `research` was emptied"]);
    // The agent itself has forgotten, too: what it keeps next has nothing of it.
    go(&fleet.project);
    agent.wait().code(0);
    orchestrator.wait().code(0);

    let memory = fleet.memory(|_| true);
    let lines = memory["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].as_str().unwrap().starts_with("Completed b: "), "{lines:?}");
}
