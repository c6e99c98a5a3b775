//! What a cache stands on, for a person: facts, and what is at risk.

use std::collections::HashMap;

use downbeat_core::cache::CacheError;
use redis::Value;
use serde::Serialize;

use crate::cache::RedisCache;
use crate::info::Info;
use crate::reply::{list, text};

/// A clock that is further off than this is a fault.
const CLOCK_BOUND_MS: u64 = 1000;

/// How the master is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By its address.
    Single,
    /// Through sentinels.
    Sentinel,
    /// As the node of a Redis Cluster that has the deployment's slot.
    Cluster,
}

/// What a server is, and what that means for what is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Facts {
    /// The master's address.
    pub place: String,
    /// `redis` or `valkey`.
    pub kind: &'static str,
    /// Its version.
    pub version: String,
    /// How it is found.
    pub mode: Mode,
    /// `master`, or `slave` when it was just demoted.
    pub role: String,
    /// What every key begins with.
    pub prefix: String,
    /// The bound of its memory in bytes; 0 for none.
    pub maxmemory: u64,
    /// Its memory in use, in bytes.
    pub used_memory: u64,
    /// What it does at the bound.
    pub maxmemory_policy: String,
    /// Whether it keeps an append-only file.
    pub append_only: bool,
    /// How often that file is synced (`always`, `everysec`, `no`). `None` when `CONFIG GET` is forbidden.
    pub append_fsync: Option<String>,
    /// When it saves snapshots, as `seconds changes …`; empty for never. `None` as above.
    pub save: Option<String>,
    /// How far its clock is ahead of this machine's, in milliseconds; half a round trip uncertain.
    pub clock_ahead_ms: i64,
    /// How many replicas are connected.
    pub replicas: u64,
    /// How many replicas have to acknowledge a write.
    pub wait_replicas: u32,
    /// The epoch of the tokens that are handed out now.
    pub epoch: u64,
    /// What may be lost and when, a sentence each. Empty when there is nothing to say.
    pub risks: Vec<String>,
}

impl RedisCache {
    /// What this cache stands on.
    ///
    /// # Errors
    ///
    /// [`CacheError::Unavailable`] when the server does not answer.
    pub async fn facts(&self) -> Result<Facts, CacheError> {
        let server = &self.server;
        let answer = server.read(&redis::cmd("INFO")).await?;
        let info = Info::parse(&text(answer).unwrap_or_default());
        let mut config = redis::cmd("CONFIG");
        config.arg("GET").arg("appendfsync").arg("save");
        // Managed servers and careful administrators forbid it.
        let config: Option<HashMap<String, String>> = server.read(&config).await.ok().map(|answer| {
            let mut parts = list(answer).into_iter().filter_map(text);
            std::iter::from_fn(|| parts.next().zip(parts.next())).collect()
        });
        let setting = |name: &str| config.as_ref().and_then(|config| config.get(name).cloned());
        let before = host_now();
        let time = server.read(&redis::cmd("TIME")).await?;
        let after = host_now();
        let clock_ahead_ms = millis(time).saturating_sub(before.midpoint(after));
        let mut facts = Facts {
            place: server.master_place().await,
            kind: if info.is_valkey() { "valkey" } else { "redis" },
            version: info.version().to_owned(),
            mode: if info.is_cluster() {
                Mode::Cluster
            } else if server.is_sentinel() {
                Mode::Sentinel
            } else {
                Mode::Single
            },
            role: info.get("role").to_owned(),
            prefix: server.keys.prefix().to_owned(),
            maxmemory: info.number("maxmemory"),
            used_memory: info.number("used_memory"),
            maxmemory_policy: info.get("maxmemory_policy").to_owned(),
            append_only: info.get("aof_enabled") == "1",
            append_fsync: setting("appendfsync"),
            save: setting("save"),
            clock_ahead_ms,
            replicas: info.number("connected_slaves"),
            wait_replicas: server.wait_replicas(),
            epoch: server.epoch(),
            risks: Vec::new(),
        };
        facts.risks = risks(&facts, &info);
        Ok(facts)
    }
}

#[expect(clippy::disallowed_methods, reason = "two clocks are compared, and this is one of them")]
fn host_now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// The answer to `TIME` in milliseconds.
fn millis(time: Value) -> i64 {
    let mut parts = list(time).into_iter().filter_map(text).map(|part| part.parse::<i64>().unwrap_or(0));
    let (seconds, micros) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    seconds.saturating_mul(1000).saturating_add(micros / 1000)
}

fn risks(facts: &Facts, info: &Info) -> Vec<String> {
    let mut risks = Vec::new();
    let mut risk = |text: &str| risks.push(text.to_owned());
    if !facts.append_only {
        let saves = facts.save.as_deref().is_some_and(|save| !save.is_empty());
        risk(if saves {
            "No append-only file: when the server ends, what was acknowledged since its last snapshot is \
             lost. Set appendonly yes."
        } else {
            "Nothing is kept on disk: when the server ends, everything is lost. Set appendonly yes."
        });
    }
    match facts.append_fsync.as_deref() {
        Some("everysec") if facts.append_only => risk(
            "The append-only file is synced every second: when the machine loses power, up to a second of \
             what was acknowledged is lost; when only the server is killed, nothing. For more set \
             appendfsync always.",
        ),
        Some("no") if facts.append_only => risk(
            "The append-only file is never synced: when the machine loses power, about half a minute of \
             what was acknowledged is lost. Set appendfsync everysec or always.",
        ),
        _ => {}
    }
    if facts.append_only && info.get("aof_last_write_status") == "err" {
        risk("The server could not write its append-only file: it refuses writes. Look at its disk and log.");
    }
    if info.get("rdb_last_bgsave_status") == "err" {
        risk("The server's last snapshot failed. Look at its disk and log.");
    }
    if facts.maxmemory_policy != "noeviction" {
        risk(
            "The server evicts keys when its memory is full: tasks vanish. Set maxmemory-policy noeviction.",
        );
    }
    if facts.maxmemory == 0 {
        risk(
            "The server's memory has no bound: when the machine's is used up, the kernel may kill it. Set \
             maxmemory.",
        );
    } else if facts.used_memory / 9 >= facts.maxmemory / 10 {
        risk("The server's memory is over nine tenths full: soon it refuses writes. Raise maxmemory.");
    }
    if facts.clock_ahead_ms.unsigned_abs() > CLOCK_BOUND_MS {
        risk(
            "The server's clock and this machine's differ by more than a second. Leases follow the \
             server's; times on screens will look odd. Run NTP on both.",
        );
    }
    if facts.wait_replicas == 0 && (facts.replicas > 0 || facts.mode != Mode::Single) {
        risk(
            "Writes are acknowledged before replicas have them: a fail-over may lose the last ones. Ask \
             for acknowledgement by 1 replica.",
        );
    }
    if u64::from(facts.wait_replicas) > facts.replicas {
        risk("Fewer replicas are connected than have to acknowledge a write: plan and settle will fail.");
    }
    risks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_micros_are_milliseconds() {
        let time = Value::Array(vec![
            Value::BulkString(b"1700000000".to_vec()),
            Value::BulkString(b"123456".to_vec()),
        ]);
        assert_eq!(millis(time), 1_700_000_000_123);
    }
}
