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

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

downbeat_core::conformance_suite!(TempSled);
