//! Random runs on the reference and on the cache under proof: every answer and the whole log are equal.
//!
//! `DOWNBEAT_SEED` replays one run, `DOWNBEAT_RUNS` says how many there are.

mod call;
mod world;

use std::sync::Arc;

use self::call::Call;
use self::world::World;
use super::kit::Kit;
use crate::cache::{Cache, TaskQuery, Topic};
use crate::goal::Counts;
use crate::memory::MemoryCache;
use crate::time::ManualClock;

/// How many requests a run makes.
const STEPS: usize = 200;

pub async fn random_fleets_are_answered_as_by_the_reference(kit: Kit) {
    run_all(&kit, false).await;
}

pub async fn random_nonsense_is_answered_as_by_the_reference(kit: Kit) {
    run_all(&kit, true).await;
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: `{text}`")))
}

async fn run_all(kit: &Kit, wild: bool) {
    if let Some(seed) = number("DOWNBEAT_SEED") {
        return run(&kit.another().await, seed, wild).await;
    }
    let first = fastrand::u64(..) >> 1;
    for seed in (first..).take(usize::try_from(number("DOWNBEAT_RUNS").unwrap_or_else(|| kit.runs())).unwrap()) {
        run(&kit.another().await, seed, wild).await;
    }
}

/// Plans one task and claims it. Returns the token's epoch, which the reference must share.
async fn probe(cache: &dyn Cache, kit: &Kit) -> u64 {
    cache.plan(&crate::cache::Plan { request: world::request("probe"), ..kit.plan_of("probe", "probe") })
        .await
        .unwrap();
    let claim =
        crate::cache::Claim { request: world::request("probe"), ..kit.claim_for("probe", "probe") };
    cache.claim(&claim).await.unwrap().granted().unwrap().lease.token.epoch()
}

async fn run(kit: &Kit, seed: u64, wild: bool) {
    let clock = Arc::new(ManualClock::at(kit.now()));
    let epoch = probe(&*kit.cache, kit).await;
    let reference = MemoryCache::with_epoch(clock.clone(), epoch);
    probe(&reference, kit).await;

    let mut world = World::new(seed, wild);
    let mut made: Vec<String> = Vec::new();
    let mut before = (work(&reference).await, work(&*kit.cache).await);
    for step in 0..STEPS {
        let call = world.next();
        made.push(format!("{call:?}"));
        if let Call::Advance(span) = call {
            clock.advance(span);
            kit.advance(span);
            continue;
        }
        let (expected, learned) = call.make(&reference).await;
        let (answered, _) = call.make(&*kit.cache).await;
        if expected != answered {
            fail(seed, step, &made, &expected, &answered);
        }
        let after = (work(&reference).await, work(&*kit.cache).await);
        if after.0 > before.0 && after.1 <= before.1 {
            fail(seed, step, &made, "work appeared", "nobody was woken");
        }
        before = after;
        world.learn(&call, learned);
    }
    compare_ends(kit, &reference, seed, &made).await;
}

/// How often work appeared: at least once, with the probe, so that this never waits.
async fn work(cache: &dyn Cache) -> u64 {
    cache.changed(&Topic::Ready, 0, std::time::Duration::ZERO).await.unwrap()
}

/// Compares the whole log and all that can be read, and counts the tasks of every goal.
async fn compare_ends(kit: &Kit, reference: &MemoryCache, seed: u64, made: &[String]) {
    let streams = [crate::cache::EVENTS, "s0", "s1"];
    for stream in streams {
        let read = Call::read_all(stream);
        let (expected, answered) = (read.make(reference).await.0, read.make(&*kit.cache).await.0);
        if expected != answered {
            fail(seed, STEPS, made, &expected.replace("Event {", "\nEvent {"), &answered.replace("Event {", "\nEvent {"));
        }
    }
    for goal in kit.cache.goals().await.unwrap() {
        let query = TaskQuery { goal: goal.id.clone(), status: None, after: None, limit: usize::MAX };
        let mut counts = Counts::default();
        for task in kit.cache.tasks(&query).await.unwrap() {
            counts.add(task.state.status);
        }
        assert_eq!(goal.counts, counts, "counts of `{}`, DOWNBEAT_SEED={seed}", goal.id);
        let tasks = Call::Tasks(query);
        assert_eq!(tasks.make(reference).await.0, tasks.make(&*kit.cache).await.0, "DOWNBEAT_SEED={seed}");
    }
}

fn fail(seed: u64, step: usize, made: &[String], expected: &str, answered: &str) -> ! {
    let last = made.len().saturating_sub(12);
    panic!(
        "the answers differ; replay with DOWNBEAT_SEED={seed} (step {step})\n\
         last requests:\n  {}\nreference: {expected}\nsubject:   {answered}",
        made[last..].join("\n  ")
    );
}
