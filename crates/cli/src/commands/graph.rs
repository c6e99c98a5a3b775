//! `downbeat graph`: a goal's tasks as a drawing.

use std::collections::HashMap;
use std::sync::Arc;

use downbeat_core::dag::{Dag, export};
use downbeat_core::ids::TaskId;
use downbeat_runtime::report::all_tasks;

use super::run;
use crate::args::{self, GraphFormat};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::text;
use crate::store::Lies;

type Statuses = HashMap<TaskId, &'static str>;

/// Draws a graph: as it is stored, or else as it is declared.
pub(crate) async fn graph(args: &args::Graph, context: &Context) -> Result<(), CliError> {
    let mut known = match stored(context).await {
        Ok(known) => known,
        Err(error) if error.kind == Kind::Busy => {
            context.out.note("The store is held by another process: drawn as declared, without colours.");
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    if known.is_empty() {
        let project = run::load(context)?;
        known = project.goals.into_iter().filter_map(|goal| Some((goal.dag?, Statuses::new()))).collect();
    }
    let (dag, statuses) = choose(args, known, context)?;
    let status = |id: &TaskId| statuses.get(id).copied();
    match args.format {
        _ if context.out.is_json() => context.out.value(&dag.to_draft()),
        GraphFormat::Json => context.out.value(&dag.to_draft()),
        GraphFormat::Mermaid => context.out.text(&export::mermaid(&dag, status)),
        GraphFormat::Dot => context.out.text(&export::dot(&dag, status)),
    }
}

async fn stored(context: &Context) -> Result<Vec<(Arc<Dag>, Statuses)>, CliError> {
    if let Lies::Here(path) = &context.store
        && !path.exists()
    {
        return Ok(Vec::new());
    }
    let cache = context.open().await?;
    let mut known = Vec::new();
    for goal in cache.goals().await? {
        let Some(dag) = cache.dag(&goal.id).await? else { continue };
        let tasks = all_tasks(cache.as_ref(), &goal.id).await?;
        let statuses = tasks.into_iter().map(|task| (task.node.id.clone(), task.state.status.as_str()));
        known.push((dag, statuses.collect()));
    }
    Ok(known)
}

fn choose(
    args: &args::Graph,
    mut known: Vec<(Arc<Dag>, Statuses)>,
    context: &Context,
) -> Result<(Arc<Dag>, Statuses), CliError> {
    let names: Vec<String> = known.iter().map(|(dag, _)| dag.goal().to_string()).collect();
    let listed = names.join("`, `");
    let first = names.first().map_or("", String::as_str);
    let place = match &args.goal {
        Some(goal) => names.iter().position(|name| name == goal).ok_or_else(|| {
            let error = CliError::new(Kind::NotFound, format!("goal `{}` has no plan", text::clean(goal)));
            match downbeat_core::suggest::nearest(goal, names.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("is it `{near}`?")),
                None => error.hint(format!("there are `{listed}`")),
            }
        })?,
        None if known.len() > 1 => {
            return Err(CliError::bad_input(format!("there are several goals: `{listed}`"))
                .hint(format!("choose one: `{}`", context.command(&format!("graph --goal {first}")))));
        }
        None => 0,
    };
    if place < known.len() {
        return Ok(known.swap_remove(place));
    }
    Err(CliError::new(Kind::NotFound, "no goal has a plan yet: a model makes it when it runs")
        .hint(format!("run `{}` first", context.command("run"))))
}
