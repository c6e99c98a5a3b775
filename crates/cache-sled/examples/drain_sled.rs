//! How many tasks a second a store gets through: agents settle one and claim the next in one step.
//!
//! `cargo run --release -p downbeat-cache-sled --example drain_sled [TASKS] [power|process]`
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not a program")]

use std::sync::Arc;
use std::time::Duration;

use downbeat_cache_sled::{Durability, Options, SledCache};
use downbeat_core::cache::{Claim, ClaimReply, Plan, Settle, Tasks};
use downbeat_core::dag::{Draft, DraftEdge, DraftNode, validate};
use downbeat_core::goal::Usage;
use downbeat_core::ids::{Incarnation, RequestId};
use downbeat_core::state::Outcome;
use downbeat_core::time::ManualClock;
use tokio::time::Instant;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let tasks: usize = arguments.next().map_or(20_000, |text| text.parse().unwrap());
    let durability = match arguments.next().as_deref() {
        Some("process") => Durability::Process,
        _ => Durability::Power,
    };
    for callers in [1, 8, 64] {
        let directory = tempfile::tempdir_in(".").unwrap();
        let clock = Arc::new(ManualClock::default());
        let path = directory.path().to_owned();
        let options = Options {
            path,
            clock,
            durability,
            limits: Default::default(),
            holder: "a measurement".to_owned(),
        };
        let cache = SledCache::open(options.clone()).unwrap();

        let from = Instant::now();
        let plan = plan(if callers == 1 { tasks.div_ceil(10) } else { tasks });
        let checked = from.elapsed();
        let from = Instant::now();
        cache.plan(&plan).await.unwrap();
        println!("plan of {}: {:?} (checking the draft: {checked:?})", plan.dag.len(), from.elapsed());

        let from = Instant::now();
        let mut agents = tokio::task::JoinSet::new();
        for agent in 0..callers {
            agents.spawn(drain(cache.clone(), agent));
        }
        let done: u32 = agents.join_all().await.into_iter().sum();
        let took = from.elapsed();
        println!(
            "{callers} callers, {durability:?}: {done} tasks in {took:?}, {:.0} a second",
            f64::from(done) / took.as_secs_f64()
        );
        let from = Instant::now();
        cache.close().await;
        let closed = from.elapsed();
        let from = Instant::now();
        let cache = SledCache::open(options).unwrap();
        println!("closed in {closed:?}, opened again in {:?}", from.elapsed());
        let from = Instant::now();
        let goal = plan.dag.goal();
        cache.dag(goal).await.unwrap().unwrap();
        println!("dag read in {:?}", from.elapsed());
        assert!(cache.audit().await.unwrap().is_empty());
    }
}

/// Chains of ten.
fn plan(tasks: usize) -> Plan {
    let id = |number: usize| format!("task-{number:06}");
    let nodes = (0..tasks).map(|number| DraftNode {
        id: id(number),
        title: "Something to be done".to_owned(),
        description: Some("What it is, in a sentence or two that say a little more.".to_owned()),
        ..DraftNode::default()
    });
    let edges = (0..tasks).filter(|number| number % 10 > 0);
    let edges = edges.map(|number| DraftEdge { source: id(number - 1), target: id(number) });
    let draft = Draft { goal_id: "goal".to_owned(), nodes: nodes.collect(), edges: edges.collect() };
    Plan {
        parent: None,
        dag: Arc::new(validate(draft).unwrap()),
        title: "A goal".to_owned(),
        request: RequestId("plan".to_owned()),
        max_attempts: 3,
        spent: Usage::default(),
    }
}

async fn drain(cache: SledCache, agent: usize) -> u32 {
    let claim = |number: u32| Claim {
        avoid: std::collections::BTreeSet::default(),
        agent: format!("agent-{agent}").parse().unwrap(),
        incarnation: Incarnation("life".to_owned()),
        request: RequestId(format!("claim-{agent}-{number}")),
        goal: None,
        capabilities: Default::default(),
        task: None,
        ttl: Duration::from_secs(60),
    };
    let mut done = 0;
    let mut reply = cache.claim(&claim(0)).await.unwrap();
    while let ClaimReply::Granted(claimed) = reply {
        done += 1;
        let settle = Settle {
            task: claimed.lease.task,
            token: claimed.lease.token,
            request: RequestId(format!("settle-{agent}-{done}")),
            outcome: Outcome::Done { summary: "It is done.".to_owned(), artifacts: Vec::new() },
            spent: Usage::default(),
            next: Some(claim(done)),
        };
        reply = cache.settle(&settle).await.unwrap().next.unwrap();
    }
    done
}
