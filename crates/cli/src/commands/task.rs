//! `downbeat task show` and `downbeat task list`.

use downbeat_core::cache::Task;
use downbeat_core::ids::TaskId;
use downbeat_core::state::TaskStatus;
use downbeat_runtime::report::all_tasks;
use serde_json::Value;

use super::run::logs_directory;
use crate::args;
use crate::context::Context;
use crate::error::CliError;
use crate::output::style::{self, BAD, CARE, FAINT, STRONG, paint};
use crate::output::table::{Cell, Table};
use crate::output::text::{bytes, clean, clean_block, count, thousands};
use crate::output::{time, view};

/// Shows what a task is, where it stands and every attempt.
pub(crate) async fn show(text: &str, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let id = context.task(cache.as_ref(), text).await?;
    let detail = cache.task(&id).await?;
    let detail = detail.ok_or(downbeat_core::cache::CacheError::TaskNotFound { task: id.clone() })?;
    let dag = cache.dag(&detail.task.goal).await?;
    let mut shown = view::detail(&detail, dag.as_deref());
    let usage = downbeat_runtime::spending::of_task(cache.as_ref(), &id).await?;
    shown.insert("usage".to_owned(), view::usage(usage));
    for attempt in shown.get_mut("attempts").and_then(Value::as_array_mut).into_iter().flatten() {
        let number = |key: &str| attempt.get(key).map(ToString::to_string).unwrap_or_default();
        let output = output_of(context, &id, &number("attempt"), number("token").trim_matches('"'));
        if let Some(members) = attempt.as_object_mut() {
            members.insert("output".to_owned(), output.into());
        }
    }
    if context.out.is_json() {
        return context.out.value(&shown);
    }
    let Task { node, state, goal, .. } = &detail.task;
    let (mark, colour) = style::of_task(state.status);
    context.out.line(format!(
        "{} {} is {}",
        paint(colour, mark),
        paint(STRONG, &node.id),
        paint(colour, state.status)
    ))?;
    context.out.line(format!("  {}", clean(&node.title)))?;
    context.out.line("")?;

    let mut table = Table::default();
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            table.row(vec![Cell::new(FAINT, name), Cell::plain(value)]);
        }
    };
    let list = |key: &str| {
        let names = shown.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        names.map(clean).collect::<Vec<_>>().join(", ")
    };
    row("goal", goal.to_string());
    row(
        "owns",
        shown
            .get("owns")
            .and_then(|owns| owns.get("goal"))
            .and_then(Value::as_str)
            .map(clean)
            .unwrap_or_default(),
    );
    row("priority", state.priority.to_string());
    row("needs", list("capabilities"));
    row("waits for", list("dependencies"));
    row("unblocks", list("dependants"));
    row("attempts", format!("{} of {}", state.attempt, state.max_attempts));
    row("agent", state.owner.as_ref().map(ToString::to_string).unwrap_or_default());
    if usage.calls > 0 {
        let cost = if usage.cost_micros > 0 { format!(", ${:.4}", usage.cost_usd()) } else { String::new() };
        let tokens = thousands(usage.tokens());
        row("model", format!("{}, {tokens} tokens{cost}", count(usage.calls, "call")));
    }
    row("started", state.started_at.map(time::moment).unwrap_or_default());
    row("ended", state.ended_at.map(time::moment).unwrap_or_default());
    let holder = state.holder.as_ref().filter(|_| state.status == TaskStatus::Running);
    row("lease until", holder.map(|holder| time::moment(holder.expires_at)).unwrap_or_default());
    row("not before", state.not_before.map(time::moment).unwrap_or_default());
    row("progress", state.progress.as_deref().map(clean).unwrap_or_default());
    row("expects", list("expected_artifacts"));
    for artifact in &state.artifacts {
        row("artifact", format!("{} ({})", clean(&artifact.path), bytes(artifact.bytes)));
    }
    context.out.text(&table.render(2, None))?;

    block(context, "description", node.description.as_deref())?;
    block(context, "command", node.run.as_deref())?;
    for check in &node.checks {
        block(context, "check", Some(check))?;
    }
    block(context, "summary", state.summary.as_deref())?;
    if let Some(failure) = state.last_error.as_ref().filter(|_| state.status != TaskStatus::Done) {
        block(context, "last error", Some(&failure.message))?;
        // The message quotes the last line: one line of output is told already.
        let detail = failure.detail.as_deref().filter(|detail| !failure.message.contains(detail.trim()));
        block(context, "its output", detail)?;
    }
    attempts(context, &detail, &shown)
}

/// Where the output of an attempt is kept, if it is.
fn output_of(context: &Context, task: &TaskId, attempt: &str, token: &str) -> Option<String> {
    let log = logs_directory(context).join(task.as_str()).join(format!("{attempt}-{token}.log"));
    log.is_file().then(|| log.display().to_string())
}

fn block(context: &Context, name: &str, text: Option<&str>) -> Result<(), CliError> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(()) };
    context.out.line(format!("\n  {}", paint(FAINT, name)))?;
    for line in clean_block(text).lines() {
        context.out.line(format!("    {line}"))?;
    }
    Ok(())
}

fn attempts(
    context: &Context,
    detail: &downbeat_core::cache::TaskDetail,
    shown: &serde_json::Map<String, Value>,
) -> Result<(), CliError> {
    let rows = shown.get("attempts").and_then(Value::as_array).map_or(0, Vec::len);
    if rows == 0 {
        return Ok(());
    }
    let state = &detail.task.state;
    let mut table = Table::new(&["TRY", "OUTCOME", "TIME", "AGENT", "STARTED", "ERROR", "OUTPUT"])
        .right(&[0, 2])
        .shrink(&[5, 6]);
    let log = |attempt: u32, token: String| {
        output_of(context, &detail.task.node.id, &attempt.to_string(), &token).unwrap_or_default()
    };
    for ended in &detail.ended {
        let colour =
            if matches!(ended.outcome.as_str(), "retry" | "failed" | "expired") { BAD } else { CARE };
        table.row(vec![
            Cell::plain(ended.attempt.to_string()),
            Cell::new(colour, clean(&ended.outcome)),
            Cell::plain(time::span(ended.ended_at.since(ended.started_at))),
            Cell::plain(ended.agent.as_str()),
            Cell::new(FAINT, time::moment(ended.started_at)),
            Cell::plain(clean(&ended.error.message)),
            Cell::new(FAINT, log(ended.attempt, ended.token.to_string())),
        ]);
    }
    if matches!(state.status, TaskStatus::Done | TaskStatus::Running) {
        let (_, colour) = style::of_task(state.status);
        let until = state.ended_at.unwrap_or_else(|| context.now());
        table.row(vec![
            Cell::plain(state.attempt.to_string()),
            Cell::new(colour, state.status.as_str()),
            Cell::plain(state.started_at.map(|from| time::span(until.since(from))).unwrap_or_default()),
            Cell::plain(state.owner.as_ref().map_or("", |owner| owner.as_str())),
            Cell::new(FAINT, state.started_at.map(time::moment).unwrap_or_default()),
            Cell::plain(""),
            Cell::new(FAINT, log(state.attempt, state.token.to_string())),
        ]);
    }
    context.out.line("")?;
    context.out.text(&table.render(2, context.out.width()))
}

/// Lists tasks in the order of their plan.
pub(crate) async fn list(args: &args::TaskList, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let goals = match &args.goal {
        Some(text) => vec![context.goal(cache.as_ref(), text).await?],
        None => cache.goals().await?.into_iter().map(|goal| goal.id).collect(),
    };
    let several = goals.len() > 1;
    let mut found = Vec::new();
    for goal in &goals {
        let tasks = all_tasks(cache.as_ref(), goal).await?.into_iter();
        found.extend(
            tasks.filter(|task| args.status.as_deref().is_none_or(|it| it == task.state.status.as_str())),
        );
    }
    if context.out.is_json() {
        let all: Vec<Value> = found.iter().map(|task| Value::Object(view::task(task))).collect();
        return context.out.value(&all);
    }
    if found.is_empty() {
        return context.out.line("No such task.");
    }
    let mut table = Table::new(&["", "TASK", "STATUS", "GOAL", "PRIO", "TRIES", "TIME", "AGENT", "TITLE"])
        .right(&[4, 5, 6])
        .shrink(&[8, 1]);
    for task in &found {
        let state = &task.state;
        let (mark, colour) = style::of_task(state.status);
        let took = state.started_at.zip(state.ended_at).map(|(from, to)| time::span(to.since(from)));
        table.row(vec![
            Cell::new(colour, mark),
            Cell::new(STRONG, task.node.id.as_str()),
            Cell::new(colour, state.status.as_str()),
            Cell::new(FAINT, if several { task.goal.as_str() } else { "" }),
            Cell::plain(if state.priority == 0 { String::new() } else { state.priority.to_string() }),
            Cell::plain(if state.attempt == 0 { String::new() } else { state.attempt.to_string() }),
            Cell::plain(took.unwrap_or_default()),
            Cell::new(FAINT, state.owner.as_ref().map_or("", |owner| owner.as_str())),
            Cell::plain(clean(&task.node.title)),
        ]);
    }
    context.out.text(&table.render(0, context.out.width()))
}
