//! How many calls to models go on at once, and what becomes of those that wait.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::cache::{Cache, Read, events_stream};
use downbeat_core::llm::Llm;
use downbeat_core::memory::MemoryCache;
use downbeat_llm::transport::{Answer, Ask, AskError, Probe, Transport};
use downbeat_llm::{Offline, Prompted};
use downbeat_runtime::clock::SystemClock;
use downbeat_runtime::orchestrator::Models;
use downbeat_runtime::{Orchestrator, Settings, Stop, load};
use serde_json::{Value, json};

const TASKS: usize = 4;

/// How long a call takes.
const CALL: Duration = Duration::from_millis(600);

/// A model that takes its time, and counts how many ask it at once.
#[derive(Debug, Default)]
struct Slow {
    now: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl Transport for Slow {
    fn name(&self) -> String {
        "slow".to_owned()
    }

    async fn probe(&self) -> Probe {
        Probe { usable: true, found: String::new(), remedies: Vec::new() }
    }

    async fn ask(&self, _: &Ask) -> Result<Answer, AskError> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(CALL).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        let text = json!({"status": "done", "outputs": [], "notes": "It is done.", "summary": "Done."});
        Ok(Answer { text: text.to_string(), model: "slow-1".to_owned(), ..Answer::default() })
    }
}

/// Has one agent for each task do them; how many calls went on at once, and what happened.
async fn run(max_parallel_calls: Option<usize>) -> (usize, Vec<Value>) {
    let place = tempfile::tempdir().unwrap();
    let agents: String = (0..TASKS).map(|number| format!("### agent-{number}\n\n")).collect();
    let tasks: String =
        (0..TASKS).map(|number| format!("- [ ] Write page {number} {{#t{number}}}\n")).collect();
    let file = place.path().join("INSTRUCTIONS.md");
    std::fs::write(&file, format!("## Agents\n\n{agents}## Goals\n\n### g: A goal\n\n{tasks}")).unwrap();
    let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new(Arc::new(SystemClock)));
    let slow = Arc::new(Slow::default());
    let llm: Arc<dyn Llm> = Arc::new(Prompted::new(Arc::<Slow>::clone(&slow)));
    let models = Models { default: llm, by_agent: HashMap::new(), scribe: Arc::new(Offline) };
    let settings = Settings {
        exclusive: true,
        max_parallel_calls,
        // Whoever comes last waits for longer than either.
        lease_ttl: CALL * 3 / 2,
        task_timeout: CALL * 2,
        ..Settings::default()
    };
    let project = load::load(&file).unwrap();
    let orchestrator =
        Orchestrator::new(Arc::clone(&cache), models, Arc::new(SystemClock), settings, project);
    let report = tokio::time::timeout(Duration::from_secs(60), orchestrator.run(&Stop::new())).await.unwrap();
    assert!(report.unwrap().is_complete());
    let read = Read { stream: events_stream(), after: 0, limit: 10_000 };
    let events = cache.read(&read).await.unwrap();
    let events = events.iter().map(|event| serde_json::to_value(event).unwrap()).collect();
    (slow.most.load(Ordering::SeqCst), events)
}

fn of_kind<'a>(events: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["kind"] == kind)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_calls_go_on_at_once_than_may_and_who_waits_keeps_its_lease_and_its_time() {
    let (most, events) = run(Some(1)).await;
    assert_eq!(most, 1);
    let claimed: Vec<_> = of_kind(&events, "task.claimed").collect();
    assert!(claimed.len() == TASKS && claimed.iter().all(|event| event["attempt"] == 1), "{claimed:?}");
    for kind in ["task.expired", "task.retry", "agent.timeout"] {
        assert_eq!(of_kind(&events, kind).count(), 0, "{kind}");
    }
    let waits =
        of_kind(&events, "task.progress").filter(|event| event.to_string().contains("waits for its turn"));
    assert!(waits.count() >= 1, "nobody is told who waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_limit_nobody_waits() {
    let (most, events) = run(None).await;
    assert!(most > 1, "they are asked one after the other");
    assert!(!events.iter().any(|event| event.to_string().contains("waits for its turn")));
}
