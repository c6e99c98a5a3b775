//! A large write of a store of schema 1, which was carried out in steps: the file that makes it whole.
//!
//! It was written and synced under another name and then renamed: from that moment on the write had
//! happened. Since schema 2 the [`journal`](crate::journal) does this for every write.
//!
//! Layout: [`MAGIC`], then pairs as a record of the journal has them.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::journal;
use crate::txn::Layer;

const MAGIC: &[u8; 8] = b"dbredo\x00\x01";

/// What an earlier process left to be finished.
pub(crate) fn read(directory: &Path) -> io::Result<Option<Layer>> {
    // What was never renamed never happened.
    remove_if_there(&directory.join("redo.draft"))?;
    let path = directory.join("redo");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let layer = bytes.strip_prefix(MAGIC).and_then(journal::decode).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", path.display()))
    })?;
    Ok(Some(layer))
}

/// Everything in it is durable in the store. That it is gone is durable too when this returns.
pub(crate) fn remove(directory: &Path) -> io::Result<()> {
    remove_if_there(&directory.join("redo"))?;
    File::open(directory)?.sync_all()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use sled::IVec;

    use super::*;
    use crate::journal::tests::{encoded, large};
    use crate::store::Store;
    use crate::txn::Writes;

    fn written() -> Vec<u8> {
        [MAGIC.as_slice(), &encoded(&large())].concat()
    }

    #[test]
    fn a_damaged_file_is_refused_and_a_draft_never_happened() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("redo");
        let whole = written();
        for cut in [0, 7, 11, 100, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(read(place.path()).is_err(), "cut at {cut}");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(place.path().join("redo.draft"), &whole).unwrap();
        assert!(read(place.path()).unwrap().is_none());
    }

    #[test]
    fn the_next_opening_finishes_what_a_kill_left() {
        let place = tempfile::tempdir().unwrap();
        {
            let mut store = Store::open(place.path()).unwrap();
            store.take(Writes::of(Layer::from([(IVec::from(b"gone"), Some(IVec::from(b"x")))]))).unwrap();
            store.write().unwrap();
            store.close();
        }
        // Killed right after the rename: the file is there, and nothing of it is in the store.
        std::fs::write(place.path().join("redo"), written()).unwrap();
        let store = Store::open(place.path()).unwrap();
        assert_eq!(store.get(&7u32.to_be_bytes()).unwrap().as_deref(), Some(b"value 7".as_slice()));
        assert_eq!(store.get(b"gone").unwrap(), None);
        assert!(read(place.path()).unwrap().is_none());
        store.close();
    }
}
