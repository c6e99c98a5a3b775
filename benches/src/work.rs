//! Plans, agents and clocks of the benchmark.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use downbeat_core::cache::{Cache, Claim, ClaimReply, Claimed, Plan, Settle, Topic};
use downbeat_core::dag::Dag;
use downbeat_core::goal::{GoalStatus, Usage};
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

pub(crate) async fn plan(cache: &dyn Cache, dags: Vec<Arc<Dag>>) -> Result<()> {
    for dag in dags {
        let plan = Plan {
            parent: None,
            dag,
            title: "benchmark".to_owned(),
            request: request(),
            max_attempts: 3,
            spent: Usage::default(),
        };
        cache.plan(&plan).await?;
    }
    Ok(())
}

pub(crate) fn claim(agent: &AgentName) -> Claim {
    Claim {
        avoid: std::collections::BTreeSet::default(),
        agent: agent.clone(),
        incarnation: Incarnation(agent.to_string()),
        request: request(),
        goal: None,
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

/// One agent that claims and settles until nothing is left; `carried`: each settle carries its next
/// claim.
async fn drain_alone(cache: Arc<dyn Cache>, agent: AgentName, carried: bool) -> Result<u64> {
    let mut settled = 0;
    let mut held = cache.claim(&claim(&agent)).await?.granted();
    while let Some(claimed) = held {
        let next = carried.then(|| claim(&agent));
        let answer = cache.settle(&done(&claimed, next)).await?;
        settled += 1;
        held = if carried {
            answer.next.and_then(ClaimReply::granted)
        } else {
            cache.claim(&claim(&agent)).await?.granted()
        };
    }
    Ok(settled)
}

fn agent(index: usize) -> Result<AgentName> {
    Ok(AgentName::new(format!("agent-{index}"))?)
}

/// As many agents, spread over the handles of one cache, work until nothing is left. How many tasks a
/// second.
pub(crate) async fn drain(
    caches: &[Arc<dyn Cache>],
    agents: usize,
    tasks: u64,
    carried: bool,
) -> Result<f64> {
    let watch = Watch::start();
    let mut drainers = tokio::task::JoinSet::new();
    for (index, cache) in caches.iter().cycle().take(agents).enumerate() {
        drainers.spawn(drain_alone(Arc::clone(cache), agent(index)?, carried));
    }
    let mut settled = 0;
    while let Some(count) = drainers.join_next().await {
        settled += count??;
    }
    let per_second = watch.per_second(tasks);
    ensure!(settled == tasks, "{settled} of {tasks} tasks were settled");
    Ok(per_second)
}

/// The same for tasks that wait for each other: agents with nothing to do wait for news.
pub(crate) async fn complete(caches: &[Arc<dyn Cache>], agents: usize, goal: &GoalId) -> Result<Duration> {
    let watch = Watch::start();
    let mut workers = tokio::task::JoinSet::new();
    for (index, cache) in caches.iter().cycle().take(agents).enumerate() {
        workers.spawn(complete_alone(Arc::clone(cache), agent(index)?, goal.clone()));
    }
    while let Some(end) = workers.join_next().await {
        end??;
    }
    let took = watch.elapsed();
    for cache in caches.iter().take(1) {
        let found = cache.goal(goal).await?;
        ensure!(found.is_some_and(|goal| goal.status == GoalStatus::Complete), "the goal is not complete");
    }
    Ok(took)
}

async fn complete_alone(cache: Arc<dyn Cache>, agent: AgentName, goal: GoalId) -> Result<()> {
    let mut held = None;
    loop {
        let claimed = match held.take() {
            Some(claimed) => claimed,
            None => {
                let seen = cache.changed(&Topic::Ready, u64::MAX, Duration::ZERO).await?;
                match cache.claim(&claim(&agent)).await?.granted() {
                    Some(claimed) => claimed,
                    None if at_rest(&cache, &goal).await? => return Ok(()),
                    None => {
                        cache.changed(&Topic::Ready, seen, Duration::from_millis(100)).await?;
                        continue;
                    }
                }
            }
        };
        let settled = cache.settle(&done(&claimed, Some(claim(&agent)))).await?;
        if settled.goal_status.is_at_rest() {
            return Ok(());
        }
        held = settled.next.and_then(ClaimReply::granted);
    }
}

async fn at_rest(cache: &Arc<dyn Cache>, goal: &GoalId) -> Result<bool> {
    Ok(cache.goal(goal).await?.is_some_and(|goal| goal.status.is_at_rest()))
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

/// Bytes of all files in a directory.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn size_of(directory: &std::path::Path) -> Result<f64> {
    let mut bytes = 0.0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { size_of(&entry.path())? } else { about.len() as f64 };
    }
    Ok(bytes)
}

/// The median and the 99th percentile, in microseconds.
pub(crate) fn percentiles(mut spans: Vec<Duration>) -> (Option<f64>, Option<f64>) {
    spans.sort_unstable();
    let last = spans.len().saturating_sub(1);
    let at = |share: usize| spans.get(last * share / 100).map(|span| span.as_secs_f64() * 1e6);
    (at(50), at(99))
}
