//! The promise of the product: whenever a run is killed, the same command carries on, each task is
//! done once, and the event log explains every attempt.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "test code: a fault ends the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use downbeat_tests::{Event, Project, processes_of, signal_of, task};
use fastrand::Rng;
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::time::Instant;

const AGENTS: usize = 8;
const TASKS: usize = 200;

/// A generated task: it writes a number that is made of its own and those of its dependencies.
struct Planned {
    id: String,
    dependencies: Vec<usize>,
    result: u64,
}

/// Layers of up to 25 tasks. Each waits for up to three of the layer before, so that chains part and
/// meet again:
///
/// ```text
/// t000  t001  t002 …
///  │ ╲ ╱ │ ╲  ╱│
/// t025  t026  t027 …
/// ```
fn generate(project: &Project, rng: &mut Rng) -> Vec<Planned> {
    let mut tasks: Vec<Planned> = Vec::new();
    let (mut nodes, mut edges) = (Vec::new(), Vec::new());
    let mut layer = 0..0;
    while tasks.len() < TASKS {
        let next = tasks.len()..(tasks.len() + rng.usize(15..=25)).min(TASKS);
        for number in next.clone() {
            let wanted = rng.usize(1..=3).min(layer.len());
            let mut dependencies = BTreeSet::new();
            while dependencies.len() < wanted {
                dependencies.insert(rng.usize(layer.clone()));
            }
            let id = format!("t{number:03}");
            let mut result = u64::try_from(number).unwrap() + 17;
            let mut script = String::from(
                "say() { echo \"$DOWNBEAT_TASK $DOWNBEAT_ATTEMPT $DOWNBEAT_TOKEN $1\" >> journal/$DOWNBEAT_TASK; }\nsay start\n",
            );
            writeln!(script, "sum={result}").unwrap();
            for dependency in &dependencies {
                let before = &tasks[*dependency];
                result = (result * 31 + before.result) % 1_000_003;
                writeln!(script, "read x < out/{} && sum=$(( (sum * 31 + x) % 1000003 ))", before.id)
                    .unwrap();
                edges.push(json!({ "source": before.id, "target": id }));
            }
            writeln!(script, "sleep 0.0{:02}", rng.u32(1..=30)).unwrap();
            if rng.u32(0..10) == 0 {
                writeln!(script, "[ $DOWNBEAT_ATTEMPT -gt 1 ] || {{ echo not yet >&2; exit 75; }}").unwrap();
            }
            writeln!(script, "echo $sum > out/{id}\nsay end").unwrap();
            nodes.push(json!({
                "id": id, "title": format!("Task {number}"), "run": script, "max_attempts": 20,
                "priority": rng.u32(0..5), "expected_artifacts": [format!("out/{id}")],
                "checks": [format!("test -s out/{id}")],
            }));
            tasks.push(Planned { id, dependencies: dependencies.into_iter().collect(), result });
        }
        layer = next;
    }
    project.write("plan.json", &json!({ "goal_id": "demo", "nodes": nodes, "edges": edges }).to_string());
    std::fs::create_dir_all(project.path("work/journal")).unwrap();
    std::fs::create_dir_all(project.path("work/out")).unwrap();
    tasks
}

/// How far a run was when it was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Startup,
    Planning,
    Starting,
    Running,
}

impl Phase {
    fn of(heard: &str) -> Self {
        let first =
            [("Acquired lease", Self::Running), ("Started agent", Self::Starting), ("demo", Self::Planning)];
        first.iter().find(|(part, _)| heard.contains(part)).map_or(Self::Startup, |(_, phase)| *phase)
    }
}

#[test]
fn killed_at_any_moment_a_run_carries_on_and_does_each_task_once() {
    let seed = seed();
    let wanted = number("DOWNBEAT_KILLS").unwrap_or(200);
    let mut rng = Rng::with_seed(seed);
    let began = Instant::now();
    let mut phases: BTreeMap<Phase, u64> = BTreeMap::new();
    let (mut kills, mut projects, mut attempts) = (0, 0, 0);
    while kills < wanted {
        projects += 1;
        let project = Project::new(&instructions());
        let tasks = generate(&project, &mut rng);
        let mut here = 0;
        while kills < wanted {
            let mut run = project.start(&["run"]);
            // A young project is killed early more often: it is planned only once.
            let longest = if here < 10 { 30 } else { 120 };
            let (lines, longest) = if rng.bool() {
                (usize::MAX, Duration::from_micros(rng.u64(0..longest * 1000)))
            } else {
                (rng.usize(0..40), Duration::from_millis(500))
            };
            run.listen(lines, longest);
            let phase = Phase::of(&run.heard());
            let ran = run.kill();
            assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
            if signal_of(ran.status) != Some(Signal::SIGKILL) {
                // It was faster: then it has to be complete.
                ran.code(0);
                break;
            }
            kills += 1;
            here += 1;
            *phases.entry(phase).or_default() += 1;
        }
        let ran = project.downbeat(&["run"]).code(0);
        assert!(ran.stdout.contains("complete"), "{}", ran.stdout);
        let left = processes_of(project.root());
        assert!(left.is_empty(), "processes are left: {left:?}");
        attempts += verify(&project, &tasks);
        println!("project {projects}: complete after {here} kills, {:.1?}", began.elapsed());
    }
    println!(
        "{kills} kills in {projects} projects, {attempts} attempts, {phases:?}, {:.1?}",
        began.elapsed()
    );
    if wanted >= 100 {
        assert_eq!(phases.len(), 4, "not every phase was hit: {phases:?}");
    }
}

/// The first moments of a project are its most delicate: its directory and its store are made.
#[test]
fn a_project_that_is_killed_when_it_begins_still_begins() {
    let seed = seed();
    let mut rng = Rng::with_seed(seed);
    for _ in 0..40 {
        let project = Project::of_tasks(&task("Works {#a}", "echo x > a"));
        for _ in 0..3 {
            let mut run = project.start(&["run"]);
            run.listen(usize::MAX, Duration::from_micros(rng.u64(0..15_000)));
            run.kill();
        }
        project.downbeat(&["run"]).code(0).says(&["demo is complete"]);
    }
}

fn seed() -> u64 {
    let seed = number("DOWNBEAT_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("DOWNBEAT_SEED={seed}");
    seed
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok())
}

fn instructions() -> String {
    let agents: String = (1..=AGENTS).map(|number| format!("### agent-{number}\n- Goal: demo\n\n")).collect();
    format!(
        "# Kills\n\n## Agents\n\n{agents}## Goals\n\n### demo: Many tasks\n- Workspace: work\n- Plan: plan.json\n"
    )
}

/// What a task's events and journal say together. Returns how many attempts there were.
fn verify(project: &Project, tasks: &[Planned]) -> u64 {
    let events = project.events();
    for (event, expected) in events.iter().zip(1..) {
        assert_eq!(event.seq, expected, "the log has a gap");
    }
    let counts = &project.json(&["status"])["goals"][0]["counts"];
    assert_eq!(counts["done"], TASKS, "{counts}");
    let mut of_task: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.kind.starts_with("task.")) {
        of_task.entry(&event.task).or_default().push(event);
    }
    let done: BTreeMap<&str, u64> = events
        .iter()
        .filter(|event| event.kind == "task.done")
        .map(|event| (event.task.as_str(), event.seq))
        .collect();
    let mut attempts = 0;
    for task in tasks {
        let events = &of_task[task.id.as_str()];
        let journal = project.lines(&format!("work/journal/{}", task.id));
        let told = || {
            let events: String =
                events.iter().fold(String::new(), |all, event| format!("{all}{}\n", event.value));
            format!("{}:\n{events}{}", task.id, journal.join("\n"))
        };
        let claims = attempts_of(events, &told);
        attempts += u64::try_from(claims.len()).unwrap();
        let last = *claims.last().unwrap_or_else(|| panic!("{}", told()));
        journal_agrees(&journal, &claims, last, &told);
        for dependency in &task.dependencies {
            let before = done[tasks[*dependency].id.as_str()];
            let first = events.iter().find(|event| event.kind == "task.claimed").unwrap();
            assert!(before < first.seq, "claimed before {before}, its dependency's end: {}", told());
        }
        assert_eq!(
            project.read(&format!("work/out/{}", task.id)).trim(),
            task.result.to_string(),
            "{}",
            told()
        );
    }
    attempts
}

/// Each claim is ended by exactly one event before the next claim, and the last of all is `task.done`.
fn attempts_of(events: &[&Event], told: &dyn Fn() -> String) -> Vec<u64> {
    let mut claims: Vec<u64> = Vec::new();
    let mut held: Option<u64> = None;
    let mut done = false;
    for event in events {
        match event.kind.as_str() {
            "task.claimed" => {
                assert!(!done, "claimed after it was done: {}", told());
                assert!(held.is_none(), "claimed while it was held: {}", told());
                assert!(
                    claims.last().is_none_or(|last| *last < event.token),
                    "a token came back: {}",
                    told()
                );
                claims.push(event.token);
                held = Some(event.token);
            }
            "task.done" | "task.retry" | "task.failed" | "task.released" | "task.expired" => {
                assert_eq!(
                    held.take(),
                    Some(event.token),
                    "{} ends what nobody holds: {}",
                    event.kind,
                    told()
                );
                assert!(!done, "it goes on after it was done: {}", told());
                done = event.kind == "task.done";
            }
            _ => assert!(!done, "it goes on after it was done: {}", told()),
        }
    }
    assert!(done && held.is_none(), "it was not done: {}", told());
    claims
}

/// Commands wrote only under tokens that were claimed, in their order, and the last one to its end.
fn journal_agrees(journal: &[String], claims: &[u64], done: u64, told: &dyn Fn() -> String) {
    let mut newest = 0;
    let mut ended = BTreeSet::new();
    for line in journal {
        let words: Vec<&str> = line.split(' ').collect();
        let token: u64 = words[2].parse().unwrap();
        assert!(claims.contains(&token), "no event explains `{line}`: {}", told());
        assert!(token >= newest, "an older attempt wrote beside a newer one: {}", told());
        newest = token;
        match words[3] {
            "end" => assert!(ended.insert(token), "it ended twice: {}", told()),
            _ => assert!(!ended.contains(&token), "it began after its end: {}", told()),
        }
    }
    assert_eq!(newest, done, "the newest attempt is not the one that was done: {}", told());
    assert!(ended.contains(&done), "it was done without coming to its end: {}", told());
}
