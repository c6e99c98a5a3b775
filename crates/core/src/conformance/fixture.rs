//! How the kit opens a cache.

use std::sync::Arc;

use async_trait::async_trait;

use crate::cache::Cache;
use crate::memory::MemoryCache;
use crate::time::ManualClock;

/// Opens caches of one kind, each empty and apart from all others.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens an empty cache.
    async fn open(&self) -> Box<dyn Subject>;

    /// How many random runs each check makes that makes some, unless `DOWNBEAT_RUNS` says otherwise. Fewer do
    /// for what hands its calls on to a cache that is proved by itself.
    fn runs(&self) -> u64 {
        150
    }
}

/// One cache under proof, with its time.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The cache.
    fn cache(&self) -> Arc<dyn Cache>;

    /// The clock that the cache reads. Checks move it; they never sleep.
    fn clock(&self) -> &ManualClock;

    /// Whether the cache keeps what it acknowledged beyond its end. The promises of family `reopen`
    /// are about nothing else, and pass with a note where it does not.
    fn is_durable(&self) -> bool {
        true
    }

    /// Ends the cache as a crash would, and opens what it left. [`cache`](Self::cache) then answers the
    /// new one. Never called unless it [is durable](Self::is_durable).
    async fn reopen(&mut self);
}

/// Opens [`MemoryCache`]s.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory;

#[async_trait]
impl Fixture for Memory {
    async fn open(&self) -> Box<dyn Subject> {
        let clock = Arc::new(ManualClock::default());
        let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new(clock.clone()));
        Box::new(Forgetful { cache, clock })
    }
}

/// A cache that keeps nothing beyond its end: all a fixture needs for one in memory, or wrapped around
/// one.
#[derive(Debug)]
pub struct Forgetful {
    /// The cache.
    pub cache: Arc<dyn Cache>,
    /// The clock that it reads.
    pub clock: Arc<ManualClock>,
}

#[async_trait]
impl Subject for Forgetful {
    fn cache(&self) -> Arc<dyn Cache> {
        Arc::clone(&self.cache)
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn is_durable(&self) -> bool {
        false
    }

    async fn reopen(&mut self) {}
}
