//! The caches that are measured.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use downbeat_cache_redis::RedisCache;
use downbeat_cache_sled::{Durability, Options, SledCache, Stats};
use downbeat_core::cache::{Cache, StreamLimits};
use downbeat_core::memory::MemoryCache;
use downbeat_core::time::{Clock, Timestamp};
use tempfile::TempDir;

use crate::server::Redis;
use crate::work;

/// The host's clock.
#[derive(Debug)]
pub(crate) struct HostClock;

impl Clock for HostClock {
    #[expect(clippy::disallowed_methods, reason = "the benchmark is a program of its own")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp::from_millis(since.map_or(0, |span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Which cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The reference in memory: what the rules cost without a disk.
    Memory,
    /// The embedded store.
    Sled,
    /// A Redis server.
    Redis,
}

impl Kind {
    /// As programs read it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sled => "sled",
            Self::Redis => "redis",
        }
    }
}

/// An opened, empty cache.
pub(crate) struct Subject {
    /// Handles: on Redis each one has connections of its own, as each process would.
    pub(crate) caches: Vec<Arc<dyn Cache>>,
    store: Store,
}

/// Where it is.
enum Store {
    Memory { resident: Option<f64> },
    Sled { cache: Arc<SledCache>, place: TempDir },
    Redis { server: Arc<Redis>, prefix: String, used: f64 },
}

impl Subject {
    /// In memory.
    pub(crate) fn memory() -> Self {
        let resident = work::resident();
        Self {
            caches: vec![Arc::new(MemoryCache::new(Arc::new(HostClock)))],
            store: Store::Memory { resident },
        }
    }

    /// A store in a new directory below this one.
    pub(crate) fn sled(directory: &Path) -> Result<Self> {
        let place = tempfile::tempdir_in(directory)?;
        let options = Options {
            path: place.path().join("store"),
            clock: Arc::new(HostClock),
            durability: Durability::Power,
            limits: StreamLimits::default(),
            holder: "downbeat-bench".to_owned(),
        };
        let cache = Arc::new(SledCache::open(options)?);
        Ok(Self { caches: vec![cache.clone()], store: Store::Sled { cache, place } })
    }

    /// In an empty place of a server, with that many handles.
    pub(crate) async fn redis(server: &Arc<Redis>, handles: usize) -> Result<Self> {
        let prefix = server.place().await?;
        let mut caches: Vec<Arc<dyn Cache>> = Vec::new();
        for _ in 0..handles {
            let mut options = downbeat_cache_redis::Options::new(server.url());
            options.prefix.clone_from(&prefix);
            caches.push(Arc::new(RedisCache::connect(options).await?));
        }
        let used = server.used_memory().await?;
        let server = Arc::clone(server);
        Ok(Self { caches, store: Store::Redis { server, prefix, used } })
    }

    /// The first handle.
    pub(crate) fn cache(&self) -> Result<&Arc<dyn Cache>> {
        self.caches.first().context("a cache has a handle")
    }

    /// Begins its keys on a Redis server.
    pub(crate) fn prefix(&self) -> Option<&str> {
        match &self.store {
            Store::Redis { prefix, .. } => Some(prefix),
            _ => None,
        }
    }

    /// What the store wrote so far.
    pub(crate) fn written(&self) -> Option<Stats> {
        match &self.store {
            Store::Sled { cache, .. } => Some(cache.stats()),
            _ => None,
        }
    }

    /// Bytes that the tasks take in the store.
    pub(crate) async fn bytes(&self) -> Result<Option<f64>> {
        match &self.store {
            Store::Memory { resident } => {
                Ok(work::resident().zip(*resident).map(|(now, before)| (now - before).max(0.0)))
            }
            Store::Sled { place, .. } => work::size_of(place.path()).map(Some),
            Store::Redis { server, used, .. } => Ok(Some((server.used_memory().await? - used).max(0.0))),
        }
    }

    /// Ends the cache and removes what it stored.
    pub(crate) async fn remove(self) -> Result<()> {
        drop(self.caches);
        match self.store {
            Store::Memory { .. } => Ok(()),
            Store::Sled { cache, place } => {
                drop(cache);
                Ok(place.close()?)
            }
            Store::Redis { server, prefix, .. } => server.clear(&prefix).await,
        }
    }
}
