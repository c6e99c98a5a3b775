//! Every stop of an agent is a cause that `why` names, for the task that it keeps waiting and for the agent.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::backoff::Backoff;
use downbeat_core::cache::{Cache, Directive, Steer, Topic, events_stream};
use downbeat_core::ids::{AgentName, GroupName, RequestId, TaskId};
use downbeat_core::memory::MemoryCache;
use downbeat_core::state::TaskStatus;
use downbeat_core::time::Clock as _;
use downbeat_runtime::clock::SystemClock;
use downbeat_runtime::library::{
    Agent, Assignment, Builder, Declared, Done, Plan, RunMode, Running, Trouble,
};
use downbeat_runtime::steering::{FleetOrder, Given, Whom, give};
use downbeat_runtime::why::{Cause, CauseKind, Company, why, why_agent};
use downbeat_runtime::{Orchestrator, Settings};
use tokio::sync::Semaphore;

/// Works until it may go on.
struct Holds(Arc<Semaphore>);

#[async_trait]
impl Agent for Holds {
    async fn execute(&self, _: Assignment) -> Result<Done, Trouble> {
        self.0.acquire().await?.forget();
        Ok(().into())
    }
}

struct Able;

#[async_trait]
impl Agent for Able {
    async fn execute(&self, _: Assignment) -> Result<Done, Trouble> {
        Ok(().into())
    }
}

/// Cannot begin.
struct Broken;

#[async_trait]
impl Agent for Broken {
    async fn setup(&self) -> Result<(), Trouble> {
        Err(std::io::Error::other("no licence").into())
    }

    async fn execute(&self, _: Assignment) -> Result<Done, Trouble> {
        Ok(().into())
    }
}

fn memory() -> Arc<dyn Cache> {
    Arc::new(MemoryCache::new(Arc::new(SystemClock)))
}

fn builder(cache: &Arc<dyn Cache>) -> Builder {
    let moment = Duration::from_millis(2);
    let mut settings = Settings { exclusive: true, ..Settings::default() };
    settings.restart.backoff = Backoff { base: moment, ceiling: moment };
    Orchestrator::builder().cache(Arc::clone(cache)).settings(settings).run_mode(RunMode::Daemon)
}

fn able(name: &str) -> Declared {
    Declared::named(name).capable_of([name])
}

fn agent(name: &str) -> AgentName {
    AgentName::new(name).unwrap()
}

/// One task for each agent, named like it.
fn plan_for(names: &[&str]) -> Plan {
    names.iter().fold(Plan::of("g"), |plan, name| plan.task(*name, "A task").needs(*name))
}

/// The cause of this kind that an agent has, as soon as it has one.
async fn of_agent(cache: &Arc<dyn Cache>, name: &str, kind: CauseKind) -> Cause {
    let name = agent(name);
    let look = || why_agent(cache.as_ref(), &name, SystemClock.now(), Company::Shared);
    let found = async {
        loop {
            if let Some(cause) = look().await.unwrap().causes.into_iter().find(|cause| cause.kind == kind) {
                return cause;
            }
            // What is shown of a fleet is kept a moment later, and tells nobody.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(20), found).await {
        Ok(found) => found,
        Err(_) => panic!("{kind:?} never came: {:#?}", look().await),
    }
}

/// What a task waits for that needs an agent of its name, and the cause of this kind that it is the agent's.
async fn causes(cache: &Arc<dyn Cache>, name: &str, kind: CauseKind) -> (Vec<Cause>, Cause) {
    let own = of_agent(cache, name, kind).await;
    let id = TaskId::new(name).unwrap();
    until(cache, async || cache.task(&id).await.unwrap().is_some()).await;
    let of_task = why(cache.as_ref(), &id, SystemClock.now(), Company::Shared).await.unwrap().causes;
    assert!(of_task.contains(&own), "{own:?} {of_task:#?}");
    (of_task, own)
}

/// Before anything runs.
async fn order(cache: &Arc<dyn Cache>, order: FleetOrder, by: &str) {
    let request = downbeat_runtime::entropy::request_id();
    let given = Given { order: order.into(), by: by.to_owned(), request };
    assert!(give(cache.as_ref(), &given).await.unwrap().applied);
}

async fn end(running: Running) {
    running.stop();
    running.join().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_behind_max_workers_is_named_with_its_place() {
    let cache = memory();
    let go = Arc::new(Semaphore::new(0));
    let running = builder(&cache)
        .max_workers(1)
        .register_agent(able("first"), Holds(Arc::clone(&go)))
        .register_agent(able("second"), Able)
        .goal("G", plan_for(&["first", "second"]))
        .start()
        .await
        .unwrap();

    let (of_task, queued) = causes(&cache, "second", CauseKind::Queued).await;
    assert_eq!(queued.detail, "agent `second` waits for a slot, number 1 in the queue: `max_workers` is 1");
    assert_eq!(queued.unblocks_when, "an agent ends or has had its turn, or somebody raises `max_workers`");
    assert_eq!(of_task.first().unwrap().detail, "no agent capable of `second` takes tasks");
    let busy = of_agent(&cache, "first", CauseKind::Lease).await;
    assert_eq!(busy.detail, "agent `first` works on `first`");

    go.add_permits(1);
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_behind_the_limit_of_a_group_is_named_with_it() {
    let cache = memory();
    let go = Arc::new(Semaphore::new(0));
    let running = builder(&cache)
        .register_agent(able("first"), Holds(Arc::clone(&go)))
        .register_agent(able("second"), Able)
        .add_dependency("second", "first")
        .group("night", ["first", "second"])
        .group_limit("night", 1)
        .goal("G", plan_for(&["first"]))
        .goal("H", Plan::of("h").task("second", "A task").needs("second").priority(0))
        .start();
    let running = running.await.unwrap();

    let (_, queued) = causes(&cache, "second", CauseKind::Queued).await;
    assert!(queued.detail.ends_with("in the queue: at most 1 of group `night` may live"), "{queued:?}");
    assert!(queued.unblocks_when.contains("`downbeat group limit night N`"), "{queued:?}");

    go.add_permits(1);
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_was_stopped_and_who_waits_for_it_name_the_order() {
    let cache = memory();
    let running = builder(&cache)
        .register_agent(able("base"), Able)
        .register_agent(able("middle"), Able)
        .register_agent(able("top"), Able)
        .add_dependency("middle", "base")
        .add_dependency("top", "middle")
        .group("night", ["base"])
        .goal("G", plan_for(&["base", "middle", "top"]))
        .start();
    let stop = FleetOrder::Stop { whom: Whom::Group(GroupName::new("night").unwrap()) };
    order(&cache, stop, "cli:ada@engine").await;
    let running = running.await.unwrap();

    let (_, stopped) = causes(&cache, "base", CauseKind::Stopped).await;
    assert_eq!(stopped.detail, "agent `base` was stopped with group `night` by cli:ada@engine");
    assert_eq!(stopped.unblocks_when, "a person runs `downbeat start group:night`");
    let (_, waits) = causes(&cache, "middle", CauseKind::Prerequisite).await;
    assert_eq!(
        waits.detail,
        "agent `middle` waits for base (ready); `base` is stopped (group `night` was stopped by cli:ada@engine)"
    );
    assert_eq!(waits.unblocks_when, stopped.unblocks_when);
    let (_, waits) = causes(&cache, "top", CauseKind::Prerequisite).await;
    assert_eq!(waits.detail, "agent `top` waits for middle (ready); `middle` is waiting");
    assert_eq!(waits.unblocks_when, stopped.unblocks_when, "the first one that they wait for");

    running.order(FleetOrder::Start { whom: Whom::Group(GroupName::new("night").unwrap()) }).await.unwrap();
    until_done(&cache, &["base", "middle", "top"]).await;
    end(running).await;
}

/// An order holds over runs: it is the cause also when nobody orchestrates and the store was opened for the
/// question.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_named_between_runs_too() {
    let cache = memory();
    let running = builder(&cache)
        .register_agent(able("a"), Able)
        .register_agent(able("b"), Able)
        .group("night", ["a"])
        .goal("G", plan_for(&["a", "b"]).task("again", "Again").needs("a").after("b"))
        .start();
    for stop in [
        FleetOrder::Stop { whom: Whom::Group(GroupName::new("night").unwrap()) },
        FleetOrder::Stop { whom: Whom::Agent(agent("b")) },
    ] {
        order(&cache, stop, "test").await;
    }
    let running = running.await.unwrap();
    of_agent(&cache, "a", CauseKind::Stopped).await;
    end(running).await;

    for (name, start) in [("a", "group:night"), ("b", "b")] {
        let why = why_agent(cache.as_ref(), &agent(name), SystemClock.now(), Company::Alone).await.unwrap();
        assert_eq!(why.causes.len(), 1, "{why:?}");
        assert_eq!(
            why.causes.first().unwrap().unblocks_when,
            format!("a person runs `downbeat start {start}`")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantine_and_who_it_stops_are_named() {
    let cache = memory();
    let running = builder(&cache)
        .register_agent(able("base").max_restarts(1), Broken)
        .register_agent(able("top"), Able)
        .add_dependency("top", "base")
        .goal("G", plan_for(&["base", "top"]))
        .start()
        .await
        .unwrap();

    let (of_task, quarantined) = causes(&cache, "base", CauseKind::Quarantined).await;
    assert_eq!(
        quarantined.detail,
        "agent `base` is quarantined: it ended 2 times within 10m; the last time its setup failed: no licence"
    );
    assert_eq!(quarantined.unblocks_when, "a person runs `downbeat restart base`");
    assert_eq!(of_task.first().unwrap().kind, CauseKind::NoAgent);
    let (_, blocked) = causes(&cache, "top", CauseKind::Prerequisite).await;
    assert!(
        blocked
            .detail
            .starts_with("agent `top` was not started: it depends on `base` (ready), which is quarantined"),
        "{blocked:?}"
    );
    assert_eq!(blocked.unblocks_when, quarantined.unblocks_when);
    let status = downbeat_runtime::status::status(cache.as_ref(), SystemClock.now()).await.unwrap();
    let stages: Vec<_> = status.agents.iter().map(|line| line.stage.as_deref().unwrap()).collect();
    assert_eq!(stages, ["quarantined", "blocked"]);
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_a_group_is_named_with_it() {
    let cache = memory();
    let go = Arc::new(Semaphore::new(0));
    let plan = Plan::of("g").task("a", "A task").needs("a").task("other", "Another").needs("other");
    let running = builder(&cache)
        .register_agent(able("a"), Holds(Arc::clone(&go)))
        .register_agent(Declared::named("other").capable_of(["other", "a"]), Able)
        .group("night", ["a"])
        .goal("G", plan.task("more", "More").needs("a").after("a"))
        .start()
        .await
        .unwrap();
    let name = agent("other");
    let steer = Steer {
        directive: Directive::Pause { agent: name.clone() },
        by: "test".to_owned(),
        request: RequestId("pause".to_owned()),
    };
    cache.steer(&steer).await.unwrap();
    running.order(FleetOrder::PauseGroup { group: GroupName::new("night").unwrap() }).await.unwrap();

    // Which group it is in stands on the fleet's board, which is kept a moment later.
    let named = async {
        while of_agent(&cache, "a", CauseKind::Paused).await.detail
            != "agent `a` is paused with group `night` by library"
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), named).await.unwrap();
    assert_eq!(of_agent(&cache, "other", CauseKind::Paused).await.detail, "agent `other` is paused");

    go.add_permits(8);
    end(running).await;
}

/// Waits for what an event tells of.
async fn until(cache: &Arc<dyn Cache>, is_so: impl AsyncFn() -> bool) {
    let waits = async {
        let mut seen = 0;
        while !is_so().await {
            seen =
                cache.changed(&Topic::Stream(events_stream()), seen, Duration::from_secs(20)).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waits).await.unwrap();
}

async fn until_done(cache: &Arc<dyn Cache>, tasks: &[&str]) {
    for task in tasks {
        let task = TaskId::new(*task).unwrap();
        let state = async || cache.task(&task).await.unwrap().unwrap().task.state.status;
        until(cache, async || state().await == TaskStatus::Done).await;
    }
}
