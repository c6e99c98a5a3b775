//! What the files of this directory share: a file, a reader on it, and what it made happen.

mod crash;
mod cut_off;
mod files;
mod model;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use downbeat_core::cache::{Cache, Read, events_stream};
use downbeat_core::event::{Event, EventKind};
use downbeat_core::ids::AgentName;
use downbeat_core::memory::MemoryCache;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::*;
use crate::clock::SystemClock;

/// As the file is named in events.
const NAME: &str = "heartbeat/research.md";

fn memory() -> Arc<dyn Cache> {
    Arc::new(MemoryCache::new(Arc::new(SystemClock)))
}

fn agent() -> AgentName {
    AgentName::new("research").unwrap()
}

fn steering(root: &Path) -> SteeringFile {
    SteeringFile::new(root, Path::new(NAME), agent())
}

/// All that orders and warnings left in the log.
async fn events(cache: &dyn Cache) -> Vec<Event> {
    let page = cache.read(&Read { stream: events_stream(), after: 0, limit: 100_000 }).await.unwrap();
    let ours = |event: &Event| {
        let kind = event.what.kind.as_str();
        kind.starts_with("directive.") || event.what.kind == EventKind::ALERT_HEARTBEAT
    };
    page.into_iter().filter(ours).collect()
}

/// An event as the line that made it, or as `!` and the place of a line that is none.
fn line_of(event: &Event) -> String {
    let data = &event.what.data;
    let order = &data["directive"];
    let text = |key: &str| order[key].as_str().unwrap_or_default();
    match text("do") {
        "pause" => "PAUSE".to_owned(),
        "resume" => "RESUME".to_owned(),
        "reparse" => "REPARSE".to_owned(),
        "flush-memory" => "FLUSH-MEMORY".to_owned(),
        "drop-task" => format!("DROP-TASK {}", text("task")),
        "elevate" => format!("ELEVATE {} {}", text("task"), order["priority"]),
        _ => {
            let reason = event.what.reason.as_deref().unwrap_or_default();
            let rest = reason.strip_prefix(NAME).unwrap_or(reason);
            let place: String = rest.chars().skip(1).take_while(|letter| letter.is_ascii_digit()).collect();
            if place.is_empty() { "!".to_owned() } else { format!("!{place}") }
        }
    }
}

async fn lines(cache: &dyn Cache) -> Vec<String> {
    events(cache).await.iter().map(line_of).collect()
}

/// A project with one agent, whose file is followed.
struct Followed {
    root: tempfile::TempDir,
    cache: Arc<dyn Cache>,
    work: tokio::task::JoinHandle<()>,
    looked: watch::Receiver<(Option<[u8; 32]>, bool)>,
}

impl Followed {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("heartbeat")).unwrap();
        let cache = memory();
        let (work, looked) = follow(&cache, root.path());
        Self { root, cache, work, looked }
    }

    fn path(&self) -> PathBuf {
        self.root.path().join(NAME)
    }

    /// As after a crash: whatever the reader was at is cut off.
    fn restart(&mut self) {
        self.work.abort();
        (self.work, self.looked) = follow(&self.cache, self.root.path());
    }

    /// Until everything followed from what the file says now.
    async fn at_rest(&mut self) {
        let path = self.path();
        self.looked
            .wait_for(|(digest, at_rest)| {
                let now = match std::fs::metadata(&path) {
                    Ok(data) if data.is_file() && data.len() <= file::MAX_FILE => {
                        std::fs::read(&path).ok().map(|bytes| Sha256::digest(&bytes).into())
                    }
                    Ok(_) => None,
                    Err(_) if path.parent().is_some_and(Path::is_dir) => Some([0; 32]),
                    Err(_) => None,
                };
                *at_rest && *digest == now
            })
            .await
            .unwrap();
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.work.abort();
    }
}

type Looked = watch::Receiver<(Option<[u8; 32]>, bool)>;

fn follow(cache: &Arc<dyn Cache>, root: &Path) -> (tokio::task::JoinHandle<()>, Looked) {
    let mut heartbeats = Heartbeats::new(cache, vec![steering(root)]);
    let looked = heartbeats.readers[0].looked.subscribe();
    let work = tokio::spawn(async move {
        heartbeats.look().await;
        heartbeats.run().await;
    });
    (work, looked)
}
