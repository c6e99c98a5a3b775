//! Whoever reads the files on is dropped in the middle of a look and called again: what it was told of acts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::cache::{Agents, CacheError, Records, Streams, Tasks};
use tokio::sync::Notify;

use super::*;

/// A cache that does not answer the first question for a record until whoever asked has gone away.
#[derive(Debug)]
struct Slow {
    inner: Arc<dyn Cache>,
    answers: AtomicBool,
    asked: Notify,
}

impl Slow {
    async fn hold_up(&self, verb: &str) {
        if verb == "load" && !self.answers.swap(true, Ordering::SeqCst) {
            self.asked.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

macro_rules! slow {
    ($($family:ident { $($verb:ident($($arg:ident: $type:ty),*) -> $answer:ty;)* })*) => {
        $(
            #[async_trait]
            impl $family for Slow {
                $(async fn $verb(&self, $($arg: $type),*) -> Result<$answer, CacheError> {
                    self.hold_up(stringify!($verb)).await;
                    self.inner.$verb($($arg),*).await
                })*
            }
        )*
    };
}

downbeat_core::cache_verbs! { slow }

#[tokio::test]
async fn a_look_that_was_cut_off_is_made_up_for() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("heartbeat")).unwrap();
    let inner = memory();
    let slow =
        Arc::new(Slow { inner: Arc::clone(&inner), answers: AtomicBool::new(true), asked: Notify::new() });
    let cache: Arc<dyn Cache> = slow.clone();
    let mut heartbeats = Heartbeats::new(&cache, vec![steering(root.path())]);
    heartbeats.look().await;
    slow.answers.store(false, Ordering::SeqCst);
    std::fs::write(root.path().join(NAME), "PAUSE\n").unwrap();

    // As when something else is declared just then.
    tokio::select! {
        never = heartbeats.run() => match never {},
        () = slow.asked.notified() => {}
    }

    let acts = async {
        while lines(inner.as_ref()).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        never = heartbeats.run() => match never {},
        acted = tokio::time::timeout(Duration::from_secs(10), acts) => acted.unwrap(),
    }
    assert_eq!(lines(inner.as_ref()).await, ["PAUSE"]);
}
