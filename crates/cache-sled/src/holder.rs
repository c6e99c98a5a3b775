//! Who has a store open: a small file beside it, for the message to whoever comes second.

use std::path::{Path, PathBuf};

use downbeat_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HolderFile {
    pub(crate) pid: u32,
    pub(crate) host: String,
    /// What the process is.
    pub(crate) program: String,
    /// When it opened the store.
    pub(crate) since: Timestamp,
}

impl HolderFile {
    /// This process.
    pub(crate) fn own(program: &str, since: Timestamp) -> Self {
        let host = nix::unistd::gethostname().map(|host| host.to_string_lossy().into_owned());
        Self { pid: std::process::id(), host: host.unwrap_or_default(), program: program.to_owned(), since }
    }

    fn path(directory: &Path) -> PathBuf {
        directory.join("holder.json")
    }

    /// Replaces the file, so that nobody reads half of it.
    pub(crate) fn write(&self, directory: &Path) -> std::io::Result<()> {
        let new = directory.join("holder.json.new");
        std::fs::write(&new, serde_json::to_vec(self)?)?;
        std::fs::rename(new, Self::path(directory))
    }

    /// What the file says; `None` when there is none that can be read.
    pub(crate) fn read(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path(directory)).ok()?).ok()
    }

    pub(crate) fn remove(directory: &Path) {
        // Nobody believes the file while the store can be locked.
        let _ = std::fs::remove_file(Self::path(directory));
    }
}

impl std::fmt::Display for HolderFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pid, host, program, since } = self;
        write!(f, "{program}, process {pid} on {host}, since {since}")
    }
}
