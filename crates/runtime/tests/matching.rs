//! Who gets which task: failed work goes to another agent first, idle agents before busy ones, and work that
//! nobody offers to do is told of once while the rest goes on.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::backoff::Backoff;
use downbeat_core::cache::{Cache, Directive, Read, Steer, Topic, events_stream};
use downbeat_core::event::Event;
use downbeat_core::ids::{AgentName, RequestId, TaskId};
use downbeat_core::memory::MemoryCache;
use downbeat_core::time::Clock as _;
use downbeat_llm::Offline;
use downbeat_runtime::clock::SystemClock;
use downbeat_runtime::orchestrator::Models;
use downbeat_runtime::solo::Declaration;
use downbeat_runtime::why::{CauseKind, Company, why};
use downbeat_runtime::{Orchestrator, Settings, Solo, Stop, load};

fn project(place: &Path, text: &str) -> load::Project {
    let file = place.join("INSTRUCTIONS.md");
    std::fs::write(&file, text).unwrap();
    load::load(&file).unwrap()
}

fn settings() -> Settings {
    Settings {
        leader_ttl: Duration::from_secs(1),
        max_attempts: 2,
        backoff: Backoff { base: Duration::from_millis(20), ceiling: Duration::from_millis(40) },
        exclusive: true,
        ..Settings::default()
    }
}

fn orchestrator(cache: &Arc<dyn Cache>, project: &load::Project, settings: Settings) -> Orchestrator {
    let llm: Arc<dyn downbeat_core::llm::Llm> = Arc::new(Offline);
    let models = Models { default: Arc::clone(&llm), by_agent: HashMap::new(), scribe: llm };
    Orchestrator::new(Arc::clone(cache), models, Arc::new(SystemClock), settings, project.clone())
}

fn solo(cache: &Arc<dyn Cache>, project: &load::Project, number: usize) -> Solo {
    let agent = project.agents[number].clone();
    Solo {
        name: agent.spec.name.value.clone(),
        declaration: Declaration { project: project.clone(), agent, llm: Arc::new(Offline), in_force: false },
        declare: None,
        goal: None,
        cache: Arc::clone(cache),
        scribe: Arc::new(Offline),
        clock: Arc::new(SystemClock),
        heartbeat: None,
        generation: 1,
        settings: Settings { exclusive: false, ..settings() },
    }
}

fn memory() -> Arc<dyn Cache> {
    Arc::new(MemoryCache::new(Arc::new(SystemClock)))
}

async fn events(cache: &Arc<dyn Cache>) -> Vec<Event> {
    cache.read(&Read { stream: events_stream(), after: 0, limit: 100_000 }).await.unwrap().entries
}

async fn until(cache: &Arc<dyn Cache>, kind: &str, about: &str) -> Event {
    let is_so = |event: &&Event| {
        let what = &event.what;
        let task = what.task.as_ref().map(TaskId::as_str);
        let agent = what.agent.as_ref().map(AgentName::as_str);
        what.kind.as_str() == kind && (task == Some(about) || agent == Some(about))
    };
    let mut after = 0;
    tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let page = cache.read(&Read { stream: events_stream(), after, limit: 1_000 }).await.unwrap();
            if let Some(event) = page.iter().find(is_so) {
                return event.clone();
            }
            after = page.last().map_or(after, |event| event.seq);
            cache.changed(&Topic::Stream(events_stream()), after, Duration::from_secs(5)).await.unwrap();
        }
    })
    .await
    .unwrap()
}

/// Done only by another agent than the one that tried first.
fn picky(number: usize) -> String {
    format!(
        "- [ ] Picky {{#p{number}}}\n  ```sh\n  if test -f t{number}; then test \"$(cat t{number})\" != $DOWNBEAT_AGENT; \
         else echo $DOWNBEAT_AGENT > t{number}; exit 1; fi\n  ```\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_work_goes_to_another_agent() {
    let place = tempfile::tempdir().unwrap();
    let tasks: String = (0..20).map(picky).collect();
    let text = format!("## Agents\n\n### one\n\n### two\n\n## Goals\n\n### g: G\n\n{tasks}");
    let project = project(place.path(), &text);
    let cache = memory();

    let report = orchestrator(&cache, &project, settings()).run(&Stop::new()).await.unwrap();

    assert!(report.is_complete(), "a second attempt was made by the agent that failed: {report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_the_only_one_tries_again_without_a_wait() {
    let place = tempfile::tempdir().unwrap();
    let text =
        "## Agents\n\n### one\n\n### two\n- Capabilities: other\n\n### three\n\n## Goals\n\n### g: G\n\n\
        - [ ] Twice {#a capabilities=shell}\n  ```sh\n  test -f there || { touch there; exit 1; }\n  ```\n"
            .replace("### one\n", "### one\n- Capabilities: shell\n")
            .replace("### three\n", "### three\n- Capabilities: shell\n");
    let project = project(place.path(), &text);
    let cache = memory();
    // Somebody else is capable of it, and takes nothing.
    let directive = Directive::Pause { agent: AgentName::new("three").unwrap() };
    let steer = Steer { directive, by: "a test".to_owned(), request: RequestId("pause".to_owned()) };
    cache.steer(&steer).await.unwrap();

    let began = tokio::time::Instant::now();
    let report = orchestrator(&cache, &project, settings()).run(&Stop::new()).await.unwrap();

    assert!(report.is_complete(), "{report:?}");
    assert!(began.elapsed() < Duration::from_secs(4), "it was left to nobody for {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_agent_goes_before_one_at_work() {
    const ROUNDS: usize = 30;
    let place = tempfile::tempdir().unwrap();
    // Steps become ready one by one, by the work of a third agent. One of the two who may take them has a
    // long task already, and free slots.
    let steps: String = (0..ROUNDS)
        .map(|number| {
            let after = if number == 0 { "began".to_owned() } else { format!("t{}", number - 1) };
            format!(
                "- [ ] Tick {{#t{number} after={after} capabilities=tick}}\n  ```sh\n  sleep 0.05\n  ```\n\
                 - [ ] Step {{#s{number} after=t{number} capabilities=step}}\n  ```sh\n  echo $DOWNBEAT_AGENT >> steps\n  ```\n"
            )
        })
        .collect();
    let text = format!(
        "## Agents\n\n### busy\n- Capabilities: long, step\n- Max Parallel: 3\n\n### idle\n- Capabilities: step\n\n\
         ### ticker\n- Capabilities: tick\n- Max Parallel: 2\n\n## Goals\n\n### g: G\n\n\
         - [ ] Long {{#long capabilities=long}}\n  ```sh\n  until test -f over; do sleep 0.05; done\n  ```\n\
         - [ ] Began {{#began capabilities=tick}}\n  ```sh\n  sleep 1.2\n  ```\n{steps}\
         - [ ] Over {{#over after=s{last} capabilities=tick}}\n  ```sh\n  touch over\n  ```\n",
        last = ROUNDS - 1
    );
    let project = project(place.path(), &text);
    let cache = memory();

    let report = orchestrator(&cache, &project, settings()).run(&Stop::new()).await.unwrap();

    assert!(report.is_complete(), "{report:?}");
    let steps = std::fs::read_to_string(place.path().join("steps")).unwrap();
    let idle = steps.lines().filter(|line| *line == "idle").count();
    assert!(idle > ROUNDS * 2 / 3, "the idle agent did {idle} of {ROUNDS} steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_offers_is_told_once_while_the_rest_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let steps: String = (0..5)
        .map(|number| format!("- [ ] Step {{#s{number}}}\n  ```sh\n  echo x >> steps\n  ```\n"))
        .collect();
    let text = format!(
        "## Agents\n\n### one\n\n## Goals\n\n### g: G\n\n- [ ] Draws {{#draw priority=9 capabilities=gpu}}\n  ```sh\n  true\n  ```\n{steps}"
    );
    let project = project(place.path(), &text);
    let cache = memory();

    for _ in 0..2 {
        let report = orchestrator(&cache, &project, settings()).run(&Stop::new()).await.unwrap();
        assert!(!report.is_complete());
        assert!(report.stuck[0].contains("`draw` needs `gpu`"), "{:?}", report.stuck);
    }

    assert_eq!(std::fs::read_to_string(place.path().join("steps")).unwrap().lines().count(), 5);
    let alerts: Vec<_> = events(&cache)
        .await
        .into_iter()
        .filter(|event| event.what.kind.as_str() == "alert.no_agent")
        .collect();
    assert_eq!(alerts.len(), 1, "also over two runs: {alerts:?}");
    assert_eq!(alerts[0].what.data["capabilities"][0], "gpu");
    let draw = TaskId::new("draw").unwrap();
    let why = why(cache.as_ref(), &draw, SystemClock.now(), Company::Shared).await.unwrap();
    let cause = why.causes.iter().find(|cause| cause.kind == CauseKind::NoAgent).unwrap();
    assert!(cause.unblocks_when.contains("an agent with `gpu` is declared"), "{cause:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_joins_takes_what_waited_for_it_at_once() {
    let place = tempfile::tempdir().unwrap();
    let text = "## Agents\n\n### one\n\n### painter\n- Capabilities: gpu\n\n## Goals\n\n### g: G\n\n\
        - [ ] Draws {#draw capabilities=gpu}\n  ```sh\n  true\n  ```\n- [ ] Step {#step}\n  ```sh\n  true\n  ```\n";
    let project = project(place.path(), text);
    let cache = memory();
    let leads = {
        let settings = Settings { exclusive: false, ..settings() };
        let orchestrator = orchestrator(&cache, &project, settings).without_agents();
        tokio::spawn(async move { orchestrator.run(&Stop::new()).await })
    };
    let one = {
        let solo = solo(&cache, &project, 0);
        tokio::spawn(async move { solo.run(&Stop::new()).await })
    };
    until(&cache, "task.done", "step").await;
    until(&cache, "alert.no_agent", "draw").await;

    let began = tokio::time::Instant::now();
    let painter = solo(&cache, &project, 1);
    let painter = tokio::spawn(async move { painter.run(&Stop::new()).await });
    until(&cache, "task.claimed", "draw").await;
    let taken = began.elapsed();

    assert!(taken < Duration::from_secs(1), "it was taken after {taken:?}");
    leads.await.unwrap().unwrap();
    one.await.unwrap().unwrap();
    painter.await.unwrap().unwrap();
    let kinds: Vec<String> = events(&cache)
        .await
        .iter()
        .map(|event| event.what.kind.to_string())
        .filter(|kind| kind.starts_with("alert."))
        .collect();
    assert_eq!(kinds, ["alert.no_agent", "alert.resolved"]);
}
