//! The files that steer agents: watched, and each of their lines acts once.
//!
//! `echo "PAUSE" >> heartbeat/research.md` acts as soon as the file system tells of it. The files belong to
//! their users: nothing here ever writes one. How far a file was read is kept in a record of the cache, so
//! that a line acts once over restarts, and whoever else reads the file. `docs/heartbeats.md` says what
//! happens on each kind of edit.
//!
//! In reading order: `file` (what a file says), `cursor` (what of it is new), `reader` (has it act),
//! `files` (which files steer whom).

mod cursor;
mod file;
mod files;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::Cache;
use tokio::time::Instant;
use tracing::warn;

pub use files::SteeringFile;
use reader::Reader;

use crate::watching::Watch;

/// After this long a store that did not answer is asked again.
const AGAIN: Duration = Duration::from_millis(250);

/// Reads the files that steer agents, as long as it runs.
///
/// Of several orchestrators only the one that leads runs it; an agent that is a process of its own runs it
/// for its own file. That both read the same file does no harm.
#[derive(Debug)]
pub struct Heartbeats {
    readers: Vec<Reader>,
    watch: Watch,
    /// When each is looked at though nothing told of a change.
    due: HashMap<usize, Instant>,
    /// Those that are to be looked at now, until they were.
    touched: BTreeSet<usize>,
}

impl Heartbeats {
    /// Nothing is read yet, but what changes from now on is noticed.
    #[must_use]
    pub fn new(cache: &Arc<dyn Cache>, files: Vec<SteeringFile>) -> Self {
        let paths: HashSet<PathBuf> = files.iter().map(|file| file.path.clone()).collect();
        let watch = Watch::new(paths);
        let readers = files.into_iter().map(|file| Reader::new(Arc::clone(cache), file)).collect();
        Self { readers, watch, due: HashMap::new(), touched: BTreeSet::new() }
    }

    /// Looks at every file once: what stands there holds before anything else begins.
    pub async fn look(&mut self) {
        let all: Vec<usize> = (0..self.readers.len()).collect();
        self.look_at(&all).await;
        // A file that was made with `printf PAUSE` has no last end of line; it is at rest all the same.
        if let Some(due) = self.due.values().min().copied()
            && due <= Instant::now() + Duration::from_millis(50)
        {
            tokio::time::sleep_until(due).await;
            let due = self.take_due();
            self.look_at(&due).await;
        }
    }

    /// Reads on until it is dropped. It may be called again then: a look that was cut off is made up for.
    pub async fn run(&mut self) -> std::convert::Infallible {
        loop {
            if self.touched.is_empty() {
                self.wait().await;
            }
            let indices: Vec<usize> = self.touched.iter().copied().collect();
            self.look_at(&indices).await;
            self.touched.clear();
        }
    }

    /// Waits until some file may have changed, or is due.
    async fn wait(&mut self) {
        let changed = match self.due.values().min().copied() {
            Some(due) => tokio::time::timeout_at(due, self.watch.changed()).await.unwrap_or_default(),
            None => self.watch.changed().await,
        };
        let due = self.take_due();
        self.touched.extend(due);
        let changed =
            self.readers.iter().enumerate().filter(|(_, reader)| changed.contains(&reader.file.path));
        self.touched.extend(changed.map(|(index, _)| index));
    }

    fn take_due(&mut self) -> Vec<usize> {
        let now = Instant::now();
        self.due.extract_if(|_, due| *due <= now).map(|(index, _)| index).collect()
    }

    /// Files are independent of each other: none waits for what another one sets off.
    async fn look_at(&mut self, indices: &[usize]) {
        let chosen = self.readers.iter_mut().enumerate().filter(|(index, _)| indices.contains(index));
        let looks = chosen.map(|(index, reader)| async move {
            match reader.look().await {
                Ok(again) => (index, again),
                Err(error) => {
                    warn!(target: "runtime", "{} could not be followed: {error}", reader.file.name);
                    (index, Some(Instant::now() + AGAIN))
                }
            }
        });
        for (index, again) in futures::future::join_all(looks).await {
            match again {
                Some(again) => self.due.insert(index, again),
                None => self.due.remove(&index),
            };
        }
    }
}
