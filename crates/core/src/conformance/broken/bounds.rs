//! Faults of caches that keep too much, or too little.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use async_trait::async_trait;

use super::Twist;
use super::twists::steer;
use crate::cache::{
    Agent, AgentError, Agents, Append, CacheError, Claim, ClaimReply, Directive, Page, Read, Registered,
    Registration, Remove, Removed, Settle, Settled, StreamLimits, Streams, TaskDetail, TaskQuery, Tasks,
};
use crate::ids::{AgentName, TaskId, Token};
use crate::memory::MemoryCache;

/// Removes what may still move, after it has called it off.
#[derive(Debug)]
pub(super) struct RemovesUnfinished(MemoryCache);

/// Leaves the tasks of a removed goal.
#[derive(Debug)]
pub(super) struct RemovesHalf {
    sound: MemoryCache,
    left: Mutex<HashMap<TaskId, TaskDetail>>,
}

/// Counts the tokens of a task from the beginning when it is planned again after a removal.
#[derive(Debug)]
pub(super) struct RestartsTokens {
    sound: MemoryCache,
    first: Mutex<HashMap<TaskId, Token>>,
    removed: Mutex<HashSet<TaskId>>,
}

/// Trims no stream.
#[derive(Debug)]
pub(super) struct NeverTrims(MemoryCache);

/// Keeps less of a stream than it promises.
#[derive(Debug)]
pub(super) struct TrimsTooMuch(MemoryCache);

/// Trims the log like any other stream.
#[derive(Debug)]
pub(super) struct TrimsTheLog(MemoryCache);

/// Reads on behind what was trimmed as if nothing had been there.
#[derive(Debug)]
pub(super) struct SkipsSilently(MemoryCache);

/// Numbers the entries of a stream anew after a trim.
#[derive(Debug)]
pub(super) struct RestartsNumbers(MemoryCache);

/// Never enters an error of an agent.
#[derive(Debug)]
pub(super) struct HidesErrors(MemoryCache);

/// Keeps every error of an agent.
#[derive(Debug)]
pub(super) struct KeepsAllErrors {
    sound: MemoryCache,
    errors: Mutex<Vec<AgentError>>,
}

/// Keeps every agent that ever registered.
#[derive(Debug)]
pub(super) struct KeepsAllAgents {
    sound: MemoryCache,
    ever: Mutex<HashMap<AgentName, Agent>>,
}

macro_rules! plain {
    ($($name:ident)*) => {
        $(impl $name {
            pub(super) fn new(sound: MemoryCache) -> Self {
                Self(sound)
            }
        })*
    };
}
plain! { RemovesUnfinished SkipsSilently RestartsNumbers HidesErrors }

/// Faults that lie in the limits alone.
macro_rules! limits {
    ($($name:ident { $($limit:ident: $number:expr),* })*) => {
        $(
            impl $name {
                pub(super) fn new(sound: MemoryCache) -> Self {
                    Self(sound.with_limits(StreamLimits { $($limit: $number,)* ..StreamLimits::default() }))
                }
            }

            impl Twist for $name {
                fn sound(&self) -> &MemoryCache {
                    &self.0
                }
            }
        )*
    };
}
limits! {
    NeverTrims { others: u64::MAX }
    TrimsTooMuch { others: 100 }
    TrimsTheLog { events: StreamLimits::default().others }
}

async fn tasks_of(sound: &MemoryCache, remove: &Remove) -> Vec<TaskId> {
    let query = TaskQuery { goal: remove.goal.clone(), status: None, after: None, limit: usize::MAX };
    let tasks = sound.tasks(&query).await.unwrap_or_default();
    tasks.into_iter().map(|task| task.node.id.clone()).collect()
}

#[async_trait]
impl Twist for RemovesUnfinished {
    fn sound(&self) -> &MemoryCache {
        &self.0
    }

    async fn remove(&self, remove: &Remove) -> Result<Removed, CacheError> {
        if let Err(CacheError::GoalUnfinished { goal, .. }) = self.0.remove(remove).await {
            self.0.steer(&steer(Directive::CancelGoal { goal })).await?;
        }
        self.0.remove(remove).await
    }
}

impl RemovesHalf {
    pub(super) fn new(sound: MemoryCache) -> Self {
        Self { sound, left: Mutex::default() }
    }
}

#[async_trait]
impl Twist for RemovesHalf {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn remove(&self, remove: &Remove) -> Result<Removed, CacheError> {
        let mut left = HashMap::new();
        for task in tasks_of(&self.sound, remove).await {
            if let Some(detail) = self.sound.task(&task).await? {
                left.insert(task, detail);
            }
        }
        let removed = self.sound.remove(remove).await?;
        self.left.lock().unwrap().extend(left);
        Ok(removed)
    }

    async fn task(&self, task: &TaskId) -> Result<Option<TaskDetail>, CacheError> {
        let found = self.sound.task(task).await?;
        Ok(found.or_else(|| self.left.lock().unwrap().get(task).cloned()))
    }
}

impl RestartsTokens {
    pub(super) fn new(sound: MemoryCache) -> Self {
        Self { sound, first: Mutex::default(), removed: Mutex::default() }
    }
}

#[async_trait]
impl Twist for RestartsTokens {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn remove(&self, remove: &Remove) -> Result<Removed, CacheError> {
        let tasks = tasks_of(&self.sound, remove).await;
        let removed = self.sound.remove(remove).await?;
        self.removed.lock().unwrap().extend(tasks);
        Ok(removed)
    }

    async fn claim(&self, claim: &Claim) -> Result<ClaimReply, CacheError> {
        let mut reply = self.sound.claim(claim).await?;
        if let ClaimReply::Granted(claimed) = &mut reply {
            let lease = &mut claimed.lease;
            let first = *self.first.lock().unwrap().entry(lease.task.clone()).or_insert(lease.token);
            if self.removed.lock().unwrap().contains(&lease.task) {
                lease.token = first;
            }
        }
        Ok(reply)
    }
}

#[async_trait]
impl Twist for SkipsSilently {
    fn sound(&self) -> &MemoryCache {
        &self.0
    }

    async fn read(&self, read: &Read) -> Result<Page, CacheError> {
        Ok(Page { trimmed: 0, ..self.0.read(read).await? })
    }
}

#[async_trait]
impl Twist for RestartsNumbers {
    fn sound(&self) -> &MemoryCache {
        &self.0
    }

    async fn append(&self, append: &Append) -> Result<u64, CacheError> {
        let last = self.0.append(append).await?;
        let read = Read { stream: append.stream.clone(), after: 0, limit: 0 };
        Ok(last - self.0.read(&read).await?.trimmed)
    }
}

#[async_trait]
impl Twist for HidesErrors {
    fn sound(&self) -> &MemoryCache {
        &self.0
    }

    async fn errors(&self, _: &AgentName) -> Result<Vec<AgentError>, CacheError> {
        Ok(Vec::new())
    }
}

impl KeepsAllErrors {
    pub(super) fn new(sound: MemoryCache) -> Self {
        Self { sound, errors: Mutex::default() }
    }
}

#[async_trait]
impl Twist for KeepsAllErrors {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, CacheError> {
        let holder = self.sound.task(&settle.task).await?.and_then(|detail| detail.task.state.owner);
        let settled = self.sound.settle(settle).await?;
        if let Some(error) = self.sound.errors(&holder.unwrap()).await?.pop() {
            self.errors.lock().unwrap().push(error);
        }
        Ok(settled)
    }

    async fn errors(&self, _: &AgentName) -> Result<Vec<AgentError>, CacheError> {
        Ok(self.errors.lock().unwrap().clone())
    }
}

impl KeepsAllAgents {
    pub(super) fn new(sound: MemoryCache) -> Self {
        Self { sound, ever: Mutex::default() }
    }
}

#[async_trait]
impl Twist for KeepsAllAgents {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn register(&self, registration: &Registration) -> Result<Registered, CacheError> {
        let registered = self.sound.register(registration).await?;
        if let Some(agent) = self.sound.agent(&registration.name).await? {
            self.ever.lock().unwrap().insert(registration.name.clone(), agent);
        }
        Ok(registered)
    }

    async fn agents(&self) -> Result<Vec<Agent>, CacheError> {
        let mut agents = self.ever.lock().unwrap().clone();
        agents.extend(
            self.sound.agents().await?.into_iter().map(|agent| (agent.registration.name.clone(), agent)),
        );
        Ok(agents.into_values().collect())
    }
}
