//! What happens in the cache, read once in a process and told to all of its parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use downbeat_core::cache::{Cache, CacheError, Read, Topic, events_stream};
use downbeat_core::event::Event;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::AbortHandle;
use tracing::{debug, warn};

/// How many events are read at once.
const PAGE: usize = 1_000;

/// How many events a subscriber may be behind before it misses some.
const BEHIND: usize = 16 * 1024;

/// The longest wait for news; this is for news that got lost.
const LONGEST: Duration = Duration::from_secs(10);

/// The waits after a store did not answer.
const BETWEEN: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(5)];

/// The event stream, read by one task for all parts of a process.
///
/// It begins with the first event after its start. To miss nothing, subscribe, then look at the cache,
/// then listen: what is told may be known already, but nothing later is left out.
///
/// It reads until it is dropped. A store that does not answer is asked again for as long as it lives;
/// who has to give up is decided elsewhere.
#[derive(Debug)]
pub struct Feed {
    sender: broadcast::Sender<Heard>,
    position: Arc<AtomicU64>,
    reader: AbortHandle,
}

/// One part's ear.
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Heard>,
}

/// What a subscriber is told.
#[derive(Debug, Clone)]
pub enum News {
    /// Something happened.
    Event(Arc<Event>),
    /// Something happened that this subscriber was too slow for, or that was forgotten before it was
    /// read: it may have been anything, so look at the cache.
    Missed,
}

#[derive(Debug, Clone)]
enum Heard {
    Event(Arc<Event>),
    Gap,
}

impl Feed {
    /// Begins to read behind the newest event.
    ///
    /// # Errors
    ///
    /// What the cache says when it is asked for the number of the newest event.
    pub async fn start(cache: Arc<dyn Cache>) -> Result<Self, CacheError> {
        let seen = cache.changed(&Topic::Stream(events_stream()), u64::MAX, Duration::ZERO).await?;
        let (sender, _) = broadcast::channel(BEHIND);
        let position = Arc::new(AtomicU64::new(seen));
        let reader = Reader { cache, sender: sender.clone(), position: Arc::clone(&position) };
        let reader = tokio::spawn(reader.run(seen)).abort_handle();
        Ok(Self { sender, position, reader })
    }

    /// All that happens from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        Subscription { receiver: self.sender.subscribe() }
    }

    /// The number of the newest event that was told.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Subscription {
    /// The next news, in order; `None` when the feed has ended.
    ///
    /// It may be dropped while it waits, and loses nothing by that.
    pub async fn next(&mut self) -> Option<News> {
        match self.receiver.recv().await {
            Ok(Heard::Event(event)) => Some(News::Event(event)),
            Ok(Heard::Gap) | Err(RecvError::Lagged(_)) => Some(News::Missed),
            Err(RecvError::Closed) => None,
        }
    }
}

struct Reader {
    cache: Arc<dyn Cache>,
    sender: broadcast::Sender<Heard>,
    position: Arc<AtomicU64>,
}

impl Reader {
    async fn run(self, mut seen: u64) {
        let mut failures = 0_usize;
        loop {
            let Err(error) = self.read_on(&mut seen, &mut failures).await else { continue };
            if failures == 0 {
                warn!(target: "runtime", "The events cannot be read: {error}; trying again");
            } else {
                debug!(target: "runtime", "The events cannot be read: {error}");
            }
            let longest = Duration::from_secs(5);
            tokio::time::sleep(BETWEEN.get(failures).copied().unwrap_or(longest)).await;
            failures = failures.saturating_add(1);
        }
    }

    /// Waits for events and tells them.
    async fn read_on(&self, seen: &mut u64, failures: &mut usize) -> Result<(), CacheError> {
        let newest = self.cache.changed(&Topic::Stream(events_stream()), *seen, LONGEST).await?;
        while *seen < newest {
            let page = self.cache.read(&Read { stream: events_stream(), after: *seen, limit: PAGE }).await?;
            if page.trimmed > 0 {
                self.tell(Heard::Gap);
            }
            let Some(last) = page.last().map(|event| event.seq) else {
                // All of it was forgotten.
                *seen = newest;
                break;
            };
            for event in page {
                self.tell(Heard::Event(Arc::new(event)));
            }
            *seen = last;
            self.position.store(last, Ordering::Release);
        }
        *failures = 0;
        Ok(())
    }

    fn tell(&self, heard: Heard) {
        // Nobody may listen yet, or any more.
        let _ = self.sender.send(heard);
    }
}

#[cfg(test)]
mod tests {
    use downbeat_core::cache::Append;
    use downbeat_core::event::{EventDraft, EventKind};
    use downbeat_core::memory::MemoryCache;

    use super::*;
    use crate::clock::SystemClock;

    fn memory() -> Arc<dyn Cache> {
        Arc::new(MemoryCache::new(Arc::new(SystemClock)))
    }

    async fn say(cache: &dyn Cache, reasons: std::ops::Range<usize>) {
        let all: Vec<EventDraft> = reasons
            .map(|number| EventDraft::new(EventKind::AGENT_ERROR).reason(number.to_string()))
            .collect();
        for entries in all.chunks(500) {
            // The reader and those that listen have their turn.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            let append = Append {
                stream: events_stream(),
                entries: entries.to_vec(),
                request: crate::entropy::request_id(),
            };
            cache.append(&append).await.unwrap();
        }
    }

    #[tokio::test]
    async fn every_subscriber_hears_everything_in_order_from_the_start_on() {
        let cache = memory();
        say(cache.as_ref(), 0..3).await;
        let feed = Feed::start(Arc::clone(&cache)).await.unwrap();
        let mut ears = [feed.subscribe(), feed.subscribe()];

        say(cache.as_ref(), 3..2_500).await;

        for ear in &mut ears {
            for expected in 3..2_500_usize {
                let Some(News::Event(event)) = ear.next().await else { panic!("missed {expected}") };
                assert_eq!(event.what.reason.as_deref(), Some(expected.to_string().as_str()));
            }
        }
        assert_eq!(feed.position(), 2_500);
    }

    #[tokio::test]
    async fn one_that_is_too_slow_is_told_that_it_missed_something_and_goes_on() {
        let cache = memory();
        let feed = Feed::start(Arc::clone(&cache)).await.unwrap();
        let mut slow = feed.subscribe();
        let mut quick = feed.subscribe();

        let total = BEHIND + 1_000;
        let said = say(cache.as_ref(), 0..total);
        let listened = async {
            for _ in 0..total {
                assert!(matches!(quick.next().await, Some(News::Event(_))));
            }
        };
        tokio::join!(said, listened);

        assert!(matches!(slow.next().await, Some(News::Missed)));
        let Some(News::Event(first)) = slow.next().await else { panic!("no event after the gap") };
        assert!(first.seq > 1);
    }

    #[tokio::test]
    async fn it_ends_with_its_owner() {
        let feed = Feed::start(memory()).await.unwrap();
        let mut ear = feed.subscribe();
        drop(feed);
        assert!(ear.next().await.is_none());
    }
}
