//! What became of a life, and its record.

use downbeat_core::cache::{CacheError, Departure, ExitStatus, Leave, Liveness, Registration};
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::ids::{AgentName, Incarnation};
use serde_json::json;
use tracing::warn;

use super::super::fleet::Input;
use super::super::spawner::{Exit, SpawnError};
use super::super::stage::Stage;
use super::super::tend::{Fate, What};
use super::Actor;
use crate::{entropy, process};

/// How a life ended, and why.
struct Ended {
    exit: Exit,
    reason: String,
}

impl Actor {
    /// What became of a life.
    pub(super) async fn meet(&mut self, fate: Fate) {
        let Fate { hire, what } = fate;
        let name = hire.name;
        if self.lives.get(&name).is_none_or(|life| life.generation != hire.generation) {
            return;
        }
        let exit = match what {
            What::Began => {
                if let Some(life) = self.lives.get_mut(&name) {
                    life.begun = true;
                }
                return self.take(Input::Began(name)).await;
            }
            What::Exited(exit) => exit,
            What::NotBegun(SpawnError::Failed { reason }) => Exit::Failed { reason, code: None },
            What::NotBegun(SpawnError::Refused(error)) => {
                let reason = error.to_string();
                if self.fleet.get(&name).is_some_and(|agent| agent.restarts == 0) {
                    let _ = self.fatal.send(*error);
                }
                Exit::Failed { reason, code: None }
            }
        };
        let killed = self.lives.remove(&name).and_then(|life| life.killed);
        let end = Ended { reason: killed.unwrap_or_else(|| exit.to_string()), exit };
        let error = (!end.exit.is_ok()).then(|| end.reason.clone());
        let asked = self.fleet.get(&name).map(|agent| agent.stage.clone());
        let input = Input::Exited { name: name.clone(), error, draw: entropy::draw() };
        let actions = self.fleet.on(self.began.elapsed(), input);
        self.charge.coming.update(&mut self.fleet);
        // The end is recorded, and what it held is free, before anything follows from it.
        self.record(&name, hire.generation, &end, asked.as_ref()).await;
        self.carry_out(actions).await;
    }

    /// Records the end of a life.
    async fn record(&self, name: &AgentName, generation: u64, end: &Ended, before: Option<&Stage>) {
        let exit = &end.exit;
        let interruption_limit = self.charge.settings.interruption_limit;
        let quarantine = match self.fleet.get(name).map(|agent| &agent.stage) {
            Some(Stage::Quarantined { reason }) => Some(reason.clone()),
            _ => None,
        };
        let (status, crashed) = match exit {
            Exit::Finished => (ExitStatus::Ok, false),
            Exit::Failed { code, .. } => (ExitStatus::Error { code: *code }, true),
            Exit::Killed { signal } => (ExitStatus::Signal { signal: *signal }, true),
        };
        let reason = match (&quarantine, before) {
            (Some(reason), _) => reason.clone(),
            (None, Some(stage @ Stage::Stopping { .. })) if !crashed => {
                let after = self.fleet.get(name).map(|agent| &agent.stage);
                match stage.reason().or_else(|| after.and_then(Stage::reason)) {
                    Some(reason) => reason.to_owned(),
                    None => exit.to_string(),
                }
            }
            _ => end.reason.clone(),
        };
        if crashed {
            let event = EventDraft::new(EventKind::AGENT_ERROR)
                .agent(name)
                .reason(end.reason.clone())
                .data(json!({ "generation": generation }));
            self.say(event).await;
        }
        let recorded = async {
            let cache = &self.charge.cache;
            // The name may be another's by now, which lives: of another process, or on another machine.
            let is_ours = |life: &Incarnation| {
                let process = entropy::process_of(life);
                process == process::identity() || process::has_ended(process)
            };
            let known = cache.agent(name).await?.filter(|agent| {
                let Registration { generation: its, incarnation, .. } = &agent.registration;
                *its == generation && agent.liveness != Liveness::Dead && is_ours(incarnation)
            });
            match known {
                Some(agent) => {
                    let departure = Departure {
                        name: name.clone(),
                        incarnation: agent.registration.incarnation,
                        how: match (&quarantine, crashed) {
                            (Some(_), _) => Leave::Quarantined { interruption_limit },
                            (None, true) => Leave::Dead { interruption_limit },
                            (None, false) => Leave::Stopped,
                        },
                        reason,
                        exit: status,
                    };
                    cache.deregister(&departure).await?;
                }
                None if quarantine.is_some() => {
                    let event = EventDraft::new(EventKind::AGENT_QUARANTINED).agent(name).reason(reason);
                    let append = downbeat_core::cache::Append {
                        stream: downbeat_core::cache::events_stream(),
                        entries: vec![event],
                        request: entropy::request_id(),
                    };
                    cache.append(&append).await?;
                }
                None => {}
            }
            Ok::<(), CacheError>(())
        };
        if let Err(error) = recorded.await {
            warn!(target: "orchestrator", "Agent {name} could not be deregistered: {error}");
        }
    }
}
