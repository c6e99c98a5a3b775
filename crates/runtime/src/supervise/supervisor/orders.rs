//! What people ordered about agents and groups, carried out once.

use downbeat_core::cache::{CacheError, Directive, Steer};
use downbeat_core::ids::{AgentName, GroupName};

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
            let limit = orders.limit.and_then(|limit| usize::try_from(limit).ok());
            self.take(Input::Limit(group.clone(), limit)).await;
            // It may move nobody, and yet be what somebody waits for now.
            self.show();
            if orders.paused != before.paused {
                self.pause(group, orders.paused, &names).await?;
            }
        }
        let by = match subject {
            Subject::Group(_) => format!("{subject} was stopped by {}", orders.by),
            _ => format!("stopped by {}", orders.by),
        };
        let owed = !first && orders.restarts > before.restarts;
        for name in names {
            match orders.run {
                Some(false) if first || before.run != Some(false) => {
                    self.take(Input::Stop(name, by.clone())).await;
                }
                _ if owed => self.take(Input::Restart(name)).await,
                Some(true) if first || before.run != Some(true) => self.take(Input::Want(name)).await,
                Some(_) | None => {}
            }
        }
        Ok(())
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
