//! How much was written, for benchmarks and for `doctor`.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a store has written since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Groups of operations that were written as one record of the journal.
    pub batches: u64,
    /// Keys written or removed.
    pub keys: u64,
    /// Bytes of keys and values written.
    pub bytes: u64,
    /// Records handed to the operating system.
    pub flushes: u64,
    /// Syncs of the journal.
    pub syncs: u64,
}

impl Stats {
    /// What was written after `earlier`.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            batches: self.batches.saturating_sub(earlier.batches),
            keys: self.keys.saturating_sub(earlier.keys),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            flushes: self.flushes.saturating_sub(earlier.flushes),
            syncs: self.syncs.saturating_sub(earlier.syncs),
        }
    }
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    batches: AtomicU64,
    keys: AtomicU64,
    bytes: AtomicU64,
    flushes: AtomicU64,
    syncs: AtomicU64,
}

impl Counters {
    pub(crate) fn took(&self, layer: &crate::txn::Layer) {
        let bytes =
            layer.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, |value| value.len()));
        add(&self.keys, layer.len());
        add(&self.bytes, bytes.sum());
    }

    pub(crate) fn wrote(&self) {
        add(&self.batches, 1);
        add(&self.flushes, 1);
    }

    pub(crate) fn synced(&self) {
        add(&self.syncs, 1);
    }

    pub(crate) fn read(&self) -> Stats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            batches: of(&self.batches),
            keys: of(&self.keys),
            bytes: of(&self.bytes),
            flushes: of(&self.flushes),
            syncs: of(&self.syncs),
        }
    }
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
}
