//! What can be typed.

mod fleet;
mod global;
mod orders;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use fleet::{Agent, Child, FleetArg, GroupCommand, Orchestrator, Spawning, agent_name, goal_id};
pub(crate) use global::Global;
pub(crate) use orders::{AgentArg, Elevate, GoalCommand, Reparse, TaskArg, TaskCommand, TaskList};

/// Turns goals into graphs of tasks and has a fleet of agents work them off.
///
/// A project is a directory with a file INSTRUCTIONS.md: it declares agents and goals. `downbeat run`
/// does the whole job in one process and can be killed and run again at any point: what is done stays
/// done.
#[derive(Debug, Parser)]
#[command(name = "downbeat", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = after_help(
    "  downbeat init demo && cd demo    an example that needs no model
  downbeat plan                    what would run, in which order
  downbeat run                     plan, run, carry on
  downbeat why report              why a task is not running"
))]
pub(crate) struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// What the predecessor's command line asks for beside.
    #[arg(skip)]
    pub(crate) heritage: Option<crate::predecessor::Heritage>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Run),
    Orchestrator(Orchestrator),
    Agent(Agent),
    Serve(crate::commands::serve::Serve),
    Plan(Plan),
    Status(Status),
    /// Look at a task, or do something about it
    #[command(subcommand)]
    Task(TaskCommand),
    /// Do something about a goal
    #[command(subcommand)]
    Goal(GoalCommand),
    Why(Why),
    Events(Events),
    Graph(Graph),
    /// Have an agent, or all of a group, run from now on
    #[command(after_help = examples("  downbeat start clerk\n  downbeat start group:night"))]
    Start(FleetArg),
    /// Have an agent, or all of a group, end when its work is done, and stay so; `start` ends that
    #[command(after_help = examples("  downbeat stop clerk\n  downbeat stop group:night"))]
    Stop(FleetArg),
    /// End an agent, or all of a group, when its work is done and start it anew; also out of a quarantine
    #[command(after_help = examples("  downbeat restart clerk\n  downbeat restart group:night"))]
    Restart(FleetArg),
    /// Look at groups of agents, or limit one
    #[command(subcommand)]
    Group(GroupCommand),
    Pause(AgentArg),
    /// Let a paused agent take tasks again
    #[command(after_help = examples("  downbeat resume shell_agent"))]
    Resume(AgentArg),
    /// Take a running task from its agent and put it back; costs no attempt
    #[command(after_help = examples("  downbeat drop report"))]
    Drop(TaskArg),
    Elevate(Elevate),
    /// Empty an agent's memory, also that of the agent that is at work
    #[command(after_help = examples("  downbeat flush shell_agent"))]
    Flush(AgentArg),
    Reparse(Reparse),
    /// Try a failed or cancelled task again: the same as `task retry`
    #[command(after_help = examples("  downbeat retry report && downbeat run"))]
    Retry(TaskArg),
    /// Call a task off: the same as `task cancel`
    #[command(after_help = examples("  downbeat cancel report"))]
    Cancel(TaskArg),
    Init(Init),
    Doctor(Doctor),
    Schema(Schema),
    Completions(Completions),
    #[command(skip)]
    Predecessor(crate::predecessor::Small),
}

/// Plan the goals, run the agents, and end when all goals rest
///
/// What was done in an earlier run stays done: killing this at any point and running it again carries
/// on. When INSTRUCTIONS.md changed, the stored plan is amended first. Ctrl-C once lets running tasks
/// finish; twice stops them and gives their leases back.
#[derive(Debug, Args)]
#[command(after_help = examples(
    "  downbeat run                             the project in this directory
  downbeat run demo/INSTRUCTIONS.md        another one
  downbeat run --max-attempts 5 --timeout 10m
  downbeat run --fresh                     from the beginning
  downbeat run --spawn process             each agent a process of its own
  downbeat run --json > report.json        the report, for programs"
))]
pub(crate) struct Run {
    /// The file of instructions, or its directory
    #[arg(value_name = "INSTRUCTIONS.md")]
    pub(crate) instructions: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) model: Model,
    /// Start over: the store is moved to `<store>.previous` (replacing an older one), once nobody
    /// holds it; files that tasks wrote stay
    #[arg(long)]
    pub(crate) fresh: bool,
    #[command(flatten)]
    pub(crate) spawning: Spawning,
    /// The most agents that live at once; the others wait for a slot [default: no limit]
    #[arg(long, value_name = "N")]
    pub(crate) max_workers: Option<String>,
    /// How many attempts a task gets that says nothing about it [default: 3]
    #[arg(long, value_name = "N")]
    pub(crate) max_attempts: Option<String>,
    /// How long one attempt may take, for a task that says nothing about it [default: 30m]
    #[arg(long, value_name = "SPAN")]
    pub(crate) timeout: Option<String>,
    /// For how long a claim holds without renewal [default: 30s]
    #[arg(long, value_name = "SPAN")]
    pub(crate) lease_ttl: Option<String>,
    /// Who chooses among ready tasks [default: priority]
    #[arg(long, value_name = "WHO", value_parser = ["priority", "model"])]
    pub(crate) selection: Option<String>,
    /// What a model may do with tools when it does a task: read only, work in the workspace, or
    /// whatever you may [default: edit]
    #[arg(long, value_name = "WHAT", value_parser = ["plan", "edit", "full"])]
    pub(crate) permissions: Option<String>,
    /// The most that models may cost, in US dollars, over all runs on this store
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) max_cost: Option<String>,
    /// The most tokens that models may take, in and out, over all runs on this store
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<String>,
    /// The most calls to models that go on at once in this process; the others wait for their turn [default: no
    /// limit]
    #[arg(long, value_name = "N")]
    pub(crate) max_parallel_calls: Option<String>,
    /// Against what an acknowledged write is safe: a power failure, or only the end of this process
    /// [default: power]
    #[arg(long, value_name = "AGAINST", value_parser = ["power", "process"])]
    pub(crate) durability: Option<String>,
    /// Stay when nothing can move, instead of ending with the reason
    #[arg(long)]
    pub(crate) keep_running: bool,
    #[command(flatten)]
    pub(crate) listen: crate::api::Listen,
}

/// The file of instructions, named in either of two ways.
#[derive(Debug, Clone, Args)]
pub(crate) struct Instructions {
    /// The file of instructions, or its directory
    #[arg(value_name = "INSTRUCTIONS.md")]
    pub(crate) positional: Option<PathBuf>,
    /// The same
    #[arg(long = "instructions", value_name = "PATH", conflicts_with = "positional", hide = true)]
    pub(crate) flag: Option<PathBuf>,
}

impl Instructions {
    /// The file, if one was named.
    pub(crate) fn named(&self) -> Option<&Path> {
        self.positional.as_deref().or(self.flag.as_deref())
    }
}

/// Which model.
#[derive(Debug, Clone, Args)]
pub(crate) struct Model {
    /// The model that plans, and that works for every agent without a `- Llm:` of its own [default:
    /// offline, when every task has a command]
    #[arg(long, value_name = "NAME")]
    pub(crate) llm: Option<String>,
}

/// Show what would run, in which order and by whom; stores nothing
///
/// Each task stands in the first step in which it could run, the more urgent first. `◆` marks a longest
/// chain: with any number of agents it takes that many steps. A goal without a plan is shown without
/// tasks unless a model is chosen; then the model is asked, which may cost something.
///
/// `--diff` shows the file beside the store: what was added, removed, rewired or re-scoped, what stays done
/// and what `downbeat reparse` would have done again.
#[derive(Debug, Args)]
#[command(after_help = examples(
    "  downbeat plan
  downbeat plan demo --json
  downbeat plan --diff                     what an edit would change, and what that costs
  downbeat plan --diff --ask               the same, and a model plans what it has to plan anew"
))]
pub(crate) struct Plan {
    /// The file of instructions, or its directory
    #[arg(value_name = "INSTRUCTIONS.md")]
    pub(crate) instructions: Option<PathBuf>,
    /// Compare with the plans that are stored; changes none of them
    #[arg(long)]
    pub(crate) diff: bool,
    /// Ask the model for the plan of a goal whose brief changed. It is kept: a REPARSE does not ask again
    #[arg(long, requires = "diff")]
    pub(crate) ask: bool,
    #[command(flatten)]
    pub(crate) model: Model,
}

/// Show goals, agents and who orchestrates
#[derive(Debug, Args)]
#[command(after_help = examples("  downbeat status\n  downbeat status --json | jq '.goals[].counts'"))]
pub(crate) struct Status {}

/// Show why a task, or an agent, stands where it does, and what would change that
#[derive(Debug, Args)]
#[command(after_help = examples(
    "  downbeat why report
  downbeat why clerk               why an agent does nothing
  downbeat why agent:report        the agent, where a task is called so too"
))]
pub(crate) struct Why {
    /// The task's id, or the name of an agent, which may begin with `agent:`
    #[arg(value_name = "TASK|AGENT")]
    pub(crate) of: String,
}

/// Show what happened
///
/// With --json one event a line, for programs.
#[derive(Debug, Args)]
#[command(after_help = examples(
    "  downbeat events --limit 20                 the newest
  downbeat events --task report              of one task
  downbeat events --kind task.failed --kind goal
  downbeat events --json --since 120         all behind number 120"
))]
pub(crate) struct Events {
    /// Only of this goal
    #[arg(long, value_name = "GOAL")]
    pub(crate) goal: Option<String>,
    /// Only of this task
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// Only of this agent
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// Only of this kind, such as `task.done`, or `task` for all that begin so; may be repeated
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Vec<String>,
    /// Only those behind this number
    #[arg(long, value_name = "SEQ")]
    pub(crate) since: Option<u64>,
    /// At most this many: the oldest behind --since, else the newest
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Wait for more, until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// Draw a goal's graph of tasks, coloured by where each stands
///
/// Goals that its tasks own are drawn beneath them. With --format json it is a DAG file, as `- Plan:` reads it,
/// without them; --json adds them as `below`, by the task.
#[derive(Debug, Args)]
#[command(after_help = examples(
    "  downbeat graph                             Mermaid, for Markdown
  downbeat graph --format text
  downbeat graph --format dot | dot -Tsvg > graph.svg
  downbeat graph --format json > plan.json"
))]
pub(crate) struct Graph {
    /// Which goal, when there are several
    #[arg(long, value_name = "GOAL")]
    pub(crate) goal: Option<String>,
    /// The language of the drawing
    #[arg(long, value_enum, default_value_t = GraphFormat::Mermaid)]
    pub(crate) format: GraphFormat,
}

/// The language of a drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// A flow chart for Markdown.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// A DAG file.
    Json,
    /// Lines, for a terminal.
    Text,
}

/// Write an example project that runs without any model
///
/// INSTRUCTIONS.md with two agents and a goal, downbeat.toml with every setting explained, and a line
/// in .gitignore. Nothing that exists is overwritten.
#[derive(Debug, Args)]
#[command(after_help = examples("  downbeat init\n  downbeat init demo && cd demo && downbeat run"))]
pub(crate) struct Init {
    /// Where
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Overwrite what exists
    #[arg(long)]
    pub(crate) force: bool,
}

/// Look at everything that a run needs, and say what is wrong with it
#[derive(Debug, Args)]
#[command(after_help = examples("  downbeat doctor\n  downbeat doctor --json | jq .settings"))]
pub(crate) struct Doctor {}

/// Print a JSON Schema (2020-12)
#[derive(Debug, Args)]
#[command(after_help = examples("  downbeat schema dag > dag.schema.json"))]
pub(crate) struct Schema {
    /// Of what
    #[arg(value_enum)]
    pub(crate) of: SchemaOf,
}

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// A DAG file, as `- Plan:` reads it.
    Dag,
    /// The YAML form of INSTRUCTIONS.md.
    Instructions,
    /// A line of `downbeat events --json`.
    Events,
}

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = examples(
    "  downbeat completions bash > ~/.local/share/bash-completion/completions/downbeat
  downbeat completions zsh > ~/.zfunc/_downbeat
  downbeat completions fish > ~/.config/fish/completions/downbeat.fish"
))]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Examples as a section of the help.
pub(crate) fn examples(lines: &str) -> String {
    format!("\u{1b}[1m\u{1b}[4mExamples:\u{1b}[0m\n{lines}")
}

fn after_help(lines: &str) -> String {
    format!("{}\n\n{}", examples(lines), crate::exit::help())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_with_examples() {
        fn check(command: &clap::Command) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} has no help");
            if command.has_subcommands() {
                command.get_subcommands().for_each(check);
            } else {
                let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(text.contains("Examples:") && text.contains("downbeat "), "{name} has no examples");
                // Help is folded there, and half a command is another one.
                assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
            }
        }
        Cli::command().get_subcommands().for_each(check);
    }
}
