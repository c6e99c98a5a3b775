//! [`SledCache`]: the traits, each verb handed on to the thread that owns the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::cache::{
    Acquire, Agent, AgentError, Agents, Amend, Append, Beat, BeatReply, CacheError, Claim, ClaimReply,
    Departure, Hold, Page, Plan, Read, ReadyQuery, Record, Records, Registered, Registration, Remove,
    Removed, Renew, Renewed, Settle, Settled, Steer, Steered, StoreIf, Streams, Sweep, Swept, Task,
    TaskDetail, TaskQuery, Tasks, Topic,
};
use downbeat_core::dag::Dag;
use downbeat_core::goal::Goal;
use downbeat_core::ids::{AgentName, GoalId, Incarnation, TaskId};
use tokio::sync::oneshot;

use crate::holder::HolderFile;
use crate::kept::Kept;
use crate::open::{Durability, OpenError, Options, open};
use crate::signals::Signals;
use crate::stats::{Counters, Stats};
use crate::step::Step;
use crate::syncer::Syncer;
use crate::verbs;
use crate::writer::{self, Job, Need, Writer};

/// A [`Cache`](downbeat_core::cache::Cache) in a directory of this machine. Clones share the store.
///
/// One process has a store open at a time; a second one gets [`OpenError::Busy`]. When the last clone
/// is dropped, the store is flushed and closed, and can be opened again at once; dropping waits for
/// that, [`close`](Self::close) waits without blocking a thread of the runtime.
///
/// ```
/// use std::sync::Arc;
/// use downbeat_cache_sled::{Durability, Options, SledCache};
/// use downbeat_core::cache::{StreamLimits, Tasks};
/// use downbeat_core::time::ManualClock;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let directory = tempfile::tempdir().unwrap();
/// let cache = SledCache::open(Options {
///     path: directory.path().to_owned(),
///     clock: Arc::new(ManualClock::default()),
///     durability: Durability::Power,
///     limits: StreamLimits::default(),
///     holder: "an example".to_owned(),
/// })
/// .unwrap();
/// assert!(cache.goals().await.unwrap().is_empty());
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct SledCache {
    inner: Arc<Inner>,
}

/// What the clones share.
#[derive(Debug)]
struct Inner {
    path: PathBuf,
    epoch: u64,
    signals: Arc<Signals>,
    counters: Arc<Counters>,
    /// Taken only to end the thread.
    sender: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.sender.take());
        HolderFile::remove(&self.path);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the thread that owned the store panicked");
        }
    }
}

impl SledCache {
    /// Opens a store. Blocks for as long as reading it takes.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let (store, epoch) = open(&options)?;
        let signals = Arc::new(Signals::new(epoch));
        let strongest = match options.durability {
            Durability::Power => Need::Power,
            Durability::Process => Need::Process,
        };
        let Options { path, clock, limits, .. } = options;
        let counters = Arc::new(Counters::default());
        let no_thread = |error: std::io::Error| OpenError::Store {
            path: path.clone(),
            source: CacheError::Unavailable {
                reason: "no thread for the store".to_owned(),
                source: Some(error.into()),
            },
        };
        let syncer = Syncer::start(&counters).map_err(no_thread)?;
        let writer = Writer {
            store,
            syncer,
            clock,
            signals: Arc::clone(&signals),
            counters: Arc::clone(&counters),
            epoch,
            limits,
            strongest,
            kept: Kept::default(),
            work_unsynced: 0,
        };
        let (sender, thread) = writer::start(writer).map_err(no_thread)?;
        let inner = Inner { path, epoch, signals, counters, sender: Some(sender), thread: Some(thread) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The directory of the store.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// How often the store was opened: the high part of the tokens that it hands out.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.inner.epoch
    }

    /// What was written since the opening.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.counters.read()
    }

    /// Gives this clone up. If it is the last, the store is flushed and closed when this returns.
    pub async fn close(self) {
        // Dropping joins a thread, which may take as long as a sync of the disk.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    /// Reads the whole store and says each contradiction in it: counts, indexes, links and streams that
    /// do not follow from the states of the tasks. Empty for a sound store.
    ///
    /// # Errors
    ///
    /// [`CacheError::Corrupt`], [`CacheError::Unavailable`].
    pub async fn audit(&self) -> Result<Vec<String>, CacheError> {
        self.call(Need::None, crate::audit::audit).await
    }

    /// Has the thread carry out an operation, and waits for its answer.
    async fn call<T: Send + 'static>(
        &self,
        need: Need,
        operation: impl FnOnce(&mut Step<'_>) -> Result<T, CacheError> + Send + 'static,
    ) -> Result<T, CacheError> {
        let gone = || CacheError::Unavailable { reason: "the store is closed".to_owned(), source: None };
        let (answer, answered) = oneshot::channel();
        let sender = self.inner.sender.as_ref().ok_or_else(gone)?;
        sender.send(Job::new(need, operation, answer)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

#[async_trait]
impl Tasks for SledCache {
    async fn plan(&self, plan: &Plan) -> Result<Goal, CacheError> {
        let plan = plan.clone();
        self.call(Need::Power, move |step| verbs::plan::plan(step, &plan)).await
    }

    async fn amend(&self, amend: &Amend) -> Result<Goal, CacheError> {
        let amend = amend.clone();
        self.call(Need::Power, move |step| verbs::amend::amend(step, &amend)).await
    }

    async fn goal(&self, goal: &GoalId) -> Result<Option<Goal>, CacheError> {
        let goal = goal.clone();
        self.call(Need::None, move |step| verbs::read::goal(step, &goal)).await
    }

    async fn goals(&self) -> Result<Vec<Goal>, CacheError> {
        self.call(Need::None, |step| verbs::read::goals(step)).await
    }

    async fn dag(&self, goal: &GoalId) -> Result<Option<Arc<Dag>>, CacheError> {
        let goal = goal.clone();
        self.call(Need::None, move |step| verbs::read::dag(step, &goal)).await
    }

    async fn task(&self, task: &TaskId) -> Result<Option<TaskDetail>, CacheError> {
        let task = task.clone();
        self.call(Need::None, move |step| verbs::read::task(step, &task)).await
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<Vec<Task>, CacheError> {
        let query = query.clone();
        self.call(Need::None, move |step| verbs::read::tasks(step, &query)).await
    }

    async fn ready(&self, query: &ReadyQuery) -> Result<Vec<Task>, CacheError> {
        let query = query.clone();
        self.call(Need::None, move |step| verbs::read::ready(step, &query)).await
    }

    async fn claim(&self, claim: &Claim) -> Result<ClaimReply, CacheError> {
        let claim = claim.clone();
        self.call(Need::Process, move |step| verbs::claim::claim(step, &claim)).await
    }

    async fn renew(&self, renew: &Renew) -> Result<Renewed, CacheError> {
        let renew = renew.clone();
        self.call(Need::None, move |step| verbs::renew::renew(step, &renew)).await
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, CacheError> {
        let settle = settle.clone();
        self.call(Need::Power, move |step| verbs::settle::settle(step, &settle)).await
    }

    async fn steer(&self, steer: &Steer) -> Result<Steered, CacheError> {
        let steer = steer.clone();
        self.call(Need::Power, move |step| verbs::steer::steer(step, &steer)).await
    }

    async fn remove(&self, remove: &Remove) -> Result<Removed, CacheError> {
        let remove = remove.clone();
        self.call(Need::Power, move |step| verbs::remove::remove(step, &remove)).await
    }

    async fn sweep(&self, sweep: &Sweep) -> Result<Swept, CacheError> {
        let sweep = *sweep;
        self.call(Need::Process, move |step| verbs::sweep::sweep(step, sweep)).await
    }
}

#[async_trait]
impl Agents for SledCache {
    async fn register(&self, registration: &Registration) -> Result<Registered, CacheError> {
        let registration = registration.clone();
        self.call(Need::Process, move |step| verbs::agents::register(step, &registration)).await
    }

    async fn beat(&self, beat: &Beat) -> Result<BeatReply, CacheError> {
        let beat = beat.clone();
        self.call(Need::None, move |step| verbs::agents::beat(step, &beat)).await
    }

    async fn deregister(&self, departure: &Departure) -> Result<Vec<TaskId>, CacheError> {
        let departure = departure.clone();
        self.call(Need::Process, move |step| verbs::agents::deregister(step, &departure)).await
    }

    async fn agent(&self, name: &AgentName) -> Result<Option<Agent>, CacheError> {
        let name = name.clone();
        self.call(Need::None, move |step| verbs::agents::agent(step, &name)).await
    }

    async fn agents(&self) -> Result<Vec<Agent>, CacheError> {
        self.call(Need::None, |step| verbs::agents::agents(step)).await
    }

    async fn remember(
        &self,
        name: &AgentName,
        incarnation: &Incarnation,
        snapshot: &str,
    ) -> Result<(), CacheError> {
        let (name, incarnation, snapshot) = (name.clone(), incarnation.clone(), snapshot.to_owned());
        self.call(Need::Process, move |step| verbs::agents::remember(step, &name, &incarnation, &snapshot))
            .await
    }

    async fn recall(&self, name: &AgentName) -> Result<Option<String>, CacheError> {
        let name = name.clone();
        self.call(Need::None, move |step| verbs::agents::recall(step, &name)).await
    }

    async fn errors(&self, name: &AgentName) -> Result<Vec<AgentError>, CacheError> {
        let name = name.clone();
        self.call(Need::None, move |step| verbs::agents::errors(step, &name)).await
    }
}

#[async_trait]
impl Streams for SledCache {
    async fn append(&self, append: &Append) -> Result<u64, CacheError> {
        let append = append.clone();
        self.call(Need::Power, move |step| verbs::streams::append(step, &append)).await
    }

    async fn read(&self, read: &Read) -> Result<Page, CacheError> {
        let read = read.clone();
        self.call(Need::None, move |step| verbs::streams::read(step, &read)).await
    }

    async fn changed(&self, topic: &Topic, seen: u64, wait: Duration) -> Result<u64, CacheError> {
        // Watching begins before the number is read, so that nothing in between is missed.
        let (mut numbers, now) = match topic {
            Topic::Ready => (self.inner.signals.watch_work(), 0),
            Topic::Stream(stream) => {
                let numbers = self.inner.signals.watch_stream(stream);
                let stream = stream.clone();
                (numbers, self.call(Need::None, move |step| step.head(&stream)).await?.last)
            }
        };
        if now > seen || wait.is_zero() {
            return Ok(now.max(*numbers.borrow()));
        }
        let news = numbers.wait_for(|number| *number > seen);
        // The end of the wait is no error: the number says what is known.
        let _ = tokio::time::timeout(wait, news).await.map(|news| news.map(|number| *number));
        let number = *numbers.borrow();
        Ok(now.max(number))
    }
}

#[async_trait]
impl Records for SledCache {
    async fn load(&self, key: &str) -> Result<Option<Record>, CacheError> {
        let key = key.to_owned();
        self.call(Need::None, move |step| verbs::records::load(step, &key)).await
    }

    async fn store_if(&self, store: &StoreIf) -> Result<u64, CacheError> {
        let store = store.clone();
        self.call(Need::Power, move |step| verbs::records::store_if(step, &store)).await
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Record>, CacheError> {
        let prefix = prefix.to_owned();
        self.call(Need::None, move |step| verbs::records::list(step, &prefix, limit)).await
    }

    async fn acquire(&self, acquire: &Acquire) -> Result<Option<Hold>, CacheError> {
        let acquire = acquire.clone();
        self.call(Need::Power, move |step| verbs::records::acquire(step, &acquire)).await
    }

    async fn renew_hold(&self, hold: &Hold, ttl: Duration) -> Result<Hold, CacheError> {
        let hold = hold.clone();
        self.call(Need::None, move |step| verbs::records::renew_hold(step, &hold, ttl)).await
    }

    async fn release_hold(&self, hold: &Hold) -> Result<(), CacheError> {
        let hold = hold.clone();
        self.call(Need::Process, move |step| verbs::records::release_hold(step, &hold)).await
    }
}
