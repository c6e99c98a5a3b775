//! The lives of an agent, read from the log: they survive a crash of everything.

use downbeat_core::cache::{Cache, CacheError, ExitStatus, Read, events_stream};
use downbeat_core::event::{Event, EventKind};
use downbeat_core::ids::AgentName;
use downbeat_core::time::Timestamp;
use serde::Serialize;

/// How many events are read at once.
const PAGE: usize = 1_000;

/// What is known of an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Its lives, oldest first, as far back as the log goes.
    pub lives: Vec<LifeRecord>,
    /// Tasks that it did.
    pub done: u64,
    /// Attempts of it that failed.
    pub failed: u64,
    /// Attempts of it that took too long.
    pub timeouts: u64,
    /// How often it was quarantined.
    pub quarantines: u64,
}

/// One life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LifeRecord {
    /// The how-manieth.
    pub generation: u64,
    /// When it registered.
    pub registered_at: Timestamp,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it could take tasks.
    pub ready_at: Option<Timestamp>,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
    /// With what.
    pub exit: Option<ExitStatus>,
    /// Why.
    pub reason: Option<String>,
}

impl LifeRecord {
    /// How long it lasted, if it has ended.
    #[must_use]
    pub fn duration(&self) -> Option<std::time::Duration> {
        self.ended_at.map(|end| end.since(self.started_at.unwrap_or(self.registered_at)))
    }
}

impl Stats {
    /// How many lives followed another.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.lives.len().saturating_sub(1).try_into().unwrap_or(u64::MAX)
    }

    /// Takes in an event of the agent.
    fn take(&mut self, event: &Event) {
        let what = &event.what;
        let kind = &what.kind;
        if *kind == EventKind::AGENT_REGISTERED {
            let generation = what.data.get("generation").and_then(serde_json::Value::as_u64).unwrap_or(1);
            self.lives.push(LifeRecord {
                generation,
                registered_at: event.at,
                started_at: None,
                ready_at: None,
                ended_at: None,
                exit: None,
                reason: None,
            });
            return;
        }
        let life = self.lives.last_mut().filter(|life| life.ended_at.is_none());
        match (kind, life) {
            (kind, Some(life)) if *kind == EventKind::AGENT_STARTED => life.started_at = Some(event.at),
            (kind, Some(life)) if *kind == EventKind::AGENT_READY => life.ready_at = Some(event.at),
            (kind, Some(life)) if *kind == EventKind::AGENT_TERMINATED => {
                life.ended_at = Some(event.at);
                life.exit = serde_json::from_value(what.data.clone()).ok();
                life.reason.clone_from(&what.reason);
            }
            (kind, _) if *kind == EventKind::TASK_DONE => self.done += 1,
            (kind, _) if *kind == EventKind::TASK_RETRY || *kind == EventKind::TASK_FAILED => {
                self.failed += 1;
            }
            (kind, _) if *kind == EventKind::AGENT_TIMEOUT => self.timeouts += 1,
            (kind, _) if *kind == EventKind::AGENT_QUARANTINED => self.quarantines += 1,
            _ => {}
        }
    }
}

/// Reads what is known of an agent; `None` when the log does not know it.
///
/// # Errors
///
/// What the cache says.
pub async fn stats(cache: &dyn Cache, name: &AgentName) -> Result<Option<Stats>, CacheError> {
    let mut stats = Stats::default();
    let mut known = false;
    let mut after = 0;
    loop {
        let page = cache.read(&Read { stream: events_stream(), after, limit: PAGE }).await?;
        let full = page.len() == PAGE;
        for event in page.iter().filter(|event| event.what.agent.as_ref() == Some(name)) {
            known = true;
            stats.take(event);
        }
        match page.last() {
            Some(last) if full => after = last.seq,
            _ => return Ok(known.then_some(stats)),
        }
    }
}
