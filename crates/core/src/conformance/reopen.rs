//! What was acknowledged outlives a crash, and no token is ever handed out twice.

use super::kit::{Kit, TTL, agent, done, goal, refused, release, retry, secs, task};
use crate::cache::{
    Acquire, Append, CacheError, Claim, Directive, EVENTS, MAX_APPEND, Plan, Read, STREAM_SLACK, Settle, Steer, StoreIf,
    StreamLimits,
};
use crate::goal::{Parent, Usage};
use crate::state::TaskStatus;

macro_rules! reopen {
    ($kit:ident) => {
        if !$kit.reopen().await {
            return;
        }
    };
}

pub async fn plan_is_there_again(mut kit: Kit) {
    let before = kit.plan("g", "a !3; b: a @shell; c: a b *7").await;
    let dag = kit.cache.dag(&goal("g")).await.unwrap().unwrap().to_parts();

    reopen!(kit);

    assert_eq!(kit.goal("g").await, before);
    assert_eq!(kit.cache.dag(&goal("g")).await.unwrap().unwrap().to_parts(), dag);
    assert_eq!(kit.lease("one").await.task.as_str(), "a");
}

pub async fn goal_below_another_is_there_again(mut kit: Kit) {
    kit.plan("top", "own").await;
    let parent = Parent { goal: goal("top"), task: task("own"), root: goal("top"), declared: None };
    let plan = Plan { parent: Some(parent.clone()), ..kit.plan_of("top.own", "a !9; b: a") };
    kit.cache.plan(&plan).await.unwrap();

    reopen!(kit);

    assert_eq!(kit.goal("top.own").await.parent, Some(parent));
    let claim = Claim { goal: Some(goal("top")), ..kit.claim_of("one") };
    let lease = kit.grant(&claim).await.unwrap().lease;
    assert_eq!(lease.task.as_str(), "a");
    kit.cache.settle(&kit.settle_of(&lease, done())).await.unwrap();
    let claim = Claim { goal: Some(goal("top")), ..kit.claim_of("one") };
    let both = [kit.grant(&claim).await.unwrap().lease.task, task("own")];
    assert!(both.contains(&task("b")) || both.contains(&task("own")));
    assert_eq!(kit.state("b").await.open, 0);
}

pub async fn done_stays_done(mut kit: Kit) {
    kit.plan("g", "a; b: a").await;
    let spent = Usage { calls: 1, input_tokens: 2, output_tokens: 3, cost_micros: 4 };
    let settle = Settle { spent, ..kit.settle_of(&kit.lease("one").await, done()) };
    kit.cache.settle(&settle).await.unwrap();
    let (goal, state) = (kit.goal("g").await, kit.state("a").await);

    reopen!(kit);

    assert_eq!((kit.goal("g").await, kit.state("a").await), (goal, state));
    assert_eq!(kit.lease("one").await.task.as_str(), "b");
}

pub async fn repeated_settle_is_still_recognised(mut kit: Kit) {
    kit.plan("g", "a; b; c: a b").await;
    let settle = kit.settle_of(&kit.lease_of("one", "a").await, done());
    kit.cache.settle(&settle).await.unwrap();

    reopen!(kit);

    assert!(kit.cache.settle(&settle).await.unwrap().repeated);
    assert_eq!(kit.state("c").await.open, 1);
}

pub async fn tokens_grow_across_a_crash(mut kit: Kit) {
    kit.plan("g", "a *50").await;
    let mut last = crate::ids::Token::NONE;

    for _ in 0..3 {
        for _ in 0..3 {
            let lease = kit.lease("one").await;
            assert!(lease.token > last);
            last = lease.token;
            kit.settle(&lease, release()).await.unwrap();
        }
        let unsettled = kit.lease("one").await;
        assert!(unsettled.token > last);
        last = unsettled.token;
        reopen!(kit);
        kit.advance(TTL);
    }
}

pub async fn holder_from_before_a_crash_is_fenced_once_replaced(mut kit: Kit) {
    kit.plan("g", "a").await;
    let late = kit.lease("one").await;

    reopen!(kit);
    kit.advance(TTL);
    let newest = kit.lease("two").await;

    assert!(newest.token > late.token);
    refused!(kit.settle(&late, done()).await, CacheError::LeaseLost { .. });
    kit.settle(&newest, done()).await.unwrap();
}

pub async fn waits_and_leases_end_after_a_crash(mut kit: Kit) {
    kit.plan("g", "a; b").await;
    kit.lease_of("one", "a").await;
    kit.work("one", "b", retry(30)).await;

    reopen!(kit);

    assert!(kit.grant(&kit.claim_for("two", "b")).await.is_none());
    kit.advance(TTL);
    kit.lease_of("two", "a").await;
    kit.lease_of("two", "b").await;
}

pub async fn log_goes_on_where_it_ended(mut kit: Kit) {
    kit.plan("g", "a").await;
    kit.work("one", "a", done()).await;
    let append = kit.append_of(EVENTS, &["note"]);
    let last = kit.cache.append(&append).await.unwrap();
    let before = kit.events().await;

    reopen!(kit);

    assert_eq!(kit.events().await, before);
    assert_eq!(kit.cache.append(&append).await.unwrap(), last);
    assert_eq!(kit.cache.append(&kit.append_of(EVENTS, &["next"])).await.unwrap(), last + 1);
}

pub async fn documents_are_there_with_their_versions(mut kit: Kit) {
    let write = |key: &str, expected, value: Option<&str>| StoreIf {
        key: key.to_owned(),
        expected,
        value: value.map(str::to_owned),
    };
    let kept = kit.cache.store_if(&write("kept", 0, Some("v"))).await.unwrap();
    let first = kit.cache.store_if(&write("gone", 0, Some("v"))).await.unwrap();
    let removed = kit.cache.store_if(&write("gone", first, None)).await.unwrap();

    reopen!(kit);

    assert_eq!(kit.cache.load("kept").await.unwrap().unwrap().version, kept);
    assert_eq!(kit.cache.load("gone").await.unwrap(), None);
    assert!(kit.cache.store_if(&write("gone", 0, Some("w"))).await.unwrap() > removed);
}

pub async fn tokens_of_holds_grow_across_a_crash(mut kit: Kit) {
    let acquire = Acquire { name: "leader".to_owned(), holder: "one".to_owned(), ttl: TTL };
    let first = kit.cache.acquire(&acquire).await.unwrap().unwrap();

    reopen!(kit);
    kit.advance(TTL);

    let second = Acquire { holder: "two".to_owned(), ..acquire };
    assert!(kit.cache.acquire(&second).await.unwrap().unwrap().token > first.token);
}

pub async fn directives_hold_and_are_recognised(mut kit: Kit) {
    kit.plan("g", "a").await;
    let directive = Directive::Pause { agent: agent("one") };
    let steer = Steer { directive, by: "somebody".to_owned(), request: kit.request() };
    let answer = kit.cache.steer(&steer).await.unwrap();

    reopen!(kit);
    let mark = kit.mark().await;

    assert_eq!(kit.nothing("one").await, (true, None));
    assert_eq!(kit.cache.steer(&steer).await.unwrap(), answer);
    assert!(kit.told_since(mark).await.is_empty());
}

pub async fn repeated_plans_and_amendments_are_still_recognised(mut kit: Kit) {
    let (plan, amend) = (kit.plan_of("g", "a"), kit.amend_of("g", 1, "a; b"));
    kit.cache.plan(&plan).await.unwrap();
    let amended = kit.cache.amend(&amend).await.unwrap();

    reopen!(kit);

    assert_eq!(kit.cache.plan(&plan).await.unwrap(), amended);
    assert_eq!(kit.cache.amend(&amend).await.unwrap(), amended);
}

pub async fn order_of_planning_goes_on(mut kit: Kit) {
    kit.plan("z", "old").await;

    reopen!(kit);
    kit.plan("a", "new").await;

    assert_eq!(kit.lease("one").await.task.as_str(), "old");
    assert_eq!(kit.lease("one").await.task.as_str(), "new");
}

pub async fn name_of_a_silent_agent_is_free_after_a_crash(mut kit: Kit) {
    kit.register("one").await;

    reopen!(kit);
    kit.advance(TTL + secs(1));

    let mut registration = Kit::registration("one");
    registration.incarnation.0.push('x');
    kit.cache.register(&registration).await.unwrap();
}

pub async fn work_goes_on_after_many_crashes(mut kit: Kit) {
    kit.plan("g", "a; b: a; c: b; d: c").await;

    for id in ["a", "b", "c", "d"] {
        kit.work("one", id, done()).await;
        reopen!(kit);
        assert_eq!(kit.status(id).await, TaskStatus::Done);
    }

    assert_eq!(kit.goal("g").await.counts.done, 4);
}

pub async fn trimmed_stream_goes_on_where_it_ended(mut kit: Kit) {
    let one = kit.append_of("s", &["a"]);
    let rounds = (StreamLimits::default().others + STREAM_SLACK) / u64::try_from(MAX_APPEND).unwrap() + 2;
    let mut last = 0;
    for _ in 0..rounds {
        let most = Append {
            entries: vec![one.entries[0].clone(); MAX_APPEND],
            request: kit.request(),
            ..one.clone()
        };
        last = kit.cache.append(&most).await.unwrap();
    }
    let read = Read { stream: one.stream.clone(), after: 0, limit: 1 };
    let before = kit.cache.read(&read).await.unwrap();

    reopen!(kit);

    assert_eq!(kit.cache.read(&read).await.unwrap(), before);
    assert_eq!(kit.cache.append(&kit.append_of("s", &["next"])).await.unwrap(), last + 1);
}

pub async fn removed_goal_stays_removed(mut kit: Kit) {
    kit.plan("g", "a; b").await;
    kit.work("one", "a", done()).await;
    kit.work("one", "b", done()).await;
    kit.remove("g").await;
    let events = kit.events().await;

    reopen!(kit);

    assert_eq!(kit.events().await, events);
    assert!(kit.cache.goals().await.unwrap().is_empty());
    assert!(kit.cache.task(&crate::conformance::kit::task("a")).await.unwrap().is_none());
    assert_eq!(kit.remove("g").await, 0);
    kit.plan("h", "a").await;
    kit.work("one", "a", done()).await;
}

pub async fn tokens_of_a_reused_id_grow_across_a_crash(mut kit: Kit) {
    kit.plan("g", "a").await;
    let old = kit.lease("one").await;
    kit.settle(&old, done()).await.unwrap();
    kit.remove("g").await;
    kit.plan("g", "a").await;

    reopen!(kit);

    assert!(kit.lease("one").await.token > old.token);
    refused!(kit.settle(&old, done()).await, CacheError::LeaseLost { .. });
}

pub async fn errors_of_an_agent_are_there_again(mut kit: Kit) {
    kit.register("one").await;
    kit.plan("g", "a").await;
    kit.work("one", "a", retry(0)).await;
    let before = kit.cache.errors(&agent("one")).await.unwrap();
    assert_eq!(before.len(), 1);

    reopen!(kit);

    assert_eq!(kit.cache.errors(&agent("one")).await.unwrap(), before);
    kit.work("one", "a", retry(0)).await;
    assert_eq!(kit.cache.errors(&agent("one")).await.unwrap().len(), 2);
}
