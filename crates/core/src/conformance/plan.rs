//! `plan` takes everything or nothing, and what was planned can be read.

use super::kit::{Kit, draw, goal, refused, task};
use crate::cache::{CacheError, Plan, TaskQuery};
use crate::goal::{GoalStatus, Usage};
use crate::ids::RequestId;
use crate::state::TaskStatus;

pub async fn tasks_without_dependencies_are_ready_at_once(kit: Kit) {
    kit.plan("g", "a; b; c: a b").await;

    assert_eq!(kit.status("a").await, TaskStatus::Ready);
    assert_eq!(kit.status("b").await, TaskStatus::Ready);
}

pub async fn tasks_with_dependencies_are_blocked(kit: Kit) {
    kit.plan("g", "a; b; c: a b").await;

    let state = kit.state("c").await;
    assert_eq!((state.status, state.open), (TaskStatus::Blocked, 2));
}

pub async fn goal_is_told_with_its_counts(kit: Kit) {
    let goal = kit.plan("g", "a; b; c: a b").await;

    assert_eq!((goal.status, goal.revision), (GoalStatus::Active, 1));
    assert_eq!((goal.counts.ready, goal.counts.blocked, goal.counts.total()), (2, 1, 3));
    assert_eq!(goal.digest, draw("g", "a; b; c: a b").digest());
    assert_eq!(goal, kit.goal("g").await);
}

pub async fn one_event_tells_of_the_whole_plan(kit: Kit) {
    kit.plan("g", "a; b: a").await;

    assert_eq!(kit.told_since(0).await, ["goal.planned g"]);
}

pub async fn repeated_request_is_answered_as_the_first(kit: Kit) {
    let plan = kit.plan_of("g", "a; b: a");

    let first = kit.cache.plan(&plan).await.unwrap();
    let second = kit.cache.plan(&plan).await.unwrap();

    assert_eq!(first, second);
    assert_eq!(kit.mark().await, 1);
}

pub async fn second_plan_of_a_goal_is_refused(kit: Kit) {
    kit.plan("g", "a").await;

    refused!(kit.cache.plan(&kit.plan_of("g", "b")).await, CacheError::GoalExists { .. });

    assert!(kit.cache.task(&task("b")).await.unwrap().is_none());
}

pub async fn taken_ids_are_all_named_with_their_goals(kit: Kit) {
    kit.plan("g", "a").await;
    kit.plan("h", "b").await;

    let error = kit.cache.plan(&kit.plan_of("i", "x; b; a")).await.unwrap_err();

    let CacheError::TasksTaken { taken, .. } = error else { panic!("{error}") };
    assert_eq!(taken, [(task("b"), goal("h")), (task("a"), goal("g"))]);
}

pub async fn refused_plan_leaves_nothing(kit: Kit) {
    kit.plan("g", "a").await;
    let mark = kit.mark().await;

    refused!(kit.cache.plan(&kit.plan_of("h", "x; y: x; a")).await, CacheError::TasksTaken { .. });

    assert!(kit.cache.goal(&goal("h")).await.unwrap().is_none());
    assert!(kit.cache.dag(&goal("h")).await.unwrap().is_none());
    assert!(kit.cache.task(&task("x")).await.unwrap().is_none());
    assert!(kit.told_since(mark).await.is_empty());
    assert_eq!(kit.lease("one").await.task, task("a"));
    kit.nothing("one").await;
}

pub async fn dag_reads_back_as_it_was_planned(kit: Kit) {
    let drawing = "a !3; b: a @shell; c: a b *7";
    kit.plan("g", drawing).await;

    let dag = kit.cache.dag(&goal("g")).await.unwrap().unwrap();

    assert_eq!(dag.to_parts(), draw("g", drawing).to_parts());
}

pub async fn goals_are_listed_by_id(kit: Kit) {
    for id in ["m", "a", "z"] {
        kit.plan(id, &format!("{id}-task")).await;
    }

    let goals = kit.cache.goals().await.unwrap();

    let ids: Vec<&str> = goals.iter().map(|goal| goal.id.as_str()).collect();
    assert_eq!(ids, ["a", "m", "z"]);
}

pub async fn tasks_are_paged_in_the_order_of_the_plan(kit: Kit) {
    kit.plan("other", "x").await;
    kit.plan("g", "d; c; b: c; a; e").await;

    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let query = TaskQuery { goal: goal("g"), status: None, after, limit: 2 };
        let page = kit.cache.tasks(&query).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.ordinal);
        pages.push(page.iter().map(|task| task.node.id.to_string()).collect::<Vec<_>>());
    }

    assert_eq!(pages, [vec!["d", "c"], vec!["b", "a"], vec!["e"]]);
}

pub async fn tasks_are_filtered_by_status(kit: Kit) {
    kit.plan("g", "a; b: a; c; d: c").await;

    let query = TaskQuery { goal: goal("g"), status: Some(TaskStatus::Blocked), after: None, limit: 9 };
    let found = kit.cache.tasks(&query).await.unwrap();

    assert_eq!(found.iter().map(|task| task.node.id.as_str()).collect::<Vec<_>>(), ["b", "d"]);
}

pub async fn tasks_of_an_unknown_goal_are_an_error(kit: Kit) {
    let query = TaskQuery { goal: goal("g"), status: None, after: None, limit: 9 };

    refused!(kit.cache.tasks(&query).await, CacheError::GoalNotFound { .. });
}

pub async fn unknown_things_are_none(kit: Kit) {
    assert!(kit.cache.goal(&goal("g")).await.unwrap().is_none());
    assert!(kit.cache.dag(&goal("g")).await.unwrap().is_none());
    assert!(kit.cache.task(&task("a")).await.unwrap().is_none());
    assert!(kit.cache.goals().await.unwrap().is_empty());
}

pub async fn node_may_have_its_own_attempts(kit: Kit) {
    kit.plan("g", "a *7; b").await;

    assert_eq!(kit.state("a").await.max_attempts, 7);
    assert_eq!(kit.state("b").await.max_attempts, 3);
}

pub async fn cost_of_planning_is_counted(kit: Kit) {
    let spent = Usage { calls: 1, input_tokens: 2, output_tokens: 3, cost_micros: 4 };
    let plan = Plan { spent, ..kit.plan_of("g", "a") };

    kit.cache.plan(&plan).await.unwrap();

    assert_eq!(kit.goal("g").await.usage, spent);
}

pub async fn request_without_an_id_is_refused(kit: Kit) {
    let plan = Plan { request: RequestId(String::new()), ..kit.plan_of("g", "a") };

    refused!(kit.cache.plan(&plan).await, CacheError::Invalid { .. });
}

pub async fn title_beyond_its_bounds_is_refused(kit: Kit) {
    let plan = Plan { title: "x".repeat(2_000), ..kit.plan_of("g", "a") };

    refused!(kit.cache.plan(&plan).await, CacheError::Invalid { .. });
}
