//! Time lets others claim again; it never takes the right to write away.

use super::kit::{Kit, TTL, done, failed, refused, retry, secs, task};
use crate::cache::{CacheError, Renew, Settle};
use crate::goal::GoalStatus;
use crate::state::TaskStatus;

pub async fn expired_lease_is_claimable_by_another(kit: Kit) {
    kit.plan("g", "a").await;
    let first = kit.lease("one").await;
    kit.advance(TTL);

    let second = kit.lease("two").await;

    assert_eq!((second.task, second.attempt), (first.task, 2));
}

pub async fn lease_lasts_to_its_last_millisecond(kit: Kit) {
    kit.plan("g", "a").await;
    kit.lease("one").await;

    kit.advance(TTL - std::time::Duration::from_millis(1));
    kit.nothing("two").await;
    kit.advance(std::time::Duration::from_millis(1));
    kit.lease("two").await;
}

pub async fn expiry_leaves_an_event_and_an_ended_attempt(kit: Kit) {
    kit.plan("g", "a").await;
    let lease = kit.lease("one").await;
    kit.advance(TTL);
    let mark = kit.mark().await;

    kit.lease("two").await;

    assert_eq!(kit.told_since(mark).await, ["task.expired a", "task.claimed a"]);
    let ended = kit.cache.task(&task("a")).await.unwrap().unwrap().ended;
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].outcome.as_str(), ended[0].token, ended[0].attempt), ("expired", lease.token, 1));
}

pub async fn last_attempt_that_expires_fails_the_task(kit: Kit) {
    kit.plan("g", "a *1; b: a").await;
    let lease = kit.lease("one").await;
    kit.advance(TTL);

    kit.nothing("two").await;

    assert_eq!(kit.status("a").await, TaskStatus::Failed);
    refused!(kit.settle(&lease, done()).await, CacheError::LeaseLost { .. });
}

pub async fn late_holder_whom_nobody_replaced_may_settle(kit: Kit) {
    kit.plan("g", "a").await;
    let lease = kit.lease("one").await;
    kit.advance(TTL * 9);
    kit.sweep(9).await;
    assert_eq!(kit.status("a").await, TaskStatus::Ready);

    kit.settle(&lease, done()).await.unwrap();

    assert_eq!(kit.status("a").await, TaskStatus::Done);
    kit.nothing("two").await;
}

pub async fn late_holder_whom_nobody_replaced_may_renew(kit: Kit) {
    kit.plan("g", "a").await;
    let lease = kit.lease("one").await;
    kit.advance(TTL * 9);
    kit.sweep(9).await;

    let renewed = kit.cache.renew(&Kit::renew_of(&lease, None)).await.unwrap();

    assert_eq!(renewed.expires_at, kit.now().after(TTL));
    kit.nothing("two").await;
    let counts = kit.goal("g").await.counts;
    assert_eq!((counts.ready, counts.running), (0, 1));
    assert_eq!(kit.state("a").await.attempt, 1);
}

pub async fn late_holder_may_settle_before_any_sweep(kit: Kit) {
    kit.plan("g", "a").await;
    let lease = kit.lease("one").await;
    kit.advance(TTL * 9);

    kit.settle(&lease, done()).await.unwrap();
}

pub async fn late_settle_of_a_task_that_waits_wakes_its_goal(kit: Kit) {
    kit.plan("g", "a; x; d: a").await;
    let late = kit.lease_of("one", "a").await;
    kit.work("two", "x", failed()).await;
    kit.amend("g", 1, "a: x; x; d: a").await;
    kit.advance(TTL * 9);
    kit.sweep(9).await;
    assert_eq!((kit.status("a").await, kit.goal("g").await.status), (TaskStatus::Blocked, GoalStatus::Stalled));
    let mark = kit.mark().await;

    let settle = Settle { next: Some(kit.claim_of("one")), ..kit.settle_of(&late, done()) };
    let settled = kit.cache.settle(&settle).await.unwrap();

    assert_eq!((settled.unblocked, settled.goal_status), (1, GoalStatus::Active));
    assert_eq!(settled.next.unwrap().granted().unwrap().lease.task, task("d"));
    assert_eq!(kit.goal("g").await.status, GoalStatus::Active);
    assert_eq!(
        kit.told_since(mark).await,
        ["task.done a", "task.ready d", "goal.active g", "task.claimed d"]
    );
}

pub async fn renewal_moves_the_deadline_from_now(kit: Kit) {
    kit.plan("g", "a").await;
    let lease = kit.lease("one").await;
    kit.advance(secs(50));
    kit.cache.renew(&Kit::renew_of(&lease, None)).await.unwrap();

    kit.advance(secs(59));
    kit.nothing("two").await;
    kit.advance(secs(1));
    kit.lease("two").await;
}

pub async fn renewal_may_shorten_a_lease(kit: Kit) {
    kit.plan("g", "a").await;
    let lease = kit.lease("one").await;
    kit.cache.renew(&Renew { ttl: secs(1), ..Kit::renew_of(&lease, None) }).await.unwrap();

    kit.advance(secs(1));

    kit.lease("two").await;
}

pub async fn renewal_out_of_bounds_is_refused(kit: Kit) {
    kit.plan("g", "a").await;
    let lease = kit.lease("one").await;

    for ttl in [secs(0), secs(8 * 86_400)] {
        let renew = Renew { ttl, ..Kit::renew_of(&lease, None) };
        refused!(kit.cache.renew(&renew).await, CacheError::Invalid { .. });
    }
    assert_eq!(kit.state("a").await.holder.unwrap().expires_at, lease.expires_at);
}

pub async fn waiting_task_is_not_granted_before_its_time(kit: Kit) {
    kit.plan("g", "a").await;
    kit.work("one", "a", retry(10)).await;

    kit.advance(secs(9));
    kit.nothing("two").await;
    assert!(kit.grant(&kit.claim_for("two", "a")).await.is_none());
    kit.advance(secs(1));
    kit.lease("two").await;
}

pub async fn end_of_a_wait_is_told(kit: Kit) {
    kit.plan("g", "a").await;
    kit.work("one", "a", retry(10)).await;
    kit.advance(secs(10));
    let mark = kit.mark().await;

    kit.lease("two").await;

    assert_eq!(kit.told_since(mark).await, ["task.ready a", "task.claimed a"]);
}

pub async fn claim_does_upkeep_before_it_chooses(kit: Kit) {
    kit.plan("g", "a !9; b; c !5").await;
    kit.lease_of("one", "a").await;
    kit.work("one", "c", retry(1)).await;
    kit.advance(TTL);

    assert_eq!(kit.lease("two").await.task, task("a"));
    assert_eq!(kit.lease("two").await.task, task("c"));
}

pub async fn leases_expire_in_the_order_of_their_deadlines(kit: Kit) {
    kit.plan("g", "a; b; c").await;
    for id in ["c", "a", "b"] {
        kit.lease_of("one", id).await;
        kit.advance(secs(1));
    }
    kit.advance(TTL);

    let swept = kit.sweep(9).await;

    assert_eq!(swept.expired, [task("c"), task("a"), task("b")]);
}

pub async fn leases_of_one_deadline_expire_by_id(kit: Kit) {
    kit.plan("g", "c; a; b").await;
    for _ in 0..3 {
        kit.lease("one").await;
    }
    kit.advance(TTL);

    assert_eq!(kit.sweep(9).await.expired, [task("a"), task("b"), task("c")]);
}
