//! A store through the process that holds it, for a command that may outlive that process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use downbeat_core::cache::{Agents, Cache, CacheError, Disposition, Records, StreamLimits, Streams, Tasks};
use downbeat_core::cache_verbs;
use downbeat_core::time::Clock;
use tokio::sync::OnceCell;

use crate::config::Durability;
use crate::context::Context;
use crate::store::{self, How, Lies};

/// What only the holder is asked: who waits for news would keep the store from everybody else meanwhile, and a
/// document that was sent may have been stored.
const OF_THE_HOLDER: [&str; 2] = ["changed", "store_if"];

/// The holder's cache, and the store itself once the holder has ended: the same call is made there, so that what
/// was begun has one effect wherever it is finished.
#[derive(Debug)]
pub(super) struct Joined {
    holder: Arc<dyn Cache>,
    own: OnceCell<Arc<dyn Cache>>,
    lies: Lies,
    durability: Durability,
    limits: StreamLimits,
    clock: Arc<dyn Clock>,
    /// Whether it is the holder who is asked.
    joined: Arc<AtomicBool>,
}

impl Joined {
    pub(super) fn new(holder: Arc<dyn Cache>, context: &Context) -> Self {
        let How { durability, limits, .. } = context.how("downbeat");
        Self {
            holder,
            own: OnceCell::new(),
            lies: context.store.clone(),
            durability,
            limits,
            clock: Arc::clone(&context.clock),
            joined: context.joined(),
        }
    }

    /// Where a call is made again that the holder failed; none when it is still there, or the call is its alone.
    async fn elsewhere(&self, verb: &str, error: &CacheError) -> Option<&Arc<dyn Cache>> {
        if error.disposition() != Disposition::Retry || OF_THE_HOLDER.contains(&verb) {
            return None;
        }
        let Self { lies, durability, limits, clock, .. } = self;
        let how = How { lies, durability: *durability, limits: *limits, clock, holder: "downbeat" };
        // It fails where somebody holds the store: then that is whom to wait for.
        let own = self.own.get_or_try_init(|| store::open(&how)).await.ok()?;
        self.joined.store(false, Ordering::Relaxed);
        Some(own)
    }
}

/// Hands each verb to the holder, and if that has ended to the store.
macro_rules! through {
    ($($family:ident { $($verb:ident($($arg:ident: $type:ty),*) -> $answer:ty;)* })*) => {
        $(
            #[async_trait]
            impl $family for Joined {
                $(async fn $verb(&self, $($arg: $type),*) -> Result<$answer, CacheError> {
                    if let (Some(own), false) = (self.own.get(), OF_THE_HOLDER.contains(&stringify!($verb))) {
                        return own.$verb($($arg),*).await;
                    }
                    match self.holder.$verb($($arg),*).await {
                        Err(error) => match self.elsewhere(stringify!($verb), &error).await {
                            Some(own) => own.$verb($($arg),*).await,
                            None => Err(error),
                        },
                        answer => answer,
                    }
                })*
            }
        )*
    };
}

cache_verbs! { through }

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use downbeat_core::cache::{Topic, events_stream};
    use downbeat_runtime::clock::SystemClock;
    use downbeat_server::{Address, HttpCache};

    use super::*;

    /// Through a socket at which nobody listens any more.
    fn joined(store: &std::path::Path) -> Joined {
        let socket = Address::Socket(store.with_extension("sock"));
        Joined {
            holder: Arc::new(HttpCache::new(socket).with_patience(Duration::ZERO)),
            own: OnceCell::new(),
            lies: Lies::Here(store.to_owned()),
            durability: Durability::Process,
            limits: StreamLimits::default(),
            clock: Arc::new(SystemClock),
            joined: Arc::new(AtomicBool::new(true)),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_its_holder_does_not_answer_any_more_the_store_does() {
        let directory = tempfile::tempdir().unwrap();
        let joined = joined(&directory.path().join("store"));
        assert_eq!(joined.goals().await.unwrap(), []);
        assert!(!joined.joined.load(Ordering::Relaxed), "it is the store itself from then on");
        let news = joined.changed(&Topic::Stream(events_stream()), 0, Duration::from_secs(60)).await;
        assert!(news.is_err(), "nobody waits for news with the store in hand");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_that_somebody_else_has_is_left_to_them() {
        let directory = tempfile::tempdir().unwrap();
        let first = joined(&directory.path().join("store"));
        first.goals().await.unwrap();
        let second = joined(&directory.path().join("store"));
        let error = second.goals().await.unwrap_err();
        assert!(error.to_string().contains("store.sock"), "{error}");
        assert!(second.joined.load(Ordering::Relaxed));
    }
}
