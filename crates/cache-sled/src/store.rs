//! The store: sled, under a journal of what is not in it yet.
//!
//! A group of operations is one record of the [`journal`](crate::journal): that makes it durable. It stays in memory, in
//! [`pending`](crate::pending), until a journal of some size is brought into sled by [`apply`](crate::apply).
//! Nothing else in the crate calls sled.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use downbeat_core::cache::CacheError;
use sled::IVec;

use crate::apply::{Applier, Target};
use crate::journal::{self, Journal, SyncPoint};
use crate::layout::{Key, prefix};
use crate::leftovers;
use crate::pending::Pending;
use crate::redo;
use crate::txn::{Layer, Writes};

/// How many bytes of the store are kept in memory at most, as sled counts them.
const CACHE: u64 = 512 * 1024 * 1024;

/// A journal of so many keys or bytes is brought into sled. The larger, the more is overwritten or removed
/// before it costs sled anything; what a kill leaves takes a second to be brought there, in the background.
const FULL: (usize, usize) = (64 * 1024, 32 * 1024 * 1024);

/// Nothing more is taken before the journal in front is brought into sled.
const MOST: (usize, usize) = (512 * 1024, 256 * 1024 * 1024);

/// The tag of keys that hold the pieces of a value: the whole key, then the piece's number.
const PIECES: u8 = b'~';

/// The first byte of a value that stands there whole.
pub(crate) const WHOLE: u8 = 0;
/// The first byte of a value that is in pieces; their number follows.
pub(crate) const CUT: u8 = 1;

/// An open store.
pub(crate) struct Store {
    db: sled::Db,
    applier: Applier,
    journal: Journal,
    pending: Pending,
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
            Ok(Err(sled::Error::Io(error))) => return Err(io(error)),
            Ok(Err(error)) => return Err(NotOpened::Failed(corrupt(&path.display(), error))),
            Err(panic) => {
                let error = std::io::Error::other(panic_text(&*panic));
                return Err(NotOpened::Failed(corrupt(&path.display(), error)));
            }
        };
        let log = File::open(path.join("db")).map_err(io)?;
        sync_directories(path).map_err(io)?;
        let target = Target { db: db.clone(), log };
        finish_redo(path, &target).map_err(NotOpened::Failed)?;
        let index = index(&db).map_err(NotOpened::Failed)?;
        let (left, layer) = journal::read(path).map_err(io)?;
        let number = left.last().map_or(0, Journal::number).saturating_add(1);
        let applier = Applier::start(target).map_err(io)?;
        let frozen = (!left.is_empty()).then(|| Arc::new(layer));
        if let Some(layer) = &frozen {
            tracing::debug!(keys = layer.len(), "applying the journal of an earlier process");
            applier.begin(Arc::clone(layer), left).map_err(NotOpened::Failed)?;
        }
        let journal = Journal::begin(path, number).map_err(io)?;
        Ok(Self { db, applier, journal, pending: Pending::new(index, frozen), path: path.to_owned() })
    }

    /// One value.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<IVec>, CacheError> {
        if let Some(known) = self.pending.get(key) {
            return Ok(known);
        }
        match self.db.get(key).map_err(failed)? {
            Some(stored) => self.whole(key, &stored).map(Some),
            None => Ok(None),
        }
    }

    /// What there is from `from` to before `until`: layers, the newest first, and under them what sled
    /// has, as stored: pass its values through [`whole`](Self::whole).
    pub(crate) fn over(&self, from: &[u8], until: &[u8]) -> ([&Layer; 2], Option<sled::Iter>) {
        let (layers, stored) = self.pending.layers(from, until);
        (layers, (stored && from < until).then(|| self.db.range::<&[u8], _>(from..until)))
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

    /// Takes what an operation decided, which is read from now on. It has happened with all that was taken
    /// since the last [`write`](Self::write), when the next one returns. After an error the store can be
    /// used no more.
    pub(crate) fn take(&mut self, writes: Writes) -> Result<(), CacheError> {
        self.journal.add(writes.layer()).map_err(|error| unavailable("writing the journal", error))?;
        self.pending.take(writes);
        Ok(())
    }

    /// How many pairs were taken and are not written.
    pub(crate) fn unwritten(&self) -> usize {
        self.journal.pairs()
    }

    /// Writes what was taken, all of it or nothing. It survives the death of the process when this returns,
    /// and the loss of power after a [`SyncPoint`] that is asked for later.
    pub(crate) fn write(&mut self) -> Result<(), CacheError> {
        self.journal.write().map_err(|error| unavailable("writing the journal", error))
    }

    /// Writes straight into sled, durably: what has to be there even when the journal is all that is left.
    /// No journal may have these keys.
    pub(crate) fn write_through(&self, layer: &Layer) -> Result<(), CacheError> {
        let log = File::open(self.path.join("db"))
            .map_err(|error| unavailable("opening the log of the store", error))?;
        Target { db: self.db.clone(), log }.apply(layer)
    }

    /// What makes what was written until now survive the loss of power.
    pub(crate) fn sync_point(&mut self) -> SyncPoint {
        self.journal.sync_point()
    }

    /// Whether a journal is being brought into sled: then [`tidy`](Self::tidy) has something to do later.
    pub(crate) const fn is_busy(&self) -> bool {
        self.pending.is_frozen()
    }

    /// Has a full journal brought into sled. Waits when the one before is not there yet and the new one
    /// is far too large.
    pub(crate) fn tidy(&mut self) -> Result<(), CacheError> {
        let (keys, bytes) = self.pending.size();
        if self.pending.is_frozen() {
            if keys >= MOST.0 || bytes >= MOST.1 {
                self.applier.wait()?;
            } else if !self.applier.is_done()? {
                return Ok(());
            }
            self.pending.thaw();
        }
        if keys < FULL.0 && bytes < FULL.1 {
            return Ok(());
        }
        let next = self.journal.next().map_err(|error| unavailable("beginning a journal", error))?;
        let full = std::mem::replace(&mut self.journal, next);
        self.applier.begin(self.pending.freeze(), vec![full])
    }

    /// Closes a store that can be used no more, as a kill would: the next opening finds what was written, and
    /// nothing of what was taken and is not.
    pub(crate) fn abandon(self) {
        let Self { db, applier, path, .. } = self;
        // Not by its word on the journal, which may be what ended the store, and comes once.
        applier.end();
        drop(db);
        wait_for_lock(&path);
    }

    /// Brings everything into sled, closes it, and returns when it can be opened again.
    pub(crate) fn close(self) {
        let Self { db, applier, journal, mut pending, path } = self;
        let before = if pending.is_frozen() { applier.wait() } else { Ok(()) };
        let closed = before
            .and_then(|()| applier.begin(pending.freeze(), vec![journal]))
            .and_then(|()| applier.wait());
        if let Err(error) = closed {
            tracing::error!(path = %path.display(), %error, "the store was not tidied up when it was closed");
        }
        applier.end();
        drop(db);
        wait_for_lock(&path);
    }
}

/// The names of new files are durable only when their directories are.
fn sync_directories(path: &Path) -> std::io::Result<()> {
    for directory in path.ancestors().take(3).filter(|path| !path.as_os_str().is_empty()) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Finishes a large write of a store of schema 1.
fn finish_redo(path: &Path, target: &Target) -> Result<(), CacheError> {
    let failed = |error| unavailable("finishing a large write", error);
    if let Some(layer) = redo::read(path).map_err(failed)? {
        tracing::info!(keys = layer.len(), "finishing a large write of an earlier process");
        target.apply(&layer)?;
        redo::remove(path).map_err(failed)?;
    }
    Ok(())
}

/// All index entries in sled.
fn index(db: &sled::Db) -> Result<Layer, CacheError> {
    let mut index = Layer::new();
    for tag in prefix::INDEXES {
        for pair in db.scan_prefix([*tag]) {
            let (key, stored) = pair.map_err(failed)?;
            let value = match stored.split_first() {
                Some((&WHOLE, value)) => stored.subslice(1, value.len()),
                None => stored,
                Some(_) => return Err(CacheError::Corrupt { key: readable(&key), source: None }),
            };
            index.insert(key, Some(value));
        }
    }
    Ok(index)
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

pub(crate) fn piece_key(key: &[u8], number: u32) -> Vec<u8> {
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

pub(crate) fn failed(error: sled::Error) -> CacheError {
    unavailable("sled failed", error)
}

pub(crate) fn unavailable(
    what: &str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> CacheError {
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
    use crate::apply::PIECE;
    use crate::txn::Txn;

    /// What sled puts in files of their own it never syncs.
    #[test]
    fn the_largest_values_side_by_side_stay_in_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open(directory.path()).unwrap();
        // The longest key with such a value is that of a document; that of a task which needs every
        // capability it may is longer, and its value is an id.
        for (length, value) in [(520, PIECE), (4_300, 128)] {
            for round in 0..6_u8 {
                let layer = (0..200_u8).map(|number| {
                    let mut key = vec![number % 16; length];
                    key.push(number);
                    (key.into(), Some(vec![round; value].into()))
                });
                store.take(Writes::of(layer.collect())).unwrap();
                store.write().unwrap();
            }
        }
        store.take(Writes::of([(IVec::from(b"c"), Some(vec![7; 4 * 1024 * 1024].into()))].into())).unwrap();
        store.write().unwrap();
        store.close();
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path().join("blobs")).unwrap().count(), 0);
        assert_eq!(store.get(b"c").unwrap().unwrap().len(), 4 * 1024 * 1024);
    }

    /// Also while sled is being written to, and after what a kill leaves.
    #[test]
    fn a_full_journal_goes_to_sled_and_reads_do_not_see_when() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open(directory.path()).unwrap();
        let key = |tag: u8, number: u32| IVec::from([&[tag][..], &number.to_be_bytes()].concat());
        let count = u32::try_from(FULL.0).unwrap();
        let check = |store: &Store, round: u8| {
            // Every third is gone, in the index too.
            for number in (0..count).step_by(97) {
                let expected = (number % 3 != 0 || round == 0).then_some([round]);
                for tag in *b"tr" {
                    let found = store.get(&key(tag, number)).unwrap();
                    assert_eq!(found.as_deref(), expected.as_ref().map(<[u8; 1]>::as_slice), "{number}");
                }
            }
            let left = Txn::new(store).under(b"r").map(Result::unwrap).count();
            let gone = if round == 0 { 0 } else { FULL.0.div_ceil(3) };
            assert_eq!(left, FULL.0 - gone);
        };
        for round in 0..3_u8 {
            let pairs = (0..count).flat_map(|number| {
                let value = (number % 3 != 0 || round == 0).then(|| IVec::from(&[round]));
                [(key(b't', number), value.clone()), (key(b'r', number), value)]
            });
            store.take(Writes::of(pairs.collect())).unwrap();
            store.write().unwrap();
            store.tidy().unwrap();
            check(&store, round);
        }
        assert!(store.is_busy(), "it is still being applied");
        // As a kill leaves it: the lock is free, and the journals are there.
        let Store { db, applier, .. } = store;
        applier.end();
        drop(db);
        wait_for_lock(directory.path());
        let store = Store::open(directory.path()).unwrap();
        check(&store, 2);
        store.close();
        let names = std::fs::read_dir(directory.path()).unwrap();
        let left =
            names.filter(|name| name.as_ref().unwrap().file_name().to_string_lossy().contains("journal"));
        assert_eq!(left.count(), 0, "a closed store has no journal");
        let store = Store::open(directory.path()).unwrap();
        check(&store, 2);
        store.close();
    }

    /// Whoever closes it waits for the end of the thread, not for a second word on the same journal.
    #[test]
    fn a_store_whose_journal_cannot_be_applied_can_be_let_go_of() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open(directory.path()).unwrap();
        let count = u32::try_from(FULL.0).unwrap();
        let pair = |number: u32| (IVec::from(&number.to_be_bytes()), Some(IVec::from(b"value")));
        store.take(Writes::of((0..count).map(pair).collect())).unwrap();
        store.write().unwrap();
        std::fs::remove_file(directory.path().join("journal.1")).unwrap();
        store.tidy().unwrap();
        while store.tidy().is_ok() {
            std::thread::yield_now();
        }
        let (say, ended) = std::sync::mpsc::channel();
        let closing = std::thread::spawn(move || {
            store.abandon();
            say.send(()).unwrap();
        });
        ended.recv_timeout(std::time::Duration::from_secs(60)).expect("it is not closed");
        closing.join().unwrap();
        Store::open(directory.path()).unwrap().close();
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
