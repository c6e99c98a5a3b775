//! Append-only logs, and waiting for news.

use std::time::Duration;

use async_trait::async_trait;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    ///
    /// A stream keeps its newest entries, as many as its [`StreamLimits`] say and at most
    /// [`STREAM_SLACK`] more; numbers never begin anew. What was asked for and is kept no more is
    /// counted in [`Page::trimmed`].
    async fn read(&self, read: &Read) -> Result<Page, CacheError>;

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

/// How many entries more than its limit a stream may keep: backends trim in blocks.
pub const STREAM_SLACK: u64 = 1_000;

/// How many entries streams keep. What is older is forgotten as new ones come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamLimits {
    /// Of the stream [`EVENTS`]. At least 1.
    pub events: u64,
    /// Of every other stream. At least 1.
    pub others: u64,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self { events: 1_000_000, others: 10_000 }
    }
}

impl StreamLimits {
    /// How many entries of this stream are kept, at least 1.
    #[must_use]
    pub fn of(&self, stream: &StreamName) -> u64 {
        if stream.as_str() == EVENTS { self.events.max(1) } else { self.others.max(1) }
    }
}

/// Entries of a stream, and where it begins by now.
///
/// It can be used as the list of its entries.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// The entries, oldest first.
    pub entries: Vec<Event>,
    /// The number of the oldest entry that is kept; that of the next one to come when none is.
    pub first: u64,
    /// How many entries behind the number that was asked for are kept no more: they lie between what the
    /// reader knows and the first of `entries`.
    pub trimmed: u64,
}

impl Page {
    /// A page that answers a read behind `after`, of a stream that begins at `first`.
    #[must_use]
    pub const fn new(entries: Vec<Event>, first: u64, after: u64) -> Self {
        Self { entries, first, trimmed: first.saturating_sub(1).saturating_sub(after) }
    }
}

impl std::ops::Deref for Page {
    type Target = [Event];

    fn deref(&self) -> &[Event] {
        &self.entries
    }
}

impl IntoIterator for Page {
    type Item = Event;
    type IntoIter = std::vec::IntoIter<Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a> IntoIterator for &'a Page {
    type Item = &'a Event;
    type IntoIter = std::slice::Iter<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}

/// Entries to add.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
