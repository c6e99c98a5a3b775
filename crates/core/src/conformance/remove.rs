//! A removed goal is gone as a whole, and nothing of it comes back.

use super::kit::{Kit, done, draw, failed, goal, refused, release, retry, secs, task};
use crate::cache::{CacheError, Directive, Plan, ReadyQuery, Remove, TaskQuery};
use crate::goal::GoalStatus;
use crate::ids::TaskId;

/// Plans one task and finishes it.
async fn complete(kit: &Kit, id: &str, name: &str) {
    kit.plan(id, name).await;
    kit.work("one", name, done()).await;
}

fn all(id: &str) -> TaskQuery {
    TaskQuery { goal: goal(id), status: None, after: None, limit: usize::MAX }
}

pub async fn goal_and_its_tasks_are_gone(kit: Kit) {
    kit.plan("g", "a *2; b: a; c: b").await;
    kit.work("one", "a", retry(0)).await;
    for id in ["a", "b", "c"] {
        kit.work("one", id, done()).await;
    }
    assert_eq!(kit.goal("g").await.status, GoalStatus::Complete);

    assert_eq!(kit.remove("g").await, 3);

    assert!(kit.cache.goal(&goal("g")).await.unwrap().is_none());
    assert!(kit.cache.goals().await.unwrap().is_empty());
    assert!(kit.cache.dag(&goal("g")).await.unwrap().is_none());
    for id in ["a", "b", "c"] {
        assert!(kit.cache.task(&task(id)).await.unwrap().is_none(), "task `{id}`");
    }
    refused!(kit.cache.tasks(&all("g")).await, CacheError::GoalNotFound { .. });
    let ready = ReadyQuery { goal: None, capabilities: [].into(), limit: 9 };
    assert!(kit.cache.ready(&ready).await.unwrap().is_empty());
}

pub async fn event_tells_of_the_removal(kit: Kit) {
    complete(&kit, "g", "a").await;
    let mark = kit.mark().await;

    kit.remove("g").await;

    assert_eq!(kit.told_since(mark).await, ["goal.removed g"]);
    let event = kit.events().await.pop().unwrap();
    assert_eq!(event.what.data["tasks"], 1);
    assert_eq!(event.what.data["status"], "complete");
    assert_eq!(event.what.reason.as_deref(), Some("complete with 1 tasks"));
}

pub async fn goal_that_may_still_move_is_refused(kit: Kit) {
    let refused = async |status: GoalStatus| {
        let mark = kit.mark().await;
        refused!(
            kit.cache.remove(&Kit::remove_of("g")).await,
            CacheError::GoalUnfinished { status: found, .. } if *found == status
        );
        assert_eq!(kit.goal("g").await.status, status);
        assert!(kit.told_since(mark).await.is_empty());
    };
    kit.plan("g", "a; b: a").await;
    refused(GoalStatus::Active).await;
    let lease = kit.lease_of("one", "a").await;
    refused(GoalStatus::Active).await;
    kit.settle(&lease, failed()).await.unwrap();
    refused(GoalStatus::Stalled).await;

    kit.steer(Directive::CancelGoal { goal: goal("g") }).await;

    assert_eq!(kit.goal("g").await.status, GoalStatus::Cancelled);
    assert_eq!(kit.remove("g").await, 2);
    kit.plan("g", "a").await;
    kit.work("one", "a", failed()).await;
    assert_eq!(kit.goal("g").await.status, GoalStatus::Failed);
    assert_eq!(kit.remove("g").await, 1);
}

pub async fn goal_that_ended_at_another_moment_is_refused(kit: Kit) {
    kit.plan("g", "a").await;
    kit.work("one", "a", failed()).await;
    let seen = kit.goal("g").await.ended_at;
    assert!(seen.is_some());
    kit.advance(secs(1));
    kit.steer(Directive::Retry { task: task("a") }).await;
    kit.work("one", "a", done()).await;

    let remove = Remove { ended_at: seen, ..Kit::remove_of("g") };
    refused!(kit.cache.remove(&remove).await, CacheError::Conflict { .. });

    let remove = Remove { ended_at: kit.goal("g").await.ended_at, ..remove };
    assert_eq!(kit.cache.remove(&remove).await.unwrap().tasks, 1);
}

pub async fn removal_of_what_is_not_there_changes_nothing(kit: Kit) {
    assert_eq!(kit.remove("never").await, 0);
    complete(&kit, "g", "a").await;
    kit.remove("g").await;
    let mark = kit.mark().await;

    assert_eq!(kit.remove("g").await, 0);

    assert!(kit.told_since(mark).await.is_empty());
}

pub async fn other_goals_are_left_alone(kit: Kit) {
    complete(&kit, "g", "a").await;
    kit.plan("h", "b; c: b").await;
    let lease = kit.lease_of("one", "b").await;

    kit.remove("g").await;

    assert_eq!(kit.cache.goals().await.unwrap().len(), 1);
    assert_eq!(kit.cache.tasks(&all("h")).await.unwrap().len(), 2);
    kit.settle(&lease, done()).await.unwrap();
    kit.work("one", "c", done()).await;
    assert_eq!(kit.goal("h").await.status, GoalStatus::Complete);
}

pub async fn removed_ids_are_free_for_any_goal(kit: Kit) {
    kit.plan("g", "a *2; b: a").await;
    kit.work("one", "a", retry(0)).await;
    kit.work("one", "a", done()).await;
    kit.work("one", "b", done()).await;
    kit.remove("g").await;

    kit.plan("h", "b; a: b").await;

    let detail = kit.cache.task(&task("a")).await.unwrap().unwrap();
    assert_eq!((detail.task.goal.as_str(), detail.task.state.attempt), ("h", 0));
    assert!(detail.ended.is_empty() && detail.task.state.summary.is_none());
    kit.work("one", "b", done()).await;
    kit.work("one", "a", done()).await;
    assert_eq!(kit.remove("h").await, 2);
    complete(&kit, "g", "a").await;
    assert_eq!(kit.goal("g").await.revision, 1);
}

pub async fn tokens_of_a_reused_id_stay_above_every_old_one(kit: Kit) {
    kit.plan("g", "a; b *9").await;
    let mut greatest = kit.lease_of("one", "a").await;
    kit.settle(&greatest, done()).await.unwrap();
    for _ in 0..4 {
        let lease = kit.lease_of("one", "b").await;
        kit.settle(&lease, release()).await.unwrap();
        greatest = lease;
    }
    kit.work("one", "b", done()).await;
    kit.remove("g").await;

    kit.plan("h", "b").await;
    let lease = kit.lease_of("two", "b").await;

    assert!(lease.token > greatest.token, "{} after {}", lease.token, greatest.token);
    kit.settle(&lease, done()).await.unwrap();
    kit.remove("h").await;
    kit.plan("g", "b").await;
    assert!(kit.lease_of("two", "b").await.token > lease.token);
}

pub async fn tokens_of_an_id_amended_away_stay_above_every_old_one(kit: Kit) {
    kit.plan("g", "a; b").await;
    let old = kit.lease_of("one", "a").await;
    kit.amend("g", 1, "b").await;
    kit.amend("g", 2, "a; b").await;

    let new = kit.lease_of("two", "a").await;

    assert!(new.token > old.token, "{} after {}", new.token, old.token);
    refused!(kit.settle(&old, done()).await, CacheError::LeaseLost { .. });
    kit.settle(&new, done()).await.unwrap();
}

pub async fn late_holder_of_a_removed_task_is_refused(kit: Kit) {
    kit.plan("g", "a").await;
    let late = kit.lease_of("one", "a").await;
    kit.steer(Directive::Cancel { task: task("a") }).await;
    kit.remove("g").await;

    refused!(kit.settle(&late, done()).await, CacheError::TaskNotFound { .. });
    refused!(kit.cache.renew(&Kit::renew_of(&late, None)).await, CacheError::TaskNotFound { .. });
    refused!(kit.cache.claim(&kit.claim_for("one", "a")).await, CacheError::TaskNotFound { .. });

    kit.plan("h", "a").await;
    refused!(kit.settle(&late, done()).await, CacheError::LeaseLost { .. });
    let new = kit.lease_of("two", "a").await;
    refused!(kit.settle(&late, done()).await, CacheError::LeaseLost { .. });
    kit.settle(&new, done()).await.unwrap();
}

pub async fn directives_on_what_was_removed_are_refused(kit: Kit) {
    kit.plan("g", "a").await;
    kit.work("one", "a", failed()).await;
    kit.remove("g").await;

    let id = || task("a");
    for directive in [
        Directive::Retry { task: id() },
        Directive::Cancel { task: id() },
        Directive::DropTask { task: id() },
        Directive::Elevate { task: id(), priority: 3 },
        Directive::CancelGoal { goal: goal("g") },
    ] {
        let steered = kit.steer(directive).await;
        assert!(!steered.applied && steered.detail.contains("no such"), "{steered:?}");
    }
    assert!(kit.cache.task(&id()).await.unwrap().is_none());
}

pub async fn large_goal_is_removed(kit: Kit) {
    const TASKS: usize = 5_000;
    let names: Vec<String> = (0..TASKS).map(|n| format!("t{n}: ")).collect();
    let mut drawing = vec!["first".to_owned()];
    drawing.extend(names.iter().map(|name| format!("{name} first")));
    let plan = Plan { dag: draw("g", &drawing.join("; ")), ..kit.plan_of("h", "other") };
    kit.cache.plan(&plan).await.unwrap();
    kit.steer(Directive::CancelGoal { goal: goal("g") }).await;

    assert_eq!(kit.remove("g").await, u64::try_from(TASKS).unwrap() + 1);

    for id in ["first", "t0", "t4999"] {
        assert!(kit.cache.task(&task(id)).await.unwrap().is_none(), "task `{id}`");
    }
    let again = Plan { request: kit.request(), ..plan };
    let goal = kit.cache.plan(&again).await.unwrap();
    assert_eq!((goal.counts.total(), goal.counts.ready), (u64::try_from(TASKS).unwrap() + 1, 1));
}

pub async fn what_is_counted_returns_to_what_it_was(kit: Kit) {
    for round in 0..3 {
        kit.plan("g", "a; b: a; c: a").await;
        kit.work("one", "a", done()).await;
        kit.work("one", "b", done()).await;
        let lease = kit.lease_of("one", "c").await;
        kit.settle(&lease, done()).await.unwrap();
        assert_eq!(kit.remove("g").await, 3, "round {round}");
        // Nothing is left to be swept, waited for or held.
        let swept = kit.sweep(99).await;
        assert!(swept.expired.is_empty() && swept.due.is_empty() && swept.next_due.is_none(), "{swept:?}");
        assert_eq!(kit.nothing("one").await, (false, None));
    }
    let none: Option<TaskId> = None;
    assert_eq!(kit.claim("one").await.map(|claimed| claimed.lease.task), none);
}
