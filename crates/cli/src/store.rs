//! From a directory or a URL to a cache: the only place that names a concrete one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use downbeat_cache_redis::{ConnectError, FaultKind, KeyLayout, Password, RedisCache, Tls};
use downbeat_cache_sled::{Durability as Sled, OpenError, Options, SledCache};
use downbeat_core::cache::{Cache, CacheError, StreamLimits, Tasks};
use downbeat_core::time::Clock;

use crate::api;
use crate::config::Durability;
use crate::config::cache::{Http, Redis};
use crate::error::{CliError, Kind, chain};
use crate::output::text::{bytes, counted};

/// How often a store that somebody holds is tried again: other commands hold it for a moment only.
pub(crate) const TRIES: u32 = 6;
/// Between two tries.
pub(crate) const BETWEEN: Duration = Duration::from_millis(100);

/// Where the state lies.
#[derive(Debug, Clone)]
pub(crate) enum Lies {
    /// In a directory, which one process has at a time.
    Here(PathBuf),
    /// On a server, which many processes share.
    Shared(Redis),
    /// With another process, which serves it over TCP.
    Remote(Http),
}

/// How to open a store.
#[derive(Debug)]
pub(crate) struct How<'a> {
    /// Where it lies.
    pub(crate) lies: &'a Lies,
    /// When an acknowledged write is safe.
    pub(crate) durability: Durability,
    /// How many entries its streams keep.
    pub(crate) limits: StreamLimits,
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
        Lies::Here(path) => Ok(Arc::new(open_sled(how, path, TRIES).await?)),
        Lies::Shared(redis) => Ok(Arc::new(open_redis(how, redis).await?)),
        Lies::Remote(remote) => Ok(Arc::new(api::reach(remote, Duration::ZERO).await?.0)),
    }
}

/// As [`open`], without waiting for whoever holds a store.
///
/// # Errors
///
/// As [`open`].
pub(crate) async fn open_now(how: &How<'_>) -> Result<Arc<dyn Cache>, CliError> {
    match how.lies {
        Lies::Here(path) => Ok(Arc::new(open_sled(how, path, 1).await?)),
        Lies::Shared(_) | Lies::Remote(_) => open(how).await,
    }
}

/// The variable of the environment that may hold the password of Redis.
pub(crate) const PASSWORD: &str = "DOWNBEAT_REDIS_PASSWORD";

/// The variable of the environment that may hold the password of the sentinels.
pub(crate) const SENTINEL_PASSWORD: &str = "DOWNBEAT_REDIS_SENTINEL_PASSWORD";

async fn open_redis(how: &How<'_>, redis: &Redis) -> Result<RedisCache, CliError> {
    let mut options = downbeat_cache_redis::Options::new(&redis.url);
    options.prefix.clone_from(&redis.prefix);
    options.layout = if redis.cluster_layout { KeyLayout::Cluster } else { KeyLayout::Plain };
    options.wait_replicas = redis.wait;
    options.limits = how.limits;
    options.allow_eviction = redis.allow_eviction;
    options.password = match &redis.password_file {
        Some(path) => Password::File(path.clone()),
        None if std::env::var_os(PASSWORD).is_some_and(|text| !text.is_empty()) => {
            Password::Env(PASSWORD.to_owned())
        }
        None => Password::Url,
    };
    if std::env::var_os(SENTINEL_PASSWORD).is_some_and(|text| !text.is_empty()) {
        options.sentinel_password = Password::Env(SENTINEL_PASSWORD.to_owned());
    }
    options.tls = Tls {
        ca_file: redis.ca_file.clone(),
        certificate: redis.certificate.clone(),
        key: redis.key.clone(),
    };
    RedisCache::connect(options).await.map_err(|error| unreachable(&error, &redis.url))
}

/// Why a server will not do, and what to do about it.
fn unreachable(error: &ConnectError, url: &str) -> CliError {
    let kind = match error {
        ConnectError::Url { .. }
        | ConnectError::File { .. }
        | ConnectError::Env { .. }
        | ConnectError::Certificates { .. } => Kind::BadInput,
        _ => Kind::Unreachable,
    };
    let refused = CliError::new(kind, chain(error));
    match (error, error.kind()) {
        (_, Some(FaultKind::Unreachable | FaultKind::Unknown)) => {
            refused.hint("without `--cache` the state lies in a directory of the project, for one machine")
        }
        (_, Some(FaultKind::Login)) => refused.hint(format!(
            "the password comes from `--redis-password-file`, ${PASSWORD}, or the URL in $DOWNBEAT_CACHE"
        )),
        (_, Some(FaultKind::Tls)) => refused.hint(
            "`rediss://` speaks TLS, `redis://` does not; `redis_ca_file` names an authority that the system does not \
             trust",
        ),
        (ConnectError::Url { .. }, _) if url.contains('@') => refused.hint(format!(
            "in a password, `/` is written as %2F, `?` as %3F, `#` as %23, `@` as %40 and `%` as %25; \
             `--redis-password-file` and ${PASSWORD} take it as it is"
        )),
        (ConnectError::Evicts { .. }, _) => {
            refused.hint("`--allow-eviction` takes it as it is: what it evicts is lost")
        }
        (ConnectError::Foreign { .. }, _) => refused
            .hint("`--redis-prefix NAME:` or $DOWNBEAT_REDIS_PREFIX gives it a prefix of its own")
            .hint("`redis://HOST:PORT/1` is another database of the same server"),
        (ConnectError::Layout { .. }, _) => refused.hint("`--key-layout cluster`"),
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
    /// What it stands on, in a line; nothing for a directory.
    pub(crate) stands_on: Option<String>,
    /// What may be lost and when, a sentence each.
    pub(crate) risks: Vec<String>,
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
            let cache = open_sled(how, path, TRIES).await?;
            let faults = cache.audit().await?;
            let goals = Tasks::goals(&cache).await?.len();
            let openings = Some(cache.epoch());
            Ok(Health { openings, goals, stands_on: None, risks: Vec::new(), faults })
        }
        Lies::Shared(redis) => {
            let cache = open_redis(how, redis).await?;
            let goals = Tasks::goals(&cache).await?.len();
            let facts = cache.facts().await?;
            let synced = facts.append_fsync.as_deref().unwrap_or("as it is configured");
            let log = match facts.append_only {
                true => format!("append-only file synced {synced}"),
                false => "no append-only file".to_owned(),
            };
            let stands_on = format!(
                "{} {}, {log}, {}, {} in use, {}, clock {} ms ahead",
                facts.kind,
                facts.version,
                facts.maxmemory_policy,
                bytes(facts.used_memory),
                counted(usize::try_from(facts.replicas).unwrap_or(usize::MAX), "replica"),
                facts.clock_ahead_ms
            );
            let stands_on = Some(stands_on);
            Ok(Health { openings: None, goals, stands_on, risks: facts.risks, faults: Vec::new() })
        }
        Lies::Remote(remote) => {
            let (cache, about) = api::reach(remote, Duration::ZERO).await?;
            let goals = Tasks::goals(&cache).await?.len();
            let stands_on = Some(about.holder());
            Ok(Health { openings: None, goals, stands_on, risks: Vec::new(), faults: Vec::new() })
        }
    }
}

async fn open_sled(how: &How<'_>, path: &Path, most: u32) -> Result<SledCache, CliError> {
    let mut tries = 1;
    loop {
        let options = Options {
            path: path.to_path_buf(),
            clock: Arc::clone(how.clock),
            durability: match how.durability {
                Durability::Power => Sled::Power,
                Durability::Process => Sled::Process,
            },
            limits: how.limits,
            holder: how.holder.to_owned(),
        };
        // Opening reads the whole log.
        let opened = tokio::task::spawn_blocking(move || SledCache::open(options)).await;
        match opened.map_err(|error| CliError::internal("the store could not be opened", &error))? {
            Ok(cache) => return Ok(cache),
            Err(OpenError::Busy { .. }) if tries < most => {
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
        error => CliError::new(Kind::Internal, chain(error))
            .remedy(error)
            .hint("`--store DIR` puts the store elsewhere"),
    }
}
