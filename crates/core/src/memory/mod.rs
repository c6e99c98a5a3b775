//! The cache as it should behave: everything in plain collections under one mutex.
//!
//! It is the reference that the conformance kit compares every other cache with, and the double for
//! tests of the layers above. It forgets everything at its end.
//!
//! In reading order: `store` holds what is known and makes moves, `index` finds tasks; then one file
//! per verb or small group of verbs; `verbs` hands the traits on to them.

mod agents;
mod amend;
mod claim;
mod index;
mod log;
mod plan;
mod query;
mod records;
mod remove;
mod settle;
mod steer;
mod store;
mod sweep;
mod verbs;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cache::StreamLimits;
use crate::time::{Clock, Timestamp};
use store::Store;

/// A [`Cache`](crate::cache::Cache) in memory.
///
/// Every verb takes the one lock, reads the clock once, and is done when it lets go: so each is one
/// atomic step.
///
/// ```
/// use std::sync::Arc;
/// use downbeat_core::cache::Cache;
/// use downbeat_core::memory::MemoryCache;
/// use downbeat_core::time::ManualClock;
///
/// let clock = Arc::new(ManualClock::default());
/// let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new(clock));
/// ```
pub struct MemoryCache {
    clock: Arc<dyn Clock>,
    store: Mutex<Store>,
}

impl MemoryCache {
    /// An empty cache that tells the time by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_epoch(clock, 1)
    }

    /// An empty cache whose tokens are those of `epoch`, as if it had been opened that often.
    #[must_use]
    pub fn with_epoch(clock: Arc<dyn Clock>, epoch: u64) -> Self {
        Self { clock, store: Mutex::new(Store::new(epoch)) }
    }

    /// The same, with other limits of its streams.
    #[must_use]
    pub fn with_limits(mut self, limits: StreamLimits) -> Self {
        self.store.get_mut().unwrap_or_else(PoisonError::into_inner).log.limits = limits;
        self
    }

    /// The store, and the moment at which the caller's step takes place.
    fn step(&self) -> (MutexGuard<'_, Store>, Timestamp) {
        // The lock comes first: steps that follow each other never see the time run backwards.
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        (store, now)
    }
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCache").field("clock", &self.clock).finish_non_exhaustive()
    }
}
