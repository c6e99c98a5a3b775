//! From a goal up to the one above all others.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use downbeat_core::cache::{Cache, CacheError};
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::goal::{Goal, Usage};
use downbeat_core::ids::GoalId;

use super::declared::MAX_DEPTH;

/// Which goal is below which, as far as somebody looked.
#[derive(Debug, Default)]
pub struct Chains {
    above: HashMap<GoalId, Option<GoalId>>,
}

impl Chains {
    /// Of these goals.
    pub fn of<'g>(goals: impl IntoIterator<Item = &'g Goal>) -> Self {
        let mut chains = Self::default();
        goals.into_iter().for_each(|goal| chains.add(goal));
        chains
    }

    /// Enters a goal.
    pub fn add(&mut self, goal: &Goal) {
        self.above.insert(goal.id.clone(), goal.parent.as_ref().map(|parent| parent.goal.clone()));
    }

    /// Enters the goal that an event tells of, if it was planned just then.
    pub fn hear(&mut self, event: &EventDraft) {
        if let Some(goal) = event.goal.as_ref().filter(|_| event.kind == EventKind::GOAL_PLANNED) {
            let above = event.data.pointer("/parent/goal").cloned();
            self.above.insert(goal.clone(), above.and_then(|above| serde_json::from_value(above).ok()));
        }
    }

    /// Whether a goal was entered.
    #[must_use]
    pub fn knows(&self, goal: &GoalId) -> bool {
        self.above.contains_key(goal)
    }

    /// From the goal above all others down to `goal` itself.
    #[must_use]
    pub fn to(&self, goal: &GoalId) -> Vec<GoalId> {
        let mut chain = vec![goal.clone()];
        let mut at = goal;
        while let Some(Some(above)) = self.above.get(at) {
            // What is stored might be wrong.
            if chain.len() > MAX_DEPTH || chain.contains(above) {
                break;
            }
            chain.push(above.clone());
            at = above;
        }
        chain.reverse();
        chain
    }

    /// The goal that an event is about: the one that it names, or else the deepest one that its task's id
    /// names.
    #[must_use]
    pub fn goal_of(&self, event: &EventDraft) -> Option<GoalId> {
        if let Some(goal) = &event.goal {
            return Some(goal.clone());
        }
        let task = event.task.as_ref()?.as_str();
        let dots = task.match_indices('.').map(|(at, _)| at).rev();
        dots.filter_map(|at| task.get(..at))
            .find_map(|prefix| self.above.get_key_value(prefix).map(|(goal, _)| goal.clone()))
    }

    /// Learns what is above a goal.
    ///
    /// # Errors
    ///
    /// What the cache says.
    pub async fn learn(&mut self, cache: &dyn Cache, goal: &GoalId) -> Result<(), CacheError> {
        let mut at = Some(goal.clone());
        while let Some(goal) = at.take() {
            if self.knows(&goal) || self.above.len() > 100_000 {
                break;
            }
            let found = cache.goal(&goal).await?;
            let above = found.and_then(|goal| goal.parent).map(|parent| parent.goal);
            self.above.insert(goal, above.clone());
            at = above;
        }
        Ok(())
    }
}

/// Adds to each goal what models cost for all that is below it. `own` is what each cost by itself.
#[must_use]
pub fn with_all_below(goals: &[Goal]) -> HashMap<GoalId, Usage> {
    let chains = Chains::of(goals);
    let mut sums: HashMap<GoalId, Usage> = HashMap::new();
    for goal in goals {
        for above in chains.to(&goal.id) {
            let sum = sums.entry(above).or_default();
            *sum = sum.plus(goal.usage);
        }
    }
    sums
}

/// The directories of goals: those that are declared, and those of goals below tasks, which have the one
/// of what they were made from, or else that of the goal above.
#[derive(Debug, Default)]
pub(crate) struct Places {
    known: Mutex<HashMap<GoalId, PathBuf>>,
}

impl Places {
    /// The directory of a goal.
    pub(crate) async fn find(
        &self,
        cache: &dyn Cache,
        declared: &HashMap<GoalId, PathBuf>,
        goal: &GoalId,
    ) -> Result<Option<PathBuf>, CacheError> {
        let mut at = goal.clone();
        for _ in 0..=MAX_DEPTH {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&at).cloned();
            if let Some(place) = known {
                self.keep(goal, &place);
                return Ok(Some(place));
            }
            let parent = cache.goal(&at).await?.and_then(|goal| goal.parent);
            // A goal below a task may have the name of a declared one by chance.
            let place = match &parent {
                None => declared.get(&at),
                Some(parent) => parent.declared.as_ref().and_then(|made_from| declared.get(made_from)),
            };
            if let Some(place) = place {
                self.keep(goal, place);
                return Ok(Some(place.clone()));
            }
            let Some(parent) = parent else { return Ok(None) };
            at = parent.goal;
        }
        Ok(None)
    }

    fn keep(&self, goal: &GoalId, place: &Path) {
        const MOST: usize = 10_000;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(goal.clone(), place.to_path_buf());
    }
}
