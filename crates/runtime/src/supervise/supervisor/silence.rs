//! Ends lives that go on and say nothing any more: stopped, hung, or stuck before they began.

use std::collections::HashMap;
use std::time::Duration;

use downbeat_core::cache::{Agent, Liveness};
use downbeat_core::ids::AgentName;
use downbeat_core::span::HumanDuration;
use downbeat_core::time::Timestamp;
use tokio::time::Instant;
use tracing::warn;

use super::super::tend::Press;
use super::Actor;

/// A life that is not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Silence {
    /// Since when we see it so, while the cache answers us.
    since: Instant,
    /// When it was heard last; never, when it has not registered.
    last_beat: Option<Timestamp>,
}

impl Actor {
    /// Ends lives that were silent for their ttl and then for as long again.
    ///
    /// The second span is counted here and only while the cache answers: when a store was away, or this machine
    /// slept, everybody is silent at first and has that long to be heard again.
    pub(super) fn look_for_the_silent(&mut self, agents: &[Agent]) {
        let known: HashMap<&AgentName, &Agent> =
            agents.iter().map(|agent| (&agent.registration.name, agent)).collect();
        let ttl = self.charge.settings.agent_ttl;
        for (name, life) in &mut self.lives {
            let own = known.get(name).filter(|agent| agent.registration.generation == life.generation);
            let (last_beat, grace) = match own {
                Some(agent) if agent.liveness != Liveness::Alive => {
                    (Some(agent.last_beat_at), agent.registration.ttl)
                }
                None if life.begun => (None, ttl * 2),
                Some(_) | None => {
                    life.silence = None;
                    continue;
                }
            };
            let silence = life.silence.filter(|silence| silence.last_beat == last_beat);
            let silence =
                *life.silence.insert(silence.unwrap_or(Silence { since: Instant::now(), last_beat }));
            if life.killed.is_some() || silence.since.elapsed() < grace {
                continue;
            }
            let reason = match last_beat {
                Some(at) => {
                    format!("it was not heard for {} (last at {at}), and was ended", in_words(grace * 2))
                }
                None => format!("it did not register within {}, and was ended", in_words(grace)),
            };
            warn!(target: "orchestrator", "Agent {name}: {reason}");
            life.killed = Some(reason);
            life.press(Press::Kill);
        }
    }

    /// Nobody is known to be silent.
    pub(super) fn forget_silences(&mut self) {
        for life in self.lives.values_mut() {
            life.silence = None;
        }
    }
}

fn in_words(span: Duration) -> String {
    HumanDuration::new(span).map_or_else(|| format!("{span:?}"), |span| span.to_string())
}
