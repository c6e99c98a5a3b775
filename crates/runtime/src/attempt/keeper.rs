//! Keeps a lease while its task is worked on, and says at once when it is lost.

use std::time::Duration;

use downbeat_core::cache::{CacheError, Directive, Disposition, Lease, Renew};
use downbeat_core::ids::{GoalId, TaskId};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, oneshot, watch};
use tokio::time::Instant;
use tracing::debug;

use crate::agent::Worker;

/// The least time between two words about progress: each is a write and an event.
const BETWEEN_NEWS: Duration = Duration::from_secs(2);

/// Why the work has to stop.
pub(super) enum Loss {
    /// The cache says that the lease is somebody else's, or nobody's.
    Taken(CacheError),
    /// The cache could not be asked until the deadline: others may have the task.
    Silent,
}

/// Renews a lease three times in its ttl, until it is dropped.
pub(super) struct Keeper {
    task: tokio::task::JoinHandle<()>,
    loss: tokio::sync::Mutex<oneshot::Receiver<Loss>>,
}

/// Until somebody gives an order that may end the work on this task.
async fn ordered(notices: &mut broadcast::Receiver<Directive>, task: &TaskId, goal: &GoalId) {
    loop {
        match notices.recv().await {
            Ok(Directive::DropTask { task: other } | Directive::Cancel { task: other }) if other == *task => {
                return;
            }
            Ok(Directive::CancelGoal { goal: other }) if other == *goal => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keeper {
    /// Renews from now on, and tells the cache what `news` says of the task's progress.
    pub(super) fn start(
        worker: &Worker,
        lease: &Lease,
        asked: Instant,
        mut news: watch::Receiver<Option<String>>,
    ) -> Self {
        let (tell, loss) = oneshot::channel();
        let cache = worker.cache.clone();
        let ttl = worker.settings.lease_ttl;
        let mut notices = worker.notices.subscribe();
        let goal = lease.goal.clone();
        let mut renew = Renew { task: lease.task.clone(), token: lease.token, ttl, progress: None };
        let task = tokio::spawn(async move {
            // Counted from when each request was sent: our deadline is never after the cache's.
            let mut deadline = asked + ttl;
            let mut due = asked + ttl / 3;
            let mut told: Option<Instant> = None;
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    // The cache says whether it is about this lease: it was asked to end it before.
                    () = ordered(&mut notices, &renew.task, &goal) => {}
                    // Progress is told at once, and then not again for a while.
                    Ok(()) = news.changed(), if told.is_none_or(|told| told.elapsed() >= BETWEEN_NEWS) => {
                        told = Some(Instant::now());
                    }
                }
                renew.progress.clone_from(&news.borrow_and_update());
                let sent = Instant::now();
                let answer = tokio::time::timeout_at(deadline, cache.renew(&renew)).await;
                match answer {
                    Ok(Ok(_)) => {
                        deadline = sent + ttl;
                        due = Instant::now() + ttl / 3;
                    }
                    Ok(Err(error))
                        if error.disposition() == Disposition::Retry && Instant::now() < deadline =>
                    {
                        debug!(target: "runtime", "renewing the lease of task {}: {error}", renew.task);
                        due = Instant::now() + Duration::from_millis(200).min(ttl / 10);
                    }
                    Ok(Err(error)) if error.disposition() != Disposition::Retry => {
                        let _ = tell.send(Loss::Taken(error));
                        return;
                    }
                    _ => {
                        let _ = tell.send(Loss::Silent);
                        return;
                    }
                }
            }
        });
        Self { task, loss: tokio::sync::Mutex::new(loss) }
    }

    /// Until the lease is lost.
    pub(super) async fn lost(&self) -> Loss {
        match (&mut *self.loss.lock().await).await {
            Ok(loss) => loss,
            Err(_) => std::future::pending().await,
        }
    }
}
