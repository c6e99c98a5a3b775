//! Code that is called when something happens.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use downbeat_core::cache::{Cache, CacheError, Read, events_stream};
use downbeat_core::event::{Event, EventKind};
use tokio::sync::watch;
use tracing::{error, warn};

use crate::feed::{News, Subscription};

/// How many events are read at once when some were missed.
const PAGE: usize = 1_000;

type Handle = dyn Fn(&Event) + Send + Sync;

/// What is called when.
#[derive(Clone, Default)]
pub(super) struct Handlers(Vec<(EventKind, Arc<Handle>)>);

impl Handlers {
    pub(super) fn add(&mut self, kind: EventKind, handle: Arc<Handle>) {
        self.0.push((kind, handle));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Calls every handler of an event, in the order in which they were given, on a thread where they may
    /// block. One that panics is logged, and the others are called.
    async fn call(&self, event: Arc<Event>) {
        let wanted: Vec<_> = self
            .0
            .iter()
            .filter(|(kind, _)| *kind == event.what.kind)
            .map(|(_, handle)| Arc::clone(handle))
            .collect();
        if wanted.is_empty() {
            return;
        }
        let called = tokio::task::spawn_blocking(move || {
            for handle in wanted {
                if catch_unwind(AssertUnwindSafe(|| handle(&event))).is_err() {
                    error!(target: "runtime", "A handler of {} panicked", event.what.kind);
                }
            }
        });
        if let Err(error) = called.await {
            error!(target: "runtime", "Handlers were not called: {error}");
        }
    }
}

/// Calls handlers for all that happens behind the event `seen`, each event once and in order, and says how
/// far it is.
pub(super) async fn dispatch(
    cache: Arc<dyn Cache>,
    handlers: Handlers,
    mut news: Subscription,
    mut seen: u64,
    told: watch::Sender<u64>,
) {
    while let Some(heard) = news.next().await {
        match heard {
            News::Event(event) if event.seq > seen => {
                seen = event.seq;
                handlers.call(event).await;
            }
            News::Event(_) => {}
            News::Missed => {
                if let Err(error) = catch_up(cache.as_ref(), &handlers, &mut seen).await {
                    warn!(target: "runtime", "Events behind {seen} cannot be read again: {error}");
                }
            }
        }
        told.send_replace(seen);
    }
}

/// Reads again what came too fast.
async fn catch_up(cache: &dyn Cache, handlers: &Handlers, seen: &mut u64) -> Result<(), CacheError> {
    loop {
        let page = cache.read(&Read { stream: events_stream(), after: *seen, limit: PAGE }).await?;
        if page.trimmed > 0 {
            warn!(target: "runtime", "{} events were forgotten before a handler heard of them", page.trimmed);
        }
        let full = page.len() == PAGE;
        for event in page {
            *seen = event.seq;
            handlers.call(Arc::new(event)).await;
        }
        if !full {
            return Ok(());
        }
    }
}
