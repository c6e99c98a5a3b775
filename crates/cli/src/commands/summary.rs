//! What came of a run, for people and for programs.

use downbeat_core::cache::Task;
use downbeat_core::state::TaskStatus;
use downbeat_runtime::report::{GoalReport, RunReport};
use serde_json::{Value, json};

use super::run::logs_directory;
use crate::context::Context;
use crate::error::CliError;
use crate::exit;
use crate::output::style::{self, BAD, CARE, FAINT, GOOD, PLAIN, STRONG, paint};
use crate::output::table::{Cell, Table};
use crate::output::text::{clean, count, cut, thousands};
use crate::output::{time, view};

/// A plan with more tasks than this is shown without those that are done.
const SHOWN: usize = 40;
/// The most failed tasks that are explained.
const EXPLAINED: usize = 10;

/// Prints what came of a run; the command `again` carries on with it.
pub(crate) fn print(context: &Context, report: &RunReport, code: u8, again: &str) -> Result<(), CliError> {
    if context.out.is_json() {
        return context.out.value(&to_json(report, code));
    }
    if context.out.is_quiet() && code == exit::COMPLETE {
        return Ok(());
    }
    for goal in &report.goals {
        print_goal(context, goal)?;
    }
    for line in &report.stuck {
        context.out.line(format!("{} {}", paint(CARE, "stuck:"), clean(line)))?;
    }
    if report.interrupted && code != exit::COMPLETE {
        let next = paint(STRONG, context.command(again));
        context.out.line(format!("Stopped after {}. {next} carries on.", time::span(report.duration)))?;
    }
    Ok(())
}

fn print_goal(context: &Context, report: &GoalReport) -> Result<(), CliError> {
    let (mark, colour) = style::of_goal(report.goal.status);
    let reason = report.goal.reason.as_ref().map(|reason| format!(": {}", clean(reason))).unwrap_or_default();
    context.out.line("")?;
    context.out.line(format!(
        "{} {} is {}{reason}",
        paint(colour, mark),
        paint(STRONG, &report.goal.id),
        paint(colour, report.goal.status)
    ))?;
    context.out.text(&table(report).render(2, context.out.width()))?;
    context.out.text(&totals(report))?;
    let bad: Vec<&Task> = report
        .tasks
        .iter()
        .filter(|task| matches!(task.state.status, TaskStatus::Failed | TaskStatus::Cancelled))
        .collect();
    for task in bad.iter().take(EXPLAINED) {
        explain(context, task)?;
    }
    if bad.len() > EXPLAINED {
        let more = bad.len() - EXPLAINED;
        context.out.line(format!("… and {more} more: {}", context.command("task list --status failed")))?;
    }
    Ok(())
}

fn table(report: &GoalReport) -> Table {
    let mut table = Table::new(&["", "TASK", "STATUS", "TRIES", "TIME", "AGENT", "ARTIFACTS"])
        .right(&[3, 4])
        .shrink(&[6, 1]);
    let all = report.tasks.len() <= SHOWN;
    for task in report.tasks.iter().filter(|task| all || task.state.status != TaskStatus::Done) {
        let state = &task.state;
        let (mark, colour) = style::of_task(state.status);
        let tries = match state.attempt {
            0 => String::new(),
            tries if tries > 1 || state.status == TaskStatus::Failed => {
                format!("{tries}/{}", state.max_attempts)
            }
            tries => tries.to_string(),
        };
        let took = state.started_at.zip(state.ended_at).map(|(from, to)| time::span(to.since(from)));
        let artifacts: Vec<String> = state.artifacts.iter().map(|artifact| clean(&artifact.path)).collect();
        table.row(vec![
            Cell::new(colour, mark),
            Cell::new(STRONG, task.node.id.as_str()),
            Cell::new(colour, state.status.as_str()),
            Cell::new(if state.attempt > 1 { CARE } else { PLAIN }, tries),
            Cell::plain(took.unwrap_or_default()),
            Cell::new(FAINT, state.owner.as_ref().map_or("", |owner| owner.as_str())),
            Cell::new(FAINT, artifacts.join(", ")),
        ]);
    }
    table
}

/// ```text
/// 7 of 8 tasks done · 1 failed
/// 9.2s of work in 3.1s · 3.0× in parallel · 2 retries · 12 model calls · 3,400 tokens · $0.0200
/// ```
fn totals(report: &GoalReport) -> String {
    let counts = &report.goal.counts;
    let mut parts = vec![format!("{} of {} done", thousands(counts.done), count(counts.total(), "task"))];
    for (number, what, colour) in [
        (counts.failed, "failed", BAD),
        (counts.cancelled, "cancelled", style::GONE),
        (counts.running, "running", style::BUSY),
        (counts.ready, "ready", PLAIN),
        (counts.blocked, "blocked", CARE),
    ] {
        if number > 0 {
            parts.push(paint(colour, format!("{} {what}", thousands(number))));
        }
    }
    let mut more = Vec::new();
    if !report.worked.is_zero() {
        more.push(format!("{} of work in {}", time::span(report.worked), time::span(report.span)));
        let speed = report.worked.as_secs_f64() / report.span.as_secs_f64().max(0.001);
        if speed >= 1.15 {
            more.push(paint(GOOD, format!("{speed:.1}× in parallel")));
        }
    }
    let retries: u64 = report.tasks.iter().map(|task| u64::from(task.state.attempt.saturating_sub(1))).sum();
    if retries > 0 {
        more.push(paint(CARE, count(retries, "retry").replace("retrys", "retries")));
    }
    let usage = report.goal.usage;
    if usage.calls > 0 {
        more.push(count(usage.calls, "model call"));
        // Three digits behind the point say nothing more than one.
        let per_task = usage.calls.saturating_mul(10) / report.goal.counts.total().max(1);
        more.push(format!("{}.{} a task", per_task / 10, per_task % 10));
        more.push(format!("{} tokens", thousands(usage.tokens())));
        if usage.cost_micros > 0 {
            more.push(format!("${:.4}", usage.cost_usd()));
        }
    }
    let joined = |parts: &[String]| format!("  {}\n", parts.join(&paint(FAINT, " · ")));
    if more.is_empty() { joined(&parts) } else { joined(&parts) + &joined(&more) }
}

/// Why a task is not done, and what to type next.
fn explain(context: &Context, task: &Task) -> Result<(), CliError> {
    let id = &task.node.id;
    let (mark, colour) = style::of_task(task.state.status);
    let failure = task.state.last_error.as_ref();
    let said = failure.map(|failure| clean(&failure.message)).unwrap_or_default();
    context.out.line("")?;
    context.out.line(format!("{} {}  {}", paint(colour, mark), paint(STRONG, id), cut(&said, 400)))?;
    let log = logs_directory(context)
        .join(id.as_str())
        .join(format!("{}-{}.log", task.state.attempt, task.state.token));
    if log.is_file() {
        context.out.line(format!("    {}  {}", paint(FAINT, "output"), log.display()))?;
    }
    context.out.line(format!("    {}     {}", paint(FAINT, "why"), context.command(&format!("why {id}"))))?;
    let retry = context.command(&format!("task retry {id}"));
    context.out.line(format!("    {}   {retry} && {}", paint(FAINT, "again"), context.command("run")))
}

fn to_json(report: &RunReport, code: u8) -> Value {
    let goals: Vec<Value> = report
        .goals
        .iter()
        .map(|goal| {
            let mut object = view::goal(&goal.goal);
            object.insert("attempts".to_owned(), goal.attempts.into());
            object.insert("span_ms".to_owned(), millis(goal.span));
            object.insert("worked_ms".to_owned(), millis(goal.worked));
            let tasks = goal.tasks.iter().map(|task| {
                let mut object = view::task(task);
                let usage = goal.usage.get(&task.node.id).copied().unwrap_or_default();
                object.insert("usage".to_owned(), view::usage(usage));
                Value::Object(object)
            });
            object.insert("tasks".to_owned(), Value::Array(tasks.collect()));
            Value::Object(object)
        })
        .collect();
    json!({
        "complete": report.is_complete(),
        "interrupted": report.interrupted,
        "stuck": report.stuck,
        "exit_code": code,
        "duration_ms": millis(report.duration),
        "goals": goals,
    })
}

fn millis(span: std::time::Duration) -> Value {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).into()
}
