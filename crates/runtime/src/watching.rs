//! Says when a file may have changed: by events of the file system, and by looking where there are none.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tracing::debug;

/// Between two looks at a file whose changes nobody tells of.
const POLL: Duration = Duration::from_millis(100);

/// Between two looks at a file whose changes are told of; this is for news that got lost.
const RECHECK: Duration = Duration::from_secs(2);

/// What changes when a file does, as far as its directory knows: for a look without opening it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stamp(Option<(u64, u64, u64, i64, i64)>);

impl Stamp {
    fn of(path: &Path) -> Self {
        let stamp = std::fs::metadata(path).ok();
        Self(stamp.map(|data| (data.dev(), data.ino(), data.len(), data.mtime(), data.mtime_nsec())))
    }
}

/// Watches some files, which need not exist. Their directories are watched and not they, since an editor
/// that saves puts another file in the place of the old one.
pub(crate) struct Watch {
    /// Nothing tells of changes without it; kept because it ends when it is dropped.
    _events: Option<RecommendedWatcher>,
    wake: Arc<Notify>,
    files: BTreeMap<PathBuf, Stamp>,
    period: Duration,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Watch {
    /// Watches these files. What changed before this is no news.
    pub(crate) fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let files: BTreeMap<PathBuf, Stamp> =
            files.into_iter().map(|path| (path.clone(), Stamp::of(&path))).collect();
        let wake = Arc::new(Notify::new());
        let names: Mutex<HashSet<std::ffi::OsString>> =
            Mutex::new(files.keys().filter_map(|path| Some(path.file_name()?.to_owned())).collect());
        let ear = Arc::clone(&wake);
        let watcher = notify::recommended_watcher(move |heard: notify::Result<notify::Event>| {
            let names = names.lock().unwrap_or_else(PoisonError::into_inner);
            let matters = match &heard {
                Ok(event) if event.need_rescan() => true,
                // Reading is what we do ourselves.
                Ok(event) if matches!(event.kind, EventKind::Access(_)) => false,
                Ok(event) => {
                    event.paths.iter().any(|path| path.file_name().is_some_and(|name| names.contains(name)))
                }
                Err(_) => true,
            };
            if matters {
                ear.notify_one();
            }
        });
        let mut period = RECHECK;
        let events = match watcher {
            Ok(mut watcher) => {
                for directory in files.keys().map(|path| directory(path)).collect::<HashSet<_>>() {
                    if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                        debug!(target: "runtime", "{} is polled: {error}", directory.display());
                        period = POLL;
                    }
                }
                Some(watcher)
            }
            Err(error) => {
                debug!(target: "runtime", "files are polled: {error}");
                period = POLL;
                None
            }
        };
        // Others may write to what is behind a link without a word here.
        if files.keys().any(|path| path.is_symlink()) {
            period = POLL;
        }
        Self { _events: events, wake, files, period }
    }

    /// Waits until one of the files is another one than it was. It may be dropped while it waits, and loses
    /// nothing by that.
    pub(crate) async fn changed(&mut self) {
        loop {
            let _ = tokio::time::timeout(self.period, self.wake.notified()).await;
            let mut news = false;
            for (path, seen) in &mut self.files {
                let now = Stamp::of(path);
                news |= now != *seen;
                *seen = now;
            }
            if news {
                return;
            }
        }
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn hears(watch: &mut Watch) {
        tokio::time::timeout(Duration::from_secs(10), watch.changed()).await.unwrap();
    }

    #[tokio::test]
    async fn every_way_of_changing_a_file_is_heard() {
        let root = tempfile::tempdir().unwrap();
        let (file, other) = (root.path().join("a.md"), root.path().join("b.md"));
        std::fs::write(&file, "one").unwrap();
        let mut watch = Watch::new([file.clone(), other.clone()]);

        std::fs::write(&file, "two!").unwrap();
        hears(&mut watch).await;
        std::fs::write(root.path().join(".a.md.swp"), "three").unwrap();
        std::fs::rename(root.path().join(".a.md.swp"), &file).unwrap();
        hears(&mut watch).await;
        std::fs::remove_file(&file).unwrap();
        hears(&mut watch).await;
        std::fs::write(&other, "it was not there").unwrap();
        hears(&mut watch).await;
    }

    #[tokio::test]
    async fn what_is_beside_the_files_is_no_news() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a.md");
        std::fs::write(&file, "one").unwrap();
        let mut watch = Watch::new([file]);
        std::fs::write(root.path().join("c.md"), "no matter").unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(300), watch.changed()).await.is_err());
    }
}
