//! Drains independent tasks with several agents on a server at `REDIS_URL`, beside the least that the server
//! can do for it: a script that claims and one that settles, and both in one. It empties the server.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "an example")]
#![expect(
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "it measures"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use downbeat_cache_redis::{Options, RedisCache};
use downbeat_core::cache::{Cache, Claim, ClaimReply, Plan, Settle, Tasks};
use downbeat_core::dag::{Draft, DraftNode, validate};
use downbeat_core::goal::Usage;
use downbeat_core::ids::{AgentName, Incarnation, RequestId};
use downbeat_core::state::Outcome;
use redis::aio::MultiplexedConnection;

const CLAIM: &str = "
local id = redis.call('ZPOPMIN', KEYS[1])[1]
if not id then return false end
redis.call('HSET', 'ref:' .. id, 'status', 'running', 'owner', ARGV[1], 'token', ARGV[2])
redis.call('SET', 'ref:' .. id .. ':lock', ARGV[1] .. ':' .. ARGV[2], 'PX', 60000)
redis.call('XADD', 'ref:events', '*', 'kind', 'claimed', 'task', id, 'agent', ARGV[1])
return id";

const SETTLE: &str = "
local key = 'ref:' .. ARGV[3]
if redis.call('HGET', key, 'token') ~= ARGV[2] then return false end
redis.call('HSET', key, 'status', 'done')
redis.call('DEL', key .. ':lock')
redis.call('XADD', 'ref:events', '*', 'kind', 'done', 'task', ARGV[3], 'agent', ARGV[1])
return 1";

#[derive(Clone, Copy)]
struct Shape {
    tasks: usize,
    agents: usize,
    /// A connection for each agent, or one for all.
    apart: bool,
}

#[tokio::main]
async fn main() {
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1/".to_owned());
    let number = |name: &str, default: usize| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let shape =
        Shape { tasks: number("TASKS", 10_000), agents: number("AGENTS", 8), apart: number("APART", 1) == 1 };
    let client = redis::Client::open(url.clone()).unwrap();
    let mut admin = client.get_multiplexed_async_connection().await.unwrap();
    let names = ["pair", "ours", "fused", "carried"];
    let mut rates = [const { Vec::new() }; 4];
    let mut spent = [const { Vec::new() }; 4];
    for round in 0..number("ROUNDS", 5) {
        redis::cmd("FLUSHALL").exec_async(&mut admin).await.unwrap();
        for at in 0..4 {
            let carried = at > 1;
            let (rate, before) = if at % 2 == 0 {
                reference(&client, shape, carried, &mut admin).await
            } else {
                ours(&url, shape, carried, &format!("g{round}-{at}"), &mut admin).await
            };
            rates[at].push(rate);
            spent[at].push((cpu(&mut admin).await - before) * 1e6 / shape.tasks as f64);
        }
    }
    for (at, name) in names.iter().enumerate() {
        let limit = median(&mut rates[at - at % 2]);
        let rate = median(&mut rates[at]);
        println!(
            "{name:8} {rate:8.0} tasks a second, {:.2} of its limit, {:.1} µs of the server a task",
            rate / limit,
            median(&mut spent[at])
        );
    }
}

fn median(of: &mut [f64]) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// What the server has used of processors, in seconds.
async fn cpu(admin: &mut MultiplexedConnection) -> f64 {
    let info: String = redis::cmd("INFO").arg("cpu").query_async(admin).await.unwrap();
    let of = |name: &str| -> f64 {
        info.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap()
    };
    of("used_cpu_sys:") + of("used_cpu_user:")
}

/// The rate, and what the server had used when the drain began.
async fn reference(
    client: &redis::Client,
    shape: Shape,
    fused: bool,
    admin: &mut MultiplexedConnection,
) -> (f64, f64) {
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for from in (0..shape.tasks).step_by(1000) {
        let mut cmd = redis::cmd("ZADD");
        cmd.arg("ref:ready");
        for n in from..(from + 1000).min(shape.tasks) {
            cmd.arg(n).arg(format!("ref{fused}.{n}"));
        }
        cmd.exec_async(&mut connection).await.unwrap();
    }
    let fused_code = format!("if ARGV[3] ~= '' then {} end\n{CLAIM}", SETTLE.replace("return 1", ""));
    let mut load = async |code: &str| -> String {
        redis::cmd("SCRIPT").arg("LOAD").arg(code).query_async(&mut connection).await.unwrap()
    };
    let (claim, settle, both) = (load(CLAIM).await, load(SETTLE).await, load(&fused_code).await);
    let shared = client.get_multiplexed_async_connection().await.unwrap();
    let before = cpu(admin).await;
    let begun = Instant::now();
    let mut workers = Vec::new();
    for agent in 0..shape.agents {
        let mut connection = if shape.apart {
            client.get_multiplexed_async_connection().await.unwrap()
        } else {
            shared.clone()
        };
        let (claim, settle, both) = (claim.clone(), settle.clone(), both.clone());
        workers.push(tokio::spawn(async move {
            let mut call = async |sha: &str, task: &str| -> Option<String> {
                let mut cmd = redis::cmd("EVALSHA");
                cmd.arg(sha)
                    .arg(1)
                    .arg("ref:ready")
                    .arg(format!("agent-{agent}"))
                    .arg("4294967297")
                    .arg(task);
                cmd.query_async(&mut connection).await.unwrap()
            };
            let mut task = String::new();
            loop {
                let next = if fused { call(&both, &task).await } else { call(&claim, "").await };
                let Some(next) = next else { return };
                if !fused {
                    call(&settle, &next).await.unwrap();
                }
                task = next;
            }
        }));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    (shape.tasks as f64 / begun.elapsed().as_secs_f64(), before)
}

async fn ours(
    url: &str,
    shape: Shape,
    carried: bool,
    name: &str,
    admin: &mut MultiplexedConnection,
) -> (f64, f64) {
    let open = || async { RedisCache::connect(Options::new(url)).await.unwrap() };
    let cache = open().await;
    let node = |n| DraftNode { id: format!("{name}.{n}"), title: "t".to_owned(), ..DraftNode::default() };
    let draft =
        Draft { goal_id: name.to_owned(), nodes: (0..shape.tasks).map(node).collect(), ..Draft::default() };
    let plan = Plan {
        parent: None,
        dag: Arc::new(validate(draft).unwrap()),
        title: name.to_owned(),
        request: RequestId(name.to_owned()),
        max_attempts: 3,
        spent: Usage::default(),
    };
    let begun = Instant::now();
    cache.plan(&plan).await.unwrap();
    println!("plan: {:.0} tasks a second", shape.tasks as f64 / begun.elapsed().as_secs_f64());

    let before = cpu(admin).await;
    let begun = Instant::now();
    let mut workers = Vec::new();
    for agent in 0..shape.agents {
        let cache: Arc<dyn Cache> =
            if shape.apart { Arc::new(open().await) } else { Arc::new(cache.clone()) };
        workers.push(tokio::spawn(work(cache, format!("{name}-{agent}"), carried)));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    (shape.tasks as f64 / begun.elapsed().as_secs_f64(), before)
}

async fn work(cache: Arc<dyn Cache>, name: String, carried: bool) {
    let claim = |n: u32| Claim {
        avoid: std::collections::BTreeSet::default(),
        agent: AgentName::new(&name).unwrap(),
        incarnation: Incarnation(name.clone()),
        request: RequestId(format!("{name} {n}")),
        goal: None,
        capabilities: std::collections::BTreeSet::new(),
        task: None,
        ttl: Duration::from_secs(60),
    };
    let mut held: Option<ClaimReply> = None;
    for n in 0.. {
        let reply = match held.take() {
            Some(reply) => reply,
            None => cache.claim(&claim(n)).await.unwrap(),
        };
        let Some(claimed) = reply.granted() else {
            return;
        };
        let settle = Settle {
            task: claimed.lease.task,
            token: claimed.lease.token,
            request: RequestId(format!("{name} settle {n}")),
            outcome: Outcome::Done { summary: "done".to_owned(), artifacts: Vec::new() },
            spent: Usage::default(),
            next: carried.then(|| claim(n + 1)),
        };
        held = cache.settle(&settle).await.unwrap().next;
    }
}
