//! The registry: who enters, lives and leaves.

use super::store::{AgentEntry, Store};
use crate::cache::{Agent, Beat, BeatReply, CacheError, Departure, Phase, Registered, Registration};
use crate::ids::{AgentName, Incarnation, TaskId};
use crate::rules;
use crate::state::Move;
use crate::time::Timestamp;

impl Store {
    pub(super) fn register(
        &mut self,
        registration: &Registration,
        now: Timestamp,
    ) -> Result<Registered, CacheError> {
        rules::check_registration(registration)?;
        let name = &registration.name;
        let nobody = Registered { replaced: None, freed: Vec::new() };
        let mut replaced = None;
        if let Some(agent) = self.agents.get_mut(name).filter(|agent| !agent.ended()) {
            if agent.registration.incarnation == registration.incarnation {
                agent.registration = registration.clone();
                agent.last_beat_at = now;
                agent.silent = false;
                return Ok(nobody);
            }
            if agent.is_alive(now) {
                return Err(CacheError::AgentNameTaken {
                    agent: name.clone(),
                    incarnation: agent.registration.incarnation.clone(),
                    last_beat_at: agent.last_beat_at,
                    silent_from: agent.silent_from(),
                });
            }
            replaced = Some(agent.registration.incarnation.clone());
        }

        let entry = AgentEntry {
            registration: registration.clone(),
            registered_at: now,
            last_beat_at: now,
            phase: Phase::Created,
            task: None,
            end_reason: None,
            silent: false,
            errors: self.agents.remove(name).map(|before| before.errors).unwrap_or_default(),
        };
        self.agents.insert(name.clone(), entry);
        self.log.say(now, rules::registered(registration, replaced.as_ref()));
        let Some(replaced) = replaced else {
            return Ok(nobody);
        };
        let reason = rules::replaced_reason(name);
        let mv = Move::Interrupt { reason, limit: registration.interruption_limit };
        let freed = self.free(name, &replaced, &mv, now);
        Ok(Registered { replaced: Some(replaced), freed })
    }

    /// Takes the running tasks from one life of a name. Another life under the same name, which never
    /// registered, keeps its own.
    fn free(&mut self, name: &AgentName, life: &Incarnation, mv: &Move, now: Timestamp) -> Vec<TaskId> {
        let mut tasks = self.index.held_by(name);
        tasks.retain(|task| {
            let holder = self.state(task).and_then(|state| state.holder.as_ref());
            holder.is_some_and(|holder| holder.incarnation == *life) && self.make_alone(task, mv, now).is_ok()
        });
        tasks
    }

    pub(super) fn beat(&mut self, beat: &Beat, now: Timestamp) -> Result<BeatReply, CacheError> {
        rules::may_beat(&beat.name, &beat.incarnation, self.life(&beat.name))?;
        let Some(agent) = self.agents.get_mut(&beat.name) else {
            return Err(CacheError::AgentNotFound { agent: beat.name.clone() });
        };
        let before = std::mem::replace(&mut agent.phase, beat.phase);
        let before_on = std::mem::replace(&mut agent.task, beat.task.clone());
        agent.last_beat_at = now;
        agent.silent = false;
        let silent_from = agent.silent_from();
        if let Some(event) = rules::phase_changed(beat, before, before_on.as_ref()) {
            self.log.say(now, event);
        }
        Ok(BeatReply { paused: self.paused.contains(&beat.name), silent_from })
    }

    pub(super) fn deregister(&mut self, departure: &Departure, now: Timestamp) -> Vec<TaskId> {
        let name = &departure.name;
        if rules::may_beat(name, &departure.incarnation, self.life(name)).is_err() {
            return Vec::new();
        }
        let freed = self.free(name, &departure.incarnation, &rules::freeing(departure), now);
        let mut generation = 1;
        if let Some(agent) = self.agents.get_mut(name) {
            agent.phase = rules::phase_after(departure.how);
            agent.end_reason = Some(departure.reason.clone());
            generation = agent.registration.generation;
        }
        for event in rules::ended(departure, generation) {
            self.log.say(now, event);
        }
        freed
    }

    pub(super) fn agent(&self, name: &AgentName, now: Timestamp) -> Option<Agent> {
        let agent = self.agents.get(name)?;
        let ttl = agent.registration.ttl;
        Some(Agent {
            registration: agent.registration.clone(),
            registered_at: agent.registered_at,
            last_beat_at: agent.last_beat_at,
            phase: agent.phase,
            task: agent.task.clone(),
            paused: self.paused.contains(name),
            liveness: rules::liveness(agent.ended(), agent.last_beat_at, ttl, now),
            end_reason: agent.end_reason.clone(),
        })
    }

    pub(super) fn agents(&self, now: Timestamp) -> Vec<Agent> {
        self.agents.keys().filter_map(|name| self.agent(name, now)).collect()
    }

    pub(super) fn remember(
        &mut self,
        name: &AgentName,
        incarnation: &Incarnation,
        snapshot: &str,
    ) -> Result<(), CacheError> {
        rules::check_memory(snapshot)?;
        rules::may_remember(name, incarnation, self.life(name))?;
        self.memories.insert(name.clone(), snapshot.to_owned());
        Ok(())
    }
}
