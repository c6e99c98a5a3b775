//! The four traits, each verb handed on to the store under its lock.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::MemoryCache;
use crate::cache::{
    Acquire, Agent, AgentError, Agents, Amend, Append, Beat, BeatReply, CacheError, Claim, ClaimReply,
    Departure, Hold, Page, Plan, Read, ReadyQuery, Record, Records, Registered, Registration, Remove,
    Removed, Renew, Renewed, Settle, Settled, Steer, Steered, StoreIf, Streams, Sweep, Swept, Task,
    TaskDetail, TaskQuery, Tasks, Topic,
};
use crate::dag::Dag;
use crate::goal::Goal;
use crate::ids::{AgentName, GoalId, Incarnation, TaskId};

#[async_trait]
impl Tasks for MemoryCache {
    async fn plan(&self, plan: &Plan) -> Result<Goal, CacheError> {
        let (mut store, now) = self.step();
        store.plan(plan, now)
    }

    async fn amend(&self, amend: &Amend) -> Result<Goal, CacheError> {
        let (mut store, now) = self.step();
        store.amend(amend, now)
    }

    async fn goal(&self, goal: &GoalId) -> Result<Option<Goal>, CacheError> {
        Ok(self.step().0.goals.get(goal).map(|entry| entry.goal.clone()))
    }

    async fn goals(&self) -> Result<Vec<Goal>, CacheError> {
        Ok(self.step().0.goals.values().map(|entry| entry.goal.clone()).collect())
    }

    async fn dag(&self, goal: &GoalId) -> Result<Option<Arc<Dag>>, CacheError> {
        Ok(self.step().0.goals.get(goal).map(|entry| Arc::clone(&entry.dag)))
    }

    async fn task(&self, task: &TaskId) -> Result<Option<TaskDetail>, CacheError> {
        Ok(self.step().0.task(task))
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<Vec<Task>, CacheError> {
        self.step().0.tasks(query)
    }

    async fn ready(&self, query: &ReadyQuery) -> Result<Vec<Task>, CacheError> {
        Ok(self.step().0.ready(query))
    }

    async fn claim(&self, claim: &Claim) -> Result<ClaimReply, CacheError> {
        let (mut store, now) = self.step();
        store.claim(claim, now)
    }

    async fn renew(&self, renew: &Renew) -> Result<Renewed, CacheError> {
        let (mut store, now) = self.step();
        store.renew(renew, now)
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, CacheError> {
        let (mut store, now) = self.step();
        store.settle(settle, now)
    }

    async fn steer(&self, steer: &Steer) -> Result<Steered, CacheError> {
        let (mut store, now) = self.step();
        store.steer(steer, now)
    }

    async fn remove(&self, remove: &Remove) -> Result<Removed, CacheError> {
        let (mut store, now) = self.step();
        store.remove_goal(remove, now)
    }

    async fn sweep(&self, sweep: &Sweep) -> Result<Swept, CacheError> {
        let (mut store, now) = self.step();
        Ok(store.sweep(*sweep, now))
    }
}

#[async_trait]
impl Agents for MemoryCache {
    async fn register(&self, registration: &Registration) -> Result<Registered, CacheError> {
        let (mut store, now) = self.step();
        store.register(registration, now)
    }

    async fn beat(&self, beat: &Beat) -> Result<BeatReply, CacheError> {
        let (mut store, now) = self.step();
        store.beat(beat, now)
    }

    async fn deregister(&self, departure: &Departure) -> Result<Vec<TaskId>, CacheError> {
        let (mut store, now) = self.step();
        Ok(store.deregister(departure, now))
    }

    async fn agent(&self, name: &AgentName) -> Result<Option<Agent>, CacheError> {
        let (store, now) = self.step();
        Ok(store.agent(name, now))
    }

    async fn agents(&self) -> Result<Vec<Agent>, CacheError> {
        let (store, now) = self.step();
        Ok(store.agents(now))
    }

    async fn remember(
        &self,
        name: &AgentName,
        incarnation: &Incarnation,
        snapshot: &str,
    ) -> Result<(), CacheError> {
        self.step().0.remember(name, incarnation, snapshot)
    }

    async fn recall(&self, name: &AgentName) -> Result<Option<String>, CacheError> {
        Ok(self.step().0.memories.get(name).cloned())
    }

    async fn errors(&self, name: &AgentName) -> Result<Vec<AgentError>, CacheError> {
        Ok(self
            .step()
            .0
            .agents
            .get(name)
            .map_or_else(Vec::new, |agent| agent.errors.iter().cloned().collect()))
    }
}

#[async_trait]
impl Streams for MemoryCache {
    async fn append(&self, append: &Append) -> Result<u64, CacheError> {
        let (mut store, now) = self.step();
        store.log.append(append, now)
    }

    async fn read(&self, read: &Read) -> Result<Page, CacheError> {
        Ok(self.step().0.log.read(read))
    }

    async fn changed(&self, topic: &Topic, seen: u64, wait: Duration) -> Result<u64, CacheError> {
        let mut numbers = self.step().0.log.watch(topic);
        if wait.is_zero() {
            return Ok(*numbers.borrow());
        }
        let news = numbers.wait_for(|number| *number > seen);
        // Neither the end of the wait nor that of the cache is an error: the number says what is known.
        let _ = tokio::time::timeout(wait, news).await.map(|news| news.map(|number| *number));
        let number = *numbers.borrow();
        Ok(number)
    }
}

#[async_trait]
impl Records for MemoryCache {
    async fn load(&self, key: &str) -> Result<Option<Record>, CacheError> {
        self.step().0.documents.load(key)
    }

    async fn store_if(&self, store: &StoreIf) -> Result<u64, CacheError> {
        let (mut all, now) = self.step();
        all.documents.store_if(store, now)
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Record>, CacheError> {
        Ok(self.step().0.documents.list(prefix, limit))
    }

    async fn acquire(&self, acquire: &Acquire) -> Result<Option<Hold>, CacheError> {
        let (mut store, now) = self.step();
        let epoch = store.epoch;
        store.documents.acquire(acquire, epoch, now)
    }

    async fn renew_hold(&self, hold: &Hold, ttl: Duration) -> Result<Hold, CacheError> {
        let (mut store, now) = self.step();
        store.documents.renew_hold(hold, ttl, now)
    }

    async fn release_hold(&self, hold: &Hold) -> Result<(), CacheError> {
        let (mut store, _) = self.step();
        store.documents.release_hold(hold);
        Ok(())
    }
}
