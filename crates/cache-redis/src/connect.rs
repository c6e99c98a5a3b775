//! What a cache stands on, and why it could not be opened.

use std::path::PathBuf;

use redis::RedisError;

use crate::fault::{Fault, FaultKind, plain};
use crate::info::Info;
use crate::options::Options;

/// The oldest server that will do.
const OLDEST: u32 = 7;

/// Why a cache could not be opened. No message carries a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is none that a cache is found under, or does not go with the other options.
    #[error(
        "not a URL of a Redis server, such as redis://HOST:6379/0, rediss://…, redis+unix:///SOCKET, \
         redis+sentinel://HOST:26379/MASTER or redis+cluster://HOST:6379: {what}"
    )]
    Url {
        /// What is wrong with it, without it.
        what: String,
    },
    /// A file that an option names cannot be read.
    #[error("the file cannot be read path=`{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The environment variable that shall hold the password is not there.
    #[error("the environment variable for the password is not set name=`{name}`")]
    Env {
        /// Its name.
        name: String,
    },
    /// The files for TLS are not what they should be.
    #[error("the CA file, certificate or key cannot be used; each is a PEM file {files}: {what}")]
    Certificates {
        /// Which files were given.
        files: String,
        /// What is wrong.
        what: String,
    },
    /// The server does not answer, or refuses.
    #[error(transparent)]
    Server(#[from] Fault),
    /// Sentinels do not answer, or know no master of that name.
    #[error(
        "no sentinel names a master that answers; check the name, and SENTINEL MASTERS on one of them \
         place=`{place}` master=`{name}` said=`{said}`"
    )]
    NoMaster {
        /// Where they are.
        place: String,
        /// The name.
        name: String,
        /// What they said.
        said: String,
    },
    /// No node of the cluster has the slot of this deployment.
    #[error(
        "no node of the Redis Cluster serves the slot of this deployment; see CLUSTER SLOTS \
         place=`{place}` slot={slot}"
    )]
    NoSlot {
        /// The nodes that were asked.
        place: String,
        /// The slot.
        slot: u16,
    },
    /// The server is a node of a cluster, and keys are not named for that.
    #[error(
        "the Redis server is a node of a cluster, on which keys have to share a hash tag; write \
         redis+cluster:// or choose the key layout `cluster` place=`{place}`"
    )]
    Layout {
        /// Where.
        place: String,
    },
    /// A key that must hold a number holds something else.
    #[error(
        "a key of this deployment is not what Downbeat wrote: {what}; if nothing of the deployment is needed, \
         remove its keys; if somebody wrote this one by hand, remove it (DEL `{key}`): a new number is taken, \
         above every earlier one; if another program uses the same names, give one of both a prefix of its own \
         place=`{place}` key=`{key}`"
    )]
    Garbage {
        /// Where.
        place: String,
        /// Which key.
        key: String,
        /// What is in it.
        what: String,
    },
    /// A later version of Downbeat laid the store out.
    #[error(
        "a later version of Downbeat laid out this deployment; update downbeat place=`{place}` layout={layout} \
         known={known}"
    )]
    Newer {
        /// Where.
        place: String,
        /// The layout of the store.
        layout: String,
        /// The latest that this version knows.
        known: String,
    },
    /// A version from before the first release laid the store out.
    #[error(
        "a version of Downbeat from before its first release laid out this deployment, and this one reads it no \
         more; give it another prefix, or remove its keys place=`{place}`"
    )]
    Older {
        /// Where.
        place: String,
    },
    /// The keys of another program, such as Downbeat's predecessor, are under the same prefix.
    #[error(
        "another program's tasks lie under the same names, as those of Downbeat's predecessor do: nothing was \
         written; give this deployment a prefix of its own, or remove those keys place=`{place}` key=`{key}`"
    )]
    Foreign {
        /// Where.
        place: String,
        /// One of its keys.
        key: String,
    },
    /// The server is too old.
    #[error(
        "a Redis server of version {OLDEST} or later is needed, or Valkey; upgrade it place=`{place}` \
         version=`{version}`"
    )]
    TooOld {
        /// Where.
        place: String,
        /// What it is.
        version: String,
    },
    /// The server may evict keys, and with them tasks.
    #[error(
        "the Redis server evicts keys when its memory is full, and tasks with them; set maxmemory-policy \
         to noeviction, or allow eviction place=`{place}` maxmemory-policy=`{policy}`"
    )]
    Evicts {
        /// Where.
        place: String,
        /// How it chooses what to evict.
        policy: String,
    },
}

impl ConnectError {
    pub(crate) fn of(place: &str, error: &RedisError) -> Self {
        Self::Server(Fault::new(place, error))
    }

    pub(crate) fn no_host() -> Self {
        Self::Url { what: "it names no host".to_owned() }
    }

    /// What the client library says of a URL.
    pub(crate) fn url(error: &RedisError) -> Self {
        Self::Url { what: plain(error) }
    }

    pub(crate) fn certificates(options: &Options, error: &RedisError) -> Self {
        let tls = &options.tls;
        let files = [("ca_file", &tls.ca_file), ("certificate", &tls.certificate), ("key", &tls.key)];
        let files: Vec<String> = files
            .into_iter()
            .filter_map(|(name, path)| path.as_ref().map(|path| format!("{name}=`{}`", path.display())))
            .collect();
        Self::Certificates { files: files.join(" "), what: error.to_string() }
    }

    /// What kind of fault of a server it is, if it is one.
    #[must_use]
    pub const fn kind(&self) -> Option<FaultKind> {
        match self {
            Self::Server(fault) => Some(fault.kind),
            _ => None,
        }
    }

    /// Whether it may do better in a moment, by itself.
    pub(crate) const fn is_passing(&self) -> bool {
        match self {
            Self::Server(fault) => fault.kind.is_elsewhere() || fault.kind.is_later(),
            Self::NoMaster { .. } | Self::NoSlot { .. } => true,
            _ => false,
        }
    }
}

/// Whether a cache may stand on this server.
pub(crate) fn check(info: &Info, place: &str, options: &Options) -> Result<(), ConnectError> {
    let place = place.to_owned();
    let version = info.version();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST) {
        return Err(ConnectError::TooOld { place, version: version.to_owned() });
    }
    if info.get("role") == "slave" {
        let fault = Fault { kind: FaultKind::Replica, place, said: String::new() };
        return Err(ConnectError::Server(fault));
    }
    if info.is_cluster() && !options.is_cluster() {
        return Err(ConnectError::Layout { place });
    }
    let policy = info.get("maxmemory_policy");
    if policy != "noeviction" && !options.allow_eviction {
        return Err(ConnectError::Evicts { place, policy: policy.to_owned() });
    }
    if info.get("aof_enabled") != "1" {
        tracing::warn!(
            place,
            "the Redis server keeps no append-only file: what it acknowledged may be lost when it ends"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nrole:master\r\n\
        maxmemory_policy:noeviction\r\naof_enabled:1\r\ncluster_enabled:0\r\n";

    #[test]
    fn what_a_cache_cannot_stand_on_is_refused() {
        let options = Options::new("redis://here");
        let check = |from: &str, to: &str| check(&Info::parse(&SOUND.replace(from, to)), "here", &options);
        assert!(check("", "").is_ok());
        assert!(matches!(check("7.0.15", "6.2.1"), Err(ConnectError::TooOld { .. })));
        assert_eq!(check("master", "slave").unwrap_err().kind(), Some(FaultKind::Replica));
        assert!(matches!(check("noeviction", "allkeys-lru"), Err(ConnectError::Evicts { .. })));
        assert!(matches!(check("cluster_enabled:0", "cluster_enabled:1"), Err(ConnectError::Layout { .. })));
        // Valkey says a Redis version for old clients, and its own beside it.
        assert!(check("redis_version:7.0.15", "redis_version:7.2.4\r\nvalkey_version:8.1.1").is_ok());
    }
}
