//! The registry: who enters, lives and leaves.

use std::sync::Arc;

use downbeat_core::cache::{
    Agent, AgentError, Beat, BeatReply, CacheError, Departure, Phase, Registered, Registration,
};
use downbeat_core::ids::{AgentName, Incarnation, TaskId};
use downbeat_core::rules;
use downbeat_core::state::Move;

use crate::layout::{AgentDoc, Key, prefix};
use crate::step::{Step, life};
use crate::txn::parse;

pub(crate) fn register(step: &mut Step<'_>, registration: &Registration) -> Result<Registered, CacheError> {
    rules::check_registration(registration)?;
    let name = &registration.name;
    let nobody = Registered { replaced: None, freed: Vec::new() };
    let mut replaced = None;
    let before = step.agent(name)?;
    let errors = before.as_ref().map_or(0, |agent| agent.errors);
    if let Some(agent) = before.filter(|agent| !agent.ended()) {
        let mut agent = Arc::unwrap_or_clone(agent);
        if agent.registration.incarnation == registration.incarnation {
            agent.registration = registration.clone();
            agent.last_beat_at = step.now;
            agent.silent = false;
            step.put_agent(agent)?;
            return Ok(nobody);
        }
        if agent.is_alive(step.now) {
            return Err(CacheError::AgentNameTaken {
                agent: name.clone(),
                last_beat_at: agent.last_beat_at,
                silent_from: agent.silent_from(),
                incarnation: agent.registration.incarnation,
            });
        }
        replaced = Some(agent.registration.incarnation);
    }

    let agent = AgentDoc {
        registration: registration.clone(),
        registered_at: step.now,
        last_beat_at: step.now,
        phase: Phase::Created,
        task: None,
        silent: false,
        end_reason: None,
        errors,
    };
    step.put_agent(agent)?;
    step.say(rules::registered(registration, replaced.as_ref()))?;
    let Some(replaced) = replaced else {
        return Ok(nobody);
    };
    let mv = Move::Interrupt { reason: rules::replaced_reason(name), limit: registration.interruption_limit };
    let freed = free(step, name, &replaced, &mv)?;
    Ok(Registered { replaced: Some(replaced), freed })
}

/// Takes the running tasks from one life of a name. Another life under the same name, which never
/// registered, keeps its own.
fn free(
    step: &mut Step<'_>,
    name: &AgentName,
    life: &Incarnation,
    mv: &Move,
) -> Result<Vec<TaskId>, CacheError> {
    let mut freed = Vec::new();
    for (task, _) in step.held_by(name)? {
        let doc = step.indexed_task(&task)?;
        let holds = doc.state.holder.as_ref().is_some_and(|holder| holder.incarnation == *life);
        if holds && step.make_alone(&task, &doc, mv)?.is_ok() {
            freed.push(task);
        }
    }
    Ok(freed)
}

pub(crate) fn beat(step: &mut Step<'_>, beat: &Beat) -> Result<BeatReply, CacheError> {
    let agent = step.agent(&beat.name)?;
    rules::may_beat(&beat.name, &beat.incarnation, life(agent.as_deref()))?;
    let agent = agent.ok_or_else(|| CacheError::AgentNotFound { agent: beat.name.clone() })?;
    let mut agent = Arc::unwrap_or_clone(agent);
    let before = std::mem::replace(&mut agent.phase, beat.phase);
    let before_on = std::mem::replace(&mut agent.task, beat.task.clone());
    agent.last_beat_at = step.now;
    agent.silent = false;
    let silent_from = agent.silent_from();
    step.put_agent(agent)?;
    if let Some(event) = rules::phase_changed(beat, before, before_on.as_ref()) {
        step.say(event)?;
    }
    let paused = step.txn.has(&Key::Paused(beat.name.clone()))?;
    Ok(BeatReply { paused, silent_from })
}

pub(crate) fn deregister(step: &mut Step<'_>, departure: &Departure) -> Result<Vec<TaskId>, CacheError> {
    let name = &departure.name;
    let agent = step.agent(name)?;
    let allowed = rules::may_beat(name, &departure.incarnation, life(agent.as_deref()));
    let Some(agent) = agent.filter(|_| allowed.is_ok()) else {
        return Ok(Vec::new());
    };
    let mut agent = Arc::unwrap_or_clone(agent);
    let freed = free(step, name, &departure.incarnation, &rules::freeing(departure))?;
    // Freeing may have entered errors of the agent.
    agent.errors = step.agent(name)?.map_or(agent.errors, |agent| agent.errors);
    agent.phase = rules::phase_after(departure.how);
    agent.end_reason = Some(departure.reason.clone());
    let generation = agent.registration.generation;
    step.put_agent(agent)?;
    for event in rules::ended(departure, generation) {
        step.say(event)?;
    }
    Ok(freed)
}

pub(crate) fn agent(step: &mut Step<'_>, name: &AgentName) -> Result<Option<Agent>, CacheError> {
    let doc = step.agent(name)?;
    doc.map(|doc| seen(step, Arc::unwrap_or_clone(doc))).transpose()
}

pub(crate) fn agents(step: &Step<'_>) -> Result<Vec<Agent>, CacheError> {
    all(step)?.into_iter().map(|doc| seen(step, doc)).collect()
}

/// All registrations, by name.
pub(crate) fn all(step: &Step<'_>) -> Result<Vec<AgentDoc>, CacheError> {
    let pairs = step.txn.under(prefix::AGENTS);
    pairs.map(|pair| pair.and_then(|(key, value)| parse(&key, &value))).collect()
}

fn seen(step: &Step<'_>, doc: AgentDoc) -> Result<Agent, CacheError> {
    let ttl = doc.registration.ttl;
    Ok(Agent {
        paused: step.txn.has(&Key::Paused(doc.registration.name.clone()))?,
        liveness: rules::liveness(doc.ended(), doc.last_beat_at, ttl, step.now),
        registration: doc.registration,
        registered_at: doc.registered_at,
        last_beat_at: doc.last_beat_at,
        phase: doc.phase,
        task: doc.task,
        end_reason: doc.end_reason,
    })
}

pub(crate) fn remember(
    step: &mut Step<'_>,
    name: &AgentName,
    incarnation: &Incarnation,
    snapshot: &str,
) -> Result<(), CacheError> {
    rules::check_memory(snapshot)?;
    let agent = step.agent(name)?;
    rules::may_remember(name, incarnation, life(agent.as_deref()))?;
    step.txn.put(&Key::Memory(name.clone()), snapshot.as_bytes());
    Ok(())
}

pub(crate) fn errors(step: &Step<'_>, name: &AgentName) -> Result<Vec<AgentError>, CacheError> {
    let pairs = step.txn.under(&prefix::errors_of(name));
    pairs.map(|pair| pair.and_then(|(key, value)| parse(&key, &value))).collect()
}

pub(crate) fn recall(step: &Step<'_>, name: &AgentName) -> Result<Option<String>, CacheError> {
    let memory = step.txn.get(&Key::Memory(name.clone()))?;
    Ok(memory.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}
