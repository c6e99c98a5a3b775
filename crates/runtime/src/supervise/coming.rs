//! Which agents live or may still come: what tells "nobody can do this" from "nobody is there yet".

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use downbeat_core::ids::AgentName;

use super::fleet::Fleet;

/// The agents of an orchestrator that live or may live again without a person's word.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coming(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    coming: HashSet<AgentName>,
    /// Those of them whose next life is another one than a cache may still know as alive.
    anew: HashSet<AgentName>,
}

impl Coming {
    /// All of them, before any has begun.
    pub(crate) fn all(names: impl IntoIterator<Item = AgentName>) -> Self {
        let known = Known { coming: names.into_iter().collect(), anew: HashSet::new() };
        Self(Arc::new(RwLock::new(known)))
    }

    /// Whether an agent lives or may come.
    pub(crate) fn has(&self, name: &AgentName) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).coming.contains(name)
    }

    /// Whether an agent begins anew, as what is declared now: what is registered of it is of a life that ends.
    pub(crate) fn has_anew(&self, name: &AgentName) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).anew.contains(name)
    }

    /// As a fleet stands.
    pub(super) fn update(&self, fleet: &mut Fleet) {
        if let Some(coming) = fleet.coming() {
            let anew = |name: &&AgentName| fleet.get(name).is_some_and(|agent| agent.stage.begins_anew());
            let anew = coming.iter().filter(anew).cloned().collect();
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = Known { coming, anew };
        }
    }
}
