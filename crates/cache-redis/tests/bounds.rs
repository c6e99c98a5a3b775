//! Nothing grows without bound, and a large removal keeps nobody waiting.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are test code")]

mod throwaway;

use std::fmt::Write as _;
use std::time::Duration;

use downbeat_cache_redis::{Options, RedisCache};
use downbeat_core::cache::{
    Agents, Append, CacheError, Claim, Departure, Directive, EVENTS, ExitStatus, Leave, Plan, Read, Remove,
    STREAM_SLACK, Settle, Steer, StreamLimits, Streams, Sweep, TaskQuery, Tasks,
};
use downbeat_core::conformance::kit::{Kit, agent, capabilities, done, draw, goal, life, task};
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::goal::Usage;
use downbeat_core::ids::{RequestId, StreamName};
use throwaway::Server;

const LIMITS: StreamLimits = StreamLimits { events: 2_000, others: 100 };

async fn open(server: &Server, limits: StreamLimits) -> RedisCache {
    RedisCache::connect(Options { limits, ..Options::new(server.url()) }).await.unwrap()
}

fn request(text: String) -> RequestId {
    RequestId(text)
}

async fn connection(server: &Server) -> redis::aio::MultiplexedConnection {
    redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

async fn number(connection: &mut redis::aio::MultiplexedConnection, words: &[&str]) -> u64 {
    let mut cmd = redis::Cmd::new();
    for word in words {
        cmd.arg(word);
    }
    cmd.query_async(connection).await.unwrap()
}

async fn used_memory(connection: &mut redis::aio::MultiplexedConnection) -> u64 {
    let info: String = redis::cmd("INFO").arg("memory").query_async(connection).await.unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a field of INFO");
    line.trim().parse().unwrap()
}

/// Waits until what was unlinked is freed, which a thread of the server's does.
async fn freed(connection: &mut redis::aio::MultiplexedConnection) {
    loop {
        let info: String = redis::cmd("INFO").arg("memory").query_async(connection).await.unwrap();
        if info.lines().any(|line| line.trim() == "lazyfree_pending_objects:0") {
            return;
        }
    }
}

/// Plans so many tasks under one goal, half of them waiting for the first.
async fn plan(cache: &RedisCache, id: &str, tasks: usize, round: usize) {
    let mut drawing = "t0".to_owned();
    for n in 1..tasks {
        write!(drawing, "; t{n}: {}", if n % 2 == 0 { "t0" } else { "" }).unwrap();
    }
    let plan = Plan {
        parent: None,
        dag: draw(id, &drawing),
        title: id.to_owned(),
        request: request(format!("plan {id} {round}")),
        max_attempts: 3,
        spent: Usage::default(),
    };
    cache.plan(&plan).await.unwrap();
}

async fn drain(cache: &RedisCache, round: usize) {
    for n in 0.. {
        let claim = Claim {
            avoid: std::collections::BTreeSet::default(),
            agent: agent("ann"),
            incarnation: life("ann"),
            request: request(format!("claim {round} {n}")),
            goal: None,
            capabilities: capabilities(&[]),
            task: None,
            ttl: Duration::from_secs(60),
        };
        let Some(claimed) = cache.claim(&claim).await.unwrap().granted() else {
            return;
        };
        let settle = Settle {
            task: claimed.lease.task,
            token: claimed.lease.token,
            request: request(format!("settle {round} {n}")),
            outcome: done(),
            spent: Usage::default(),
            next: None,
        };
        cache.settle(&settle).await.unwrap();
    }
}

async fn remove(cache: &RedisCache, id: &str) -> u64 {
    cache.remove(&Remove { goal: goal(id), ended_at: None }).await.unwrap().tasks
}

async fn cancel(cache: &RedisCache, id: &str, round: usize) {
    let directive = Directive::CancelGoal { goal: goal(id) };
    let steer =
        Steer { directive, by: "a test".to_owned(), request: request(format!("cancel {id} {round}")) };
    assert!(cache.steer(&steer).await.unwrap().applied);
}

#[tokio::test]
async fn keys_and_memory_return_to_where_they_were() {
    const TASKS: usize = 1_000;
    let server = Server::start();
    let cache = open(&server, LIMITS).await;
    let mut connection = connection(&server).await;
    let mut first = (0, 0);
    for round in 0..6 {
        plan(&cache, "g", TASKS, round).await;
        cache.register(&Kit::registration("ann")).await.unwrap();
        drain(&cache, round).await;
        let departure = Departure {
            name: agent("ann"),
            incarnation: life("ann"),
            how: Leave::Stopped,
            reason: "done".to_owned(),
            exit: ExitStatus::Ok,
        };
        cache.deregister(&departure).await.unwrap();
        let full = (number(&mut connection, &["DBSIZE"]).await, used_memory(&mut connection).await);
        assert_eq!(remove(&cache, "g").await, 1_000);
        let keys = number(&mut connection, &["DBSIZE"]).await;
        freed(&mut connection).await;
        let memory = used_memory(&mut connection).await;
        if round == 1 {
            first = (keys, memory);
        }
        if round > 1 {
            assert_eq!(keys, first.0, "round {round}");
            // The log is at its length from the first round on; the rest is what a server needs for itself.
            assert!(memory < first.1 + (full.1 - first.1) / 4, "round {round}: {first:?} {full:?} {memory}");
        }
        println!("round {round}: full {full:?}, then {keys} keys, {memory} bytes");
    }
}

#[tokio::test]
async fn the_log_has_the_length_that_was_set_and_comes_down_to_a_lesser_one() {
    let server = Server::start();
    let stream = StreamName::new(EVENTS).unwrap();
    let fill = async |cache: &RedisCache, rounds: usize| {
        for n in 0..rounds {
            let entry = EventDraft::new(EventKind::new("test.note").unwrap());
            let append = Append {
                stream: stream.clone(),
                entries: vec![entry; 500],
                request: request(format!("{n} {rounds}")),
            };
            cache.append(&append).await.unwrap();
        }
        let page = cache.read(&Read { stream: stream.clone(), after: 0, limit: usize::MAX }).await.unwrap();
        assert_eq!(page.trimmed, page.first - 1);
        u64::try_from(page.len()).unwrap()
    };
    let length = fill(&open(&server, LIMITS).await, 10).await;
    assert!((2_000..=2_000 + STREAM_SLACK).contains(&length), "{length}");
    let cache = open(&server, StreamLimits { events: 300, ..LIMITS }).await;
    let length = fill(&cache, 1).await;
    assert!((300..=300 + STREAM_SLACK).contains(&length), "{length}");
}

#[tokio::test]
async fn the_server_is_told_to_keep_blocks_of_any_size() {
    let server = Server::start_with(&["--stream-node-max-entries", "100000", "--stream-node-max-bytes", "0"]);
    let cache = open(&server, LIMITS).await;
    let stream = StreamName::new("s").unwrap();
    for n in 0..40 {
        let entry = EventDraft::new(EventKind::new("test.note").unwrap());
        let append =
            Append { stream: stream.clone(), entries: vec![entry; 100], request: request(n.to_string()) };
        cache.append(&append).await.unwrap();
        let page = cache.read(&Read { stream: stream.clone(), after: 0, limit: usize::MAX }).await.unwrap();
        let length = u64::try_from(page.len()).unwrap();
        assert!(length <= LIMITS.others + STREAM_SLACK, "{length}");
    }
}

/// Begins to remove a large goal, and is gone before it is through with it.
async fn half_remove(
    server: &Server,
    cache: &RedisCache,
    tasks: usize,
    round: usize,
) -> redis::aio::MultiplexedConnection {
    let mut connection = connection(server).await;
    plan(cache, "g", tasks, round).await;
    cancel(cache, "g", round).await;
    let removal = tokio::spawn({
        let cache = cache.clone();
        async move { remove(&cache, "g").await }
    });
    while number(&mut connection, &["EXISTS", "removing:g"]).await == 0 {
        assert!(!removal.is_finished(), "{:?}", removal.await);
    }
    removal.abort();
    let _ = removal.await;
    assert_eq!(number(&mut connection, &["EXISTS", "removing:g"]).await, 1, "it was to be left half way");
    connection
}

#[tokio::test]
async fn a_goal_that_is_half_removed_is_not_there_and_its_ids_are_free() {
    const TASKS: usize = 12_000;
    let server = Server::start();
    let cache = open(&server, LIMITS).await;
    let mut connection = half_remove(&server, &cache, TASKS, 0).await;

    let left = number(&mut connection, &["ZCARD", "removing:g"]).await;
    assert!(left > 0 && left < 12_000, "{left} tasks are left");
    let last: Vec<String> =
        redis::cmd("ZRANGE").arg(&["removing:g", "-1", "-1"]).query_async(&mut connection).await.unwrap();
    let last = task(&last[0]);
    assert!(cache.goal(&goal("g")).await.unwrap().is_none());
    assert!(cache.task(&last).await.unwrap().is_none());
    let query = TaskQuery { goal: goal("g"), status: None, after: None, limit: 9 };
    assert!(matches!(cache.tasks(&query).await, Err(CacheError::GoalNotFound { .. })));
    let retry = Steer {
        directive: Directive::Retry { task: last.clone() },
        by: "a test".to_owned(),
        request: request("retry".to_owned()),
    };
    assert!(!cache.steer(&retry).await.unwrap().applied);

    // Whoever wants one of the ids finishes the removal first; so does whoever wants the goal's.
    let wants = Plan {
        parent: None,
        dag: draw("h", last.as_str()),
        title: "h".to_owned(),
        request: request("wants".to_owned()),
        max_attempts: 1,
        spent: Usage::default(),
    };
    cache.plan(&wants).await.unwrap();
    assert_eq!(cache.task(&last).await.unwrap().unwrap().task.goal, goal("h"));
    assert_eq!(number(&mut connection, &["EXISTS", "removing:g", "index:removing"]).await, 0);
    assert!(number(&mut connection, &["DBSIZE"]).await < 40);
    cancel(&cache, "h", 0).await;
    remove(&cache, "h").await;

    half_remove(&server, &cache, TASKS, 1).await;
    plan(&cache, "g", 3, 2).await;
    assert_eq!(number(&mut connection, &["EXISTS", "removing:g", "index:removing"]).await, 0);
    assert_eq!(cache.goal(&goal("g")).await.unwrap().unwrap().counts.total(), 3);
}

#[tokio::test]
async fn a_sweep_goes_on_with_a_removal() {
    let mut server = Server::start();
    let cache = open(&server, LIMITS).await;
    half_remove(&server, &cache, 12_000, 0).await;
    server.crash();
    let mut connection = connection(&server).await;
    for _ in 0..60 {
        cache.sweep(&Sweep { limit: 10 }).await.unwrap();
    }
    assert_eq!(number(&mut connection, &["EXISTS", "removing:g", "index:removing"]).await, 0);
    let left: Vec<String> = redis::cmd("KEYS").arg("task:*").query_async(&mut connection).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_answered_while_a_large_goal_is_removed() {
    let server = Server::start();
    let cache = open(&server, LIMITS).await;
    let mut connection = connection(&server).await;
    plan(&cache, "g", 12_000, 0).await;
    cancel(&cache, "g", 0).await;
    let removal = tokio::spawn({
        let cache = cache.clone();
        async move { remove(&cache, "g").await }
    });
    let (mut answers, mut longest) = (0, Duration::ZERO);
    while !removal.is_finished() {
        let asked = tokio::time::Instant::now();
        number(&mut connection, &["DBSIZE"]).await;
        longest = longest.max(asked.elapsed());
        answers += 1;
    }
    assert_eq!(removal.await.unwrap(), 12_000);
    println!("{answers} answers, the latest after {longest:?}");
    assert!(answers >= 6, "{answers} answers while 12 parts were removed");
}
