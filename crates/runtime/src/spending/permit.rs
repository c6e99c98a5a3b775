//! The right to one call, which is written down whatever becomes of it.

use std::sync::{Arc, Mutex, PoisonError};

use downbeat_core::goal::Usage;
use downbeat_core::ids::{AgentName, GoalId, TaskId};
use downbeat_core::llm::{CallError, LlmError, Observer, Reply};
use serde_json::json;
use tokio::time::Instant;

use super::{Ledger, larger};

/// What a call is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which of the five questions.
    pub step: &'static str,
    /// The model, as its provider is called.
    pub model: String,
    /// The goal.
    pub goal: GoalId,
    /// The task, if it is for one.
    pub task: Option<TaskId>,
    /// Who asks.
    pub agent: Option<AgentName>,
    /// Which attempt it is for.
    pub attempt: Option<u32>,
}

/// The right to one call. Dropped before the call ended (a lost lease, a stopped run), it writes down
/// what was heard of the cost until then.
#[derive(Debug)]
pub struct Permit {
    ledger: Arc<Ledger>,
    entry: Entry,
    estimate: Usage,
    unknown: bool,
    heard: Arc<Mutex<Usage>>,
    begun: Instant,
    is_open: bool,
}

/// How a call ended that nobody waited for any longer.
const CUT_OFF: &str = "cut off";

impl Permit {
    pub(super) fn new(ledger: Arc<Ledger>, entry: Entry, estimate: Usage, unknown: bool) -> Self {
        let (heard, begun) = (Arc::default(), Instant::now());
        Self { ledger, entry, estimate, unknown, heard, begun, is_open: true }
    }

    /// An observer that also hears what the call costs on its way.
    #[must_use]
    pub fn observer(&self, inner: &Arc<dyn Observer>) -> Arc<dyn Observer> {
        Arc::new(Listening { inner: Arc::clone(inner), heard: Arc::clone(&self.heard) })
    }

    /// The call ended: writes down what it cost, and parks a model that is at its limit. A failure costs at least
    /// what was heard on its way.
    pub async fn close<T: Send + Sync>(mut self, answer: &mut Result<Reply<T>, CallError>) {
        let (usage, outcome, by) = match answer {
            Ok(reply) => (reply.usage, "answered", reply.model.clone()),
            Err(failed) => {
                let heard = match failed.error {
                    LlmError::TimedOut { .. } => self.heard_so_far(),
                    // What was answered was told with its call; one that could not even be asked was none.
                    _ => self.heard(),
                };
                failed.usage = larger(failed.usage, heard);
                (failed.usage, kind_of(&failed.error), self.entry.model.clone())
            }
        };
        let data = self.data(usage, outcome, &by);
        // Before the place is free: who comes next reads the sum.
        self.ledger.write(&self.entry, usage, data).await;
        if let Err(CallError { error: LlmError::BudgetSpent { reason, until }, .. }) = answer {
            self.ledger.park(&self.entry.model, reason, *until).await;
        }
        self.is_open = false;
        let known = (usage != Usage::default()).then_some(usage);
        self.ledger.release(self.entry.step, self.estimate, self.unknown, known);
    }

    /// The call was given up: writes down what was heard of it, and says that.
    pub(super) async fn cut_off(mut self) -> Usage {
        self.is_open = false;
        let usage = self.heard_so_far();
        let data = self.data(usage, CUT_OFF, &self.entry.model);
        self.ledger.write(&self.entry, usage, data).await;
        self.ledger.release(self.entry.step, self.estimate, self.unknown, None);
        usage
    }

    /// What the part that was cut off cost nobody says; that it was a call is certain.
    fn heard_so_far(&self) -> Usage {
        self.heard().plus(Usage { calls: 1, ..Usage::default() })
    }

    fn heard(&self) -> Usage {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data(&self, usage: Usage, outcome: &str, by: &str) -> serde_json::Value {
        json!({
            "step": self.entry.step,
            "provider": self.entry.model,
            "model": by,
            "outcome": outcome,
            "calls": usage.calls,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost_usd": usage.cost_usd(),
            "duration_ms": u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        let usage = self.heard_so_far();
        let data = self.data(usage, CUT_OFF, &self.entry.model);
        let (ledger, entry) = (Arc::clone(&self.ledger), self.entry.clone());
        let (estimate, unknown) = (self.estimate, self.unknown);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let written = async move {
            ledger.write(&entry, usage, data).await;
            ledger.release(entry.step, estimate, unknown, None);
        };
        // Who ends the run waits for it.
        self.ledger.closing.spawn_on(written, &runtime);
    }
}

fn kind_of(error: &LlmError) -> &'static str {
    match error {
        LlmError::Unavailable { .. } => "unavailable",
        LlmError::BudgetSpent { .. } => "budget spent",
        LlmError::TimedOut { .. } => "timed out",
        LlmError::Malformed { .. } => "malformed",
        LlmError::Refused { .. } => "refused",
        _ => "unusable",
    }
}

#[derive(Debug)]
struct Listening {
    inner: Arc<dyn Observer>,
    heard: Arc<Mutex<Usage>>,
}

impl Observer for Listening {
    fn progress(&self, line: &str) {
        self.inner.progress(line);
    }

    fn output(&self, bytes: &[u8]) {
        self.inner.output(bytes);
    }

    fn spent(&self, usage: Usage) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        *heard = heard.plus(usage);
        drop(heard);
        self.inner.spent(usage);
    }
}
