//! The loop of one agent: choose, claim, attempt; and wake when a task becomes ready.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use downbeat_core::backoff::Backoff;
use downbeat_core::cache::{
    Beat, Cache, CacheError, Claim, ClaimReply, Claimed, Disposition, Phase, ReadyQuery, Settle, Topic,
};
use downbeat_core::dag::Node;
use downbeat_core::goal::Usage;
use downbeat_core::ids::{AgentName, Capability, GoalId, Incarnation, TaskId};
use downbeat_core::llm::{Conduct, Llm, Select};
use downbeat_core::state::Outcome;
use downbeat_core::time::{Clock, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::attempt::{self, End};
use crate::clock::CacheClock;
use crate::doing::Doing;
use crate::entropy;
use crate::library::Code;
use crate::memory::Memory;
use crate::nested::chain::Places;
use crate::passing::{Load, Passing, Seat};
use crate::settings::{Selection, Settings};
use crate::spending::Ledger;
use crate::steering::notice::Notices;
use crate::stop::Stop;

/// How many ready tasks a model chooses from.
const CHOICES: usize = 20;

/// How many ready tasks are looked at for one that needs no model.
const LOOKED_AT: usize = 1_000;

/// The longest sleep of an idle agent. News wakes it before; this is for news that got lost.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// An agent: what all its attempts share.
#[derive(Debug)]
pub struct Worker {
    /// Its name.
    pub name: AgentName,
    /// Which life of the name.
    pub incarnation: Incarnation,
    /// The goal it works for; any without it.
    pub goal: Option<GoalId>,
    /// What it can do.
    pub capabilities: BTreeSet<Capability>,
    /// How many tasks it works on at once.
    pub max_parallel: u32,
    /// How long an attempt may take, for a task that says nothing about it; the run's setting without it.
    pub timeout: Option<Duration>,
    /// Its own instructions.
    pub instructions: String,
    /// The shared state.
    pub cache: Arc<dyn Cache>,
    /// Its model.
    pub llm: Arc<dyn Llm>,
    /// The code that does its tasks in place of the model, if it is code.
    pub(crate) code: Option<Code>,
    /// What models cost, and which are left alone.
    pub ledger: Arc<Ledger>,
    /// Puts the results of commands into words, which needs no model.
    pub scribe: Arc<dyn Llm>,
    /// By which the cache's deadlines are waited for.
    pub clock: Arc<CacheClock>,
    /// The limits and periods.
    pub settings: Arc<Settings>,
    /// The directory of each declared goal.
    pub workspaces: Arc<HashMap<GoalId, PathBuf>>,
    /// What it leaves to others for a while.
    pub(crate) passing: Passing,
    /// How many tasks it works on.
    pub(crate) load: Load,
    /// Those of goals below tasks.
    pub(crate) places: Places,
    /// What it does now, for its beats.
    pub doing: Mutex<Doing>,
    /// What it remembers.
    pub remembered: Mutex<Memory>,
    /// What it is told while it works.
    pub(crate) notices: Notices,
    /// Cancelled when the name is somebody else's now.
    pub replaced: CancellationToken,
}

/// A granted claim, and when it was asked for: from then on its time runs, whenever the answer came.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) claimed: Claimed,
    pub(crate) asked: Instant,
}

impl Worker {
    /// Works until `stop`, in as many slots as the agent works on tasks at once.
    pub async fn run(self: Arc<Self>, stop: Stop) {
        // Ended with it, also when a slot panics: one that crashed does not live on by its beats.
        let mut beside = tokio::task::JoinSet::new();
        beside.spawn(Arc::clone(&self).beat_on());
        beside.spawn(Arc::clone(&self).hear_flushes());
        let slots = (0..self.max_parallel.max(1)).map(|_| Arc::clone(&self).slot(stop.clone()));
        futures::future::join_all(slots).await;
    }

    async fn slot(self: Arc<Self>, stop: Stop) {
        let mut carried: Option<(Held, Seat<'_>)> = None;
        let mut unanswered = None;
        loop {
            let (held, seat) = match carried.take() {
                Some(carried) => carried,
                None => match self.obtain(&stop, &mut unanswered).await {
                    Some(obtained) => obtained,
                    None => return,
                },
            };
            if stop.is_draining() {
                self.give_back(&held.claimed).await;
                return;
            }
            let carries_on = self.settings.selection == Selection::Priority
                && self.ledger.closed(&self.llm.name()).is_none();
            let next = carries_on.then(|| self.claim(None));
            let end = attempt::run(&self, &held, &stop, next).await;
            // One that was lost is told of by what comes next.
            let _ = self.doing().leave(&held.claimed.lease.task, Phase::Completed);
            if let End::Settled { settled, asked, unanswered: claim } = end {
                unanswered = claim;
                let granted = settled.next.and_then(ClaimReply::granted);
                carried = granted.map(|claimed| (Held { claimed, asked }, seat));
            }
        }
    }

    /// Chooses and claims, or waits until there is something; `None` when it is time to stop.
    ///
    /// `unanswered` is a claim whose answer was lost. It may have been granted, which only the same request finds
    /// out: else its task would be held, and worked on by nobody, until its lease ends.
    async fn obtain(&self, stop: &Stop, unanswered: &mut Option<Claim>) -> Option<(Held, Seat<'_>)> {
        let between = Backoff { base: Duration::from_millis(100), ceiling: Duration::from_secs(10) };
        let mut failures = 0;
        loop {
            if stop.is_draining() || self.replaced.is_cancelled() {
                return None;
            }
            // Who is idle goes before who works on something already.
            let (seat, after_others) = self.load.sit(&self.cache, &self.name);
            if !after_others.is_zero() {
                tokio::time::sleep(after_others).await;
            }
            // A store that does not answer is waited for here: nothing is claimed yet.
            let looked = tokio::select! {
                looked = self.look() => looked,
                () = stop.draining() => return None,
                () = self.replaced.cancelled() => return None,
            };
            let asked = Instant::now();
            let tried = match looked {
                Ok((seen, chosen)) => match self.ask_again(unanswered).await {
                    Ok(Some(claimed)) => {
                        // Its time has run since it was asked first: it is renewed at once.
                        let asked = asked.checked_sub(self.settings.lease_ttl / 3).unwrap_or(asked);
                        return Some((Held { claimed, asked }, seat));
                    }
                    Ok(None) => self.try_once(seen, chosen, unanswered).await,
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            };
            let wait = match tried {
                Ok((_, ClaimReply::Granted(claimed))) => {
                    return Some((Held { claimed: *claimed, asked }, seat));
                }
                Ok((seen, ClaimReply::Nothing { next_due, .. })) => {
                    drop(seat);
                    failures = 0;
                    self.enter(Phase::Idle, None).await;
                    let due = next_due.map_or(LONGEST_SLEEP, |due| due.since(self.clock.now()));
                    let own_again = self.passing.ends().map(|ends| ends.duration_since(Instant::now()));
                    let due = own_again.map_or(due, |own_again| own_again.min(due));
                    let wait = due.clamp(Duration::from_millis(2), LONGEST_SLEEP);
                    let news = async {
                        if let Err(error) = self.cache.changed(&Topic::Ready, seen, wait).await {
                            debug!(target: "runtime", agent = %self.name, "waiting for work: {error}");
                            tokio::time::sleep(wait.min(Duration::from_secs(1))).await;
                        }
                    };
                    tokio::select! {
                        () = news => continue,
                        () = stop.draining() => return None,
                        () = self.replaced.cancelled() => return None,
                    }
                }
                Err(error) if error.disposition() == Disposition::Retry => {
                    failures += 1;
                    debug!(target: "runtime", agent = %self.name, "asking for a task: {error}; trying again");
                    let failures = std::num::NonZeroU32::new(failures).unwrap_or(std::num::NonZeroU32::MIN);
                    between.delay(failures, entropy::draw()).max(Duration::from_millis(10))
                }
                Err(error) => {
                    error!(target: "runtime", agent = %self.name, "Asking for a task: {error}");
                    self.replaced.cancel();
                    return None;
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.draining() => return None,
                () = self.replaced.cancelled() => return None,
            }
        }
    }

    /// What there is: the number is from before the look, so that news during it counts.
    async fn look(&self) -> Result<(u64, Option<TaskId>), CacheError> {
        let seen = self.cache.changed(&Topic::Ready, u64::MAX, Duration::ZERO).await?;
        self.passing.look(self.cache.as_ref(), &self.name).await?;
        if self.settings.selection != Selection::Model || self.ledger.closed(&self.llm.name()).is_some() {
            return Ok((seen, None));
        }
        Ok((seen, self.choose().await?))
    }

    /// Claims, and keeps a claim that the store did not answer.
    async fn ask(&self, claim: Claim, unanswered: &mut Option<Claim>) -> Result<ClaimReply, CacheError> {
        let reply = self.cache.claim(&claim).await;
        let is_lost = reply.as_ref().is_err_and(|error| error.disposition() == Disposition::Retry);
        *unanswered = is_lost.then_some(claim);
        reply
    }

    /// What a claim was granted that the store did not answer. An error: it does not answer now, either.
    async fn ask_again(&self, unanswered: &mut Option<Claim>) -> Result<Option<Claimed>, CacheError> {
        let Some(claim) = unanswered.take() else { return Ok(None) };
        match self.ask(claim, unanswered).await {
            Ok(reply) => Ok(reply.granted()),
            Err(error) if error.disposition() == Disposition::Retry => Err(error),
            // Whatever is wrong with it now, nothing came of it.
            Err(_) => Ok(None),
        }
    }

    async fn try_once(
        &self,
        seen: u64,
        chosen: Option<TaskId>,
        unanswered: &mut Option<Claim>,
    ) -> Result<(u64, ClaimReply), CacheError> {
        if let Some(parked) = self.ledger.closed(&self.llm.name()) {
            return Ok((seen, self.claim_command(parked.until, unanswered).await?));
        }
        if chosen.is_some() {
            let reply = self.ask(self.claim(chosen), unanswered).await?;
            if let ClaimReply::Granted(_) = reply {
                return Ok((seen, reply));
            }
        }
        Ok((seen, self.ask(self.claim(None), unanswered).await?))
    }

    /// While the model is left alone: takes a task that needs none.
    async fn claim_command(
        &self,
        until: Option<Timestamp>,
        unanswered: &mut Option<Claim>,
    ) -> Result<ClaimReply, CacheError> {
        let query =
            ReadyQuery { goal: self.goal.clone(), capabilities: self.capabilities.clone(), limit: LOOKED_AT };
        for task in self.cache.ready(&query).await? {
            if task.node.run.is_none() {
                continue;
            }
            let reply = self.ask(self.claim(Some(task.node.id.clone())), unanswered).await?;
            if let ClaimReply::Granted(_) = reply {
                return Ok(reply);
            }
        }
        Ok(ClaimReply::Nothing { paused: false, next_due: until })
    }

    /// Lets the model choose, when there is something to choose.
    async fn choose(&self) -> Result<Option<TaskId>, CacheError> {
        let query =
            ReadyQuery { goal: self.goal.clone(), capabilities: self.capabilities.clone(), limit: CHOICES };
        let ready = self.cache.ready(&query).await?;
        let [first, _, ..] = ready.as_slice() else { return Ok(None) };
        let goal = first.goal.clone();
        let of_goal = ready.iter().filter(|task| task.goal == goal);
        let nodes: Vec<Node> = of_goal.map(|task| task.node.as_ref().clone()).collect();
        self.enter(Phase::Reasoning, None).await;
        let request = Select {
            goal,
            agent: self.name.clone(),
            ready: nodes,
            memory: self.memory().await,
            conduct: Conduct::default(),
        };
        let chosen = match self.llm.select(&request).await {
            Ok(reply) => reply.value.selected_task_id,
            Err(error) => {
                warn!(target: "runtime", agent = %self.name, "No choice, so the priorities decide: {error}");
                None
            }
        };
        // What was not offered was not chosen.
        Ok(chosen.filter(|task| request.ready.iter().any(|node| node.id == *task)))
    }

    fn claim(&self, task: Option<TaskId>) -> Claim {
        Claim {
            agent: self.name.clone(),
            incarnation: self.incarnation.clone(),
            request: entropy::request_id(),
            goal: self.goal.clone(),
            capabilities: self.capabilities.clone(),
            task,
            avoid: self.passing.now(),
            ttl: self.settings.lease_ttl,
        }
    }

    async fn give_back(&self, claimed: &Claimed) {
        let release = Settle {
            task: claimed.lease.task.clone(),
            token: claimed.lease.token,
            request: entropy::request_id(),
            outcome: Outcome::Release { reason: "the run was stopped before work began".to_owned() },
            spent: Usage::default(),
            next: None,
        };
        if let Err(error) = self.cache.settle(&release).await {
            warn!(target: "runtime", agent = %self.name, "Giving back task {}: {error}", release.task);
        }
    }

    /// Says what the agent does now. A beat that is lost is made up for by the next.
    pub(crate) async fn enter(&self, phase: Phase, task: Option<&TaskId>) {
        if self.doing().enter(phase, task) {
            self.beat().await;
        }
    }

    /// Says that the agent has settled a task.
    pub(crate) async fn completed(&self, task: &TaskId) {
        if self.doing().leave(task, Phase::Completed) {
            self.beat().await;
        }
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn beat(&self) {
        let (phase, task) = self.doing().said();
        let beat = Beat { name: self.name.clone(), incarnation: self.incarnation.clone(), phase, task };
        match self.cache.beat(&beat).await {
            Err(error @ CacheError::AgentReplaced { .. }) => {
                error!(target: "runtime", agent = %self.name, "{error}");
                self.replaced.cancel();
            }
            Err(error) => debug!(target: "runtime", agent = %self.name, "beat: {error}"),
            Ok(reply) => self.clock.observe(reply.silent_from, self.settings.agent_ttl),
        }
    }

    async fn beat_on(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.settings.agent_ttl / 3).await;
            self.beat().await;
        }
    }

    /// The directory that a goal's tasks work in.
    pub(crate) async fn workspace(&self, goal: &GoalId) -> PathBuf {
        if let Some(place) = self.workspaces.get(goal) {
            return place.clone();
        }
        let found = self.places.find(self.cache.as_ref(), &self.workspaces, goal).await;
        let found = found.unwrap_or_else(|error| {
            warn!(target: "runtime", agent = %self.name, "Looking for the directory of goal {goal}: {error}");
            None
        });
        found.unwrap_or_else(|| PathBuf::from("."))
    }
}
