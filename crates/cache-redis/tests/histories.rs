//! Tokens stay above all that were ever handed out, whatever happens to the server's history; and where
//! something was lost, those who held a task before are refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod throwaway;

use downbeat_cache_redis::{Options, RedisCache};
use downbeat_core::cache::{Acquire, CacheError, Records, Tasks};
use throwaway::sentinel::{Watched, master, replica_of};
use throwaway::work::{plan, repeated, settle, settled, token};
use throwaway::{Server, until};

async fn open(url: String) -> RedisCache {
    RedisCache::connect(Options::new(url)).await.unwrap()
}

fn lost<T: std::fmt::Debug>(answer: &Result<T, CacheError>) {
    assert!(matches!(answer, Err(CacheError::LeaseLost { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_restart_on_its_own_file_keeps_holders() {
    let mut server = Server::start();
    let cache = open(server.url()).await;
    cache.plan(&plan("g", "a; b")).await.unwrap();
    let before = token(&cache, "one").await;

    server.crash();

    let after = token(&cache, "two").await;
    assert!(after.epoch() > before.epoch());
    cache.settle(&settle("a", before)).await.unwrap();
    cache.settle(&settle("b", after)).await.unwrap();
}

#[tokio::test]
async fn a_server_without_a_file_forgets_and_holders_are_refused() {
    let mut server = Server::start_with(&["--appendonly", "no"]);
    let cache = open(server.url()).await;
    cache.plan(&plan("g", "a; b")).await.unwrap();
    let kept = token(&cache, "one").await;
    server.ask(&["SAVE"]);
    let forgotten = token(&cache, "two").await;

    server.crash();

    lost(&cache.settle(&settle("a", kept)).await);
    lost(&cache.settle(&settle("b", forgotten)).await);
    let again = token(&cache, "three").await;
    assert!(again > forgotten && again > kept);
}

/// The worst case: the snapshot is from before several epochs, and who opens it first saw none of them.
#[tokio::test]
async fn a_restored_snapshot_hands_out_nothing_twice() {
    let mut server = Server::start_with(&["--appendonly", "no"]);
    let cache = open(server.url()).await;
    cache.plan(&plan("g", "a; b; c; d")).await.unwrap();
    let hold = Acquire {
        name: "leader".to_owned(),
        holder: "ann".to_owned(),
        ttl: std::time::Duration::from_secs(60),
    };
    let first = cache.acquire(&hold).await.unwrap().unwrap();
    server.ask(&["SAVE"]);
    let file = server.directory().join("dump.rdb");
    let snapshot = std::fs::read(&file).unwrap();
    let mut newest = token(&cache, "zero").await;
    for n in 0..3 {
        server.ask(&["SAVE"]);
        server.crash();
        let next = token(&cache, &format!("{n}")).await;
        assert!(next > newest);
        newest = next;
    }

    server.kill();
    std::fs::write(&file, snapshot).unwrap();
    server.again();

    // This process saw the newest epoch, and says so; the lease that the snapshot knows is refused.
    assert!(cache.renew_hold(&first, hold.ttl).await.is_err());
    let restored = token(&cache, "restored").await;
    assert!(restored > newest, "{restored} {newest}");
    lost(&cache.settle(&settle("d", newest)).await);
    let second = cache.acquire(&hold).await.unwrap().unwrap();
    assert!(second.token > newest && second.token > first.token);
}

/// By the server's clock alone: nobody is left who saw the epochs in between.
#[tokio::test]
async fn an_epoch_is_no_older_than_the_servers_clock() {
    let server = Server::start();
    let now: Vec<String> = redis::from_redis_value(server.ask(&["TIME"])).unwrap();
    let units = (now[0].parse::<u64>().unwrap() - 1_767_225_600) / 16;
    // As a snapshot has it that is a year old.
    server.ask(&["SET", "epoch", &(units - 1_000_000).to_string()]);
    server.ask(&["SET", "layout", "1"]);
    let cache = open(server.url()).await;
    cache.plan(&plan("g", "a")).await.unwrap();
    assert!(token(&cache, "one").await.epoch() >= units);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lagging_replica_becomes_master() {
    let mut first = master(&[]);
    let replica = replica_of(&first, &[]);
    let cache = open(format!("redis://127.0.0.1:{}", first.port())).await;
    cache.plan(&plan("g", "a; b; c")).await.unwrap();
    let kept = token(&cache, "one").await;
    let offset = first.info("master_repl_offset");
    until("the replica is in step", || replica.info("slave_repl_offset") >= offset);
    // From here on it hears nothing: it lags.
    replica.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    let forgotten = token(&cache, "two").await;
    first.kill();
    replica.ask(&["REPLICAOF", "NO", "ONE"]);

    let other = open(format!("redis://127.0.0.1:{}", replica.port())).await;
    let again = token(&other, "three").await;
    assert!(again > forgotten && again > kept);
    assert_eq!(other.task(&settle("b", again).task).await.unwrap().unwrap().task.state.token, again);
    // What the old master said last is gone, and nobody may write in its name.
    lost(&other.settle(&settle("a", kept)).await);
    lost(&other.settle(&settle("b", forgotten)).await);
    other.settle(&settle("b", again)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_lead_to_the_new_master() {
    let mut watched = Watched::start();
    let cache = open(watched.url()).await;
    cache.plan(&plan("g", "a; b; c")).await.unwrap();
    let before = token(&cache, "one").await;
    settled(&cache, &settle("a", before)).await;
    let held = token(&cache, "two").await;
    let offset = watched.servers[0].info("master_repl_offset");
    until("the replica is in step", || watched.servers[1].info("slave_repl_offset") >= offset);

    watched.servers[0].kill();

    // Repeated by the caller, as long as it takes.
    let claim = throwaway::work::claim("three");
    let after = repeated!(cache.claim(&claim)).granted().expect("a task is ready").lease;
    assert!(after.token > held && after.token.epoch() > before.epoch());
    settled(&cache, &settle(after.task.as_str(), after.token)).await;
    // Nothing was lost this time, but nobody knows that.
    lost(&cache.settle(&settle("b", held)).await);
    assert_eq!(watched.servers[1].info("role"), "master");
    let facts = cache.facts().await.unwrap();
    assert_eq!(facts.mode, downbeat_cache_redis::Mode::Sentinel);
    assert!(facts.place.ends_with(&watched.servers[1].port().to_string()), "{}", facts.place);
    assert_eq!(watched.servers[1].text(&["HGET", "task:a", "status"]), "done");
}

/// A master becomes a replica and a master again, while somebody keeps a connection to it and says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_was_a_replica_for_a_while_is_another_one() {
    let first = master(&[]);
    let second = replica_of(&first, &[]);
    let quiet = open(first.url()).await;
    quiet.plan(&plan("g", "a; b; c; d")).await.unwrap();
    let kept = token(&quiet, "one").await;
    let offset = first.info("master_repl_offset");
    until("the replica is in step", || second.info("slave_repl_offset") >= offset);

    second.ask(&["REPLICAOF", "NO", "ONE"]);
    first.ask(&["REPLICAOF", "127.0.0.1", &second.port().to_string()]);
    let other = open(second.url()).await;
    let seen = token(&other, "two").await;
    until("the first is in step", || {
        first.info("master_link_status") == "up"
            && first.text(&["HGET", "task:b", "token"]) == seen.to_string()
    });
    // From here on the first lags, and what the second hands out is lost.
    first.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    let forgotten = token(&other, "three").await;
    first.ask(&["REPLICAOF", "NO", "ONE"]);

    let again = token(&quiet, "four").await;
    assert!(again > forgotten && again.epoch() > forgotten.epoch(), "{again} {forgotten}");
    lost(&quiet.settle(&settle("a", kept)).await);
    lost(&quiet.settle(&settle("c", forgotten)).await);
}
