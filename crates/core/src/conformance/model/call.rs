//! One request of a random run, and its answer as text.

use std::fmt::Debug;
use std::time::Duration;

use crate::cache::{
    Acquire, Amend, Append, Beat, Cache, CacheError, Claim, ClaimReply, Departure, Hold, Lease, Plan, Read,
    ReadyQuery, Registration, Remove, Renew, Settle, Steer, StoreIf, Sweep, TaskQuery,
};
use crate::ids::{AgentName, GoalId, Incarnation, StreamName, TaskId};

/// What a run may ask for.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Advance(Duration),
    Plan(Plan),
    Amend(Amend),
    Goal(GoalId),
    Goals,
    Dag(GoalId),
    Task(TaskId),
    Tasks(TaskQuery),
    Ready(ReadyQuery),
    Claim(Claim),
    Renew(Renew),
    Settle(Settle),
    Steer(Steer),
    Remove(Remove),
    Sweep(Sweep),
    Register(Registration),
    Beat(Beat),
    Deregister(Departure),
    Agent(AgentName),
    Agents,
    Remember(AgentName, Incarnation, String),
    Recall(AgentName),
    Errors(AgentName),
    Append(Append),
    Read(Read),
    Load(String),
    StoreIf(StoreIf),
    List(String, usize),
    Acquire(Acquire),
    RenewHold(Hold, Duration),
    ReleaseHold(Hold),
}

/// What later requests of a run are made of.
#[derive(Default)]
pub(super) struct Learned {
    pub(super) leases: Vec<Lease>,
    pub(super) hold: Option<Hold>,
    pub(super) version: Option<u64>,
    pub(super) revision: Option<u64>,
}

/// An answer as text: values in full, errors as they read.
fn text<T: Debug>(answer: &Result<T, CacheError>) -> String {
    match answer {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("error: {error}"),
    }
}

fn granted(reply: Option<&ClaimReply>) -> Vec<Lease> {
    match reply {
        Some(ClaimReply::Granted(claimed)) => vec![claimed.lease.clone()],
        _ => Vec::new(),
    }
}

impl Call {
    pub(super) fn read_all(stream: &str) -> Self {
        Self::Read(Read { stream: StreamName::new(stream).unwrap(), after: 0, limit: usize::MAX })
    }

    /// Whether it may be made again with the same request id.
    pub(super) fn is_repeatable(&self) -> bool {
        matches!(
            self,
            Self::Plan(_)
                | Self::Amend(_)
                | Self::Claim(_)
                | Self::Settle(_)
                | Self::Steer(_)
                | Self::Append(_)
                | Self::StoreIf(_)
                | Self::Register(_)
                | Self::Deregister(_)
        )
    }

    /// Makes it.
    pub(super) async fn make(&self, cache: &dyn Cache) -> (String, Learned) {
        let mut learned = Learned::default();
        let answer = match self {
            Self::Advance(_) => String::new(),
            Self::Plan(plan) => {
                let answer = cache.plan(plan).await;
                learned.revision = answer.as_ref().ok().map(|goal| goal.revision);
                text(&answer)
            }
            Self::Amend(amend) => {
                let answer = cache.amend(amend).await;
                learned.revision = answer.as_ref().ok().map(|goal| goal.revision);
                text(&answer)
            }
            Self::Goal(goal) => text(&cache.goal(goal).await),
            Self::Goals => text(&cache.goals().await),
            Self::Dag(goal) => text(&cache.dag(goal).await.map(|dag| dag.map(|dag| dag.to_parts()))),
            Self::Task(task) => text(&cache.task(task).await),
            Self::Tasks(query) => text(&cache.tasks(query).await),
            Self::Ready(query) => text(&cache.ready(query).await),
            Self::Claim(claim) => {
                let answer = cache.claim(claim).await;
                learned.leases = granted(answer.as_ref().ok());
                text(&answer)
            }
            Self::Renew(renew) => text(&cache.renew(renew).await),
            Self::Settle(settle) => {
                let answer = cache.settle(settle).await;
                learned.leases = granted(answer.as_ref().ok().and_then(|settled| settled.next.as_ref()));
                text(&answer)
            }
            Self::Steer(steer) => text(&cache.steer(steer).await),
            Self::Remove(remove) => {
                let answer = cache.remove(remove).await;
                // What is planned anew under the id begins with its first revision.
                learned.revision = answer.as_ref().ok().filter(|removed| removed.tasks > 0).map(|_| 1);
                text(&answer)
            }
            Self::Sweep(sweep) => text(&cache.sweep(sweep).await),
            Self::Register(registration) => text(&cache.register(registration).await),
            Self::Beat(beat) => text(&cache.beat(beat).await),
            Self::Deregister(departure) => text(&cache.deregister(departure).await),
            Self::Agent(name) => text(&cache.agent(name).await),
            Self::Agents => text(&cache.agents().await),
            Self::Remember(name, incarnation, snapshot) => {
                text(&cache.remember(name, incarnation, snapshot).await)
            }
            Self::Errors(name) => text(&cache.errors(name).await),
            Self::Recall(name) => text(&cache.recall(name).await),
            Self::Append(append) => text(&cache.append(append).await),
            Self::Read(read) => text(&cache.read(read).await),
            Self::Load(key) => text(&cache.load(key).await),
            Self::StoreIf(store) => {
                let answer = cache.store_if(store).await;
                learned.version = answer.as_ref().ok().copied();
                text(&answer)
            }
            Self::List(prefix, limit) => text(&cache.list(prefix, *limit).await),
            Self::Acquire(acquire) => {
                let answer = cache.acquire(acquire).await;
                learned.hold = answer.as_ref().ok().cloned().flatten();
                text(&answer)
            }
            Self::RenewHold(hold, ttl) => text(&cache.renew_hold(hold, *ttl).await),
            Self::ReleaseHold(hold) => text(&cache.release_hold(hold).await),
        };
        (answer, learned)
    }
}
