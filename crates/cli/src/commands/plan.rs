//! `downbeat plan`: what would run.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use downbeat_core::dag::{Analysis, Dag, Node};
use downbeat_core::ids::TaskId;
use downbeat_core::memory::MemoryCache;
use downbeat_runtime::load::{Project, ProjectGoal, works_for};
use downbeat_runtime::{Orchestrator, RunError};
use serde_json::{Value, json};

use super::run;
use crate::context::Context;
use crate::diagnostics;
use crate::error::{CliError, Kind, chain};
use crate::models;
use crate::output::style::{CARE, FAINT, PLAIN, STRONG, paint};
use crate::output::table::{Cell, Table};
use crate::output::text::{clean, counted, cut};

/// A longest chain with more tasks than this is shortened.
const CHAIN: usize = 8;

/// Shows the plan; stores nothing.
pub(crate) async fn plan(context: &Context) -> Result<(), CliError> {
    let project = run::load(context)?;
    let mut goals: Vec<(&ProjectGoal, Option<Arc<Dag>>)> =
        project.goals.iter().map(|goal| (goal, goal.dag.clone())).collect();
    if context.config.llm.is_some() && goals.iter().any(|(_, dag)| dag.is_none()) {
        let dags = ask(context, &project).await?;
        for ((_, dag), asked) in goals.iter_mut().zip(dags) {
            *dag = Some(asked);
        }
    }
    let missing = models::of(&project, context.config.chosen()).err();
    if context.out.is_json() {
        return context.out.value(&to_json(&project, &goals, missing.as_ref()));
    }
    for (index, (goal, dag)) in goals.iter().enumerate() {
        if index > 0 {
            context.out.line("")?;
        }
        show(context, &project, goal, dag.as_deref())?;
    }
    if let Some(missing) = missing {
        context.out.line("")?;
        context.out.line(format!("{} {}", paint(CARE, "!"), clean(&missing.message)))?;
        for hint in &missing.hints {
            context.out.line(format!("  {}", paint(FAINT, hint)))?;
        }
    }
    Ok(())
}

/// Has a model plan what has no plan.
async fn ask(context: &Context, project: &Project) -> Result<Vec<Arc<Dag>>, CliError> {
    let models = models::of(project, context.config.chosen())?;
    let cache = Arc::new(MemoryCache::new(Arc::clone(&context.clock)));
    let settings = context.config.settings.clone();
    let orchestrator =
        Orchestrator::new(cache, models, Arc::clone(&context.clock), settings, project.clone());
    orchestrator.preview().await.map_err(|error| match error {
        RunError::Planning { .. } | RunError::UnsoundPlan { .. } => {
            CliError::new(Kind::Failed, chain(&error))
        }
        error => CliError::bad_input(chain(&error)),
    })
}

fn show(context: &Context, project: &Project, goal: &ProjectGoal, dag: Option<&Dag>) -> Result<(), CliError> {
    context.out.line(format!("{}  {}", paint(STRONG, &goal.id), clean(&goal.title)))?;
    let Some(dag) = dag else {
        let brief =
            goal.brief.lines().find(|line| !line.trim().is_empty()).unwrap_or("nothing is said about it");
        context.out.line(paint(FAINT, "planned by a model when it runs"))?;
        return context.out.line(format!("  {}", cut(&clean(brief), 200)));
    };
    let shape = Analysis::of(dag);
    context.out.line(paint(
        FAINT,
        format!(
            "{} · {} · {} · up to {} at once",
            counted(dag.len(), "task"),
            counted(dag.edges().count(), "dependency").replace("dependencys", "dependencies"),
            counted(shape.depth, "step"),
            shape.width
        ),
    ))?;
    context.out.line(format!("{} {}", paint(FAINT, "longest chain:"), chain_of(&shape.critical_path)))?;
    context.out.line("")?;
    let critical: HashSet<&TaskId> = shape.critical_path.iter().collect();
    let steps = steps(&shape);
    let mut table = Table::new(&["STEP", "", "TASK", "PRIO", "NEEDS", "AGENTS", "RUNS", "TITLE"])
        .right(&[0, 3])
        .shrink(&[7, 6, 5]);
    let mut last = 0;
    for node in dag.topological_order() {
        let step = steps.get(&node.id).copied().unwrap_or_default();
        let needs: Vec<&str> = node.capabilities.iter().map(|needed| needed.as_str()).collect();
        let agents = able(project, goal, node);
        let nobody = agents.is_empty();
        let (mark, colour) = if critical.contains(&node.id) { ("◆", CARE) } else { ("◇", FAINT) };
        table.row(vec![
            Cell::new(FAINT, if step == last { String::new() } else { step.to_string() }),
            Cell::new(colour, mark),
            Cell::new(STRONG, node.id.as_str()),
            Cell::plain(if node.priority == 0 { String::new() } else { node.priority.to_string() }),
            Cell::new(FAINT, needs.join(", ")),
            Cell::new(
                if nobody { CARE } else { PLAIN },
                if nobody { "nobody".to_owned() } else { agents.join(", ") },
            ),
            Cell::new(FAINT, cut(&runs(node), 48)),
            Cell::plain(clean(&node.title)),
        ]);
        last = step;
    }
    context.out.text(&table.render(0, context.out.width()))
}

/// The step of each task, from 1.
fn steps(shape: &Analysis) -> HashMap<&TaskId, usize> {
    let layers = shape.layers.iter().enumerate();
    layers.flat_map(|(step, layer)| layer.iter().map(move |id| (id, step + 1))).collect()
}

/// `a → b → … → z`.
fn chain_of(path: &[TaskId]) -> String {
    let mut names: Vec<&str> = path.iter().take(CHAIN).map(TaskId::as_str).collect();
    if path.len() > CHAIN {
        names.push("…");
        names.extend(path.last().map(TaskId::as_str));
    }
    names.join(&paint(FAINT, " → "))
}

fn able<'a>(project: &'a Project, goal: &ProjectGoal, node: &Node) -> Vec<&'a str> {
    let able = project.agents.iter().filter(|agent| {
        works_for(&agent.spec, &goal.id)
            && node.capabilities.iter().all(|needed| agent.spec.capabilities.contains(needed))
    });
    able.map(|agent| agent.spec.name.value.as_str()).collect()
}

/// The first line of a task's command; a model does it without one.
fn runs(node: &Node) -> String {
    let Some(run) = &node.run else { return "(a model)".to_owned() };
    let mut lines = run.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = clean(lines.next().unwrap_or_default());
    if lines.next().is_some() { format!("{first} …") } else { first }
}

fn to_json(
    project: &Project,
    goals: &[(&ProjectGoal, Option<Arc<Dag>>)],
    missing: Option<&CliError>,
) -> Value {
    let goals: Vec<Value> =
        goals.iter().map(|(goal, dag)| goal_json(project, goal, dag.as_deref())).collect();
    let agents: Vec<Value> = project
        .agents
        .iter()
        .map(|agent| {
            let spec = &agent.spec;
            json!({
                "name": spec.name.value,
                "goal": spec.goal.as_ref().map(|goal| &goal.value),
                "role": spec.role,
                "capabilities": spec.capabilities,
                "max_parallel": spec.max_parallel.unwrap_or(1),
                "llm": spec.llm,
            })
        })
        .collect();
    json!({
        "goals": goals,
        "agents": agents,
        "warnings": project.unmanned(),
        "diagnostics": diagnostics::to_json(&project.warnings),
        "missing": missing.map(|error| &error.message),
    })
}

fn goal_json(project: &Project, goal: &ProjectGoal, dag: Option<&Dag>) -> Value {
    let Some(dag) = dag else {
        return json!({ "id": goal.id, "title": goal.title, "planned": false, "brief": goal.brief });
    };
    let shape = Analysis::of(dag);
    let steps = steps(&shape);
    let tasks: Vec<Value> = dag
        .topological_order()
        .into_iter()
        .map(|node| {
            let mut object = match serde_json::to_value(node.as_ref()) {
                Ok(Value::Object(object)) => object,
                _ => serde_json::Map::new(),
            };
            object.insert("step".to_owned(), json!(steps.get(&node.id)));
            object.insert("critical".to_owned(), shape.critical_path.contains(&node.id).into());
            object.insert("dependencies".to_owned(), json!(dag.dependencies(&node.id)));
            object.insert("agents".to_owned(), json!(able(project, goal, node)));
            Value::Object(object)
        })
        .collect();
    json!({
        "id": goal.id,
        "title": goal.title,
        "planned": true,
        "width": shape.width,
        "depth": shape.depth,
        "critical_path": shape.critical_path,
        "tasks": tasks,
    })
}
