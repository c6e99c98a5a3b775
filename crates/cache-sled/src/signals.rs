//! News: waking those who wait for a stream to grow or for work to appear.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use downbeat_core::ids::StreamName;
use tokio::sync::watch;

/// What can be waited for.
#[derive(Debug)]
pub(crate) struct Signals {
    work: watch::Sender<u64>,
    /// The streams that somebody waits for.
    streams: Mutex<HashMap<StreamName, watch::Sender<u64>>>,
}

impl Signals {
    /// The epoch is the high part of the number of work, so that it grows over openings too.
    pub(crate) fn new(epoch: u64) -> Self {
        let work = watch::Sender::new(epoch.saturating_mul(1 << 32));
        Self { work, streams: Mutex::default() }
    }

    /// How often work appeared, now and from now on.
    pub(crate) fn watch_work(&self) -> watch::Receiver<u64> {
        self.work.subscribe()
    }

    /// Work appeared this often.
    pub(crate) fn work_appeared(&self, times: u64) {
        self.work.send_modify(|number| *number = number.saturating_add(times));
    }

    /// The number of a stream's last entry from now on; 0 until it grows.
    pub(crate) fn watch_stream(&self, stream: &StreamName) -> watch::Receiver<u64> {
        let mut streams = self.lock();
        streams.retain(|other, sender| other == stream || sender.receiver_count() > 0);
        streams.entry(stream.clone()).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// A stream grew.
    pub(crate) fn stream_grew(&self, stream: &StreamName, last: u64) {
        if let Some(sender) = self.lock().get(stream) {
            sender.send_modify(|known| *known = last.max(*known));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamName, watch::Sender<u64>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
