//! Where an agent comes to life: inside this process, as a child of it, or under another supervisor.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use downbeat_core::ids::{AgentName, GoalId};

use crate::load::ProjectAgent;
use crate::orchestrator::RunError;

/// Brings agents to life. One spawner serves all agents of an orchestrator.
///
/// # Contract
///
/// - A life registers itself with the cache under the name of its [`Hire`], with its generation.
/// - It says when it takes tasks by its first beat, in [`Phase::Idle`](downbeat_core::cache::Phase::Idle)
///   or on a task.
/// - When [`Life::ended`] returns, nothing of the life runs any more. Its supervisor ends a registration
///   that is left, so that what it held is free at once.
#[async_trait]
pub trait Spawner: Send + Sync + fmt::Debug {
    /// Begins a life. It returns when the life has begun, which need not be when it is ready for work.
    ///
    /// # Errors
    ///
    /// [`SpawnError`]: nothing was begun, or nothing of it is left.
    async fn spawn(&self, hire: &Hire) -> Result<Box<dyn Life>, SpawnError>;

    /// Lives that an earlier orchestrator began here and that still go on. They are watched over like those
    /// that [`spawn`](Self::spawn) returned, and not begun once more.
    async fn adopt(&self) -> Vec<Adopted>;
}

/// What a life is begun with.
#[derive(Debug, Clone)]
pub struct Hire {
    /// What it is called. Several may come from one declaration, under names of their own.
    pub name: AgentName,
    /// As what it was declared.
    pub agent: Arc<ProjectAgent>,
    /// The goal it works for; any without it.
    pub goal: Option<GoalId>,
    /// The how-manieth life of the name, from 1.
    pub generation: u64,
}

/// A life that an earlier orchestrator began.
#[derive(Debug)]
pub struct Adopted {
    /// Its name.
    pub name: AgentName,
    /// The how-manieth of the name it is.
    pub generation: u64,
    /// The life.
    pub life: Box<dyn Life>,
}

/// A life that goes on. Dropping it ends its work and its process.
#[async_trait]
pub trait Life: Send + Sync + fmt::Debug {
    /// Its process, if it has one of its own.
    fn process(&self) -> Option<u32>;

    /// Waits until it has ended, and says how. It may be dropped while it waits and called again; once it
    /// has said it, it says the same.
    async fn ended(&mut self) -> Exit;

    /// Asks it to claim no more and to end when its work is done.
    fn drain(&self);

    /// Asks it to end its work now and to give it back.
    fn stop(&self);

    /// Ends it without asking, and all that it started: it may hear nothing any more. One that can be ended by
    /// asking alone need not do more than [`stop`](Self::stop).
    fn kill(&self) {
        self.stop();
    }
}

/// How a life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with nothing to complain of: exit code 0.
    Finished,
    /// By itself, with an error.
    Failed {
        /// For a person.
        reason: String,
        /// Its process's exit code, if it had one of its own.
        code: Option<i32>,
    },
    /// By a signal.
    Killed {
        /// Its number.
        signal: i32,
    },
}

impl Exit {
    /// Whether nothing went wrong.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        matches!(self, Self::Finished)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("it finished"),
            Self::Failed { reason, code: Some(code) } => write!(f, "{reason} (exit code {code})"),
            Self::Failed { reason, code: None } => f.write_str(reason),
            Self::Killed { signal } => match nix::sys::signal::Signal::try_from(*signal) {
                Ok(name) => write!(f, "it was killed by {}", name.as_str()),
                Err(_) => write!(f, "it was killed by signal {signal}"),
            },
        }
    }
}

/// Why a life could not be begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// Beginning it again would fail again: somebody else has the name, or the cache failed for good. The
    /// run ends with it.
    #[error(transparent)]
    Refused(#[from] Box<RunError>),
    /// It could not be begun now. It counts as a life that ended at once.
    #[error("{reason}")]
    Failed {
        /// For a person.
        reason: String,
    },
}

impl From<RunError> for SpawnError {
    fn from(error: RunError) -> Self {
        Self::Refused(Box::new(error))
    }
}
