//! A goal that a model plans is planned anew only when its brief changed, only when that is asked for, and once.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use downbeat_core::cache::{Cache, Read, events_stream};
use downbeat_core::dag::{Draft, DraftNode};
use downbeat_core::event::{Event, EventKind};
use downbeat_core::goal::Usage;
use downbeat_core::ids::{GoalId, RequestId};
use downbeat_core::llm::{MockLlm, Reply};
use downbeat_core::memory::MemoryCache;
use downbeat_llm::Offline;
use downbeat_runtime::clock::SystemClock;
use downbeat_runtime::live::{declared, foresee};
use downbeat_runtime::orchestrator::Models;
use downbeat_runtime::steering::{FleetOrder, Given, Scope, Whole, give};
use downbeat_runtime::{Orchestrator, Settings, Stop, load};

fn orchestrator(place: &Path, brief: &str, cache: &Arc<dyn Cache>, asked: &Arc<AtomicU64>) -> Orchestrator {
    let file = place.join("INSTRUCTIONS.md");
    std::fs::write(&file, format!("## Agents\n\n### worker\n\n## Goals\n\n### g: A goal\n\n{brief}\n"))
        .unwrap();
    let mut llm = MockLlm::new();
    llm.expect_name().returning(|| "mock".to_owned());
    llm.expect_cannot_execute().returning(|_| None);
    let asked = Arc::clone(asked);
    llm.expect_decompose().returning(move |request| {
        asked.fetch_add(1, Ordering::Relaxed);
        let node = |id: &str| DraftNode {
            id: id.to_owned(),
            title: id.to_owned(),
            run: Some(format!("echo {id} >> journal")),
            ..DraftNode::default()
        };
        let nodes = request.brief.split_whitespace().map(node).collect();
        let plan = Draft { goal_id: "g".to_owned(), nodes, ..Draft::default() };
        let usage = Usage { calls: 1, input_tokens: 100, output_tokens: 1, cost_micros: 10 };
        Ok(Reply { value: plan, usage, model: "mock".to_owned(), duration: Duration::ZERO })
    });
    let models = Models { default: Arc::new(llm), by_agent: HashMap::new(), scribe: Arc::new(Offline) };
    let settings = Settings { exclusive: true, ..Settings::default() };
    let project = load::load(&file).unwrap();
    Orchestrator::new(Arc::clone(cache), models, Arc::new(SystemClock), settings, project)
}

async fn events(cache: &Arc<dyn Cache>, kind: &EventKind) -> Vec<Event> {
    let all = cache.read(&Read { stream: events_stream(), after: 0, limit: 10_000 }).await.unwrap();
    all.entries.into_iter().filter(|event| event.what.kind == *kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_brief_is_paid_for_once_however_often_it_is_looked_at() {
    let place = tempfile::tempdir().unwrap();
    let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new(Arc::new(SystemClock)));
    let asked = Arc::new(AtomicU64::new(0));
    let times = || asked.load(Ordering::Relaxed);
    let goal = GoalId::new("g").unwrap();

    orchestrator(place.path(), "one two", &cache, &asked).run(&Stop::new()).await.unwrap();
    orchestrator(place.path(), "one two", &cache, &asked).run(&Stop::new()).await.unwrap();
    assert_eq!(times(), 1);

    // A changed brief waits, and costs nothing while it does.
    let changed = orchestrator(place.path(), "one three", &cache, &asked);
    changed.run(&Stop::new()).await.unwrap();
    assert_eq!(times(), 1);
    assert_eq!(events(&cache, &EventKind::INSTRUCTIONS_WAITING).await.len(), 1);
    let project = load::load(&place.path().join("INSTRUCTIONS.md")).unwrap();
    assert!(declared(cache.as_ref(), &project.goals[0]).await.unwrap().is_none());

    // It is looked at, twice.
    for _ in 0..2 {
        changed.drafted(&project.goals[0]).await.unwrap();
    }
    assert_eq!(times(), 2);
    let dag = declared(cache.as_ref(), &project.goals[0]).await.unwrap().unwrap();
    let diff = foresee(cache.as_ref(), &goal, &dag).await.unwrap().unwrap().diff;
    assert_eq!((diff.tally().added, diff.tally().removed, diff.tally().kept), (1, 1, 1));

    // It is asked for, once, and comes into force with what was paid for.
    let order = FleetOrder::Reparse { of: Scope::Project(Whole) }.into();
    let given = Given { order, by: "test".to_owned(), request: RequestId("r".to_owned()) };
    give(cache.as_ref(), &given).await.unwrap();
    for _ in 0..2 {
        orchestrator(place.path(), "one three", &cache, &asked).run(&Stop::new()).await.unwrap();
    }
    assert_eq!(times(), 2);
    let stored = cache.goal(&goal).await.unwrap().unwrap();
    assert_eq!((stored.revision, stored.usage.calls, stored.usage.input_tokens), (2, 2, 200));
    assert_eq!(events(&cache, &EventKind::GOAL_AMENDED).await.len(), 1);
    let journal = std::fs::read_to_string(place.path().join("journal")).unwrap();
    let mut lines: Vec<&str> = journal.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "three", "two"]);
}
