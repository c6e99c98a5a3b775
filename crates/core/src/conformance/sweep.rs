//! `sweep` finds what time alone brought about, and says when to come back.

use super::kit::{Kit, TTL, agent, done, retry, secs, task};
use crate::cache::Swept;

pub async fn expired_leases_and_ended_waits_are_found(kit: Kit) {
    kit.plan("g", "a; b; c").await;
    kit.lease_of("one", "a").await;
    kit.work("one", "b", retry(30)).await;
    kit.advance(TTL);
    let mark = kit.mark().await;

    let swept = kit.sweep(9).await;

    assert_eq!((swept.expired, swept.due), (vec![task("a")], vec![task("b")]));
    assert_eq!(kit.told_since(mark).await, ["task.expired a", "task.ready b"]);
    assert_eq!(kit.sweep(9).await, Swept::default());
}

pub async fn limit_holds_for_each_kind_and_the_rest_is_due(kit: Kit) {
    kit.plan("g", "a; b; c; d; e").await;
    for id in ["a", "b", "c"] {
        kit.lease_of("one", id).await;
    }
    for id in ["d", "e"] {
        kit.work("one", id, retry(1)).await;
    }
    kit.advance(TTL);

    let swept = kit.sweep(1).await;

    assert_eq!((swept.expired.len(), swept.due.len()), (1, 1));
    assert!(swept.next_due.unwrap() <= kit.now());
    assert_eq!(kit.sweep(9).await.expired.len(), 2);
}

pub async fn nothing_is_swept_before_its_time(kit: Kit) {
    kit.plan("g", "a; b").await;
    kit.register("one").await;
    let lease = kit.lease_of("one", "a").await;
    kit.work("one", "b", retry(90)).await;
    kit.advance(TTL - secs(1));

    let swept = kit.sweep(9).await;

    assert_eq!(swept, Swept { next_due: Some(lease.expires_at), ..Swept::default() });
}

pub async fn next_due_is_the_earliest_of_all(kit: Kit) {
    kit.plan("g", "a; b").await;
    kit.advance(secs(1));
    kit.lease_of("one", "a").await;
    kit.advance(secs(1));
    let wait = kit.work("one", "b", retry(5)).await.not_before;

    assert_eq!(kit.sweep(9).await.next_due, wait);
    kit.advance(secs(5));
    assert_eq!(kit.sweep(9).await.next_due, kit.state("a").await.holder.map(|holder| holder.expires_at));
}

pub async fn silence_of_an_agent_is_told_once(kit: Kit) {
    kit.register("one").await;
    kit.register("two").await;
    assert_eq!(kit.sweep(9).await.next_due, Some(kit.now().after(TTL)));
    kit.advance(TTL);
    let mark = kit.mark().await;

    let swept = kit.sweep(9).await;

    assert_eq!((swept.silent, swept.next_due), (vec![agent("one"), agent("two")], None));
    assert_eq!(kit.told_since(mark).await, ["agent.silent one", "agent.silent two"]);
    assert!(kit.sweep(9).await.silent.is_empty());
}

pub async fn agent_that_left_is_not_silent(kit: Kit) {
    kit.register("one").await;
    kit.cache.deregister(&super::agents::departure("one")).await.unwrap();
    kit.advance(TTL);

    assert_eq!(kit.sweep(9).await, Swept::default());
}

pub async fn settled_tasks_leave_nothing_to_sweep(kit: Kit) {
    kit.plan("g", "a; b").await;
    kit.work("one", "a", done()).await;
    kit.advance(TTL * 9);

    assert_eq!(kit.sweep(9).await, Swept::default());
}
