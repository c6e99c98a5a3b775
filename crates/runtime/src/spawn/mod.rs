//! Agents as processes of their own, children of their orchestrator.
//!
//! In reading order:
//! - [`Children`]: the spawner.
//! - [`Seat`]: the locks by which the processes of a machine know who lives and who watches over whom.
//! - [`begin`]: what a child does before anything else.
//! - [`Paced`]: at most so many starts a second.
//! - [`scale`]: how many copies of each agent there should be.
//! - [`Orphans`]: what becomes of children whose parent died.

mod begin;
mod children;
mod life;
mod paced;
pub mod scale;
mod seat;
mod starter;

pub use begin::{Seated, begin};
pub use children::{Children, How, Orphans};
pub use paced::Paced;
pub use seat::{Seat, Told};
