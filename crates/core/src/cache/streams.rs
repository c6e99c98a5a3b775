//! Append-only logs, and waiting for news.

use std::time::Duration;

use async_trait::async_trait;

use super::CacheError;
use crate::event::{Event, EventDraft};
use crate::ids::{RequestId, StreamName};

/// The stream that every move appends to.
pub const EVENTS: &str = "events";

/// The name of the stream that every move appends to.
///
/// # Panics
///
/// Never: the constant is a sound name.
#[must_use]
#[expect(clippy::expect_used, reason = "a constant that a test reads")]
pub fn events_stream() -> StreamName {
    StreamName::new(EVENTS).expect("a sound name")
}

/// Append-only logs. Each verb but `changed` is one atomic step; see [`Cache`](super::Cache).
#[async_trait]
pub trait Streams: Send + Sync {
    /// Adds entries to a stream, together and in order.
    ///
    /// # Returns
    ///
    /// The number of the last one. A repeated request adds nothing and is given the same number, as
    /// long as it is the stream's newest request.
    ///
    /// # Errors
    ///
    /// [`CacheError::Invalid`]: more than [`MAX_APPEND`] entries, or one of more than
    /// [`MAX_ENTRY`] bytes as JSON.
    async fn append(&self, append: &Append) -> Result<u64, CacheError>;

    /// Entries of a stream behind the number `after`, oldest first.
    async fn read(&self, read: &Read) -> Result<Vec<Event>, CacheError>;

    /// Waits until `topic` has a greater number than `seen`, at most for `wait` of real time.
    ///
    /// Look at the number, look at the cache, then wait with that number: news in between is not
    /// missed. A wait of zero only looks, and goes through no timer (which would cost a millisecond
    /// each time that an agent asks for work).
    ///
    /// # Returns
    ///
    /// The number that it has then; not greater than `seen` when the wait ended first.
    async fn changed(&self, topic: &Topic, seen: u64, wait: Duration) -> Result<u64, CacheError>;
}

/// The most entries of one append.
pub const MAX_APPEND: usize = 1_000;

/// The most bytes of one entry, as JSON.
pub const MAX_ENTRY: usize = 256 * 1024;

/// Entries to add.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// To which stream.
    pub stream: StreamName,
    /// What to add.
    pub entries: Vec<EventDraft>,
    /// Names the request.
    pub request: RequestId,
}

/// Which entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Of which stream.
    pub stream: StreamName,
    /// Behind this number; 0 for the first.
    pub after: u64,
    /// At most this many.
    pub limit: usize,
}

/// What can be waited for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A stream; its number is that of its last entry.
    Stream(StreamName),
    /// Work that may have become claimable: a task got ready, an agent was resumed. Its number only
    /// grows, and means nothing else.
    Ready,
}
