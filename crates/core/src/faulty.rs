//! A cache that fails on demand: for proofs that a caller survives it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::Barrier;

use crate::cache::{Agents, CacheError, Records, Streams, Tasks};

/// What goes wrong with one call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The store does not answer, and did nothing.
    Before,
    /// The store did it, and its answer is lost.
    After,
    /// Before it does anything, the call waits twice for the others at the barrier: once to say that it
    /// has come, once to be let on.
    Wait(Arc<Barrier>),
}

/// Which call of which verb goes wrong, and how.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan {
    faults: BTreeMap<(&'static str, u64), Fault>,
}

impl FaultPlan {
    /// Nothing goes wrong.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With a fault at the `nth` call, from 1, of `verb`, called as the method is.
    #[must_use]
    pub fn with(mut self, verb: &'static str, nth: u64, fault: Fault) -> Self {
        self.faults.insert((verb, nth), fault);
        self
    }
}

/// Any cache, with faults by plan.
///
/// ```
/// # use std::sync::Arc;
/// use downbeat_core::faulty::{Fault, FaultPlan, FaultyCache};
/// use downbeat_core::memory::MemoryCache;
/// # use downbeat_core::time::ManualClock;
///
/// let plan = FaultPlan::new().with("settle", 1, Fault::After);
/// let cache = FaultyCache::new(MemoryCache::new(Arc::new(ManualClock::default())), plan);
/// assert_eq!(cache.calls("settle"), 0);
/// ```
pub struct FaultyCache<C> {
    inner: C,
    plan: FaultPlan,
    calls: Mutex<BTreeMap<&'static str, u64>>,
}

impl<C> FaultyCache<C> {
    /// Wraps `inner`.
    #[must_use]
    pub fn new(inner: C, plan: FaultPlan) -> Self {
        Self { inner, plan, calls: Mutex::new(BTreeMap::new()) }
    }

    /// The cache that is wrapped: it has no faults.
    #[must_use]
    pub fn inner(&self) -> &C {
        &self.inner
    }

    /// How often a verb was called, failed calls included.
    #[must_use]
    pub fn calls(&self, verb: &str) -> u64 {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).get(verb).copied().unwrap_or(0)
    }

    fn next_fault(&self, verb: &'static str) -> Option<Fault> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let nth = calls.entry(verb).or_insert(0);
        *nth += 1;
        self.plan.faults.get(&(verb, *nth)).cloned()
    }

    async fn through<T>(
        &self,
        verb: &'static str,
        call: impl Future<Output = Result<T, CacheError>>,
    ) -> Result<T, CacheError> {
        match self.next_fault(verb) {
            None => call.await,
            Some(Fault::Before) => Err(unavailable(verb, "before")),
            Some(Fault::After) => {
                call.await?;
                Err(unavailable(verb, "after"))
            }
            Some(Fault::Wait(barrier)) => {
                barrier.wait().await;
                barrier.wait().await;
                call.await
            }
        }
    }
}

fn unavailable(verb: &str, when: &str) -> CacheError {
    CacheError::Unavailable { reason: format!("a planned fault {when} `{verb}`"), source: None }
}

impl<C: fmt::Debug> fmt::Debug for FaultyCache<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyCache")
            .field("inner", &self.inner)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// Hands each verb on through [`FaultyCache::through`].
macro_rules! through {
    ($($family:ident { $($verb:ident($($arg:ident: $type:ty),*) -> $answer:ty;)* })*) => {
        $(
            #[async_trait]
            impl<C: $family> $family for FaultyCache<C> {
                $(async fn $verb(&self, $($arg: $type),*) -> Result<$answer, CacheError> {
                    self.through(stringify!($verb), self.inner.$verb($($arg),*)).await
                })*
            }
        )*
    };
}

cache_verbs! { through }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::StoreIf;
    use crate::memory::MemoryCache;
    use crate::time::ManualClock;

    fn cache(plan: FaultPlan) -> FaultyCache<MemoryCache> {
        FaultyCache::new(MemoryCache::new(Arc::new(ManualClock::default())), plan)
    }

    fn store() -> StoreIf {
        StoreIf { key: "k".to_owned(), expected: 0, value: Some("v".to_owned()) }
    }

    #[tokio::test]
    async fn a_fault_before_does_nothing_and_one_after_does_it() {
        let plan = FaultPlan::new().with("store_if", 1, Fault::Before).with("store_if", 2, Fault::After);
        let cache = cache(plan);

        assert!(matches!(cache.store_if(&store()).await, Err(CacheError::Unavailable { .. })));
        assert_eq!(cache.load("k").await.unwrap(), None);
        assert!(matches!(cache.store_if(&store()).await, Err(CacheError::Unavailable { .. })));
        assert_eq!(cache.load("k").await.unwrap().unwrap().value, "v");
        assert!(matches!(cache.store_if(&store()).await, Err(CacheError::Conflict { .. })));
        assert_eq!(cache.calls("store_if"), 3);
    }

    #[tokio::test]
    async fn a_call_waits_until_it_is_let_on() {
        let barrier = Arc::new(Barrier::new(2));
        let plan = FaultPlan::new().with("store_if", 1, Fault::Wait(Arc::clone(&barrier)));
        let cache = Arc::new(cache(plan));
        let call = tokio::spawn({
            let cache = Arc::clone(&cache);
            async move { cache.store_if(&store()).await }
        });

        barrier.wait().await;
        assert_eq!(cache.load("k").await.unwrap(), None);
        barrier.wait().await;

        assert!(call.await.unwrap().is_ok());
    }
}
