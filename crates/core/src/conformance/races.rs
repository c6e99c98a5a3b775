//! Many at once: whatever the order, each thing happens once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::kit::{Kit, TTL, agent, done};
use crate::cache::{Acquire, CacheError, Lease, Registration, Settle, StoreIf};
use crate::goal::GoalStatus;
use crate::ids::{Incarnation, RequestId, TaskId};
use crate::state::TaskStatus;

/// Runs `count` tasks that all start together, and gathers what they return.
async fn together<R: Send + 'static, F>(count: usize, run: impl Fn(usize) -> F) -> Vec<R>
where
    F: Future<Output = R> + Send + 'static,
{
    let barrier = Arc::new(tokio::sync::Barrier::new(count));
    let mut tasks = JoinSet::new();
    for n in 0..count {
        let (barrier, run) = (Arc::clone(&barrier), run(n));
        tasks.spawn(async move {
            barrier.wait().await;
            run.await
        });
    }
    tasks.join_all().await
}

pub async fn one_hundred_claimers_get_each_task_once(kit: Kit) {
    let names: Vec<String> = (0..60).map(|n| format!("t{n}")).collect();
    kit.plan("g", &names.join("; ")).await;
    let kit = Arc::new(kit);

    let granted = together(100, |n| {
        let kit = Arc::clone(&kit);
        async move { kit.claim(&format!("agent-{n}")).await.map(|claimed| claimed.lease.task) }
    })
    .await;

    let granted: Vec<TaskId> = granted.into_iter().flatten().collect();
    assert_eq!(granted.len(), 60);
    assert_eq!(granted.iter().collect::<BTreeSet<_>>().len(), 60);
    let counts = kit.goal("g").await.counts;
    assert_eq!((counts.ready, counts.running), (0, 60));
}

pub async fn a_fleet_does_every_task_once_in_order(kit: Kit) {
    let mut drawing = "t0".to_owned();
    for n in 1..80 {
        drawing.push_str(&format!("; t{n}: t{}", (n - 1) / 2));
    }
    kit.plan("g", &drawing).await;
    let kit = Arc::new(kit);

    together(16, |n| {
        let kit = Arc::clone(&kit);
        async move {
            let name = format!("agent-{n}");
            let mut lease: Option<Lease> = None;
            while kit.goal("g").await.status == GoalStatus::Active {
                let Some(held) = lease.take() else {
                    lease = kit.claim(&name).await.map(|claimed| claimed.lease);
                    tokio::task::yield_now().await;
                    continue;
                };
                let settle = Settle { next: Some(kit.claim_of(&name)), ..kit.settle_of(&held, done()) };
                let next = kit.cache.settle(&settle).await.unwrap().next.unwrap();
                lease = next.granted().map(|claimed| claimed.lease);
            }
        }
    })
    .await;

    let mut done_at = BTreeMap::new();
    for (at, line) in kit.told_since(0).await.into_iter().enumerate() {
        if let Some(task) = line.strip_prefix("task.done t") {
            assert!(done_at.insert(task.parse::<usize>().unwrap(), at).is_none(), "{line} twice");
        }
    }
    assert_eq!(done_at.len(), 80);
    assert!((1..80).all(|n| done_at[&n] > done_at[&((n - 1) / 2)]));
    assert_eq!(kit.goal("g").await.status, GoalStatus::Complete);
}

pub async fn one_of_many_settles_of_a_lease_wins(kit: Kit) {
    kit.plan("g", "a; b: a").await;
    let lease = kit.lease("one").await;
    let kit = Arc::new(kit);

    let answers = together(20, |_| {
        let (kit, lease) = (Arc::clone(&kit), lease.clone());
        async move { kit.settle(&lease, done()).await }
    })
    .await;

    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let told = kit.told_since(0).await;
    assert_eq!(told.iter().filter(|line| *line == "task.done a").count(), 1);
    assert_eq!(told.iter().filter(|line| *line == "task.ready b").count(), 1);
}

pub async fn repeated_settle_that_overtakes_itself_has_one_effect(kit: Kit) {
    kit.plan("g", "a; b; c: a b").await;
    let settle = kit.settle_of(&kit.lease_of("one", "a").await, done());
    let kit = Arc::new(kit);

    let answers = together(20, |_| {
        let (kit, settle) = (Arc::clone(&kit), settle.clone());
        async move { kit.cache.settle(&settle).await.unwrap() }
    })
    .await;

    assert_eq!(answers.iter().filter(|answer| !answer.repeated).count(), 1);
    assert_eq!(kit.status("c").await, TaskStatus::Blocked);
}

pub async fn last_two_dependencies_unblock_once(kit: Kit) {
    let dependencies: Vec<String> = (0..20).map(|n| format!("t{n}")).collect();
    let drawing = format!("{}; last: {}", dependencies.join("; "), dependencies.join(" "));
    kit.plan("g", &drawing).await;
    let mut leases = Vec::new();
    for _ in 0..20 {
        leases.push(kit.lease("one").await);
    }
    let kit = Arc::new(kit);

    let unblocked = together(20, |n| {
        let (kit, lease) = (Arc::clone(&kit), leases[n].clone());
        async move { kit.settle(&lease, done()).await.unwrap().unblocked }
    })
    .await;

    assert_eq!(unblocked.iter().sum::<u32>(), 1);
    assert_eq!(kit.status("last").await, TaskStatus::Ready);
}

pub async fn one_of_many_plans_of_a_goal_wins(kit: Kit) {
    let kit = Arc::new(kit);

    let answers = together(10, |n| {
        let kit = Arc::clone(&kit);
        async move { kit.cache.plan(&kit.plan_of("g", &format!("t{n}; u{n}: t{n}"))).await }
    })
    .await;

    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let refused = |answer: &Result<_, _>| matches!(answer, Err(CacheError::GoalExists { .. }));
    assert_eq!(answers.iter().filter(|answer| refused(answer)).count(), 9);
    assert_eq!(kit.goal("g").await.counts.total(), 2);
}

pub async fn one_of_many_goals_gets_a_wanted_id(kit: Kit) {
    let kit = Arc::new(kit);

    let answers = together(10, |n| {
        let kit = Arc::clone(&kit);
        async move { kit.cache.plan(&kit.plan_of(&format!("g{n}"), &format!("own{n}; wanted"))).await }
    })
    .await;

    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(kit.cache.goals().await.unwrap().len(), 1);
}

pub async fn one_of_many_incarnations_gets_the_name(kit: Kit) {
    let kit = Arc::new(kit);

    let answers = together(10, |n| {
        let kit = Arc::clone(&kit);
        let incarnation = Incarnation(format!("life-{n}"));
        async move {
            kit.cache.register(&Registration { incarnation, ..Kit::registration("one") }).await
        }
    })
    .await;

    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(kit.cache.agent(&agent("one")).await.unwrap().is_some());
}

pub async fn counter_under_compare_and_set_loses_nothing(kit: Kit) {
    let kit = Arc::new(kit);

    together(10, |_| {
        let kit = Arc::clone(&kit);
        async move {
            let mut written = 0;
            while written < 20 {
                let record = kit.cache.load("counter").await.unwrap();
                let (expected, value) = record
                    .map_or((0, 0), |record| (record.version, record.value.parse::<u64>().unwrap()));
                let value = Some((value + 1).to_string());
                let store = StoreIf { key: "counter".to_owned(), expected, value };
                written += u32::from(kit.cache.store_if(&store).await.is_ok());
            }
        }
    })
    .await;

    assert_eq!(kit.cache.load("counter").await.unwrap().unwrap().value, "200");
}

pub async fn appends_of_many_are_all_there_in_one_order(kit: Kit) {
    let kit = Arc::new(kit);

    let numbers = together(10, |n| {
        let kit = Arc::clone(&kit);
        async move {
            let mut numbers = Vec::new();
            for m in 0..10 {
                let mut append = kit.append_of("s", &[&format!("{n}.{m}a"), &format!("{n}.{m}b")]);
                append.request = RequestId(format!("{n}.{m}"));
                numbers.push(kit.cache.append(&append).await.unwrap());
            }
            numbers
        }
    })
    .await;

    let distinct: BTreeSet<u64> = numbers.into_iter().flatten().collect();
    assert_eq!(distinct.len(), 100);
    let entries = kit.stream("s").await;
    assert!(entries.iter().zip(1..).all(|(entry, seq)| entry.seq == seq) && entries.len() == 200);
    for pair in entries.chunks(2) {
        let texts: Vec<&str> = pair.iter().filter_map(|entry| entry.what.reason.as_deref()).collect();
        assert_eq!(texts[0].trim_end_matches('a'), texts[1].trim_end_matches('b'));
    }
}

pub async fn one_of_many_gets_a_hold(kit: Kit) {
    let kit = Arc::new(kit);

    let holds = together(20, |n| {
        let kit = Arc::clone(&kit);
        let acquire = Acquire { name: "leader".to_owned(), holder: format!("h{n}"), ttl: TTL };
        async move { kit.cache.acquire(&acquire).await.unwrap() }
    })
    .await;

    assert_eq!(holds.iter().flatten().count(), 1);
}

pub async fn expired_task_goes_to_one_of_many(kit: Kit) {
    kit.plan("g", "a").await;
    kit.lease("first").await;
    kit.advance(TTL);
    let kit = Arc::new(kit);

    let granted = together(20, |n| {
        let kit = Arc::clone(&kit);
        async move { kit.claim(&format!("agent-{n}")).await }
    })
    .await;

    assert_eq!(granted.iter().flatten().count(), 1);
    assert_eq!(kit.state("a").await.attempt, 2);
}
