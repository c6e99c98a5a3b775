//! The promise of the product: whenever a run is killed, the same command carries on, each task is
//! done once, and the event log explains every attempt.
#![expect(clippy::print_stdout, reason = "test code: a fault ends the test")]

use std::collections::BTreeMap;
use std::time::Duration;

use downbeat_tests::work::{generate, verify};
use downbeat_tests::{Project, processes_of, signal_of, task};
use fastrand::Rng;
use nix::sys::signal::Signal;
use tokio::time::Instant;

const AGENTS: usize = 8;
const TASKS: usize = 200;

/// So long a run may say nothing before it is killed all the same.
const LONGEST: Duration = Duration::from_secs(5);

/// How far a run was when it was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Startup,
    Planning,
    Starting,
    Running,
}

impl Phase {
    const STARTING: &str = "Started agent";
    const RUNNING: &str = "Acquired lease";

    fn of(heard: &str) -> Self {
        let first =
            [(Self::RUNNING, Self::Running), (Self::STARTING, Self::Starting), ("demo", Self::Planning)];
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
        let tasks = generate(&project, &mut rng, TASKS);
        let mut here = 0;
        while kills < wanted {
            let mut run = project.start(&["run"]);
            // A young project is killed early more often: it is planned only once.
            let moment = Duration::from_micros(rng.u64(0..if here < 10 { 30_000 } else { 120_000 }));
            match rng.u8(0..8) {
                // The shortest phase is hardly ever hit by chance.
                0 => {
                    run.listen_for(Phase::STARTING, LONGEST);
                }
                // Nor is the last one where the machine is so busy that a run begins slowly.
                1 if run.listen_for(Phase::RUNNING, LONGEST) => run.listen(usize::MAX, moment),
                1 => {}
                2..=4 => run.listen(usize::MAX, moment),
                _ => run.listen(rng.usize(0..40), LONGEST),
            }
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
        attempts += verify(&project, &project.events(), &project.json(&["status"]), &tasks);
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
