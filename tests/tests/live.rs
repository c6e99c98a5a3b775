//! What is declared changes while it is being worked on.
#![expect(clippy::unwrap_used, reason = "test code: a fault ends the test")]

use std::time::Duration;

use downbeat_tests::redis::Redis;
use downbeat_tests::{Fifo, Project, Running, instructions, task};
use serde_json::Value;
use tokio::time::Instant;

/// A task that says once that it began, and waits until somebody opens the pipe `go` and closes it again.
const UNTIL_GO: &str = "[ -e ../began ] || { touch ../began; echo started > ../pipe; }
read x < ../go || true
echo long >> journal";

/// A run that goes on in a shared store, with somebody who listens to its events.
struct Scene {
    project: Project,
    redis: Redis,
    pipe: Fifo,
    told: Running,
}

impl Scene {
    /// Writes the instructions, and listens.
    fn new(text: &str) -> Self {
        let project = Project::new(text);
        let redis = Redis::start();
        nix::unistd::mkfifo(&project.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let pipe = Fifo::new(&project.path("pipe"));
        let mut scene =
            Self { told: start(&project, &redis, &["events", "-f", "--json"]), project, redis, pipe };
        scene.run(&["status"]).wait().code(0);
        scene.told.listen(0, Duration::ZERO);
        scene
    }

    fn run(&self, words: &[&str]) -> Running {
        start(&self.project, &self.redis, words)
    }

    fn json(&self, words: &[&str]) -> Value {
        self.run(&[words, &["--json"]].concat()).wait().code(0).json()
    }

    /// Saves as editors do: beside the file, then in its place.
    fn save(&self, text: &str) {
        self.project.write(".INSTRUCTIONS.md.swp", text);
        std::fs::rename(self.project.path(".INSTRUCTIONS.md.swp"), self.project.path("INSTRUCTIONS.md"))
            .unwrap();
    }

    fn go(&self) {
        drop(std::fs::OpenOptions::new().write(true).open(self.project.path("go")).unwrap());
    }

    /// Waits until this is told of a task.
    fn hears(&mut self, kind: &str, task: &str) {
        self.told.wait_for(&format!("\"kind\":\"{kind}\",\"goal\":\"demo\",\"task\":\"{task}\""));
    }

    fn journal(&self) -> Vec<String> {
        let mut lines = self.project.lines("work/journal");
        lines.sort();
        lines
    }

    fn events(&self, kind: &str) -> Vec<Value> {
        let ran = self.run(&["events", "--json"]).wait().code(0);
        let all = ran.text();
        let events = all.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["kind"] == kind).collect()
    }
}

fn start(project: &Project, redis: &Redis, words: &[&str]) -> Running {
    let mut command = project.command(words);
    command.env("DOWNBEAT_CACHE", redis.url()).env("DOWNBEAT_LEASE_TTL", "2s");
    Running::start(command)
}

fn says(id: &str, attributes: &str, what: &str) -> String {
    task(&format!("{id} {{#{id} {attributes}}}"), &format!("echo {what} >> journal"))
}

#[test]
fn a_task_that_is_added_while_it_runs_is_worked_on_at_once() {
    let long = task("Long {#long}", UNTIL_GO);
    let mut scene = Scene::new(&instructions(&long, 2));
    let run = scene.run(&["run"]);
    assert_eq!(scene.pipe.line(), "started");

    scene.save(&instructions(&(long + &says("b", "", "b") + &says("c", "after=long,b", "c")), 2));
    scene.hears("task.done", "b");

    assert_eq!(scene.json(&["status"])["instructions"]["versions"].as_array().unwrap().len(), 2);
    scene.go();
    run.wait().code(0).says(&["3 of 3 tasks done"]);
    assert_eq!(scene.journal(), ["b", "c", "long"]);
    assert_eq!(scene.events("instructions.changed").len(), 2);
}

#[test]
fn finished_work_is_done_again_only_when_it_is_asked_for_and_leases_survive_that() {
    let long = task("Long {#long}", UNTIL_GO);
    let rest = says("c", "after=a", "c") + &says("d", "", "d");
    let mut scene = Scene::new(&instructions(&(long.clone() + &says("a", "", "a") + &rest), 2));
    let run = scene.run(&["run"]);
    assert_eq!(scene.pipe.line(), "started");
    scene.hears("task.done", "c");
    let token = scene.json(&["task", "show", "long"])["token"].clone();

    scene.save(&instructions(&(long + &says("a", "", "A") + &rest), 2));
    scene.told.wait_for("instructions.waiting");
    let diff = scene.json(&["plan", "--diff"]);
    let goal = &diff["goals"][0];
    assert_eq!(goal["needs_reparse"], true, "{diff}");
    assert_eq!(goal["counts"]["done_again"], 2, "{diff}");
    assert_eq!(goal["counts"]["leases_ended"], 0, "{diff}");
    assert_eq!(goal["counts"]["kept"], 2, "{diff}");
    scene.run(&["plan", "--diff"]).wait().code(0).says(&[
        "a",
        "command",
        "done again",
        "(works from a)",
        "reparse --goal demo",
    ]);
    scene.run(&["status"]).wait().code(0).says(&["waiting:", "2 done again"]);
    assert_eq!(scene.json(&["status"])["goals"][0]["counts"]["done"].as_u64(), Some(3));

    scene.run(&["reparse", "--goal", "demo"]).wait().code(0);
    scene.told.wait_for("goal.amended");
    scene.hears("task.done", "a");
    scene.hears("task.done", "c");
    let show = scene.json(&["task", "show", "long"]);
    assert_eq!((&show["status"], &show["token"]), (&Value::from("running"), &token));
    scene.go();
    run.wait().code(0).says(&["4 of 4 tasks done"]);
    assert_eq!(scene.journal(), ["A", "a", "c", "c", "d", "long"]);
    assert_eq!(scene.events("task.redo").len(), 2);
    assert!(scene.events("goal.amended")[0]["data"]["by"].as_str().unwrap().starts_with("cli:"));
    scene.run(&["plan", "--diff"]).wait().code(0).says(&["as planned"]);
}

#[test]
fn a_running_task_that_is_taken_out_is_stopped() {
    let long = task("Long {#long}", UNTIL_GO);
    let rest = says("b", "", "b");
    let mut scene = Scene::new(&instructions(&(long + &rest), 2));
    let run = scene.run(&["run"]);
    assert_eq!(scene.pipe.line(), "started");
    scene.hears("task.done", "b");

    scene.save(&instructions(&rest, 2));
    scene.told.wait_for("instructions.waiting");
    assert_eq!(scene.json(&["task", "show", "long"])["status"], "running");
    scene.run(&["reparse"]).wait().code(0);

    scene.hears("task.cancelled", "long");
    run.wait().code(0).says(&["1 of 1 task"]);
    assert_eq!(scene.journal(), ["b"]);
}

#[test]
fn the_file_that_steers_a_new_agent_is_followed_from_its_declaration_on() {
    let goals = format!(
        "## Goals\n\n### demo: A demonstration\n- Workspace: work\n\n{}{}",
        task("Long {#long}", UNTIL_GO),
        says("rare", "capabilities=rare", "rare")
    );
    let first = "## Agents\n\n### first\n- Goal: demo\n\n";
    let mut scene = Scene::new(&format!("{first}{goals}"));
    let run = scene.run(&["run", "--keep-running"]);
    assert_eq!(scene.pipe.line(), "started");

    // What stands there holds before its first task.
    scene.project.write("second.md", "PAUSE\n");
    let second = "### second\n- Goal: demo\n- Capabilities: rare\n- Heartbeat: second.md\n\n";
    scene.save(&format!("{first}{second}{goals}"));
    scene.told.wait_for("\"kind\":\"agent.paused\"");
    scene.told.wait_for("\"kind\":\"agent.ready\"");
    scene.project.write("second.md", "PAUSE\nRESUME\n");
    scene.hears("task.done", "rare");
    let number = |kind: &str| scene.events(kind).last().unwrap()["seq"].as_u64().unwrap();
    assert!(number("agent.resumed") < number("task.done"), "it took a task while it was paused");
    let claims = scene.events("task.claimed");
    let claimed = claims.iter().find(|event| event["task"] == "rare").unwrap();
    assert!(number("agent.resumed") < claimed["seq"].as_u64().unwrap(), "{claimed}");
    scene.go();
    scene.told.wait_for("goal.complete");
    run.signal(nix::sys::signal::Signal::SIGINT);
    run.wait().code(0);
}

#[test]
fn who_works_on_a_task_that_is_taken_out_or_another_one_hears_of_it_at_once() {
    let held = |name: &str, what: &str| {
        task(&format!("Held {{#{name}}}"), &format!("exec 9> ../{name}\necho {what} >&9\nread x < ../never"))
    };
    let (gone, other) = (held("gone", "one"), held("other", "one"));
    let mut scene = Scene::new(&instructions(&(gone + &other), 2));
    nix::unistd::mkfifo(&scene.project.path("never"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let said = ["gone", "other"].map(|name| Fifo::new(&scene.project.path(name)));
    let mut command = scene.project.command(["run"]);
    // A lease is renewed every quarter of an hour: what is heard earlier was told.
    command.env("DOWNBEAT_CACHE", scene.redis.url()).env("DOWNBEAT_LEASE_TTL", "45m");
    let run = Running::start(command);
    said.iter().for_each(|pipe| assert_eq!(pipe.line(), "one"));
    // Without it the pipe would end between two attempts.
    let _open = std::fs::OpenOptions::new().write(true).open(scene.project.path("other")).unwrap();

    scene.save(&instructions(&(held("other", "two") + &says("b", "", "b")), 2));
    scene.told.wait_for("instructions.waiting");
    let asked = Instant::now();
    scene.run(&["reparse"]).wait().code(0);
    let [gone, other] = said;
    gone.closed();
    // The other one is begun anew, as what it is now.
    assert_eq!(other.line(), "two");
    eprintln!("work ended after {:?}", asked.elapsed());
    scene.hears("task.cancelled", "gone");
    drop(run);
}

#[test]
fn what_cannot_be_read_leaves_the_last_good_version_in_force() {
    let long = task("Long {#long}", UNTIL_GO);
    let good = instructions(&long, 2);
    let mut scene = Scene::new(&good);
    let run = scene.run(&["run"]);
    assert_eq!(scene.pipe.line(), "started");

    scene.save(&good.replace("- Workspace: work", "- Workspace: work\n- Nonsense: here"));
    scene.told.wait_for("alert.instructions");
    let alert = scene.events("alert.instructions").pop().unwrap();
    let fault = &alert["data"]["faults"][0];
    assert!(fault["file"].as_str().unwrap().ends_with("INSTRUCTIONS.md"), "{alert}");
    assert!(fault["line"].as_u64().unwrap() > 5 && fault["column"].as_u64().is_some(), "{alert}");
    assert!(alert["reason"].as_str().unwrap().contains("Nonsense"), "{alert}");
    scene.run(&["status"]).wait().code(0).says(&["refused:", "Nonsense", "in force"]);
    // The same fault again is no other alert; that the file is gone is one.
    scene.save(&good.replace("- Workspace: work", "- Workspace: work\n- Nonsense: there"));
    std::fs::remove_file(scene.project.path("INSTRUCTIONS.md")).unwrap();
    scene.told.wait_for("no such file");
    assert_eq!(scene.json(&["task", "show", "long"])["status"], "running");

    scene.save(&instructions(&(long + &says("b", "", "b")), 2));
    scene.hears("task.done", "b");
    assert!(scene.json(&["status"])["instructions"]["refused"].is_null());
    scene.go();
    run.wait().code(0).says(&["2 of 2 tasks done"]);
    assert_eq!(scene.journal(), ["b", "long"]);
}

#[test]
fn agents_come_and_go_with_their_declarations() {
    let able = "## Agents\n\n### first\n- Goal: demo\n\n";
    let goals = format!(
        "## Goals\n\n### demo: A demonstration\n- Workspace: work\n\n{}{}",
        task("Long {#long}", UNTIL_GO),
        says("rare", "capabilities=rare", "rare")
    );
    let mut scene = Scene::new(&format!("{able}{goals}"));
    let run = scene.run(&["run", "--keep-running"]);
    assert_eq!(scene.pipe.line(), "started");
    assert_eq!(scene.json(&["task", "show", "rare"])["status"], "ready");

    let second = "### second\n- Goal: demo\n- Capabilities: rare\n\n";
    let saved = Instant::now();
    scene.save(&format!("{able}{second}{goals}"));
    scene.hears("task.claimed", "rare");
    // Far less on a machine that does nothing else; what is shown is that no period of seconds is waited for.
    eprintln!("a newly declared agent took its task after {:?}", saved.elapsed());
    scene.hears("task.done", "rare");

    // The one is not declared any more and has nothing to do: it leaves. The other is another one now: it
    // finishes what it holds first.
    scene.save(&format!("{}{goals}", able.replace("first\n", "first\n- Role: something else\n")));
    scene.told.wait_for("it is not declared any more");
    assert_eq!(scene.json(&["task", "show", "long"])["status"], "running");
    scene.go();
    scene.told.wait_for("INSTRUCTIONS.md declares it otherwise: Role");
    scene.told.wait_for("\"kind\":\"agent.started\",\"agent\":\"first\"");
    run.signal(nix::sys::signal::Signal::SIGINT);
    let _ = run.wait();
    assert_eq!(scene.journal(), ["long", "rare"]);
}

#[test]
fn a_crash_between_the_change_of_a_plan_and_its_record_costs_nothing_and_loses_nothing() {
    let long = task("Long {#long}", UNTIL_GO);
    let mut scene = Scene::new(&instructions(&(long.clone() + &says("a", "", "a")), 2));
    let run = scene.run(&["run"]);
    assert_eq!(scene.pipe.line(), "started");
    scene.hears("task.done", "a");
    let before = scene.redis.hash("record:instructions:versions");

    scene.save(&instructions(&(long + &says("a", "", "A")), 2));
    scene.told.wait_for("instructions.waiting");
    scene.run(&["reparse"]).wait().code(0);
    scene.hears("task.done", "a");
    run.kill();
    // As if it had been killed a moment earlier: the plan is changed, and nothing says so yet.
    let value = before["value"].as_str();
    scene.redis.cli(&["HSET", "record:instructions:versions", "value", value]);

    let run = scene.run(&["run"]);
    scene.hears("task.claimed", "long");
    scene.go();
    run.wait().code(0).says(&["2 of 2 tasks done"]);
    assert_eq!(scene.journal(), ["A", "a", "long"]);
    assert_eq!(scene.events("task.redo").len(), 1);
    assert_eq!(scene.events("goal.amended").len(), 1);
}

#[test]
fn a_service_that_starts_on_a_broken_file_carries_on_with_the_version_that_was_in_force() {
    let long = task("Long {#long}", UNTIL_GO);
    let good = instructions(&(says("a", "", "a") + &long), 1);
    let mut scene = Scene::new(&good);
    let run = scene.run(&["run", "--keep-running"]);
    assert_eq!(scene.pipe.line(), "started");
    scene.told.wait_for("instructions.changed");
    run.kill();
    scene.save("## Agents\n\n### first\n- Nonsense: here\n");

    scene.run(&["run"]).wait().code(2).says(&["Nonsense"]);
    let run = scene.run(&["run", "--keep-running"]);
    // Whether the fault is told before its task is taken up again or after that is open.
    let mut open = vec!["\"kind\":\"alert.instructions\"", "\"generation\":2"];
    while !open.is_empty() {
        let heard = scene.told.wait_for_any(&open);
        open.remove(heard);
    }
    scene.go();
    scene.told.wait_for("goal.complete");
    run.signal(nix::sys::signal::Signal::SIGINT);
    let _ = run.wait();
    assert_eq!(scene.journal(), ["a", "long"]);
    assert_eq!(scene.json(&["status"])["instructions"]["versions"].as_array().unwrap().len(), 1);
}
