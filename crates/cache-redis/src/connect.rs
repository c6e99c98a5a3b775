//! What a cache is opened with, and what it stands on.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use downbeat_core::cache::StreamLimits;
use downbeat_core::time::Clock;

/// The oldest server that will do.
const OLDEST: u32 = 7;

/// Where a cache is.
#[derive(Clone)]
pub struct Options {
    /// `redis://[user:password@]host:port/[database]`, or `redis+unix:///path`.
    pub url: String,
    /// Begins every key, so that several deployments share a server. Empty for none.
    pub prefix: String,
    /// Whether a server that evicts keys when its memory is full will do. What it evicts is lost.
    pub allow_eviction: bool,
    /// How many entries streams keep. Those of the newest connection hold for the whole deployment.
    pub limits: StreamLimits,
    /// Only for tests: the time, in place of the server's.
    pub clock: Option<Arc<dyn Clock>>,
}

impl Options {
    /// A deployment of its own on the server at `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: String::new(),
            allow_eviction: false,
            limits: StreamLimits::default(),
            clock: None,
        }
    }
}

impl fmt::Debug for Options {
    /// Without the URL, which may carry a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Why a cache could not be opened. No message carries a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is none that a cache is found under.
    #[error("not a URL of a Redis server; it begins with redis:// or redis+unix://")]
    Url {
        /// What is wrong with it.
        #[source]
        source: redis::RedisError,
    },
    /// Nobody answers there.
    #[error("no Redis server answers place=`{place}`")]
    Unreachable {
        /// Where.
        place: String,
        /// What happened.
        #[source]
        source: redis::RedisError,
    },
    /// The server wants another user or password.
    #[error("the Redis server refuses the user or the password place=`{place}`")]
    Refused {
        /// Where.
        place: String,
        /// What it said.
        #[source]
        source: redis::RedisError,
    },
    /// The server is too old.
    #[error("a Redis server of version {OLDEST} or later is needed place=`{place}` version=`{version}`")]
    TooOld {
        /// Where.
        place: String,
        /// What it is.
        version: String,
    },
    /// The server may evict keys, and with them tasks.
    #[error(
        "the Redis server evicts keys when its memory is full; set maxmemory-policy to noeviction \
         place=`{place}` maxmemory-policy=`{policy}`"
    )]
    Evicts {
        /// Where.
        place: String,
        /// How it chooses what to evict.
        policy: String,
    },
    /// The server is a replica.
    #[error("the Redis server is a replica and takes no writes; connect to its master place=`{place}`")]
    Replica {
        /// Where.
        place: String,
    },
}

/// What a server says about itself.
#[derive(Debug)]
pub(crate) struct Info(HashMap<String, String>);

impl Info {
    pub(crate) fn parse(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Self(fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Differs between any two processes of servers.
    pub(crate) fn run_id(&self) -> &str {
        self.get("run_id")
    }

    /// Whether a cache may stand on this server.
    pub(crate) fn check(&self, place: &str, allow_eviction: bool) -> Result<(), ConnectError> {
        let place = place.to_owned();
        let version = self.get("redis_version");
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < OLDEST) {
            return Err(ConnectError::TooOld { place, version: version.to_owned() });
        }
        if self.get("role") == "slave" {
            return Err(ConnectError::Replica { place });
        }
        let policy = self.get("maxmemory_policy");
        if policy != "noeviction" && !allow_eviction {
            return Err(ConnectError::Evicts { place, policy: policy.to_owned() });
        }
        if self.get("aof_enabled") != "1" {
            tracing::warn!(
                place,
                "the Redis server keeps no append-only file: what it acknowledged may be lost when it ends"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nrole:master\r\n\
        maxmemory_policy:noeviction\r\naof_enabled:1\r\n";

    #[test]
    fn what_a_cache_cannot_stand_on_is_refused() {
        let check = |from: &str, to: &str| Info::parse(&SOUND.replace(from, to)).check("here", false);
        assert!(check("", "").is_ok());
        assert!(matches!(check("7.0.15", "6.2.1"), Err(ConnectError::TooOld { .. })));
        assert!(matches!(check("master", "slave"), Err(ConnectError::Replica { .. })));
        assert!(matches!(check("noeviction", "allkeys-lru"), Err(ConnectError::Evicts { .. })));
        assert_eq!(Info::parse(SOUND).run_id(), "abc");
    }
}
