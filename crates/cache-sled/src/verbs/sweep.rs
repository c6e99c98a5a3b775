//! `sweep`: what time alone brings about.

use downbeat_core::cache::{CacheError, Sweep, Swept};
use downbeat_core::ids::{AgentName, TaskId};
use downbeat_core::rules;
use downbeat_core::state::Move;
use downbeat_core::time::Timestamp;

use super::agents::all;
use crate::layout::{AgentDoc, Key, prefix};
use crate::step::{Step, damaged};

pub(crate) fn sweep(step: &mut Step<'_>, sweep: Sweep) -> Result<Swept, CacheError> {
    let expired = expire_leases(step, sweep.limit)?;
    let due = end_waits(step, sweep.limit)?;
    let (silent, next_silence) = find_silent(step, sweep.limit)?;
    super::remove::forget_agents(step, sweep.limit)?;
    let next_due = next_due(step)?.into_iter().chain(next_silence).min();
    Ok(Swept { expired, due, silent, next_due })
}

/// Puts up to `limit` tasks back whose lease has expired.
pub(crate) fn expire_leases(step: &mut Step<'_>, limit: usize) -> Result<Vec<TaskId>, CacheError> {
    move_due(step, prefix::LEASES, limit, &Move::Expire)
}

/// Makes up to `limit` tasks claimable whose wait is over.
pub(crate) fn end_waits(step: &mut Step<'_>, limit: usize) -> Result<Vec<TaskId>, CacheError> {
    move_due(step, prefix::DUE, limit, &Move::Due)
}

fn move_due(step: &mut Step<'_>, index: &[u8], limit: usize, mv: &Move) -> Result<Vec<TaskId>, CacheError> {
    let mut tasks = Vec::new();
    for pair in step.txn.under(index).take(limit) {
        let (at, task) = moment(&pair?.0)?;
        if at > step.now {
            break;
        }
        tasks.push(task);
    }
    let mut moved = Vec::with_capacity(tasks.len());
    for task in tasks {
        let doc = step.indexed_task(&task)?;
        if step.make_alone(&task, &doc, mv)?.is_ok() {
            moved.push(task);
        }
    }
    Ok(moved)
}

/// The next moment at which a lease or a wait ends.
pub(crate) fn next_due(step: &Step<'_>) -> Result<Option<Timestamp>, CacheError> {
    let mut next: Option<Timestamp> = None;
    for index in [prefix::LEASES, prefix::DUE] {
        if let Some(pair) = step.txn.under(index).next() {
            let (at, _) = moment(&pair?.0)?;
            next = Some(next.map_or(at, |next| next.min(at)));
        }
    }
    Ok(next)
}

fn moment(key: &[u8]) -> Result<(Timestamp, TaskId), CacheError> {
    match Key::decode(key) {
        Some(Key::Lease { at, task } | Key::Due { at, task }) => Ok((at, task)),
        _ => Err(damaged(key)),
    }
}

/// Tells of up to `limit` agents that fell silent, each once, and says when the next one will. There
/// are few agents: no index.
fn find_silent(step: &mut Step<'_>, limit: usize) -> Result<(Vec<AgentName>, Option<Timestamp>), CacheError> {
    let mut silent = Vec::new();
    let mut next: Option<Timestamp> = None;
    let unknown = |agent: &AgentDoc| !agent.ended() && !agent.silent;
    for mut agent in all(step)?.into_iter().filter(unknown) {
        if silent.len() < limit && !agent.is_alive(step.now) {
            agent.silent = true;
            step.say(rules::silent(&agent.registration.name, agent.last_beat_at))?;
            silent.push(agent.registration.name.clone());
            step.put_agent(agent)?;
        } else {
            let at = agent.silent_from();
            next = Some(next.map_or(at, |next| next.min(at)));
        }
    }
    Ok((silent, next))
}
