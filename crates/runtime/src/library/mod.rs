//! The engine as a library: agents, goals and handlers declared in Rust, or beside a file of instructions.
//!
//! In reading order:
//! - [`builder`]: what is declared; `lower`: everything that is wrong with it at once.
//! - [`agent`]: plain code as an agent.
//! - [`plan`]: a plan in a few words.
//! - [`running`]: a run that goes on: wait, restart, ask, stop, join.
//! - [`stats`]: the lives of an agent, from the log.
//! - `handlers`: code that is called when something happens.

pub mod agent;
pub mod builder;
mod declared;
mod handlers;
mod lower;
pub mod plan;
pub mod running;
pub mod stats;

pub(crate) use agent::Code;
pub use agent::{Agent, Assignment, Done, Trouble};
pub use builder::{Builder, RunMode, StartError};
pub use declared::Declared;
pub use lower::BuildError;
pub use plan::Plan;
pub use running::{Running, WaitError, Who};
pub use stats::{LifeRecord, Stats};
