//! Every promise of a cache, proved on a Redis Cluster of three nodes.
//!
//! A cluster takes seconds to start, so that checks share a few, one at a time each, and each check has a
//! deployment of its own: several hash tags, spread over the nodes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod throwaway;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use downbeat_cache_redis::{Options, RedisCache};
use downbeat_core::cache::Cache;
use downbeat_core::conformance::{Fixture, Subject};
use downbeat_core::time::ManualClock;
use throwaway::cluster::Cluster;

/// Clusters that no check has at the moment. Their servers end with this process.
static IDLE: Mutex<Vec<Cluster>> = Mutex::new(Vec::new());
static DEPLOYMENTS: AtomicU32 = AtomicU32::new(0);

/// Opens each cache as a deployment of its own.
struct TempCluster;

struct Opened {
    cache: RedisCache,
    clock: Arc<ManualClock>,
    prefix: String,
    cluster: Option<Cluster>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        IDLE.lock().unwrap().extend(self.cluster.take());
    }
}

async fn open(cluster: &Cluster, prefix: &str, clock: &Arc<ManualClock>) -> RedisCache {
    let options =
        Options { clock: Some(clock.clone()), prefix: prefix.to_owned(), ..Options::new(cluster.url()) };
    RedisCache::connect(options).await.unwrap()
}

#[async_trait]
impl Fixture for TempCluster {
    async fn open(&self) -> Box<dyn Subject> {
        let idle = IDLE.lock().unwrap().pop();
        let cluster = idle.unwrap_or_else(|| Cluster::start(&[]));
        let clock = Arc::new(ManualClock::default());
        let prefix = format!("d{}:", DEPLOYMENTS.fetch_add(1, Ordering::Relaxed));
        let cache = open(&cluster, &prefix, &clock).await;
        Box::new(Opened { cache, clock, prefix, cluster: Some(cluster) })
    }

    /// The same functions as on one server.
    fn runs(&self) -> u64 {
        40
    }
}

#[async_trait]
impl Subject for Opened {
    fn cache(&self) -> Arc<dyn Cache> {
        Arc::new(self.cache.clone())
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// The node that has the deployment is killed, and another process reads what it left.
    async fn reopen(&mut self) {
        let cluster = self.cluster.as_mut().expect("open");
        let owner = cluster.owner(&format!("{{{}}}", self.prefix.trim_end_matches(':')));
        cluster.nodes[owner].crash();
        cluster.wait();
        self.cache = open(cluster, &self.prefix, &self.clock).await;
    }
}

downbeat_core::conformance_suite!(TempCluster);
