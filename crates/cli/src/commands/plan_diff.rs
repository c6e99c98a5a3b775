//! `downbeat plan --diff`: what the file would change in the store, and what that would cost.

use std::sync::Arc;

use downbeat_core::cache::Cache;
use downbeat_core::dag::{Dag, Fate, PlanDiff, TaskChange};
use downbeat_runtime::live::{Foreseen, declared, foresee};
use downbeat_runtime::load::{Project, ProjectGoal};
use downbeat_runtime::{Orchestrator, RunError};
use serde_json::{Value, json};

use super::run;
use crate::args::Plan;
use crate::context::Context;
use crate::error::{CliError, Kind, chain};
use crate::models;
use crate::output::style::{BAD, CARE, FAINT, GOOD, PLAIN, STRONG, paint};
use crate::output::table::{Cell, Table};
use crate::output::text::{clean, counted};

/// A declared goal beside the store.
enum Beside {
    /// The store has no plan for it.
    New(Option<Arc<Dag>>),
    /// A model would have to be asked what it is to be now.
    Unknown,
    /// Both plans.
    Both(Box<Foreseen>),
}

/// Shows the difference; changes nothing, but keeps what a model was asked to plan.
pub(crate) async fn plan_diff(args: &Plan, context: &Context) -> Result<(), CliError> {
    let project = run::load(context)?;
    let cache = context.open().await?;
    let mut goals = Vec::new();
    for goal in &project.goals {
        goals.push((goal, beside(args, context, &project, &cache, goal).await?));
    }
    if context.out.is_json() {
        let goals: Vec<Value> = goals.iter().map(|(goal, beside)| to_json(goal, beside)).collect();
        return context.out.value(&json!({ "goals": goals }));
    }
    for (index, (goal, beside)) in goals.iter().enumerate() {
        if index > 0 {
            context.out.line("")?;
        }
        show(context, goal, beside)?;
    }
    Ok(())
}

async fn beside(
    args: &Plan,
    context: &Context,
    project: &Project,
    cache: &Arc<dyn Cache>,
    goal: &ProjectGoal,
) -> Result<Beside, CliError> {
    if cache.goal(&goal.id).await?.is_none() {
        return Ok(Beside::New(goal.dag.clone()));
    }
    let mut wanted = declared(cache.as_ref(), goal).await?;
    if wanted.is_none() && args.ask {
        let models = models::of(project, context.config.chosen())?;
        let settings = context.config.settings.clone();
        let clock = Arc::clone(&context.clock);
        let orchestrator = Orchestrator::new(Arc::clone(cache), models, clock, settings, project.clone());
        let (dag, _) = orchestrator.drafted(goal).await.map_err(|error| match error {
            RunError::Planning { .. } | RunError::UnsoundPlan { .. } => {
                CliError::new(Kind::Failed, chain(&error))
            }
            error => CliError::bad_input(chain(&error)),
        })?;
        wanted = Some(dag);
    }
    let Some(wanted) = wanted else { return Ok(Beside::Unknown) };
    Ok(match foresee(cache.as_ref(), &goal.id, &wanted).await? {
        Some(foreseen) => Beside::Both(Box::new(foreseen)),
        None => Beside::New(goal.dag.clone()),
    })
}

fn show(context: &Context, goal: &ProjectGoal, beside: &Beside) -> Result<(), CliError> {
    let out = &context.out;
    out.line(format!("{}  {}", paint(STRONG, &goal.id), clean(&goal.title)))?;
    let foreseen = match beside {
        Beside::New(Some(dag)) => {
            return out.line(format!("not planned yet: {} begin", counted(dag.len(), "task")));
        }
        Beside::New(None) => return out.line("not planned yet: a model plans it when it runs"),
        Beside::Unknown => {
            out.line(format!("{} its brief changed, and a model plans it", paint(CARE, "!")))?;
            let command = context.command("plan --diff --ask");
            return out.line(paint(FAINT, format!("  `{command}` has it planned, to be looked at first")));
        }
        Beside::Both(foreseen) => foreseen,
    };
    let diff = &foreseen.diff;
    if diff.is_empty() {
        return out.line(paint(FAINT, format!("as planned, at revision {}", foreseen.goal.revision)));
    }
    let mut table = Table::new(&["", "TASK", "STATUS", "CHANGED", "BECOMES"]).shrink(&[3, 4]);
    for change in diff.tasks.iter().filter(|change| !change.is_unchanged() || change.fate != Fate::Kept) {
        let (mark, colour) = mark(change);
        table.row(vec![
            Cell::new(colour, mark),
            Cell::new(STRONG, change.task.as_str()),
            Cell::new(FAINT, change.status.map(|status| status.to_string()).unwrap_or_default()),
            Cell::plain(changed(change)),
            Cell::new(
                if change.costs_again() || change.ends_lease() { CARE } else { PLAIN },
                becomes(change),
            ),
        ]);
    }
    out.text(&table.render(0, out.width()))?;
    out.line("")?;
    out.line(summary(diff))?;
    let (colour, cost) = (if foreseen.is_free() { FAINT } else { CARE }, foreseen.cost());
    out.line(format!("{} {}", paint(FAINT, "costs:"), paint(colour, cost)))?;
    let how = if foreseen.is_free() {
        "it comes into force by itself, in a run that goes on and in the next one".to_owned()
    } else {
        format!("`{}` puts it into force", context.command(&format!("reparse --goal {}", goal.id)))
    };
    out.line(paint(FAINT, how))
}

fn mark(change: &TaskChange) -> (&'static str, anstyle::Style) {
    match change.fate {
        Fate::Begins => ("+", GOOD),
        Fate::Cancelled | Fate::Forgotten => ("-", BAD),
        Fate::Again | Fate::Restarts | Fate::OnceMore => ("↻", CARE),
        Fate::Kept => ("~", PLAIN),
    }
}

fn changed(change: &TaskChange) -> String {
    let mut parts: Vec<String> =
        change.rescoped.iter().chain(&change.adjusted).map(ToString::to_string).collect();
    parts.extend(change.waits_for.iter().map(|id| format!("+after {id}")));
    parts.extend(change.waits_no_more.iter().map(|id| format!("-after {id}")));
    if parts.is_empty()
        && let Some(through) = &change.because_of
    {
        parts.push(format!("(works from {through})"));
    }
    parts.join(", ")
}

fn becomes(change: &TaskChange) -> String {
    let lease = if change.ends_lease() { ", its agent loses it" } else { "" };
    let fate = match change.fate {
        Fate::OnceMore => "goes on, then is done once more",
        fate => fate.as_str(),
    };
    format!("{fate}{lease}")
}

fn summary(diff: &PlanDiff) -> String {
    let tally = diff.tally();
    let parts = [
        (tally.added, "added"),
        (tally.removed, "removed"),
        (tally.rewired, "rewired"),
        (tally.rescoped, "re-scoped"),
        (tally.adjusted, "adjusted"),
        (tally.kept, "kept"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    parts.join(" · ")
}

fn to_json(goal: &ProjectGoal, beside: &Beside) -> Value {
    match beside {
        Beside::New(dag) => json!({
            "goal": goal.id,
            "planned": false,
            "tasks": dag.as_ref().map(|dag| dag.len()),
        }),
        Beside::Unknown => json!({ "goal": goal.id, "planned": true, "brief_changed": true }),
        Beside::Both(foreseen) => json!({
            "goal": goal.id,
            "planned": true,
            "revision": foreseen.goal.revision,
            "differs": !foreseen.diff.is_empty(),
            "needs_reparse": !foreseen.is_free(),
            "counts": foreseen.diff.tally(),
            "tasks": foreseen.diff.tasks,
        }),
    }
}
