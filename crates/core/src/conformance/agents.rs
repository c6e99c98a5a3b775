//! The registry knows which life of a name lives, and frees what a dead one held.

use super::kit::{
    Kit, TTL, agent, capabilities, done, failed, goal, life, refused, release, retry, secs, task,
};
use crate::cache::{
    AgentError, Beat, CacheError, Departure, Directive, ExitStatus, Leave, Liveness, MAX_AGENT_ERRORS, MAX_MEMORY, Phase,
    Registration,
};
use crate::rules::KEPT_AGENTS;
use crate::ids::Incarnation;
use crate::event::EventKind;
use crate::state::TaskStatus;
use serde_json::json;

/// An agent leaves by itself.
pub fn departure(name: &str) -> Departure {
    Departure {
        name: agent(name),
        incarnation: life(name),
        how: Leave::Stopped,
        reason: "enough for today".to_owned(),
        exit: ExitStatus::Ok,
    }
}

fn second_life(name: &str) -> Registration {
    Registration { incarnation: Incarnation(format!("{name}-2")), ..Kit::registration(name) }
}

fn beat(name: &str, phase: Phase) -> Beat {
    Beat { name: agent(name), incarnation: life(name), phase, task: None }
}

async fn liveness(kit: &Kit, name: &str) -> Liveness {
    kit.cache.agent(&agent(name)).await.unwrap().unwrap().liveness
}

pub async fn registration_reads_back(kit: Kit) {
    let registration = Registration {
        goal: Some(goal("g")),
        role: Some("writer".to_owned()),
        capabilities: capabilities(&["shell"]),
        generation: 7,
        ..Kit::registration("one")
    };

    kit.cache.register(&registration).await.unwrap();

    let known = kit.cache.agent(&agent("one")).await.unwrap().unwrap();
    assert_eq!(known.registration, registration);
    assert_eq!((known.registered_at, known.last_beat_at), (kit.now(), kit.now()));
    assert_eq!((known.phase, known.liveness), (Phase::Created, Liveness::Alive));
    assert_eq!((known.task, known.paused, known.end_reason), (None, false, None));
    assert_eq!(kit.told_since(0).await, ["agent.registered g"]);
}

pub async fn agents_are_listed_by_name(kit: Kit) {
    for name in ["two", "one", "three"] {
        kit.register(name).await;
    }

    let agents = kit.cache.agents().await.unwrap();

    let names: Vec<&str> = agents.iter().map(|agent| agent.registration.name.as_str()).collect();
    assert_eq!(names, ["one", "three", "two"]);
    assert!(kit.cache.agent(&agent("four")).await.unwrap().is_none());
}

pub async fn same_incarnation_refreshes_without_an_event(kit: Kit) {
    kit.plan("g", "a").await;
    kit.register("one").await;
    let lease = kit.lease("one").await;
    kit.advance(secs(30));
    let mark = kit.mark().await;

    kit.register("one").await;

    assert!(kit.told_since(mark).await.is_empty());
    let known = kit.cache.agent(&agent("one")).await.unwrap().unwrap();
    assert_eq!(known.last_beat_at, kit.now());
    kit.settle(&lease, done()).await.unwrap();
}

pub async fn second_living_incarnation_is_refused(kit: Kit) {
    kit.register("one").await;
    kit.advance(TTL - secs(1));

    let error = kit.cache.register(&second_life("one")).await.unwrap_err();

    let CacheError::AgentNameTaken { incarnation, silent_from, .. } = error else { panic!("{error}") };
    assert_eq!((incarnation, silent_from), (life("one"), kit.now().after(secs(1))));
    kit.cache.beat(&beat("one", Phase::Idle)).await.unwrap();
}

pub async fn silent_incarnation_is_replaced_and_its_tasks_are_freed(kit: Kit) {
    kit.plan("g", "b; a; c").await;
    kit.register("one").await;
    for id in ["b", "a"] {
        kit.lease_of("one", id).await;
    }
    kit.lease_of("two", "c").await;
    kit.advance(TTL);
    let mark = kit.mark().await;

    let registered = kit.cache.register(&second_life("one")).await.unwrap();

    assert_eq!((registered.replaced, registered.freed), (Some(life("one")), vec![task("a"), task("b")]));
    assert_eq!(kit.told_since(mark).await, ["agent.registered one", "task.released a", "task.released b"]);
    assert_eq!(kit.status("c").await, TaskStatus::Running);
    assert_eq!(kit.lease("two").await.attempt, 1);
}

pub async fn replaced_incarnation_is_refused_everywhere(kit: Kit) {
    kit.plan("g", "a; b").await;
    kit.register("one").await;
    let lease = kit.lease("one").await;
    kit.advance(TTL);
    kit.cache.register(&second_life("one")).await.unwrap();

    refused!(kit.cache.beat(&beat("one", Phase::Idle)).await, CacheError::AgentReplaced { .. });
    refused!(kit.cache.claim(&kit.claim_of("one")).await, CacheError::AgentReplaced { .. });
    let remembered = kit.cache.remember(&agent("one"), &life("one"), "x").await;
    refused!(remembered, CacheError::AgentReplaced { .. });
    refused!(kit.settle(&lease, done()).await, CacheError::LeaseLost { .. });
}

pub async fn late_departure_of_a_replaced_incarnation_changes_nothing(kit: Kit) {
    kit.register("one").await;
    kit.advance(TTL);
    kit.cache.register(&second_life("one")).await.unwrap();
    let mark = kit.mark().await;

    assert!(kit.cache.deregister(&departure("one")).await.unwrap().is_empty());

    assert!(kit.told_since(mark).await.is_empty());
    assert_eq!(liveness(&kit, "one").await, Liveness::Alive);
}

pub async fn beat_postpones_silence(kit: Kit) {
    kit.register("one").await;
    kit.advance(secs(50));

    let reply = kit.cache.beat(&beat("one", Phase::Idle)).await.unwrap();

    assert_eq!(reply.silent_from, kit.now().after(TTL));
    kit.advance(secs(50));
    assert!(kit.sweep(9).await.silent.is_empty());
    refused!(kit.cache.register(&second_life("one")).await, CacheError::AgentNameTaken { .. });
}

pub async fn beat_after_silence_is_welcome(kit: Kit) {
    kit.register("one").await;
    kit.advance(TTL);
    kit.sweep(9).await;
    assert_eq!(liveness(&kit, "one").await, Liveness::Unknown);

    kit.cache.beat(&beat("one", Phase::Idle)).await.unwrap();

    assert_eq!(liveness(&kit, "one").await, Liveness::Alive);
    kit.advance(TTL);
    assert_eq!(kit.sweep(9).await.silent, [agent("one")]);
}

pub async fn beat_of_nobody_is_refused(kit: Kit) {
    refused!(kit.cache.beat(&beat("one", Phase::Idle)).await, CacheError::AgentReplaced { .. });
    kit.register("one").await;
    kit.cache.deregister(&departure("one")).await.unwrap();

    refused!(kit.cache.beat(&beat("one", Phase::Idle)).await, CacheError::AgentReplaced { .. });
}

pub async fn beat_tells_whether_the_agent_is_paused(kit: Kit) {
    kit.register("one").await;
    assert!(!kit.cache.beat(&beat("one", Phase::Idle)).await.unwrap().paused);

    kit.steer(Directive::Pause { agent: agent("one") }).await;

    assert!(kit.cache.beat(&beat("one", Phase::Idle)).await.unwrap().paused);
}

pub async fn phase_and_task_are_those_of_the_last_beat(kit: Kit) {
    kit.register("one").await;
    let mark = kit.mark().await;

    for phase in [Phase::Idle, Phase::Assigned, Phase::Reasoning, Phase::Reasoning, Phase::Executing] {
        let beat = Beat { task: Some(task("a")), ..beat("one", phase) };
        kit.cache.beat(&beat).await.unwrap();
    }

    let known = kit.cache.agent(&agent("one")).await.unwrap().unwrap();
    assert_eq!((known.phase, known.task), (Phase::Executing, Some(task("a"))));
    assert_eq!(kit.told_since(mark).await, ["agent.phase a", "agent.phase a", "agent.phase a"]);
}

pub async fn the_same_phase_for_another_task_is_told(kit: Kit) {
    kit.register("one").await;
    let mark = kit.mark().await;

    for (phase, on) in [
        (Phase::Executing, Some("a")),
        (Phase::Executing, Some("b")),
        (Phase::Executing, Some("b")),
        (Phase::Assigned, Some("c")),
        (Phase::Idle, None),
        (Phase::Idle, None),
    ] {
        kit.cache.beat(&Beat { task: on.map(task), ..beat("one", phase) }).await.unwrap();
    }

    let told = kit.told_since(mark).await;
    assert_eq!(told, ["agent.phase a", "agent.phase b", "agent.phase one"]);
}

pub async fn departing_agent_gives_its_tasks_back(kit: Kit) {
    kit.plan("g", "b; a").await;
    kit.register("one").await;
    let lease = kit.lease_of("one", "a").await;
    kit.lease_of("one", "b").await;
    let mark = kit.mark().await;

    let freed = kit.cache.deregister(&departure("one")).await.unwrap();

    assert_eq!(freed, [task("a"), task("b")]);
    assert_eq!(kit.told_since(mark).await, ["task.released a", "task.released b", "agent.terminated one"]);
    refused!(kit.settle(&lease, done()).await, CacheError::LeaseLost { .. });
    assert_eq!(kit.lease("two").await.attempt, 1);
    let known = kit.cache.agent(&agent("one")).await.unwrap().unwrap();
    assert_eq!((known.liveness, known.phase), (Liveness::Dead, Phase::Stopped));
    assert_eq!(known.end_reason.as_deref(), Some("enough for today"));
}

pub async fn an_end_says_with_what_and_of_which_life(kit: Kit) {
    let exits = [ExitStatus::Ok, ExitStatus::Error { code: Some(3) }, ExitStatus::Signal { signal: 9 }];
    let mark = kit.mark().await;
    for (life, exit) in (1_u64..).zip(exits) {
        let incarnation = Incarnation(format!("life-{life}"));
        let registration =
            Registration { incarnation: incarnation.clone(), generation: life, ..Kit::registration("one") };
        kit.cache.register(&registration).await.unwrap();
        let departure = Departure { incarnation, exit, ..departure("one") };
        kit.cache.deregister(&departure).await.unwrap();
    }

    let events = kit.events().await.split_off(mark);

    let ends: Vec<_> =
        events.iter().filter(|event| event.what.kind == EventKind::AGENT_TERMINATED).collect();
    let said: Vec<_> = ends.iter().map(|event| event.what.data.clone()).collect();
    assert_eq!(said, [
        json!({"exit": "ok", "generation": 1}),
        json!({"exit": "error", "code": 3, "generation": 2}),
        json!({"exit": "signal", "signal": 9, "generation": 3}),
    ]);
    assert_eq!(kit.cache.agent(&agent("one")).await.unwrap().unwrap().registration.generation, 3);
}

pub async fn quarantined_agent_is_dead_and_what_it_held_is_free(kit: Kit) {
    kit.plan("g", "a *9").await;
    kit.register("one").await;
    kit.lease_of("one", "a").await;
    let mark = kit.mark().await;

    let how = Leave::Quarantined { interruption_limit: 0 };
    let exit = ExitStatus::Error { code: None };
    let freed = kit.cache.deregister(&Departure { how, exit, ..departure("one") }).await.unwrap();

    assert_eq!(freed, [task("a")]);
    let told = kit.told_since(mark).await;
    assert_eq!(told.iter().filter(|kind| *kind == "agent.quarantined one").count(), 1, "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("agent.quarantined one"));
    let known = kit.cache.agent(&agent("one")).await.unwrap().unwrap();
    assert_eq!((known.liveness, known.phase), (Liveness::Dead, Phase::Quarantined));
    assert_eq!(known.end_reason.as_deref(), Some("enough for today"));
    assert_eq!(kit.lease("two").await.attempt, 2, "beyond the limit an interruption costs an attempt");

    let again = Registration { incarnation: Incarnation("again".to_owned()), ..Kit::registration("one") };
    kit.cache.register(&again).await.unwrap();
    assert_eq!(liveness(&kit, "one").await, Liveness::Alive, "a person may have it started again");
}

pub async fn second_departure_changes_nothing(kit: Kit) {
    kit.register("one").await;
    kit.cache.deregister(&departure("one")).await.unwrap();
    let mark = kit.mark().await;

    assert!(kit.cache.deregister(&departure("one")).await.unwrap().is_empty());
    assert!(kit.cache.deregister(&departure("nobody")).await.unwrap().is_empty());

    assert!(kit.told_since(mark).await.is_empty());
}

pub async fn death_costs_an_attempt_only_beyond_the_limit(kit: Kit) {
    kit.plan("g", "a *9").await;
    let how = Leave::Dead { interruption_limit: 2 };
    let mut attempts = Vec::new();

    for n in 0..4 {
        let incarnation = Incarnation(format!("life-{n}"));
        let registration = Registration { incarnation, ..Kit::registration("one") };
        kit.cache.register(&registration).await.unwrap();
        let claim = crate::cache::Claim {
            incarnation: registration.incarnation.clone(),
            ..kit.claim_of("one")
        };
        attempts.push(kit.grant(&claim).await.unwrap().lease.attempt);
        let departure = Departure { incarnation: registration.incarnation, how, ..departure("one") };
        kit.cache.deregister(&departure).await.unwrap();
    }

    assert_eq!(attempts, [1, 1, 1, 2]);
}

pub async fn name_is_free_after_a_departure(kit: Kit) {
    kit.register("one").await;
    kit.cache.deregister(&departure("one")).await.unwrap();

    let registered = kit.cache.register(&second_life("one")).await.unwrap();

    assert_eq!(registered.replaced, None);
    assert_eq!(liveness(&kit, "one").await, Liveness::Alive);
}

pub async fn settled_tasks_are_not_freed(kit: Kit) {
    kit.plan("g", "a; b; c").await;
    kit.register("one").await;
    kit.work("one", "a", done()).await;
    kit.work("one", "b", retry(5)).await;
    kit.lease_of("one", "c").await;

    assert_eq!(kit.cache.deregister(&departure("one")).await.unwrap(), [task("c")]);

    assert_eq!(kit.status("a").await, TaskStatus::Done);
}

pub async fn liveness_follows_the_clock(kit: Kit) {
    kit.register("one").await;
    kit.advance(TTL - secs(1));
    assert_eq!(liveness(&kit, "one").await, Liveness::Alive);

    kit.advance(secs(1));

    assert_eq!(liveness(&kit, "one").await, Liveness::Unknown);
}

pub async fn memory_outlives_its_incarnation(kit: Kit) {
    kit.register("one").await;
    assert_eq!(kit.cache.recall(&agent("one")).await.unwrap(), None);
    kit.cache.remember(&agent("one"), &life("one"), "first").await.unwrap();
    kit.cache.remember(&agent("one"), &life("one"), "second").await.unwrap();
    kit.advance(TTL);

    kit.cache.register(&second_life("one")).await.unwrap();

    assert_eq!(kit.cache.recall(&agent("one")).await.unwrap().as_deref(), Some("second"));
}

pub async fn memory_beyond_its_bounds_is_refused(kit: Kit) {
    kit.register("one").await;
    kit.cache.remember(&agent("one"), &life("one"), "old").await.unwrap();

    let result = kit.cache.remember(&agent("one"), &life("one"), &"x".repeat(MAX_MEMORY + 1)).await;
    refused!(result, CacheError::Invalid { .. });

    assert_eq!(kit.cache.recall(&agent("one")).await.unwrap().as_deref(), Some("old"));
}

pub async fn registration_out_of_bounds_is_refused(kit: Kit) {
    let no_time = Registration { ttl: secs(0), ..Kit::registration("one") };
    let no_life = Registration { incarnation: Incarnation(String::new()), ..Kit::registration("one") };
    let far_host = Registration { host: "h".repeat(300), ..Kit::registration("one") };

    for registration in [no_time, no_life, far_host] {
        refused!(kit.cache.register(&registration).await, CacheError::Invalid { .. });
    }
    assert!(kit.cache.agents().await.unwrap().is_empty());
}

async fn errors(kit: &Kit, name: &str) -> Vec<AgentError> {
    kit.cache.errors(&agent(name)).await.unwrap()
}

pub async fn failed_attempts_are_errors_of_their_agent(kit: Kit) {
    assert!(errors(&kit, "one").await.is_empty());
    kit.register("one").await;
    kit.plan("g", "a *2; b *1").await;
    let lease = kit.lease_of("one", "a").await;
    kit.advance(secs(1));
    kit.settle(&lease, retry(0)).await.unwrap();
    kit.work("one", "a", failed()).await;
    let expired = kit.lease_of("one", "b").await;
    kit.advance(TTL);
    kit.sweep(9).await;

    let found = errors(&kit, "one").await;

    let told: Vec<_> = found.iter().map(|error| (error.task.as_str(), error.attempt.outcome.as_str())).collect();
    assert_eq!(told, [("a", "retry"), ("a", "failed"), ("b", "expired")]);
    assert_eq!((found[0].goal.as_str(), found[0].attempt.token), ("g", lease.token));
    assert_eq!(found[0].attempt.ended_at, lease.claimed_at.after(secs(1)));
    assert_eq!((found[0].attempt.agent.as_str(), found[0].attempt.error.message.as_str()), ("one", "it broke"));
    assert_eq!(found[2].attempt.token, expired.token);
    assert!(errors(&kit, "two").await.is_empty());
}

pub async fn attempts_given_back_are_no_errors(kit: Kit) {
    kit.register("one").await;
    kit.plan("g", "a; b; c; d").await;
    kit.work("one", "a", release()).await;
    kit.lease_of("one", "b").await;
    kit.steer(Directive::DropTask { task: task("b") }).await;
    kit.lease_of("one", "c").await;
    kit.steer(Directive::Cancel { task: task("c") }).await;
    kit.work("one", "d", done()).await;
    // Nobody has a list who never registered.
    kit.work("nobody", "a", failed()).await;

    assert!(errors(&kit, "one").await.is_empty());
    assert!(errors(&kit, "nobody").await.is_empty());
}

pub async fn errors_outlive_the_agent_and_the_task(kit: Kit) {
    kit.register("one").await;
    kit.plan("g", "a").await;
    kit.lease_of("one", "a").await;
    let dead = Departure { how: Leave::Dead { interruption_limit: 0 }, ..departure("one") };
    kit.cache.deregister(&dead).await.unwrap();
    kit.steer(Directive::Cancel { task: task("a") }).await;
    kit.remove("g").await;
    kit.cache.register(&second_life("one")).await.unwrap();

    let found = errors(&kit, "one").await;

    assert_eq!(found.len(), 1);
    assert_eq!((found[0].task.as_str(), found[0].attempt.outcome.as_str()), ("a", "interrupted"));
}

pub async fn newest_hundred_errors_are_kept(kit: Kit) {
    kit.register("one").await;
    kit.plan("g", "a *200").await;
    for _ in 0..MAX_AGENT_ERRORS + 3 {
        kit.work("one", "a", retry(0)).await;
    }

    let found = errors(&kit, "one").await;

    let attempts: Vec<u32> = found.iter().map(|error| error.attempt.attempt).collect();
    assert_eq!(attempts, (4..=103).collect::<Vec<u32>>());
}

/// Lets so many agents come and go, all heard last at this moment.
async fn come_and_go(kit: &Kit, names: impl Iterator<Item = usize>) {
    let mut gone = tokio::task::JoinSet::new();
    for n in names {
        let cache = std::sync::Arc::clone(&kit.cache);
        gone.spawn(async move {
            let name = format!("agent-{n:04}");
            cache.register(&Kit::registration(&name)).await.unwrap();
            cache.remember(&agent(&name), &life(&name), "what it knows").await.unwrap();
            cache.deregister(&departure(&name)).await.unwrap();
        });
    }
    gone.join_all().await;
}

pub async fn agents_gone_for_longest_are_forgotten(kit: Kit) {
    come_and_go(&kit, 1..KEPT_AGENTS).await;
    kit.advance(secs(1));
    come_and_go(&kit, 0..1).await;
    kit.register("silent").await;
    kit.sweep(9).await;
    assert_eq!(kit.cache.agents().await.unwrap().len(), KEPT_AGENTS + 1, "none too early");
    kit.advance(TTL);
    kit.register("alive").await;

    kit.sweep(0).await;
    assert_eq!(kit.cache.agents().await.unwrap().len(), KEPT_AGENTS + 2, "within the limit of the sweep");
    kit.sweep(9).await;

    let there = async |name: &str| kit.cache.agent(&agent(name)).await.unwrap().is_some();
    assert_eq!(kit.cache.agents().await.unwrap().len(), KEPT_AGENTS + 1);
    assert!(!there("agent-0001").await && there("agent-0002").await, "by their last beat, then by name");
    assert!(there("agent-0000").await && there("silent").await && there("alive").await);
    assert!(kit.cache.recall(&agent("agent-0001")).await.unwrap().is_none());
    assert!(kit.cache.recall(&agent("agent-0002")).await.unwrap().is_some());
    kit.register("agent-0001").await;
    // Who is back is gone no more.
    kit.cache.register(&second_life("agent-0002")).await.unwrap();
    kit.sweep(9).await;
    assert!(there("agent-0001").await && there("agent-0002").await && there("agent-0003").await);
}

pub async fn agent_that_holds_a_task_is_not_forgotten(kit: Kit) {
    kit.register("holder").await;
    kit.plan("g", "a").await;
    let claim = crate::cache::Claim { ttl: 3 * TTL, ..kit.claim_for("holder", "a") };
    let lease = kit.grant(&claim).await.unwrap().lease;
    kit.advance(TTL);
    kit.sweep(9).await;
    come_and_go(&kit, 0..KEPT_AGENTS).await;

    kit.sweep(9).await;
    assert!(kit.cache.agent(&agent("holder")).await.unwrap().is_some());

    kit.settle(&lease, done()).await.unwrap();
    kit.sweep(9).await;
    assert!(kit.cache.agent(&agent("holder")).await.unwrap().is_none());
}
