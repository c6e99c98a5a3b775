//! Caches with one fault each: the kit must reject every one, by the check that names its fault.
//!
//! A fault is written as a twist of the reference: the verbs that it breaks, and nothing else.

mod bounds;
mod tests;
mod twists;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use super::fixture::{Fixture, Forgetful, Subject};
use crate::cache::{Agents, CacheError, Records, Streams, Tasks};
use crate::memory::MemoryCache;
use crate::time::ManualClock;

/// Makes a trait whose methods are all verbs, each as the reference does it unless it is broken.
macro_rules! twist {
    ($($family:ident { $($verb:ident($($arg:ident: $type:ty),*) -> $answer:ty;)* })*) => {
        /// Verbs that do something other than they should.
        #[async_trait]
        pub(super) trait Twist: Debug + Send + Sync + 'static {
            /// The cache that behaves.
            fn sound(&self) -> &MemoryCache;

            $($(async fn $verb(&self, $($arg: $type),*) -> Result<$answer, CacheError> {
                self.sound().$verb($($arg),*).await
            })*)*
        }

        $(
            #[async_trait]
            impl<T: Twist> $family for Twisted<T> {
                $(async fn $verb(&self, $($arg: $type),*) -> Result<$answer, CacheError> {
                    self.0.$verb($($arg),*).await
                })*
            }
        )*
    };
}

cache_verbs! { twist }

/// A cache with a twist.
#[derive(Debug)]
pub(super) struct Twisted<T>(T);

/// Opens caches with a twist.
pub(super) struct Broken<T>(fn(MemoryCache) -> T);

#[async_trait]
impl<T: Twist> Fixture for Broken<T> {
    async fn open(&self) -> Box<dyn Subject> {
        let clock = Arc::new(ManualClock::default());
        let cache = Arc::new(Twisted((self.0)(MemoryCache::new(clock.clone()))));
        Box::new(Forgetful { cache, clock })
    }
}
