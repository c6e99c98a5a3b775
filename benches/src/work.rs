//! Plans, agents and clocks of the benchmark.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use downbeat_core::cache::{Cache, Claim, ClaimReply, Claimed, Plan, Settle};
use downbeat_core::dag::{self, Dag, Draft, DraftEdge, DraftNode};
use downbeat_core::goal::Usage;
use downbeat_core::ids::{AgentName, GoalId, Incarnation, RequestId};
use downbeat_core::state::Outcome;

/// Measures wall-clock time.
pub(crate) struct Watch(std::time::Instant);

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "the benchmark measures")]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// How often a second, for `count` in the time so far.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub(crate) fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.elapsed().as_secs_f64()
    }
}

/// A request id that this process does not draw twice.
pub(crate) fn request() -> RequestId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    RequestId(format!("bench-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

fn node(index: u64, digits: usize) -> DraftNode {
    DraftNode {
        id: format!("task-{index:0digits$}"),
        title: "nothing to do".to_owned(),
        ..DraftNode::default()
    }
}

/// Tasks that wait for nothing.
pub(crate) fn independent(goal: &str, tasks: u64) -> Result<Arc<Dag>> {
    let nodes = (0..tasks).map(|index| node(index, 6)).collect();
    let draft = Draft { goal_id: goal.to_owned(), nodes, edges: Vec::new() };
    Ok(Arc::new(dag::validate(draft)?))
}

/// Tasks that wait for each other, one after the other.
pub(crate) fn chain(goal: &str, tasks: u64) -> Result<Arc<Dag>> {
    let nodes: Vec<DraftNode> = (0..tasks).map(|index| node(index, 6)).collect();
    let pairs = nodes.iter().zip(nodes.iter().skip(1));
    let edges = pairs.map(|(a, b)| DraftEdge { source: a.id.clone(), target: b.id.clone() }).collect();
    Ok(Arc::new(dag::validate(Draft { goal_id: goal.to_owned(), nodes, edges })?))
}

/// Layers of tasks, each waiting for three random ones of the layer before.
pub(crate) fn layered(goal: &str, layers: u64, width: u64) -> Result<Arc<Dag>> {
    let mut random = fastrand::Rng::with_seed(7);
    let nodes: Vec<DraftNode> = (0..layers * width).map(|index| node(index, 6)).collect();
    let mut edges = Vec::new();
    for layer in 1..layers {
        for place in 0..width {
            for _ in 0..3 {
                let source = (layer - 1) * width + random.u64(0..width);
                let target = layer * width + place;
                edges.push(DraftEdge { source: node(source, 6).id, target: node(target, 6).id });
            }
        }
    }
    Ok(Arc::new(dag::validate(Draft { goal_id: goal.to_owned(), nodes, edges })?))
}

pub(crate) async fn plan(cache: &dyn Cache, dag: Arc<Dag>) -> Result<()> {
    let plan = Plan {
        dag,
        title: "benchmark".to_owned(),
        request: request(),
        max_attempts: 3,
        spent: Usage::default(),
    };
    cache.plan(&plan).await?;
    Ok(())
}

pub(crate) fn claim(agent: &AgentName, goal: &GoalId) -> Claim {
    Claim {
        agent: agent.clone(),
        incarnation: Incarnation(agent.to_string()),
        request: request(),
        goal: Some(goal.clone()),
        capabilities: BTreeSet::new(),
        task: None,
        ttl: Duration::from_secs(600),
    }
}

pub(crate) fn done(claimed: &Claimed, next: Option<Claim>) -> Settle {
    Settle {
        task: claimed.lease.task.clone(),
        token: claimed.lease.token,
        request: request(),
        outcome: Outcome::Done { summary: "done".to_owned(), artifacts: Vec::new() },
        spent: Usage::default(),
        next,
    }
}

/// Claims and settles until nothing is left; `fused` asks for the next task with each settle.
pub(crate) async fn drain(cache: Arc<dyn Cache>, agent: AgentName, goal: GoalId, fused: bool) -> Result<u64> {
    let mut settled = 0;
    let mut held = cache.claim(&claim(&agent, &goal)).await?.granted();
    while let Some(claimed) = held {
        let next = fused.then(|| claim(&agent, &goal));
        let answer = cache.settle(&done(&claimed, next)).await?;
        settled += 1;
        held = if fused {
            answer.next.and_then(ClaimReply::granted)
        } else {
            cache.claim(&claim(&agent, &goal)).await?.granted()
        };
    }
    Ok(settled)
}

/// Resident memory of this process in bytes; `None` where the system does not tell.
pub(crate) fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// Processor time that this process has used, all threads, in microseconds.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn processor_us() -> Option<f64> {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike as _;
    let used = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    Some((used.user_time() + used.system_time()).num_microseconds() as f64)
}
