//! Agents as processes of their own, children of their orchestrator or of systemg beside it.
//!
//! In reading order:
//! - [`Children`]: the spawner.
//! - [`Seat`]: the locks by which the processes of a machine know who lives and who watches over whom.
//! - [`begin`]: what a child does before anything else.
//! - [`launch`]: how one begins that another supervisor starts.
//! - [`Paced`]: at most so many starts a second.
//! - [`scale`]: how many copies of each agent there should be.
//! - [`Orphans`]: what becomes of children whose parent died.

mod child;
mod children;
pub mod launch;
mod life;
mod paced;
pub mod scale;
mod seat;
mod starter;
mod sysg;

pub use child::{Seated, begin, begin_apart};
pub use children::{By, Children, How, Orphans};
pub use paced::Paced;
pub use seat::{Seat, Told};
