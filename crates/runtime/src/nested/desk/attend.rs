//! What it hears and what is due, one after the other, also while the store does not answer.

use std::convert::Infallible;
use std::time::Duration;

use downbeat_core::cache::Disposition;
use futures::StreamExt as _;
use tokio::time::Instant;
use tracing::debug;

use super::Desk;
use crate::feed::{Feed, News, Subscription};
use crate::orchestrator::RunError;

/// Before a store is asked again that did not answer.
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

impl Desk<'_> {
    /// Attends to the tasks that own goals, for as long as this orchestrator leads. A store that does not answer
    /// is asked again for as long as patience lasts.
    pub(crate) async fn attend(&mut self, feed: &Feed) -> Result<Infallible, RunError> {
        let mut ear = feed.subscribe();
        let mut silent_since = None;
        self.look_patiently(&mut silent_since).await?;
        loop {
            match self.attend_once(&mut ear).await {
                Ok(()) => silent_since = None,
                Err(error) => {
                    self.wait_for_the_store(error, &mut silent_since).await?;
                    // What was begun may have been done or not.
                    self.look_patiently(&mut silent_since).await?;
                }
            }
        }
    }

    /// Finds everything that there is to do, before anybody is started.
    pub(crate) async fn begin(&mut self) -> Result<(), RunError> {
        self.look_patiently(&mut None).await
    }

    async fn attend_once(&mut self, ear: &mut Subscription) -> Result<(), RunError> {
        let tick = self.next_tick();
        tokio::select! {
            news = ear.next() => match news {
                Some(News::Event(event)) => self.hear(&event).await,
                Some(News::Missed) => self.look_at_all().await,
                None => std::future::pending().await,
            },
            Some(planned) = self.planning.next(), if !self.planning.is_empty() => self.planned(planned).await,
            () = tokio::time::sleep_until(tick) => self.renew().await,
        }
    }

    async fn look_patiently(&mut self, silent_since: &mut Option<Instant>) -> Result<(), RunError> {
        while let Err(error) = self.look_at_all().await {
            self.wait_for_the_store(error, silent_since).await?;
        }
        Ok(())
    }

    /// Waits a moment if the store did not answer; what else is wrong, or has been for too long, is handed on.
    async fn wait_for_the_store(
        &mut self,
        error: RunError,
        silent_since: &mut Option<Instant>,
    ) -> Result<(), RunError> {
        let since = *silent_since.get_or_insert_with(Instant::now);
        match error {
            RunError::Cache(error)
                if error.disposition() == Disposition::Retry
                    && since.elapsed() < self.orchestrator.settings.store_patience =>
            {
                debug!(target: "orchestrator", "Looking again at the tasks that own goals: {error}");
                tokio::time::sleep(BETWEEN_TRIES).await;
                Ok(())
            }
            error => Err(error),
        }
    }
}
