//! What can be typed about a task, a goal or an agent.

use clap::{Args, Subcommand};
use downbeat_core::dag::MAX_PRIORITY;

use super::examples;

/// What to do with a task.
#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Show what a task is, where it stands and every attempt
    #[command(after_help = examples("  downbeat task show report\n  downbeat task show report --json | jq .attempts"))]
    Show(TaskArg),
    List(TaskList),
    /// Try a failed or cancelled task again, or one that waits for its next attempt now
    #[command(after_help = examples("  downbeat task retry report && downbeat run"))]
    Retry(TaskArg),
    /// Call a task off
    #[command(after_help = examples("  downbeat task cancel report"))]
    Cancel(TaskArg),
}

/// List tasks in the order of their plan
#[derive(Debug, Args)]
#[command(after_help = examples("  downbeat task list\n  downbeat task list --status failed"))]
pub(crate) struct TaskList {
    /// Only of this goal
    #[arg(long, value_name = "GOAL")]
    pub(crate) goal: Option<String>,
    /// Only those that stand here
    #[arg(long, value_name = "STATUS",
        value_parser = ["blocked", "ready", "running", "done", "failed", "cancelled"])]
    pub(crate) status: Option<String>,
}

/// What to do with a goal.
#[derive(Debug, Subcommand)]
pub(crate) enum GoalCommand {
    /// Call off every unfinished task of a goal
    #[command(after_help = examples("  downbeat goal cancel demo"))]
    Cancel(GoalArg),
    Archive(crate::commands::archive::Archive),
    Remove(crate::commands::archive::RemoveArgs),
}

/// A task.
#[derive(Debug, Args)]
pub(crate) struct TaskArg {
    /// The task's id
    #[arg(value_name = "TASK")]
    pub(crate) task: String,
}

/// A goal.
#[derive(Debug, Args)]
pub(crate) struct GoalArg {
    /// The goal's id
    #[arg(value_name = "GOAL")]
    pub(crate) goal: String,
}

/// Let an agent take no more tasks; holds over restarts, until it is resumed
#[derive(Debug, Args)]
#[command(after_help = examples("  downbeat pause shell_agent"))]
pub(crate) struct AgentArg {
    /// The agent's name
    #[arg(value_name = "AGENT")]
    pub(crate) agent: String,
}

/// Change a task's priority: the greater goes first
#[derive(Debug, Args)]
#[command(after_help = examples("  downbeat elevate report 100"))]
pub(crate) struct Elevate {
    /// The task's id
    #[arg(value_name = "TASK")]
    pub(crate) task: String,
    /// From 0 to 1000000
    #[arg(value_name = "PRIORITY", value_parser = priority)]
    pub(crate) priority: u32,
}

/// Have the instructions read again: what they say now is put into force
#[derive(Debug, Args)]
#[command(after_help = examples("  downbeat reparse                  the whole file\n  downbeat reparse --goal report"))]
pub(crate) struct Reparse {
    /// Only this agent's own instructions
    #[arg(value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// Only this goal
    #[arg(long, value_name = "GOAL", conflicts_with = "agent")]
    pub(crate) goal: Option<String>,
}

fn priority(text: &str) -> Result<u32, String> {
    let number = text.parse::<u32>().ok().filter(|number| *number <= MAX_PRIORITY);
    number.ok_or_else(|| format!("it must be a whole number from 0 to {MAX_PRIORITY}"))
}
