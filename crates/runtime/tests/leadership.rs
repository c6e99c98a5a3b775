//! Several orchestrators and agents on one cache, each as its own process would be.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::{Acquire, Cache, Read, StoreIf, events_stream};
use downbeat_core::event::Event;
use downbeat_core::ids::AgentName;
use downbeat_core::memory::MemoryCache;
use downbeat_llm::Offline;
use downbeat_runtime::clock::SystemClock;
use downbeat_runtime::orchestrator::Models;
use downbeat_runtime::patient::Patient;
use downbeat_runtime::solo::{Declaration, Left};
use downbeat_runtime::{Orchestrator, RunError, Settings, Solo, Stop, load, status};

const AGENTS: usize = 2;

/// A goal of two layers and two agents.
fn project(place: &Path, tasks: usize) -> load::Project {
    let agents: String = (0..AGENTS).map(|number| format!("### agent-{number}\n\n")).collect();
    let tasks: String = (0..tasks)
        .map(|number| {
            let after = if number < 4 { String::new() } else { format!(" after=t{}", number % 4) };
            format!("- [ ] Works {{#t{number}{after}}}\n  ```sh\n  echo x >> $DOWNBEAT_TASK\n  ```\n")
        })
        .collect();
    let file = place.join("INSTRUCTIONS.md");
    std::fs::write(&file, format!("## Agents\n\n{agents}## Goals\n\n### g: A goal\n\n{tasks}")).unwrap();
    load::load(&file).unwrap()
}

fn settings() -> Settings {
    Settings { leader_ttl: Duration::from_secs(1), ..Settings::default() }
}

fn orchestrator(cache: &Arc<dyn Cache>, project: &load::Project) -> Orchestrator {
    let llm: Arc<dyn downbeat_core::llm::Llm> = Arc::new(Offline);
    let models = Models { default: Arc::clone(&llm), by_agent: HashMap::new(), scribe: llm };
    Orchestrator::new(Arc::clone(cache), models, Arc::new(SystemClock), settings(), project.clone())
        .without_agents()
}

fn solo(cache: &Arc<dyn Cache>, project: &load::Project, number: usize) -> Solo {
    Solo {
        generation: 1,
        heartbeat: None,
        name: AgentName::new(format!("agent-{number}")).unwrap(),
        declaration: Declaration {
            project: project.clone(),
            agent: project.agents.get(number).unwrap().clone(),
            llm: Arc::new(Offline),
            in_force: false,
        },
        declare: None,
        goal: None,
        cache: Arc::clone(cache),
        scribe: Arc::new(Offline),
        clock: Arc::new(SystemClock),
        settings: settings(),
    }
}

async fn events(cache: &Arc<dyn Cache>) -> Vec<Event> {
    cache.read(&Read { stream: events_stream(), after: 0, limit: 1_000 }).await.unwrap().entries
}

fn memory() -> Arc<dyn Cache> {
    Arc::new(MemoryCache::new(Arc::new(SystemClock)))
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_orchestrators_one_leads_at_a_time_and_all_end() {
    let place = tempfile::tempdir().unwrap();
    let project = project(place.path(), 12);
    let cache = memory();
    let orchestrators: Vec<_> = (0..5)
        .map(|_| {
            let orchestrator = orchestrator(&cache, &project);
            tokio::spawn(async move { orchestrator.run(&Stop::new()).await.unwrap() })
        })
        .collect();
    let agents: Vec<_> = (0..AGENTS)
        .map(|number| {
            let solo = solo(&cache, &project, number);
            tokio::spawn(async move { solo.run(&Stop::new()).await.unwrap() })
        })
        .collect();
    for agent in agents {
        assert_eq!(agent.await.unwrap(), Left::Rest { complete: true });
    }
    for orchestrator in orchestrators {
        assert!(orchestrator.await.unwrap().is_complete());
    }
    let events = events(&cache).await;
    let of_kind =
        |kind: &str| events.iter().filter(|event| event.what.kind.as_str() == kind).collect::<Vec<_>>();
    assert_eq!(of_kind("goal.planned").len(), 1);
    let mut done: BTreeMap<_, usize> = BTreeMap::new();
    for event in of_kind("task.done") {
        *done.entry(event.what.task.clone()).or_default() += 1;
    }
    assert!(done.len() == 12 && done.values().all(|times| *times == 1), "{done:?}");
    let epochs: Vec<u64> = of_kind("orchestrator.leads")
        .iter()
        .map(|event| event.what.data.get("epoch").and_then(serde_json::Value::as_u64).unwrap())
        .collect();
    assert!(epochs.is_sorted_by(|one, next| one < next), "{epochs:?}");
    // On a machine that is busy for longer than the lease one loses the lead without a word.
    let left = of_kind("orchestrator.left").len();
    assert!((1..=epochs.len()).contains(&left), "{left} of {epochs:?}");
    let status = status::status(cache.as_ref(), downbeat_core::time::Clock::now(&SystemClock)).await.unwrap();
    assert!(!status.orchestrator.present);
}

/// A leader that was paused writes as if nothing had happened: what a later one wrote stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_leader_s_word_is_not_overwritten() {
    let place = tempfile::tempdir().unwrap();
    let project = project(place.path(), 1);
    let cache = memory();
    let stop = Stop::new();
    let run = tokio::spawn({
        let (orchestrator, stop) = (orchestrator(&cache, &project), stop.clone());
        async move { orchestrator.run(&stop).await }
    });
    let said = loop {
        match cache.load("orchestrator").await.unwrap() {
            Some(record) => break record,
            None => tokio::task::yield_now().await,
        }
    };
    let mut later: serde_json::Value = serde_json::from_str(&said.value).unwrap();
    let epoch = later.get("epoch").and_then(serde_json::Value::as_u64).unwrap();
    assert!(epoch > 0);
    let object = later.as_object_mut().unwrap();
    object.insert("epoch".to_owned(), (epoch + 1).into());
    object.insert("name".to_owned(), "later".into());
    object.insert("present".to_owned(), true.into());
    // The leader may write at the same moment.
    loop {
        let expected = cache.load("orchestrator").await.unwrap().unwrap().version;
        let store = StoreIf { key: "orchestrator".to_owned(), expected, value: Some(later.to_string()) };
        if cache.store_if(&store).await.is_ok() {
            break;
        }
    }
    // It leaves, and would say that nobody is there.
    stop.now();
    run.await.unwrap().unwrap();
    let status = status::status(cache.as_ref(), downbeat_core::time::Clock::now(&SystemClock)).await.unwrap();
    assert!(status.orchestrator.present);
    assert_eq!(status.orchestrator.name.as_deref(), Some("later"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_by_ends_when_asked_and_has_planned_nothing() {
    let place = tempfile::tempdir().unwrap();
    let project = project(place.path(), 1);
    let cache = memory();
    let acquire =
        Acquire { name: "orchestrator".to_owned(), holder: "x".to_owned(), ttl: Duration::from_secs(600) };
    cache.acquire(&acquire).await.unwrap().unwrap();
    let stop = Stop::new();
    stop.drain();
    let report = orchestrator(&cache, &project).run(&stop).await.unwrap();
    assert!(report.interrupted && !report.is_complete());
    assert_eq!(report.unplanned.len(), 1);
    assert!(cache.goals().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_living_process_of_a_name_is_told_who_has_it() {
    let place = tempfile::tempdir().unwrap();
    let project = project(place.path(), 1);
    let cache = memory();
    let stop = Stop::new();
    let first = tokio::spawn({
        let (solo, stop) = (solo(&cache, &project, 0), stop.clone());
        async move { solo.run(&stop).await }
    });
    while cache.agents().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let patient: Arc<dyn Cache> =
        Arc::new(Patient::new(Arc::clone(&cache), Duration::ZERO, Arc::new(SystemClock), Stop::new()));
    let refused = solo(&patient, &project, 0).run(&Stop::new()).await.unwrap_err();
    let RunError::NameTaken { pid, .. } = refused else { panic!("{refused}") };
    assert_eq!(pid, std::process::id());
    stop.drain();
    assert_eq!(first.await.unwrap().unwrap(), Left::Stopped);
}
