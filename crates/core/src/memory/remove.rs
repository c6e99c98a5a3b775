//! What is forgotten: finished goals with their tasks, agents that are long gone.

use super::store::Store;
use crate::cache::{CacheError, Remove, Removed};
use crate::ids::{AgentName, TaskId};
use crate::rules;
use crate::time::Timestamp;

impl Store {
    pub(super) fn remove_goal(&mut self, remove: &Remove, now: Timestamp) -> Result<Removed, CacheError> {
        let Some(entry) = self.goals.get(&remove.goal) else {
            return Ok(Removed { tasks: 0 });
        };
        rules::check_remove(remove, &entry.goal)?;
        let event = rules::removed(&entry.goal);
        let tasks: Vec<TaskId> = entry.order.values().cloned().collect();
        let removed = Removed { tasks: entry.goal.counts.total() };
        for task in &tasks {
            self.remove(task);
        }
        self.goals.remove(&remove.goal);
        self.log.say(now, event);
        Ok(removed)
    }

    /// Forgets up to `limit` of the agents that are gone for longest, beyond those that are kept.
    pub(super) fn forget_agents(&mut self, limit: usize) {
        let gone = self.agents.iter().filter(|(_, agent)| agent.ended() || agent.silent);
        let mut gone: Vec<(Timestamp, AgentName)> =
            gone.map(|(name, agent)| (agent.last_beat_at, name.clone())).collect();
        gone.sort_unstable();
        let excess = gone.len().saturating_sub(rules::KEPT_AGENTS).min(limit);
        for (_, name) in gone.into_iter().take(excess) {
            if self.index.held_by(&name).is_empty() {
                self.agents.remove(&name);
                self.memories.remove(&name);
            }
        }
    }
}
