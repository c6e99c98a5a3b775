//! The caches that are measured.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use downbeat_cache_sled::{Durability, Options, SledCache};
use downbeat_core::cache::{Cache, StreamLimits};
use downbeat_core::memory::MemoryCache;
use downbeat_core::time::{Clock, Timestamp};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The reference in memory: what the rules cost without a disk.
    Memory,
    /// The embedded store.
    Sled,
}

/// An opened cache.
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    pub(crate) cache: Arc<dyn Cache>,
    sled: Option<Arc<SledCache>>,
}

impl Subject {
    pub(crate) const ALL: [Kind; 2] = [Kind::Memory, Kind::Sled];

    pub(crate) fn open(kind: Kind, directory: &Path) -> Result<Self> {
        let clock = Arc::new(HostClock);
        Ok(match kind {
            Kind::Memory => Self { kind, cache: Arc::new(MemoryCache::new(clock)), sled: None },
            Kind::Sled => {
                let path = tempfile::tempdir_in(directory)?.keep();
                let options = Options {
                    path,
                    clock,
                    durability: Durability::Power,
                    limits: StreamLimits::default(),
                    holder: "downbeat-bench".to_owned(),
                };
                let sled = Arc::new(SledCache::open(options)?);
                Self { kind, cache: sled.clone(), sled: Some(sled) }
            }
        })
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self.kind {
            Kind::Memory => "memory",
            Kind::Sled => "sled",
        }
    }

    /// What the store wrote so far.
    pub(crate) fn written(&self) -> Option<downbeat_cache_sled::Stats> {
        self.sled.as_ref().map(|sled| sled.stats())
    }
}
