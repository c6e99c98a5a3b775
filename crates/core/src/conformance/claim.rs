//! `claim` leases the best task that an agent may take, to one agent.

use super::kit::{Kit, TTL, agent, capabilities, goal, refused, release, retry, secs, task};
use crate::cache::{CacheError, Claim, ClaimReply, Departure, Directive, Leave, MAX_AVOID, ReadyQuery};
use crate::ids::{Incarnation, RequestId, Token};
use crate::state::TaskStatus;

pub async fn greatest_priority_goes_first(kit: Kit) {
    kit.plan("g", "low !1; high !9; middle !5").await;

    assert_eq!(kit.lease("one").await.task, task("high"));
    assert_eq!(kit.lease("one").await.task, task("middle"));
    assert_eq!(kit.lease("one").await.task, task("low"));
}

pub async fn among_equals_the_earliest_planned_goes_first(kit: Kit) {
    kit.plan("z", "c; a").await;
    kit.plan("g", "b").await;

    for id in ["c", "a", "b"] {
        assert_eq!(kit.lease("one").await.task, task(id));
    }
}

pub async fn blocked_task_is_not_granted(kit: Kit) {
    kit.plan("g", "a; b: a !9").await;

    assert_eq!(kit.lease("one").await.task, task("a"));
    kit.nothing("two").await;
}

pub async fn held_task_is_refused_until_expiry(kit: Kit) {
    kit.plan("g", "a").await;
    let first = kit.lease("one").await;

    kit.advance(TTL - secs(1));
    kit.nothing("two").await;
    kit.advance(secs(1));
    let second = kit.lease("two").await;

    assert!(second.token > first.token);
}

pub async fn required_capabilities_must_be_covered(kit: Kit) {
    kit.plan("g", "a @shell @web").await;

    let half = Claim { capabilities: capabilities(&["shell"]), ..kit.claim_of("one") };
    assert!(kit.grant(&half).await.is_none());
    let all = Claim { capabilities: capabilities(&["more", "shell", "web"]), ..kit.claim_of("two") };
    assert!(kit.grant(&all).await.is_some());
}

pub async fn best_task_is_found_over_all_sets_of_capabilities(kit: Kit) {
    kit.plan("g", "a !1; b !3 @web; c !2 @shell; d !9 @magic").await;

    let able = || Claim { capabilities: capabilities(&["shell", "web"]), ..kit.claim_of("one") };
    for id in ["b", "c", "a"] {
        assert_eq!(kit.grant(&able()).await.unwrap().lease.task, task(id));
    }
    assert!(kit.grant(&able()).await.is_none());
}

pub async fn only_tasks_of_the_named_goal_are_granted(kit: Kit) {
    kit.plan("g", "a !9").await;
    kit.plan("h", "b").await;

    let claim = || Claim { goal: Some(goal("h")), ..kit.claim_of("one") };
    assert_eq!(kit.grant(&claim()).await.unwrap().lease.task, task("b"));
    assert!(kit.grant(&claim()).await.is_none());
}

pub async fn named_task_is_granted_before_better_ones(kit: Kit) {
    kit.plan("g", "a !9; b").await;

    assert_eq!(kit.lease_of("one", "b").await.task, task("b"));
}

pub async fn named_task_that_cannot_be_claimed_is_not_granted(kit: Kit) {
    kit.plan("g", "a; b: a; c @shell").await;
    kit.lease_of("one", "a").await;

    let other_goal = Claim { goal: Some(goal("h")), ..kit.claim_for("two", "c") };
    for claim in
        [kit.claim_for("two", "a"), kit.claim_for("two", "b"), kit.claim_for("two", "c"), other_goal]
    {
        assert!(kit.grant(&claim).await.is_none(), "{:?}", claim.task);
    }
}

pub async fn named_task_that_does_not_exist_is_an_error(kit: Kit) {
    kit.plan("g", "a").await;

    refused!(kit.cache.claim(&kit.claim_for("one", "b")).await, CacheError::TaskNotFound { .. });
}

pub async fn failed_claim_does_no_upkeep(kit: Kit) {
    kit.plan("g", "a").await;
    kit.lease("one").await;
    kit.advance(TTL);
    let mark = kit.mark().await;

    refused!(kit.cache.claim(&kit.claim_for("two", "b")).await, CacheError::TaskNotFound { .. });

    assert!(kit.told_since(mark).await.is_empty());
}

pub async fn paused_agent_gets_nothing_until_it_is_resumed(kit: Kit) {
    kit.plan("g", "a").await;
    kit.steer(Directive::Pause { agent: agent("one") }).await;

    assert_eq!(kit.nothing("one").await, (true, None));
    kit.steer(Directive::Resume { agent: agent("one") }).await;
    kit.lease("one").await;
}

pub async fn repeated_request_is_given_the_same_lease(kit: Kit) {
    kit.plan("g", "a; b").await;
    let claim = kit.claim_of("one");
    let first = kit.grant(&claim).await.unwrap();
    let mark = kit.mark().await;
    kit.advance(secs(5));

    let second = kit.grant(&claim).await.unwrap();

    assert_eq!(first, second);
    assert!(kit.told_since(mark).await.is_empty());
    assert_eq!(kit.status("b").await, TaskStatus::Ready);
}

pub async fn repeated_request_is_given_the_renewed_deadline(kit: Kit) {
    kit.plan("g", "a").await;
    let claim = kit.claim_of("one");
    let lease = kit.grant(&claim).await.unwrap().lease;
    kit.advance(secs(5));
    kit.cache.renew(&Kit::renew_of(&lease, None)).await.unwrap();

    let again = kit.grant(&claim).await.unwrap().lease;

    assert_eq!(again.expires_at, lease.expires_at.after(secs(5)));
}

pub async fn request_whose_lease_ended_is_a_new_claim(kit: Kit) {
    kit.plan("g", "a").await;
    let claim = kit.claim_of("one");
    let first = kit.grant(&claim).await.unwrap().lease;
    kit.settle(&first, release()).await.unwrap();

    let second = kit.grant(&claim).await.unwrap().lease;

    assert!(second.token > first.token);
}

pub async fn nothing_names_the_next_deadline_of_a_lease(kit: Kit) {
    kit.plan("g", "a").await;
    let lease = kit.lease("one").await;

    assert_eq!(kit.nothing("two").await, (false, Some(lease.expires_at)));
}

pub async fn nothing_names_the_next_end_of_a_wait(kit: Kit) {
    kit.plan("g", "a; b").await;
    kit.lease_of("one", "a").await;
    let settled = kit.work("two", "b", retry(9)).await;

    assert_eq!(kit.nothing("two").await, (false, settled.not_before));
    assert_eq!(settled.not_before, Some(kit.now().after(secs(9))));
}

pub async fn nothing_names_no_moment_when_time_changes_nothing(kit: Kit) {
    kit.plan("g", "a @shell").await;

    assert_eq!(kit.nothing("one").await, (false, None));
}

pub async fn lease_says_what_was_granted(kit: Kit) {
    kit.plan("g", "a !3").await;
    kit.advance(secs(7));

    let claimed = kit.claim("one").await.unwrap();

    let lease = &claimed.lease;
    assert_eq!((&lease.goal, &lease.task, &lease.agent), (&goal("g"), &task("a"), &agent("one")));
    assert_eq!((lease.attempt, lease.max_attempts), (1, 3));
    assert!(lease.token > Token::NONE);
    assert_eq!((lease.claimed_at, lease.expires_at), (kit.now(), kit.now().after(TTL)));
    assert_eq!((claimed.node.priority, claimed.last_error), (3, None));
}

pub async fn last_error_is_handed_on(kit: Kit) {
    kit.plan("g", "a").await;
    kit.work("one", "a", retry(0)).await;

    let claimed = kit.claim("two").await.unwrap();

    assert_eq!(claimed.last_error.unwrap().message, "it broke");
    assert_eq!(claimed.lease.attempt, 2);
}

pub async fn agent_that_never_registered_may_claim(kit: Kit) {
    kit.plan("g", "a").await;

    kit.lease("nobody").await;
}

pub async fn another_incarnation_of_a_registered_agent_is_refused(kit: Kit) {
    kit.plan("g", "a").await;
    kit.register("one").await;

    let twin = Claim { incarnation: Incarnation("twin".to_owned()), ..kit.claim_of("one") };
    refused!(kit.cache.claim(&twin).await, CacheError::AgentReplaced { .. });
    kit.lease("one").await;
}

pub async fn agent_that_ended_is_refused(kit: Kit) {
    kit.plan("g", "a").await;
    kit.register("one").await;
    let departure = Departure {
        name: agent("one"),
        incarnation: super::kit::life("one"),
        how: Leave::Stopped,
        reason: "enough".to_owned(),
        exit: crate::cache::ExitStatus::Ok,
    };
    kit.cache.deregister(&departure).await.unwrap();

    refused!(kit.cache.claim(&kit.claim_of("one")).await, CacheError::AgentReplaced { .. });
}

pub async fn claim_leaves_an_event_and_a_count(kit: Kit) {
    kit.plan("g", "a").await;
    let mark = kit.mark().await;

    let lease = kit.lease("one").await;

    let event = kit.events().await.pop().unwrap();
    assert_eq!(kit.told_since(mark).await, ["task.claimed a"]);
    assert_eq!((event.what.agent, event.what.token), (Some(agent("one")), Some(lease.token)));
    assert_eq!((event.what.attempt, event.at), (Some(1), kit.now()));
    let counts = kit.goal("g").await.counts;
    assert_eq!((counts.ready, counts.running), (0, 1));
}

pub async fn claim_out_of_bounds_is_refused(kit: Kit) {
    kit.plan("g", "a").await;

    let no_time = Claim { ttl: secs(0), ..kit.claim_of("one") };
    let too_long = Claim { ttl: secs(8 * 86_400), ..kit.claim_of("one") };
    let avoids = (0..=MAX_AVOID).map(|n| task(&format!("t{n}"))).collect();
    let avoids_too_many = Claim { avoid: avoids, ..kit.claim_of("one") };
    let unnamed = Claim { request: RequestId(String::new()), ..kit.claim_of("one") };
    for claim in [no_time, too_long, unnamed, avoids_too_many] {
        refused!(kit.cache.claim(&claim).await, CacheError::Invalid { .. });
    }
    assert_eq!(kit.status("a").await, TaskStatus::Ready);
}

pub async fn ready_list_is_best_first_and_claims_nothing(kit: Kit) {
    kit.plan("g", "a !1; b !5 @web; c !3; d !9 @magic; e: a").await;
    kit.plan("h", "x !4").await;

    let query = |goal, limit| ReadyQuery { goal, capabilities: capabilities(&["web"]), limit };
    let all = kit.cache.ready(&query(None, 3)).await.unwrap();
    let one = kit.cache.ready(&query(Some(goal("g")), 9)).await.unwrap();

    let ids = |tasks: &[crate::cache::Task]| {
        tasks.iter().map(|task| task.node.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&all), ["b", "x", "c"]);
    assert_eq!(ids(&one), ["b", "c", "a"]);
    let reply = kit.cache.claim(&kit.claim_of("one")).await.unwrap();
    assert!(matches!(reply, ClaimReply::Granted(claimed) if claimed.lease.task == task("x")));
}
