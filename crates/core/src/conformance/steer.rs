//! `steer` carries out what a person wants, once, and leaves an event that says so.

use super::kit::{Kit, agent, done, failed, goal, life, refused, retry, secs, task};
use crate::cache::{CacheError, Directive, Steer};
use crate::goal::GoalStatus;
use crate::ids::RequestId;
use crate::state::TaskStatus;

pub async fn pause_may_come_before_the_agent(kit: Kit) {
    assert!(kit.steer(Directive::Pause { agent: agent("one") }).await.applied);

    kit.register("one").await;

    assert!(kit.cache.agent(&agent("one")).await.unwrap().unwrap().paused);
}

pub async fn second_pause_is_applied_and_changes_nothing(kit: Kit) {
    kit.steer(Directive::Pause { agent: agent("one") }).await;
    kit.steer(Directive::Pause { agent: agent("one") }).await;
    kit.steer(Directive::Resume { agent: agent("one") }).await;
    kit.steer(Directive::Resume { agent: agent("one") }).await;

    let told = [
        "agent.paused one",
        "directive.applied one",
        "directive.applied one",
        "agent.resumed one",
        "directive.applied one",
        "directive.applied one",
    ];
    assert_eq!(kit.told_since(0).await, told);
}

pub async fn dropped_task_is_claimable_and_cost_no_attempt(kit: Kit) {
    kit.plan("g", "a").await;
    kit.lease("one").await;
    let mark = kit.mark().await;

    assert!(kit.steer(Directive::DropTask { task: task("a") }).await.applied);

    assert_eq!(kit.told_since(mark).await, ["task.released a", "directive.applied a"]);
    assert_eq!(kit.lease("two").await.attempt, 1);
}

pub async fn only_a_running_task_can_be_dropped(kit: Kit) {
    kit.plan("g", "a; b: a").await;

    for id in ["a", "b"] {
        assert!(!kit.steer(Directive::DropTask { task: task(id) }).await.applied);
    }
}

pub async fn elevated_task_goes_first(kit: Kit) {
    kit.plan("g", "a !5; b: a; c").await;

    assert!(kit.steer(Directive::Elevate { task: task("c"), priority: 6 }).await.applied);
    assert!(kit.steer(Directive::Elevate { task: task("b"), priority: 9 }).await.applied);

    assert_eq!(kit.lease("one").await.task, task("c"));
    kit.work("one", "a", done()).await;
    assert_eq!((kit.lease("one").await.task, kit.state("b").await.priority), (task("b"), 9));
}

pub async fn too_great_a_priority_is_refused(kit: Kit) {
    kit.plan("g", "a").await;

    let elevate = |priority| Directive::Elevate { task: task("a"), priority };
    assert!(!kit.steer(elevate(crate::dag::MAX_PRIORITY + 1)).await.applied);
    assert_eq!(kit.state("a").await.priority, 0);
    assert!(kit.steer(elevate(crate::dag::MAX_PRIORITY)).await.applied);
}

pub async fn failed_task_is_tried_again(kit: Kit) {
    kit.plan("g", "a *2; b: a").await;
    kit.work("one", "a", retry(0)).await;
    kit.work("one", "a", retry(0)).await;
    assert_eq!(kit.goal("g").await.status, GoalStatus::Stalled);
    let mark = kit.mark().await;

    assert!(kit.steer(Directive::Retry { task: task("a") }).await.applied);

    assert_eq!(kit.told_since(mark).await, ["task.ready a", "goal.active g", "directive.applied a"]);
    let lease = kit.lease("one").await;
    assert_eq!((lease.attempt, lease.max_attempts), (3, 4));
}

pub async fn retry_ends_the_wait_of_a_task(kit: Kit) {
    kit.plan("g", "a").await;
    kit.work("one", "a", retry(600)).await;

    assert!(kit.steer(Directive::Retry { task: task("a") }).await.applied);

    let lease = kit.lease("one").await;
    assert_eq!((lease.attempt, lease.max_attempts), (2, 3));
    assert!(kit.sweep(9).await.due.is_empty());
}

pub async fn task_that_waits_for_nothing_cannot_be_retried(kit: Kit) {
    kit.plan("g", "a; b; c: a").await;
    kit.work("one", "b", done()).await;

    for id in ["a", "b", "c"] {
        assert!(!kit.steer(Directive::Retry { task: task(id) }).await.applied, "{id}");
    }
}

pub async fn cancelled_task_is_claimable_no_more(kit: Kit) {
    kit.plan("g", "a; b: a; c").await;
    kit.work("one", "c", done()).await;
    let mark = kit.mark().await;

    assert!(kit.steer(Directive::Cancel { task: task("a") }).await.applied);

    assert_eq!(kit.told_since(mark).await, ["task.cancelled a", "goal.stalled g", "directive.applied a"]);
    assert!(!kit.steer(Directive::Cancel { task: task("a") }).await.applied);
    kit.nothing("one").await;
}

pub async fn cancelled_task_may_be_retried(kit: Kit) {
    kit.plan("g", "a").await;
    kit.steer(Directive::Cancel { task: task("a") }).await;

    assert!(kit.steer(Directive::Retry { task: task("a") }).await.applied);

    kit.lease("one").await;
}

pub async fn cancelled_goal_ends_every_unfinished_task(kit: Kit) {
    kit.plan("g", "a; c: a; b; d").await;
    kit.work("one", "d", done()).await;
    kit.lease_of("one", "b").await;
    let mark = kit.mark().await;

    assert!(kit.steer(Directive::CancelGoal { goal: goal("g") }).await.applied);

    let told = [
        "task.cancelled a",
        "task.cancelled c",
        "task.cancelled b",
        "goal.cancelled g",
        "directive.applied g",
    ];
    assert_eq!(kit.told_since(mark).await, told);
    let goal = kit.goal("g").await;
    assert_eq!((goal.status, goal.counts.cancelled, goal.counts.done), (GoalStatus::Cancelled, 3, 1));
    kit.nothing("two").await;
}

pub async fn goal_at_its_end_cannot_be_cancelled(kit: Kit) {
    kit.plan("g", "a").await;
    kit.work("one", "a", done()).await;
    let mark = kit.mark().await;

    assert!(!kit.steer(Directive::CancelGoal { goal: goal("g") }).await.applied);

    assert_eq!(kit.told_since(mark).await, ["directive.refused g"]);
    assert_eq!(kit.goal("g").await.status, GoalStatus::Complete);
}

pub async fn stalled_goal_can_be_cancelled(kit: Kit) {
    kit.plan("g", "a; b: a").await;
    kit.work("one", "a", failed()).await;

    assert!(kit.steer(Directive::CancelGoal { goal: goal("g") }).await.applied);

    assert_eq!(kit.goal("g").await.status, GoalStatus::Cancelled);
}

pub async fn retry_lifts_the_cancellation_of_a_goal(kit: Kit) {
    kit.plan("g", "a; b").await;
    kit.work("one", "b", done()).await;
    kit.steer(Directive::CancelGoal { goal: goal("g") }).await;

    kit.steer(Directive::Retry { task: task("a") }).await;

    assert_eq!(kit.goal("g").await.status, GoalStatus::Active);
    assert_eq!(kit.work("one", "a", done()).await.goal_status, GoalStatus::Complete);
}

pub async fn memory_is_emptied(kit: Kit) {
    kit.register("one").await;
    kit.cache.remember(&agent("one"), &life("one"), "much").await.unwrap();

    assert!(kit.steer(Directive::FlushMemory { agent: agent("one") }).await.applied);
    assert!(kit.steer(Directive::FlushMemory { agent: agent("one") }).await.applied);

    assert_eq!(kit.cache.recall(&agent("one")).await.unwrap(), None);
}

pub async fn what_does_not_exist_is_refused_with_an_event(kit: Kit) {
    let unknown = [
        Directive::DropTask { task: task("x") },
        Directive::Elevate { task: task("x"), priority: 1 },
        Directive::Retry { task: task("x") },
        Directive::Cancel { task: task("x") },
        Directive::CancelGoal { goal: goal("x") },
    ];

    for directive in unknown {
        let answer = kit.steer(directive).await;
        assert!(!answer.applied && answer.detail.contains('x'), "{answer:?}");
    }

    assert_eq!(kit.told_since(0).await, ["directive.refused x"; 5]);
}

pub async fn repeated_directive_has_one_effect(kit: Kit) {
    kit.plan("g", "a").await;
    kit.lease("one").await;
    let directive = Directive::DropTask { task: task("a") };
    let steer = Steer { directive, by: "somebody".to_owned(), request: kit.request() };
    let first = kit.cache.steer(&steer).await.unwrap();
    kit.lease("two").await;
    let mark = kit.mark().await;

    let second = kit.cache.steer(&steer).await.unwrap();

    assert_eq!(first, second);
    assert_eq!(kit.status("a").await, TaskStatus::Running);
    assert!(kit.told_since(mark).await.is_empty());
}

pub async fn event_says_who_gave_the_directive(kit: Kit) {
    kit.plan("g", "a").await;

    let answer = kit.steer(Directive::Cancel { task: task("a") }).await;

    let event = kit.events().await.pop().unwrap().what;
    assert_eq!((event.data["by"].as_str(), event.reason), (Some("somebody"), Some(answer.detail)));
    assert_eq!(event.data["directive"]["do"], "cancel");
    let reason = kit.state("a").await.last_error.unwrap().message;
    assert!(reason.contains("somebody"), "{reason}");
}

pub async fn directive_without_an_id_is_refused(kit: Kit) {
    let directive = Directive::Pause { agent: agent("one") };
    let steer = Steer { directive, by: "somebody".to_owned(), request: RequestId(String::new()) };

    refused!(kit.cache.steer(&steer).await, CacheError::Invalid { .. });
    kit.advance(secs(1));
    assert!(kit.events().await.is_empty());
}
