//! The lives of the declared agents: who brings them up, and how they ended.

mod in_process;
pub mod spawner;

pub(crate) use in_process::InProcess;
pub use spawner::{Adopted, Exit, Hire, Life, SpawnError, Spawner};
