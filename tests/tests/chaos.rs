//! Agents that are processes: whichever of them, or their parent, or all are killed, the work goes on, each
//! task is done once, nothing is left behind, and the dead hold nothing for longer than their time.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test code: a fault ends the test"
)]

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use downbeat_tests::redis::Redis;
use downbeat_tests::work::{generate, verify};
use downbeat_tests::{Event, Project, Running, processes_of, signal_of};
use fastrand::Rng;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

const AGENTS: usize = 6;

/// For how long a claim holds.
const LEASE_TTL: Duration = Duration::from_secs(3);

/// What a machine with much else to do may take beside that: less than any other time that could free a lease.
const SLACK: Duration = Duration::from_secs(15);

/// After this long a run is stuck.
const LONGEST: Duration = Duration::from_secs(600);

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Child,
    Parent,
    /// The parent, while one of its children is stopped and could not notice anything.
    ParentOfTheStopped,
    All,
}

/// A project whose agents are processes, on an embedded store or on a server.
struct Place {
    project: Project,
    redis: Option<Redis>,
}

impl Place {
    fn new(redis: Option<Redis>) -> Self {
        Self { project: Project::new(&instructions()), redis }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.project.command(words);
        command.env("DOWNBEAT_LEASE_TTL", format!("{}s", LEASE_TTL.as_secs()));
        if let Some(redis) = &self.redis {
            command.env("DOWNBEAT_CACHE", redis.url());
        }
        command
    }

    fn run(&self) -> Running {
        Running::start(self.command(&["run", "--spawn", "process"]))
    }

    fn events(&self) -> Vec<Event> {
        let ran = Running::start(self.command(&["events", "--json"])).wait().code(0);
        ran.stdout.lines().map(Event::read).collect()
    }

    fn status(&self) -> serde_json::Value {
        Running::start(self.command(&["status", "--json"])).wait().code(0).json()
    }

    /// The processes of agents, by their numbers.
    fn children(&self) -> Vec<u32> {
        let all = processes_of(self.project.root()).into_iter();
        all.filter(|(_, line)| line.contains(" --seat ")).map(|(process, _)| process).collect()
    }

    /// Waits until nothing of any agent is left: each, with all that it started, holds a lock while it lives.
    fn until_nobody_is_left(&self) {
        for entry in std::fs::read_dir(self.project.path(".downbeat/agents")).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "lock") {
                File::open(path).unwrap().lock().unwrap();
            }
        }
    }
}

fn signal(process: u32, signal: Signal) {
    // It may have ended by itself.
    let _ = kill(Pid::from_raw(i32::try_from(process).unwrap()), signal);
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// What was killed when.
#[derive(Default)]
struct Deaths {
    of_children: Vec<(u32, u64)>,
    victims: BTreeMap<Victim, u64>,
    longest_end: Duration,
}

/// Whether a child has tied its life to its parent's, which it does before it has a second thread. One that is
/// stopped before that learns of its parent's end when it is continued.
fn is_tied(child: u32) -> bool {
    std::fs::read_dir(format!("/proc/{child}/task")).is_ok_and(|threads| threads.count() > 1)
}

fn chaos(redis: Option<Redis>) {
    let seed = number("DOWNBEAT_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("DOWNBEAT_SEED={seed}");
    let wanted = number("DOWNBEAT_CHAOS_KILLS").unwrap_or(12);
    let count = usize::try_from(number("DOWNBEAT_CHAOS_TASKS").unwrap_or(100)).unwrap();
    let mut rng = Rng::with_seed(seed);
    let began = Instant::now();
    let place = Place::new(redis);
    let tasks = generate(&place.project, &mut rng, count);
    let mut deaths = Deaths::default();
    let mut kills = 0;
    let mut run = place.run();
    let most = 2 * count / usize::try_from(wanted.max(1)).unwrap();
    while kills < wanted {
        // Mostly while there is work, which is when children have something to lose.
        let (lines, longest) = match rng.u32(0..4) {
            0 => (usize::MAX, Duration::from_millis(rng.u64(0..300))),
            // So few that there is work left for the last kill.
            _ => (rng.usize(4..6 + most), Duration::from_secs(3)),
        };
        run.listen(lines, longest);
        let children = place.children();
        let tied: Vec<u32> = children.iter().copied().filter(|child| is_tied(*child)).collect();
        let victim = match rng.u32(0..10) {
            0..=5 if !children.is_empty() => Victim::Child,
            6 if !tied.is_empty() => Victim::ParentOfTheStopped,
            7 => Victim::All,
            _ => Victim::Parent,
        };
        if victim == Victim::Child {
            let child = *rng.choice(&children).unwrap();
            signal(child, Signal::SIGKILL);
            deaths.of_children.push((child, now_ms()));
            *deaths.victims.entry(victim).or_default() += 1;
            kills += 1;
            continue;
        }
        if victim == Victim::ParentOfTheStopped {
            signal(*rng.choice(&tied).unwrap(), Signal::SIGSTOP);
        }
        if victim == Victim::All {
            children.iter().for_each(|child| signal(*child, Signal::SIGKILL));
        }
        let ran = run.kill();
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        let killed = Instant::now();
        deaths.of_children.extend(children.iter().map(|child| (*child, now_ms())));
        if signal_of(ran.status) != Some(Signal::SIGKILL) {
            // It was faster: then it has to be complete.
            ran.code(0);
            run = place.run();
            break;
        }
        kills += 1;
        *deaths.victims.entry(victim).or_default() += 1;
        place.until_nobody_is_left();
        deaths.longest_end = deaths.longest_end.max(killed.elapsed());
        let left = processes_of(place.project.root());
        assert!(left.is_empty(), "processes outlive their parent: {left:?}");
        run = place.run();
    }
    let ran = run.wait_within(LONGEST).code(0);
    assert!(ran.text().contains("complete"), "{}", ran.text());
    let left = processes_of(place.project.root());
    assert!(left.is_empty(), "processes are left: {left:?}");
    let events = place.events();
    let attempts = verify(&place.project, &events, &place.status(), &tasks);
    let (held, longest_held) = held_by_the_dead(&events, &deaths.of_children);
    println!(
        "{kills} kills {:?}, {count} tasks, {attempts} attempts; {held} leases were held by the dead, for {longest_held:?} \
         at most; all of a killed parent's processes were gone after {:?} at most; {:.1?}",
        deaths.victims,
        deaths.longest_end,
        began.elapsed()
    );
}

/// The leases that were held by an agent when it was killed: how many, and how long after that the longest of
/// them was free.
fn held_by_the_dead(events: &[Event], deaths: &[(u32, u64)]) -> (usize, Duration) {
    let at = |event: &Event| {
        let text = event.value.get("at").and_then(serde_json::Value::as_str).unwrap();
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond().cast_unsigned()
    };
    let mut processes: HashMap<&str, u64> = HashMap::new();
    let mut held: HashMap<&str, (u64, u64)> = HashMap::new();
    let (mut count, mut longest) = (0, Duration::ZERO);
    for event in events {
        match event.kind.as_str() {
            "agent.registered" => {
                let process = event.value.pointer("/data/pid").and_then(serde_json::Value::as_u64).unwrap();
                processes.insert(&event.agent, process);
            }
            "task.claimed" => {
                held.insert(&event.task, (processes.get(event.agent.as_str()).copied().unwrap(), at(event)));
            }
            "task.done" | "task.retry" | "task.failed" | "task.released" | "task.expired" => {
                let Some((process, claimed)) = held.remove(event.task.as_str()) else { continue };
                let freed = at(event);
                let died = deaths
                    .iter()
                    .find(|(child, died)| u64::from(*child) == process && claimed <= *died && *died < freed);
                if let Some((_, died)) = died {
                    count += 1;
                    longest = longest.max(Duration::from_millis(freed - died));
                }
            }
            _ => {}
        }
    }
    assert!(held.is_empty(), "held at the end: {held:?}");
    assert!(longest < LEASE_TTL + SLACK, "the dead held a lease for {longest:?}");
    (count, longest)
}

#[test]
fn on_the_embedded_store_whoever_is_killed_each_task_is_done_once() {
    chaos(None);
}

#[test]
fn on_a_server_whoever_is_killed_each_task_is_done_once() {
    chaos(Some(Redis::start()));
}

/// A child that is stopped past its time loses its lease, and what it says when it goes on is refused. Its
/// command goes on meanwhile, so that only the results and the events can be held against each other.
#[test]
fn children_that_were_stopped_past_their_time_find_their_leases_gone() {
    let mut rng = Rng::with_seed(number("DOWNBEAT_SEED").unwrap_or(7));
    let place = Place::new(None);
    let tasks = generate(&place.project, &mut rng, 150);
    let run = |place: &Place| {
        let mut command = place.command(&["run", "--spawn", "process"]);
        command.env("DOWNBEAT_LEASE_TTL", "1s").env("DOWNBEAT_AGENT_TTL", "1s");
        Running::start(command)
    };
    let mut run = run(&place);
    run.wait_for("✓");
    for _ in 0..3 {
        let Some(child) = rng.choice(place.children()) else { break };
        signal(child, Signal::SIGSTOP);
        run.listen(usize::MAX, Duration::from_millis(2_200));
        signal(child, Signal::SIGCONT);
        run.listen(usize::MAX, Duration::from_millis(300));
    }
    run.wait_within(LONGEST).code(0).says(&["150 of 150 tasks done"]);
    assert!(processes_of(place.project.root()).is_empty());
    let events = place.events();
    let done = events.iter().filter(|event| event.kind == "task.done").count();
    assert_eq!(done, tasks.len());
    assert!(
        events.iter().any(|event| event.kind == "task.expired" || event.kind == "agent.silent"),
        "nobody noticed that a child was stopped"
    );
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok())
}

/// A killed agent is started again soon, however often that happens.
fn instructions() -> String {
    let agents: String = (1..=AGENTS)
        .map(|number| {
            format!("### agent-{number}\n- Goal: demo\n- Max Restarts: 1000000\n- Restart Window: 1s\n\n")
        })
        .collect();
    format!(
        "# Chaos\n\n## Agents\n\n{agents}## Goals\n\n### demo: Many tasks\n- Workspace: work\n- Plan: plan.json\n"
    )
}
