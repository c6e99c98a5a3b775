//! The orchestrator's own loop: sweeps when something is due, and notices when the goals rest.

use std::time::Duration;

use downbeat_core::cache::{Append, Read, Sweep, Topic, events_stream};
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::goal::Goal;
use downbeat_core::ids::GoalId;
use downbeat_core::time::{Clock as _, Timestamp};
use tracing::{info, warn};

use super::leader::announcements;
use super::{Orchestrator, RunError};
use crate::entropy;
use crate::stop::Stop;
use crate::supervise::Declarer;

/// How much one sweep does.
const SWEEP: Sweep = Sweep { limit: 256 };

/// What ends an attempt, or takes away a task that could have moved.
const ENDS: [EventKind; 6] = [
    EventKind::TASK_DONE,
    EventKind::TASK_FAILED,
    EventKind::TASK_RELEASED,
    EventKind::TASK_EXPIRED,
    EventKind::TASK_CANCELLED,
    EventKind::TASK_REDO,
];

/// How many events are read at once.
const EVENTS: usize = 1_000;

/// The longest wait for news; this is for news that got lost.
const LONGEST: Duration = Duration::from_secs(10);

impl Orchestrator {
    /// Returns when every goal rests (nothing in the list), nothing can move (why, each in a line),
    /// or `stop` (`None`).
    pub(super) async fn keep_up(
        &self,
        stop: &Stop,
        goals: &[GoalId],
        crew: Option<&Declarer>,
    ) -> Result<Option<Vec<String>>, RunError> {
        let topic = Topic::Stream(events_stream());
        let mut seen = self.cache.changed(&topic, u64::MAX, Duration::ZERO).await?;
        let mut look = true;
        // What was said already: all goals rest; what nobody can do.
        let (mut rested, mut said) = (false, Vec::new());
        loop {
            if look {
                let rests = self.at_rest(goals).await?;
                if rests && !rested {
                    self.tell_rest(goals).await?;
                }
                if rests && !self.stays() {
                    return Ok(Some(Vec::new()));
                }
                rested = rests;
            }
            let swept = self.cache.sweep(&SWEEP).await?;
            if !swept.silent.is_empty() {
                self.bury_the_dead().await?;
            }
            if self.is_service || !self.settings.keep_running {
                let mut lines = if rested { Vec::new() } else { self.stranded(goals).await? };
                let ends = |lines: &[String]| !lines.is_empty() && !self.only_leads && !self.stays();
                if ends(&lines)
                    && let Some(crew) = crew
                {
                    // Somebody may have been declared, or set going, just now.
                    tokio::select! {
                        () = crew.caught_up() => {}
                        () = stop.draining() => return Ok(None),
                    }
                    lines = self.stranded(goals).await?;
                }
                // Agents that leave because they were asked to are no reason why nothing can move.
                if !lines.is_empty() && stop.is_draining() {
                    return Ok(None);
                }
                if lines != said {
                    for line in &lines {
                        warn!(target: "orchestrator", "{line}");
                    }
                }
                if ends(&lines) {
                    return Ok(Some(lines));
                }
                said = lines;
            }
            let news = self.until_news(&topic, &mut seen, swept.next_due);
            look = tokio::select! {
                look = news => look?,
                () = self.reparsed.notified() => true,
                () = stop.draining() => return Ok(None),
            };
        }
    }

    /// Waits until something is due, or something happened that only the orchestrator can act on.
    /// Says whether a goal may have come to rest.
    async fn until_news(
        &self,
        topic: &Topic,
        seen: &mut u64,
        mut next_due: Option<Timestamp>,
    ) -> Result<bool, RunError> {
        loop {
            let now = self.clock.now();
            let wait = next_due.map_or(LONGEST, |due| due.since(now)).min(LONGEST);
            let newest = self.cache.changed(topic, *seen, wait).await?;
            if newest <= *seen {
                return Ok(true);
            }
            let mut acts = false;
            // An attempt ended and no claim came with it: perhaps nothing is left that anybody can do.
            let mut idle = false;
            loop {
                let read = Read { stream: events_stream(), after: *seen, limit: EVENTS };
                let events = self.cache.read(&read).await?;
                // Whatever was forgotten before it was read may have been anything.
                acts |= events.trimmed > 0;
                for event in &events {
                    *seen = event.seq;
                    let kind = event.what.kind.as_str();
                    acts |= kind.starts_with("goal.")
                        || (kind.starts_with("agent.") && event.what.kind != EventKind::AGENT_PHASE);
                    idle = match &event.what.kind {
                        kind if *kind == EventKind::TASK_CLAIMED => false,
                        kind => idle || ENDS.contains(kind),
                    };
                    if event.what.kind == EventKind::TASK_RETRY || event.what.kind == EventKind::TASK_CLAIMED
                    {
                        // Its wait or its lease ends at a moment that the last sweep did not know.
                        next_due = earlier(next_due, self.due_after(&event.what.data, event.at));
                    }
                }
                if events.len() < EVENTS {
                    break;
                }
            }
            if acts || idle {
                return Ok(true);
            }
        }
    }

    fn due_after(&self, data: &serde_json::Value, at: Timestamp) -> Timestamp {
        let not_before = data.get("not_before").cloned();
        not_before
            .and_then(|moment| serde_json::from_value(moment).ok())
            .unwrap_or_else(|| at.after(self.settings.lease_ttl))
    }

    async fn at_rest(&self, goals: &[GoalId]) -> Result<bool, RunError> {
        for id in goals {
            match self.cache.goal(id).await? {
                Some(goal) if goal.status.is_at_rest() => {}
                _ => return Ok(false),
            }
        }
        // Again, in one look: while one came to rest another may have been taken up again. What is below a
        // task that was called off is called off after it.
        let all = self.cache.goals().await?;
        let family: Vec<Goal> = all.into_iter().filter(|goal| goals.contains(goal.root())).collect();
        let rest = family.iter().all(|goal| goal.status.is_at_rest());
        let known = goals.iter().all(|id| family.iter().any(|goal| goal.id == *id));
        Ok(rest && known && !self.owes(&family).await? && !self.will_reparse().await?)
    }

    /// Whether it stays when all goals rest: they may be retried, amended, or joined by others.
    fn stays(&self) -> bool {
        self.is_service && self.settings.keep_running
    }

    /// Says that all goals rest: to people, and to agents of other processes, which wait for it.
    async fn tell_rest(&self, goals: &[GoalId]) -> Result<(), RunError> {
        for id in goals {
            if let Some(goal) = self.cache.goal(id).await? {
                let reason = goal.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                info!(target: "orchestrator", "Goal {id} is {}{reason}", goal.status);
            }
        }
        let entries = vec![EventDraft::new(EventKind::ORCHESTRATOR_RESTS).reason("all goals are at rest")];
        let append = Append { stream: announcements(), entries, request: entropy::request_id() };
        self.cache.append(&append).await?;
        Ok(())
    }
}

fn earlier(known: Option<Timestamp>, other: Timestamp) -> Option<Timestamp> {
    Some(known.map_or(other, |known| known.min(other)))
}
