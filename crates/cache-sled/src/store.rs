//! The sled store itself: opened, read, written a batch at a time, flushed and synced.
//!
//! Nothing else in the crate calls sled. Two facts of sled 0.34 shape this file:
//!
//! - What `flush` has written survives the death of the process, not that of the machine: on Linux it
//!   ends in `sync_file_range`. So [`Store::sync`] also syncs the log through a second handle.
//! - An item of more than an eighth of a mebibyte goes to a file of its own, which sled never syncs,
//!   and an item may be a whole leaf of some twenty pairs. So values are cut in [`PIECE`]s that keep
//!   every leaf below that.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use downbeat_core::cache::CacheError;
use sled::IVec;

use crate::layout::{Key, may_be_large};
use crate::leftovers;
use crate::redo::Redo;
use crate::txn::Layer;

/// The most bytes of a value under one key.
pub(crate) const PIECE: usize = 5 * 1024;

/// How many bytes of the store are kept in memory at most, as sled counts them.
const CACHE: u64 = 512 * 1024 * 1024;

/// The most keys of one batch.
pub(crate) const STEP: usize = 4_096;

/// The tag of keys that hold the pieces of a value: the whole key, then the piece's number.
const PIECES: u8 = b'~';

/// The first byte of a value that stands there whole.
const WHOLE: u8 = 0;
/// The first byte of a value that is in pieces; their number follows.
const CUT: u8 = 1;

/// An open store.
pub(crate) struct Store {
    db: sled::Db,
    /// For syncing: sled's own handle is out of reach.
    log: File,
    path: PathBuf,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why a store was not opened.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// Another handle has it.
    Locked,
    /// Anything else.
    Failed(CacheError),
}

impl Store {
    /// Opens the store in the directory `path`, which is made if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self, NotOpened> {
        let io = |error: std::io::Error| NotOpened::Failed(unavailable("opening the store", error));
        std::fs::create_dir_all(path).map_err(io)?;
        leftovers::clear(path).map_err(io)?;
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE)
            // Bounds nothing (every answer waits for a flush of its own); it collects garbage.
            .flush_every_ms(Some(500));
        // A damaged file makes sled panic as often as fail.
        let db = match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => db,
            Ok(Err(error)) if error.to_string().contains("could not acquire lock") => {
                return Err(NotOpened::Locked);
            }
            Ok(Err(error @ sled::Error::Io(_))) => {
                return Err(NotOpened::Failed(unavailable("opening the store", error)));
            }
            Ok(Err(error)) => return Err(NotOpened::Failed(corrupt(&path.display(), error))),
            Err(panic) => {
                let error = std::io::Error::other(panic_text(&*panic));
                return Err(NotOpened::Failed(corrupt(&path.display(), error)));
            }
        };
        let log = File::open(path.join("db")).map_err(io)?;
        let store = Self { db, log, path: path.to_owned() };
        store.sync_directories().map_err(io)?;
        if let Some((redo, layer)) = Redo::read(path).map_err(io)? {
            tracing::info!(keys = layer.len(), "finishing a large write of an earlier process");
            store.finish(redo, &layer).map_err(NotOpened::Failed)?;
        }
        Ok(store)
    }

    /// The names of new files are durable only when their directories are.
    fn sync_directories(&self) -> std::io::Result<()> {
        for directory in self.path.ancestors().take(3).filter(|path| !path.as_os_str().is_empty()) {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }

    /// One value.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<IVec>, CacheError> {
        match self.db.get(key).map_err(failed)? {
            Some(stored) => self.whole(key, &stored).map(Some),
            None => Ok(None),
        }
    }

    /// All pairs from `from` to before `until`, as stored: pass values through [`whole`](Self::whole).
    pub(crate) fn range(&self, from: &[u8], until: &[u8]) -> sled::Iter {
        self.db.range::<&[u8], _>(from..until)
    }

    /// A stored value put together.
    pub(crate) fn whole(&self, key: &[u8], stored: &IVec) -> Result<IVec, CacheError> {
        let damaged = || CacheError::Corrupt { key: readable(key), source: None };
        match stored.split_first() {
            None => Ok(stored.clone()),
            Some((&WHOLE, value)) => Ok(stored.subslice(1, value.len())),
            Some((&CUT, count)) => {
                let count = u32::from_be_bytes(count.try_into().map_err(|_| damaged())?);
                let mut value = Vec::new();
                for number in 0..count {
                    let piece = self.db.get(piece_key(key, number)).map_err(failed)?.ok_or_else(damaged)?;
                    value.extend_from_slice(&piece);
                }
                Ok(value.into())
            }
            Some(_) => Err(damaged()),
        }
    }

    /// Writes `layer`, all of it or nothing. Not durable before [`flush`](Self::flush).
    ///
    /// sled keeps all that a batch replaces until its end, some kilobytes a key. So a large layer is
    /// not one batch: it is made durable in a file of its own first, and then applied in steps that
    /// the next opening finishes if this process does not.
    pub(crate) fn write(&self, layer: &Layer) -> Result<(), CacheError> {
        if layer.len() <= STEP {
            return self.apply(layer.iter());
        }
        let redo =
            Redo::write(&self.path, layer).map_err(|error| unavailable("preparing a large write", error))?;
        self.finish(redo, layer)
    }

    /// Applies a large layer in steps, and then forgets how.
    fn finish(&self, redo: Redo, layer: &Layer) -> Result<(), CacheError> {
        let mut pairs = layer.iter().peekable();
        while pairs.peek().is_some() {
            self.apply(pairs.by_ref().take(STEP))?;
        }
        self.flush()?;
        self.sync()?;
        redo.remove().map_err(|error| unavailable("finishing a large write", error))
    }

    /// Writes pairs, all of them or none.
    fn apply<'a>(&self, pairs: impl Iterator<Item = (&'a IVec, &'a Option<IVec>)>) -> Result<(), CacheError> {
        let mut batch = sled::Batch::default();
        for (key, value) in pairs {
            let had = if may_be_large(key) { self.pieces(key)? } else { 0 };
            let has = match value {
                None => {
                    batch.remove(key);
                    0
                }
                Some(value) => put(&mut batch, key, value)?,
            };
            for number in has..had {
                batch.remove(piece_key(key, number));
            }
        }
        self.db.apply_batch(batch).map_err(failed)
    }

    /// In how many pieces the value under `key` is stored.
    fn pieces(&self, key: &[u8]) -> Result<u32, CacheError> {
        let stored = self.db.get(key).map_err(failed)?;
        Ok(match stored.as_deref().and_then(<[u8]>::split_first) {
            Some((&CUT, count)) => count.try_into().map_or(0, u32::from_be_bytes),
            _ => 0,
        })
    }

    /// What was written survives the death of the process.
    pub(crate) fn flush(&self) -> Result<(), CacheError> {
        self.db.flush().map(|_| ()).map_err(failed)
    }

    /// What was flushed survives the loss of power.
    pub(crate) fn sync(&self) -> Result<(), CacheError> {
        self.log.sync_data().map_err(|error| unavailable("syncing the store", error))
    }

    /// Flushes, syncs and closes, and returns when the store can be opened again.
    pub(crate) fn close(self) {
        let Self { db, log, path } = self;
        let flushed = db.flush().map_err(failed);
        let synced = log.sync_data();
        if flushed.is_err() || synced.is_err() {
            tracing::error!(path = %path.display(), "the store was not flushed when it was closed");
        }
        drop(db);
        drop(log);
        wait_for_lock(&path);
    }
}

/// Waits, at most for a second, until the threads of a closed sled have let go of its file.
fn wait_for_lock(path: &Path) {
    use nix::fcntl::{Flock, FlockArg};
    for _ in 0..1_000 {
        let Ok(file) = File::open(path.join("db")) else {
            return;
        };
        if Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok() {
            return;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
}

/// Adds a value to the batch. Returns the number of its pieces.
fn put(batch: &mut sled::Batch, key: &IVec, value: &IVec) -> Result<u32, CacheError> {
    if value.is_empty() {
        batch.insert(key, value);
        return Ok(0);
    }
    if value.len() <= PIECE {
        let mut stored = Vec::with_capacity(value.len() + 1);
        stored.push(WHOLE);
        stored.extend_from_slice(value);
        batch.insert(key, stored);
        return Ok(0);
    }
    let mut count: u32 = 0;
    for piece in value.chunks(PIECE) {
        batch.insert(piece_key(key, count), piece);
        count = count.checked_add(1).ok_or_else(|| CacheError::Invalid {
            reason: format!("a value of {} bytes is too large", value.len()),
        })?;
    }
    let mut stored = vec![CUT];
    stored.extend_from_slice(&count.to_be_bytes());
    batch.insert(key, stored);
    Ok(count)
}

fn piece_key(key: &[u8], number: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 5);
    bytes.push(PIECES);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without words").to_owned()
}

/// A stored key, for people.
pub(crate) fn readable(key: &[u8]) -> String {
    Key::decode(key).map_or_else(|| key.escape_ascii().to_string(), |key| format!("{key:?}"))
}

fn failed(error: sled::Error) -> CacheError {
    unavailable("sled failed", error)
}

fn unavailable(what: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CacheError {
    CacheError::Unavailable { reason: what.to_owned(), source: Some(error.into()) }
}

/// What is stored under `key` cannot be read, as `error` says.
pub(crate) fn corrupt(
    key: &dyn std::fmt::Display,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> CacheError {
    CacheError::Corrupt { key: key.to_string(), source: Some(error.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What sled puts in files of their own it never syncs.
    #[test]
    fn the_largest_values_side_by_side_stay_in_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        // The longest key with such a value is that of a document; that of a task which needs every
        // capability it may is longer, and its value is an id.
        for (length, value) in [(520, PIECE), (4_300, 128)] {
            for round in 0..6_u8 {
                let layer = (0..200_u8).map(|number| {
                    let mut key = vec![number % 16; length];
                    key.push(number);
                    (key.into(), Some(vec![round; value].into()))
                });
                store.write(&layer.collect()).unwrap();
            }
        }
        store.write(&[(IVec::from(b"c"), Some(vec![7; 4 * 1024 * 1024].into()))].into()).unwrap();
        store.flush().unwrap();
        assert_eq!(std::fs::read_dir(directory.path().join("blobs")).unwrap().count(), 0);
        assert_eq!(store.get(b"c").unwrap().unwrap().len(), 4 * 1024 * 1024);
    }

    #[test]
    fn a_damaged_store_is_reported_and_not_a_panic() {
        let directory = tempfile::tempdir().unwrap();
        Store::open(directory.path()).unwrap().close();
        std::fs::write(directory.path().join("conf"), "segment_size: 7\nversion: 9.9\n").unwrap();
        let error = Store::open(directory.path()).unwrap_err();
        assert!(matches!(&error, NotOpened::Failed(_)), "{error:?}");
    }
}
