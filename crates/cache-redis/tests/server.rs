//! What happens when the server is not as it should be, or ends in the middle.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are test code")]

mod throwaway;

use std::sync::Arc;
use std::time::Duration;

use downbeat_cache_redis::{ConnectError, FaultKind, Options, RedisCache};
use downbeat_core::cache::{Claim, EVENTS, Settle, Streams, Tasks, Topic};
use downbeat_core::ids::{AgentName, StreamName};
use throwaway::Server;
use throwaway::work::{claim, dones, plan, settle, token, work};

async fn open(server: &Server) -> RedisCache {
    RedisCache::connect(Options::new(server.url())).await.unwrap()
}

#[tokio::test]
async fn tokens_of_another_process_of_the_server_are_greater() {
    let mut server = Server::start();
    let cache = open(&server).await;
    cache.plan(&plan("g", "a; b")).await.unwrap();
    let before = token(&cache, "one").await;

    server.crash();

    let after = token(&cache, "two").await;
    assert!(after.epoch() > before.epoch());
}

#[tokio::test]
async fn functions_may_be_forgotten() {
    let server = Server::start();
    let cache = open(&server).await;
    cache.plan(&plan("g", "a; b")).await.unwrap();
    let before = token(&cache, "one").await;

    server.ask(&["SCRIPT", "FLUSH"]);
    server.ask(&["FUNCTION", "FLUSH"]);

    assert_eq!(token(&cache, "two").await.epoch(), before.epoch());
}

#[tokio::test]
async fn connections_may_be_cut() {
    let server = Server::start();
    let cache = open(&server).await;
    cache.plan(&plan("g", "a; b; c")).await.unwrap();
    let topic = Topic::Stream(StreamName::new(EVENTS).unwrap());
    let seen = cache.changed(&topic, 0, Duration::ZERO).await.unwrap();

    for kind in ["normal", "pubsub"] {
        server.ask(&["CLIENT", "KILL", "TYPE", kind]);
    }
    let waiting = tokio::spawn({
        let cache = cache.clone();
        async move { cache.changed(&topic, seen, Duration::from_secs(30)).await.unwrap() }
    });
    for kind in ["normal", "pubsub"] {
        server.ask(&["CLIENT", "KILL", "TYPE", kind]);
    }
    token(&cache, "one").await;

    assert!(waiting.await.unwrap() > seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_is_done_once_while_the_server_is_killed() {
    let mut server = Server::start();
    let cache = Arc::new(open(&server).await);
    let drawing: Vec<String> = (0..200).map(|n| format!("t{n}")).collect();
    cache.plan(&plan("g", &drawing.join("; "))).await.unwrap();

    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move { work(&*cache, &format!("agent-{worker}")).await })
        })
        .collect();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        tokio::task::block_in_place(|| server.crash());
    }
    for worker in workers {
        worker.await.unwrap();
    }

    assert_eq!(dones(&*cache).await, 200);
}

#[tokio::test]
async fn what_a_settle_makes_ready_is_there_when_the_claim_that_it_carries_fails() {
    let server = Server::start();
    let cache = open(&server).await;
    cache.plan(&plan("g", "a; b: a")).await.unwrap();
    let held = token(&cache, "one").await;
    server.ask(&["SET", "index:agent:broken", "no hash"]);

    let next = Claim { agent: AgentName::new("broken").unwrap(), ..claim("two") };
    let settled = cache.settle(&Settle { next: Some(next), ..settle("a", held) }).await;
    assert!(settled.is_err(), "{settled:?}");

    let granted = cache.claim(&claim("three")).await.unwrap().granted();
    assert_eq!(granted.expect("a task is ready").lease.task.as_str(), "b");
}

#[tokio::test]
async fn deployments_are_apart_by_their_prefix() {
    let server = Server::start();
    let one = open(&server).await;
    let options = Options { prefix: "other:".to_owned(), ..Options::new(server.url()) };
    let other = RedisCache::connect(options).await.unwrap();

    one.plan(&plan("g", "a")).await.unwrap();
    assert!(other.goals().await.unwrap().is_empty());
    other.plan(&plan("g", "a")).await.unwrap();
}

#[tokio::test]
async fn a_person_sees_what_is_going_on() {
    let server = Server::start();
    let cache = open(&server).await;
    cache.plan(&plan("g", "a; b: a")).await.unwrap();
    let held = token(&cache, "one").await;

    let lock = server.ask(&["GET", "task:a:lock"]);
    assert_eq!(lock, redis::Value::BulkString(format!("ann:{held}").into_bytes()));
    let status = server.ask(&["HGET", "task:b", "status"]);
    assert_eq!(status, redis::Value::BulkString(b"blocked".to_vec()));
    let waits_for = server.ask(&["HGET", "dag:g:deps", "b"]);
    assert_eq!(waits_for, redis::Value::BulkString(b"[\"a\"]".to_vec()));
}

#[tokio::test]
async fn a_server_that_evicts_is_refused_unless_that_is_allowed() {
    let server = Server::start_with(&["--maxmemory-policy", "allkeys-lru"]);

    let refused = RedisCache::connect(Options::new(server.url())).await;
    assert!(matches!(refused, Err(ConnectError::Evicts { .. })), "{refused:?}");

    let options = Options { allow_eviction: true, ..Options::new(server.url()) };
    RedisCache::connect(options).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_named_and_not_shown() {
    let server = Server::start_with(&["--requirepass", "right-one"]);
    for url in [server.url(), format!("{}?pass=wrong-one", server.url())] {
        let refused = RedisCache::connect(Options::new(url)).await.unwrap_err();
        assert_eq!(refused.kind(), Some(FaultKind::Login), "{refused:?}");
        let said = format!("{refused} {refused:?}");
        assert!(!said.contains("wrong-one"), "{said}");
    }
    RedisCache::connect(Options::new(format!("{}?pass=right-one", server.url()))).await.unwrap();
}

#[tokio::test]
async fn a_replica_is_refused() {
    let server = Server::start_with(&["--replicaof", "127.0.0.1 1"]);
    let refused = RedisCache::connect(Options::new(server.url())).await.unwrap_err();
    assert_eq!(refused.kind(), Some(FaultKind::Replica), "{refused:?}");
}

#[tokio::test]
async fn nobody_there_is_said_with_the_place() {
    let refused = RedisCache::connect(Options::new("redis://127.0.0.1:1/")).await.unwrap_err();
    assert_eq!(refused.kind(), Some(FaultKind::Unreachable), "{refused:?}");
    assert!(refused.to_string().contains("127.0.0.1:1"), "{refused}");
    let refused = RedisCache::connect(Options::new("http://127.0.0.1/")).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Url { .. }), "{refused:?}");
}
