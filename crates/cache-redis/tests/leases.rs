//! Agents are ordered by a moment that none of their leases ends before: whoever looks finds each deadline.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are test code")]

mod throwaway;

use std::sync::Arc;
use std::time::Duration;

use downbeat_cache_redis::{Options, RedisCache};
use downbeat_core::cache::{Claim, Claimed, Renew, Sweep, Tasks};
use downbeat_core::ids::TaskId;
use downbeat_core::time::ManualClock;
use throwaway::Server;
use throwaway::work::{claim, plan, settle};

const SWEEP: Sweep = Sweep { limit: 100 };

async fn open(server: &Server, clock: &Arc<ManualClock>) -> RedisCache {
    RedisCache::connect(Options { clock: Some(clock.clone()), ..Options::new(server.url()) }).await.unwrap()
}

async fn claimed(cache: &RedisCache, request: &str, seconds: u64) -> Claimed {
    let claim = Claim { ttl: Duration::from_secs(seconds), ..claim(request) };
    cache.claim(&claim).await.unwrap().granted().expect("a task is ready")
}

#[tokio::test]
async fn deadlines_are_exact_whatever_ended_before_them() {
    let server = Server::start();
    let clock = Arc::new(ManualClock::default());
    let cache = open(&server, &clock).await;
    cache.plan(&plan("g", "a; b; c")).await.unwrap();
    let first = claimed(&cache, "one", 5).await.lease;
    let second = claimed(&cache, "two", 60).await.lease;
    assert_eq!(cache.sweep(&SWEEP).await.unwrap().next_due, Some(first.expires_at));

    // The one that ends first is settled, and nobody wrote that down where deadlines are.
    cache.settle(&settle(first.task.as_str(), first.token)).await.unwrap();
    assert_eq!(server.text(&["ZSCORE", "index:leases", "ann"]), first.expires_at.as_millis().to_string());
    assert_eq!(cache.sweep(&SWEEP).await.unwrap().next_due, Some(second.expires_at));

    // A process that knows of no lease that ended finds the same.
    server.ask(&["FUNCTION", "FLUSH"]);
    let renew =
        Renew { task: second.task.clone(), token: second.token, ttl: Duration::from_secs(3), progress: None };
    let renewed = cache.renew(&renew).await.unwrap();
    assert_eq!(cache.sweep(&SWEEP).await.unwrap().next_due, Some(renewed.expires_at));
    clock.advance(Duration::from_secs(3));
    assert_eq!(cache.sweep(&SWEEP).await.unwrap().expired, [second.task]);

    // Nothing is left of what nobody holds.
    assert_eq!(server.ask(&["EXISTS", "index:leases"]), redis::Value::Int(0));
    assert_eq!(server.ask(&["HEXISTS", "index:agent:ann", "held"]), redis::Value::Int(0));
}

#[tokio::test]
async fn what_an_agent_held_is_forgotten_also_by_a_process_that_did_not_see_it_end() {
    let server = Server::start();
    let clock = Arc::new(ManualClock::default());
    let cache = open(&server, &clock).await;
    let drawing: Vec<String> = (0..100).map(|n| format!("t{n}")).collect();
    cache.plan(&plan("g", &drawing.join("; "))).await.unwrap();
    let kept: TaskId = claimed(&cache, "kept", 60).await.lease.task;
    for n in 0..90 {
        let lease = claimed(&cache, &format!("r{n}"), 60).await.lease;
        cache.settle(&settle(lease.task.as_str(), lease.token)).await.unwrap();
        if n % 10 == 0 {
            server.ask(&["FUNCTION", "FLUSH"]);
        }
    }
    let held = server.text(&["HGET", "index:agent:ann", "held"]);
    assert!(held.len() < 400 && held.contains(&format!("kept\t{kept}\n")), "{held}");
    // The claim that is still held is answered as before; it does not come twice.
    assert_eq!(claimed(&cache, "kept", 60).await.lease.task, kept);
    clock.advance(Duration::from_secs(60));
    assert_eq!(cache.sweep(&SWEEP).await.unwrap().expired, [kept]);
}
