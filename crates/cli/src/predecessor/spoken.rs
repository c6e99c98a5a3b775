//! What could be typed for the predecessor. The values are read as it read them; what they mean is
//! [`translate`](super::translate)'s business.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::api::Listen;
use crate::args::{Global, Model, Spawning, agent_name, examples, goal_id};

/// The command line of porki, as far as it differs from ours; docs/predecessor.md tells what each option
/// means here.
#[derive(Debug, Parser)]
#[command(name = "downbeat", version, propagate_version = true, max_term_width = 100)]
pub(super) struct Spoken {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    Run(Box<Run>),
    /// Write an agent's text to fill in, or look whether a file of instructions is sound
    #[command(subcommand)]
    Instructions(Instructions),
}

/// Work in one role, or ask a model one thing, by the options of porki
///
/// An orchestrator plans the goals, runs the declared agents and stays; an agent works for one goal and
/// stays. Our own commands for that are `downbeat orchestrator` and `downbeat agent`.
#[derive(Debug, Args)]
#[command(after_help = examples(
    "  downbeat run --role orchestrator --instructions instructions/INSTRUCTIONS.md \\
      --redis-url redis://127.0.0.1:6379
  downbeat run --role agent --agent-name ui-dev --goal-id ui --instructions instructions/UI_DEV.md \\
      --heartbeat instructions/heartbeat/UI_DEV.md --redis-url redis://127.0.0.1:6379
  downbeat run -p 'How are you?'"
))]
pub(super) struct Run {
    /// What to be
    #[arg(long, value_enum)]
    pub(super) role: Option<Role>,
    /// For an orchestrator the file of instructions; for an agent that, or its own text as Markdown
    #[arg(long, value_name = "PATH")]
    pub(super) instructions: Option<PathBuf>,
    /// Ask the model this, and print its answer
    #[arg(short, long, value_name = "TEXT", num_args = 0..=1, default_missing_value = "")]
    pub(super) prompt: Option<String>,
    /// `event` was another form of log lines; `--log-format json` is ours
    #[arg(long, value_name = "STYLE", value_parser = ["concise", "event"])]
    pub(super) log_style: Option<String>,
    /// The agent's name
    #[arg(long, value_name = "NAME", value_parser = agent_name)]
    pub(super) agent_name: Option<String>,
    /// The agent's role: which tasks it may be given [default: its name]
    #[arg(long, value_name = "ROLE")]
    pub(super) agent_role: Option<String>,
    /// The agent's goal
    #[arg(long, value_name = "GOAL", value_parser = goal_id)]
    pub(super) goal_id: Option<String>,
    /// The file that steers the agent; it may be absent
    #[arg(long, value_name = "PATH")]
    pub(super) heartbeat: Option<PathBuf>,
    /// For how long a claim holds without renewal [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub(super) lease_ttl: Option<String>,
    /// Nothing waits for it any more
    #[arg(long, value_name = "SECONDS")]
    pub(super) loop_interval: Option<String>,
    /// Nothing waits for it any more
    #[arg(long, value_name = "SECONDS")]
    pub(super) poll_interval: Option<String>,
    /// Nothing waits for it any more
    #[arg(long, value_name = "SECONDS")]
    pub(super) heartbeat_interval: Option<String>,
    /// Nothing waits for it any more
    #[arg(long, value_name = "SECONDS")]
    pub(super) instruction_interval: Option<String>,
    /// Nothing waits for it any more
    #[arg(long, value_name = "SECONDS")]
    pub(super) idle_log_interval: Option<String>,
    /// Which command-line agent plans and works [default: claude]
    #[arg(long, value_enum)]
    pub(super) llm_provider: Option<Provider>,
    /// Its program, if it is not on the PATH
    #[arg(long, value_name = "PATH")]
    pub(super) llm_cli: Option<String>,
    /// An argument behind all others of its questions; may be repeated
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub(super) llm_extra_arg: Vec<String>,
    /// Models are always asked below a guard
    #[arg(long)]
    pub(super) llm_use_sysg: bool,
    #[arg(long, value_name = "PATH", hide = true)]
    pub(super) claude_cli: Option<String>,
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true, hide = true)]
    pub(super) claude_extra_arg: Vec<String>,
    #[arg(long, hide = true)]
    pub(super) claude_use_sysg: bool,
    #[command(flatten)]
    pub(super) model: Model,
    #[command(flatten)]
    pub(super) spawning: Spawning,
    #[command(flatten)]
    pub(super) listen: Listen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Role {
    Orchestrator,
    Agent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Provider {
    Claude,
    Codex,
}

impl Provider {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Instructions {
    Create(Create),
    Validate(Validate),
}

/// Write an agent's text to fill in, and print its path
#[derive(Debug, Args)]
#[command(after_help = examples("  downbeat instructions create --name ui-dev --path instructions"))]
pub(crate) struct Create {
    /// The agent's name; the file is called after it
    #[arg(short, long, value_name = "NAME")]
    pub(crate) name: String,
    /// The directory
    #[arg(short, long, value_name = "DIR")]
    pub(crate) path: PathBuf,
    /// Overwrite a file that exists
    #[arg(long)]
    pub(crate) force: bool,
    #[arg(long, value_name = "STYLE", hide = true)]
    log_style: Option<String>,
}

/// Look whether a file of instructions is sound, with all that it names
#[derive(Debug, Args)]
#[command(after_help = examples("  downbeat instructions validate --path instructions/INSTRUCTIONS.md"))]
pub(crate) struct Validate {
    /// The file
    #[arg(long, value_name = "FILE")]
    pub(crate) path: PathBuf,
    #[arg(long, value_name = "STYLE", hide = true)]
    log_style: Option<String>,
}
