//! The lives of the declared agents: who is started when, what follows an end, and where each stands.
//!
//! In reading order:
//! - [`stage`]: where one life stands and the moves between, as a table.
//! - [`fleet`]: prerequisites, slots, groups and restarts of all, as a pure function of what happened.
//! - `supervisor`: the one task that owns the lives; `tend` begins and watches them.
//! - [`spawner`]: where an agent comes to life; `in_process` does so here.
//! - [`board`]: where every life stands, for everybody to read.

pub mod board;
mod coming;
pub mod fleet;
mod in_process;
pub mod spawner;
pub mod stage;
mod supervisor;
mod tend;
#[cfg(test)]
mod tests;

pub use board::Board;
pub(crate) use coming::Coming;
pub use fleet::Policy;
pub(crate) use in_process::InProcess;
pub use spawner::{Adopted, Exit, Hire, Life, SpawnError, Spawner};
pub use stage::{RUN_ENDED, RUN_STOPPED, Stage};
pub(crate) use supervisor::{Charge, Declarer, Supervisor, is_same};
