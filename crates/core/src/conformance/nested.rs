//! A goal below a task of another: its tasks belong to the agents of the goal above all others.

use super::kit::{Kit, capabilities, done, goal, secs, task};
use crate::cache::{Claim, Directive, Plan, ReadyQuery, Remove, Settle};
use crate::event::EventKind;
use crate::goal::{GoalStatus, Parent};

fn below(kit: &Kit, id: &str, owner: (&str, &str), drawing: &str) -> Plan {
    let parent = Parent {
        goal: goal(owner.0),
        task: task(owner.1),
        root: goal("top"),
        declared: (id == "low").then(|| goal("declared")),
    };
    Plan { parent: Some(parent), ..kit.plan_of(id, drawing) }
}

fn claim_under(kit: &Kit, id: &str) -> Claim {
    Claim { goal: Some(goal(id)), ..kit.claim_of("one") }
}

/// `top` with the task `own`, and below it `mid`, which has a task `own.m`, and below that `low`.
async fn chain(kit: &Kit) {
    kit.plan("top", "own").await;
    kit.cache.plan(&below(kit, "mid", ("top", "own"), "own.m !5; later: own.m")).await.unwrap();
    kit.cache.plan(&below(kit, "low", ("mid", "own.m"), "own.m.l !9")).await.unwrap();
}

pub async fn goal_says_what_it_is_below(kit: Kit) {
    let mark = kit.mark().await;
    chain(&kit).await;

    assert_eq!(kit.goal("top").await.parent, None);
    let low = kit.goal("low").await.parent.unwrap();
    assert_eq!((low.goal, low.task, low.root), (goal("mid"), task("own.m"), goal("top")));
    assert_eq!(low.declared, Some(goal("declared")));
    let all = kit.cache.goals().await.unwrap();
    assert_eq!(all.iter().filter(|goal| *goal.root() == self::goal("top")).count(), 3);
    let events = kit.events().await;
    let planned: Vec<_> = events.iter().skip(mark).filter(|event| event.what.kind == EventKind::GOAL_PLANNED).collect();
    assert!(planned[0].what.data.get("parent").is_none(), "{planned:?}");
    assert_eq!(planned[1].what.data["parent"]["task"], "own");
}

pub async fn claim_under_a_goal_finds_the_tasks_below_it(kit: Kit) {
    chain(&kit).await;
    kit.plan("other", "o !99").await;

    let claim = || claim_under(&kit, "top");
    let first = kit.grant(&claim()).await.unwrap().lease;
    assert_eq!((first.task.clone(), first.goal.clone()), (task("own.m.l"), goal("low")));
    let second = kit.grant(&claim()).await.unwrap().lease;
    assert_eq!(second.task, task("own.m"));
    assert_eq!(kit.grant(&claim()).await.unwrap().lease.task, task("own"));
    assert!(kit.grant(&claim()).await.is_none(), "that of another goal");
    // What becomes ready later is found the same way, whatever made it ready.
    kit.cache.settle(&kit.settle_of(&second, done())).await.unwrap();
    assert_eq!(kit.grant(&claim()).await.unwrap().lease.task, task("later"));
    let revision = kit.goal("low").await.revision;
    kit.amend("low", revision, "own.m.l !9; added").await;
    assert_eq!(kit.grant(&claim()).await.unwrap().lease.task, task("added"));
}

pub async fn goal_below_another_is_none_to_claim_under(kit: Kit) {
    chain(&kit).await;

    assert!(kit.grant(&claim_under(&kit, "low")).await.is_none());
    let named = Claim { task: Some(task("own.m.l")), ..claim_under(&kit, "low") };
    assert!(kit.grant(&named).await.is_none());
    let named = Claim { task: Some(task("own.m.l")), ..claim_under(&kit, "top") };
    assert!(kit.grant(&named).await.is_some());
}

pub async fn ready_list_under_a_goal_has_the_tasks_below_it(kit: Kit) {
    chain(&kit).await;
    kit.plan("other", "o").await;

    let query = |id: &str| ReadyQuery { goal: Some(goal(id)), capabilities: capabilities(&[]), limit: 9 };
    let ready = kit.cache.ready(&query("top")).await.unwrap();
    let ids: Vec<&str> = ready.iter().map(|task| task.node.id.as_str()).collect();
    assert_eq!(ids, ["own.m.l", "own.m", "own"]);
    assert!(kit.cache.ready(&query("mid")).await.unwrap().is_empty());
}

pub async fn tasks_below_a_goal_at_rest_can_be_claimed(kit: Kit) {
    chain(&kit).await;
    kit.steer(Directive::CancelGoal { goal: goal("top") }).await;
    assert_eq!(kit.goal("top").await.status, GoalStatus::Cancelled);

    assert_eq!(kit.grant(&claim_under(&kit, "top")).await.unwrap().lease.task, task("own.m.l"));
    assert_eq!(kit.lease("two").await.task, task("own.m"));
}

pub async fn removed_goal_leaves_the_tasks_below_it_claimable(kit: Kit) {
    chain(&kit).await;
    kit.steer(Directive::CancelGoal { goal: goal("top") }).await;
    kit.cache.remove(&Remove { goal: goal("top"), ended_at: None }).await.unwrap();

    assert_eq!(kit.lease("two").await.task, task("own.m.l"));
    assert_eq!(kit.grant(&claim_under(&kit, "top")).await.unwrap().lease.task, task("own.m"));
}

pub async fn avoided_task_is_left_to_others(kit: Kit) {
    kit.plan("g", "a !9; b !5; c @shell !7").await;

    let avoid = |ids: &[&str]| ids.iter().map(|id| task(id)).collect();
    let able = Claim { capabilities: capabilities(&["shell"]), ..kit.claim_of("one") };
    let claim = Claim { avoid: avoid(&["a"]), ..able.clone() };
    assert_eq!(kit.grant(&claim).await.unwrap().lease.task, task("c"));
    let claim = Claim { avoid: avoid(&["a", "b"]), request: kit.request(), ..able.clone() };
    assert!(kit.grant(&claim).await.is_none());
    let claim = Claim { avoid: avoid(&["a"]), goal: Some(goal("g")), request: kit.request(), ..able.clone() };
    assert_eq!(kit.grant(&claim).await.unwrap().lease.task, task("b"));
    assert_eq!(kit.lease("two").await.task, task("a"));
}

pub async fn named_task_that_is_avoided_is_not_granted(kit: Kit) {
    kit.plan("g", "a; b").await;

    let claim = Claim { avoid: [task("a")].into(), ..kit.claim_for("one", "a") };
    assert!(kit.grant(&claim).await.is_none());
    assert_eq!(kit.lease_of("one", "a").await.task, task("a"));
}

pub async fn claim_of_a_settle_avoids_too(kit: Kit) {
    kit.plan("g", "a; b; c").await;
    let lease = kit.lease("one").await;

    let next = Claim { avoid: [task("b")].into(), ..kit.claim_of("one") };
    let settle = Settle { next: Some(next), ..kit.settle_of(&lease, done()) };
    let settled = kit.cache.settle(&settle).await.unwrap();
    assert_eq!(settled.next.unwrap().granted().unwrap().lease.task, task("c"));
}

pub async fn avoided_task_that_is_all_there_is_changes_nothing(kit: Kit) {
    kit.plan("g", "a").await;
    let mark = kit.mark().await;

    for _ in 0..3 {
        let claim = Claim { avoid: [task("a"), task("unknown")].into(), ..kit.claim_of("one") };
        assert!(kit.grant(&claim).await.is_none());
    }

    assert_eq!(kit.mark().await, mark);
    kit.advance(secs(1));
    assert_eq!(kit.lease("one").await.task, task("a"));
}
