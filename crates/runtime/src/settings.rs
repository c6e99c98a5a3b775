//! What a deployment may set. Where a value comes from is the caller's business.

use std::path::PathBuf;
use std::time::Duration;

use downbeat_core::backoff::Backoff;
use downbeat_core::instructions::Restart;
use downbeat_core::llm::Permissions;

use crate::spending::Ceiling;
use crate::supervise::Policy;

/// The limits and periods of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// For how long a claim holds without renewal. A holder renews three times in it.
    pub lease_ttl: Duration,
    /// Unheard for this long an agent counts as silent. It beats three times in it.
    pub agent_ttl: Duration,
    /// How long one attempt may take, for a task that says nothing about it.
    pub task_timeout: Duration,
    /// How many attempts a task gets that says nothing about it; at least 1.
    pub max_attempts: u32,
    /// The waits between attempts.
    pub backoff: Backoff,
    /// The most agents that may run at once.
    pub max_agents: usize,
    /// The most agents of one orchestrator that live at once; the others wait for a slot. No limit without it.
    pub max_workers: Option<usize>,
    /// For how long an agent may work while others wait for its slot.
    pub turn: Duration,
    /// Whether agents whose life has ended are started again, for those that say nothing about it.
    pub restart: Policy,
    /// Between two looks at everything, for news that got lost.
    pub check_interval: Duration,
    /// After this many ends of its agent's process, a further one costs a task an attempt.
    pub interruption_limit: u32,
    /// Who chooses among ready tasks.
    pub selection: Selection,
    /// What a model may do with tools when it executes a task.
    pub permissions: Permissions,
    /// What models may cost in all.
    pub ceiling: Ceiling,
    /// The most calls to models that go on at once in this process; at least 1. No limit without it.
    pub max_parallel_calls: Option<usize>,
    /// How much of a command's output is kept, in bytes.
    pub max_output: u64,
    /// Between asking a command to end and ending it.
    pub kill_grace: Duration,
    /// Variables of the environment that commands are given beside the standard ones.
    pub pass_env: Vec<String>,
    /// Where the outputs of commands are kept; nowhere without it.
    pub logs: Option<PathBuf>,
    /// The program that guards commands: called as `<guard> internal-guard`, it ends them
    /// with all that they started when this process ends. See [`guard`](crate::guard). Without it a
    /// command may outlive a killed orchestrator.
    pub guard: Option<PathBuf>,
    /// The cache is opened by this process alone: others use it through this one, or not at all.
    pub exclusive: bool,
    /// Stay when nothing can move, instead of ending with the reason.
    pub keep_running: bool,
    /// Within this time after a leading orchestrator fell silent another one leads.
    pub leader_ttl: Duration,
    /// For how long a store that does not answer is waited for.
    pub store_patience: Duration,
    /// How long an agent's process that is asked to end lets its work go on before it gives it back.
    pub drain_grace: Duration,
    /// How many agents may be started in a second; at least 1.
    pub spawn_limit: u32,
    /// A copy of an agent that has had nothing to do for so long is not needed any more.
    pub idle_for: Duration,
}

/// Who chooses among ready tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Selection {
    /// The priorities decide; costs nothing.
    #[default]
    Priority,
    /// The agent's model, when there are at least two.
    Model,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease_ttl: Duration::from_secs(30),
            agent_ttl: Duration::from_secs(30),
            task_timeout: Duration::from_secs(30 * 60),
            max_attempts: 3,
            backoff: Backoff::default(),
            max_agents: 100,
            max_workers: None,
            turn: Duration::from_secs(60),
            restart: Policy {
                restart: Restart::OnFailure,
                max_restarts: 5,
                window: Duration::from_secs(10 * 60),
                backoff: Backoff { base: Duration::from_millis(500), ceiling: Duration::from_secs(60) },
            },
            check_interval: Duration::from_secs(1),
            interruption_limit: 25,
            selection: Selection::Priority,
            permissions: Permissions::default(),
            ceiling: Ceiling::default(),
            max_parallel_calls: None,
            max_output: 10 * 1024 * 1024,
            kill_grace: Duration::from_secs(2),
            pass_env: Vec::new(),
            logs: None,
            guard: None,
            exclusive: false,
            keep_running: false,
            leader_ttl: Duration::from_secs(10),
            store_patience: Duration::from_secs(300),
            drain_grace: Duration::from_secs(5),
            spawn_limit: 100,
            idle_for: Duration::from_secs(10),
        }
    }
}
