//! The thread that syncs what is written and answers those who wait for that, while the next group is
//! decided.
//!
//! Groups are answered in the order in which they were written, each after a sync that began when it was
//! written: whatever an answer rests on was written no later. Those that came while one sync was under way
//! share the next one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use crate::journal::SyncPoint;
use crate::stats::Counters;
use crate::store::panic_text;
use crate::writer::{Operation, unusable};

/// A group that is written.
pub(crate) struct Written {
    /// What it waits for; `None`: only for those before it.
    pub(crate) sync: Option<SyncPoint>,
    /// Who is answered then.
    pub(crate) waiting: Vec<Box<dyn Operation>>,
}

/// What both threads know.
#[derive(Debug, Default)]
struct Shared {
    /// How many groups are answered.
    answered: AtomicU64,
    /// Why the store can be used no more.
    failed: OnceLock<String>,
}

/// The thread.
#[derive(Debug)]
pub(crate) struct Syncer {
    groups: Sender<Written>,
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    given: u64,
}

impl Syncer {
    pub(crate) fn start(counters: &Arc<Counters>) -> std::io::Result<Self> {
        let (groups, given) = channel();
        let shared = Arc::new(Shared::default());
        let run = {
            let (shared, counters) = (Arc::clone(&shared), Arc::clone(counters));
            move || run(&given, &shared, &counters)
        };
        let thread = std::thread::Builder::new().name("downbeat-sync".to_owned()).spawn(run)?;
        Ok(Self { groups, thread, shared, counters: Arc::clone(counters), given: 0 })
    }

    /// Has a group synced and answered. Returns its number.
    pub(crate) fn give(&mut self, group: Written) -> u64 {
        if self.is_idle() && group.waiting.len() <= 1 {
            // For one caller waking a thread costs more than it brings.
            finish(vec![group], &self.shared, &self.counters);
        } else {
            self.given = self.given.saturating_add(1);
            if let Err(group) = self.groups.send(group) {
                finish(vec![group.0], &self.shared, &self.counters);
            }
        }
        self.given
    }

    /// Whether the group with this number, and all before it, are answered.
    pub(crate) fn has_answered(&self, group: u64) -> bool {
        self.shared.answered.load(Ordering::Acquire) >= group
    }

    /// Whether nobody waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.has_answered(self.given)
    }

    /// Why the store can be used no more.
    pub(crate) fn failed(&self) -> Option<&str> {
        self.shared.failed.get().map(String::as_str)
    }

    /// Answers whoever waits, and ends the thread. Returns why the store can be used no more, if so.
    pub(crate) fn end(self) -> Option<String> {
        drop(self.groups);
        match self.thread.join() {
            Ok(()) => self.shared.failed.get().cloned(),
            Err(panic) => Some(panic_text(&*panic)),
        }
    }
}

fn run(given: &Receiver<Written>, shared: &Shared, counters: &Counters) {
    while let Ok(first) = given.recv() {
        let mut groups = vec![first];
        groups.extend(given.try_iter());
        let count = groups.len();
        finish(groups, shared, counters);
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        shared.answered.fetch_add(count, Ordering::Release);
    }
}

/// Syncs groups, and answers them in their order.
fn finish(mut groups: Vec<Written>, shared: &Shared, counters: &Counters) {
    let mut syncs: Vec<SyncPoint> = Vec::new();
    for sync in groups.iter_mut().filter_map(|group| group.sync.take()) {
        let (sync, earlier) = match syncs.pop() {
            Some(earlier) => sync.with(earlier),
            None => (sync, None),
        };
        syncs.extend(earlier);
        syncs.push(sync);
    }
    for sync in syncs {
        if shared.failed.get().is_some() {
            break;
        }
        counters.synced();
        if let Err(error) = sync.run() {
            let reason = format!("syncing the journal: {error}");
            tracing::error!(reason, "writing to the store failed");
            let _ = shared.failed.set(reason);
        }
    }
    for operation in groups.into_iter().flat_map(|group| group.waiting) {
        operation.answer(shared.failed.get().map_or(Ok(()), |reason| Err(unusable(reason))));
    }
}
