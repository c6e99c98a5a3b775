//! From a directory to a cache: the only place that names a concrete one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use downbeat_cache_sled::{Durability as Sled, OpenError, Options, SledCache};
use downbeat_core::cache::{Cache, CacheError};
use downbeat_core::time::Clock;

use crate::config::Durability;
use crate::error::{CliError, Kind, chain};

/// How often a store that somebody holds is tried again: other commands hold it for a moment only.
const TRIES: u32 = 6;
/// Between two tries.
const BETWEEN: Duration = Duration::from_millis(100);

/// How to open a store.
#[derive(Debug)]
pub(crate) struct How<'a> {
    /// The directory.
    pub(crate) path: &'a Path,
    /// When an acknowledged write is safe.
    pub(crate) durability: Durability,
    /// Where it gets its time from.
    pub(crate) clock: &'a Arc<dyn Clock>,
    /// What this process is, for the message to others.
    pub(crate) holder: &'a str,
}

/// Opens the store, and makes it if there is none.
///
/// # Errors
///
/// Another process holds it, or it cannot be read.
pub(crate) async fn open(how: &How<'_>) -> Result<Arc<dyn Cache>, CliError> {
    Ok(Arc::new(open_sled(how).await?))
}

/// How often the store was opened, without opening it; 0 where that cannot be known.
pub(crate) fn openings(path: &Path) -> u64 {
    downbeat_cache_sled::openings(path).unwrap_or_default()
}

/// What is to be known about a store that nobody holds.
#[derive(Debug)]
pub(crate) struct Health {
    /// How often it was opened.
    pub(crate) openings: u64,
    /// How many goals it knows.
    pub(crate) goals: usize,
    /// Everything that contradicts itself in it; nothing in a sound store.
    pub(crate) faults: Vec<String>,
}

/// Opens the store and reads all of it.
///
/// # Errors
///
/// As [`open`], and what cannot be read.
pub(crate) async fn examine(how: &How<'_>) -> Result<Health, CliError> {
    let cache = open_sled(how).await?;
    let faults = cache.audit().await?;
    let goals = downbeat_core::cache::Tasks::goals(&cache).await?.len();
    Ok(Health { openings: cache.epoch(), goals, faults })
}

async fn open_sled(how: &How<'_>) -> Result<SledCache, CliError> {
    let mut tries = 1;
    loop {
        let options = Options {
            path: how.path.to_path_buf(),
            clock: Arc::clone(how.clock),
            durability: match how.durability {
                Durability::Power => Sled::Power,
                Durability::Process => Sled::Process,
            },
            limits: downbeat_core::cache::StreamLimits::default(),
            holder: how.holder.to_owned(),
        };
        // Opening reads the whole log.
        let opened = tokio::task::spawn_blocking(move || SledCache::open(options)).await;
        match opened.map_err(|error| CliError::internal("the store could not be opened", &error))? {
            Ok(cache) => return Ok(cache),
            Err(OpenError::Busy { .. }) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(BETWEEN).await;
            }
            Err(error) => return Err(refused(&error)),
        }
    }
}

fn refused(error: &OpenError) -> CliError {
    match error {
        OpenError::Busy { path, holder } => {
            let holder = holder.as_deref().unwrap_or("another process");
            let message = format!("the store {} is held by {holder}", path.display());
            CliError::new(Kind::Busy, message)
                .hint("wait for its end, or stop it with Ctrl-C: the next run carries on")
        }
        OpenError::TooNew { .. } => CliError::new(Kind::Internal, chain(error)).hint("update downbeat"),
        OpenError::Store { source: CacheError::Corrupt { .. }, .. } => {
            CliError::new(Kind::Internal, chain(error))
                .hint("`downbeat run --fresh` starts over and keeps this store beside the new one")
        }
        error => CliError::new(Kind::Internal, chain(error)),
    }
}
