//! Bringing a journal into sled, on a thread of its own.
//!
//! An item of more than an eighth of a mebibyte goes to a file of its own, which sled never syncs, and an
//! item may be a whole leaf of some twenty pairs. So values are cut in [`PIECE`]s that keep every leaf
//! below that.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use downbeat_core::cache::CacheError;
use sled::IVec;

use crate::journal::Journal;
use crate::layout::may_be_large;
use crate::store::{CUT, WHOLE, failed, panic_text, piece_key, unavailable};
use crate::txn::Layer;

/// The most bytes of a value under one key.
pub(crate) const PIECE: usize = 5 * 1024;

/// The sled that is written to.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) db: sled::Db,
    /// sled's log, for syncing: its own handle is out of reach.
    pub(crate) log: File,
}

impl Target {
    /// Brings a layer into sled; durable when this returns. Doing it again, also after half of it, is the
    /// same as once.
    pub(crate) fn apply(&self, layer: &Layer) -> Result<(), CacheError> {
        for (key, value) in layer {
            let had = if may_be_large(key) { self.pieces(key)? } else { 0 };
            let has = match value {
                None => {
                    self.db.remove(key).map_err(failed)?;
                    0
                }
                Some(value) => self.put(key, value)?,
            };
            for number in has..had {
                self.db.remove(piece_key(key, number)).map_err(failed)?;
            }
        }
        self.db.flush().map_err(failed)?;
        // What sled's flush has written survives the death of the process, not that of the machine: on
        // Linux it ends in `sync_file_range`.
        self.log.sync_data().map_err(|error| unavailable("syncing the store", error))
    }

    /// In how many pieces the value under `key` is stored.
    fn pieces(&self, key: &[u8]) -> Result<u32, CacheError> {
        let stored = self.db.get(key).map_err(failed)?;
        Ok(match stored.as_deref().and_then(<[u8]>::split_first) {
            Some((&CUT, count)) => count.try_into().map_or(0, u32::from_be_bytes),
            _ => 0,
        })
    }

    /// Writes a value. Returns the number of its pieces.
    fn put(&self, key: &IVec, value: &IVec) -> Result<u32, CacheError> {
        if value.is_empty() {
            self.db.insert(key, value).map_err(failed)?;
            return Ok(0);
        }
        if value.len() <= PIECE {
            let mut stored = Vec::with_capacity(value.len() + 1);
            stored.push(WHOLE);
            stored.extend_from_slice(value);
            self.db.insert(key, stored).map_err(failed)?;
            return Ok(0);
        }
        let mut count: u32 = 0;
        for piece in value.chunks(PIECE) {
            self.db.insert(piece_key(key, count), piece).map_err(failed)?;
            count = count.checked_add(1).ok_or_else(|| CacheError::Invalid {
                reason: format!("a value of {} bytes is too large", value.len()),
            })?;
        }
        let mut stored = vec![CUT];
        stored.extend_from_slice(&count.to_be_bytes());
        self.db.insert(key, stored).map_err(failed)?;
        Ok(count)
    }
}

/// The thread.
#[derive(Debug)]
pub(crate) struct Applier {
    work: Sender<(Arc<Layer>, Vec<Journal>)>,
    done: Receiver<Result<(), CacheError>>,
    thread: JoinHandle<()>,
}

impl Applier {
    pub(crate) fn start(target: Target) -> std::io::Result<Self> {
        let (work, taken) = channel::<(Arc<Layer>, Vec<Journal>)>();
        let (say, done) = channel();
        let run = move || {
            while let Ok((layer, journals)) = taken.recv() {
                let applied = catch_unwind(AssertUnwindSafe(|| bring(&target, &layer, journals)));
                let applied = applied.unwrap_or_else(|panic| {
                    let error = std::io::Error::other(panic_text(&*panic));
                    Err(unavailable("sled panicked", error))
                });
                drop(layer);
                if say.send(applied).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("downbeat-apply".to_owned()).spawn(run)?;
        Ok(Self { work, done, thread })
    }

    /// Has what journals say together applied and them removed, the oldest first. One call at a time.
    pub(crate) fn begin(&self, layer: Arc<Layer>, journals: Vec<Journal>) -> Result<(), CacheError> {
        self.work.send((layer, journals)).map_err(|_| gone())
    }

    /// Whether that is done.
    pub(crate) fn is_done(&self) -> Result<bool, CacheError> {
        match self.done.try_recv() {
            Ok(applied) => applied.map(|()| true),
            Err(TryRecvError::Empty) => Ok(false),
            Err(TryRecvError::Disconnected) => Err(gone()),
        }
    }

    /// Waits until that is done.
    pub(crate) fn wait(&self) -> Result<(), CacheError> {
        self.done.recv().map_err(|_| gone())?
    }

    /// Ends the thread when it is through with what was begun; it lets go of sled.
    pub(crate) fn end(self) {
        drop(self.work);
        if self.thread.join().is_err() {
            tracing::error!("the thread that applies the journal panicked");
        }
    }
}

fn bring(target: &Target, layer: &Layer, mut journals: Vec<Journal>) -> Result<(), CacheError> {
    let failed = |error| unavailable("the journal cannot be applied", error);
    // Half of a layer may reach the disk before the rest: then the journals have to have it all.
    for journal in &mut journals {
        journal.sync().map_err(failed)?;
    }
    target.apply(layer)?;
    for journal in journals {
        journal.remove().map_err(failed)?;
    }
    Ok(())
}

fn gone() -> CacheError {
    CacheError::Failed { reason: "the thread that applies the journal has ended".to_owned() }
}
