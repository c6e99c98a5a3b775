//! Which agents live or may still come: what tells "nobody can do this" from "nobody is there yet".

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use downbeat_core::ids::AgentName;

use super::fleet::Fleet;

/// The agents of an orchestrator that live or may live again without a person's word.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coming(Arc<RwLock<HashSet<AgentName>>>);

impl Coming {
    /// All of them, before any has begun.
    pub(crate) fn all(names: impl IntoIterator<Item = AgentName>) -> Self {
        Self(Arc::new(RwLock::new(names.into_iter().collect())))
    }

    /// Whether an agent lives or may come.
    pub(crate) fn has(&self, name: &AgentName) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    /// As a fleet stands.
    pub(super) fn update(&self, fleet: &mut Fleet) {
        if let Some(coming) = fleet.coming() {
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = coming;
        }
    }
}
