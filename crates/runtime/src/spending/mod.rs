//! What models cost: counted when a call ends, however it ends, and held below a ceiling.
//!
//! [`Ledger`] is the book; [`Accounted`] makes every call of a model go through it. It is written on top
//! of the cache's records, so that every backend has it, and several processes share one ceiling.

mod accounted;
mod book;
mod permit;
mod turns;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use downbeat_core::cache::{Cache, CacheError};
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::goal::Usage;
use downbeat_core::llm::{CallError, LlmError, Observer};
use downbeat_core::text::clip;
use downbeat_core::time::{Clock, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio_util::task::TaskTracker;
use tracing::warn;

pub use accounted::Accounted;
pub use book::{of_goal, of_task, parked};
pub use permit::{Entry, Permit};
use turns::Turns;

/// How long a model is left alone whose limit is reached and that says nothing about its end.
const PARKED_FOR: Duration = Duration::from_secs(15 * 60);

/// The longest that writing down what was cut off may take when a run ends.
const WRITING: Duration = Duration::from_secs(5);

/// What may be spent in all, by every goal of a store, over all its runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ceiling {
    /// Tokens, in and out.
    pub tokens: Option<u64>,
    /// Millionths of a US dollar.
    pub cost_micros: Option<u64>,
}

impl Ceiling {
    const fn is_set(&self) -> bool {
        self.tokens.is_some() || self.cost_micros.is_some()
    }

    /// What is reached when `usage` is spent, for people.
    fn reached(&self, usage: Usage, over: impl Fn(u64, u64) -> bool) -> Option<String> {
        if let Some(limit) = self.tokens.filter(|limit| over(usage.tokens(), *limit)) {
            return Some(format!("max_tokens = {limit}"));
        }
        let limit = self.cost_micros.filter(|limit| over(usage.cost_micros, *limit))?;
        Some(format!("max_cost = {:.6}", Usage { cost_micros: limit, ..Usage::default() }.cost_usd()))
    }
}

/// Why a model, or any, is not asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parked {
    /// The model; every one without it.
    pub model: Option<String>,
    /// Why.
    pub reason: String,
    /// Until when; without it until somebody raises the ceiling.
    pub until: Option<Timestamp>,
}

/// The book of what models cost.
#[derive(Debug)]
pub struct Ledger {
    cache: Arc<dyn Cache>,
    clock: Arc<dyn Clock>,
    ceiling: Ceiling,
    turns: Option<Turns>,
    state: Mutex<State>,
    /// A call ended: who waits for room looks again.
    freed: Notify,
    /// What calls that were cut off cost is being written down.
    closing: TaskTracker,
}

#[derive(Debug, Default)]
struct State {
    /// What calls under way are expected to cost, and how many there are.
    reserved: Usage,
    under_way: u32,
    /// How many of them are the first of their kind, so that nobody knows what they cost.
    unknown: u32,
    /// How many calls have ended: what was read of the sum before one did says nothing of it.
    ended: u64,
    /// The dearest call of each kind so far, token by token and cent by cent.
    dearest: HashMap<&'static str, Usage>,
    /// Models that are left alone, by name.
    parked: HashMap<String, Parked>,
    /// The ceiling is reached.
    spent: Option<Parked>,
}

/// What comes of asking for a call.
enum Admission {
    Go {
        estimate: Usage,
        unknown: bool,
    },
    Wait,
    /// A call ended since the sum was read: it is in neither.
    Stale,
    Refused(LlmError),
}

impl Ledger {
    /// The book in `cache`, with a ceiling.
    #[must_use]
    pub fn new(cache: Arc<dyn Cache>, clock: Arc<dyn Clock>, ceiling: Ceiling) -> Self {
        let (state, freed, closing) = (Mutex::default(), Notify::new(), TaskTracker::new());
        closing.close();
        Self { cache, clock, ceiling, turns: None, state, freed, closing }
    }

    /// With so many calls at once at most; with any number of them without it.
    #[must_use]
    pub fn with_turns(mut self, most: Option<usize>) -> Self {
        self.turns = most.map(Turns::new);
        self
    }

    /// Waits until a call may go on beside the others: as long as this is held.
    async fn turn(&self, entry: &Entry, observer: &dyn Observer) -> Option<OwnedSemaphorePermit> {
        match &self.turns {
            Some(turns) => turns.take(entry, observer).await,
            None => None,
        }
    }

    /// Forgets what an earlier run wrote about a ceiling: this run has its own.
    ///
    /// # Errors
    ///
    /// What the cache says.
    pub async fn open(&self) -> Result<(), CacheError> {
        book::unpark(self.cache.as_ref(), None).await
    }

    /// Waits until it is written down what calls cost that were cut off before: nobody does it when the process
    /// has ended.
    pub(crate) async fn written(&self) {
        if tokio::time::timeout(WRITING, self.closing.wait()).await.is_err() {
            warn!(target: "llm", "what a call cost that was cut off is not written down within {WRITING:?}");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why `model` is not asked now, if it is not.
    #[must_use]
    pub fn closed(&self, model: &str) -> Option<Parked> {
        let now = self.clock.now();
        let mut state = self.state();
        state.parked.retain(|_, parked| parked.until.is_none_or(|until| until > now));
        state.spent.clone().or_else(|| state.parked.get(model).cloned())
    }

    /// Why no model is asked any more in this run, if none is.
    #[must_use]
    pub fn exhausted(&self) -> Option<String> {
        self.state().spent.as_ref().map(|parked| parked.reason.clone())
    }

    /// Lets a call begin, or waits until those under way have left room for it.
    ///
    /// A call begins only when what is spent, what the calls under way are expected to cost, and what
    /// this one is expected to cost stay below the ceiling. A call is expected to cost what the dearest
    /// of its kind did; the first of a kind goes alone.
    ///
    /// # Errors
    ///
    /// [`LlmError::BudgetSpent`]: the ceiling is reached, or the model is parked.
    pub async fn admit(self: &Arc<Self>, entry: Entry) -> Result<Permit, CallError> {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let ended = self.state().ended;
            let spent = if self.ceiling.is_set() {
                book::total(self.cache.as_ref()).await.map_err(|error| LlmError::Unavailable {
                    reason: format!("what was spent so far cannot be read: {error}"),
                    retry_after: None,
                })?
            } else {
                Usage::default()
            };
            match self.decide(&entry, spent, ended) {
                Admission::Go { estimate, unknown } => {
                    return Ok(Permit::new(Arc::clone(self), entry, estimate, unknown));
                }
                Admission::Wait => freed.await,
                Admission::Stale => {}
                Admission::Refused(error) => {
                    let exhausted = self.state().spent.clone();
                    if let Some(parked) = exhausted {
                        self.write_parked(&parked, EventKind::LLM_BUDGET).await;
                    }
                    return Err(error.into());
                }
            }
        }
    }

    /// `spent` was read when so many calls had `ended`.
    fn decide(&self, entry: &Entry, spent: Usage, ended: u64) -> Admission {
        if let Some(parked) = self.closed(&entry.model) {
            let until = parked.until.map(|until| until.since(self.clock.now()));
            return Admission::Refused(LlmError::BudgetSpent { reason: parked.reason, until });
        }
        let mut state = self.state();
        let dearest = state.dearest.get(entry.step).copied();
        if self.ceiling.is_set() {
            if state.ended != ended {
                return Admission::Stale;
            }
            if state.unknown > 0 || (dearest.is_none() && state.under_way > 0) {
                return Admission::Wait;
            }
            let expected = spent.plus(state.reserved).plus(dearest.unwrap_or_default());
            let reached = self
                .ceiling
                .reached(spent, |spent, limit| spent >= limit)
                .or_else(|| self.ceiling.reached(expected, |expected, limit| expected > limit));
            if let Some(limit) = reached {
                if state.under_way > 0 {
                    return Admission::Wait;
                }
                let expected = dearest.unwrap_or_default();
                let reason = format!(
                    "{limit} leaves no room for another call: {} tokens and ${:.4} are spent, and a call to \
                     {} took up to {} tokens and ${:.4}; raise the ceiling and run again",
                    spent.tokens(),
                    spent.cost_usd(),
                    entry.step,
                    expected.tokens(),
                    expected.cost_usd(),
                );
                state.spent = Some(Parked { model: None, reason: reason.clone(), until: None });
                return Admission::Refused(LlmError::BudgetSpent { reason, until: None });
            }
        }
        let estimate = dearest.unwrap_or_default();
        state.reserved = state.reserved.plus(estimate);
        state.under_way += 1;
        state.unknown += u32::from(dearest.is_none());
        Admission::Go { estimate, unknown: dearest.is_none() }
    }

    /// A call is over: its place is free.
    fn release(&self, step: &'static str, estimate: Usage, unknown: bool, usage: Option<Usage>) {
        let mut state = self.state();
        state.reserved = minus(state.reserved, estimate);
        state.under_way = state.under_way.saturating_sub(1);
        state.ended = state.ended.wrapping_add(1);
        state.unknown = state.unknown.saturating_sub(u32::from(unknown));
        if let Some(usage) = usage {
            let known = state.dearest.entry(step).or_default();
            *known = larger(*known, usage);
        }
        drop(state);
        self.freed.notify_waiters();
    }

    /// Writes down what a call cost.
    async fn write(&self, entry: &Entry, usage: Usage, data: serde_json::Value) {
        if usage == Usage::default() {
            return;
        }
        let cache = self.cache.as_ref();
        if let Err(error) = book::add(cache, entry, usage).await {
            warn!(target: "llm", "What a call of {} cost could not be written down: {error}", entry.model);
        }
        let event = EventDraft {
            task: entry.task.clone(),
            attempt: entry.attempt,
            agent: entry.agent.clone(),
            ..EventDraft::new(EventKind::LLM_CALL).goal(&entry.goal).data(data)
        };
        self.tell(event).await;
        // A cost ceiling holds nobody who does not say what a call cost.
        if self.ceiling.cost_micros.is_some() && usage.cost_micros == 0 && usage.tokens() > 0 {
            let reason = format!(
                "`{}` does not say what its calls cost, so `max_cost` cannot be kept: set `max_tokens`",
                entry.model
            );
            let parked = Parked { model: None, reason, until: None };
            self.state().spent = Some(parked.clone());
            self.write_parked(&parked, EventKind::LLM_BUDGET).await;
        }
    }

    /// Leaves a model alone whose own limit is reached.
    async fn park(&self, model: &str, reason: &str, until: Option<Duration>) {
        let until = self.clock.now().after(until.unwrap_or(PARKED_FOR));
        let reason = format!("`{}` is at its limit: {}", clip(model, 80), clip(reason, 400));
        warn!(target: "llm", "{reason}; it is asked again at {until}");
        let parked = Parked { model: Some(model.to_owned()), reason, until: Some(until) };
        let known = self.state().parked.insert(model.to_owned(), parked.clone());
        if known.as_ref() != Some(&parked) {
            self.write_parked(&parked, EventKind::LLM_PARKED).await;
        }
    }

    async fn write_parked(&self, parked: &Parked, kind: EventKind) {
        match book::park(self.cache.as_ref(), parked).await {
            Ok(true) => {
                let data = serde_json::json!({ "model": parked.model, "until": parked.until });
                self.tell(EventDraft::new(kind).reason(&parked.reason).data(data)).await;
            }
            Ok(false) => {}
            Err(error) => warn!(target: "llm", "{}; this could not be written down: {error}", parked.reason),
        }
    }

    async fn tell(&self, event: EventDraft) {
        if let Err(error) = book::tell(self.cache.as_ref(), event).await {
            warn!(target: "llm", "an event is lost: {error}");
        }
    }
}

fn minus(from: Usage, usage: Usage) -> Usage {
    Usage {
        calls: from.calls.saturating_sub(usage.calls),
        input_tokens: from.input_tokens.saturating_sub(usage.input_tokens),
        output_tokens: from.output_tokens.saturating_sub(usage.output_tokens),
        cost_micros: from.cost_micros.saturating_sub(usage.cost_micros),
    }
}

/// The greater of both, member by member.
pub(crate) fn larger(one: Usage, other: Usage) -> Usage {
    Usage {
        calls: one.calls.max(other.calls),
        input_tokens: one.input_tokens.max(other.input_tokens),
        output_tokens: one.output_tokens.max(other.output_tokens),
        cost_micros: one.cost_micros.max(other.cost_micros),
    }
}
