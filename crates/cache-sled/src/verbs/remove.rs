//! What is forgotten: finished goals with their tasks, agents that are long gone.

use downbeat_core::cache::{CacheError, Remove, Removed};
use downbeat_core::ids::AgentName;
use downbeat_core::rules;
use downbeat_core::time::Timestamp;

use super::agents::all;
use super::amend::forget;
use crate::layout::{Key, prefix};
use crate::step::Step;

/// Forgets a goal and its tasks. One operation, however large: the store applies a large write in
/// steps, and finishes it at the next opening if it has to.
pub(crate) fn remove(step: &mut Step<'_>, remove: &Remove) -> Result<Removed, CacheError> {
    let Some(doc) = step.goal(&remove.goal)? else {
        return Ok(Removed { tasks: 0 });
    };
    rules::check_remove(remove, &doc.goal)?;
    for task in step.order(&remove.goal)? {
        let doc = step.indexed_task(&task)?;
        forget(step, &task, &doc)?;
    }
    let pages: Vec<_> = step.txn.under(&prefix::pages(&remove.goal)).collect::<Result<_, _>>()?;
    for key in pages.iter().filter_map(|(key, _)| Key::decode(key)) {
        step.txn.delete(&key);
    }
    step.txn.delete(&Key::Order(remove.goal.clone()));
    step.forget_goal(&remove.goal);
    step.say(rules::removed(&doc.goal))?;
    Ok(Removed { tasks: doc.goal.counts.total() })
}

/// Forgets up to `limit` of the agents that are gone for longest, beyond those that are kept.
pub(crate) fn forget_agents(step: &mut Step<'_>, limit: usize) -> Result<(), CacheError> {
    let gone = all(step)?.into_iter().filter(crate::layout::AgentDoc::is_gone);
    let mut gone: Vec<(Timestamp, AgentName)> =
        gone.map(|agent| (agent.last_beat_at, agent.registration.name)).collect();
    let excess = gone.len().saturating_sub(rules::KEPT_AGENTS).min(limit);
    if excess == 0 {
        return Ok(());
    }
    gone.sort_unstable();
    for (_, name) in gone.into_iter().take(excess) {
        if !step.held_by(&name)?.is_empty() {
            continue;
        }
        let errors: Vec<_> = step.txn.under(&prefix::errors_of(&name)).collect::<Result<_, _>>()?;
        for key in errors.iter().filter_map(|(key, _)| Key::decode(key)) {
            step.txn.delete(&key);
        }
        step.txn.delete(&Key::Memory(name.clone()));
        step.forget_agent(name);
    }
    Ok(())
}
