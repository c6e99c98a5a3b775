//! The traits, each verb one request; but for what an answer holds at most, which is asked for in parts.
//!
//! Requests that no cache takes are refused here, by the rules and in the words that all caches share.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::cache::{
    Acquire, Agent, AgentError, Agents, Amend, Append, Beat, BeatReply, CacheError, Claim, ClaimReply,
    Departure, Hold, Page, Plan, Read, ReadyQuery, Record, Records, Registered, Registration, Remove,
    Removed, Renew, Renewed, Settle, Settled, Steer, Steered, StoreIf, Streams, Sweep, Swept, Task,
    TaskDetail, TaskQuery, Tasks, Topic,
};
use downbeat_core::dag::{self, Dag};
use downbeat_core::goal::Goal;
use downbeat_core::ids::{AgentName, GoalId, Incarnation, TaskId};
use downbeat_core::rules;
use tokio::time::Instant;

use super::{Ask, HttpCache};
use crate::operation::Nothing;
use crate::operations::agents::{
    BeatAgent, DeregisterAgent, GetAgent, GetMemory, ListAgents, ListErrors, OfAgent, PutMemory,
    RegisterAgent, Remember,
};
use crate::operations::goals::{
    AmendBody, AmendDag, EndedAt, GetDag, GetGoal, ListGoals, OfGoal, PlanBody, PlanGoal, RemoveGoal,
};
use crate::operations::records::{
    AcquireHold, Document, Expected, GetRecord, HoldRenewal, Key, ListRecords, OfKey, PutRecord, ReleaseHold,
    RemoveRecord, RenewHold, WhichRecords,
};
use crate::operations::streams::{
    AppendBody, AppendEntries, Await, AwaitEntries, AwaitReady, LONGEST_WAIT, OfStream, ReadEntries, Wait,
    WhichEntries,
};
use crate::operations::tasks::{
    Capabilities, ClaimTask, GetTask, GiveDirective, ListReady, ListTasks, OfTask, RenewLease, SettleTask,
    SweepDue, Which, WhichReady,
};
use crate::operations::{Limit, MOST};

/// How often a stream that is cut while it is read in parts is read anew.
const REREADS: u32 = 10;

fn most() -> usize {
    usize::try_from(MOST).unwrap_or(usize::MAX)
}

#[async_trait]
impl Tasks for HttpCache {
    async fn plan(&self, plan: &Plan) -> Result<Goal, CacheError> {
        rules::check_plan(plan)?;
        let Plan { dag, title, request, max_attempts, spent, parent } = plan.clone();
        let body = PlanBody { dag: dag.to_draft(), title, request, max_attempts, spent, parent };
        self.call::<PlanGoal>(Ask::new().body(&body)).await
    }

    async fn amend(&self, amend: &Amend) -> Result<Goal, CacheError> {
        rules::check_amend(amend)?;
        let Amend { dag, revision, request, max_attempts, spent, redo, by } = amend.clone();
        let path = OfGoal { goal: dag.goal().clone() };
        let body = AmendBody { dag: dag.to_draft(), revision, request, max_attempts, spent, redo, by };
        self.call::<AmendDag>(Ask::at(path).body(&body)).await
    }

    async fn goal(&self, goal: &GoalId) -> Result<Option<Goal>, CacheError> {
        self.find::<GetGoal>("goal_not_found", Ask::at(OfGoal { goal: goal.clone() })).await
    }

    async fn goals(&self) -> Result<Vec<Goal>, CacheError> {
        Ok(self.call::<ListGoals>(Ask::new()).await?.goals)
    }

    async fn dag(&self, goal: &GoalId) -> Result<Option<Arc<Dag>>, CacheError> {
        let found = self.find::<GetDag>("goal_not_found", Ask::at(OfGoal { goal: goal.clone() })).await?;
        let unsound = |error: dag::DagError| CacheError::Corrupt {
            key: format!("dag:{goal}"),
            source: Some(Box::new(error)),
        };
        found.map(|draft| dag::validate(draft).map(Arc::new).map_err(unsound)).transpose()
    }

    async fn task(&self, task: &TaskId) -> Result<Option<TaskDetail>, CacheError> {
        self.find::<GetTask>("task_not_found", Ask::at(OfTask { task: task.clone() })).await
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<Vec<Task>, CacheError> {
        let mut tasks: Vec<Task> = Vec::new();
        loop {
            let left = query.limit.saturating_sub(tasks.len());
            let after = tasks.last().map(|task| task.ordinal).or(query.after);
            let which = Which { status: query.status, after, limit: Limit::up_to(left) };
            let ask = Ask::with(OfGoal { goal: query.goal.clone() }, which);
            let page = self.call::<ListTasks>(ask).await?.tasks;
            let last = page.len() < most() || page.len() >= left;
            tasks.extend(page);
            if last {
                return Ok(tasks);
            }
        }
    }

    async fn ready(&self, query: &ReadyQuery) -> Result<Vec<Task>, CacheError> {
        let which = WhichReady {
            goal: query.goal.clone(),
            capabilities: Capabilities(query.capabilities.clone()),
            limit: Limit::up_to(query.limit),
        };
        Ok(self.call::<ListReady>(Ask::with(Nothing {}, which)).await?.tasks)
    }

    async fn claim(&self, claim: &Claim) -> Result<ClaimReply, CacheError> {
        rules::check_claim(claim)?;
        self.call::<ClaimTask>(Ask::new().body(claim)).await
    }

    async fn renew(&self, renew: &Renew) -> Result<Renewed, CacheError> {
        self.call::<RenewLease>(Ask::new().body(renew)).await
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, CacheError> {
        // Cut here, texts of any length fit into a request.
        let outcome = rules::check_settle(settle)?;
        let settle = &Settle { outcome, ..settle.clone() };
        self.call::<SettleTask>(Ask::new().body(settle)).await
    }

    async fn steer(&self, steer: &Steer) -> Result<Steered, CacheError> {
        rules::check_steer(steer)?;
        self.call::<GiveDirective>(Ask::new().body(steer)).await
    }

    async fn remove(&self, remove: &Remove) -> Result<Removed, CacheError> {
        let path = OfGoal { goal: remove.goal.clone() };
        self.call::<RemoveGoal>(Ask::with(path, EndedAt { ended_at: remove.ended_at })).await
    }

    async fn sweep(&self, sweep: &Sweep) -> Result<Swept, CacheError> {
        self.call::<SweepDue>(Ask::new().body(sweep)).await
    }
}

#[async_trait]
impl Agents for HttpCache {
    async fn register(&self, registration: &Registration) -> Result<Registered, CacheError> {
        rules::check_registration(registration)?;
        self.call::<RegisterAgent>(Ask::new().body(registration)).await
    }

    async fn beat(&self, beat: &Beat) -> Result<BeatReply, CacheError> {
        self.call::<BeatAgent>(Ask::new().body(beat)).await
    }

    async fn deregister(&self, departure: &Departure) -> Result<Vec<TaskId>, CacheError> {
        Ok(self.call::<DeregisterAgent>(Ask::new().body(departure)).await?.freed)
    }

    async fn agent(&self, name: &AgentName) -> Result<Option<Agent>, CacheError> {
        self.find::<GetAgent>("agent_not_found", Ask::at(OfAgent { agent: name.clone() })).await
    }

    async fn agents(&self) -> Result<Vec<Agent>, CacheError> {
        Ok(self.call::<ListAgents>(Ask::new()).await?.agents)
    }

    async fn remember(
        &self,
        name: &AgentName,
        incarnation: &Incarnation,
        snapshot: &str,
    ) -> Result<(), CacheError> {
        rules::check_memory(snapshot)?;
        let body = Remember { incarnation: incarnation.clone(), snapshot: snapshot.to_owned() };
        self.call::<PutMemory>(Ask::at(OfAgent { agent: name.clone() }).body(&body)).await?;
        Ok(())
    }

    async fn recall(&self, name: &AgentName) -> Result<Option<String>, CacheError> {
        Ok(self.call::<GetMemory>(Ask::at(OfAgent { agent: name.clone() })).await?.snapshot)
    }

    async fn errors(&self, name: &AgentName) -> Result<Vec<AgentError>, CacheError> {
        Ok(self.call::<ListErrors>(Ask::at(OfAgent { agent: name.clone() })).await?.errors)
    }
}

impl HttpCache {
    /// All that is wanted of a stream; `None` when it was cut between two parts.
    async fn read_once(&self, read: &Read) -> Result<Option<Page>, CacheError> {
        let mut whole: Option<Page> = None;
        loop {
            let have = whole.as_ref().map_or(0, |page| page.entries.len());
            let left = read.limit.saturating_sub(have);
            let after =
                whole.as_ref().and_then(|page| page.entries.last()).map_or(read.after, |last| last.seq);
            let which = WhichEntries { after, limit: Limit::up_to(left) };
            let ask = Ask::with(OfStream { stream: read.stream.clone() }, which);
            let page = self.call::<ReadEntries>(ask).await?;
            let last = page.entries.len() < most() || page.entries.len() >= left;
            match &mut whole {
                None => whole = Some(page),
                Some(_) if page.trimmed > 0 => return Ok(None),
                Some(whole) => whole.entries.extend(page.entries),
            }
            if last {
                return Ok(whole);
            }
        }
    }
}

#[async_trait]
impl Streams for HttpCache {
    async fn append(&self, append: &Append) -> Result<u64, CacheError> {
        rules::check_append(append)?;
        let Append { stream, entries, request } = append.clone();
        let body = AppendBody { entries, request };
        Ok(self.call::<AppendEntries>(Ask::at(OfStream { stream }).body(&body)).await?.last)
    }

    async fn read(&self, read: &Read) -> Result<Page, CacheError> {
        for _ in 0..REREADS {
            if let Some(page) = self.read_once(read).await? {
                return Ok(page);
            }
        }
        let reason = format!("the stream `{}` is cut faster than it is read", read.stream);
        Err(CacheError::Unavailable { reason, source: None })
    }

    async fn changed(&self, topic: &Topic, seen: u64, wait: Duration) -> Result<u64, CacheError> {
        let until = Instant::now().checked_add(wait);
        loop {
            let left = until.map_or(LONGEST_WAIT, |until| until.saturating_duration_since(Instant::now()));
            let asked = left.min(LONGEST_WAIT);
            let how = Await { seen, wait_ms: Wait::up_to(asked) };
            let newest = match topic {
                Topic::Stream(stream) => {
                    let path = OfStream { stream: stream.clone() };
                    self.call::<AwaitEntries>(Ask::with(path, how).wait(asked)).await?
                }
                Topic::Ready => self.call::<AwaitReady>(Ask::with(Nothing {}, how).wait(asked)).await?,
            };
            if newest.number > seen || left <= asked && until.is_some_and(|until| until <= Instant::now()) {
                return Ok(newest.number);
            }
        }
    }
}

/// A key as a part of a path; a key that no document can have is refused here, as the cache would.
fn path(key: &str) -> Result<OfKey, CacheError> {
    rules::check_key(key)?;
    Ok(OfKey { key: Key(key.to_owned()) })
}

#[async_trait]
impl Records for HttpCache {
    async fn load(&self, key: &str) -> Result<Option<Record>, CacheError> {
        // There is no document under a key that none can have.
        let Ok(path) = path(key) else { return Ok(None) };
        self.find::<GetRecord>("record_not_found", Ask::at(path)).await
    }

    async fn store_if(&self, store: &StoreIf) -> Result<u64, CacheError> {
        rules::check_store(store)?;
        let (path, expected) = (path(&store.key)?, store.expected);
        let written = match &store.value {
            Some(value) => {
                let body = Document { expected, value: value.clone() };
                self.call::<PutRecord>(Ask::at(path).body(&body).once()).await?
            }
            None => self.call::<RemoveRecord>(Ask::with(path, Expected { expected }).once()).await?,
        };
        Ok(written.version)
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Record>, CacheError> {
        let which = WhichRecords { prefix: prefix.to_owned(), limit: Limit::up_to(limit) };
        let records = self.call::<ListRecords>(Ask::with(Nothing {}, which)).await?.records;
        if limit > most() && records.len() >= most() {
            let reason = format!("more than {MOST} documents begin with `{prefix}`: ask for fewer");
            return Err(CacheError::Invalid { reason });
        }
        Ok(records)
    }

    async fn acquire(&self, acquire: &Acquire) -> Result<Option<Hold>, CacheError> {
        rules::check_acquire(acquire)?;
        Ok(self.call::<AcquireHold>(Ask::new().body(acquire)).await?.hold)
    }

    async fn renew_hold(&self, hold: &Hold, ttl: Duration) -> Result<Hold, CacheError> {
        let body = HoldRenewal { hold: hold.clone(), ttl };
        self.call::<RenewHold>(Ask::new().body(&body)).await
    }

    async fn release_hold(&self, hold: &Hold) -> Result<(), CacheError> {
        self.call::<ReleaseHold>(Ask::new().body(hold)).await?;
        Ok(())
    }
}
