//! A deployment on a Redis Cluster while slots move and nodes end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod throwaway;

use std::sync::Arc;
use std::time::Duration;

use downbeat_cache_redis::{KeyLayout, Mode, Options, RedisCache};
use downbeat_core::cache::{CacheError, EVENTS, Streams, Tasks, Topic};
use downbeat_core::ids::StreamName;
use throwaway::cluster::{Cluster, node};
use throwaway::work::{dones, plan, repeated, settle, token, work};
use throwaway::{Server, until};

const KEY: &str = "{downbeat}:epoch";

async fn open(cluster: &Cluster) -> RedisCache {
    RedisCache::connect(Options::new(cluster.url())).await.unwrap()
}

/// Moves the slot of the deployment as `redis-cli --cluster reshard` does, some keys at a time.
fn migrate(cluster: &Cluster, from: usize, to: usize, mut between: impl FnMut()) {
    let slot = cluster.slot(KEY).to_string();
    let (source, target) = (&cluster.nodes[from], &cluster.nodes[to]);
    let (from_id, to_id) = (source.text(&["CLUSTER", "MYID"]), target.text(&["CLUSTER", "MYID"]));
    target.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    source.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    loop {
        let keys: Vec<String> =
            redis::from_redis_value(source.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "50"])).unwrap();
        if keys.is_empty() {
            break;
        }
        let port = target.port().to_string();
        let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        migrate.extend(keys.iter().map(String::as_str));
        source.ask(&migrate);
        between();
    }
    for node in [target, source] {
        node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
}

async fn drain(cache: &Arc<RedisCache>, tasks: usize, meanwhile: impl FnOnce()) {
    let drawing: Vec<String> = (0..tasks).map(|n| format!("t{n}")).collect();
    cache.plan(&plan("g", &drawing.join("; "))).await.unwrap();
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let cache = Arc::clone(cache);
            tokio::spawn(async move { work(&*cache, &format!("agent-{worker}")).await })
        })
        .collect();
    tokio::task::block_in_place(meanwhile);
    let mut did = 0;
    for worker in workers {
        did += worker.await.unwrap();
    }
    assert_eq!(did, tasks);
    assert_eq!(dones(&**cache).await, tasks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_moves_under_a_run() {
    let cluster = Cluster::start(&[]);
    let cache = Arc::new(open(&cluster).await);
    assert_eq!(cache.facts().await.unwrap().mode, Mode::Cluster);
    let first = cluster.owner(KEY);
    drain(&cache, 300, || {
        migrate(&cluster, first, (first + 1) % 3, || {});
        migrate(&cluster, (first + 1) % 3, (first + 2) % 3, || {});
    })
    .await;
    let place = cache.facts().await.unwrap().place;
    assert!(place.ends_with(&cluster.nodes[(first + 2) % 3].port().to_string()), "{place}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_half_written_while_a_slot_is_on_its_way() {
    let cluster = Cluster::start(&[]);
    let cache = open(&cluster).await;
    let drawing: Vec<String> = (0..40).map(|n| format!("t{n}")).collect();
    cache.plan(&plan("g", &drawing.join("; "))).await.unwrap();
    let first = cluster.owner(KEY);
    let handle = tokio::runtime::Handle::current();
    let mut asked = 0;
    tokio::task::block_in_place(|| {
        migrate(&cluster, first, (first + 1) % 3, || {
            if asked == 0 {
                asked += 1;
                let refused = handle.block_on(cache.claim(&throwaway::work::claim("one"))).unwrap_err();
                assert!(matches!(refused, CacheError::Unavailable { .. }), "{refused}");
                assert!(refused.to_string().contains("on its way to another node"), "{refused}");
            }
        });
    });
    assert_eq!(asked, 1);
    assert_eq!(cache.read(&read_all()).await.unwrap().len(), 1, "the plan, and nothing else");
    assert_eq!(work(&cache, "ann").await, 40);
    assert_eq!(dones(&cache).await, 40);
}

fn read_all() -> downbeat_core::cache::Read {
    downbeat_core::cache::Read { stream: StreamName::new(EVENTS).unwrap(), after: 0, limit: usize::MAX }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_over() {
    let mut cluster = Cluster::start(&["--cluster-node-timeout", "500"]);
    let owner = cluster.owner(KEY);
    cluster.replicate(owner, &["--cluster-node-timeout", "500", "--repl-diskless-sync-delay", "0"]);
    let options = Options { wait_replicas: 1, ..Options::new(cluster.url()) };
    let cache = RedisCache::connect(options).await.unwrap();
    cache.plan(&plan("g", "a; b; c")).await.unwrap();
    let before = token(&cache, "one").await;
    cache.settle(&settle("a", before)).await.unwrap();

    cluster.nodes[owner].kill();

    let request = throwaway::work::claim("two");
    let after = repeated!(cache.claim(&request)).granted().expect("a task is ready").lease;
    assert!(after.token > before && after.token.epoch() > before.epoch());
    let a = cache.task(&settle("a", before).task).await.unwrap().unwrap();
    assert_eq!(a.task.state.status.as_str(), "done", "what was acknowledged is there");
    assert!(cache.facts().await.unwrap().place.ends_with(&cluster.nodes[3].port().to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn news_come_over_a_cluster() {
    let cluster = Cluster::start(&[]);
    let cache = open(&cluster).await;
    let other = open(&cluster).await;
    let topic = Topic::Stream(StreamName::new(EVENTS).unwrap());
    let seen = cache.changed(&topic, 0, Duration::ZERO).await.unwrap();
    let waiting = tokio::spawn(async move { cache.changed(&topic, seen, Duration::from_secs(20)).await });
    other.plan(&plan("g", "a")).await.unwrap();
    assert!(waiting.await.unwrap().unwrap() > seen);
}

#[tokio::test]
async fn the_layout_for_clusters_will_do_on_one_server() {
    let server = Server::start();
    let options = Options { layout: KeyLayout::Cluster, ..Options::new(server.url()) };
    let cache = RedisCache::connect(options).await.unwrap();
    cache.plan(&plan("g", "a")).await.unwrap();
    assert_eq!(server.text(&["HGET", "{downbeat}:task:a", "status"]), "ready");
    assert_eq!(cache.facts().await.unwrap().mode, Mode::Single);
}

#[tokio::test]
async fn what_is_wrong_with_a_cluster_is_said() {
    let lone = node(&[]);
    let url = |scheme: &str| format!("{scheme}://127.0.0.1:{}", lone.port());
    let said = RedisCache::connect(Options::new(url("redis"))).await.unwrap_err().to_string();
    assert!(
        said.starts_with("the Redis server is a node of a cluster, on which keys have to share a hash tag"),
        "{said}"
    );
    let said = RedisCache::connect(Options::new(url("redis+cluster"))).await.unwrap_err().to_string();
    assert!(said.starts_with("no node of the Redis Cluster serves the slot of this deployment"), "{said}");
    // Its slot is served, but not all are.
    lone.ask(&[
        "CLUSTER",
        "ADDSLOTS",
        &redis::from_redis_value::<u16>(lone.ask(&["CLUSTER", "KEYSLOT", KEY])).unwrap().to_string(),
    ]);
    until("the node knows its slot", || {
        lone.text(&["CLUSTER", "NODES"]).lines().any(|line| line.split_whitespace().count() > 8)
    });
    let said = RedisCache::connect(Options::new(url("redis+cluster"))).await.unwrap_err().to_string();
    assert!(said.starts_with("the Redis Cluster has slots that no master serves"), "{said}");
}
