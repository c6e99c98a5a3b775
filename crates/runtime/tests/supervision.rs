//! Fleets at real work: slots, prerequisites, crashes and a person's orders, in one process.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::backoff::Backoff;
use downbeat_core::cache::{Cache, Liveness, Phase, Read, events_stream};
use downbeat_core::event::{Event, EventKind};
use downbeat_core::faulty::{FaultPlan, FaultyCache};
use downbeat_core::goal::GoalStatus;
use downbeat_core::ids::{AgentName, TaskId};
use downbeat_core::instructions::Milestone;
use downbeat_core::memory::MemoryCache;
use downbeat_core::state::TaskStatus;
use downbeat_runtime::clock::SystemClock;
use downbeat_runtime::library::{Agent, Assignment, Builder, Declared, Done, Plan, RunMode, Trouble};
use downbeat_runtime::{Orchestrator, Settings, status};

struct Able;

#[async_trait]
impl Agent for Able {
    async fn execute(&self, _: Assignment) -> Result<Done, Trouble> {
        Ok(().into())
    }
}

struct Writes;

#[async_trait]
impl Agent for Writes {
    async fn execute(&self, task: Assignment) -> Result<Done, Trouble> {
        for file in &task.node.expected_artifacts {
            std::fs::write(task.workspace.join(file), "here\n")?;
        }
        Ok(().into())
    }
}

struct Crashes;

#[async_trait]
impl Agent for Crashes {
    async fn execute(&self, _: Assignment) -> Result<Done, Trouble> {
        panic!("a bug");
    }
}

fn memory() -> Arc<dyn Cache> {
    Arc::new(MemoryCache::new(Arc::new(SystemClock)))
}

fn builder(cache: &Arc<dyn Cache>) -> Builder {
    let moment = Duration::from_millis(5);
    let mut settings = Settings { exclusive: true, ..Settings::default() };
    settings.backoff = Backoff { base: moment, ceiling: moment };
    settings.restart.backoff = settings.backoff;
    Orchestrator::builder().cache(Arc::clone(cache)).settings(settings)
}

fn able(name: &str) -> Declared {
    Declared::named(name).capable_of([name])
}

async fn events(cache: &Arc<dyn Cache>) -> Vec<Event> {
    cache.read(&Read { stream: events_stream(), after: 0, limit: 100_000 }).await.unwrap().entries
}

fn of(events: &[Event], kind: &EventKind) -> Vec<Event> {
    events.iter().filter(|event| event.what.kind == *kind).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_agents_share_three_slots_and_every_task_is_done() {
    let cache = memory();
    let mut builder = builder(&cache).max_workers(3);
    // Two rounds: each agent is needed twice, the second time after all others.
    let mut plan = Plan::of("rounds");
    for round in 0..2 {
        for n in 0..30 {
            plan = plan.task(format!("r{round}-{n}"), "A step").needs(format!("a{n}"));
            if round > 0 {
                plan = plan.after(format!("r0-{}", (n + 29) % 30));
            }
        }
    }
    for n in (0..30).rev() {
        builder = builder.register_agent(able(&format!("a{n}")), Able);
        if n > 0 {
            builder = builder.add_dependency(&format!("a{n}"), &format!("a{}", n - 1));
        }
    }
    let report = builder.goal("Rounds", plan).run().await.unwrap();

    assert!(report.is_complete(), "{report:?}");
    let events = events(&cache).await;
    let mut alive: i32 = 0;
    for event in &events {
        alive += i32::from(event.what.kind == EventKind::AGENT_REGISTERED);
        alive -= i32::from(event.what.kind == EventKind::AGENT_TERMINATED);
        assert!(alive <= 3, "{event:?}");
    }
    assert_eq!(alive, 0);
    let mut firsts: Vec<String> = Vec::new();
    for event in of(&events, &EventKind::AGENT_STARTED) {
        let name = event.what.agent.unwrap().to_string();
        if !firsts.contains(&name) {
            firsts.push(name);
        }
    }
    assert_eq!(firsts, (0..30).map(|n| format!("a{n}")).collect::<Vec<_>>());
    assert_eq!(events.last().unwrap().what.kind, EventKind::AGENTS_ALL_TERMINATED);
    assert_eq!(of(&events, &EventKind::AGENTS_ALL_TERMINATED).len(), 1);
    assert_eq!(of(&events, &EventKind::TASK_DONE).len(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_costs_its_own_task_and_no_other() {
    let cache = memory();
    let plan = Plan::of("mixed")
        .task("good-1", "Goes well")
        .needs("good")
        .task("bad", "Crashes")
        .needs("bad")
        .task("good-2", "Goes well")
        .needs("good")
        .after("good-1");
    let report = builder(&cache)
        .register_agent(able("good"), Able)
        .register_agent(able("bad").max_restarts(2), Crashes)
        .goal("Mixed", plan)
        .run()
        .await
        .unwrap();

    assert_eq!(report.stuck.len(), 1, "{report:?}");
    assert!(report.stuck[0].contains("task `bad` needs `bad`"), "{:?}", report.stuck);
    let statuses: Vec<_> = report.goals[0].tasks.iter().map(|task| task.state.status).collect();
    assert_eq!(statuses, [TaskStatus::Done, TaskStatus::Ready, TaskStatus::Done]);
    let events = events(&cache).await;
    let quarantined = of(&events, &EventKind::AGENT_QUARANTINED);
    assert_eq!(quarantined.len(), 1);
    let reason = quarantined[0].what.reason.clone().unwrap();
    assert!(reason.starts_with("it ended 3 times within 10m; the last time it crashed:"), "{reason}");
    assert!(reason.contains("a bug"), "{reason}");
    let bad = AgentName::new("bad").unwrap();
    let known = cache.agent(&bad).await.unwrap().unwrap();
    assert_eq!((known.phase, known.liveness), (Phase::Quarantined, Liveness::Dead));
    let ends: Vec<_> = of(&events, &EventKind::AGENT_TERMINATED)
        .into_iter()
        .filter(|event| event.what.agent.as_ref() == Some(&bad))
        .map(|event| (event.what.data["exit"].clone(), event.what.data["generation"].clone()))
        .collect();
    assert_eq!(ends, [1, 2, 3].map(|generation| ("error".into(), generation.into())));
    // What it held was free at once each time: it never waited for a lease to run out.
    assert!(of(&events, &EventKind::TASK_EXPIRED).is_empty());
    let status = status::status(cache.as_ref(), cache.agent(&bad).await.unwrap().unwrap().last_beat_at);
    let line = status.await.unwrap().agents.into_iter().find(|agent| agent.name == bad).unwrap();
    assert_eq!(line.stage.as_deref(), Some("quarantined"));
    assert_eq!(line.stage_reason, Some(reason));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_for_another_to_finish_starts_when_nothing_is_left_for_it() {
    let cache = memory();
    let plan = Plan::of("handover")
        .task("x-1", "First")
        .needs("x")
        .task("x-2", "Second")
        .needs("x")
        .after("x-1")
        .task("y-1", "Third")
        .needs("y")
        .after("x-1");
    let report = builder(&cache)
        .register_agent(able("y"), Able)
        .register_agent(able("x"), Able)
        .add_dependency_until("y", "x", Milestone::Finished)
        .goal("A handover", plan)
        .run()
        .await
        .unwrap();

    assert_eq!(report.goals[0].goal.status, GoalStatus::Complete, "{report:?}");
    let events = events(&cache).await;
    let at = |kind: &EventKind, what: &str| {
        let found = events.iter().find(|event| {
            event.what.kind == *kind
                && (event.what.agent == AgentName::new(what).ok()
                    || event.what.task == TaskId::new(what).ok())
        });
        found.unwrap_or_else(|| panic!("{kind} {what}: {events:#?}")).seq
    };
    assert!(at(&EventKind::TASK_DONE, "x-2") < at(&EventKind::AGENT_STARTED, "y"));
    assert!(at(&EventKind::AGENT_TERMINATED, "x") < at(&EventKind::AGENT_STARTED, "y"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_can_never_end_is_said_and_not_waited_for() {
    let cache = memory();
    // `x` is needed once more after `y`, which waits for `x` to be finished.
    let plan = Plan::of("knot")
        .task("x-1", "First")
        .needs("x")
        .task("y-1", "Second")
        .needs("y")
        .after("x-1")
        .task("x-2", "Third")
        .needs("x")
        .after("y-1");
    let report = builder(&cache)
        .register_agent(able("x"), Able)
        .register_agent(able("y"), Able)
        .add_dependency_until("y", "x", Milestone::Finished)
        .goal("A knot", plan)
        .run()
        .await
        .unwrap();

    assert_eq!(report.stuck.len(), 1, "{report:?}");
    assert!(report.stuck[0].contains("task `y-1` needs `y`"), "{:?}", report.stuck);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_all_at_once_and_nothing_starts() {
    let cache = memory();
    let plan = Plan::of("g").task("one", "One").after("two");
    let error = builder(&cache)
        .register_agent("a", Able)
        .register_agent("a", Able)
        .register_agent("not good", Able)
        .register_agent(Declared::named("b").goal("elsewhere"), Able)
        .add_dependency("a", "nobody")
        .add_dependency("b", "b")
        .group("crew", ["a", "stranger"])
        .group_limit("crew", 0)
        .group_limit("nobody", 2)
        .goal("Broken", plan)
        .start()
        .await
        .unwrap_err()
        .to_string();
    let faults: Vec<&str> = error.lines().collect();
    for part in [
        "agent `a` is registered twice",
        "`not good` cannot name an agent: ",
        "goal `g`: ",
        "no agent is called `nobody` (`a` depends on `nobody`)",
        "agent `b` depends on itself",
        "no agent is called `stranger` (of group `crew`)",
        "group `crew`: its limit is at least 1",
        "no agent is of group `nobody`, which is limited to 2",
        "agent `b` works for goal `elsewhere`, which is not declared",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(part)), "{part}\n{error}");
    }
    assert!(events(&cache).await.is_empty());

    let circle = builder(&cache)
        .register_agent("a", Able)
        .register_agent("b", Able)
        // The same once more is no fault.
        .add_dependency("a", "b")
        .add_dependency("a", "b")
        .add_dependency("b", "a")
        .start()
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(circle, "agents wait for each other: a -> b -> a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phase_is_entered_for_each_step_of_a_task() {
    let cache = memory();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&seen);
    let place = tempfile::tempdir().unwrap();
    let plan = Plan::of("one").task("only", "The only one").produces("only.txt");
    let plan = plan.task("then", "Another").produces("then.txt").after("only");
    let report = builder(&cache)
        .workspace(place.path())
        .register_agent("a", Writes)
        .goal("One", plan)
        .on(EventKind::AGENT_PHASE, move |event| {
            heard.lock().unwrap().push(event.what.data["phase"].as_str().unwrap().to_owned());
        })
        .run()
        .await
        .unwrap();
    assert!(report.is_complete());
    let seen = seen.lock().unwrap().clone();
    // `assigned` and `completed` are told by the task's own events.
    let expected = ["reasoning", "executing", "validating"];
    assert_eq!(
        seen.iter().filter(|it| *it != "idle").collect::<Vec<_>>(),
        [expected, expected].concat().iter().collect::<Vec<_>>()
    );
}

/// A supervisor looks at everything each `check_interval`, for news that got lost: what that costs does not grow
/// with the agents while nothing happens.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_fleet_costs_the_same_few_calls_however_many_agents_it_has() {
    let inner = MemoryCache::new(Arc::new(SystemClock));
    let counted = Arc::new(FaultyCache::new(inner, FaultPlan::new()));
    let cache: Arc<dyn Cache> = Arc::clone(&counted) as Arc<dyn Cache>;
    let settings = Settings {
        exclusive: true,
        keep_running: true,
        check_interval: Duration::from_millis(20),
        ..Settings::default()
    };
    let mut builder = Orchestrator::builder()
        .cache(Arc::clone(&cache))
        .settings(settings)
        .max_workers(8)
        .run_mode(RunMode::Daemon);
    // Half of them have a goal of their own with a task that nobody can do, and half can do what nobody needs.
    for n in 0..48 {
        let goal = format!("g{n}");
        builder = builder
            .register_agent(Declared::named(format!("own-{n}")).goal(&goal), Able)
            .register_agent(Declared::named(format!("any-{n}")).capable_of([format!("c{n}")]), Able)
            .goal("A goal", Plan::of(&goal).task(format!("t{n}"), "A task").needs("nobody"));
    }
    let running = builder.start().await.unwrap();
    let looks = || counted.calls("list");
    let asked =
        || -> u64 { ["ready", "goal", "tasks", "agent"].iter().map(|verb| counted.calls(verb)).sum() };
    let until = async |many: u64| {
        let wait = async {
            while looks() < many {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
    };
    // Until everybody lives or rests and is seen to.
    let settled = async {
        loop {
            let (before, looked) = (asked(), looks());
            until(looked + 20).await;
            if asked() - before <= 4 * (looks() - looked) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), settled).await.unwrap();

    let (before, looked) = (asked(), looks());
    until(looked + 50).await;
    let (calls, looks) = (asked() - before, looks() - looked);
    println!("{calls} calls in {looks} looks at 96 agents");
    assert!(calls <= 4 * looks, "{calls} calls in {looks} looks");
    running.stop();
    running.join().await.unwrap();
}
