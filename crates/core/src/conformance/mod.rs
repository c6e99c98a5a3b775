//! The kit that proves an implementation of [`Cache`](crate::cache::Cache).
//!
//! A cache joins with a [`Fixture`] and one line, and gets one named test for each promise, now and
//! later:
//!
//! ```ignore
//! downbeat_core::conformance_suite!(TempSled::default());
//! // claim::held_task_is_refused_until_expiry, fencing::late_settle_changes_nothing, …
//! ```
//!
//! Families are kinds of failure; a promise is an `async fn` whose name is the sentence it proves. To
//! add one, write it and enter its name in `suite.rs`: the compiler says when one of both is missing.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the kit is test code"
)]

#[cfg(test)]
mod broken;
mod fixture;
pub mod kit;
mod suite;

pub use fixture::{Fixture, Forgetful, Memory, Subject};

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use kit::Kit;

macro_rules! families {
    ($($family:ident)*) => {
        $(
            #[expect(missing_docs, reason = "the names are the sentences")]
            pub mod $family;
        )*
    };
}

families! { plan claim nested expiry fencing settle amend redo remove steer sweep agents streams records races reopen model }

/// One promise: its name, and the check that proves it.
#[derive(Clone, Copy)]
pub struct Check {
    /// What kind of failure it is about.
    pub family: &'static str,
    /// The promise, as a sentence.
    pub name: &'static str,
    run: Run,
}

type Run = fn(Arc<dyn Fixture>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

impl Check {
    /// Proves it on a fresh cache.
    ///
    /// # Panics
    ///
    /// When the cache breaks the promise.
    pub async fn run(&self, fixture: Arc<dyn Fixture>) {
        (self.run)(fixture).await;
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.family, self.name)
    }
}

macro_rules! registry {
    ([] $($family:ident { $($name:ident)* })*) => {
        /// All promises, in the order in which they are best read.
        #[must_use]
        pub fn checks() -> Vec<Check> {
            vec![$($(Check {
                family: stringify!($family),
                name: stringify!($name),
                run: |fixture| Box::pin(async move { $family::$name(Kit::open(fixture).await).await }),
            },)*)*]
        }
    };
}

crate::conformance_promises! { [registry] }

/// Runs one check to its end, on threads of its own. What [`conformance_suite!`](crate::conformance_suite)
/// calls.
///
/// # Panics
///
/// When the check fails.
pub fn prove<R: Future<Output = ()>>(fixture: Arc<dyn Fixture>, promise: impl FnOnce(Kit) -> R) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async { promise(Kit::open(fixture).await).await });
}
