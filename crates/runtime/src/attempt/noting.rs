//! Keeps how far an attempt is in its agent's memory, so that the agent's next life knows of it.

use std::convert::Infallible;
use std::time::Duration;

use downbeat_core::cache::Claimed;
use tokio::sync::watch;

use crate::agent::Worker;

/// A command that ends within this time leaves no note: most do, and each note is a write.
const SHORT: Duration = Duration::from_secs(2);

/// Between two notes.
const CADENCE: Duration = Duration::from_secs(10);

/// Takes notes as long as it is asked to.
pub(super) async fn note(
    worker: &Worker,
    claimed: &Claimed,
    mut news: watch::Receiver<Option<String>>,
) -> Infallible {
    if claimed.node.run.is_some() {
        tokio::time::sleep(SHORT).await;
    }
    let lease = &claimed.lease;
    loop {
        let said = news.borrow_and_update().clone();
        worker.note(&lease.task, lease.attempt, said.as_deref()).await;
        // What is said at once after the start says more than nothing.
        if said.is_some() {
            tokio::time::sleep(CADENCE).await;
        }
        if news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
