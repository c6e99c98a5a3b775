//! What a killed sled leaves behind and then stumbles over.
//!
//! sled 0.34 writes a snapshot of its page table as `snap.<lsn>.generating` and renames it when it is
//! whole. When it opens, it takes the newest `snap.*` there is, the half-written one too, and calls the
//! store corrupt (spacejam/sled issue 1527). A snapshot only saves time: the log has everything. Its
//! `conf` is written in place, so that a kill in its first moment leaves half of it, before there is
//! any data.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

/// Removes what an unfinished write left in the directory of a store that nobody has open.
pub(crate) fn clear(directory: &Path) -> io::Result<()> {
    let log = match File::open(directory.join("db")) {
        Ok(log) => log,
        // Without a log there is no data, and `conf` may be half of one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return remove(&directory.join("conf")),
        Err(error) => return Err(error),
    };
    let is_new = log.metadata()?.len() == 0;
    // Who has the lock is at work on these very files.
    let Ok(_lock) = Flock::lock(log, FlockArg::LockExclusiveNonblock) else { return Ok(()) };
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            remove(&entry.path())?;
        }
    }
    if is_new { remove(&directory.join("conf")) } else { Ok(()) }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use sled::IVec;

    use crate::store::Store;
    use crate::txn::{Layer, Writes};

    #[test]
    fn a_half_written_snapshot_does_not_cost_the_store() {
        let place = tempfile::tempdir().unwrap();
        let mut store = Store::open(place.path()).unwrap();
        store.take(Writes::of(Layer::from([(IVec::from(b"key"), Some(IVec::from(b"value")))]))).unwrap();
        store.write().unwrap();
        store.close();
        std::fs::write(place.path().join("snap.FFFFFFFFFFFFFFFF.generating"), b"half").unwrap();
        let store = Store::open(place.path()).unwrap();
        assert_eq!(store.get(b"key").unwrap().as_deref(), Some(b"value".as_slice()));
        store.close();
    }

    #[test]
    fn half_a_configuration_without_data_does_not_cost_the_store() {
        for log in [None, Some("db")] {
            let place = tempfile::tempdir().unwrap();
            std::fs::write(place.path().join("conf"), b"segment_si").unwrap();
            if let Some(log) = log {
                std::fs::write(place.path().join(log), b"").unwrap();
            }
            Store::open(place.path()).unwrap().close();
        }
    }
}
