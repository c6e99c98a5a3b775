//! `amend` has named tasks done again, and no other.

mod edits;

use super::kit::{Kit, done, failed, goal, refused, retry, task};
use crate::cache::{Amend, CacheError, Directive};
use crate::goal::GoalStatus;
use crate::state::{Redo, TaskStatus};

pub async fn redone_tasks_are_worked_again_with_the_attempts_of_new_ones(kit: Kit) {
    kit.plan("g", "a; b *2; c; d").await;
    kit.work("one", "a", done()).await;
    kit.work("one", "b", retry(0)).await;
    kit.work("one", "b", failed()).await;
    kit.work("one", "c", done()).await;
    kit.steer(Directive::Cancel { task: task("d") }).await;

    let amended = kit.amend_again("g", 1, "a; b *2; c; d", "a b d").await;

    assert_eq!((amended.counts.ready, amended.counts.done, amended.counts.total()), (3, 1, 4));
    assert_eq!(kit.status("c").await, TaskStatus::Done);
    for (id, attempts) in [("a", 3), ("b", 2), ("d", 3)] {
        let state = kit.state(id).await;
        assert_eq!((state.status, state.ended_at), (TaskStatus::Ready, None), "{id}");
        assert_eq!(state.max_attempts - state.attempt, attempts, "{id}");
        kit.work("one", id, done()).await;
    }
    assert_eq!(kit.goal("g").await.status, GoalStatus::Complete);
}

pub async fn redone_task_forgets_its_result_and_its_tokens_grow(kit: Kit) {
    kit.plan("g", "a").await;
    let first = kit.lease_of("one", "a").await;
    kit.settle(&first, done()).await.unwrap();

    kit.amend_again("g", 1, "a", "a").await;

    let state = kit.state("a").await;
    assert_eq!((state.summary, state.artifacts.len(), state.last_error), (None, 0, None));
    assert!(kit.lease_of("two", "a").await.token > first.token);
    refused!(kit.settle(&first, failed()).await, CacheError::LeaseLost { .. });
}

pub async fn chain_that_is_redone_is_worked_in_order(kit: Kit) {
    kit.plan("g", "a; b: a; c: b").await;
    for id in ["a", "b", "c"] {
        kit.work("one", id, done()).await;
    }

    kit.amend_again("g", 1, "a; b: a; c: b", "a ~b ~c").await;

    for id in ["a", "b", "c"] {
        let lease = kit.lease("one").await;
        assert_eq!(lease.task, task(id));
        kit.nothing("two").await;
        kit.settle(&lease, done()).await.unwrap();
    }
    assert_eq!(kit.goal("g").await.status, GoalStatus::Complete);
}

pub async fn who_waits_for_a_redone_task_waits_again(kit: Kit) {
    kit.plan("g", "a; x; b: a; c: a x; d: a").await;
    kit.work("one", "a", done()).await;
    let lease = kit.lease_of("two", "d").await;

    kit.amend_again("g", 1, "a; x; b: a; c: a x; d: a", "a").await;

    let open = async |id| {
        let state = kit.state(id).await;
        (state.status, state.open)
    };
    assert_eq!(open("b").await, (TaskStatus::Blocked, 1));
    assert_eq!(open("c").await, (TaskStatus::Blocked, 2));
    assert_eq!(open("d").await, (TaskStatus::Running, 1));
    assert_eq!(kit.settle(&lease, done()).await.unwrap().status, TaskStatus::Done);
    assert_eq!(kit.work("one", "a", done()).await.unblocked, 1);
    assert_eq!(kit.work("one", "x", done()).await.unblocked, 1);
    assert_eq!(open("d").await, (TaskStatus::Done, 0));
}

pub async fn finished_dependants_of_a_redone_task_stay_unless_named(kit: Kit) {
    kit.plan("g", "a; b: a; c: a").await;
    for id in ["a", "b", "c"] {
        kit.work("one", id, done()).await;
    }

    kit.amend_again("g", 1, "a; b: a; c: a", "a ~c").await;

    assert_eq!(kit.status("b").await, TaskStatus::Done);
    assert_eq!(kit.status("c").await, TaskStatus::Blocked);
    assert_eq!(kit.work("one", "a", done()).await.unblocked, 1);
    assert_eq!(kit.state("b").await.open, 0);
    assert_eq!(kit.work("one", "c", done()).await.goal_status, GoalStatus::Complete);
}

pub async fn running_task_that_is_another_one_loses_its_lease(kit: Kit) {
    kit.plan("g", "a; b: a").await;
    let lease = kit.lease_of("one", "a").await;
    let mark = kit.mark().await;

    kit.amend_again("g", 1, "a @shell; b: a", "a").await;

    refused!(kit.settle(&lease, done()).await, CacheError::LeaseLost { .. });
    let detail = kit.cache.task(&task("a")).await.unwrap().unwrap();
    assert_eq!((detail.task.state.status, detail.task.state.attempt), (TaskStatus::Ready, 0));
    assert_eq!(detail.ended.last().unwrap().outcome, "dropped");
    assert_eq!(kit.told_since(mark).await, ["goal.amended g", "task.redo a"]);
}

pub async fn running_task_with_new_inputs_is_done_once_more(kit: Kit) {
    kit.plan("g", "a; b: a; c: b").await;
    kit.work("one", "a", done()).await;
    let lease = kit.lease_of("one", "b").await;

    kit.amend_again("g", 1, "a; b: a; c: b", "a ~b").await;

    assert_eq!(kit.status("b").await, TaskStatus::Running);
    let mark = kit.mark().await;
    let settled = kit.settle(&lease, done()).await.unwrap();
    assert_eq!((settled.status, settled.unblocked), (TaskStatus::Blocked, 0));
    assert_eq!(kit.told_since(mark).await, ["task.redo b"]);
    assert_eq!(kit.status("c").await, TaskStatus::Blocked);
    assert_eq!(kit.work("one", "a", done()).await.unblocked, 1);
    let again = kit.lease_of("one", "b").await;
    assert_eq!(again.attempt, 1);
    let settled = kit.settle(&again, done()).await.unwrap();
    assert_eq!((settled.status, settled.unblocked), (TaskStatus::Done, 1));
}

pub async fn late_holder_of_a_redone_task_is_refused(kit: Kit) {
    for again in ["a", "~a"] {
        let kit = kit.another().await;
        kit.plan("g", "a").await;
        let late = kit.lease_of("one", "a").await;
        kit.advance(super::kit::secs(3_600));
        kit.sweep(9).await;
        assert_eq!(kit.status("a").await, TaskStatus::Ready);

        kit.amend_again("g", 1, "a", again).await;

        refused!(kit.settle(&late, done()).await, CacheError::LeaseLost { .. });
        kit.lease_of("two", "a").await;
    }
}

pub async fn called_off_task_is_redone_only_if_it_is_another_one(kit: Kit) {
    kit.plan("g", "a; b; c").await;
    for id in ["a", "b"] {
        kit.steer(Directive::Cancel { task: task(id) }).await;
    }

    kit.amend_again("g", 1, "a; b; c", "a ~b").await;

    assert_eq!(kit.status("a").await, TaskStatus::Ready);
    assert_eq!(kit.status("b").await, TaskStatus::Cancelled);
}

pub async fn task_that_nobody_worked_on_is_not_told_to_be_redone(kit: Kit) {
    kit.plan("g", "a; b: a").await;
    let mark = kit.mark().await;

    kit.amend_again("g", 1, "a; b; new", "a b new").await;

    assert_eq!(kit.told_since(mark).await, ["goal.amended g", "task.ready b"]);
    assert_eq!(kit.goal("g").await.counts.ready, 3);
}

pub async fn redo_of_a_task_that_is_not_planned_refuses_the_whole(kit: Kit) {
    kit.plan("g", "a; b").await;
    kit.work("one", "a", done()).await;
    let mark = kit.mark().await;

    let redo = [(task("a"), Redo::Scope), (task("b"), Redo::Scope)].into();
    let amend = Amend { redo, ..kit.amend_of("g", 1, "a") };
    refused!(kit.cache.amend(&amend).await, CacheError::Invalid { .. });

    assert_eq!((kit.goal("g").await.revision, kit.status("a").await), (1, TaskStatus::Done));
    assert!(kit.told_since(mark).await.is_empty());
}

pub async fn repeated_redo_is_answered_as_the_first(kit: Kit) {
    kit.plan("g", "a; b").await;
    kit.work("one", "a", done()).await;
    let amend = Amend { redo: [(task("a"), Redo::Scope)].into(), ..kit.amend_of("g", 1, "a; b") };
    kit.cache.amend(&amend).await.unwrap();
    kit.work("one", "a", done()).await;
    let mark = kit.mark().await;

    kit.cache.amend(&amend).await.unwrap();

    assert_eq!(kit.status("a").await, TaskStatus::Done);
    assert!(kit.told_since(mark).await.is_empty());
}

pub async fn redo_is_told_with_who_wants_it(kit: Kit) {
    kit.plan("g", "a").await;
    kit.work("one", "a", done()).await;
    let mark = kit.mark().await;

    kit.amend_again("g", 1, "a", "a").await;

    let told = kit.events().await.split_off(mark);
    let kinds: Vec<_> = told.iter().map(|event| event.what.kind.as_str()).collect();
    assert_eq!(kinds, ["goal.amended", "task.redo", "goal.active"]);
    assert_eq!(told[0].what.data["affected"], serde_json::json!(["a"]));
    assert_eq!(told[0].what.data["by"], "test");
    assert_eq!(told[0].what.goal, Some(goal("g")));
    assert!(told[1].what.reason.as_ref().unwrap().contains("by test"), "{:?}", told[1]);
}

pub async fn random_edits_have_done_again_what_changed_and_nothing_else(kit: Kit) {
    edits::run_all(&kit).await;
}
