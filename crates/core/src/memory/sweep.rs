//! `sweep`: what time alone brings about.

use super::store::Store;
use crate::cache::{Sweep, Swept};
use crate::ids::{AgentName, TaskId};
use crate::rules;
use crate::state::Move;
use crate::time::Timestamp;

impl Store {
    pub(super) fn sweep(&mut self, sweep: Sweep, now: Timestamp) -> Swept {
        let expired = self.expire_leases(sweep.limit, now);
        let due = self.end_waits(sweep.limit, now);
        let silent = self.find_silent(sweep.limit, now);
        self.forget_agents(sweep.limit);
        let next_silence = self
            .agents
            .values()
            .filter(|agent| !agent.ended() && !agent.silent)
            .map(super::store::AgentEntry::silent_from)
            .min();
        let next_due = self.index.next_due().into_iter().chain(next_silence).min();
        Swept { expired, due, silent, next_due }
    }

    /// Puts up to `limit` tasks back whose lease has expired.
    pub(super) fn expire_leases(&mut self, limit: usize, now: Timestamp) -> Vec<TaskId> {
        let mut tasks = self.index.expired(now, limit);
        tasks.retain(|task| self.make_alone(task, &Move::Expire, now).is_ok());
        tasks
    }

    /// Makes up to `limit` tasks claimable whose wait is over.
    pub(super) fn end_waits(&mut self, limit: usize, now: Timestamp) -> Vec<TaskId> {
        let mut tasks = self.index.due(now, limit);
        tasks.retain(|task| self.make_alone(task, &Move::Due, now).is_ok());
        tasks
    }

    /// Tells of up to `limit` agents that fell silent, each once. There are few agents: no index.
    fn find_silent(&mut self, limit: usize, now: Timestamp) -> Vec<AgentName> {
        let mut silent = Vec::new();
        for (name, agent) in &mut self.agents {
            if silent.len() >= limit {
                break;
            }
            if !agent.ended() && !agent.silent && !agent.is_alive(now) {
                agent.silent = true;
                silent.push(name.clone());
                self.log.say(now, rules::silent(name, agent.last_beat_at));
            }
        }
        silent
    }
}
