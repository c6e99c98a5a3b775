//! The token says who may write: only the newest, and only until it is spent.

use super::kit::{Kit, TTL, agent, done, failed, goal, refused, release, retry, task};
use crate::cache::{CacheError, Directive, Lease, Renew, Settle};
use crate::ids::Token;
use crate::state::TaskStatus;

pub async fn token_grows_with_every_claim(kit: Kit) {
    kit.plan("g", "a *9").await;
    let mut last = Token::NONE;

    for end in [Some(retry(0)), Some(release()), None, Some(retry(0)), None] {
        let lease = kit.lease("one").await;
        assert!(lease.token > last && lease.token <= Token::MAX);
        last = lease.token;
        match end {
            Some(outcome) => drop(kit.settle(&lease, outcome).await.unwrap()),
            None => kit.advance(TTL),
        }
    }
    assert!(kit.lease("one").await.token > last);
}

pub async fn late_settle_changes_nothing(kit: Kit) {
    kit.plan("g", "a; b: a").await;
    let late = kit.lease("one").await;
    kit.advance(TTL);
    let newest = kit.lease("two").await;
    let (before, mark) = (kit.state("a").await, kit.mark().await);

    for outcome in [done(), retry(0), failed(), release()] {
        refused!(kit.settle(&late, outcome).await, CacheError::LeaseLost { .. });
    }

    assert_eq!(kit.state("a").await, before);
    assert_eq!(kit.status("b").await, TaskStatus::Blocked);
    assert!(kit.told_since(mark).await.is_empty());
    kit.settle(&newest, done()).await.unwrap();
}

pub async fn late_renewal_changes_nothing(kit: Kit) {
    kit.plan("g", "a").await;
    let late = kit.lease("one").await;
    kit.advance(TTL);
    kit.lease("two").await;
    let (before, mark) = (kit.state("a").await, kit.mark().await);

    refused!(kit.cache.renew(&Kit::renew_of(&late, Some("still here"))).await, CacheError::LeaseLost { .. });

    assert_eq!(kit.state("a").await, before);
    assert!(kit.told_since(mark).await.is_empty());
}

pub async fn token_that_was_never_handed_out_is_refused(kit: Kit) {
    kit.plan("g", "a").await;
    let lease = kit.lease("one").await;

    for forged in [Token::NONE, Token::from_u64(lease.token.as_u64() + 1), Token::MAX] {
        let forged = Lease { token: forged, ..lease.clone() };
        refused!(kit.settle(&forged, done()).await, CacheError::LeaseLost { .. });
        refused!(kit.cache.renew(&Kit::renew_of(&forged, None)).await, CacheError::LeaseLost { .. });
    }
    assert_eq!(kit.status("a").await, TaskStatus::Running);
}

pub async fn lost_lease_names_both_tokens(kit: Kit) {
    kit.plan("g", "a").await;
    let late = kit.lease("one").await;
    kit.advance(TTL);
    let newest = kit.lease("two").await;

    let error = kit.settle(&late, done()).await.unwrap_err();

    let CacheError::LeaseLost { task: lost, presented, current, .. } = error else { panic!("{error}") };
    assert_eq!((lost, presented, current), (task("a"), late.token, newest.token));
}

pub async fn lost_lease_names_who_holds_the_task_now(kit: Kit) {
    let holder = |error: CacheError| match error {
        CacheError::LeaseLost { holder, .. } => holder.map(|holder| holder.to_string()),
        error => panic!("{error}"),
    };
    kit.plan("g", "a").await;
    let late = kit.lease("one").await;
    kit.advance(TTL);
    let newest = kit.lease("two").await;

    for _ in 0..2 {
        assert_eq!(holder(kit.settle(&late, done()).await.unwrap_err()).as_deref(), Some("two"));
        let renewal = kit.cache.renew(&Kit::renew_of(&late, None)).await;
        assert_eq!(holder(renewal.unwrap_err()).as_deref(), Some("two"));
    }
    kit.settle(&newest, done()).await.unwrap();
    assert_eq!(holder(kit.settle(&late, done()).await.unwrap_err()), None);
}

pub async fn token_is_spent_by_settling(kit: Kit) {
    for outcome in [done(), retry(0), failed(), release()] {
        let kit = kit.another().await;
        kit.plan("g", "a").await;
        let lease = kit.lease("one").await;
        kit.settle(&lease, outcome).await.unwrap();
        let before = kit.state("a").await;

        refused!(kit.settle(&lease, done()).await, CacheError::LeaseLost { .. });
        refused!(kit.cache.renew(&Kit::renew_of(&lease, None)).await, CacheError::LeaseLost { .. });

        assert_eq!(kit.state("a").await, before);
    }
}

pub async fn task_that_nobody_claimed_cannot_be_written(kit: Kit) {
    kit.plan("g", "a; b: a").await;

    for id in ["a", "b"] {
        let settle = Settle {
            task: task(id),
            token: Token::NONE,
            request: kit.request(),
            outcome: done(),
            spent: crate::goal::Usage::default(),
            next: None,
        };
        refused!(kit.cache.settle(&settle).await, CacheError::LeaseLost { .. });
        let renew = Renew { task: task(id), token: Token::NONE, ttl: TTL, progress: None };
        refused!(kit.cache.renew(&renew).await, CacheError::LeaseLost { .. });
    }
}

pub async fn task_that_does_not_exist_cannot_be_written(kit: Kit) {
    kit.plan("g", "a").await;
    let lease = Lease { task: task("b"), ..kit.lease("one").await };

    refused!(kit.settle(&lease, done()).await, CacheError::TaskNotFound { .. });
    refused!(kit.cache.renew(&Kit::renew_of(&lease, None)).await, CacheError::TaskNotFound { .. });
}

pub async fn dropped_holder_lost_its_lease(kit: Kit) {
    kit.plan("g", "a").await;
    let lease = kit.lease("one").await;
    kit.steer(Directive::DropTask { task: task("a") }).await;

    refused!(kit.settle(&lease, done()).await, CacheError::LeaseLost { .. });
    refused!(kit.cache.renew(&Kit::renew_of(&lease, None)).await, CacheError::LeaseLost { .. });
    assert_eq!(kit.status("a").await, TaskStatus::Ready);
}

pub async fn cancelled_holder_lost_its_lease(kit: Kit) {
    kit.plan("g", "a; b").await;
    let first = kit.lease_of("one", "a").await;
    let second = kit.lease_of("two", "b").await;
    kit.steer(Directive::Cancel { task: task("a") }).await;
    kit.steer(Directive::CancelGoal { goal: goal("g") }).await;

    for lease in [first, second] {
        refused!(kit.settle(&lease, done()).await, CacheError::LeaseLost { .. });
        assert_eq!(kit.status(lease.task.as_str()).await, TaskStatus::Cancelled);
    }
}

pub async fn refused_settle_claims_nothing_next(kit: Kit) {
    kit.plan("g", "a; b").await;
    let late = kit.lease_of("one", "a").await;
    kit.advance(TTL);
    kit.lease_of("two", "a").await;

    let settle = Settle { next: Some(kit.claim_of("one")), ..kit.settle_of(&late, done()) };
    refused!(kit.cache.settle(&settle).await, CacheError::LeaseLost { .. });

    assert_eq!(kit.status("b").await, TaskStatus::Ready);
}

pub async fn paused_holder_keeps_its_lease(kit: Kit) {
    kit.plan("g", "a").await;
    let lease = kit.lease("one").await;
    kit.steer(Directive::Pause { agent: agent("one") }).await;

    kit.cache.renew(&Kit::renew_of(&lease, None)).await.unwrap();
    kit.settle(&lease, done()).await.unwrap();
}
