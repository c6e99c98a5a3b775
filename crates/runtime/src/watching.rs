//! Says when a file may have changed: by events of the file system, and by looking where there are none.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tracing::debug;

/// Between two looks at a file whose changes nobody tells of.
const POLL: Duration = Duration::from_millis(40);

/// Between two looks at a file whose changes are told of; this is for news that got lost.
const RECHECK: Duration = Duration::from_secs(2);

/// File systems on which others may write without a word to this machine, by their magic numbers: NFS, SMB,
/// CIFS, SMB2, FUSE, 9P, Ceph, AFS, Coda, Lustre, GFS2, OCFS2.
///
/// Source: `linux/magic.h`, statfs(2).
#[cfg(target_os = "linux")]
const REMOTE: [i64; 12] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x6573_5546,
    0x0102_1997,
    0x00c3_6400,
    0x5346_414f,
    0x7375_7245,
    0x0bd0_0bd0,
    0x0116_1970,
    0x7461_636f,
];

/// What changes when a file does, as far as its directory knows: for a look without opening it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stamp(Option<(u64, u64, u64, i64, i64)>);

impl Stamp {
    fn of(path: &Path) -> Self {
        let stamp = std::fs::metadata(path).ok();
        Self(stamp.map(|data| (data.dev(), data.ino(), data.len(), data.mtime(), data.mtime_nsec())))
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("armed", &self.armed)
            .field("polls", &self.polls)
            .finish_non_exhaustive()
    }
}

/// Watches some files, which need not exist, nor their directories. Directories are watched and not the files,
/// since an editor that saves puts another file in the place of the old one.
pub(crate) struct Watch {
    /// Nothing tells of changes without it.
    events: Option<RecommendedWatcher>,
    shared: Arc<Shared>,
    /// What is watched, and which inode that was.
    armed: HashMap<PathBuf, (u64, u64)>,
    files: Vec<Watched>,
    polls: bool,
}

/// One of the files.
struct Watched {
    /// As it was given.
    path: PathBuf,
    /// As events name it.
    absolute: PathBuf,
    /// As it was seen last.
    seen: Stamp,
}

/// What the watcher's thread hands on.
struct Shared {
    news: Mutex<News>,
    wake: Notify,
}

#[derive(Default)]
struct News {
    /// Paths that matter: the files, and all directories above them.
    files: HashSet<PathBuf>,
    above: HashSet<PathBuf>,
    changed: HashSet<PathBuf>,
    /// Anything may have changed.
    all: bool,
}

impl Shared {
    fn hear(&self, heard: notify::Result<notify::Event>) {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        match heard {
            // Reading is what we do ourselves.
            Ok(event) if matches!(event.kind, EventKind::Access(_)) && !event.need_rescan() => return,
            Ok(event) if event.need_rescan() => news.all = true,
            Ok(event) => {
                let mut matters = false;
                for path in &event.paths {
                    if news.files.contains(path) {
                        news.changed.insert(path.clone());
                        matters = true;
                    } else if news.above.contains(path) {
                        news.all = true;
                        matters = true;
                    }
                }
                if !matters {
                    return;
                }
            }
            Err(error) => {
                debug!(target: "runtime", "watching files: {error}");
                news.all = true;
            }
        }
        drop(news);
        self.wake.notify_one();
    }
}

impl Watch {
    /// Watches these files. Those that are there are told of once, with the first news or soon: what happened
    /// between a look at them and this is not missed.
    pub(crate) fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let files = paths.into_iter().map(|path| Watched {
            // Without a current directory there is nothing to be relative to.
            absolute: std::path::absolute(&path).unwrap_or_else(|_| path.clone()),
            seen: Stamp::default(),
            path,
        });
        let files: Vec<Watched> = files.collect();
        let above = files.iter().flat_map(|file| file.absolute.ancestors().skip(1).map(Path::to_path_buf));
        let news = News {
            files: files.iter().map(|file| file.absolute.clone()).collect(),
            above: above.collect(),
            ..News::default()
        };
        let shared = Arc::new(Shared { news: Mutex::new(news), wake: Notify::new() });
        let ear = Arc::clone(&shared);
        let events = match files.is_empty() {
            true => None,
            false => notify::recommended_watcher(move |heard| ear.hear(heard))
                .inspect_err(|error| debug!(target: "runtime", "files are polled: {error}"))
                .ok(),
        };
        let mut watch = Self { events, shared, armed: HashMap::new(), files, polls: false };
        while watch.arm() {}
        watch
    }

    /// Watches each file's directory and the one above it; while there is none, the nearest that is there.
    /// A directory that was replaced is watched anew. Says whether anything is watched that was not.
    fn arm(&mut self) -> bool {
        let mut wanted: HashMap<PathBuf, (u64, u64)> = HashMap::new();
        let inode = |path: &Path| {
            let data = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_dir)?;
            Some((data.dev(), data.ino()))
        };
        let mut remote = false;
        for file in &self.files {
            let own = directory(&file.absolute);
            let mut there = own.ancestors().filter_map(|path| Some((path.to_path_buf(), inode(path)?)));
            let nearest = there.next();
            remote |= nearest.as_ref().is_some_and(|(path, _)| is_remote(path));
            // Events of a link's target are told where the target is.
            remote |= std::fs::symlink_metadata(&file.absolute).is_ok_and(|data| data.is_symlink());
            wanted.extend(nearest);
            wanted.extend(there.next());
        }
        let mut news = false;
        self.polls = remote || self.events.is_none();
        let Some(events) = &mut self.events else { return false };
        self.armed.retain(|path, inode| {
            let kept = wanted.get(path) == Some(inode);
            if !kept {
                // What is gone is watched no more anyway.
                let _ = events.unwatch(path);
            }
            kept
        });
        for (path, inode) in wanted {
            if self.armed.contains_key(&path) {
                continue;
            }
            match events.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.armed.insert(path, inode);
                    news = true;
                }
                Err(error) => {
                    debug!(target: "runtime", "{} is polled: {error}", path.display());
                    self.polls = true;
                }
            }
        }
        news
    }

    /// Waits until some of the files may have changed, and says which.
    ///
    /// It may be dropped while it waits, and loses nothing by that.
    pub(crate) async fn changed(&mut self) -> HashSet<PathBuf> {
        loop {
            let period = if self.polls { POLL } else { RECHECK };
            let told = tokio::time::timeout(period, self.shared.wake.notified()).await.is_ok();
            let (told_of, all) = {
                let mut news = self.shared.news.lock().unwrap_or_else(PoisonError::into_inner);
                (std::mem::take(&mut news.changed), std::mem::take(&mut news.all))
            };
            if all || !told {
                // Below a directory that has just been found there may be a further one by now.
                while self.arm() {}
            }
            let mut changed = HashSet::new();
            for file in &mut self.files {
                let now = Stamp::of(&file.path);
                if all || now != file.seen || told_of.contains(&file.absolute) {
                    changed.insert(file.path.clone());
                }
                file.seen = now;
            }
            if !changed.is_empty() {
                return changed;
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn is_remote(path: &Path) -> bool {
    nix::sys::statfs::statfs(path)
        .is_ok_and(|data| REMOTE.contains(&(data.filesystem_type().0 & 0xffff_ffff)))
}

#[cfg(not(target_os = "linux"))]
fn is_remote(_: &Path) -> bool {
    true
}

/// The directory that a file stands in.
pub(crate) fn directory(path: &Path) -> &Path {
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
    async fn a_directory_that_vanishes_and_one_that_comes_later_are_heard_of() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("deep/er");
        let file = directory.join("a.md");
        let mut watch = Watch::new([file.clone()]);

        for text in ["one", "another"] {
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(&file, text).unwrap();
            hears(&mut watch).await;
            // Whether one look or two heard of it all.
            while tokio::time::timeout(Duration::from_millis(50), watch.changed()).await.is_ok() {}
            std::fs::remove_dir_all(root.path().join("deep")).unwrap();
            hears(&mut watch).await;
        }
    }

    #[tokio::test]
    async fn what_changed_is_named_as_it_was_given() {
        let root = tempfile::Builder::new().tempdir_in(".").unwrap();
        let relative = PathBuf::from(root.path().file_name().unwrap()).join("a.md");
        std::fs::write(&relative, "one").unwrap();
        let other = root.path().join("b.md");
        let mut watch = Watch::new([relative.clone(), other]);
        std::fs::write(&relative, "two").unwrap();
        assert_eq!(watch.changed().await, HashSet::from([relative]));
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
