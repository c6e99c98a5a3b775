//! What every cache decides and says alike, beyond the table of moves: bounds of requests, the status
//! of a goal after a step, the words of events.
//!
//! A cache decides nothing: it finds, guards and counts in one atomic step, and asks here for the rest.

mod agents;
mod holds;
mod removal;
mod requests;
mod steering;

pub use agents::{is_alive, liveness, may_beat, may_claim, may_remember, silent_from};
pub use holds::{acquire_hold, release_hold, renew_hold};
pub use removal::{agent_error, check_remove, removed};
pub use requests::{
    bounded_progress, check_amend, check_plan, check_settle, check_steer, goal_conflict, record_conflict,
    record_version, tokens_used_up,
};
pub use steering::{
    agent_paused, agent_resumed, already_paused, already_resumed, cancel_reason, drop_reason,
    goal_cancel_reason, goal_cancelled, memory_absent, memory_flushed, move_refused, no_such_goal,
    no_such_task, nothing_to_cancel, now_paused, now_resumed, priority_too_great, task_cancelled,
    task_dropped, task_elevated, task_retried,
};

use std::fmt::Write as _;

use serde_json::json;

use crate::cache::{
    Amend, Append, CacheError, Claim, Departure, Directive, Leave, MAX_APPEND, MAX_AVOID, MAX_ENTRY, MAX_KEY,
    MAX_MEMORY, MAX_VALUE, Plan, Registration, StoreIf,
};
use crate::dag::DagDiff;
use crate::event::{EventDraft, EventKind};
use crate::goal::{Counts, Goal, GoalStatus};
use crate::ids::{AgentName, Incarnation};
use crate::state::{Outcome, Redo};
use crate::time::Timestamp;

/// How much a claim sweeps on its way, of expired leases and of waits that are over each.
pub const CLAIM_SWEEP: usize = 16;

/// How many answers to directives a cache keeps, to recognise a repeated one.
pub const KEPT_DIRECTIVES: usize = 1_000;

/// How many agents that ended or fell silent a cache keeps.
pub const KEPT_AGENTS: usize = 1_000;

/// How many tasks the event of an amendment names that are done again. Each has an event of its own.
pub const NAMED_REDOS: usize = 100;

/// The longest summary or progress note that is kept, in bytes; what is longer is cut with a mark.
pub const MAX_NOTE: usize = 16 * 1024;

/// The most artifacts that an outcome may name.
pub const MAX_ARTIFACTS: usize = 1_024;

/// The greatest ttl of a lease, an agent or a named lease.
pub const MAX_TTL: std::time::Duration = std::time::Duration::from_secs(7 * 86_400);

fn invalid(reason: impl Into<String>) -> CacheError {
    CacheError::Invalid { reason: reason.into() }
}

fn check_ttl(ttl: std::time::Duration) -> Result<(), CacheError> {
    if ttl.as_millis() == 0 || ttl > MAX_TTL {
        return Err(invalid(format!("a ttl is between 1 ms and {MAX_TTL:?}, not {ttl:?}")));
    }
    Ok(())
}

fn check_request(text: &str) -> Result<(), CacheError> {
    if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
        return Err(invalid("request ids and incarnations have 1 to 128 bytes without control characters"));
    }
    Ok(())
}

/// Whether a claim is within bounds.
///
/// # Errors
///
/// [`CacheError::Invalid`].
pub fn check_claim(claim: &Claim) -> Result<(), CacheError> {
    check_ttl(claim.ttl)?;
    if claim.avoid.len() > MAX_AVOID {
        return Err(invalid(format!("a claim avoids at most {MAX_AVOID} tasks")));
    }
    check_request(&claim.request.0)?;
    check_request(&claim.incarnation.0)
}

/// Whether a ttl is within bounds.
///
/// # Errors
///
/// [`CacheError::Invalid`].
pub fn check_lease_ttl(ttl: std::time::Duration) -> Result<(), CacheError> {
    check_ttl(ttl)
}

/// Whether a registration is within bounds.
///
/// # Errors
///
/// [`CacheError::Invalid`].
pub fn check_registration(registration: &Registration) -> Result<(), CacheError> {
    check_ttl(registration.ttl)?;
    check_request(&registration.incarnation.0)?;
    let role = registration.role.as_deref().unwrap_or_default();
    if registration.host.len() > 256 || role.len() > 256 || registration.capabilities.len() > 256 {
        return Err(invalid("a host or role has at most 256 bytes, an agent at most 256 capabilities"));
    }
    Ok(())
}

/// Whether an outcome is within bounds, its texts cut to theirs.
///
/// # Errors
///
/// [`CacheError::Invalid`].
pub fn bounded_outcome(outcome: &Outcome) -> Result<Outcome, CacheError> {
    use crate::state::Failure;
    let cut = |failure: &Failure| Failure::new(&failure.message, failure.detail.as_deref());
    Ok(match outcome {
        Outcome::Done { artifacts, .. } if artifacts.len() > MAX_ARTIFACTS => {
            return Err(invalid(format!("an outcome names at most {MAX_ARTIFACTS} artifacts")));
        }
        Outcome::Done { summary, artifacts } => {
            Outcome::Done { summary: crate::text::clip(summary, MAX_NOTE), artifacts: artifacts.clone() }
        }
        Outcome::Retry { failure, after } => Outcome::Retry { failure: cut(failure), after: *after },
        Outcome::Failed { failure } => Outcome::Failed { failure: cut(failure) },
        Outcome::Release { reason } => {
            Outcome::Release { reason: crate::text::clip(reason, Failure::MAX_MESSAGE) }
        }
    })
}

/// Whether an append is within bounds.
///
/// # Errors
///
/// [`CacheError::Invalid`].
pub fn check_append(append: &Append) -> Result<(), CacheError> {
    check_request(&append.request.0)?;
    if append.entries.is_empty() || append.entries.len() > MAX_APPEND {
        return Err(invalid(format!("an append has 1 to {MAX_APPEND} entries")));
    }
    for entry in &append.entries {
        let bytes = serde_json::to_vec(entry).map_err(|error| invalid(error.to_string()))?.len();
        if bytes > MAX_ENTRY || EventKind::new(entry.kind.as_str()).is_none() {
            return Err(invalid(format!("an entry has a sound kind and at most {MAX_ENTRY} bytes as JSON")));
        }
    }
    Ok(())
}

/// Whether a key of a document or the name of a lease is within bounds.
///
/// # Errors
///
/// [`CacheError::Invalid`].
pub fn check_key(key: &str) -> Result<(), CacheError> {
    if key.is_empty() || key.len() > MAX_KEY || key.chars().any(char::is_control) {
        return Err(invalid(format!("a key has 1 to {MAX_KEY} bytes without control characters")));
    }
    Ok(())
}

/// Whether a named lease is asked for within bounds.
///
/// # Errors
///
/// [`CacheError::Invalid`].
pub fn check_acquire(acquire: &crate::cache::Acquire) -> Result<(), CacheError> {
    check_key(&acquire.name)?;
    check_key(&acquire.holder)?;
    check_ttl(acquire.ttl)
}

/// Whether a document to write is within bounds.
///
/// # Errors
///
/// [`CacheError::Invalid`].
pub fn check_store(store: &StoreIf) -> Result<(), CacheError> {
    check_key(&store.key)?;
    if store.value.as_ref().is_some_and(|value| value.len() > MAX_VALUE) {
        return Err(invalid(format!("a document has at most {MAX_VALUE} bytes")));
    }
    Ok(())
}

/// Whether a memory is within bounds.
///
/// # Errors
///
/// [`CacheError::Invalid`].
pub fn check_memory(snapshot: &str) -> Result<(), CacheError> {
    if snapshot.len() > MAX_MEMORY {
        return Err(invalid(format!("a memory has at most {MAX_MEMORY} bytes")));
    }
    Ok(())
}

/// Sets where a goal stands by its counts, and tells of it when that is new.
///
/// `cancelled` says that a person cancelled the goal as a whole.
pub fn evaluate(goal: &mut Goal, cancelled: bool, now: Timestamp) -> Option<EventDraft> {
    let (status, reason) = goal.counts.goal_status(cancelled);
    let changed = status != goal.status;
    goal.status = status;
    goal.reason.clone_from(&reason);
    if !changed {
        return None;
    }
    goal.ended_at = status.is_at_rest().then_some(now);
    let mut event = EventDraft::new(status.event()).goal(&goal.id).data(json!({ "counts": goal.counts }));
    event.reason = reason;
    Some(event)
}

/// A goal got its DAG.
#[must_use]
pub fn planned(goal: &Goal) -> EventDraft {
    EventDraft::new(EventKind::GOAL_PLANNED)
        .goal(&goal.id)
        .reason(format!("{} tasks, {} ready", goal.counts.total(), goal.counts.ready))
        .data(match &goal.parent {
            None => {
                json!({ "tasks": goal.counts.total(), "ready": goal.counts.ready, "digest": goal.digest })
            }
            Some(parent) => json!({
                "tasks": goal.counts.total(), "ready": goal.counts.ready, "digest": goal.digest,
                "parent": { "goal": parent.goal, "task": parent.task },
            }),
        })
}

/// The goal that a plan begins, before its tasks are counted.
#[must_use]
pub fn begun(plan: &Plan, now: Timestamp) -> Goal {
    Goal {
        id: plan.dag.goal().clone(),
        title: plan.title.clone(),
        status: GoalStatus::Active,
        reason: None,
        parent: plan.parent.clone(),
        revision: 1,
        digest: plan.dag.digest(),
        counts: Counts::default(),
        usage: plan.spent,
        created_at: now,
        ended_at: None,
    }
}

/// A goal's DAG was changed.
#[must_use]
pub fn amended(goal: &Goal, diff: &DagDiff, amend: &Amend) -> EventDraft {
    let mut reason = format!(
        "revision {}: {} added, {} removed, {} changed, {} rewired, {} kept",
        goal.revision,
        diff.added.len(),
        diff.removed.len(),
        diff.changed.len(),
        diff.rewired.len(),
        diff.kept
    );
    let mut data = serde_json::Map::new();
    data.insert("revision".to_owned(), json!(goal.revision));
    data.insert("digest".to_owned(), json!(goal.digest));
    if !amend.by.is_empty() {
        data.insert("by".to_owned(), crate::text::clip(&amend.by, 256).into());
    }
    if !amend.redo.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(reason, ", {} affected", amend.redo.len());
        let affected: Vec<_> = amend.redo.keys().take(NAMED_REDOS).collect();
        data.insert("affected".to_owned(), json!(affected));
    }
    EventDraft::new(EventKind::GOAL_AMENDED).goal(&goal.id).reason(reason).data(data.into())
}

/// What doing a task again says, in the plan's new `revision`.
#[must_use]
pub fn redo_reason(revision: u64, why: Redo, giver: &str) -> String {
    let because = match why {
        Redo::Scope => "something else is to be done",
        Redo::Inputs => "what it works from is made again",
    };
    let whose = if giver.is_empty() { String::new() } else { by("", giver) };
    format!("revision {revision} of the plan{whose}: {because}")
}

/// What a removed task's cancellation says.
#[must_use]
pub fn removed_reason(revision: u64) -> String {
    format!("revision {revision} of the plan has no such task")
}

/// An agent registered.
#[must_use]
pub fn registered(registration: &Registration, replaced: Option<&Incarnation>) -> EventDraft {
    let mut event = EventDraft::new(EventKind::AGENT_REGISTERED).agent(&registration.name).data(json!({
        "incarnation": registration.incarnation,
        "host": registration.host,
        "pid": registration.pid,
        "generation": registration.generation,
    }));
    event.goal.clone_from(&registration.goal);
    event.reason = replaced.map(|old| format!("replaces silent incarnation `{old}`"));
    event
}

/// What freeing the leases of a replaced agent says.
#[must_use]
pub fn replaced_reason(name: &AgentName) -> String {
    format!("agent `{name}` fell silent and was replaced")
}

/// What freeing the leases of an agent that left says.
#[must_use]
pub fn departed_reason(name: &AgentName, reason: &str) -> String {
    format!("agent `{name}` ended: {}", crate::text::clip(reason, 500))
}

/// What an agent's end says: that it ended, with what and as the how-manieth life; and that it is not
/// started again, if so.
#[must_use]
pub fn ended(departure: &Departure, generation: u64) -> Vec<EventDraft> {
    let event =
        |kind| EventDraft::new(kind).agent(&departure.name).reason(crate::text::clip(&departure.reason, 500));
    let mut data = json!({ "generation": generation });
    if let (Some(fields), serde_json::Value::Object(exit)) = (data.as_object_mut(), json!(departure.exit)) {
        fields.extend(exit);
    }
    let mut events = vec![event(EventKind::AGENT_TERMINATED).data(data)];
    if let Leave::Quarantined { .. } = departure.how {
        events.push(event(EventKind::AGENT_QUARANTINED));
    }
    events
}

/// What becomes of the tasks that an agent held.
#[must_use]
pub fn freeing(departure: &Departure) -> crate::state::Move {
    let reason = departed_reason(&departure.name, &departure.reason);
    match departure.how {
        Leave::Stopped => crate::state::Move::Drop { reason },
        Leave::Dead { interruption_limit: limit } | Leave::Quarantined { interruption_limit: limit } => {
            crate::state::Move::Interrupt { reason, limit }
        }
    }
}

/// The phase of an agent that left.
#[must_use]
pub const fn phase_after(how: Leave) -> crate::cache::Phase {
    match how {
        Leave::Stopped | Leave::Dead { .. } => crate::cache::Phase::Stopped,
        Leave::Quarantined { .. } => crate::cache::Phase::Quarantined,
    }
}

/// An agent fell silent.
#[must_use]
pub fn silent(name: &AgentName, last_beat_at: Timestamp) -> EventDraft {
    EventDraft::new(EventKind::AGENT_SILENT).agent(name).reason(format!("not heard since {last_beat_at}"))
}

/// Whether the event stream tells that an agent entered a phase: `assigned` and `completed` frame every task
/// and are told by its own events.
#[must_use]
pub const fn is_told(phase: crate::cache::Phase) -> bool {
    use crate::cache::Phase;
    matches!(
        phase,
        Phase::Idle | Phase::Reasoning | Phase::Executing | Phase::Validating | Phase::Quarantined
    )
}

/// An agent does something else now, or the same for another of its tasks; `None` when it does not.
#[must_use]
pub fn phase_changed(
    beat: &crate::cache::Beat,
    before: crate::cache::Phase,
    before_on: Option<&crate::ids::TaskId>,
) -> Option<EventDraft> {
    let changed = before != beat.phase || before_on != beat.task.as_ref();
    (changed && is_told(beat.phase)).then(|| {
        let mut event = EventDraft::new(EventKind::AGENT_PHASE)
            .agent(&beat.name)
            .data(json!({ "phase": beat.phase.as_str(), "from": before.as_str() }));
        event.task.clone_from(&beat.task);
        event
    })
}

/// A directive, as its event tells it.
#[must_use]
pub fn steered(steer: &crate::cache::Steer, answer: &crate::cache::Steered) -> EventDraft {
    let kind = if answer.applied { EventKind::DIRECTIVE_APPLIED } else { EventKind::DIRECTIVE_REFUSED };
    let mut event = EventDraft::new(kind)
        .reason(answer.detail.clone())
        .data(json!({ "directive": steer.directive, "by": crate::text::clip(&steer.by, 256) }));
    match &steer.directive {
        Directive::Pause { agent } | Directive::Resume { agent } | Directive::FlushMemory { agent } => {
            event.agent = Some(agent.clone());
        }
        Directive::DropTask { task }
        | Directive::Elevate { task, .. }
        | Directive::Retry { task }
        | Directive::Cancel { task } => event.task = Some(task.clone()),
        Directive::CancelGoal { goal } => event.goal = Some(goal.clone()),
    }
    event
}

/// What a move that a directive asks for says of its giver.
#[must_use]
pub fn by(what: &str, by: &str) -> String {
    format!("{what} by {}", crate::text::clip(by, 256))
}
