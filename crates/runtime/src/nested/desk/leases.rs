//! The leases of the tasks that it holds.

use std::time::Duration;

use downbeat_core::cache::{CacheError, Disposition, Renew};
use downbeat_core::ids::TaskId;
use tokio::time::Instant;
use tracing::debug;

use super::{BETWEEN_NEWS, Charge, Desk, counted};
use crate::orchestrator::RunError;

impl Desk<'_> {
    /// When something is due.
    pub(super) fn next_tick(&self) -> Instant {
        let due = |charge: &Charge| match charge.has_news {
            true => charge.renew_at.min(charge.told_at + BETWEEN_NEWS),
            false => charge.renew_at,
        };
        let far = Instant::now() + Duration::from_secs(3_600);
        self.held.values().map(due).min().unwrap_or(far)
    }

    /// Renews what is due, and tells how far its goals are where that is news.
    pub(super) async fn renew(&mut self) -> Result<(), RunError> {
        let ttl = self.orchestrator.settings.lease_ttl;
        let now = Instant::now();
        let due: Vec<TaskId> = self
            .held
            .iter()
            .filter(|(_, charge)| {
                charge.renew_at <= now || (charge.has_news && charge.told_at + BETWEEN_NEWS <= now)
            })
            .map(|(task, _)| task.clone())
            .collect();
        for task in due {
            let Some(charge) = self.held.get(&task) else { continue };
            let progress = match charge.has_news {
                true => self.orchestrator.cache.goal(&charge.below).await?.map(|goal| counted(&goal)),
                false => None,
            };
            let renew = Renew { task: task.clone(), token: charge.lease.token, ttl, progress };
            let asked = Instant::now();
            match self.orchestrator.cache.renew(&renew).await {
                Ok(_) => {
                    if let Some(charge) = self.held.get_mut(&task) {
                        charge.renew_at = asked + ttl / 3;
                        charge.told_at = asked;
                        charge.has_news = false;
                    }
                }
                Err(error) if error.disposition() == Disposition::Abandon => {
                    debug!(target: "orchestrator", "Task {task}: {error}");
                    self.held.remove(&task);
                    // Whatever took it may not be heard of.
                    self.claim(&task).await?;
                }
                Err(CacheError::TaskNotFound { .. }) => {
                    self.held.remove(&task);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
