//! Drains independent tasks with several agents on a server at `REDIS_URL`, and says how fast.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "an example")]
#![expect(clippy::disallowed_methods, clippy::cast_precision_loss, reason = "it measures")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use downbeat_cache_redis::{Options, RedisCache};
use downbeat_core::cache::{Cache, Claim, ClaimReply, Plan, Settle, Tasks};
use downbeat_core::dag::{Draft, DraftNode, validate};
use downbeat_core::goal::Usage;
use downbeat_core::ids::{AgentName, Incarnation, RequestId};
use downbeat_core::state::Outcome;

#[tokio::main]
async fn main() {
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1/".to_owned());
    let number = |name: &str, default: usize| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (tasks, agents) = (number("TASKS", 10_000), number("AGENTS", 8));
    // One connection for all, or one for each.
    let apart = number("APART", 1) == 1;
    let run = std::process::id();
    for carried in [false, true] {
        let open = || async { RedisCache::connect(Options::new(url.clone())).await.unwrap() };
        let cache = open().await;
        let name = format!("g{run}-{carried}");
        let node = |n| DraftNode { id: format!("{name}.{n}"), title: "t".to_owned(), ..DraftNode::default() };
        let draft =
            Draft { goal_id: name.clone(), nodes: (0..tasks).map(node).collect(), ..Draft::default() };
        let plan = Plan {
            dag: Arc::new(validate(draft).unwrap()),
            title: name.clone(),
            request: RequestId(name.clone()),
            max_attempts: 3,
            spent: Usage::default(),
        };
        let begun = Instant::now();
        cache.plan(&plan).await.unwrap();
        println!("plan: {:.0} tasks a second", tasks as f64 / begun.elapsed().as_secs_f64());

        let begun = Instant::now();
        let mut workers = Vec::new();
        for agent in 0..agents {
            let cache: Arc<dyn Cache> = if apart { Arc::new(open().await) } else { Arc::new(cache.clone()) };
            workers.push(tokio::spawn(work(cache, format!("{name}-{agent}"), carried)));
        }
        let mut done = 0;
        for worker in workers {
            done += worker.await.unwrap();
        }
        let rate = f64::from(done) / begun.elapsed().as_secs_f64();
        println!(
            "drain of {done} with {agents} agents, next claim carried: {carried}: {rate:.0} tasks a second"
        );
    }
}

async fn work(cache: Arc<dyn Cache>, name: String, carried: bool) -> u32 {
    let claim = |n: u32| Claim {
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
            return n;
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
    0
}
