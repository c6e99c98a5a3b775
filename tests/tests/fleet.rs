//! Orchestrators and agents as processes of their own on one Redis: one leads, others take over, agents come
//! and go, and the store may go away for a while.
#![expect(clippy::unwrap_used, reason = "test code: a fault ends the test")]

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

use downbeat_tests::redis::Redis;
use downbeat_tests::{Event, Fifo, PATIENCE, Project, Ran, Running, binary, repository, task};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use tokio::time::Instant;

/// A project on a Redis server of its own.
struct Fleet {
    project: Project,
    redis: Redis,
    /// What every process is told beside its words.
    environment: Vec<(&'static str, &'static str)>,
}

impl Fleet {
    fn of_tasks_and_agents(tasks: &str, agents: usize) -> Self {
        let project = Project::of_tasks_and_agents(tasks, agents);
        Self { project, redis: Redis::start(), environment: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    fn start(&self, words: &[&str]) -> Running {
        let mut command = self.project.command(words);
        command.env("DOWNBEAT_CACHE", self.redis.url()).envs(self.environment.iter().copied());
        Running::start(command)
    }

    fn agent(&self, name: &str) -> Running {
        self.start(&["agent", "--name", name])
    }

    fn events(&self) -> Vec<Event> {
        let ran = self.start(&["events", "--json"]).wait().code(0);
        ran.stdout.lines().map(Event::read).collect()
    }

    fn status(&self) -> serde_json::Value {
        self.start(&["status", "--json"]).wait().code(0).json()
    }

    /// A pipe that tasks say at that they began, and one that they wait at.
    fn pipes(&self) -> Fifo {
        nix::unistd::mkfifo(&self.project.path("go"), Mode::S_IRWXU).unwrap();
        Fifo::new(&self.project.path("pipe"))
    }

    /// Lets one task that waits go on.
    fn go(&self) {
        drop(std::fs::OpenOptions::new().write(true).open(self.project.path("go")).unwrap());
    }

    /// Each task is done once, and its effect is there once.
    fn each_done_once(&self, tasks: usize) {
        let mut done: BTreeMap<String, usize> = BTreeMap::new();
        let events = self.events();
        for event in events.iter().filter(|event| event.kind == "task.done") {
            *done.entry(event.task.clone()).or_default() += 1;
        }
        assert_eq!(done.len(), tasks, "{done:?}");
        assert!(done.values().all(|times| *times == 1), "{done:?}");
        assert_eq!(events.iter().filter(|event| event.kind == "goal.planned").count(), 1);
        assert!(self.redis.cli(&["KEYS", "task:*:lock"]).is_empty(), "a lock outlives its task");
    }
}

const UNTIL_GO: &str = "echo $DOWNBEAT_AGENT > ../pipe; read x < ../go || true; echo x >> $DOWNBEAT_TASK";

fn many(count: usize) -> String {
    (0..count)
        .map(|number| task(&format!("Works {{#t{number}}}"), "sleep 0.05; echo x >> $DOWNBEAT_TASK"))
        .collect()
}

#[test]
fn the_example_loses_its_leader_and_two_agents_and_finishes() {
    let mut command = Command::new(repository().join("examples/distributed/run.sh"));
    command.env("DOWNBEAT", binary());
    let ran = Running::start(command).wait().code(0);
    ran.says(&["2668 primes", "29 of 29 tasks were done, each once", "is gone without a word"]);
    assert_eq!(ran.stdout.matches("orchestrator.leads").count(), 2, "{}", ran.stdout);
}

/// Each process says of itself what is so: an agent that idles ends because it was asked to, and an orchestrator
/// has no tasks to stop.
#[test]
fn what_is_asked_to_end_says_so() {
    let fleet = Fleet::of_tasks_and_agents(&task("Waits {#a}", UNTIL_GO), 3);
    let pipe = fleet.pipes();
    let mut busy = fleet.agent("agent-2");
    busy.wait_for("is not planned yet");
    fleet.start(&["status"]).wait().code(0).says(&[
        "No goal is planned yet",
        "agent-2",
        "Nobody orchestrates",
    ]);
    let mut orchestrator = fleet.start(&["orchestrator"]);
    orchestrator.wait_for("DAG created");
    pipe.line();
    fleet.start(&["status"]).wait().code(0).says(&["is at work, last seen", "after 10.0s without a word"]);
    // Several, because which of two ends a process sees first is chance.
    for _ in 0..6 {
        let mut agent = fleet.agent("agent-1");
        agent.wait_for("Started agent agent-1");
        agent.signal(Signal::SIGTERM);
        agent.wait().code(4).says(&["Left: it was asked to end"]);
    }
    let ended = fleet.events().into_iter().filter(|event| event.kind == "agent.terminated");
    let reasons: Vec<_> = ended.map(|event| event.reason).collect();
    assert!(
        reasons.len() == 6 && reasons.iter().all(|reason| reason == "it was asked to end"),
        "{reasons:?}"
    );
    orchestrator.signal(Signal::SIGTERM);
    let ran = orchestrator.wait().code(4);
    ran.says(&["stopping", "downbeat orchestrator", "carries on"]);
    assert!(!ran.text().contains("running tasks"), "{}", ran.text());
    fleet.go();
    busy.signal(Signal::SIGTERM);
    busy.wait().code(4);
}

/// Nobody can be sure that a stopped process is gone, so its ttl has to pass. When it goes on it finds that
/// it leads no more, and what it still does has no effect.
#[test]
fn a_leader_that_was_stopped_past_its_ttl_finds_another_one() {
    let fleet = Fleet::of_tasks_and_agents(&many(60), 2).with("DOWNBEAT_LEADER_TTL", "2s");
    let mut first = fleet.start(&["orchestrator"]);
    first.wait_for("This orchestrator leads");
    first.wait_for("DAG created");
    let mut second = fleet.start(&["orchestrator"]);
    second.wait_for(&format!(":{} leads; standing by", first.id()));
    let agents: Vec<Running> = ["agent-1", "agent-2"].map(|name| fleet.agent(name)).into();

    first.signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    second.wait_for("This orchestrator leads");
    // One ttl is promised; the rest is for a machine that is busy.
    assert!(stopped.elapsed() < Duration::from_secs(6), "{:?}", stopped.elapsed());
    first.signal(Signal::SIGCONT);
    first.wait_for(&format!(":{} leads; standing by", second.id()));
    let status = fleet.status();
    let name = status["orchestrator"]["name"].as_str().unwrap().to_owned();
    assert!(name.ends_with(&second.id().to_string()), "{status}");
    assert_eq!(
        (&status["orchestrator"]["present"], &status["orchestrator"]["stale_after_seconds"]),
        (&true.into(), &2.into())
    );

    for ran in [second.wait(), first.wait()].into_iter().chain(agents.into_iter().map(Running::wait)) {
        ran.code(0);
    }
    fleet.each_done_once(60);
    let leads: Vec<u64> = fleet
        .events()
        .iter()
        .filter(|event| event.kind == "orchestrator.leads")
        .map(|event| event.value["data"]["epoch"].as_u64().unwrap())
        .collect();
    assert!(leads.len() >= 2 && leads.is_sorted_by(|one, next| one < next), "{leads:?}");
}

#[test]
fn a_leader_that_leaves_or_is_known_to_be_gone_is_followed_at_once() {
    // Waiting for the ttl would outlast the test.
    let fleet = Fleet::of_tasks_and_agents(&many(1), 1).with("DOWNBEAT_LEADER_TTL", "1h");
    let begun = Instant::now();
    let mut first = fleet.start(&["orchestrator"]);
    first.wait_for("This orchestrator leads");
    let mut second = fleet.start(&["orchestrator"]);
    second.wait_for("standing by");
    first.signal(Signal::SIGTERM);
    second.wait_for("This orchestrator leads");
    first.wait().code(4);
    second.kill();
    // What is started finds that its predecessor's process is gone.
    let third = fleet.start(&["orchestrator"]);
    fleet.agent("agent-1").wait().code(0);
    third.wait().code(0).says(&["1 of 1 task"]);
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert_eq!(fleet.status()["orchestrator"]["present"], false);
    fleet.each_done_once(1);
}

#[test]
fn two_projects_on_one_store_are_told_apart() {
    let fleet = Fleet::of_tasks_and_agents(&many(1), 1);
    let mut leader = fleet.start(&["orchestrator"]);
    leader.wait_for("This orchestrator leads");
    fleet.project.write(
        "INSTRUCTIONS.md",
        "## Agents\n\n### x\n\n## Goals\n\n### other: Another\n\n- [ ] Work {#w}\n  ```sh\n  true\n  ```\n",
    );
    fleet.start(&["run"]).wait().code(3).says(&["works on other goals: `demo`", "--redis-prefix"]);
    fleet.start(&["run", "--redis-prefix", "other:"]).wait().code(0);
    leader.signal(Signal::SIGTERM);
    leader.wait().code(4);
}

#[test]
fn a_name_has_one_living_process() {
    let fleet = Fleet::of_tasks_and_agents(&task("Long {#a}", "read x < ../go || true; echo x >> a"), 1)
        .with("DOWNBEAT_AGENT_TTL", "1h");
    nix::unistd::mkfifo(&fleet.project.path("go"), Mode::S_IRWXU).unwrap();
    let mut lead = fleet.start(&["orchestrator"]);
    lead.wait_for("DAG created");
    let mut first = fleet.agent("agent-1");
    first.wait_for("Acquired lease for task a");
    let refused = fleet.agent("agent-1").wait().code(3);
    refused.says(&["agent `agent-1` is at work already", &format!("process {}", first.id())]);
    // The first one does not notice.
    assert_eq!(fleet.status()["agents"][0]["liveness"], "alive");

    // A process that is known to be gone keeps neither its name nor its task, whatever its ttl.
    first.kill();
    let mut second = fleet.agent("agent-1");
    second.wait_for("Acquired lease for task a");
    fleet.go();
    second.wait().code(0);
    lead.wait().code(0);
    fleet.each_done_once(1);
    let events = fleet.events();
    let gone = events.iter().any(|event| event.reason.contains("is gone without a word"));
    assert!(gone && events.iter().all(|event| event.kind != "task.expired"), "{events:?}");

    fleet.agent("agent-9").wait().code(2).says(&[
        "no agent `agent-9` is declared",
        "is it `agent-1`?",
        "--as",
    ]);
    let other = fleet.start(&["agent", "--agent-name", "agent-9", "--as", "agent-1", "--goal-id", "demo"]);
    other.wait().code(0);
    fleet.project.downbeat(&["agent", "--name", "agent-1"]).code(3).says(&[
        "nobody answers at",
        "downbeat orchestrator",
        "--cache",
    ]);
}

#[test]
fn an_agent_that_is_asked_to_end_finishes_or_gives_back() {
    let waits = "read x < ../go || true; echo x >> $DOWNBEAT_TASK";
    let fleet = Fleet::of_tasks_and_agents(&(task("One {#a}", waits) + &task("Two {#b}", waits)), 2)
        .with("DOWNBEAT_DRAIN_GRACE", "1h");
    nix::unistd::mkfifo(&fleet.project.path("go"), Mode::S_IRWXU).unwrap();
    let mut lead = fleet.start(&["orchestrator"]);
    lead.wait_for("DAG created");
    let mut finishing = fleet.agent("agent-1");
    finishing.wait_for("Acquired lease for task a");
    finishing.signal(Signal::SIGTERM);
    finishing.wait_for("finishing");
    fleet.go();
    finishing.wait().code(4).says(&["completed", "Left: it was asked to end"]);

    let fleet = fleet.with("DOWNBEAT_DRAIN_GRACE", "50ms");
    let mut hurried = fleet.agent("agent-2");
    hurried.wait_for("Acquired lease for task b");
    hurried.signal(Signal::SIGTERM);
    hurried.wait().code(4).says(&["released"]);
    let mut again = fleet.agent("agent-1");
    again.wait_for("Acquired lease for task b");
    fleet.go();
    again.wait().code(0);
    lead.wait().code(0);
    fleet.each_done_once(2);
    let kinds: Vec<String> = fleet.events().into_iter().map(|event| event.kind).collect();
    assert!(kinds.contains(&"task.released".to_owned()) && !kinds.contains(&"task.expired".to_owned()));
}

/// Whom it waits for may never answer.
#[test]
fn an_agent_that_waits_for_its_orchestrator_ends_when_it_is_asked_to() {
    let project = Project::of_tasks(&task("Works {#a}", "true"));
    std::fs::create_dir(project.path(".downbeat")).unwrap();
    let silent = UnixListener::bind(project.path(".downbeat/control.sock")).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || silent.incoming().try_for_each(|asked| tell.send(asked.unwrap())));
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let waiting = project.start(&["agent", "--name", "agent-1"]);
        let asked = told.recv_timeout(PATIENCE).unwrap();
        waiting.signal(signal);
        waiting.wait().code(4);
        drop(asked);
    }
}

/// Workers go on while the store is away; what they finish meanwhile is told it when it is back.
#[test]
fn a_store_that_restarts_is_waited_for() {
    let tasks = task("Long {#a priority=2}", UNTIL_GO) + &many(8);
    // An idle agent notices when it beats.
    let mut fleet = Fleet::of_tasks_and_agents(&tasks, 2).with("DOWNBEAT_AGENT_TTL", "2s");
    let pipe = fleet.pipes();
    let mut run = fleet.start(&["run"]);
    let agent = pipe.line();
    assert!(agent.starts_with("agent-"));
    fleet.redis.kill();
    run.wait_for("Store unreachable since");
    // The task ends while nobody can be told.
    fleet.go();
    run.wait_for("Settling task a");
    fleet.redis.begin();
    run.wait_for("The store answers again");
    run.wait().code(0).says(&["9 of 9 tasks done"]);
    fleet.each_done_once(9);
    assert_eq!(fleet.project.lines("work/a"), ["x"]);
}

#[test]
fn a_store_that_stays_away_ends_a_run_with_a_reason() {
    let mut fleet = Fleet::of_tasks_and_agents(&task("Long {#a}", UNTIL_GO), 1)
        .with("DOWNBEAT_STORE_PATIENCE", "1s")
        .with("DOWNBEAT_AGENT_TTL", "2s");
    let pipe = fleet.pipes();
    let run = fleet.start(&["run"]);
    assert_eq!(pipe.line(), "agent-1");
    fleet.redis.kill();
    let ran: Ran = run.wait().code(3);
    ran.says(&["Store unreachable since", "error: the store is not available", "redis.sock", "carries on"]);
    // The work was ended with it, and the same command carries on.
    pipe.closed();
    fleet.redis.begin();
    let pipe = {
        std::fs::remove_file(fleet.project.path("pipe")).unwrap();
        Fifo::new(&fleet.project.path("pipe"))
    };
    let run = fleet.start(&["run"]);
    assert_eq!(pipe.line(), "agent-1");
    fleet.go();
    run.wait().code(0);
    fleet.each_done_once(1);
}
