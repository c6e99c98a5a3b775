//! `settle` ends an attempt, and in the same step unblocks, moves the goal and claims anew.

use super::kit::{Kit, agent, done, failed, refused, release, retry, secs, task};
use crate::cache::{CacheError, Claim, ClaimReply, Directive, Settle};
use crate::goal::{GoalStatus, Usage};
use crate::ids::{Incarnation, RequestId};
use crate::state::{Artifact, Failure, Outcome, TaskStatus};

pub async fn done_task_unblocks_its_dependants(kit: Kit) {
    kit.plan("g", "a; b: a; c: a; d: c").await;

    let settled = kit.work("one", "a", done()).await;

    assert_eq!((settled.status, settled.unblocked), (TaskStatus::Done, 2));
    assert_eq!(kit.status("b").await, TaskStatus::Ready);
    assert_eq!(kit.status("c").await, TaskStatus::Ready);
    assert_eq!(kit.status("d").await, TaskStatus::Blocked);
}

pub async fn dependant_waits_for_all_of_its_dependencies(kit: Kit) {
    kit.plan("g", "a; b; c: a b").await;

    assert_eq!(kit.work("one", "a", done()).await.unblocked, 0);
    assert_eq!(kit.status("c").await, TaskStatus::Blocked);
    assert_eq!(kit.work("one", "b", done()).await.unblocked, 1);
    assert_eq!(kit.status("c").await, TaskStatus::Ready);
}

pub async fn repeated_settle_is_answered_and_changes_nothing(kit: Kit) {
    for outcome in [done(), retry(5), failed(), release()] {
        let kit = kit.another().await;
        kit.plan("g", "a; b: a").await;
        let settle = kit.settle_of(&kit.lease("one").await, outcome);
        let first = kit.cache.settle(&settle).await.unwrap();
        let (before, mark) = (kit.state("a").await, kit.mark().await);

        let second = kit.cache.settle(&settle).await.unwrap();

        assert!(second.repeated && !first.repeated);
        assert_eq!((second.status, second.not_before), (first.status, first.not_before));
        assert_eq!((second.unblocked, second.goal_status), (0, first.goal_status));
        assert_eq!(kit.state("a").await, before);
        assert!(kit.told_since(mark).await.is_empty());
    }
}

pub async fn repeated_settle_unblocks_nothing_early(kit: Kit) {
    kit.plan("g", "a; b; c: a b").await;
    let settle = kit.settle_of(&kit.lease_of("one", "a").await, done());

    kit.cache.settle(&settle).await.unwrap();
    kit.cache.settle(&settle).await.unwrap();

    let state = kit.state("c").await;
    assert_eq!((state.status, state.open), (TaskStatus::Blocked, 1));
}

pub async fn repeated_settle_claims_nothing_more(kit: Kit) {
    kit.plan("g", "a; b; c").await;
    let lease = kit.lease("one").await;
    let settle = Settle { next: Some(kit.claim_of("one")), ..kit.settle_of(&lease, done()) };
    kit.cache.settle(&settle).await.unwrap();

    let again = kit.cache.settle(&settle).await.unwrap();

    assert_eq!(again.next, None);
    assert_eq!(kit.goal("g").await.counts.running, 1);
}

pub async fn repeated_settle_is_recognised_when_another_holds_the_task(kit: Kit) {
    for outcome in [retry(0), release()] {
        let kit = kit.another().await;
        kit.plan("g", "a").await;
        let first = kit.settle_of(&kit.lease("one").await, outcome);
        kit.cache.settle(&first).await.unwrap();
        let lease = kit.lease("two").await;
        let (before, mark) = (kit.state("a").await, kit.mark().await);

        let again = kit.cache.settle(&first).await.unwrap();

        assert_eq!((again.repeated, again.status), (true, TaskStatus::Running));
        assert_eq!(kit.state("a").await, before);
        assert!(kit.told_since(mark).await.is_empty());
        let ended = kit.cache.settle(&kit.settle_of(&lease, done())).await.unwrap();
        assert_eq!((ended.repeated, ended.status), (false, TaskStatus::Done));
        refused!(kit.cache.settle(&first).await, CacheError::LeaseLost { .. });
    }
}

pub async fn settle_of_a_later_attempt_is_not_a_repetition(kit: Kit) {
    kit.plan("g", "a").await;
    let first = kit.settle_of(&kit.lease("one").await, release());
    kit.cache.settle(&first).await.unwrap();
    let lease = kit.lease("two").await;
    let same_name = Settle { request: first.request.clone(), ..kit.settle_of(&lease, done()) };

    let second = kit.cache.settle(&same_name).await.unwrap();

    assert_eq!((second.repeated, second.status), (false, TaskStatus::Done));
}

pub async fn retry_waits_for_as_long_as_it_asked(kit: Kit) {
    kit.plan("g", "a").await;

    let settled = kit.work("one", "a", retry(30)).await;

    assert_eq!(settled.status, TaskStatus::Ready);
    assert_eq!(settled.not_before, Some(kit.now().after(secs(30))));
    assert_eq!(settled.goal_status, GoalStatus::Active);
}

pub async fn retry_without_a_wait_is_claimable_at_once(kit: Kit) {
    kit.plan("g", "a").await;

    let settled = kit.work("one", "a", retry(0)).await;

    assert_eq!((settled.status, settled.not_before), (TaskStatus::Ready, None));
    assert_eq!(kit.lease("one").await.attempt, 2);
}

pub async fn retry_of_the_last_attempt_fails_the_task(kit: Kit) {
    kit.plan("g", "a *2").await;
    kit.work("one", "a", retry(0)).await;

    let settled = kit.work("one", "a", retry(0)).await;

    assert_eq!((settled.status, settled.not_before), (TaskStatus::Failed, None));
    assert_eq!(settled.goal_status, GoalStatus::Failed);
    let ended = kit.cache.task(&task("a")).await.unwrap().unwrap().ended;
    assert_eq!(ended.iter().map(|end| end.outcome.as_str()).collect::<Vec<_>>(), ["retry", "failed"]);
}

pub async fn verdict_fails_the_task_with_attempts_left(kit: Kit) {
    kit.plan("g", "a *9").await;

    assert_eq!(kit.work("one", "a", failed()).await.status, TaskStatus::Failed);

    assert_eq!(kit.state("a").await.last_error.unwrap().message, "it cannot work");
    kit.nothing("one").await;
}

pub async fn release_costs_no_attempt(kit: Kit) {
    kit.plan("g", "a *2").await;

    for _ in 0..5 {
        assert_eq!(kit.work("one", "a", release()).await.status, TaskStatus::Ready);
        assert_eq!(kit.state("a").await.attempt, 0);
    }
    assert_eq!(kit.lease("one").await.attempt, 1);
}

pub async fn last_task_completes_the_goal(kit: Kit) {
    kit.plan("g", "a; b: a").await;
    assert_eq!(kit.work("one", "a", done()).await.goal_status, GoalStatus::Active);

    let settled = kit.work("one", "b", done()).await;

    let goal = kit.goal("g").await;
    assert_eq!((settled.goal_status, goal.status), (GoalStatus::Complete, GoalStatus::Complete));
    assert_eq!(goal.ended_at, Some(kit.now()));
    assert_eq!((goal.counts.done, goal.counts.total()), (2, 2));
}

pub async fn goal_stalls_when_all_that_is_left_waits_for_a_failure(kit: Kit) {
    kit.plan("g", "a; b: a; c").await;
    assert_eq!(kit.work("one", "a", failed()).await.goal_status, GoalStatus::Active);

    assert_eq!(kit.work("one", "c", done()).await.goal_status, GoalStatus::Stalled);

    assert!(kit.goal("g").await.reason.is_some());
}

pub async fn settles_of_other_goals_leave_a_goal_alone(kit: Kit) {
    kit.plan("g", "a").await;
    kit.plan("h", "b").await;

    kit.work("one", "b", done()).await;

    assert_eq!(kit.goal("g").await.counts.ready, 1);
    assert_eq!(kit.goal("h").await.status, GoalStatus::Complete);
}

pub async fn cost_of_an_attempt_is_counted_once(kit: Kit) {
    kit.plan("g", "a").await;
    let spent = Usage { calls: 1, input_tokens: 20, output_tokens: 3, cost_micros: 400 };
    let settle = Settle { spent, ..kit.settle_of(&kit.lease("one").await, retry(0)) };

    for _ in 0..3 {
        kit.cache.settle(&settle).await.unwrap();
    }
    assert_eq!(kit.goal("g").await.usage, spent);

    let settle = Settle { spent, ..kit.settle_of(&kit.lease("one").await, done()) };
    kit.cache.settle(&settle).await.unwrap();
    assert_eq!(kit.goal("g").await.usage, spent.plus(spent));
}

pub async fn next_task_is_claimed_in_the_same_step(kit: Kit) {
    kit.plan("g", "a; b: a").await;
    let lease = kit.lease("one").await;

    let settle = Settle { next: Some(kit.claim_of("one")), ..kit.settle_of(&lease, done()) };
    let settled = kit.cache.settle(&settle).await.unwrap();

    assert_eq!((settled.unblocked, settled.goal_status), (1, GoalStatus::Active));
    let Some(ClaimReply::Granted(next)) = settled.next else { panic!("{:?}", settled.next) };
    assert_eq!(next.lease.task, task("b"));
    assert_eq!(kit.status("b").await, TaskStatus::Running);
}

pub async fn next_claim_without_work_says_so(kit: Kit) {
    kit.plan("g", "a; b").await;
    let other = kit.lease_of("two", "b").await;
    let lease = kit.lease("one").await;

    let settle = Settle { next: Some(kit.claim_of("one")), ..kit.settle_of(&lease, done()) };
    let settled = kit.cache.settle(&settle).await.unwrap();

    let next_due = Some(other.expires_at);
    assert_eq!(settled.next, Some(ClaimReply::Nothing { paused: false, next_due }));
}

pub async fn next_claim_of_a_paused_agent_gets_nothing(kit: Kit) {
    kit.plan("g", "a; b").await;
    let lease = kit.lease("one").await;
    kit.steer(Directive::Pause { agent: agent("one") }).await;

    let settle = Settle { next: Some(kit.claim_of("one")), ..kit.settle_of(&lease, done()) };
    let settled = kit.cache.settle(&settle).await.unwrap();

    assert_eq!(settled.next, Some(ClaimReply::Nothing { paused: true, next_due: None }));
}

pub async fn next_claim_that_fails_does_not_undo_the_settle(kit: Kit) {
    kit.plan("g", "a; b").await;
    kit.register("one").await;
    let lease = kit.lease("one").await;

    let twin = Claim { incarnation: Incarnation("twin".to_owned()), ..kit.claim_of("one") };
    let settle = Settle { next: Some(twin), ..kit.settle_of(&lease, done()) };
    let settled = kit.cache.settle(&settle).await.unwrap();

    assert_eq!(settled.status, TaskStatus::Done);
    assert_eq!(settled.next, Some(ClaimReply::Nothing { paused: false, next_due: None }));
    let lease = kit.lease("one").await;
    let unknown = Settle { next: Some(kit.claim_for("one", "x")), ..kit.settle_of(&lease, done()) };
    let settled = kit.cache.settle(&unknown).await.unwrap();
    assert_eq!(settled.next, Some(ClaimReply::Nothing { paused: false, next_due: None }));
}

pub async fn settle_out_of_bounds_changes_nothing(kit: Kit) {
    kit.plan("g", "a").await;
    let lease = kit.lease("one").await;
    let artifact = Artifact { path: "f".to_owned(), bytes: 1, sha256: "00".to_owned() };
    let crowded = Outcome::Done { summary: String::new(), artifacts: vec![artifact; 2_000] };
    let bad_next = Claim { ttl: secs(0), ..kit.claim_of("one") };

    let settles = [
        kit.settle_of(&lease, crowded),
        Settle { request: RequestId(String::new()), ..kit.settle_of(&lease, done()) },
        Settle { next: Some(bad_next), ..kit.settle_of(&lease, done()) },
    ];
    for settle in settles {
        refused!(kit.cache.settle(&settle).await, CacheError::Invalid { .. });
        assert_eq!(kit.status("a").await, TaskStatus::Running);
    }
}

pub async fn events_tell_cause_before_effect(kit: Kit) {
    kit.plan("g", "a; c: a; b: a").await;
    let lease = kit.lease("one").await;
    let mark = kit.mark().await;

    let settle = Settle { next: Some(kit.claim_of("one")), ..kit.settle_of(&lease, done()) };
    kit.cache.settle(&settle).await.unwrap();

    let told = ["task.done a", "task.ready c", "task.ready b", "task.claimed c"];
    assert_eq!(kit.told_since(mark).await, told);
}

pub async fn summary_and_artifacts_are_kept(kit: Kit) {
    kit.plan("g", "a").await;
    let artifact = Artifact { path: "out/f.txt".to_owned(), bytes: 12, sha256: "ab".to_owned() };
    let outcome = Outcome::Done { summary: "wrote f".to_owned(), artifacts: vec![artifact.clone()] };

    kit.work("one", "a", outcome).await;

    let state = kit.state("a").await;
    assert_eq!((state.summary.as_deref(), state.artifacts), (Some("wrote f"), vec![artifact]));
    assert_eq!((state.owner, state.ended_at), (Some(agent("one")), Some(kit.now())));
}

pub async fn failed_attempts_are_kept_oldest_first(kit: Kit) {
    kit.plan("g", "a *9").await;
    for message in ["first", "second"] {
        let failure = Failure::new(message, Some("what it printed"));
        kit.work("one", "a", Outcome::Retry { failure, after: secs(0) }).await;
        kit.advance(secs(1));
    }

    let ended = kit.cache.task(&task("a")).await.unwrap().unwrap().ended;

    assert_eq!(ended.iter().map(|end| end.error.message.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    assert!(ended[0].token < ended[1].token && ended[0].ended_at < ended[1].started_at);
    assert_eq!(ended[0].error.detail.as_deref(), Some("what it printed"));
}

pub async fn newest_fifty_failed_attempts_are_kept(kit: Kit) {
    kit.plan("g", "a *100").await;
    for _ in 0..53 {
        kit.work("one", "a", retry(0)).await;
    }

    let ended = kit.cache.task(&task("a")).await.unwrap().unwrap().ended;

    assert_eq!((ended.len(), ended[0].attempt, ended[49].attempt), (50, 4, 53));
}

pub async fn texts_beyond_their_bounds_are_cut(kit: Kit) {
    kit.plan("g", "a; b").await;
    let long = "ä".repeat(50_000);

    kit.work("one", "a", Outcome::Done { summary: long.clone(), artifacts: Vec::new() }).await;
    let failure = Failure { message: long.clone(), detail: Some(long) };
    kit.work("one", "b", Outcome::Failed { failure }).await;

    assert!(kit.state("a").await.summary.unwrap().len() <= crate::rules::MAX_NOTE);
    let error = kit.state("b").await.last_error.unwrap();
    assert!(error.message.len() <= Failure::MAX_MESSAGE);
    assert!(error.detail.unwrap().len() <= Failure::MAX_DETAIL);
}

pub async fn progress_is_kept_and_told_when_it_is_news(kit: Kit) {
    kit.plan("g", "a").await;
    let lease = kit.lease("one").await;
    let mark = kit.mark().await;

    for note in [Some("half"), Some("half"), None, Some("nearly")] {
        kit.cache.renew(&Kit::renew_of(&lease, note)).await.unwrap();
    }

    assert_eq!(kit.told_since(mark).await, ["task.progress a", "task.progress a"]);
    assert_eq!(kit.state("a").await.progress.as_deref(), Some("nearly"));
    let long = "x".repeat(20_000);
    kit.cache.renew(&Kit::renew_of(&lease, Some(&long))).await.unwrap();
    assert!(kit.state("a").await.progress.unwrap().len() <= crate::rules::MAX_NOTE);
}

pub async fn wide_unblocking_is_one_step(kit: Kit) {
    let mut drawing = "a".to_owned();
    for n in 0..200 {
        drawing.push_str(&format!("; b{n}: a"));
    }
    kit.plan("g", &drawing).await;

    let settled = kit.work("one", "a", done()).await;

    assert_eq!(settled.unblocked, 200);
    assert_eq!(kit.goal("g").await.counts.ready, 200);
}
