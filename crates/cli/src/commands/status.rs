//! `downbeat status`: what is going on, at a glance.

use downbeat_core::cache::Liveness;
use downbeat_core::goal::Counts;
use downbeat_runtime::status::{self, AgentLine, Status};
use downbeat_runtime::supervise::{RUN_ENDED, RUN_STOPPED};

use super::fleet::limit_of;
use crate::context::Context;
use crate::error::CliError;
use crate::output::style::{self, BAD, CARE, FAINT, GOOD, PLAIN, STRONG, paint};
use crate::output::table::{Cell, Table};
use crate::output::text::{clean, thousands};
use crate::output::time;

/// Shows goals, agents and who orchestrates.
pub(crate) async fn status(context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let mut status = status::status(cache.as_ref(), context.now()).await?;
    if !context.is_shared() {
        // One process at a time has this store, and now it is this one: whoever had it is gone, however
        // lately it was heard.
        status.orchestrator.present = false;
        for agent in &mut status.agents {
            agent.liveness = Liveness::Dead;
        }
    }
    if context.out.is_json() {
        return context.out.value(&status);
    }
    if status.goals.is_empty() {
        context.out.line("No goal is planned yet.")?;
        // An agent may wait for somebody who plans one.
        if status.agents.is_empty() && !status.orchestrator.present {
            return Ok(());
        }
    } else {
        context.out.text(&goals(&status).render(0, context.out.width()))?;
    }
    for goal in &status.goals {
        if let Some(reason) = &goal.reason {
            let (mark, colour) = style::of_goal(goal.status);
            context.out.line(format!("{} {}: {}", paint(colour, mark), goal.id, clean(reason)))?;
        }
    }
    if let Some(refused) = &status.instructions.refused {
        for fault in &refused.faults {
            context.out.line(format!("{} {}", paint(BAD, "refused:"), clean(&fault.to_string())))?;
        }
        let what = "the instructions in force stay in force until that is mended";
        context.out.line(paint(FAINT, format!("  {what}")))?;
    }
    for (goal, why) in &status.instructions.waiting {
        let how = context.command("plan --diff");
        context.out.line(format!(
            "{} {goal} is declared otherwise than it is planned: {} (`{how}`)",
            paint(CARE, "waiting:"),
            clean(why)
        ))?;
    }
    for parked in &status.parked {
        let until = parked.until.map(|until| format!(" until {until}")).unwrap_or_default();
        context.out.line(format!("{} {}{until}", paint(CARE, "parked:"), clean(&parked.reason)))?;
    }
    if !status.agents.is_empty() {
        context.out.line("")?;
        context.out.text(&agents(&status, context).render(0, context.out.width()))?;
        for agent in &status.agents {
            if let Some(reason) = agent.stage_reason.as_ref().filter(|_| tells(agent)) {
                context.out.line(format!("{} {}: {}", paint(CARE, "•"), agent.name, clean(reason)))?;
            }
        }
    }
    for group in status.groups.iter().filter(|group| group.limit.is_some()) {
        let (alive, all, limit) = (group.alive, group.agents.len(), limit_of(group));
        let what = format!("group {}: {alive} of {all} live, at most {limit} may", group.name);
        context.out.line(paint(FAINT, what))?;
    }
    context.out.line("")?;
    context.out.line(paint(FAINT, orchestrator(&status, context)))
}

/// Whether why an agent stands where it does is worth a line.
fn tells(agent: &AgentLine) -> bool {
    let stage = agent.stage.as_deref().unwrap_or_default();
    let with_its_run = |reason: &str| [RUN_ENDED, RUN_STOPPED].contains(&reason);
    match stage {
        "stopped" => !agent.stage_reason.as_deref().is_some_and(with_its_run),
        stage => matches!(stage, "waiting" | "queued" | "quarantined" | "failed" | "blocked"),
    }
}

fn goals(status: &Status) -> Table {
    let head = [
        "",
        "GOAL",
        "STATUS",
        "DONE",
        "RUNNING",
        "READY",
        "BLOCKED",
        "FAILED",
        "CANCELLED",
        "CALLS",
        "TOKENS",
        "COST",
        "TITLE",
    ];
    let mut table = Table::new(&head).right(&[3, 4, 5, 6, 7, 8, 9, 10, 11]).shrink(&[12, 1]);
    let number =
        |number: u64, colour| Cell::new(colour, if number == 0 { String::new() } else { thousands(number) });
    for goal in &status.goals {
        let (mark, colour) = style::of_goal(goal.status);
        let Counts { blocked, ready, running, done, failed, cancelled } = goal.counts;
        let cost = if goal.cost_usd > 0.0 { format!("${:.4}", goal.cost_usd) } else { String::new() };
        table.row(vec![
            Cell::new(colour, mark),
            Cell::new(STRONG, goal.id.as_str()),
            Cell::new(colour, goal.status.as_str()),
            Cell::new(GOOD, format!("{}/{}", thousands(done), thousands(goal.counts.total()))),
            number(running, style::BUSY),
            number(ready, PLAIN),
            number(blocked, FAINT),
            number(failed, style::BAD),
            number(cancelled, style::GONE),
            number(goal.model_calls, FAINT),
            number(goal.tokens, FAINT),
            Cell::new(FAINT, cost),
            Cell::plain(clean(&goal.title)),
        ]);
    }
    table
}

fn agents(status: &Status, context: &Context) -> Table {
    let now = context.now();
    let mut table = Table::new(&["AGENT", "PHASE", "LIVES", "TASK", "LEASE", "HEARD"]).shrink(&[3, 0]);
    for agent in &status.agents {
        let phase = if agent.paused { format!("{} (paused)", agent.phase) } else { agent.phase.to_string() };
        // Of one that does not live, what its supervisor says is more than its last phase.
        let phase = match agent.stage.as_deref() {
            None | Some("running" | "starting" | "stopping") => phase,
            Some(stage) if agent.paused => format!("{stage} (paused)"),
            Some(stage) => stage.to_owned(),
        };
        let lease = agent.lease_expires_at.map(|until| match until.since(now) {
            left if left.is_zero() => "expired".to_owned(),
            left => format!("{} left", time::span(left)),
        });
        table.row(vec![
            Cell::new(STRONG, agent.name.as_str()),
            Cell::new(if agent.paused { CARE } else { style::of_phase(agent.phase) }, phase),
            Cell::new(style::of_liveness(agent.liveness), agent.liveness.to_string()),
            Cell::plain(tasks(agent)),
            Cell::plain(lease.unwrap_or_default()),
            Cell::new(
                FAINT,
                agent
                    .last_beat_at
                    .map_or_else(String::new, |beat| format!("{} ago", time::span(now.since(beat)))),
            ),
        ]);
    }
    table
}

/// `count`, or `count +2` of one that works on three.
fn tasks(agent: &AgentLine) -> String {
    let more = agent.tasks.len().saturating_sub(1);
    let task = agent.task.as_ref().map_or("", |task| task.as_str());
    if more > 0 { format!("{task} +{more}") } else { task.to_owned() }
}

fn orchestrator(status: &Status, context: &Context) -> String {
    let line = &status.orchestrator;
    let name = line.name.as_deref().map(clean).unwrap_or_default();
    match (line.present, line.last_seen_at) {
        (true, Some(seen)) => format!(
            "Orchestrator {name} is at work, last seen {} ago; after {} without a word it counts as gone.",
            time::span(context.now().since(seen)),
            time::span(std::time::Duration::from_secs(line.stale_after_seconds))
        ),
        (true, None) => format!("Orchestrator {name} is at work."),
        (false, Some(seen)) => {
            format!(
                "Nobody orchestrates; {name} was last seen {} ago.",
                time::span(context.now().since(seen))
            )
        }
        (false, None) => "Nobody orchestrates.".to_owned(),
    }
}
