//! From a directory or a URL to a cache: the only place that names a concrete one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use downbeat_cache_redis::{ConnectError, RedisCache};
use downbeat_cache_sled::{Durability as Sled, OpenError, Options, SledCache};
use downbeat_core::cache::{Cache, CacheError, Tasks};
use downbeat_core::time::Clock;

use crate::config::Durability;
use crate::config::cache::{self, Redis};
use crate::error::{CliError, Kind, chain};

/// How often a store that somebody holds is tried again: other commands hold it for a moment only.
const TRIES: u32 = 6;
/// Between two tries.
const BETWEEN: Duration = Duration::from_millis(100);

/// Where the state lies.
#[derive(Debug, Clone)]
pub(crate) enum Lies {
    /// In a directory, which one process has at a time.
    Here(PathBuf),
    /// On a server, which many processes share.
    Shared(Redis),
}

/// How to open a store.
#[derive(Debug)]
pub(crate) struct How<'a> {
    /// Where it lies.
    pub(crate) lies: &'a Lies,
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
/// Another process holds it, it cannot be reached, or it cannot be read.
pub(crate) async fn open(how: &How<'_>) -> Result<Arc<dyn Cache>, CliError> {
    match how.lies {
        Lies::Here(path) => Ok(Arc::new(open_sled(how, path).await?)),
        Lies::Shared(redis) => Ok(Arc::new(open_redis(redis).await?)),
    }
}

async fn open_redis(redis: &Redis) -> Result<RedisCache, CliError> {
    let later = [
        (redis.cluster_layout, "`--key-layout cluster`"),
        (redis.wait > 0, "`--redis-wait`"),
        (redis.password_file.is_some(), "`--redis-password-file`"),
    ];
    if let Some((_, what)) = later.iter().find(|(wanted, _)| *wanted) {
        return Err(CliError::bad_input(format!("{what} is not built into this version yet")));
    }
    let mut options = downbeat_cache_redis::Options::new(&redis.url);
    options.prefix.clone_from(&redis.prefix);
    options.allow_eviction = redis.allow_eviction;
    RedisCache::connect(options).await.map_err(|error| unreachable(&error, redis))
}

/// Why a server will not do, and what to do about it.
fn unreachable(error: &ConnectError, redis: &Redis) -> CliError {
    let message = chain(error);
    debug_assert!(
        !message.contains(&redis.url) || !cache::has_secret(&redis.url),
        "no error shows a password"
    );
    let refused = CliError::new(Kind::Unreachable, message);
    match error {
        ConnectError::Evicts { .. } => refused
            .hint("`redis-cli CONFIG SET maxmemory-policy noeviction`, and in its configuration file")
            .hint("--allow-eviction takes it as it is: what it evicts is lost"),
        _ => refused,
    }
}

/// How often the store was opened, without opening it; 0 where that cannot be known.
pub(crate) fn openings(path: &Path) -> u64 {
    downbeat_cache_sled::openings(path).unwrap_or_default()
}

/// What is to be known about a store.
#[derive(Debug)]
pub(crate) struct Health {
    /// How often it was opened, where that is known.
    pub(crate) openings: Option<u64>,
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
    match how.lies {
        Lies::Here(path) => {
            let cache = open_sled(how, path).await?;
            let faults = cache.audit().await?;
            let goals = Tasks::goals(&cache).await?.len();
            Ok(Health { openings: Some(cache.epoch()), goals, faults })
        }
        Lies::Shared(redis) => {
            let cache = open_redis(redis).await?;
            let goals = Tasks::goals(&cache).await?.len();
            Ok(Health { openings: None, goals, faults: Vec::new() })
        }
    }
}

async fn open_sled(how: &How<'_>, path: &Path) -> Result<SledCache, CliError> {
    let mut tries = 1;
    loop {
        let options = Options {
            path: path.to_path_buf(),
            clock: Arc::clone(how.clock),
            durability: match how.durability {
                Durability::Power => Sled::Power,
                Durability::Process => Sled::Process,
            },
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
