//! Opening a store: one process at a time, a version it knows, a new epoch.

use std::path::PathBuf;
use std::sync::Arc;

use downbeat_core::cache::{CacheError, StreamLimits};
use downbeat_core::time::Clock;
use serde::{Deserialize, Serialize};

use crate::epoch;
use crate::holder::HolderFile;
use crate::layout::{Key, SCHEMA};
use crate::store::{NotOpened, Store, corrupt};
use crate::txn::Txn;

/// How to open a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory; it is made if it is not there.
    pub path: PathBuf,
    /// Where the cache gets its time from.
    pub clock: Arc<dyn Clock>,
    /// What an answer is worth.
    pub durability: Durability,
    /// How many entries streams keep.
    pub limits: StreamLimits,
    /// What this process is, for the message to a second one: such as `downbeat up`.
    pub holder: String,
}

/// What has happened to a write before it is answered. Nothing weaker than this is offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// It survives the loss of power. Costs a sync of the disk, shared by all who wait for one.
    #[default]
    Power,
    /// It survives the death of the process, also by `kill -9`, but not that of the machine.
    Process,
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the store is open in another process path=`{path}` holder=`{holder}`; let that one do it, or \
         wait for its end",
        path = path.display(),
        holder = holder.as_deref().unwrap_or("unknown")
    )]
    Busy {
        /// The store.
        path: PathBuf,
        /// Who that is, as far as it said.
        holder: Option<String>,
    },
    /// A newer version of this program wrote it.
    #[error(
        "the store was written by a newer version path=`{path}` schema={found} known={known}; use that \
         version",
        path = path.display()
    )]
    TooNew {
        /// The store.
        path: PathBuf,
        /// The version of its layout.
        found: u64,
        /// The version that this program knows.
        known: u64,
    },
    /// Anything else.
    #[error("the store cannot be opened path=`{path}`", path = path.display())]
    Store {
        /// The store.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: CacheError,
    },
}

/// Opens the store and takes a new epoch, which is durable when this returns: no token of an earlier
/// opening can be handed out again.
pub(crate) fn open(options: &Options) -> Result<(Store, u64), OpenError> {
    let path = || options.path.clone();
    let failed = |source| OpenError::Store { path: path(), source };
    let store = Store::open(&options.path.join("sled")).map_err(|error| match error {
        NotOpened::Locked => {
            let holder = HolderFile::read(&options.path).map(|holder| holder.to_string());
            OpenError::Busy { path: path(), holder }
        }
        NotOpened::Failed(source) => failed(source),
    })?;

    let mut txn = Txn::new(&store);
    let schema = txn.number(&Key::Schema).map_err(failed)?;
    if schema > SCHEMA {
        drop(txn);
        store.close();
        return Err(OpenError::TooNew { path: path(), found: schema, known: SCHEMA });
    }
    let stored = txn.number(&Key::Epoch).map_err(failed)?;
    let unreadable = |error| failed(corrupt(&"epoch", error));
    let recorded = epoch::recorded(&options.path).map_err(unreadable)?;
    if stored < recorded {
        drop(txn);
        store.close();
        let lost = format!(
            "it was opened {recorded} times and remembers {stored}: its log lost what had been acknowledged; \
             restore it from a backup, or move it away and start over"
        );
        return Err(failed(corrupt(&options.path.display(), lost)));
    }
    let epoch = stored.saturating_add(1);
    txn.set_number(&Key::Schema, SCHEMA);
    txn.set_number(&Key::Epoch, epoch);
    let writes = txn.into_writes().into_layer();
    // Not in the journal: by its epoch sled shows that it has not lost what was brought there.
    store.write_through(&writes).map_err(failed)?;
    epoch::record(&options.path, epoch).map_err(unreadable)?;

    let holder = HolderFile::own(&options.holder, options.clock.now());
    if let Err(error) = holder.write(&options.path) {
        tracing::warn!(%error, "a second process will not be told who has the store open");
    }
    Ok((store, epoch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::txn::{Layer, Writes};

    fn options(path: &std::path::Path) -> Options {
        Options {
            path: path.to_owned(),
            clock: Arc::new(downbeat_core::time::ManualClock::default()),
            durability: Durability::Power,
            limits: StreamLimits::default(),
            holder: "a test".to_owned(),
        }
    }

    #[test]
    fn the_epoch_grows_with_every_opening() {
        let directory = tempfile::tempdir().unwrap();
        for expected in 1..4 {
            let (store, epoch) = open(&options(directory.path())).unwrap();
            assert_eq!(epoch, expected);
            store.close();
        }
    }

    #[test]
    fn a_journal_does_not_hide_that_sled_lost_everything() {
        let directory = tempfile::tempdir().unwrap();
        let (mut store, _) = open(&options(directory.path())).unwrap();
        let key = Key::LastOrdinal;
        store
            .take(Writes::of(Layer::from([(key.encode().into(), Some(sled::IVec::from(&[0; 8])))])))
            .unwrap();
        store.write().unwrap();
        let sled = directory.path().join("sled");
        let journal = std::fs::read(sled.join("journal.1")).unwrap();
        store.close();
        for entry in std::fs::read_dir(&sled).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
        }
        std::fs::write(sled.join("journal.1"), journal).unwrap();
        let error = open(&options(directory.path())).unwrap_err();
        let OpenError::Store { source, .. } = error else { panic!("{error:?}") };
        assert!(std::error::Error::source(&source).unwrap().to_string().contains("lost what"), "{source:?}");
    }

    #[test]
    fn a_store_of_schema_one_is_read_and_becomes_one_of_two() {
        let directory = tempfile::tempdir().unwrap();
        let (store, _) = open(&options(directory.path())).unwrap();
        let one = 1_u64.to_be_bytes();
        store
            .write_through(&Layer::from([(Key::Schema.encode().into(), Some(sled::IVec::from(&one)))]))
            .unwrap();
        store.close();
        let (store, epoch) = open(&options(directory.path())).unwrap();
        assert_eq!(epoch, 2);
        assert_eq!(Txn::new(&store).number(&Key::Schema).unwrap(), SCHEMA);
        store.close();
    }

    #[test]
    fn a_store_of_a_newer_version_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (store, _) = open(&options(directory.path())).unwrap();
        let mut txn = Txn::new(&store);
        txn.set_number(&Key::Schema, SCHEMA + 1);
        let writes = txn.into_writes().into_layer();
        store.write_through(&writes).unwrap();
        store.close();
        for _ in 0..2 {
            let error = open(&options(directory.path())).unwrap_err();
            assert!(matches!(error, OpenError::TooNew { found, .. } if found == SCHEMA + 1), "{error:?}");
        }
    }
}
