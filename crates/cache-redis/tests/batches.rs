//! Verbs of one process that wait at the same time go as one call. Each stands for itself all the same.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are test code")]

mod throwaway;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use downbeat_cache_redis::{Options, RedisCache};
use downbeat_core::cache::{Cache, CacheError, Claim, EVENTS, Read, Settle, Streams, Tasks};
use downbeat_core::goal::GoalStatus;
use downbeat_core::ids::{AgentName, GoalId, RequestId, StreamName, TaskId, Token};
use downbeat_core::state::{Failure, Outcome};
use futures::future::join_all;
use throwaway::Server;
use throwaway::work::{claim, plan, settle};

const CALLERS: usize = 64;

async fn open(server: &Server) -> RedisCache {
    RedisCache::connect(Options::new(server.url())).await.unwrap()
}

fn claim_of(agent: usize, request: usize) -> Claim {
    Claim {
        agent: AgentName::new(format!("agent-{agent}")).unwrap(),
        ..claim(&format!("agent-{agent} claims {request}"))
    }
}

/// How many functions the server was called for since it started.
fn calls(server: &Server) -> u64 {
    let told = server.text(&["INFO", "commandstats"]);
    let line = told.lines().find_map(|line| line.strip_prefix("cmdstat_fcall:calls=")).unwrap_or("0");
    line.split(',').next().unwrap().parse().unwrap()
}

/// A layer of roots, and for each root a task that waits for it and for the next one.
fn layers(width: usize) -> String {
    let roots = (0..width).map(|n| format!("a{n}"));
    let others = (0..width).map(|n| format!("b{n}: a{n} a{}", (n + 1) % width));
    roots.chain(others).collect::<Vec<_>>().join("; ")
}

/// Works until the goal is at rest; every other caller has its claims carried. What it was granted.
async fn work(cache: &RedisCache, agent: usize) -> Vec<(TaskId, Token)> {
    let goal = GoalId::new("g").unwrap();
    let mut granted = Vec::new();
    let mut held = None;
    for n in 0.. {
        let claimed = match held.take() {
            Some(claimed) => Some(claimed),
            None => cache.claim(&claim_of(agent, 2 * n)).await.unwrap().granted(),
        };
        let Some(claimed) = claimed else {
            if cache.goal(&goal).await.unwrap().unwrap().status.is_at_rest() {
                break;
            }
            continue;
        };
        assert_eq!(claimed.node.id, claimed.lease.task, "a task comes with its own node");
        let (task, token) = (claimed.lease.task, claimed.lease.token);
        let next = agent.is_multiple_of(2).then(|| claim_of(agent, 2 * n + 1));
        let settled = cache.settle(&Settle { next, ..settle(task.as_str(), token) }).await.unwrap();
        assert!(!settled.repeated);
        granted.push((task, token));
        held = settled.next.and_then(downbeat_core::cache::ClaimReply::granted);
    }
    granted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_of_one_connection_agree_with_the_log() {
    const WIDTH: usize = 300;
    let server = Server::start();
    let cache = open(&server).await;
    cache.plan(&plan("g", &layers(WIDTH))).await.unwrap();
    let before = calls(&server);

    let workers = (0..CALLERS).map(|agent| {
        let cache = cache.clone();
        tokio::spawn(async move { (agent, work(&cache, agent).await) })
    });
    let mut granted = BTreeMap::new();
    for worker in join_all(workers).await {
        let (agent, tasks) = worker.unwrap();
        for (task, token) in tasks {
            let who = (token, format!("agent-{agent}"));
            assert_eq!(granted.insert(task.clone(), who), None, "{task} was granted twice");
        }
    }
    let batched = calls(&server) - before;

    assert_eq!(granted.len(), 2 * WIDTH);
    // Three calls for two tasks, if each went alone, and what idle callers ask.
    assert!(batched < 2 * WIDTH as u64, "{batched} calls: nothing went together");
    let read = Read { stream: StreamName::new(EVENTS).unwrap(), after: 0, limit: usize::MAX };
    let events = cache.read(&read).await.unwrap();
    assert!(events.iter().zip(1..).all(|(event, at)| event.seq == at), "the log has no gap");
    let mut done = BTreeSet::new();
    for event in events.iter() {
        let kind = event.what.kind.as_str();
        let Some(task) = &event.what.task else { continue };
        if kind == "task.ready" {
            let number: usize = task.as_str()[1..].parse().unwrap();
            let waited_for = [number, (number + 1) % WIDTH].map(|n| format!("a{n}"));
            assert!(waited_for.iter().all(|root| done.contains(root)), "{task} was ready too early");
        }
        if kind == "task.claimed" || kind == "task.done" {
            let (token, agent) = &granted[task];
            assert_eq!(event.what.token, Some(*token), "{kind} of {task}");
            assert_eq!(event.what.agent.as_ref().unwrap().as_str(), agent);
        }
        if kind == "task.done" {
            assert!(done.insert(task.to_string()), "{task} was done twice");
        }
    }
    assert_eq!(done.len(), 2 * WIDTH);
    let goal = cache.goal(&GoalId::new("g").unwrap()).await.unwrap().unwrap();
    assert_eq!(goal.status, GoalStatus::Complete);
    assert_eq!((goal.counts.done, goal.counts.ready, goal.counts.running), (2 * WIDTH as u64, 0, 0));
    // Nothing is left of what was gathered.
    assert_eq!(server.text(&["ZCARD", "index:leases"]), "0");
    assert_eq!(server.ask(&["KEYS", "task:*:lock"]), redis::Value::Array(Vec::new()));
}

// One thread: all callers wait before the first batch is sent.
#[tokio::test]
async fn a_verb_that_fails_in_the_middle_changes_nothing_for_the_others() {
    let server = Server::start();
    let cache = open(&server).await;
    let drawing: Vec<String> = (0..CALLERS).map(|n| format!("t{n}")).collect();
    cache.plan(&plan("g", &drawing.join("; "))).await.unwrap();
    let foreign = TaskId::new("foreign").unwrap();
    server.ask(&["SET", "task:foreign", "no hash"]);
    let before = calls(&server);

    let answers = join_all((0..CALLERS).map(|agent| {
        let cache = &cache;
        let foreign = foreign.clone();
        async move {
            let task = (agent == 10).then_some(foreign);
            cache.claim(&Claim { task, ..claim_of(agent, 0) }).await
        }
    }))
    .await;

    assert!(calls(&server) - before < 8, "they went together");
    let mut granted = BTreeSet::new();
    for (agent, answer) in answers.into_iter().enumerate() {
        if agent == 10 {
            assert!(matches!(answer, Err(CacheError::Corrupt { .. })), "{answer:?}");
        } else {
            let lease = answer.unwrap().granted().expect("a task is ready").lease;
            assert!(granted.insert(lease.task));
        }
    }
    assert_eq!(granted.len(), CALLERS - 1);
    let goal = cache.goal(&GoalId::new("g").unwrap()).await.unwrap().unwrap();
    assert_eq!((goal.counts.ready, goal.counts.running), (1, CALLERS as u64 - 1));
    assert_eq!(server.text(&["ZCARD", "index:leases"]), (CALLERS - 1).to_string());
    let read = Read { stream: StreamName::new(EVENTS).unwrap(), after: 0, limit: usize::MAX };
    let claims = cache.read(&read).await.unwrap();
    assert_eq!(claims.iter().filter(|event| event.what.kind.as_str() == "task.claimed").count(), CALLERS - 1);
}

// What is to be done is read for all claims of a goal at once, and each answer gets its own.
#[tokio::test]
async fn answers_of_one_batch_get_their_own_nodes_and_errors() {
    let server = Server::start();
    let cache = open(&server).await;
    let ids = |goal: &str| (0..CALLERS / 4).map(|n| format!("{goal}{n}")).collect::<Vec<_>>().join("; ");
    for goal in ["g", "h", "broken"] {
        cache.plan(&plan(goal, &ids(goal))).await.unwrap();
    }
    server.ask(&["DEL", "dag:broken:nodes"]);
    server.ask(&["SET", "dag:broken:nodes", "no hash"]);
    let goal_of = |agent: usize| ["g", "h", "broken", "g"][agent % 4];
    let asked = |agent: usize, request: usize| Claim {
        goal: Some(GoalId::new(goal_of(agent)).unwrap()),
        ..claim_of(agent, request)
    };
    let before = calls(&server);

    let first = join_all((0..CALLERS).map(|agent| {
        let (cache, asked) = (&cache, asked(agent, 0));
        async move { cache.claim(&asked).await }
    }))
    .await;

    let alone = (0..CALLERS).filter(|agent| goal_of(*agent) == "broken").count() as u64;
    assert!(calls(&server) - before < alone + 8, "the others went together");
    let mut held = Vec::new();
    for (agent, answer) in first.into_iter().enumerate() {
        if goal_of(agent) == "broken" {
            assert!(matches!(answer, Err(CacheError::Corrupt { .. })), "{answer:?}");
        } else if let Some(claimed) = answer.unwrap().granted() {
            assert_eq!(claimed.node.id, claimed.lease.task);
            assert_eq!(claimed.last_error, None);
            held.push((agent, claimed));
        }
    }
    // Of `g` half as many as ask for it.
    assert_eq!(held.len(), CALLERS / 2);

    // Each gives its task back, and takes the best of its goal in the same step.
    let carried = join_all(held.into_iter().map(|(agent, claimed)| {
        let (cache, next) = (&cache, asked(agent, 1));
        async move {
            let failure = Failure {
                message: format!("{} failed", claimed.lease.task),
                detail: Some(format!("detail of {}", claimed.lease.task)),
            };
            let outcome = Outcome::Retry { failure, after: Duration::ZERO };
            let settle = Settle {
                outcome,
                next: Some(next),
                ..settle(claimed.lease.task.as_str(), claimed.lease.token)
            };
            cache.settle(&settle).await.unwrap().next.unwrap().granted().expect("one is ready")
        }
    }))
    .await;
    for claimed in carried {
        let task = claimed.lease.task;
        assert_eq!(claimed.node.id, task);
        assert_eq!(claimed.lease.attempt, 2);
        let failure = claimed.last_error.expect("it failed once");
        assert_eq!(failure.message, format!("{task} failed"));
        assert_eq!(failure.detail, Some(format!("detail of {task}")));
    }
}

#[tokio::test]
async fn a_batch_is_repeated_one_by_one_when_the_server_forgets_its_functions() {
    let server = Server::start();
    let cache = open(&server).await;
    let drawing: Vec<String> = (0..CALLERS).map(|n| format!("t{n}")).collect();
    cache.plan(&plan("g", &drawing.join("; "))).await.unwrap();
    server.ask(&["FUNCTION", "FLUSH"]);

    let answers = join_all((0..CALLERS).map(|agent| {
        let cache = &cache;
        async move { cache.claim(&claim_of(agent, 0)).await.unwrap().granted().unwrap().lease.task }
    }))
    .await;

    assert_eq!(answers.into_iter().collect::<BTreeSet<_>>().len(), CALLERS);
}

// The store is put in its place under a process that knows another epoch: a settle must not be written whose
// claim then finds that out.
#[tokio::test]
async fn a_carried_claim_is_granted_also_when_the_epoch_has_changed() {
    let server = Server::start();
    let cache = open(&server).await;
    cache.plan(&plan("g", "a; b")).await.unwrap();
    let lease = cache.claim(&claim("one")).await.unwrap().granted().unwrap().lease;
    let epoch: u64 = server.text(&["GET", "epoch"]).parse().unwrap();
    server.ask(&["SET", "epoch", &(epoch + 5).to_string()]);
    server.ask(&["ZREM", "index:ready", &format!("!{epoch}")]);

    let next = Some(Claim { ttl: Duration::from_secs(60), ..claim("two") });
    let asked = Settle { next, ..settle(lease.task.as_str(), lease.token) };
    let settled = cache.settle(&asked).await.unwrap();

    assert!(!settled.repeated);
    let next = settled.next.unwrap().granted().expect("the next task");
    assert_eq!(next.lease.token.epoch(), epoch + 5);
    let repeated =
        cache.settle(&Settle { request: RequestId(asked.request.0.clone()), ..asked.clone() }).await;
    assert!(repeated.unwrap().repeated);
}

/// The handle is used as any other.
#[tokio::test]
async fn callers_that_give_up_harm_nobody() {
    let server = Server::start();
    let cache = open(&server).await;
    let drawing: Vec<String> = (0..CALLERS).map(|n| format!("t{n}")).collect();
    cache.plan(&plan("g", &drawing.join("; "))).await.unwrap();

    let cache: &dyn Cache = &cache;
    let mut some =
        Box::pin(join_all((0..8).map(|agent| async move { cache.claim(&claim_of(agent, 0)).await })));
    // Polled once, the calls wait; a batch is sent when others get their turn; then all give up.
    assert!(futures::poll!(&mut some).is_pending());
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    drop(some);

    let answers =
        join_all((8..CALLERS).map(|agent| async move { cache.claim(&claim_of(agent, 0)).await })).await;
    let tasks: BTreeSet<TaskId> = answers
        .into_iter()
        .filter_map(|answer| answer.unwrap().granted())
        .map(|got| got.lease.task)
        .collect();
    assert_eq!(tasks.len(), CALLERS - 8);
}
