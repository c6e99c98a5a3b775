//! `downbeat graph`: a goal's tasks as a drawing, with the goals below them.

mod text;
mod tree;

use std::collections::HashMap;

use downbeat_core::dag::export::{self, Drawing};
use downbeat_core::ids::{GoalId, TaskId};
use downbeat_core::state::TaskStatus;
use serde_json::{Value, json};

use super::run;
use crate::args::{self, GraphFormat};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output;
use crate::store::Lies;

/// Where tasks stand; nothing of tasks that are not planned yet.
type Statuses = HashMap<TaskId, TaskStatus>;

/// Goals with plans, and which of them are below no other.
#[derive(Default)]
struct Known {
    drawings: HashMap<GoalId, Drawing>,
    tops: Vec<GoalId>,
    statuses: Statuses,
}

/// Draws a graph: as it is stored, or else as it is declared.
pub(crate) async fn graph(args: &args::Graph, context: &Context) -> Result<(), CliError> {
    let mut known = match stored(context).await {
        Ok(known) => known,
        Err(error) if error.kind == Kind::Busy => {
            context.out.note("The store is held by another process: drawn as declared, without colours.");
            Known::default()
        }
        Err(error) => return Err(error),
    };
    if known.tops.is_empty() {
        known = tree::declared(run::load(context)?);
    }
    let drawing = choose(args, &mut known, context)?;
    let status = |id: &TaskId| known.statuses.get(id).map(|status| status.as_str());
    match args.format {
        _ if context.out.is_json() => context.out.value(&nested(&drawing)),
        GraphFormat::Json => context.out.value(&drawing.dag.to_draft()),
        GraphFormat::Mermaid => context.out.text(&export::mermaid(&drawing, status)),
        GraphFormat::Dot => context.out.text(&export::dot(&drawing, status)),
        GraphFormat::Text => context.out.text(&text::text(&drawing, &known.statuses, context.out.width())),
    }
}

/// A DAG file, with `below`: the goals that its tasks own, by the task. Without any it is a DAG file.
fn nested(drawing: &Drawing) -> Value {
    let mut value = json!(drawing.dag.to_draft());
    if !drawing.below.is_empty()
        && let Some(fields) = value.as_object_mut()
    {
        let below = drawing.below.iter().map(|(task, owned)| (task.to_string(), nested(owned)));
        fields.insert("below".to_owned(), below.collect::<serde_json::Map<_, _>>().into());
    }
    value
}

async fn stored(context: &Context) -> Result<Known, CliError> {
    if let Lies::Here(path) = &context.store
        && !path.exists()
    {
        return Ok(Known::default());
    }
    let cache = context.open().await?;
    tree::stored(cache.as_ref()).await
}

fn choose(args: &args::Graph, known: &mut Known, context: &Context) -> Result<Drawing, CliError> {
    let listed = known.tops.iter().map(GoalId::to_string).collect::<Vec<_>>().join("`, `");
    let goal = match (&args.goal, known.tops.as_slice()) {
        (Some(goal), _) => {
            known.drawings.keys().find(|id| id.as_str() == goal).cloned().ok_or_else(|| {
                let error = CliError::new(
                    Kind::NotFound,
                    format!("goal `{}` has no plan", output::text::clean(goal)),
                );
                match downbeat_core::suggest::nearest(goal, known.drawings.keys().map(GoalId::as_str)) {
                    Some(near) => error.hint(format!("is it `{near}`?")),
                    None => error.hint(format!("there are `{listed}`")),
                }
            })?
        }
        (None, [first, _, ..]) => {
            return Err(CliError::bad_input(format!("there are several goals: `{listed}`"))
                .hint(format!("choose one: `{}`", context.command(&format!("graph --goal {first}")))));
        }
        (None, [only]) => only.clone(),
        (None, []) => return Err(unplanned(context)),
    };
    tree::taken(&goal, &mut known.drawings).ok_or_else(|| unplanned(context))
}

fn unplanned(context: &Context) -> CliError {
    CliError::new(Kind::NotFound, "no goal has a plan yet: a model makes it when it runs")
        .hint(format!("run `{}` first", context.command("run")))
}
