//! What is declared about a life.

use std::collections::BTreeSet;
use std::time::Duration;

use downbeat_core::backoff::Backoff;
use downbeat_core::ids::{AgentName, GroupName};
use downbeat_core::instructions::{Milestone, Restart};

/// What is declared about one agent's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who comes before it, and how far.
    pub after: Vec<(AgentName, Milestone)>,
    /// Its groups.
    pub groups: BTreeSet<GroupName>,
    /// Whether it is started again.
    pub policy: Policy,
}

/// Whether, and how fast, a life that has ended is followed by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// After which ends.
    pub restart: Restart,
    /// How many restarts within `window` are no crash loop.
    pub max_restarts: u32,
    /// Within which time restarts count.
    pub window: Duration,
    /// The waits between lives.
    pub backoff: Backoff,
}
