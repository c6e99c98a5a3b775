//! Who has a slot, and who makes room for those that wait for one.

use downbeat_core::ids::{AgentName, GroupName};

use super::super::stage::{Change, Stage, Then};
use super::{Action, Fleet, Standing};

impl Fleet {
    /// The limits that keep a queued agent from living: that of a group, or of all without one. None when a slot
    /// is about to be its.
    #[must_use]
    pub fn held_up_by(&self, name: &AgentName) -> Vec<(Option<GroupName>, usize)> {
        if self.agents.get(name).is_none_or(|agent| agent.stage != Stage::Queued) {
            return Vec::new();
        }
        let all = self.max_workers.filter(|most| self.alive() >= *most);
        let of_groups =
            self.full_groups(name).filter_map(|group| Some((Some(group.clone()), *self.limits.get(group)?)));
        all.map(|most| (None, most)).into_iter().chain(of_groups).collect()
    }

    pub(super) fn has_slot(&self, name: &AgentName) -> bool {
        self.max_workers.is_none_or(|most| self.alive() < most) && self.full_groups(name).next().is_none()
    }

    /// The groups of an agent in which nobody more may live.
    fn full_groups<'a>(&'a self, name: &'a AgentName) -> impl Iterator<Item = &'a GroupName> {
        let groups = self.agents.get(name).into_iter().flat_map(|agent| &agent.member.groups);
        groups.filter(|group| self.limits.get(*group).is_some_and(|most| self.alive_in(group) >= *most))
    }

    fn alive_in(&self, group: &GroupName) -> usize {
        let alive = self.agents.values().filter(|agent| agent.stage.is_alive());
        alive.filter(|agent| agent.member.groups.contains(group)).count()
    }

    /// Has as many agents give their slots back as others wait for: those that have had nothing to do for
    /// the longest time first, then those that had their turn.
    pub(super) fn make_room(&mut self, actions: &mut Vec<Action>) {
        for waiting in self.queue.clone() {
            let shares = |agent: &Standing| {
                let mut full = self.full_groups(&waiting).peekable();
                match full.peek() {
                    // Only one of the same full group makes room in it.
                    Some(_) => full.any(|group| agent.member.groups.contains(group)),
                    None => true,
                }
            };
            let leaving = |agent: &&Standing| matches!(agent.stage, Stage::Stopping { .. }) && shares(agent);
            let ahead = self.queue.iter().take_while(|queued| **queued != waiting).count();
            if self.agents.values().filter(leaving).count() > ahead {
                continue;
            }
            let running = self
                .agents
                .iter()
                .filter(|(_, agent)| matches!(agent.stage, Stage::Running { ready: true }) && shares(agent));
            let had_its_turn = |agent: &Standing| self.now.saturating_sub(agent.since) >= self.turn;
            let candidate = running
                .filter(|(_, agent)| agent.idle_since.is_some() || had_its_turn(agent))
                .min_by_key(|(_, agent)| (agent.idle_since.is_none(), agent.idle_since, agent.since))
                .map(|(name, _)| name.clone());
            if let Some(name) = candidate {
                self.change(&name, &Change::Asked(Then::Rest { finished: false }), actions);
            }
        }
    }
}
