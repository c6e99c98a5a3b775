//! A fleet of 256 agents on one Redis: nothing grows while it works, and next to nothing is sent while it
//! does not. `DOWNBEAT_SOAK_SECONDS` says for how long (600 for ten minutes).
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "test code: a fault ends the test"
)]

#[path = "../../../crates/cache-redis/tests/throwaway/mod.rs"]
mod throwaway;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use downbeat_cache_redis::{Options, RedisCache};
use downbeat_core::cache::{
    Agents, Beat, Claim, Phase, Plan, Remove, Settle, StreamLimits, Streams, Sweep, Tasks, Topic,
};
use downbeat_core::conformance::kit::{Kit, agent, done, draw, goal, life};
use downbeat_core::goal::Usage;
use downbeat_core::ids::RequestId;
use throwaway::Server;
use tokio::time::Instant;

const AGENTS: usize = 256;
/// Connections, as of so many processes.
const PROCESSES: usize = 8;
/// An agent beats three times in this.
const TTL: Duration = Duration::from_secs(15);
/// Tasks of a goal; one goal at a time, so that the fleet is neither idle nor behind.
const TASKS: usize = 400;
/// The time is looked at in so many parts.
const PARTS: u32 = 10;

#[derive(Default)]
struct Shared {
    /// Of each claim and settle, in microseconds.
    latencies: Mutex<Vec<u64>>,
    done: AtomicU64,
    requests: AtomicU64,
    end: AtomicBool,
}

impl Shared {
    fn request(&self) -> RequestId {
        RequestId(format!("request {}", self.requests.fetch_add(1, Ordering::Relaxed)))
    }

    fn took(&self, since: Instant) {
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap();
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).push(micros);
    }
}

async fn work(cache: RedisCache, name: String, shared: Arc<Shared>) {
    let registration = downbeat_core::cache::Registration { ttl: TTL, ..Kit::registration(&name) };
    cache.register(&registration).await.unwrap();
    let mut beat = tokio::time::interval(TTL / 3);
    // Who had no time for some of them does not make up for them while it is looked how much an idle fleet sends.
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !shared.end.load(Ordering::Relaxed) {
        let seen = cache.changed(&Topic::Ready, u64::MAX, Duration::ZERO).await.unwrap();
        let claim = Claim {
            avoid: std::collections::BTreeSet::default(),
            agent: agent(&name),
            incarnation: life(&name),
            request: shared.request(),
            goal: None,
            capabilities: [].into(),
            task: None,
            ttl: TTL,
        };
        let asked = Instant::now();
        let granted = cache.claim(&claim).await.unwrap().granted();
        if let Some(claimed) = granted {
            shared.took(asked);
            let settle = Settle {
                task: claimed.lease.task,
                token: claimed.lease.token,
                request: shared.request(),
                outcome: done(),
                spent: Usage::default(),
                next: None,
            };
            let asked = Instant::now();
            cache.settle(&settle).await.unwrap();
            shared.took(asked);
            shared.done.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        loop {
            tokio::select! {
                _ = cache.changed(&Topic::Ready, seen, Duration::from_secs(60)) => break,
                _ = beat.tick() => {
                    let beat = Beat { name: agent(&name), incarnation: life(&name), phase: Phase::Idle, task: None };
                    cache.beat(&beat).await.unwrap();
                }
            }
        }
    }
}

struct Probe(redis::aio::MultiplexedConnection);

impl Probe {
    async fn info(&mut self, section: &str) -> String {
        redis::cmd("INFO").arg(section).query_async(&mut self.0).await.unwrap()
    }

    async fn number(&mut self, section: &str, field: &str) -> u64 {
        let info = self.info(section).await;
        let found = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        found.expect("a field of INFO").trim().parse().unwrap()
    }

    /// How many commands of each kind were carried out so far, those that scripts gave included.
    async fn commands(&mut self) -> Vec<(String, u64)> {
        let info = self.info("commandstats").await;
        let calls = info.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        });
        calls.collect()
    }
}

async fn one_goal(cache: &RedisCache, shared: &Shared, round: usize) {
    let drawing: Vec<String> =
        (0..TASKS).map(|n| format!("t{n}{}", if n > 40 { ": t3" } else { "" })).collect();
    let plan = Plan {
        parent: None,
        dag: draw("g", &drawing.join("; ")),
        title: "g".to_owned(),
        request: RequestId(format!("plan {round}")),
        max_attempts: 9,
        spent: Usage::default(),
    };
    cache.plan(&plan).await.unwrap();
    let until = shared.done.load(Ordering::Relaxed);
    let events = Topic::Stream(downbeat_core::cache::events_stream());
    while !cache.goal(&goal("g")).await.unwrap().unwrap().status.is_finished() {
        let seen = cache.changed(&events, u64::MAX, Duration::ZERO).await.unwrap();
        let _ = cache.changed(&events, seen + 50, Duration::from_millis(100)).await.unwrap();
    }
    assert!(shared.done.load(Ordering::Relaxed) > until);
    cache.remove(&Remove { goal: goal("g"), ended_at: None }).await.unwrap();
    cache.sweep(&Sweep { limit: 100 }).await.unwrap();
}

#[derive(Debug)]
struct Part {
    connections: u64,
    memory: u64,
    tasks: u64,
    p50: u64,
    p99: u64,
}

#[test]
fn a_fleet_of_256_grows_nothing_and_is_quiet_when_idle() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(soak());
}

async fn soak() {
    let seconds = std::env::var("DOWNBEAT_SOAK_SECONDS").map_or(20, |text| text.parse().unwrap());
    let server = Server::start_with(&[]);
    let limits = StreamLimits { events: 5_000, others: 1_000 };
    let mut caches = Vec::new();
    for _ in 0..PROCESSES {
        caches.push(RedisCache::connect(Options { limits, ..Options::new(server.url()) }).await.unwrap());
    }
    let client = redis::Client::open(server.url()).unwrap();
    let mut probe = Probe(client.get_multiplexed_async_connection().await.unwrap());
    let shared = Arc::<Shared>::default();
    let mut fleet = tokio::task::JoinSet::new();
    for n in 0..AGENTS {
        let cache = caches.get(n % PROCESSES).unwrap().clone();
        fleet.spawn(work(cache, format!("agent-{n:03}"), Arc::clone(&shared)));
    }
    let cache = caches.first().unwrap().clone();

    let mut parts: Vec<Part> = Vec::new();
    let mut round = 0;
    // What the server, the client and the log need for themselves is there after the first part.
    for part in 0..=PARTS {
        let end = Instant::now() + Duration::from_secs(seconds) / PARTS;
        let before = shared.done.load(Ordering::Relaxed);
        while Instant::now() < end {
            one_goal(&cache, &shared, round).await;
            round += 1;
        }
        let mut latencies =
            std::mem::take(&mut *shared.latencies.lock().unwrap_or_else(PoisonError::into_inner));
        latencies.sort_unstable();
        let at =
            |hundredth: usize| latencies.get(latencies.len() * hundredth / 100).copied().unwrap_or_default();
        let found = Part {
            connections: probe.number("clients", "connected_clients").await,
            memory: probe.number("memory", "used_memory").await,
            tasks: shared.done.load(Ordering::Relaxed) - before,
            p50: at(50),
            p99: at(99),
        };
        let Part { connections, memory, tasks, p50, p99 } = &found;
        println!(
            "part {part}: {connections} connections, {memory} bytes, {tasks} tasks, p50 {p50} us, p99 {p99} us"
        );
        if part > 0 {
            parts.push(found);
        }
    }
    let (first, last) = (parts.first().unwrap(), parts.last().unwrap());
    assert!(fleet.try_join_next().is_none(), "an agent ended");
    assert_eq!(last.connections, first.connections);
    assert!(last.memory < first.memory + first.memory / 4, "{first:?} {last:?}");

    // Nothing is left to do: what is sent now is what an idle fleet costs.
    let span = Duration::from_secs(10);
    let before = probe.commands().await;
    tokio::time::sleep(span).await;
    let after = probe.commands().await;
    let mut sent = 0;
    let mut all = 0;
    for (name, calls) in after {
        let calls = calls - before.iter().find(|(other, _)| *other == name).map_or(0, |(_, calls)| *calls);
        all += calls;
        if matches!(
            name.as_str(),
            "evalsha" | "eval" | "fcall" | "get" | "ping" | "subscribe" | "multi" | "exec"
        ) {
            sent += calls;
        }
    }
    let (sent, all) = (sent / span.as_secs(), all / span.as_secs());
    println!("idle: {sent} commands a second were sent at most, {all} with those that scripts give");
    assert!(sent > 0, "heartbeats are sent");
    assert!(sent < 200, "{sent} commands a second");
}
