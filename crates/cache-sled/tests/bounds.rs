//! Nothing grows without bound.
#![expect(clippy::unwrap_used, reason = "helpers of tests are test code")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use downbeat_cache_sled::{Durability, Options, SledCache};
use downbeat_core::cache::{
    Agents, Append, Claim, Departure, Directive, ExitStatus, Leave, Plan, Read, Remove, Settle, Steer,
    StreamLimits, Streams, Tasks, events_stream,
};
use downbeat_core::conformance::kit::{Kit, agent, capabilities, done, draw, goal, life};
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::goal::Usage;
use downbeat_core::ids::RequestId;
use downbeat_core::time::ManualClock;

fn open(path: &Path, events: u64) -> SledCache {
    SledCache::open(Options {
        path: path.to_owned(),
        clock: Arc::new(ManualClock::default()),
        durability: Durability::Process,
        limits: StreamLimits { events, others: 10 },
        holder: "a test".to_owned(),
    })
    .unwrap()
}

async fn plan(cache: &SledCache, tasks: usize, round: usize) {
    let drawing: Vec<String> =
        (0..tasks).map(|n| format!("t{n}: {}", if n > 9 { "t3" } else { "" })).collect();
    let plan = Plan {
        parent: None,
        dag: draw("g", &drawing.join("; ")),
        title: "g".to_owned(),
        request: RequestId(format!("plan {round}")),
        max_attempts: 3,
        spent: Usage::default(),
    };
    cache.plan(&plan).await.unwrap();
}

async fn drain(cache: &SledCache, worker: usize, round: usize) {
    for n in 0.. {
        let claim = Claim {
            avoid: std::collections::BTreeSet::default(),
            agent: agent("ann"),
            incarnation: life("ann"),
            request: RequestId(format!("claim {round} {worker} {n}")),
            goal: None,
            capabilities: capabilities(&[]),
            task: None,
            ttl: Duration::from_secs(60),
        };
        let Some(claimed) = cache.claim(&claim).await.unwrap().granted() else {
            if cache.goal(&goal("g")).await.unwrap().unwrap().status.is_finished() {
                return;
            }
            tokio::task::yield_now().await;
            continue;
        };
        let settle = Settle {
            task: claimed.lease.task,
            token: claimed.lease.token,
            request: RequestId(format!("settle {round} {worker} {n}")),
            outcome: done(),
            spent: Usage::default(),
            next: None,
        };
        cache.settle(&settle).await.unwrap();
    }
}

/// How many keys of each kind a closed store has.
fn keys(path: &Path) -> BTreeMap<char, usize> {
    let store = sled::open(path.join("sled")).unwrap();
    let mut kinds = BTreeMap::new();
    for key in store.iter().keys() {
        *kinds.entry(char::from(*key.unwrap().first().unwrap())).or_default() += 1;
    }
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_return_to_where_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = BTreeMap::new();
    for round in 0..4 {
        let cache = open(directory.path(), 500);
        plan(&cache, 1_000, round).await;
        cache.register(&Kit::registration("ann")).await.unwrap();
        let mut workers = tokio::task::JoinSet::new();
        for worker in 0..16 {
            let cache = cache.clone();
            workers.spawn(async move { drain(&cache, worker, round).await });
        }
        workers.join_all().await;
        let departure = Departure {
            name: agent("ann"),
            incarnation: life("ann"),
            how: Leave::Stopped,
            reason: "done".to_owned(),
            exit: ExitStatus::Ok,
        };
        cache.deregister(&departure).await.unwrap();
        let remove = Remove { goal: goal("g"), ended_at: None };
        assert_eq!(cache.remove(&remove).await.unwrap().tasks, 1_000);
        assert_eq!(cache.audit().await.unwrap(), Vec::<String>::new());
        cache.close().await;
        let left = keys(directory.path());
        if round == 0 {
            assert_eq!(left.get(&'e'), Some(&500), "{left:?}");
            first = left;
        } else {
            assert_eq!(left, first, "round {round}");
        }
    }
}

#[tokio::test]
async fn a_large_goal_is_removed_and_the_store_is_sound() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(directory.path(), 500);
    let empty = cache.audit().await.unwrap();
    plan(&cache, 20_000, 0).await;
    let steer = Steer {
        directive: Directive::CancelGoal { goal: goal("g") },
        by: "a test".to_owned(),
        request: RequestId("cancel".to_owned()),
    };
    assert!(cache.steer(&steer).await.unwrap().applied);
    assert_eq!(cache.remove(&Remove { goal: goal("g"), ended_at: None }).await.unwrap().tasks, 20_000);
    assert_eq!(cache.audit().await.unwrap(), empty);
    cache.close().await;
    let left = keys(directory.path());
    assert!(left.keys().all(|kind| !"gopntwfqrdlh~".contains(*kind)), "{left:?}");
}

#[tokio::test]
async fn the_log_comes_down_to_a_lesser_length() {
    let directory = tempfile::tempdir().unwrap();
    for (limit, appends) in [(900, 2), (300, 1)] {
        let cache = open(directory.path(), limit);
        for n in 0..appends {
            let entry = EventDraft::new(EventKind::new("test.note").unwrap());
            let request = RequestId(format!("{limit} {n}"));
            let append = Append { stream: events_stream(), entries: vec![entry; 1_000], request };
            cache.append(&append).await.unwrap();
        }
        let page = cache.read(&Read { stream: events_stream(), after: 0, limit: usize::MAX }).await.unwrap();
        assert_eq!((page.len(), page.trimmed), (usize::try_from(limit).unwrap(), page.first - 1));
        assert_eq!(cache.audit().await.unwrap(), Vec::<String>::new());
        cache.close().await;
    }
}
