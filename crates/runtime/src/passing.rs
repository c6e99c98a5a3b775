//! How work goes round among agents: what one failed at goes to another first, and an idle agent takes what
//! is ready before one that works on something already.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use downbeat_core::cache::{Agent, Cache, CacheError, Liveness, MAX_AVOID, Phase};
use downbeat_core::dag::Node;
use downbeat_core::ids::{AgentName, Capability, GoalId, TaskId};
use tokio::time::Instant;

/// How long a task that an agent failed at is left to others, from when it can be claimed again. Whoever is
/// able to may be at work for longer than that: then it is better tried by the same than by nobody.
const LEFT_TO_OTHERS: Duration = Duration::from_secs(5);

/// For each task that an agent works on already, it lets idle ones go first by this much. A claim on the same
/// machine takes a tenth of it.
const STEP: Duration = Duration::from_millis(3);

/// The longest that it lets them.
const MOST: Duration = Duration::from_millis(15);

/// How old the knowledge of who else is there may be.
const FRESH: Duration = Duration::from_secs(1);

/// A task that its agent leaves to others for a while.
#[derive(Debug)]
struct Left {
    task: TaskId,
    needs: Vec<Capability>,
    root: GoalId,
    until: Instant,
}

/// What an agent leaves to others.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    left: Mutex<Vec<Left>>,
}

impl Passing {
    /// Leaves a task that the agent failed at to others, if there are any; `after` is the wait before its
    /// next attempt.
    pub(crate) async fn leave(
        &self,
        cache: &dyn Cache,
        me: &AgentName,
        goal: &GoalId,
        node: &Node,
        after: Duration,
    ) -> Result<(), CacheError> {
        let root = cache.goal(goal).await?.map_or_else(|| goal.clone(), |goal| goal.root().clone());
        let left = Left {
            task: node.id.clone(),
            needs: node.capabilities.clone(),
            root,
            until: Instant::now() + after + LEFT_TO_OTHERS,
        };
        if !cache.agents().await?.iter().any(|agent| could(agent, me, &left)) {
            return Ok(());
        }
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.task != left.task);
        all.push(left);
        if all.len() > MAX_AVOID {
            all.remove(0);
        }
        Ok(())
    }

    /// Forgets what nobody else could do now: it is the agent's own again.
    pub(crate) async fn look(&self, cache: &dyn Cache, me: &AgentName) -> Result<(), CacheError> {
        if self.left.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return Ok(());
        }
        let agents = cache.agents().await?;
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|left| agents.iter().any(|agent| could(agent, me, left)));
        Ok(())
    }

    /// What is left to others now.
    pub(crate) fn now(&self) -> BTreeSet<TaskId> {
        let now = Instant::now();
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|left| left.until > now);
        all.iter().map(|left| left.task.clone()).collect()
    }

    /// When something of it is the agent's own again.
    pub(crate) fn ends(&self) -> Option<Instant> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|left| left.until).min()
    }
}

/// Whether another agent lives that could do a task.
fn could(agent: &Agent, me: &AgentName, left: &Left) -> bool {
    let registration = &agent.registration;
    registration.name != *me
        && takes_tasks(agent)
        && registration.goal.as_ref().is_none_or(|goal| *goal == left.root)
        && left.needs.iter().all(|needed| registration.capabilities.contains(needed))
}

/// Whether an agent lives and is given tasks.
pub(crate) fn takes_tasks(agent: &Agent) -> bool {
    agent.liveness == Liveness::Alive
        && !agent.paused
        && !matches!(agent.phase, Phase::Quarantined | Phase::Stopped)
}

/// How many tasks an agent works on or reaches for, and whether others are there.
#[derive(Debug, Default)]
pub(crate) struct Load {
    seats: AtomicUsize,
    company: Arc<AtomicBool>,
    looked: Mutex<Option<Instant>>,
}

/// One of the tasks that an agent works on or reaches for, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat<'l>(&'l AtomicUsize);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Load {
    /// Takes a seat; and says how long others that are idle go first. Nobody waits who is alone.
    pub(crate) fn sit(&self, cache: &Arc<dyn Cache>, me: &AgentName) -> (Seat<'_>, Duration) {
        let before = self.seats.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(&self.seats);
        if before == 0 {
            return (seat, Duration::ZERO);
        }
        self.look_aside(cache, me);
        if !self.company.load(Ordering::Relaxed) {
            return (seat, Duration::ZERO);
        }
        (seat, (STEP * u32::try_from(before).unwrap_or(u32::MAX).min(100)).min(MOST))
    }

    /// Finds out who else is there, beside the work: what is known until then is used.
    fn look_aside(&self, cache: &Arc<dyn Cache>, me: &AgentName) {
        {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            if looked.is_some_and(|looked| looked.elapsed() < FRESH) {
                return;
            }
            *looked = Some(Instant::now());
        }
        let (cache, me, company) = (Arc::clone(cache), me.clone(), Arc::clone(&self.company));
        tokio::spawn(async move {
            if let Ok(agents) = cache.agents().await {
                let others = agents.iter().any(|agent| agent.registration.name != me && takes_tasks(agent));
                company.store(others, Ordering::Relaxed);
            }
        });
    }
}
