//! The journal: what was decided and may not be in sled yet.
//!
//! sled takes some ten microseconds a key and a flush of its own for each batch. So a group of operations
//! is made durable as one record of a file, as fast as the disk takes it, and goes to sled later, many
//! groups at once: see [`pending`](crate::pending). A record has happened when it is whole; whoever opens
//! the store after a kill applies all records in order, and applying them twice is the same as once.
//!
//! There are one or two files: the one that is written, `journal.<number>`, and the one before while it is
//! being applied. A file begins with [`MAGIC`] and its number. A record is its length, the CRC-32 of what
//! follows, the number of pairs, then each pair: the length of its key, the key, 0 for a removal or 1, and
//! then the length of the value and the value. Numbers are big-endian, u32 but for that of the file. A
//! record that is cut off ends the newest file: nobody was told of it. So do zeros, which are room for
//! records to come.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sled::IVec;

use crate::txn::Layer;

const MAGIC: &[u8; 8] = b"dbjourn\x02";

/// Of files that have no room behind their records.
const MAGIC_1: &[u8; 8] = b"dbjourn\x01";

/// The beginning of a file.
const HEADER: usize = 16;
const START: u64 = 16;

/// How much memory is kept for records to come, in bytes.
const KEPT_RECORD: usize = 1024 * 1024;

/// How much room is made in a file at a time, at first and at most, in bytes. A write into room that is
/// there changes no length, so that a sync of it takes two thirds of the time on ext4.
const ROOM: (u64, u64) = (32 * 1024, 256 * 1024);

static ZEROS: [u8; 256 * 1024] = [0; 256 * 1024];

/// The file that is written.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
    number: u64,
    file: Arc<File>,
    /// Its name is durable, or will be by a [`SyncPoint`] that was handed out.
    named: bool,
    /// Where the next record begins.
    end: u64,
    /// From `end` up to here it is zeros.
    room: u64,
    /// The next record, put together here: eight bytes for its head, four for the number of its pairs, the
    /// pairs.
    record: Vec<u8>,
    pairs: u32,
}

/// What makes what was written until now survive the loss of power, on any thread.
#[derive(Debug)]
pub(crate) struct SyncPoint {
    file: Arc<File>,
    /// Whose entry for the file is not durable.
    directory: Option<PathBuf>,
}

impl SyncPoint {
    /// Does it.
    pub(crate) fn run(&self) -> io::Result<()> {
        self.file.sync_data()?;
        match &self.directory {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }

    /// One that fails.
    #[cfg(test)]
    pub(crate) fn failing() -> Self {
        // What is no file on a disk cannot be synced.
        Self { file: Arc::new(File::open("/dev/null").unwrap()), directory: None }
    }

    /// This and an earlier one, as one, if they are of one file.
    pub(crate) fn with(self, earlier: Self) -> (Self, Option<Self>) {
        if Arc::ptr_eq(&self.file, &earlier.file) {
            (Self { file: self.file, directory: self.directory.or(earlier.directory) }, None)
        } else {
            (self, Some(earlier))
        }
    }
}

impl Journal {
    /// Begins a file, which must not be there. It is durable when this returns: a file system may have
    /// the length of a file that was never synced, with zeros in the place of its header.
    pub(crate) fn begin(directory: &Path, number: u64) -> io::Result<Self> {
        let mut file = File::options().write(true).create_new(true).open(path(directory, number))?;
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&number.to_be_bytes());
        file.write_all(&header)?;
        let mut journal = Self { end: START, room: START, ..Self::left(directory, number, file) };
        journal.sync()?;
        Ok(journal)
    }

    /// One that an earlier process left, to be synced and removed.
    fn left(directory: &Path, number: u64, file: File) -> Self {
        Self {
            directory: directory.to_owned(),
            number,
            file: Arc::new(file),
            named: false,
            end: 0,
            room: 0,
            record: Vec::new(),
            pairs: 0,
        }
    }

    /// The one after it. Of this one nothing can be lost any more, so that none that another one follows
    /// is ever cut off.
    pub(crate) fn next(&mut self) -> io::Result<Self> {
        self.file.set_len(self.end)?;
        self.sync()?;
        Self::begin(&self.directory, self.number.saturating_add(1))
    }

    /// Removes it: everything in it is durable in the store.
    ///
    /// That it is gone is durable too when this returns. Else a loss of power could bring it back, and the
    /// next opening would write its old values over newer ones that were acknowledged since.
    pub(crate) fn remove(self) -> io::Result<()> {
        std::fs::remove_file(path(&self.directory, self.number))?;
        File::open(&self.directory)?.sync_all()
    }

    /// Which one it is.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Adds pairs to the next record.
    pub(crate) fn add(&mut self, layer: &Layer) -> io::Result<()> {
        if self.record.is_empty() {
            self.record.extend_from_slice(&[0; 12]);
            self.pairs = 0;
        }
        let pairs = u32::try_from(layer.len()).ok().and_then(|pairs| self.pairs.checked_add(pairs));
        self.pairs = pairs.ok_or_else(too_long)?;
        encode(layer, &mut self.record)
    }

    /// How many pairs the next record has.
    pub(crate) fn pairs(&self) -> usize {
        if self.record.is_empty() { 0 } else { usize::try_from(self.pairs).unwrap_or(usize::MAX) }
    }

    /// Writes the record. When this returns it survives the death of the process.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        let Some((head, body)) = self.record.split_first_chunk_mut::<8>() else { return Ok(()) };
        if let Some(pairs) = body.first_chunk_mut::<4>() {
            *pairs = self.pairs.to_be_bytes();
        }
        let sum = crc32fast::hash(body).to_be_bytes();
        head.copy_from_slice(&[length(body.len())?, sum].concat());
        let end = u64::try_from(self.record.len()).ok().and_then(|size| self.end.checked_add(size));
        let end = end.ok_or_else(too_long)?;
        self.file.write_all_at(&self.record, self.end)?;
        self.end = end;
        if end > self.room {
            // Without room a sync takes longer, no more: a disk that has just enough left is no fault.
            let _ = self.make_room();
        }
        self.record.clear();
        // One plan may have been a hundred megabytes.
        self.record.shrink_to(KEPT_RECORD);
        Ok(())
    }

    /// Writes zeros behind the end: as many as are there already, within bounds.
    fn make_room(&mut self) -> io::Result<()> {
        let size = usize::try_from(self.end.clamp(ROOM.0, ROOM.1)).unwrap_or(ZEROS.len());
        let zeros = ZEROS.get(..size).unwrap_or(&ZEROS);
        self.file.write_all_at(zeros, self.end)?;
        self.room = self.end.saturating_add(u64::try_from(zeros.len()).unwrap_or(0));
        Ok(())
    }

    /// What makes what was written survive the loss of power.
    pub(crate) fn sync_point(&mut self) -> SyncPoint {
        let named = std::mem::replace(&mut self.named, true);
        SyncPoint { file: Arc::clone(&self.file), directory: (!named).then(|| self.directory.clone()) }
    }

    /// Does that.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.sync_point().run()
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a record of the journal is too long")
}

/// The files that an earlier process left, the oldest first, and what they say together. The newest one ends
/// behind its last whole record from now on, also when power is lost: so another one may follow it.
pub(crate) fn read(directory: &Path) -> io::Result<(Vec<Journal>, Layer)> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("journal."));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    let (mut journals, mut layer) = (Vec::new(), Layer::new());
    let last = numbers.last().copied();
    for number in numbers {
        let path = path(directory, number);
        let bytes = std::fs::read(&path)?;
        let end = replay(&bytes, number, &mut layer)?;
        if last == Some(number) {
            let file = File::options().write(true).open(&path)?;
            file.set_len(u64::try_from(end).map_err(io::Error::other)?)?;
            // Also when nothing is cut off: what is written to the next one rests on all of this one, which a
            // kill may have left unsynced.
            file.sync_all()?;
        } else if end < bytes.len() {
            let damaged = format!("{} is damaged", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, damaged));
        }
        journals.push(Journal::left(directory, number, File::open(&path)?));
    }
    Ok((journals, layer))
}

/// Adds the records of a file. Returns where the last whole one ends.
fn replay(bytes: &[u8], number: u64, layer: &mut Layer) -> io::Result<usize> {
    let Some((header, mut rest)) = bytes.split_at_checked(HEADER) else {
        // Killed before the header was written.
        return Ok(0);
    };
    if bytes.len() == HEADER && header.iter().all(|byte| *byte == 0) {
        // Power was lost before the header was durable.
        return Ok(0);
    }
    let known = |magic: &[u8; 8]| header == [magic.as_slice(), &number.to_be_bytes()].concat();
    if !known(MAGIC) && !known(MAGIC_1) {
        let strange = format!("journal.{number} is none that this version knows");
        return Err(io::Error::new(io::ErrorKind::InvalidData, strange));
    }
    while !rest.is_empty() {
        // What has no body is room, where the next record would have been.
        let whole = record(rest).filter(|(body, sum, _)| !body.is_empty() && crc32fast::hash(body) == *sum);
        let Some((body, _, tail)) = whole else { break };
        let pairs = decode(body)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a record of a journal is damaged"))?;
        layer.extend(pairs);
        rest = tail;
    }
    Ok(bytes.len() - rest.len())
}

/// The first record: its body, its sum, and what is behind it.
fn record(bytes: &[u8]) -> Option<(&[u8], u32, &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let (body, tail) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*size)).ok()?)?;
    Some((body, u32::from_be_bytes(*sum), tail))
}

fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("journal.{number}"))
}

fn length(bytes: usize) -> io::Result<[u8; 4]> {
    let length = u32::try_from(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(length.to_be_bytes())
}

/// Pairs, as a record and the file of [`redo`](crate::redo) have them behind their number.
fn encode(layer: &Layer, bytes: &mut Vec<u8>) -> io::Result<()> {
    for (key, value) in layer {
        bytes.extend_from_slice(&length(key.len())?);
        bytes.extend_from_slice(key);
        match value {
            None => bytes.push(0),
            Some(value) => {
                bytes.push(1);
                bytes.extend_from_slice(&length(value.len())?);
                bytes.extend_from_slice(value);
            }
        }
    }
    Ok(())
}

/// The pairs that [`encode`] wrote behind their number; `None` when it did not.
pub(crate) fn decode(bytes: &[u8]) -> Option<Layer> {
    let mut rest = bytes;
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
pub(crate) mod tests {
    use super::*;

    pub(crate) fn large() -> Layer {
        let pair = |n: u32| (IVec::from(&n.to_be_bytes()), Some(IVec::from(format!("value {n}").as_bytes())));
        let mut layer: Layer = (0..20_000).map(pair).collect();
        layer.insert(IVec::from(b"gone"), None);
        layer
    }

    pub(crate) fn encoded(layer: &Layer) -> Vec<u8> {
        let mut bytes = length(layer.len()).unwrap().to_vec();
        encode(layer, &mut bytes).unwrap();
        bytes
    }

    fn append(journal: &mut Journal, layer: &Layer) {
        journal.add(layer).unwrap();
        journal.write().unwrap();
    }

    fn one(key: &str, value: Option<&str>) -> Layer {
        Layer::from([(IVec::from(key), value.map(IVec::from))])
    }

    #[test]
    fn the_files_together_say_what_was_added_to_them() {
        let place = tempfile::tempdir().unwrap();
        let mut first = Journal::begin(place.path(), 9).unwrap();
        append(&mut first, &large());
        append(&mut first, &one("a", Some("old")));
        let mut second = first.next().unwrap();
        append(&mut second, &one("a", Some("new")));
        append(&mut second, &one("gone", Some("back")));
        second.sync().unwrap();

        let mut expected = large();
        expected.extend(one("a", Some("new")));
        expected.extend(one("gone", Some("back")));
        let (journals, layer) = read(place.path()).unwrap();
        assert_eq!(layer, expected);
        assert_eq!(journals.iter().map(Journal::number).collect::<Vec<_>>(), [9, 10]);

        journals.into_iter().for_each(|journal| journal.remove().unwrap());
        let (journals, layer) = read(place.path()).unwrap();
        assert!(journals.is_empty() && layer.is_empty());
    }

    #[test]
    fn a_record_that_is_cut_off_never_happened_and_those_before_did() {
        let place = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(place.path(), 1).unwrap();
        append(&mut journal, &one("a", Some("1")));
        let before = journal.end;
        append(&mut journal, &one("b", Some("2")));
        let end = usize::try_from(journal.end).unwrap();
        let whole = std::fs::read(path(place.path(), 1)).unwrap();
        assert!(whole.len() > end && whole[end..].iter().all(|byte| *byte == 0), "there is room");
        assert_eq!(read(place.path()).unwrap().1.len(), 2);
        // As much of it as reached the disk, in a file that was shorter before, or had room.
        for room in [0, whole.len() - end] {
            for cut in 0..end {
                let torn = [&whole[..cut], &vec![0; room]].concat();
                std::fs::write(path(place.path(), 1), torn).unwrap();
                let kept = if cut < usize::try_from(before).unwrap() { 0 } else { 1 };
                let found = read(place.path());
                if cut < HEADER && cut + room >= HEADER {
                    // The header was there before there was any room.
                    assert!(found.is_err(), "cut at {cut}");
                } else {
                    assert_eq!(found.unwrap().1.len(), kept, "cut at {cut}");
                }
            }
        }
        let whole = whole[..end].to_vec();
        for cut in 0..end {
            std::fs::write(path(place.path(), 1), &whole[..cut]).unwrap();
            let kept =
                if cut < usize::try_from(before).unwrap() { Layer::new() } else { one("a", Some("1")) };
            assert_eq!(read(place.path()).unwrap().1, kept, "cut at {cut}");
        }
        // A bit that fell over.
        let mut damaged = whole;
        *damaged.last_mut().unwrap() ^= 1;
        std::fs::write(path(place.path(), 1), damaged).unwrap();
        assert_eq!(read(place.path()).unwrap().1, one("a", Some("1")));
    }

    /// Killed with a record half written and room behind it, opened, and killed before it was applied.
    #[test]
    fn one_that_a_kill_left_may_be_followed() {
        let place = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(place.path(), 1).unwrap();
        append(&mut journal, &one("a", Some("1")));
        journal.file.write_all_at(b"half", journal.end).unwrap();
        assert_eq!(read(place.path()).unwrap().0.len(), 1);
        append(&mut Journal::begin(place.path(), 2).unwrap(), &one("b", Some("2")));
        assert_eq!(read(place.path()).unwrap().0.len(), 2);
        // Of the third not even the header was written.
        std::fs::write(path(place.path(), 3), &MAGIC[..5]).unwrap();
        for openings in 3..6 {
            let (journals, layer) = read(place.path()).unwrap();
            assert_eq!((journals.len(), layer.len()), (openings, 2));
            Journal::begin(place.path(), u64::try_from(openings).unwrap() + 1).unwrap();
        }
    }

    /// A file system may have its length and nothing of what is in it, until it is synced.
    #[test]
    fn one_that_a_loss_of_power_left_before_its_header_was_durable_is_empty() {
        let place = tempfile::tempdir().unwrap();
        append(&mut Journal::begin(place.path(), 1).unwrap(), &one("a", Some("1")));
        assert_eq!(read(place.path()).unwrap().0.len(), 1);
        for length in 1..=HEADER {
            std::fs::write(path(place.path(), 2), vec![0; length]).unwrap();
            assert_eq!(read(place.path()).unwrap().1, one("a", Some("1")), "{length} bytes");
            assert_eq!(std::fs::metadata(path(place.path(), 2)).unwrap().len(), 0);
        }
        std::fs::write(path(place.path(), 2), [0; HEADER + 1]).unwrap();
        assert!(read(place.path()).is_err(), "behind a header that is durable");
    }

    #[test]
    fn what_cannot_have_been_cut_off_is_damaged() {
        let place = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(place.path(), 1).unwrap();
        append(&mut journal, &one("a", Some("1")));
        journal.next().unwrap();
        let whole = std::fs::read(path(place.path(), 1)).unwrap();
        std::fs::write(path(place.path(), 1), &whole[..whole.len() - 1]).unwrap();
        assert!(read(place.path()).is_err(), "a file that another one follows");
        std::fs::write(path(place.path(), 1), [whole.as_slice(), &[0; 64]].concat()).unwrap();
        assert!(read(place.path()).is_err(), "one that was not ended before the other one was begun");
        std::fs::write(path(place.path(), 1), b"dbjourn\x09\0\0\0\0\0\0\0\x01").unwrap();
        assert!(read(place.path()).is_err(), "a version that is not known");
    }
}
