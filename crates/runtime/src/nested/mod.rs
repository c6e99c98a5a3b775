//! Goals below tasks: a task of kind `goal` owns a goal, and is done when that is complete.
//!
//! `declared` finds out of the plans what is below what; `name` says what a goal below a task is called;
//! `chain` follows the chain upwards, for events, costs and directories; `told` whether a task knows how its goal stands; `desk` is the nested
//! orchestrator, which holds such tasks and has their goals planned.

pub mod chain;
pub(crate) mod declared;
pub(crate) mod desk;
pub(crate) mod name;
pub(crate) mod told;

pub use declared::{MAX_DEPTH, Owned};
pub use desk::NESTED_ORCHESTRATOR;
pub use name::below;
