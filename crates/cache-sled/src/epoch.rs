//! The epoch once more, in a file beside the store: so that a store that lost its log is recognised.
//!
//! sled takes the part of a log that it cannot read for one that was never written, and a log that is
//! cut to nothing for a new store. Then finished work would be done again, and tokens handed out again.
//! The file is written after the store has the epoch, so it is never ahead of a store that is whole.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

const NAME: &str = "epoch";

/// How often the store in `directory` was opened, as far as was recorded; 0 for never.
///
/// Reading it does not open the store: who waits for news of a store that others use looks here first.
///
/// # Errors
///
/// The file cannot be read.
pub fn openings(directory: &Path) -> io::Result<u64> {
    recorded(directory)
}

/// The greatest epoch that was ever recorded here; 0 for none.
pub(crate) fn recorded(directory: &Path) -> io::Result<u64> {
    match std::fs::read_to_string(directory.join(NAME)) {
        Ok(text) => text.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Records an epoch that is durable in the store.
pub(crate) fn record(directory: &Path, epoch: u64) -> io::Result<()> {
    let draft = directory.join("epoch.new");
    let mut file = File::create(&draft)?;
    writeln!(file, "{epoch}")?;
    file.sync_all()?;
    std::fs::rename(&draft, directory.join(NAME))?;
    File::open(directory)?.sync_all()
}
