//! A large write that is carried out in steps: the file that makes it whole.
//!
//! The file is written and synced under another name and then renamed: from that moment on the write
//! has happened, and whoever opens the store applies the file again from its beginning. Applying it
//! twice is the same as once. It is removed when everything in it is durable in the store.
//!
//! Layout: [`MAGIC`], the number of pairs, then each pair: the length of its key, the key, 0 for a
//! removal or 1, and then the length of the value and the value. Numbers are u32, big-endian.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use sled::IVec;

use crate::txn::Layer;

const MAGIC: &[u8; 8] = b"dbredo\x00\x01";

/// A large write that has happened and may not be in the store yet.
#[derive(Debug)]
pub(crate) struct Redo {
    directory: PathBuf,
    path: PathBuf,
}

impl Redo {
    /// Makes a large write durable in the directory of the store.
    pub(crate) fn write(directory: &Path, layer: &Layer) -> io::Result<Self> {
        let (draft, path) = (directory.join("redo.draft"), directory.join("redo"));
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&draft)?);
        file.write_all(MAGIC)?;
        file.write_all(&length(layer.len())?)?;
        for (key, value) in layer {
            file.write_all(&length(key.len())?)?;
            file.write_all(key)?;
            match value {
                None => file.write_all(&[0])?,
                Some(value) => {
                    file.write_all(&[1])?;
                    file.write_all(&length(value.len())?)?;
                    file.write_all(value)?;
                }
            }
        }
        file.into_inner()?.sync_all()?;
        std::fs::rename(&draft, &path)?;
        File::open(directory)?.sync_all()?;
        Ok(Self { directory: directory.to_owned(), path })
    }

    /// What an earlier process left to be finished.
    pub(crate) fn read(directory: &Path) -> io::Result<Option<(Self, Layer)>> {
        // What was never renamed never happened.
        remove_if_there(&directory.join("redo.draft"))?;
        let path = directory.join("redo");
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(mut file) => file.read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let layer = decode(&bytes).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", path.display()))
        })?;
        Ok(Some((Self { directory: directory.to_owned(), path }, layer)))
    }

    /// Everything in it is durable in the store.
    ///
    /// That it is gone is durable too when this returns. Else a loss of power could bring it back, and
    /// the next opening would write its old values over newer ones that were acknowledged since.
    pub(crate) fn remove(self) -> io::Result<()> {
        remove_if_there(&self.path)?;
        File::open(&self.directory)?.sync_all()
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn length(bytes: usize) -> io::Result<[u8; 4]> {
    let length = u32::try_from(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(length.to_be_bytes())
}

fn decode(bytes: &[u8]) -> Option<Layer> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut layer = Layer::new();
    for _ in 0..number(&mut rest)? {
        let key = IVec::from(part(&mut rest)?);
        let (kind, tail) = rest.split_first()?;
        rest = tail;
        let value = match kind {
            0 => None,
            1 => Some(IVec::from(part(&mut rest)?)),
            _ => return None,
        };
        layer.insert(key, value);
    }
    rest.is_empty().then_some(layer)
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    let (number, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    usize::try_from(u32::from_be_bytes(*number)).ok()
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let count = number(rest)?;
    let (part, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    fn large() -> Layer {
        let pair = |n: u32| (IVec::from(&n.to_be_bytes()), Some(IVec::from(format!("value {n}").as_bytes())));
        let mut layer: Layer = (0..20_000).map(pair).collect();
        layer.insert(IVec::from(b"gone"), None);
        layer
    }

    #[test]
    fn a_large_write_reads_back_what_it_wrote() {
        let place = tempfile::tempdir().unwrap();
        Redo::write(place.path(), &large()).unwrap();
        let (redo, read) = Redo::read(place.path()).unwrap().unwrap();
        assert_eq!(read, large());
        redo.remove().unwrap();
        assert!(Redo::read(place.path()).unwrap().is_none());
    }

    #[test]
    fn a_damaged_file_is_refused_and_a_draft_never_happened() {
        let place = tempfile::tempdir().unwrap();
        Redo::write(place.path(), &large()).unwrap();
        let path = place.path().join("redo");
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 7, 11, 100, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(Redo::read(place.path()).is_err(), "cut at {cut}");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(place.path().join("redo.draft"), &whole).unwrap();
        assert!(Redo::read(place.path()).unwrap().is_none());
    }

    #[test]
    fn the_next_opening_finishes_what_a_kill_left() {
        let place = tempfile::tempdir().unwrap();
        {
            let store = Store::open(place.path()).unwrap();
            store.write(&Layer::from([(IVec::from(b"gone"), Some(IVec::from(b"x")))])).unwrap();
            store.close();
        }
        // Killed right after the rename: the file is there, and nothing of it is in the store.
        Redo::write(place.path(), &large()).unwrap();
        let store = Store::open(place.path()).unwrap();
        assert_eq!(store.get(&7u32.to_be_bytes()).unwrap().as_deref(), Some(b"value 7".as_slice()));
        assert_eq!(store.get(b"gone").unwrap(), None);
        assert!(Redo::read(place.path()).unwrap().is_none());
        store.close();
    }
}
