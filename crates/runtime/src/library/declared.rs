//! What is declared about an agent.

use std::time::Duration;

use downbeat_core::instructions::Restart;

/// What is declared about an agent. A name alone will do.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    pub(super) name: String,
    pub(super) goal: Option<String>,
    pub(super) role: Option<String>,
    pub(super) instructions: String,
    pub(super) capabilities: Vec<String>,
    pub(super) max_parallel: Option<u32>,
    pub(super) timeout: Option<Duration>,
    pub(super) restart: Option<Restart>,
    pub(super) max_restarts: Option<u32>,
}

impl From<&str> for Declared {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}

impl Declared {
    /// An agent of this name, which takes tasks of any goal that need nothing.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// It takes tasks of this goal alone.
    #[must_use]
    pub fn goal(mut self, goal: impl Into<String>) -> Self {
        self.goal = Some(goal.into());
        self
    }

    /// What it is.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self
    }

    /// Its own instructions, for a model.
    #[must_use]
    pub fn instructions(mut self, text: impl Into<String>) -> Self {
        self.instructions = text.into();
        self
    }

    /// What it can do.
    #[must_use]
    pub fn capable_of<S: Into<String>>(mut self, capabilities: impl IntoIterator<Item = S>) -> Self {
        self.capabilities.extend(capabilities.into_iter().map(Into::into));
        self
    }

    /// How many tasks it works on at once; 1 without it.
    #[must_use]
    pub const fn max_parallel(mut self, tasks: u32) -> Self {
        self.max_parallel = Some(tasks);
        self
    }

    /// How long one of its attempts may take, for a task that says nothing about it.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Whether it is started again when its life has ended.
    #[must_use]
    pub const fn restart(mut self, restart: Restart) -> Self {
        self.restart = Some(restart);
        self
    }

    /// How many restarts in the settings' window are no crash loop.
    #[must_use]
    pub const fn max_restarts(mut self, restarts: u32) -> Self {
        self.max_restarts = Some(restarts);
        self
    }
}
