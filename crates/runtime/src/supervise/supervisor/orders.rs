//! What people ordered about agents and groups, carried out once.

use std::collections::{BTreeSet, HashSet};

use downbeat_core::cache::{CacheError, Directive, Steer};
use downbeat_core::ids::{AgentName, GroupName};
use downbeat_core::instructions::group_limits;
use tracing::warn;

use super::super::fleet::Input;
use super::Actor;
use crate::entropy;
use crate::steering::{Standing as Orders, Subject};

impl Actor {
    /// Everything that was ordered. At `first`, restarts that were ordered before are not owed.
    pub(super) async fn obey_all(&mut self, first: bool) -> Result<(), CacheError> {
        let mut all = Orders::all(self.charge.cache.as_ref()).await?;
        // An agent's own is nearer than its group's.
        all.sort_by_key(|(subject, _)| matches!(subject, Subject::Agent(_)));
        for (subject, orders) in all {
            self.apply(&subject, &orders, first).await?;
        }
        Ok(())
    }

    pub(super) async fn obey(&mut self, subject: &Subject, first: bool) -> Result<(), CacheError> {
        let orders = Orders::load(self.charge.cache.as_ref(), subject).await?;
        self.apply(subject, &orders, first).await
    }

    /// Does what stands of the orders about `subject`, once: a later order about somebody else may have
    /// changed it since.
    async fn apply(&mut self, subject: &Subject, orders: &Orders, first: bool) -> Result<(), CacheError> {
        let names: Vec<AgentName> = match subject {
            Subject::Agent(name) => {
                self.agents.contains_key(name).then(|| name.clone()).into_iter().collect()
            }
            Subject::Group(group) => self
                .fleet
                .agents()
                .filter(|(_, agent)| agent.member.groups.contains(group))
                .map(|(name, _)| name.clone())
                .collect(),
            Subject::Goal(_) | Subject::Project => return Ok(()),
        };
        let before = self.obeyed.insert(subject.clone(), orders.clone()).unwrap_or_default();
        if before == *orders {
            return Ok(());
        }
        if let Subject::Group(group) = subject {
            self.limit(group, orders.limit).await;
            if orders.paused != before.paused {
                self.pause(group, orders.paused, &names).await?;
            }
        }
        let by = |done: &str| reason(subject, done, orders);
        let owed = !first && orders.restarts > before.restarts;
        for name in names {
            match orders.run {
                Some(false) if first || before.run != Some(false) => {
                    self.take(Input::Stop(name, by("stopped"))).await;
                }
                _ if owed => self.take(Input::Restart(name, by("restarted"))).await,
                Some(true) if first || before.run != Some(true) => self.take(Input::Want(name)).await,
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    /// Whether an agent is to run by what stands of the orders, and the reason; its own is nearer than its groups'.
    pub(super) fn ordered(&self, name: &AgentName) -> Option<(bool, String)> {
        let groups = self.fleet.get(name).into_iter().flat_map(|agent| &agent.member.groups);
        let subjects = groups.map(|group| Subject::Group(group.clone()));
        let mut subjects: Vec<Subject> = subjects.collect();
        subjects.insert(0, Subject::Agent(name.clone()));
        subjects.into_iter().find_map(|subject| {
            let orders = self.obeyed.get(&subject)?;
            let done = if orders.run? { "started" } else { "stopped" };
            Some((orders.run?, reason(&subject, done, orders)))
        })
    }

    /// Has new agents stand as was ordered before anybody knew them, before they begin.
    pub(super) async fn hold_to_orders(&mut self, names: &HashSet<AgentName>) {
        for name in names {
            if let Some((false, by)) = self.ordered(name) {
                self.fleet.stopped(name, by);
            }
            let groups = self.fleet.get(name).map(|agent| agent.member.groups.clone()).unwrap_or_default();
            for group in groups {
                let is_paused =
                    self.obeyed.get(&Subject::Group(group.clone())).is_some_and(|orders| orders.paused);
                if is_paused && let Err(error) = self.pause(&group, true, std::slice::from_ref(name)).await {
                    warn!(target: "orchestrator", "Agent {name} of group {group} cannot be paused: {error}");
                }
            }
        }
    }

    /// Puts the declared limits of groups into force, where nobody ordered another one.
    pub(super) async fn limit_groups(&mut self) {
        let declared = group_limits(self.charge.agents.iter().map(|agent| &agent.spec));
        let before = std::mem::replace(&mut self.limits, declared);
        let groups: BTreeSet<GroupName> = before.into_keys().chain(self.limits.keys().cloned()).collect();
        for group in groups {
            let ordered = self.obeyed.get(&Subject::Group(group.clone())).and_then(|orders| orders.limit);
            self.limit(&group, ordered).await;
        }
    }

    /// An ordered limit of a group, or else the declared one.
    async fn limit(&mut self, group: &GroupName, ordered: Option<u32>) {
        let limit = ordered.or_else(|| self.limits.get(group).copied());
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        self.take(Input::Limit(group.clone(), limit)).await;
        // It may move nobody, and yet be what somebody waits for now.
        self.show();
    }

    /// Pauses or resumes every agent of a group, once for each order.
    async fn pause(&self, group: &GroupName, paused: bool, names: &[AgentName]) -> Result<(), CacheError> {
        for name in names {
            let agent = name.clone();
            let directive = match paused {
                true => Directive::Pause { agent },
                false => Directive::Resume { agent },
            };
            let by = format!("group:{group}");
            self.charge.cache.steer(&Steer { directive, by, request: entropy::request_id() }).await?;
        }
        Ok(())
    }
}

/// What was done with whom, and who said so.
fn reason(subject: &Subject, done: &str, orders: &Orders) -> String {
    match subject {
        Subject::Group(_) => format!("{subject} was {done} by {}", orders.by),
        _ => format!("{done} by {}", orders.by),
    }
}
