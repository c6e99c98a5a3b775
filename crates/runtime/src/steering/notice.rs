//! Tells those who are at work of an order that is about what they do now: that they need not find out at
//! the next renewal of their lease.
//!
//! The notice goes to a stream of its own, which has an entry for each such order only: hundreds of
//! processes that waited for the stream of all events would read everything to hear of the rarest thing.
//! It is a hint. Whoever gets it asks the cache; whoever misses it learns the same a little later.

use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::{Append, Cache, CacheError, Directive, MAX_APPEND, Read, Topic};
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::ids::{RequestId, StreamName, TaskId};
use serde_json::json;
use tokio::sync::broadcast;
use tokio::task::AbortHandle;
use tracing::debug;

use crate::entropy;

/// The stream of these notices.
const NOTICES: &str = "notices";

/// How many of them are read at once.
const PAGE: usize = 100;

/// The longest wait for news; this is for news that got lost.
const LONGEST: Duration = Duration::from_secs(60);

/// How long a store that does not answer is left alone.
const AGAIN: Duration = Duration::from_secs(1);

/// # Panics
///
/// Never: the constant is a sound name.
#[expect(clippy::expect_used, reason = "a constant that a test reads")]
fn stream() -> StreamName {
    StreamName::new(NOTICES).expect("a sound name")
}

/// Whether somebody who is at work may have to hear of it at once.
pub(super) const fn concerns_work(directive: &Directive) -> bool {
    match directive {
        Directive::DropTask { .. }
        | Directive::Cancel { .. }
        | Directive::CancelGoal { .. }
        | Directive::FlushMemory { .. } => true,
        Directive::Pause { .. }
        | Directive::Resume { .. }
        | Directive::Elevate { .. }
        | Directive::Retry { .. } => false,
    }
}

/// Tells of an order that was carried out.
pub(super) async fn send(
    cache: &dyn Cache,
    directive: &Directive,
    request: &RequestId,
) -> Result<(), CacheError> {
    let notice = EventDraft::new(EventKind::DIRECTIVE_APPLIED).data(json!({ "directive": directive }));
    cache.append(&Append { stream: stream(), entries: vec![notice], request: request.clone() }).await?;
    Ok(())
}

/// Tells that these tasks are in no plan any more, or are other tasks now: whoever works on one loses it, as by
/// an order to drop it.
pub(crate) async fn send_taken(cache: &dyn Cache, tasks: &[TaskId]) -> Result<(), CacheError> {
    for tasks in tasks.chunks(MAX_APPEND) {
        let notices = tasks.iter().map(|task| {
            let directive = Directive::DropTask { task: task.clone() };
            EventDraft::new(EventKind::DIRECTIVE_APPLIED).data(json!({ "directive": directive }))
        });
        let request = entropy::request_id();
        cache.append(&Append { stream: stream(), entries: notices.collect(), request }).await?;
    }
    Ok(())
}

/// Hears of orders until it is dropped.
#[derive(Debug)]
pub(crate) struct Notices {
    sender: broadcast::Sender<Directive>,
    reader: AbortHandle,
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Notices {
    /// Hears all that is sent from now on.
    ///
    /// # Errors
    ///
    /// What the cache says.
    pub(crate) async fn listen(cache: Arc<dyn Cache>) -> Result<Self, CacheError> {
        let seen = cache.changed(&Topic::Stream(stream()), u64::MAX, Duration::ZERO).await?;
        let (sender, _) = broadcast::channel(64);
        let reader = tokio::spawn(read_on(cache, sender.clone(), seen)).abort_handle();
        Ok(Self { sender, reader })
    }

    /// All orders from now on. That some were missed counts as an order about everything.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Directive> {
        self.sender.subscribe()
    }
}

async fn read_on(cache: Arc<dyn Cache>, sender: broadcast::Sender<Directive>, mut seen: u64) {
    loop {
        let heard = async {
            cache.changed(&Topic::Stream(stream()), seen, LONGEST).await?;
            cache.read(&Read { stream: stream(), after: seen, limit: PAGE }).await
        };
        match heard.await {
            Ok(page) => {
                for event in page {
                    seen = event.seq;
                    let directive = event.what.data.get("directive").cloned();
                    if let Some(Ok(directive)) = directive.map(serde_json::from_value) {
                        // Nobody may listen just now.
                        let _ = sender.send(directive);
                    }
                }
            }
            Err(error) => {
                debug!(target: "runtime", "notices: {error}");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}
