//! `downbeat goal archive` and `downbeat goal remove`: a finished goal leaves the store.

use std::path::PathBuf;

use clap::Args;
use downbeat_core::cache::{Cache, CacheError, Remove, TaskQuery};
use downbeat_core::goal::Goal;
use downbeat_core::ids::{GoalId, TaskId};
use downbeat_runtime::archive::{self, ArchiveError, Contents};
use serde_json::json;

use crate::args::examples;
use crate::context::Context;
use crate::error::{CliError, Kind, chain};

/// Write a goal with its graph, tasks, attempts and events into a file
///
/// One JSON object a line; the last line has counts and a checksum. The file is read back before it gets
/// its name. `downbeat goal remove` then takes the goal out of the store.
#[derive(Debug, Args)]
#[command(after_help = examples("  downbeat goal archive demo\n  downbeat goal archive demo --to demo.jsonl"))]
pub(crate) struct Archive {
    /// The goal's id
    #[arg(value_name = "GOAL")]
    goal: String,
    /// Where to; never over a file that is there [default: in .downbeat/archive/]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// Take a finished goal, its tasks and their history out of the store
///
/// Refused while anything of the goal may still move, and without an archive of the goal as it is now.
#[derive(Debug, Args)]
#[command(after_help = examples("  downbeat goal archive demo && downbeat goal remove demo\n  downbeat goal remove demo --without-archive"))]
pub(crate) struct RemoveArgs {
    /// The goal's id
    #[arg(value_name = "GOAL")]
    goal: String,
    /// The goal's archive [default: the one that `goal archive` writes]
    #[arg(long, value_name = "FILE")]
    archive: Option<PathBuf>,
    /// Remove it though nothing is kept of it
    #[arg(long, alias = "yes", conflicts_with = "archive")]
    without_archive: bool,
}

/// Where the archive of a goal lies unless somebody says otherwise: a goal that is planned anew under the
/// same id gets a file of its own.
fn default_path(context: &Context, goal: &Goal) -> PathBuf {
    let directory = context.place.own().join("archive");
    directory.join(format!("{}.{}.jsonl", goal.id, goal.created_at.as_millis()))
}

fn failed(error: ArchiveError) -> CliError {
    match error {
        ArchiveError::Cache(error) => error.into(),
        error @ (ArchiveError::Changed { .. } | ArchiveError::Damaged { .. }) => {
            CliError::new(Kind::Refused, chain(&error))
        }
        ArchiveError::File { path, source } => {
            CliError::internal(format!("cannot write or read the archive {}", path.display()), &source)
                .hint("`--to` names another file when it is written, `--archive` when a goal is removed")
        }
        error => CliError::internal("the archive failed", &error),
    }
}

/// Archives a goal.
pub(crate) async fn archive(args: &Archive, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let id = context.goal(cache.as_ref(), &args.goal).await?;
    let missing = || CliError::from(CacheError::GoalNotFound { goal: id.clone() });
    let goal = cache.goal(&id).await?.ok_or_else(missing)?;
    let path = args.to.clone().unwrap_or_else(|| default_path(context, &goal));
    if args.to.is_some() && path.exists() {
        let error = CliError::bad_input(format!("{} is there already", path.display()));
        return Err(error.hint("name another file, or move that one away"));
    }
    if args.to.is_none()
        && let Some(directory) = path.parent()
    {
        std::fs::create_dir_all(directory)
            .map_err(|error| CliError::internal(format!("cannot make {}", directory.display()), &error))?;
    }
    let contents = archive::write(cache.as_ref(), &id, &path, context.now()).await.map_err(failed)?;
    let Contents { tasks, events, events_trimmed, .. } = &contents;
    if context.out.is_json() {
        return context.out.value(&json!({ "path": path, "archive": contents }));
    }
    if *events_trimmed > 0 {
        let note = format!("the log had forgotten its first {events_trimmed} events; they are not in it");
        context.out.warning(&note);
    }
    context.out.line(format!("goal {id}: {tasks} tasks and {events} events in {}", path.display()))?;
    if goal.status.is_finished() {
        context
            .out
            .note(format!("`{}` takes it out of the store", context.command(&format!("goal remove {id}"))));
    }
    Ok(())
}

/// Removes a goal.
pub(crate) async fn remove(args: &RemoveArgs, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let id = context.goal(cache.as_ref(), &args.goal).await?;
    let missing = || CliError::from(CacheError::GoalNotFound { goal: id.clone() });
    let goal = cache.goal(&id).await?.ok_or_else(missing)?;
    if !goal.status.is_finished() {
        let error =
            CliError::new(Kind::Refused, format!("goal `{id}` is {}: it is not finished", goal.status));
        return Err(error.hint(format!("`{}` ends it", context.command(&format!("goal cancel {id}")))));
    }
    let archived = if args.without_archive { None } else { Some(kept(args, context, &goal)?) };
    let tasks = tasks_of(cache.as_ref(), &id).await?;
    let remove = Remove { goal: id.clone(), ended_at: goal.ended_at };
    let removed = cache.remove(&remove).await.map_err(|error| match error {
        CacheError::Conflict { .. } | CacheError::GoalUnfinished { .. } => {
            CliError::new(Kind::Refused, format!("goal `{id}` changed meanwhile; nothing was removed"))
        }
        error => error.into(),
    })?;
    forget_logs(context, &tasks);
    if context.out.is_json() {
        return context.out.value(&json!({ "goal": id, "tasks": removed.tasks, "archive": archived }));
    }
    context.out.line(format!("goal {id} and its {} tasks are removed", removed.tasks))?;
    match archived {
        Some(path) => context.out.line(format!("  its archive is {}", path.display())),
        None => Ok(()),
    }
}

/// The ids of a goal's tasks.
async fn tasks_of(cache: &dyn Cache, goal: &GoalId) -> Result<Vec<TaskId>, CliError> {
    let mut query = TaskQuery { goal: goal.clone(), status: None, after: None, limit: 1_000 };
    let mut ids = Vec::new();
    loop {
        let page = cache.tasks(&query).await?;
        query.after = page.last().map(|task| task.ordinal);
        let last = page.len() < query.limit;
        ids.extend(page.into_iter().map(|task| task.node.id.clone()));
        if last {
            return Ok(ids);
        }
    }
}

/// What commands of removed tasks wrote goes with them.
fn forget_logs(context: &Context, tasks: &[TaskId]) {
    let logs = super::run::logs_directory(context);
    for task in tasks {
        let directory = logs.join(task.as_str());
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                context.out.warning(format!("{} is left: {error}", directory.display()));
            }
            _ => {}
        }
    }
}

/// The archive of a goal as it is now.
fn kept(args: &RemoveArgs, context: &Context, goal: &Goal) -> Result<PathBuf, CliError> {
    let path = args.archive.clone().unwrap_or_else(|| default_path(context, goal));
    let advise = |error: CliError| {
        let archive = context.command(&format!("goal archive {}", goal.id));
        error
            .hint(format!("`{archive}` writes one"))
            .hint("`--without-archive` removes it though nothing is kept of it")
    };
    if !path.exists() {
        let error = format!("goal `{}` has no archive at {}; nothing was removed", goal.id, path.display());
        return Err(advise(CliError::new(Kind::Refused, error)));
    }
    let contents = archive::read(&path).map_err(|error| advise(failed(error)))?;
    if contents.goal != *goal {
        let error =
            format!("{} is not of goal `{}` as it is now; nothing was removed", path.display(), goal.id);
        return Err(advise(CliError::new(Kind::Refused, error)));
    }
    Ok(path)
}
