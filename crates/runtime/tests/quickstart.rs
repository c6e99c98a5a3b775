//! The quickstart, in one process on the in-memory cache.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use downbeat_core::cache::{Cache, Read, events_stream};
use downbeat_core::goal::GoalStatus;
use downbeat_core::memory::MemoryCache;
use downbeat_llm::Offline;
use downbeat_runtime::clock::SystemClock;
use downbeat_runtime::orchestrator::Models;
use downbeat_runtime::{Orchestrator, Settings, Stop, load};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true if entry.file_name() == ".downbeat" || entry.file_name() == "out" => {}
            true => copy(&entry.path(), &target),
            false => {
                std::fs::copy(entry.path(), target).unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quickstart_ends_in_a_report() {
    let place = tempfile::tempdir().unwrap();
    copy(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/quickstart")), place.path());
    let project = load::load(&place.path().join("INSTRUCTIONS.md")).unwrap();
    let clock = Arc::new(SystemClock);
    let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new(clock.clone()));
    let offline: Arc<dyn downbeat_core::llm::Llm> = Arc::new(Offline);
    let models = Models { default: offline.clone(), by_agent: HashMap::new(), scribe: offline };
    let settings = Settings {
        exclusive: true,
        backoff: downbeat_core::backoff::Backoff {
            base: std::time::Duration::from_millis(20),
            ceiling: std::time::Duration::from_millis(20),
        },
        ..Settings::default()
    };
    let orchestrator = Orchestrator::new(cache.clone(), models, clock, settings, project);
    let report = orchestrator.run(&Stop::new()).await.unwrap();
    let events = cache.read(&Read { stream: events_stream(), after: 0, limit: 1000 }).await.unwrap();
    assert!(events.iter().any(|event| event.what.kind.as_str() == "task.retry"), "{events:?}");
    assert_eq!(report.goals[0].goal.status, GoalStatus::Complete, "{report:?}");
    assert!(!report.interrupted);
    assert!(place.path().join("out/report.md").exists());
    let rates = report.goals[0].tasks.iter().find(|task| task.node.id.as_str() == "rates").unwrap();
    assert_eq!(rates.state.attempt, 2);
}
