//! Agents that an orchestrator starts as processes of their own: how they end with it, outlive it, are
//! adopted, and come and go with the work.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a fault ends the test")]

use std::fs::File;
use std::process::Command;
use std::time::Duration;

use downbeat_tests::redis::Redis;
use downbeat_tests::{Event, Fifo, Project, Running, processes_of, task};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A task that says who does it at one pipe, which it holds open, and waits at its own until it may go on.
const UNTIL_GO: &str = "[ -p ../go.$DOWNBEAT_TASK ] || mkfifo ../go.$DOWNBEAT_TASK
exec 9> ../pipe
echo $DOWNBEAT_AGENT $DOWNBEAT_TASK >&9
read x < ../go.$DOWNBEAT_TASK || true
echo x >> $DOWNBEAT_TASK";

/// What tasks say that they began, for as long as it is held.
struct Begun {
    said: Fifo,
    /// Without it the pipe would be closed whenever nobody writes.
    open: File,
}

impl Begun {
    /// The agent that began a task, and the task.
    fn next(&self) -> (String, String) {
        let line = self.said.line();
        let (agent, task) = line.split_once(' ').unwrap();
        (agent.to_owned(), task.to_owned())
    }

    /// Waits until no command holds the pipe any more.
    fn until_nobody_holds_it(self) {
        drop(self.open);
        self.said.closed();
    }
}

struct Place {
    project: Project,
    redis: Option<Redis>,
    environment: Vec<(&'static str, &'static str)>,
}

impl Place {
    fn new(agents: &str, tasks: &str) -> Self {
        let text = format!(
            "# A test\n\n## Agents\n\n{agents}\n## Goals\n\n### demo: A demonstration\n- Workspace: work\n\n{tasks}\n"
        );
        Self { project: Project::new(&text), redis: None, environment: Vec::new() }
    }

    fn on_redis(mut self) -> Self {
        self.redis = Some(Redis::start());
        self
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.project.command(words);
        command.envs(self.environment.iter().copied());
        if let Some(redis) = &self.redis {
            command.env("DOWNBEAT_CACHE", redis.url());
        }
        command
    }

    fn start(&self, words: &[&str]) -> Running {
        Running::start(self.command(words))
    }

    fn pipe(&self) -> Begun {
        let path = self.project.path("pipe");
        let _ = std::fs::remove_file(&path);
        let said = Fifo::new(&path);
        let open = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        Begun { said, open }
    }

    /// Lets a task that waits go on.
    fn go(&self, task: &str) {
        let path = self.project.path(&format!("go.{task}"));
        drop(std::fs::OpenOptions::new().write(true).open(path).unwrap());
    }

    fn events(&self) -> Vec<Event> {
        let ran = self.start(&["events", "--json"]).wait().code(0);
        ran.stdout.lines().map(Event::read).collect()
    }

    /// Which process each life of an agent was.
    fn processes(&self, agent: &str) -> Vec<u64> {
        let of = |event: &Event| event.kind == "agent.registered" && event.agent == agent;
        let events = self.events();
        events
            .iter()
            .filter(|event| of(event))
            .map(|event| event.value["data"]["pid"].as_u64().unwrap())
            .collect()
    }

    /// Waits until a life and all that it started are gone.
    fn until_gone(&self, agent: &str) {
        File::open(self.project.path(&format!(".downbeat/agents/{agent}.lock"))).unwrap().lock().unwrap();
    }

    /// The process of an agent that lives.
    fn process(&self, agent: &str) -> Pid {
        let told = self.project.read(&format!(".downbeat/agents/{agent}.json"));
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let process = told["process"].as_str().unwrap().split('-').nth(1).unwrap().to_owned();
        Pid::from_raw(process.parse().unwrap())
    }

    fn done(&self) -> usize {
        self.events().iter().filter(|event| event.kind == "task.done").count()
    }

    fn nothing_is_left(&self) {
        let left = processes_of(self.project.root());
        assert!(left.is_empty(), "processes are left: {left:?}");
    }
}

const ONE: &str = "### clerk\n- Goal: demo\n";

/// On the embedded store and on a server alike: what a parent's death leaves is nothing.
#[test]
fn children_and_their_commands_end_with_a_killed_parent() {
    for place in [
        Place::new(ONE, &task("Long {#a}", UNTIL_GO)),
        Place::new(ONE, &task("Long {#a}", UNTIL_GO)).on_redis(),
    ] {
        let pipe = place.pipe();
        let run = place.start(&["run", "--spawn", "process"]);
        assert_eq!(pipe.next().0, "clerk");
        // It could not do anything about it itself.
        kill(place.process("clerk"), Signal::SIGSTOP).unwrap();
        run.kill();
        pipe.until_nobody_holds_it();
        place.until_gone("clerk");
        place.nothing_is_left();

        let pipe = place.pipe();
        let run = place.start(&["run", "--spawn", "process"]);
        assert_eq!(pipe.next().0, "clerk");
        place.go("a");
        run.wait().code(0);
        assert_eq!((place.done(), place.project.lines("work/a")), (1, vec!["x".to_owned()]));
        assert_eq!(place.processes("clerk").len(), 2);
        place.nothing_is_left();
    }
}

/// Told to outlive their parent, they go on while nobody leads, and the next one watches over them: the same
/// process, the same attempt, never a second one. On the embedded store they reconnect.
#[test]
fn children_that_are_kept_are_adopted() {
    for place in [
        Place::new(ONE, &task("Long {#a}", UNTIL_GO)),
        Place::new(ONE, &task("Long {#a}", UNTIL_GO)).on_redis(),
    ] {
        let words = ["run", "--spawn", "process", "--orphans", "keep"];
        let pipe = place.pipe();
        let run = place.start(&words);
        assert_eq!(pipe.next().0, "clerk");
        let process = place.process("clerk");
        run.kill();
        assert!(kill(process, None).is_ok(), "it ended with its parent");

        let mut run = place.start(&words);
        run.wait_for("Adopted agent clerk");
        place.go("a");
        run.wait().code(0).says(&["1 of 1 task"]);
        place.until_gone("clerk");
        assert_eq!(place.project.lines("work/a"), ["x"]);
        assert_eq!(place.processes("clerk"), [u64::try_from(process.as_raw()).unwrap()]);
        let claims = place.events().iter().filter(|event| event.kind == "task.claimed").count();
        assert_eq!(claims, 1);
        place.nothing_is_left();
    }
}

/// What was kept is ended by an orchestrator that keeps nothing, before it starts its own.
#[test]
fn children_that_were_kept_are_not_there_twice() {
    let place = Place::new(ONE, &task("Long {#a}", UNTIL_GO));
    let pipe = place.pipe();
    let run = place.start(&["run", "--spawn", "process", "--orphans", "keep"]);
    assert_eq!(pipe.next().0, "clerk");
    let first = place.process("clerk");
    run.kill();
    let run = place.start(&["run", "--spawn", "process"]);
    assert_eq!(pipe.next().0, "clerk");
    assert_ne!(place.process("clerk"), first);
    let left = processes_of(place.project.root());
    assert!(left.iter().all(|(id, _)| Pid::from_raw(i32::try_from(*id).unwrap()) != first), "{left:?}");
    place.go("a");
    run.wait().code(0);
    assert_eq!(place.project.lines("work/a"), ["x"]);
    place.nothing_is_left();
}

#[test]
fn one_name_has_one_process() {
    let place = Place::new(ONE, &task("Long {#a}", UNTIL_GO)).with("DOWNBEAT_AGENT_TTL", "1h");
    let pipe = place.pipe();
    let mut run = place.start(&["run", "--spawn", "process"]);
    assert_eq!(pipe.next().0, "clerk");
    let first = place.process("clerk");
    let refused = place.start(&["agent", "--name", "clerk"]).wait().code(3);
    refused.says(&["agent `clerk` is at work already", &format!("process {first}")]);

    // Killed, it is replaced at once, whatever its ttl, and what it held is free.
    kill(first, Signal::SIGKILL).unwrap();
    run.wait_for("killed by SIGKILL");
    assert_eq!(pipe.next().0, "clerk");
    place.go("a");
    run.wait().code(0);
    assert_eq!(place.processes("clerk").len(), 2);
    assert_eq!(place.project.lines("work/a"), ["x"]);
    place.nothing_is_left();
}

#[test]
fn a_stopped_run_drains_its_children_and_leaves_nothing() {
    let waits = task("One {#a}", UNTIL_GO) + &task("Two {#b after=a}", UNTIL_GO);
    let place = Place::new(ONE, &waits).with("DOWNBEAT_DRAIN_GRACE", "1h");
    let pipe = place.pipe();
    let mut run = place.start(&["run", "--spawn", "process"]);
    assert_eq!(pipe.next().0, "clerk");
    run.signal(Signal::SIGTERM);
    run.wait_for("finishing");
    place.go("a");
    run.wait().code(4);
    place.nothing_is_left();
    assert_eq!(place.project.lines("work/a"), ["x"]);

    // It has to give back what it cannot finish in time, and one that does not answer is killed.
    let place = place.with("DOWNBEAT_DRAIN_GRACE", "50ms").with("DOWNBEAT_KILL_GRACE", "100ms");
    let pipe = place.pipe();
    let run = place.start(&["run", "--spawn", "process"]);
    assert_eq!(pipe.next().0, "clerk");
    run.signal(Signal::SIGTERM);
    run.wait().code(4);
    place.nothing_is_left();
    let released = place.events().iter().any(|event| event.kind == "task.released" && event.task == "b");
    assert!(released, "it was not given back");

    let pipe = place.pipe();
    let run = place.start(&["run", "--spawn", "process"]);
    assert_eq!(pipe.next().0, "clerk");
    kill(place.process("clerk"), Signal::SIGSTOP).unwrap();
    run.signal(Signal::SIGTERM);
    run.wait().code(4).says(&["does not end; killing its process"]);
    place.nothing_is_left();
}

/// Nobody has work any more, and one cannot hear that it is to end.
#[test]
fn a_child_that_hangs_does_not_hold_up_the_end() {
    let place = Place::new("### clerk\n- Goal: demo\n### lead\n- Goal: demo\n", &task("Long {#a}", UNTIL_GO))
        .with("DOWNBEAT_DRAIN_GRACE", "100ms")
        .with("DOWNBEAT_KILL_GRACE", "100ms");
    let pipe = place.pipe();
    let mut run = place.start(&["run", "--spawn", "process"]);
    let idle = if pipe.next().0 == "clerk" { "lead" } else { "clerk" };
    let told = format!("Agent {idle} is process ");
    run.wait_for(&told);
    let heard = run.heard();
    let (process, _) = heard.split_once(&told).unwrap().1.split_once(';').unwrap();
    kill(Pid::from_raw(process.parse().unwrap()), Signal::SIGSTOP).unwrap();
    place.go("a");
    run.wait().code(0).says(&["1 of 1 task", "does not end; killing its process"]);
    place.nothing_is_left();
}

/// Stopped, it lives and says nothing: its supervisor ends it, with its commands, and another life goes on.
#[test]
fn a_child_that_is_stopped_is_ended_and_followed_by_another() {
    let place = Place::new(ONE, &task("Long {#a}", UNTIL_GO)).with("DOWNBEAT_AGENT_TTL", "2s");
    let pipe = place.pipe();
    let mut run = place.start(&["run", "--spawn", "process"]);
    assert_eq!(pipe.next().0, "clerk");
    let first = place.process("clerk");
    kill(first, Signal::SIGSTOP).unwrap();
    run.wait_for("Agent clerk: it was not heard for 4s");
    assert_eq!(pipe.next().0, "clerk");
    assert_ne!(place.process("clerk"), first);

    let events = place.events();
    let ended: Vec<&Event> = events.iter().filter(|event| event.kind == "agent.terminated").collect();
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!(ended[0].value["data"]["signal"], 9);
    assert!(ended[0].reason.starts_with("it was not heard for 4s (last at "), "{ended:?}");
    // Its lease of 30 s did not have to run out.
    assert!(events.iter().all(|event| event.kind != "task.expired"));
    place.go("a");
    run.wait().code(0);
    assert_eq!(place.project.lines("work/a"), ["x"]);
    place.nothing_is_left();
}

/// What was said to the parent on its command line holds for its children; a secret is in nobody's words.
#[test]
fn children_have_the_settings_of_their_parent_and_no_secret_in_their_words() {
    let project = "### clerk\n- Goal: demo\n- Log Level: debug\n";
    let place =
        Place::new(project, &task("Long {#a}", UNTIL_GO)).on_redis().with("DOWNBEAT_REDIS_PASSWORD", "");
    let pipe = place.pipe();
    let url = place.redis.as_ref().unwrap().url();
    let run = Running::start({
        let mut command =
            place.project.command(["run", "--spawn", "process", "--timeout", "1m", "--cache", &url]);
        command.env("OPENAI_API_KEY", "sk-very-secret");
        command
    });
    assert_eq!(pipe.next().0, "clerk");
    let process = place.process("clerk");
    let words = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap();
    assert!(!words.contains("secret") && !words.contains("redis"), "{words}");
    let environment = std::fs::read_to_string(format!("/proc/{process}/environ")).unwrap();
    for part in ["DOWNBEAT_TASK_TIMEOUT=1m\0", "OPENAI_API_KEY=sk-very-secret\0"] {
        assert!(environment.contains(part), "{part} is not in {environment:?}");
    }
    place.go("a");
    run.wait().code(0);
    assert!(place.project.read(".downbeat/logs/agents/clerk.log").contains("Acquired lease for task a"));
}

/// Copies come with ready tasks, up to the most, and go when they have had nothing to do for a while.
#[test]
fn copies_come_and_go_with_the_work() {
    let tasks: String = (0..5).map(|number| task(&format!("Long {{#t{number}}}"), UNTIL_GO)).collect();
    let last = task("Last {#last after=t0,t1,t2,t3,t4}", UNTIL_GO);
    let place = Place::new("### clerk\n- Goal: demo\n- Max: 3\n", &(tasks + &last))
        .with("DOWNBEAT_IDLE_FOR", "100ms");
    let pipe = place.pipe();
    let mut run = place.start(&["run", "--spawn", "process"]);
    let mut at_work: Vec<(String, String)> = (0..3).map(|_| pipe.next()).collect();
    at_work.sort();
    let names: Vec<&str> = at_work.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["clerk", "clerk-2", "clerk-3"]);
    assert_eq!(
        processes_of(place.project.root()).iter().filter(|(_, line)| line.contains("--seat")).count(),
        3
    );
    // Two more are taken by those that are there.
    for _ in 0..2 {
        place.go(&at_work.remove(0).1);
        at_work.push(pipe.next());
    }
    for (_, task) in at_work {
        place.go(&task);
    }
    // One of three has the last task; of the others one is not needed any more.
    let (at_last, _) = pipe.next();
    run.wait_for("has nothing to do and is not needed");
    place.go("last");
    run.wait().code(0).says(&["6 of 6 tasks done"]);
    place.nothing_is_left();
    let events = place.events();
    let lives = events.iter().filter(|event| event.kind == "agent.registered").count();
    assert_eq!(lives, 3, "an agent was started again and again");
    let ends = |name: &str| {
        let of = |event: &&Event| event.kind == "agent.terminated" && event.agent == name;
        events.iter().find(of).unwrap().seq
    };
    let done = events.iter().find(|event| event.kind == "task.done" && event.task == "last").unwrap().seq;
    assert!(ends(&at_last) > done, "an agent was ended while it worked");
}

#[test]
fn the_limit_is_one_of_all_agents() {
    let tasks: String =
        (0..6).map(|number| task(&format!("Short {{#t{number}}}"), "echo x >> $DOWNBEAT_TASK")).collect();
    let place = Place::new(
        "### clerk\n- Goal: demo\n- Min: 0\n- Max: 5\n### lead\n- Goal: demo\n- Capabilities: lead\n",
        &tasks,
    );
    let ran = place
        .start(&["run", "--spawn", "process", "--max-agents", "2"])
        .wait_within(Duration::from_secs(60))
        .code(0);
    ran.says(&["6 of 6 tasks done"]);
    let started: std::collections::BTreeSet<String> = place
        .events()
        .into_iter()
        .filter(|event| event.kind == "agent.registered")
        .map(|event| event.agent)
        .collect();
    assert!(started.len() <= 2, "{started:?}");
    place
        .start(&["run", "--fresh", "--max-agents", "1", "--spawn", "process"])
        .wait_within(Duration::from_secs(60))
        .code(0);
    let place = Place::new("### clerk\n- Goal: demo\n- Min: 3\n- Max: 5\n", &tasks);
    place.start(&["run", "--max-agents", "2"]).wait().code(2).says(&["3", "--max-agents"]);
}
