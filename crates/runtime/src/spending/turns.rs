//! How many calls to models go on at once.

use std::sync::Arc;

use downbeat_core::llm::Observer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::info;

use super::Entry;

/// Turns to ask a model, of which there are so many at once. Who waits gets the next one in the order of asking.
#[derive(Debug)]
pub(super) struct Turns {
    free: Arc<Semaphore>,
    most: usize,
}

impl Turns {
    pub(super) fn new(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(most)), most }
    }

    /// Waits for a turn, which lasts until it is dropped. That it has to wait is told.
    pub(super) async fn take(&self, entry: &Entry, observer: &dyn Observer) -> Option<OwnedSemaphorePermit> {
        if let Ok(turn) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(turn);
        }
        let what = format!("waits for its turn: max_parallel_calls = {}, and as many go on", self.most);
        observer.progress(&what);
        let who = entry.agent.as_ref().map_or_else(|| "the planner".to_owned(), ToString::to_string);
        let about = entry.task.as_ref().map_or_else(|| entry.goal.to_string(), ToString::to_string);
        info!(target: "runtime", "[{who}] {about} {what}");
        // It is never closed.
        let turn = Arc::clone(&self.free).acquire_owned().await.ok();
        observer.progress("its turn has come");
        turn
    }
}
