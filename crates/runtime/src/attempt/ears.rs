//! Hears when somebody else ended an attempt, so that its work stops at once and not at the next renewal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use downbeat_core::cache::Cache;
use downbeat_core::event::EventKind;
use downbeat_core::ids::TaskId;
use tokio::sync::{Notify, OnceCell};
use tokio::task::AbortHandle;
use tracing::debug;

use crate::feed::{Feed, News};

/// What takes a task from its holder. (Who claims it then was told of one of these before.)
const TAKEN: [EventKind; 3] = [EventKind::TASK_CANCELLED, EventKind::TASK_RELEASED, EventKind::TASK_EXPIRED];

/// Hears for all attempts of a process. It begins to read when the first one asks.
#[derive(Debug)]
pub(crate) struct Ears {
    cache: Arc<dyn Cache>,
    reader: OnceCell<Reader>,
    waiting: Arc<Waiting>,
}

#[derive(Debug)]
struct Reader {
    _feed: Feed,
    task: AbortHandle,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who waits, by task. One process may hold a task again before it has let go of it.
type Waiting = Mutex<HashMap<TaskId, Vec<Arc<Notify>>>>;

/// One attempt's ear, until it is dropped.
#[derive(Debug)]
pub(crate) struct Ear {
    task: TaskId,
    taken: Arc<Notify>,
    waiting: Arc<Waiting>,
}

impl Ears {
    /// Reads the events of this cache.
    pub(crate) fn new(cache: Arc<dyn Cache>) -> Self {
        Self { cache, reader: OnceCell::new(), waiting: Arc::default() }
    }

    /// Listens for what happens to a task from now on.
    pub(crate) async fn listen(&self, task: &TaskId) -> Ear {
        let ear = Ear { task: task.clone(), taken: Arc::default(), waiting: Arc::clone(&self.waiting) };
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.entry(task.clone()).or_default().push(Arc::clone(&ear.taken));
        }
        // Without it the next renewal finds out.
        if let Err(error) = self.reader.get_or_try_init(|| self.begin()).await {
            debug!(target: "runtime", "Listening for task {task}: {error}");
        }
        ear
    }

    async fn begin(&self) -> Result<Reader, downbeat_core::cache::CacheError> {
        let feed = Feed::start(Arc::clone(&self.cache)).await?;
        let mut ear = feed.subscribe();
        let waiting = Arc::clone(&self.waiting);
        let task = tokio::spawn(async move {
            while let Some(news) = ear.next().await {
                match news {
                    News::Event(event) if TAKEN.contains(&event.what.kind) => {
                        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                        let of = event.what.task.as_ref().and_then(|task| waiting.get(task));
                        of.into_iter().flatten().for_each(|taken| taken.notify_one());
                    }
                    News::Event(_) => {}
                    News::Missed => {
                        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                        waiting.values().flatten().for_each(|taken| taken.notify_one());
                    }
                }
            }
        });
        Ok(Reader { _feed: feed, task: task.abort_handle() })
    }
}

impl Ear {
    /// Until the task may have been taken from its holder: who holds the newest token may look.
    pub(crate) async fn taken(&self) {
        self.taken.notified().await;
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ears) = waiting.get_mut(&self.task) {
            ears.retain(|taken| !Arc::ptr_eq(taken, &self.taken));
            if ears.is_empty() {
                waiting.remove(&self.task);
            }
        }
    }
}
