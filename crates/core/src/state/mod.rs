//! The states of a task and the one table of moves between them.
//!
//! [`apply`] is the only place that decides a move. The in-memory and the sled cache call it, the Lua
//! of the Redis cache repeats it, and the conformance kit holds them equal.
//!
//! ```text
//! BLOCKED ─▶ READY ─▶ RUNNING ─▶ DONE
//!              ▲          │ └────▶ FAILED
//!              └──────────┘
//! BLOCKED, READY, RUNNING ─▶ CANCELLED         FAILED, CANCELLED ─▶ READY or BLOCKED by a person
//! ```
//!
//! In reading order: `task` is where a task stands, `moves` what may happen to it, `table` what comes
//! of that.

mod moves;
mod table;
mod task;

pub use moves::{EndedAttempt, Move, Moved, Outcome, Redo, Refusal};
pub use table::apply;
pub use task::{Artifact, Failure, Holder, TaskState, TaskStatus};
