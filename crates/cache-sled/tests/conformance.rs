//! Every promise of a cache, proved on this one.
#![expect(clippy::unwrap_used, reason = "the fixture is test code")]

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use downbeat_cache_sled::{Durability, Options, SledCache};
use downbeat_core::cache::{Cache, StreamLimits};
use downbeat_core::conformance::{Fixture, Subject};
use downbeat_core::time::ManualClock;
use tempfile::TempDir;

/// Opens each cache in a directory of its own.
struct TempSled;

struct Opened {
    cache: SledCache,
    clock: Arc<ManualClock>,
    directory: TempDir,
}

fn open(path: &Path, clock: &Arc<ManualClock>) -> SledCache {
    SledCache::open(Options {
        path: path.to_owned(),
        clock: clock.clone(),
        durability: Durability::Power,
        limits: StreamLimits::default(),
        holder: "a test".to_owned(),
    })
    .unwrap()
}

#[async_trait]
impl Fixture for TempSled {
    async fn open(&self) -> Box<dyn Subject> {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let cache = open(directory.path(), &clock);
        Box::new(Opened { cache, clock, directory })
    }
}

#[async_trait]
impl Subject for Opened {
    fn cache(&self) -> Arc<dyn Cache> {
        Arc::new(self.cache.clone())
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// What the files hold at this moment is what a killed process would leave: nothing is closed or
    /// flushed first.
    async fn reopen(&mut self) {
        let left = tempfile::tempdir().unwrap();
        copy(self.directory.path(), left.path());
        self.cache = open(left.path(), &self.clock);
        self.directory = left;
        assert_eq!(self.cache.audit().await.unwrap(), Vec::<String>::new());
    }
}

/// What a kill would leave of a store that goes on meanwhile: it brings what an opening found in a journal into
/// sled, and removes it. So journals come first, and what is gone by then is in what comes after it.
fn copy(from: &Path, to: &Path) {
    let mut entries: Vec<_> = std::fs::read_dir(from).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(|entry| !entry.file_name().to_string_lossy().starts_with("journal."));
    for entry in entries {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            let copied = std::fs::copy(entry.path(), &target);
            assert!(copied.is_ok() || !entry.path().exists(), "{copied:?}");
        }
    }
}

downbeat_core::conformance_suite!(TempSled);
