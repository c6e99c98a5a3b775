//! `amend` replaces a DAG without resetting a state.

use super::kit::{Kit, capabilities, done, draw, failed, goal, refused, release, retry, task};
use crate::cache::{Amend, CacheError, Claim, Directive};
use crate::goal::{GoalStatus, Usage};
use crate::state::TaskStatus;

pub async fn revision_grows_and_the_dag_is_the_new_one(kit: Kit) {
    kit.plan("g", "a; b: a").await;

    let amended = kit.amend("g", 1, "a; b: a; c: b").await;

    let new = draw("g", "a; b: a; c: b");
    assert_eq!((amended.revision, amended.digest), (2, new.digest()));
    assert_eq!(kit.cache.dag(&goal("g")).await.unwrap().unwrap().to_parts(), new.to_parts());
    assert_eq!(amended.counts.total(), 3);
}

pub async fn other_revision_is_a_conflict(kit: Kit) {
    kit.plan("g", "a").await;
    kit.amend("g", 1, "a; b").await;

    for revision in [0, 1, 3] {
        let result = kit.cache.amend(&kit.amend_of("g", revision, "a; x")).await;
        refused!(result, CacheError::Conflict { current: 2, .. });
    }
    assert!(kit.cache.task(&task("x")).await.unwrap().is_none());
}

pub async fn repeated_amendment_is_answered_as_the_first(kit: Kit) {
    kit.plan("g", "a").await;
    let amend = kit.amend_of("g", 1, "a; b");
    let first = kit.cache.amend(&amend).await.unwrap();
    let mark = kit.mark().await;

    assert_eq!(kit.cache.amend(&amend).await.unwrap(), first);

    assert!(kit.told_since(mark).await.is_empty());
}

pub async fn unknown_goal_cannot_be_amended(kit: Kit) {
    refused!(kit.cache.amend(&kit.amend_of("g", 1, "a")).await, CacheError::GoalNotFound { .. });
}

pub async fn taken_ids_refuse_the_whole_amendment(kit: Kit) {
    kit.plan("g", "a").await;
    kit.plan("h", "b").await;
    let mark = kit.mark().await;

    refused!(kit.cache.amend(&kit.amend_of("g", 1, "x; b")).await, CacheError::TasksTaken { .. });

    assert_eq!(kit.goal("g").await.revision, 1);
    assert_eq!(kit.status("a").await, TaskStatus::Ready);
    assert!(kit.cache.task(&task("x")).await.unwrap().is_none());
    assert!(kit.told_since(mark).await.is_empty());
}

pub async fn finished_tasks_stay_finished(kit: Kit) {
    kit.plan("g", "a; b; c").await;
    kit.work("one", "a", done()).await;
    kit.work("one", "b", failed()).await;

    kit.amend("g", 1, "c; a: c; b: c").await;

    assert_eq!(kit.status("a").await, TaskStatus::Done);
    assert_eq!(kit.status("b").await, TaskStatus::Failed);
}

pub async fn running_task_keeps_its_lease(kit: Kit) {
    kit.plan("g", "a; b").await;
    let lease = kit.lease_of("one", "b").await;
    let before = kit.state("b").await;

    kit.amend("g", 1, "a; b: a; c").await;

    let after = kit.state("b").await;
    assert_eq!((after.status, &after.holder), (TaskStatus::Running, &before.holder));
    assert_eq!(after.attempt, 1);
    kit.settle(&lease, done()).await.unwrap();
}

pub async fn task_rewired_while_it_ran_waits_once_it_is_given_back(kit: Kit) {
    for outcome in [release(), retry(0), retry(9)] {
        let kit = kit.another().await;
        kit.plan("g", "a; b").await;
        let lease = kit.lease_of("one", "b").await;
        kit.amend("g", 1, "a; b: a").await;

        let settled = kit.settle(&lease, outcome).await.unwrap();

        assert_eq!((settled.status, settled.not_before), (TaskStatus::Blocked, None));
        assert_eq!(kit.work("one", "a", done()).await.unblocked, 1);
        kit.lease_of("one", "b").await;
    }
}

pub async fn waiting_task_keeps_its_wait(kit: Kit) {
    kit.plan("g", "a").await;
    let settled = kit.work("one", "a", retry(60)).await;

    kit.amend("g", 1, "a; b").await;

    assert_eq!(kit.state("a").await.not_before, settled.not_before);
}

pub async fn removed_holder_loses_its_lease(kit: Kit) {
    kit.plan("g", "a; b").await;
    let lease = kit.lease_of("one", "a").await;
    let mark = kit.mark().await;

    kit.amend("g", 1, "b").await;

    refused!(kit.settle(&lease, done()).await, CacheError::TaskNotFound { .. });
    assert_eq!(kit.told_since(mark).await, ["goal.amended g", "task.cancelled a"]);
    assert_eq!(kit.goal("g").await.counts.total(), 1);
}

pub async fn removed_tasks_are_claimable_no_more(kit: Kit) {
    kit.plan("g", "a !9; b; c").await;
    kit.work("one", "c", retry(1)).await;

    kit.amend("g", 1, "b").await;
    kit.advance(super::kit::secs(5));

    assert_eq!(kit.lease("one").await.task, task("b"));
    kit.nothing("one").await;
    assert!(kit.sweep(9).await.due.is_empty());
}

pub async fn removed_ids_are_free_again(kit: Kit) {
    kit.plan("g", "a; b").await;
    kit.amend("g", 1, "b").await;

    kit.plan("h", "a").await;

    assert_eq!(kit.status("a").await, TaskStatus::Ready);
}

pub async fn new_task_waits_only_for_what_is_not_done(kit: Kit) {
    kit.plan("g", "a; b").await;
    kit.work("one", "a", done()).await;

    kit.amend("g", 1, "a; b; c: a; d: a b").await;

    assert_eq!(kit.status("c").await, TaskStatus::Ready);
    let state = kit.state("d").await;
    assert_eq!((state.status, state.open), (TaskStatus::Blocked, 1));
}

pub async fn kept_task_is_blocked_by_a_new_dependency(kit: Kit) {
    kit.plan("g", "a").await;

    kit.amend("g", 1, "b; a: b").await;

    assert_eq!(kit.status("a").await, TaskStatus::Blocked);
    assert_eq!(kit.lease("one").await.task, task("b"));
    kit.nothing("one").await;
}

pub async fn kept_task_is_freed_of_a_removed_dependency(kit: Kit) {
    kit.plan("g", "a; b: a; c: b").await;
    let mark = kit.mark().await;

    kit.amend("g", 1, "b; c: b").await;

    assert_eq!(kit.status("b").await, TaskStatus::Ready);
    assert_eq!(kit.told_since(mark).await, ["goal.amended g", "task.cancelled a", "task.ready b"]);
}

pub async fn new_capabilities_are_required_at_once(kit: Kit) {
    kit.plan("g", "a").await;

    kit.amend("g", 1, "a @shell").await;

    kit.nothing("one").await;
    let able = Claim { capabilities: capabilities(&["shell"]), ..kit.claim_of("one") };
    assert!(kit.grant(&able).await.is_some());
}

pub async fn new_priority_counts_at_once(kit: Kit) {
    kit.plan("g", "a !5; b !4").await;

    kit.amend("g", 1, "a !5; b !6").await;

    assert_eq!(kit.lease("one").await.task, task("b"));
}

pub async fn elevated_priority_outlives_an_amendment(kit: Kit) {
    kit.plan("g", "a !5; b !4").await;
    kit.steer(Directive::Elevate { task: task("b"), priority: 9 }).await;

    kit.amend("g", 1, "a !5; b !4; c !7").await;

    assert_eq!(kit.lease("one").await.task, task("b"));
}

pub async fn new_tasks_are_younger_than_kept_ones(kit: Kit) {
    kit.plan("g", "a; b").await;

    kit.amend("g", 1, "new; b; a").await;

    for id in ["a", "b", "new"] {
        assert_eq!(kit.lease("one").await.task, task(id));
    }
}

pub async fn complete_goal_is_active_again(kit: Kit) {
    kit.plan("g", "a").await;
    kit.work("one", "a", done()).await;
    let mark = kit.mark().await;

    let amended = kit.amend("g", 1, "a; b: a").await;

    assert_eq!((amended.status, amended.ended_at), (GoalStatus::Active, None));
    assert_eq!(kit.told_since(mark).await, ["goal.amended g", "goal.active g"]);
}

pub async fn removing_what_failed_ends_a_stall(kit: Kit) {
    kit.plan("g", "a; b: a").await;
    kit.work("one", "a", failed()).await;
    assert_eq!(kit.goal("g").await.status, GoalStatus::Stalled);

    let amended = kit.amend("g", 1, "b").await;

    assert_eq!(amended.status, GoalStatus::Active);
    kit.lease_of("one", "b").await;
}

pub async fn amendment_lifts_the_cancellation_of_a_goal(kit: Kit) {
    kit.plan("g", "a; b").await;
    kit.work("one", "a", done()).await;
    kit.steer(Directive::CancelGoal { goal: goal("g") }).await;
    assert_eq!(kit.goal("g").await.status, GoalStatus::Cancelled);

    assert_eq!(kit.amend("g", 1, "a; c").await.status, GoalStatus::Active);

    assert_eq!(kit.work("one", "c", done()).await.goal_status, GoalStatus::Complete);
}

pub async fn cost_of_amending_is_counted(kit: Kit) {
    kit.plan("g", "a").await;
    let spent = Usage { calls: 1, input_tokens: 2, output_tokens: 3, cost_micros: 4 };

    let amend = Amend { spent, ..kit.amend_of("g", 1, "a; b") };
    kit.cache.amend(&amend).await.unwrap();
    kit.cache.amend(&amend).await.unwrap();

    assert_eq!(kit.goal("g").await.usage, spent);
}
