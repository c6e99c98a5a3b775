//! A run that goes on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::{Cache, CacheError, Topic, events_stream};
use downbeat_core::ids::{AgentName, GroupName};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::stats::{self, Stats};
use crate::entropy;
use crate::feed::Feed;
use crate::orchestrator::RunError;
use crate::report::RunReport;
use crate::steering::{FleetOrder, Given, Whom, give};
use crate::stop::Stop;
use crate::supervise::Board;

/// Whose end is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// All agents.
    All,
    /// The agents of a group.
    Group(String),
    /// One agent.
    Agent(String),
}

/// Why a wait ended without what was waited for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// No agent or group is called so.
    #[error("no {what} is called `{name}`")]
    Unknown {
        /// `agent` or `group`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The time is up.
    #[error("still not ended: {}", still.iter().map(AgentName::as_str).collect::<Vec<_>>().join(", "))]
    TimedOut {
        /// Who has not ended.
        still: Vec<AgentName>,
    },
}

/// A run that goes on. Dropping it lets the run go on, and nobody can ask about it any more.
#[derive(Debug)]
pub struct Running {
    pub(super) cache: Arc<dyn Cache>,
    pub(super) stop: Stop,
    pub(super) board: watch::Receiver<Board>,
    pub(super) groups: BTreeSet<GroupName>,
    pub(super) run: JoinHandle<Result<RunReport, RunError>>,
    /// How far the handlers are.
    pub(super) told: watch::Receiver<u64>,
    pub(super) dispatcher: Option<(Feed, JoinHandle<()>)>,
    pub(super) agents: BTreeSet<AgentName>,
}

impl Running {
    /// Waits until the run has ended: the last agent has, and every handler was told of everything.
    ///
    /// # Errors
    ///
    /// [`RunError`]: nothing was started, or the run could not go on.
    pub async fn join(mut self) -> Result<RunReport, RunError> {
        let ended = match (&mut self.run).await {
            Ok(ended) => ended,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => {
                    Err(RunError::Cache(CacheError::Failed { reason: format!("the run was ended: {error}") }))
                }
            },
        };
        if let Some((feed, dispatcher)) = self.dispatcher.take() {
            let topic = Topic::Stream(events_stream());
            if let Ok(newest) = self.cache.changed(&topic, u64::MAX, Duration::ZERO).await {
                let _ = self.told.wait_for(|told| *told >= newest).await;
            }
            drop(feed);
            let _ = dispatcher.await;
        }
        ended
    }

    /// Waits until agents have ended, at most for `timeout`.
    ///
    /// # Returns
    ///
    /// Each with how it ended: `finished`, `failed`, `stopped`, `blocked`, `quarantined`, or `resting` when
    /// its work is done.
    ///
    /// # Errors
    ///
    /// [`WaitError`].
    pub async fn wait(
        &self,
        who: &Who,
        timeout: Duration,
    ) -> Result<Vec<(AgentName, &'static str)>, WaitError> {
        let unknown = |what, name: &str| WaitError::Unknown { what, name: name.to_owned() };
        match who {
            Who::All => {}
            Who::Group(name) if self.groups.iter().any(|group| group.as_str() == name) => {}
            Who::Group(name) => return Err(unknown("group", name)),
            Who::Agent(name) if self.agents.iter().any(|agent| agent.as_str() == name) => {}
            Who::Agent(name) => return Err(unknown("agent", name)),
        }
        let mut boards = self.board.clone();
        let over = |board: &Board| board.agents.len() == self.agents.len() && still(board, who).is_empty();
        let waited = tokio::time::timeout(timeout, boards.wait_for(over)).await;
        let board = match &waited {
            Ok(Ok(board)) => Board::clone(board),
            // The run has ended, and with it all that could change.
            Ok(Err(_)) => self.board.borrow().clone(),
            Err(_) => {
                let board = self.board.borrow().clone();
                let mut open = still(&board, who);
                if board.agents.is_empty() {
                    open.extend(self.agents.iter().cloned());
                }
                return Err(WaitError::TimedOut { still: open });
            }
        };
        let ended = board.agents.iter().filter(|(name, line)| is_meant(name, line, who));
        Ok(ended.filter_map(|(name, line)| Some((name.clone(), end_of(line)?))).collect())
    }

    /// Has an agent end when its work is done, and start anew. It also ends a stop and a quarantine.
    ///
    /// # Errors
    ///
    /// What the cache says.
    pub async fn restart(&self, name: &AgentName) -> Result<(), CacheError> {
        self.order(FleetOrder::Restart { whom: Whom::Agent(name.clone()) }).await
    }

    /// Gives an order about agents or groups: start, stop, restart, pause, limit.
    ///
    /// # Errors
    ///
    /// What the cache says.
    pub async fn order(&self, order: FleetOrder) -> Result<(), CacheError> {
        let given = Given { order: order.into(), by: "library".to_owned(), request: entropy::request_id() };
        give(self.cache.as_ref(), &given).await.map(|_| ())
    }

    /// Has the run end when the work that is begun is done; [`join`](Self::join) waits for that.
    pub fn stop(&self) {
        self.stop.drain();
    }

    /// Has the run end now: work is ended and given back.
    pub fn stop_now(&self) {
        self.stop.now();
    }

    /// The lives of an agent; `None` for one that never lived.
    ///
    /// # Errors
    ///
    /// What the cache says.
    pub async fn agent_stats(&self, name: &AgentName) -> Result<Option<Stats>, CacheError> {
        stats::stats(self.cache.as_ref(), name).await
    }

    /// Where the life of every agent stands.
    #[must_use]
    pub fn board(&self) -> Board {
        self.board.borrow().clone()
    }

    /// The shared state.
    #[must_use]
    pub fn cache(&self) -> &Arc<dyn Cache> {
        &self.cache
    }
}

fn is_meant(name: &AgentName, line: &crate::supervise::board::Line, who: &Who) -> bool {
    match who {
        Who::All => true,
        Who::Agent(agent) => name.as_str() == agent,
        Who::Group(group) => line.groups.iter().any(|own| own.as_str() == group),
    }
}

/// Who has not ended.
fn still(board: &Board, who: &Who) -> Vec<AgentName> {
    let open = board.agents.iter().filter(|(name, line)| is_meant(name, line, who) && end_of(line).is_none());
    open.map(|(name, _)| name.clone()).collect()
}

fn end_of(line: &crate::supervise::board::Line) -> Option<&'static str> {
    let ends = ["finished", "failed", "stopped", "blocked", "quarantined"];
    if line.stage == "resting" && line.finished {
        return Some("resting");
    }
    ends.into_iter().find(|end| *end == line.stage)
}
