//! What happens to a fleet, and what is to be done about it.

use downbeat_core::ids::{AgentName, GroupName};

use super::super::stage::Stage;

/// What happened. Times are counted from when the supervisor began.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// From now on agents are started: all that was said before holds from the first on.
    Begin,
    /// A life began.
    Began(AgentName),
    /// An agent takes tasks.
    Ready(AgentName),
    /// An agent has nothing that it could take.
    Idle(AgentName),
    /// An agent has taken something.
    Busy(AgentName),
    /// A life ended, or could not begin.
    Exited {
        /// Whose.
        name: AgentName,
        /// What was wrong; `None` for nothing.
        error: Option<String>,
        /// A uniform random number in `0.0..=1.0`, for the wait.
        draw: f64,
    },
    /// Time has passed.
    Tick,
    /// An agent is to run.
    Want(AgentName),
    /// An agent is to be stopped, for this reason.
    Stop(AgentName, String),
    /// An agent is to be started anew, for this reason.
    Restart(AgentName, String),
    /// All that an agent could ever take is done.
    Finished(AgentName),
    /// An agent has nothing to do, and yet not all is done that it may take.
    Unfinished(AgentName),
    /// There is something that a resting agent may take.
    Work(AgentName),
    /// An agent that has nothing to do is not needed now.
    Rest(AgentName),
    /// At most so many of a group live at once.
    Limit(GroupName, Option<usize>),
    /// The run ends, for this reason: nobody starts any more.
    Close(String),
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Begin a life.
    Spawn {
        /// Whose.
        name: AgentName,
        /// The how-manieth.
        generation: u64,
    },
    /// Ask a life to end when its work is done.
    Drain(AgentName),
    /// Say that an agent's stage changed.
    Changed {
        /// Whose.
        name: AgentName,
        /// From what.
        from: Stage,
    },
}
