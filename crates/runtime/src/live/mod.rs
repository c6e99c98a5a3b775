//! What is declared may change while it is being worked on.
//!
//! INSTRUCTIONS.md and the files it names are watched. A version that can be read comes into force: agents
//! come, go and change, plans change where that costs nothing; the rest waits until somebody asks for it
//! (`downbeat reparse`). One that cannot be read leaves what was in force in force, and raises one alert.
//! `docs/live.md` says what applies when.
//!
//! In reading order: `follow` (the loop), `bring_in` (what becomes of a goal's plan), `foresee` (what that
//! would do), `versions` and `briefs` (what is kept).

pub(crate) mod briefs;
mod bring_in;
mod follow;
mod foresee;
mod versions;

use std::sync::Arc;

use tokio::sync::watch;

pub use bring_in::declared;
pub use foresee::{Foreseen, foresee};
pub use versions::{Fault, Refused, Version, Versions};

use crate::load::Project;

/// The project that is in force: read by all, replaced as a whole.
#[derive(Debug)]
pub(crate) struct InForce(watch::Sender<Arc<Project>>);

impl InForce {
    pub(crate) fn new(project: Project) -> Self {
        Self(watch::Sender::new(Arc::new(project)))
    }

    pub(crate) fn get(&self) -> Arc<Project> {
        Arc::clone(&self.0.borrow())
    }

    pub(crate) fn put(&self, project: Project) {
        self.0.send_replace(Arc::new(project));
    }

    /// What is in force from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Project>> {
        self.0.subscribe()
    }
}
