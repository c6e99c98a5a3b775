//! What can be typed of orchestrators, of agents as processes, and of groups.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use downbeat_core::ids::{AgentName, GoalId, IdError};

use super::{Instructions, Model, examples};

/// Plan the goals and keep a fleet of agents going, which come from anywhere
///
/// On the embedded store it is the process that the others ask. On a state that many machines share any number
/// may run: one leads, the others stand by, and within `leader_ttl` of its death another one leads. It ends when
/// all goals rest, unless told to keep running.
#[derive(Debug, Args)]
#[command(after_help = examples(
    "  downbeat orchestrator                    on the embedded store, for agents of this machine
  downbeat orchestrator --cache redis://redis.example
  downbeat orchestrator demo --cache redis://redis.example --keep-running
  downbeat orchestrator --spawn process    with the declared agents as processes of their own"
))]
pub(crate) struct Orchestrator {
    #[command(flatten)]
    pub(crate) instructions: Instructions,
    #[command(flatten)]
    pub(crate) model: Model,
    #[command(flatten)]
    pub(crate) spawning: Spawning,
    /// How many attempts a task gets that says nothing about it [default: 3]
    #[arg(long, value_name = "N")]
    pub(crate) max_attempts: Option<String>,
    /// The most calls to models that go on at once in this process; the others wait for their turn [default: no
    /// limit]
    #[arg(long, value_name = "N")]
    pub(crate) max_parallel_calls: Option<String>,
    /// Within this time after the leading orchestrator fell silent another one leads [default: 10s]
    #[arg(long, value_name = "SPAN")]
    pub(crate) leader_ttl: Option<String>,
    /// Stay when all goals rest
    #[arg(long)]
    pub(crate) keep_running: bool,
    #[command(flatten)]
    pub(crate) listen: crate::api::Listen,
}

/// Work as one agent of a fleet, as a process of its own
///
/// Beside an orchestrator or a run of the same project, or on a state that many machines share. It claims tasks,
/// works on them in the goal's workspace on this machine, and ends when all its goals rest, unless told to keep
/// running. SIGTERM lets its work go on for `drain_grace` and then gives it back. A second living process under one
/// name is refused.
#[derive(Debug, Clone, Args)]
#[command(after_help = examples(
    "  downbeat agent --name clerk --cache redis://redis.example
  downbeat agent demo --name clerk-7 --as clerk --keep-running"
))]
pub(crate) struct Agent {
    #[command(flatten)]
    pub(crate) instructions: Instructions,
    /// Its name, as INSTRUCTIONS.md declares it
    #[arg(long, alias = "agent-name", value_name = "NAME", value_parser = agent_name)]
    pub(crate) name: String,
    /// As which declared agent it works, when its own name is not declared: one declaration, many agents
    #[arg(long = "as", value_name = "DECLARED")]
    pub(crate) declared: Option<String>,
    /// Take tasks of this goal only
    #[arg(long, alias = "goal-id", value_name = "GOAL", value_parser = goal_id)]
    pub(crate) goal: Option<String>,
    /// The file that steers it [default: as declared]
    #[arg(long, value_name = "FILE")]
    pub(crate) heartbeat: Option<PathBuf>,
    /// Its role, in place of the declared one
    #[arg(long, alias = "agent-role", value_name = "ROLE", hide = true)]
    pub(crate) role: Option<String>,
    #[command(flatten)]
    pub(crate) child: Child,
    #[command(flatten)]
    pub(crate) model: Model,
    /// For how long a claim holds without renewal [default: 30s]
    #[arg(long, value_name = "SPAN")]
    pub(crate) lease_ttl: Option<String>,
    /// How long one attempt may take, for a task that says nothing about it [default: 30m]
    #[arg(long, value_name = "SPAN")]
    pub(crate) timeout: Option<String>,
    /// The most calls to models that go on at once in this process; the others wait for their turn [default: no
    /// limit]
    #[arg(long, value_name = "N")]
    pub(crate) max_parallel_calls: Option<String>,
    /// Who chooses among ready tasks [default: priority]
    #[arg(long, value_name = "WHO", value_parser = ["priority", "model"])]
    pub(crate) selection: Option<String>,
    /// Stay when all goals rest
    #[arg(long)]
    pub(crate) keep_running: bool,
}

/// As what agents are brought to life, and how many.
#[derive(Debug, Default, Args)]
pub(crate) struct Spawning {
    /// As what agents are brought to life: tasks of this process, processes of their own, or
    /// processes beside this one under systemg [default: in-process; an orchestrator has no agents of its own
    /// without it]
    #[arg(long, value_name = "AS", value_parser = ["in-process", "process", "sysg"])]
    pub(crate) spawn: Option<String>,
    /// What becomes of agents that are processes when this one is killed: they end with it, or go on and
    /// are adopted by the next one [default: end]
    #[arg(long, value_name = "WHAT", value_parser = ["end", "keep"])]
    pub(crate) orphans: Option<String>,
    /// The most agents that may run at once [default: 100]
    #[arg(long, value_name = "N")]
    pub(crate) max_agents: Option<String>,
    /// How many agents may be started in a second [default: 100]
    #[arg(long, value_name = "N")]
    pub(crate) spawn_limit: Option<String>,
}

impl Spawning {
    /// The settings that these options set.
    pub(crate) fn flags(&self) -> [(&'static str, Option<String>); 4] {
        [
            ("spawn", self.spawn.clone()),
            ("orphans", self.orphans.clone()),
            ("max_agents", self.max_agents.clone()),
            ("spawn_limit", self.spawn_limit.clone()),
        ]
    }
}

/// What an orchestrator tells an agent that it starts as a process of its own.
#[derive(Debug, Clone, Args)]
pub(crate) struct Child {
    /// The how-manieth life of its name
    #[arg(long, value_name = "N", hide = true, default_value_t = 1)]
    pub(crate) generation: u64,
    /// It is a child: its standard input is the lock of its seat in this directory
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) seat: Option<PathBuf>,
    /// It ends with this process
    #[arg(long, value_name = "PID", hide = true, requires = "seat")]
    pub(crate) parent: Option<u32>,
    /// Another supervisor started it: it takes its seat itself
    #[arg(long, hide = true, requires = "seat", conflicts_with = "parent")]
    pub(crate) apart: bool,
    /// The same, and it ends when nobody watches over it any more
    #[arg(long, hide = true, requires = "seat", conflicts_with = "parent")]
    pub(crate) watched: bool,
    /// Keep this file, to which its outputs go, at most as long as `max_output`
    #[arg(long, value_name = "FILE", hide = true, requires = "seat")]
    pub(crate) log_file: Option<PathBuf>,
}

impl Default for Child {
    fn default() -> Self {
        Self { generation: 1, seat: None, parent: None, apart: false, watched: false, log_file: None }
    }
}

/// What to do with a group of agents.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// List groups with their agents, and what was ordered about them
    #[command(after_help = examples("  downbeat group list\n  downbeat group list --json"))]
    List,
    /// Have at most so many agents of a group live at once
    #[command(after_help = examples("  downbeat group limit night 2\n  downbeat group limit night none"))]
    Limit {
        /// The group
        #[arg(value_name = "GROUP")]
        group: String,
        /// How many, or `none`: as many as declared
        #[arg(value_name = "N", value_parser = limit)]
        agents: Limit,
    },
}

/// How many agents of a group may live at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit(pub(crate) Option<u32>);

fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "none" => Ok(Limit(None)),
        number => number
            .parse::<u32>()
            .ok()
            .filter(|number| *number <= 10_000)
            .map(|number| Limit(Some(number)))
            .ok_or_else(|| "write a whole number up to 10000, or `none`".to_owned()),
    }
}

/// The name of an agent, as it was typed.
///
/// # Errors
///
/// It is none.
pub(crate) fn agent_name(text: &str) -> Result<String, IdError> {
    AgentName::new(text).map(|_| text.to_owned())
}

/// The id of a goal, as it was typed.
///
/// # Errors
///
/// It is none.
pub(crate) fn goal_id(text: &str) -> Result<String, IdError> {
    GoalId::new(text).map(|_| text.to_owned())
}

/// An agent or a group.
#[derive(Debug, Args)]
pub(crate) struct FleetArg {
    /// The agent, or `group:<name>`
    #[arg(value_name = "AGENT|group:NAME")]
    pub(crate) whom: String,
}
