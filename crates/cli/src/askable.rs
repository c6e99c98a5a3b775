//! Whether the models that a run will need can be asked, before anything of it is started.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use downbeat_core::cache::{Cache, CacheError};
use downbeat_core::dag::Node;
use downbeat_core::goal::GoalStatus;
use downbeat_core::state::TaskStatus;
use downbeat_llm::transport::Probe;
use downbeat_runtime::load::{Project, ProjectGoal, works_for};
use downbeat_runtime::report::all_tasks;
use tokio::task::JoinSet;

use crate::error::{CliError, Kind};
use crate::models::{self, Asking, Chosen};

/// A look that takes longer says nothing: a slow machine is no reason to refuse a run.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at every model that work is left for, all at a time; none is asked, nothing is spent.
///
/// `cache` is what was done so far; none for a run that starts over.
///
/// # Errors
///
/// [`Kind::BadInput`], with what is missing for each model that cannot be asked and how to get it; or
/// what the cache says.
pub(crate) async fn check(
    project: &Project,
    chosen: Chosen<'_>,
    cache: Option<&dyn Cache>,
) -> Result<(), CliError> {
    let mut needed = BTreeSet::new();
    for goal in &project.goals {
        needed.extend(needed_for(project, goal, chosen, cache).await?);
    }
    refuse(&look(needed, &project.root, chosen.asking).await)
}

/// The names of the models that are asked before this goal rests.
async fn needed_for(
    project: &Project,
    goal: &ProjectGoal,
    chosen: Chosen<'_>,
    cache: Option<&dyn Cache>,
) -> Result<BTreeSet<String>, CacheError> {
    let mut needed = BTreeSet::new();
    let stored = match cache {
        Some(cache) => cache.goal(&goal.id).await?.map(|stored| (cache, stored)),
        None => None,
    };
    let mut left: Vec<Node> = Vec::new();
    let mut is_unplanned = false;
    match (&goal.dag, stored) {
        // What is declared may differ from what is stored: all of it may have to be done.
        (Some(dag), stored) => {
            let done = match &stored {
                Some((cache, _)) => all_tasks(*cache, &goal.id).await?,
                None => Vec::new(),
            };
            let done: BTreeSet<_> = done
                .iter()
                .filter(|task| task.state.status == TaskStatus::Done)
                .map(|task| task.node.id.as_str())
                .collect();
            let open = dag.nodes().filter(|node| !done.contains(node.id.as_str()));
            left.extend(open.map(|node| node.as_ref().clone()));
        }
        (None, Some((_, stored))) if stored.status == GoalStatus::Complete => {}
        (None, Some((cache, _))) => {
            let tasks = all_tasks(cache, &goal.id).await?;
            let open = tasks.into_iter().filter(|task| task.state.status != TaskStatus::Done);
            left.extend(open.map(|task| task.node.as_ref().clone()));
        }
        (None, None) => {
            is_unplanned = true;
            needed.extend(chosen.llm.map(str::to_owned));
        }
    }
    for agent in project.agents.iter().filter(|agent| works_for(&agent.spec, &goal.id)) {
        let may_take = |node: &Node| {
            node.run.is_none() && node.capabilities.iter().all(|one| agent.spec.capabilities.contains(one))
        };
        // Who gets which task of a plan that is not made yet nobody knows.
        if is_unplanned || left.iter().any(may_take) {
            needed.extend(agent.spec.llm.clone().or_else(|| chosen.llm.map(str::to_owned)));
        }
    }
    Ok(needed)
}

/// Looks at them. What is no way to a model (a script, no model at all) needs no look.
async fn look(names: BTreeSet<String>, base: &Path, asking: Asking<'_>) -> BTreeMap<String, Probe> {
    let environment = models::environment(asking);
    let mut looks = JoinSet::new();
    for name in names {
        let Ok(transport) = downbeat_llm::transport_in(way(&name), base, &environment) else { continue };
        looks.spawn(async move {
            let probe = tokio::time::timeout(PATIENCE, transport.probe()).await;
            probe.ok().map(|probe| (name, probe))
        });
    }
    looks.join_all().await.into_iter().flatten().collect()
}

/// What is recorded, if the name is one of a recording.
fn way(name: &str) -> &str {
    let recorded = name.strip_prefix("record:").and_then(|rest| rest.split_once(':'));
    recorded.map_or(name, |(_, name)| way(name))
}

fn refuse(looks: &BTreeMap<String, Probe>) -> Result<(), CliError> {
    let unusable: Vec<_> = looks.iter().filter(|(_, probe)| !probe.usable).collect();
    let message = match unusable.as_slice() {
        [] => return Ok(()),
        [(name, probe)] => {
            format!("model `{name}` is needed and cannot be asked: {}; nothing was started", probe.found)
        }
        several => {
            let each = several.iter().map(|(name, probe)| format!("`{name}` ({})", probe.found));
            format!(
                "{} models are needed and cannot be asked: {}; nothing was started",
                several.len(),
                each.collect::<Vec<_>>().join(", ")
            )
        }
    };
    let mut error = CliError::new(Kind::BadInput, message);
    for (name, probe) in unusable {
        for remedy in &probe.remedies {
            error = error.hint(format!("`{name}`: {remedy}"));
        }
    }
    Err(error.hint("`downbeat doctor` looks at every model that there is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(usable: bool, found: &str) -> Probe {
        Probe { usable, found: found.to_owned(), remedies: vec![format!("get {found}")] }
    }

    #[test]
    fn every_model_that_cannot_be_asked_is_told_with_its_remedy() {
        let looks = |all: &[(&str, bool)]| {
            all.iter().map(|(name, usable)| ((*name).to_owned(), probe(*usable, name))).collect()
        };
        assert!(refuse(&looks(&[("a", true)])).is_ok());
        let one = refuse(&looks(&[("a", true), ("b", false)])).unwrap_err();
        assert!(one.message.starts_with("model `b` is needed"), "{}", one.message);
        let two = refuse(&looks(&[("b", false), ("c", false)])).unwrap_err();
        assert!(two.message.contains("2 models") && two.message.contains("`c`"), "{}", two.message);
        assert_eq!(two.hints.first().map(String::as_str), Some("`b`: get b"));
        assert_eq!((two.hints.len(), two.kind.exit()), (3, 2));
    }

    #[test]
    fn a_recording_is_as_askable_as_what_it_records() {
        assert_eq!(way("record:tape:claude:opus"), "claude:opus");
        assert_eq!(way("record:a:record:b:codex"), "codex");
        assert_eq!(way("claude:opus"), "claude:opus");
    }
}
