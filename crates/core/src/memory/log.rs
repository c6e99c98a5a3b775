//! Streams, and who waits for news of them.

use std::collections::{HashMap, VecDeque};

use tokio::sync::watch;

use crate::cache::{Append, CacheError, Page, Read, StreamLimits, Topic, events_stream};
use crate::event::{Event, EventDraft};
use crate::ids::{RequestId, StreamName};
use crate::rules;
use crate::time::Timestamp;

/// All streams and topics.
pub(super) struct Log {
    events: StreamName,
    streams: HashMap<StreamName, Stream>,
    /// How many entries streams keep.
    pub(super) limits: StreamLimits,
    /// How often work appeared.
    work: u64,
    /// Topics that somebody waited for.
    waited_for: HashMap<Topic, watch::Sender<u64>>,
}

#[derive(Default)]
struct Stream {
    entries: VecDeque<Event>,
    /// The number of the last entry, kept or not.
    last: u64,
    /// The newest append and the number of its last entry.
    newest: Option<(RequestId, u64)>,
}

impl Stream {
    /// The number of the oldest entry.
    fn first(&self) -> u64 {
        self.entries.front().map_or(self.last + 1, |event| event.seq)
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            events: events_stream(),
            streams: HashMap::new(),
            limits: StreamLimits::default(),
            work: 0,
            waited_for: HashMap::new(),
        }
    }
}

impl Log {
    /// Tells of a move, or of anything else that the cache itself says.
    pub(super) fn say(&mut self, now: Timestamp, what: EventDraft) {
        let name = self.events.clone();
        self.add(&name, now, what);
        self.wake(&Topic::Stream(name));
    }

    /// Adds entries for a caller.
    pub(super) fn append(&mut self, append: &Append, now: Timestamp) -> Result<u64, CacheError> {
        rules::check_append(append)?;
        let newest = self.streams.get(&append.stream).and_then(|stream| stream.newest.as_ref());
        if let Some((request, last)) = newest
            && *request == append.request
        {
            return Ok(*last);
        }
        for entry in &append.entries {
            self.add(&append.stream, now, entry.clone());
        }
        let stream = self.streams.entry(append.stream.clone()).or_default();
        let last = stream.last;
        stream.newest = Some((append.request.clone(), last));
        self.wake(&Topic::Stream(append.stream.clone()));
        Ok(last)
    }

    fn add(&mut self, name: &StreamName, now: Timestamp, what: EventDraft) {
        let stream = self.streams.entry(name.clone()).or_default();
        stream.last += 1;
        stream.entries.push_back(Event { seq: stream.last, at: now, what });
        let limit = usize::try_from(self.limits.of(name)).unwrap_or(usize::MAX);
        while stream.entries.len() > limit {
            stream.entries.pop_front();
        }
    }

    /// Entries behind a number.
    pub(super) fn read(&self, read: &Read) -> Page {
        let Some(stream) = self.streams.get(&read.stream) else {
            return Page::new(Vec::new(), 1, read.after);
        };
        let first = stream.first();
        let skip = usize::try_from(read.after.saturating_sub(first - 1)).unwrap_or(usize::MAX);
        let entries = stream.entries.iter().skip(skip).take(read.limit).cloned().collect();
        Page::new(entries, first, read.after)
    }

    /// Something may be claimable now that was not.
    pub(super) fn work_appeared(&mut self) {
        self.work += 1;
        self.wake(&Topic::Ready);
    }

    fn number(&self, topic: &Topic) -> u64 {
        match topic {
            Topic::Stream(name) => self.streams.get(name).map_or(0, |stream| stream.last),
            Topic::Ready => self.work,
        }
    }

    fn wake(&self, topic: &Topic) {
        if let Some(sender) = self.waited_for.get(topic) {
            sender.send_replace(self.number(topic));
        }
    }

    /// The number of a topic, now and from now on.
    pub(super) fn watch(&mut self, topic: &Topic) -> watch::Receiver<u64> {
        let number = self.number(topic);
        self.waited_for.entry(topic.clone()).or_insert_with(|| watch::Sender::new(number)).subscribe()
    }
}
